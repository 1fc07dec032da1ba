"""Figures show the cells, distinguish methods without colours, and have no overlapping text."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.text import Text

from ccompress.report import aggregation, figures, schedule_picture, spectra, stored_runs, style
from ccompress.report.aggregation import summarize

Grid = Callable[..., list[dict[str, Any]]]
Write = Callable[..., Path]
METHODS = ["in_training_svd", "pre_training_svd", "quantization", "own_method"]


@pytest.fixture
def done(grid: Grid, write: Write) -> pd.DataFrame:
    stored = grid(["sst2", "books"], ["dan", "lstm"], METHODS, rates=[0.1, 0.5, 0.9, 0.95])
    stored = [r for r in stored if (r["dataset"], r["network"]) != ("books", "lstm")]
    gone = ("own_method", 0.95)
    return stored_runs.read(write([r for r in stored if (r["method"], r["rate"]) != gone])).done


def drawn(make: Callable[[], Figure]) -> tuple[Figure, FigureCanvasAgg]:
    with style.printing():
        figure = make()
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
    return figure, canvas


def shown_texts(figure: Figure) -> list[Text]:
    """All visible texts, without the hidden labels of ticks outside the axes."""
    texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text()]
    hidden = set()
    for ax in figure.axes:
        for axis, (low, high) in ((ax.xaxis, ax.get_xlim()), (ax.yaxis, ax.get_ylim())):
            ticks = axis.get_major_ticks() + axis.get_minor_ticks()
            hidden |= {tick.label1 for tick in ticks if not low <= tick.get_loc() <= high}
    return [text for text in texts if text not in hidden]


def spectra_rows() -> pd.DataFrame:
    """Two invented spectra for each data set and network of `done`."""
    before, after = np.linspace(30, 3, 300), 40 * np.exp(-np.arange(300) / 40) + 1
    return pd.concat(
        pd.DataFrame(
            {
                "data": data,
                "network": network,
                "schedule": "calr",
                "stage": stage,
                "index": range(300),
                "singular_value": values,
            }
        )
        for data, network in (("sst2", "dan"), ("sst2", "lstm"), ("books", "dan"))
        for stage, values in (("before", before), ("after", after))
    )


def every_figure(done: pd.DataFrame) -> list[Callable[[], Figure]]:
    table = summarize(done)
    values = spectra_rows()
    kept = spectra.kept(values, done, table)
    return [
        lambda: figures.accuracy_against_rate(done, table, 1.0),
        lambda: figures.accuracy_against_bytes(done, table, 1.0),
        lambda: figures.accuracy_against_latency(done, table, aggregation.measure(done), 1.0),
        lambda: spectra.spectrum_figure(values, done, kept),
        lambda: spectra.error_figure(done, kept),
        schedule_picture.figure,
    ]


@pytest.mark.parametrize("index", range(6))
def test_no_text_overlaps(done: pd.DataFrame, index: int) -> None:
    figure, canvas = drawn(every_figure(done)[index])
    renderer = canvas.get_renderer()
    texts = shown_texts(figure)
    assert len(texts) > 10
    boxes = [text.get_window_extent(renderer) for text in texts]
    for (one, a), (other, b) in itertools.combinations(zip(texts, boxes, strict=True), 2):
        assert not a.overlaps(b), f"{one.get_text()!r} overlaps {other.get_text()!r}"
    page = figure.bbox
    for text, box in zip(texts, boxes, strict=True):
        assert page.x0 <= box.x0, text
        assert box.x1 <= page.x1, text
        assert text.get_fontsize() >= 6.5  # points, at the size of print


def panel(figure: Figure, title: str) -> Axes:
    return next(ax for ax in figure.axes if ax.get_title(loc="left") == title)


def pair(figure: Figure, title: str) -> tuple[Axes, Axes]:
    """The two axes of a panel: the table on the left, and the network on the right."""
    left = panel(figure, title)
    return left, figure.axes[figure.axes.index(left) + 1]


def test_accuracy_is_drawn_at_the_achieved_reduction(done: pd.DataFrame) -> None:
    table = summarize(done)
    figure, _ = drawn(lambda: figures.accuracy_against_rate(done, table, 1.0))
    panel_cells = table[(table["data"] == "sst2") & (table["network"] == "lstm")]
    reference = panel_cells.loc[panel_cells["method"] == "none", "accuracy"].item()
    left, right = pair(figure, "sst2, lstm")
    assert left.get_ylim() == right.get_ylim()
    for ax, removed in ((left, "achieved"), (right, "folded_reduction")):
        lines = [c for c in ax.containers if isinstance(c, ErrorbarContainer)]
        assert len(lines) == len(METHODS)
        for method, container in zip(aggregation.methods(done), lines, strict=True):
            run = panel_cells[panel_cells["method"] == method]
            x, y = container.lines[0].get_data()
            assert np.asarray(x) == pytest.approx(100 * run[removed].to_numpy())
            assert np.asarray(y) == pytest.approx(run["accuracy"].to_numpy())
        levels = {line.get_ydata()[0] for line in ax.lines}
        assert {reference, reference - 1.0} <= levels


def test_sizes_that_were_not_recorded_are_not_drawn(done: pd.DataFrame) -> None:
    lost = done["network"] == "lstm"
    done.loc[lost, ["folded_bytes", "folded_reduction"]] = np.nan
    table = summarize(done)
    figure, _ = drawn(lambda: figures.accuracy_against_rate(done, table, 1.0))
    left, right = pair(figure, "sst2, lstm")
    assert len(left.containers[0].lines[0].get_xdata()) == 4
    assert all(len(c.lines[0].get_xdata()) == 0 for c in right.containers)
    done.loc[done["method"] != "none", ["folded_bytes", "folded_reduction"]] = np.nan
    table = summarize(done)
    figure, _ = drawn(lambda: figures.accuracy_against_rate(done, table, 1.0))
    assert len([ax for ax in figure.axes if ax.get_visible()]) == 3  # only those of the table


def test_panels_are_named_and_share_one_legend(done: pd.DataFrame) -> None:
    figure, _ = drawn(lambda: figures.accuracy_against_rate(done, summarize(done), 1.0))
    _, right = pair(figure, "books (synthetic), dan")
    assert right.get_title(loc="right") == "cooccurrence.300d"
    labels = [ax.get_xlabel() for ax in figure.axes if ax.get_visible() and ax.get_xlabel()]
    under = ["bytes removed of the table, %", "of the network as deployed, %"]
    assert labels == 2 * under  # only the lowest axes of each column have a label
    assert len(figure.legends) == 1
    assert all(ax.get_legend() is None for ax in figure.axes)
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels[: len(METHODS)] == METHODS
    assert len(labels) == len(set(labels)) == len(METHODS) + 3


def titles(figure: Figure) -> list[str]:
    shown = (ax.get_title(loc="left") for ax in figure.axes if ax.get_visible())
    return [title for title in shown if title]


def test_only_panels_with_runs_are_drawn_and_networks_are_side_by_side(
    done: pd.DataFrame, grid: Grid, write: Callable[..., Path]
) -> None:
    def figure_of(done: pd.DataFrame) -> Figure:
        return drawn(lambda: figures.accuracy_against_rate(done, summarize(done), 1.0))[0]

    assert titles(figure_of(done)) == ["sst2, dan", "sst2, lstm", "books (synthetic), dan"]
    both = stored_runs.read(write(grid(["sst2", "trec"], ["dan", "lstm"]))).done
    assert titles(figure_of(both)) == ["sst2, dan", "sst2, lstm", "trec, dan", "trec, lstm"]
    three = stored_runs.read(write(grid(["sst2", "trec", "snips"], ["dan"]))).done
    assert [ax.get_visible() for ax in figure_of(three).axes] == 6 * [True] + 2 * [False]


def test_each_device_has_a_latency_panel(done: pd.DataFrame) -> None:
    done.loc[done["seed"] == 2, "device"] = "cuda NVIDIA H100"
    measured = aggregation.measure(done)
    figure, _ = drawn(
        lambda: figures.accuracy_against_latency(done, summarize(done), measured, 1.0)
    )
    shown = titles(figure)
    assert len(shown) == len(set(shown)) == 6
    assert "sst2, dan, cuda NVIDIA H100" in shown


def test_methods_differ_without_colour_and_known_ones_never_change() -> None:
    many = [*aggregation.KNOWN_METHODS, *(f"method_{i}" for i in range(8))]
    styles = style.method_styles(many)
    assert len({(s.marker, s.filled) for s in styles.values()}) == len(many)
    neighbours = [styles[m] for m in many[:5]]
    assert len({str(s.dashes) for s in neighbours}) == 5
    assert len({s.colour for s in neighbours}) == 5
    alone = style.method_styles(["quantization", "mine"])
    assert alone["quantization"] == styles["quantization"]
    assert alone["mine"] not in [styles[m] for m in aggregation.KNOWN_METHODS]


def test_a_users_methods_have_their_own_colours() -> None:
    variants = [f"in_training_svd, compress_at={share}" for share in (0.25, 0.5, 0.75)]
    styles = style.method_styles([*variants, "quantization", "mine"])
    assert len({s.colour for s in styles.values()}) == 5
    # If the method itself is not shown, the first variant has its style.
    method = style.method_styles(["in_training_svd"])["in_training_svd"]
    assert styles[variants[0]] == method
    both = style.method_styles(["in_training_svd", variants[0]])
    assert both["in_training_svd"] == method != both[variants[0]]


def test_a_line_that_leaves_its_panel_has_a_note_and_does_not_flatten_the_panel(
    done: pd.DataFrame,
) -> None:
    worst = (done["method"] == "quantization") & (done["rate"] == 0.95)
    done.loc[worst, "test_accuracy"] = 2.0
    table = summarize(done)
    shown = table[(table["data"] == "sst2") & (table["network"] == "dan")]
    collapsed = shown[(shown["method"] == "quantization") & (shown["rate"] == 0.95)].iloc[0]
    arrows = {}
    for name in ("rate", "bytes"):
        make = getattr(figures, f"accuracy_against_{name}")
        figure, _ = drawn(lambda make=make: make(done, table, 1.0))
        ax = panel(figure, "sst2, dan")
        low, high = ax.get_ylim()
        assert high - low < 1.5 * figures.DEEPEST  # the collapse alone is 80 points deep
        lines = [line.get_xydata() for line in ax.lines if line.get_marker() == 7]
        ((arrows[name], y),) = [point for line in lines for point in line]
        assert y == low
    # The line leaves the panel between its last two points. The point is below the panel at its
    # own bytes.
    before = shown.loc[shown["method"] == "quantization", "achieved"].nlargest(2).min()
    assert 100 * before < arrows["rate"] < 100 * collapsed["achieved"]
    assert arrows["bytes"] == pytest.approx(collapsed["folded_bytes"])
    figure, _ = drawn(lambda: figures.accuracy_against_rate(done, table, 1.0))
    notes = [[text.get_text() for text in ax.texts] for ax in pair(figure, "sst2, dan")]
    assert notes == [["↓ quantization: 2 %"], ["↓ 2 %"]]


def test_a_mean_below_the_panel_has_no_bar_and_does_not_stretch_the_panel(
    done: pd.DataFrame,
) -> None:
    worst = (done["method"] == "quantization") & (done["rate"] == 0.95)
    done.loc[worst, "test_accuracy"] = 50.0 + 20 * done["seed"]  # an interval of 20 to 119
    table = summarize(done)
    figure, _ = drawn(lambda: figures.accuracy_against_rate(done, table, 1.0))
    ax = panel(figure, "sst2, dan")
    low, high = ax.get_ylim()
    assert high < 90
    bars = [bar for c in ax.containers for bar in c.lines[2][0].get_segments()]
    assert len(bars) > 10
    for bar in bars:
        assert not len(bar) or np.isnan(bar).any() or bar[:, 1].mean() > low


def test_few_seeds_are_points_without_intervals(done: pd.DataFrame) -> None:
    few = done[done["seed"] < 2]
    figure, _ = drawn(lambda: figures.accuracy_against_rate(few, summarize(few), 1.0))
    ax = panel(figure, "sst2, dan")
    bars = [c for c in ax.containers if isinstance(c, ErrorbarContainer)]
    assert len(bars) == len(METHODS)
    assert not any(
        np.isfinite(s).all() for b in bars for s in b.lines[2][0].get_segments() if len(s)
    )
    values = few[(few["data"] == "sst2") & (few["network"] == "dan")]
    values = values[values["method"] == "quantization"]["test_accuracy"]
    drawn_points = [line.get_ydata() for line in ax.lines if line.get_markersize() == 2.5]
    assert any(sorted(points) == sorted(values) for points in drawn_points)
    assert max(map(max, drawn_points)) < ax.get_ylim()[1]
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "one seed" in labels
    assert "its 95 % interval" not in labels


@pytest.mark.parametrize("without", ["", "none"])
def test_equal_accuracies_lie_in_the_middle(done: pd.DataFrame, without: str) -> None:
    equal = done[done["method"] != without].assign(test_accuracy=85.0)
    drawn = figures.accuracy_against_rate(equal, summarize(equal), 1.0)
    low, high = drawn.axes[0].get_ylim()
    assert high - low > 1
    assert (low + high) / 2 == pytest.approx(85.0)


def test_nothing_reaches_above_100_percent(done: pd.DataFrame) -> None:
    near = done["network"] == "dan"
    done.loc[near, "test_accuracy"] = 99.0 + 0.5 * done["seed"]
    table = summarize(done)
    assert table["accuracy_high"].max() == 100
    figure, _ = drawn(lambda: figures.accuracy_against_rate(done, table, 1.0))
    ax = panel(figure, "sst2, dan")
    assert ax.get_ylim()[1] < 100.1
    for bar in ax.containers:
        assert np.nanmax(np.concatenate(bar.lines[2][0].get_segments())[:, 1]) <= 100


def test_energy_is_the_share_that_the_truncated_svd_keeps() -> None:
    table = np.random.default_rng(0).standard_normal((50, 8))
    u, s, vt = np.linalg.svd(table, full_matrices=False)
    for rank in (1, 3, 8):
        error = np.linalg.norm(table - u[:, :rank] * s[:rank] @ vt[:rank]) / np.linalg.norm(table)
        assert 1 - spectra.energy(s, rank) == pytest.approx(error**2, abs=1e-12)


def test_spectra_belong_to_the_panel_of_their_run_and_are_averaged_over_seeds(
    grid: Grid, write: Write, tmp_path: Path
) -> None:
    stored = grid(methods=["in_training_svd"], rates=[0.5])
    other = [
        row | {"run_id": f"{row['run_id']}-", "vocab_policy": "train+vectors"} for row in stored
    ]
    done = stored_runs.read(write([*stored, *other])).done
    path = tmp_path / "spectra.csv"
    run = "sst2-dan-none-0-calr-"
    lines = [f"{run}0,after,0,8", f"{run}1,after,0,4", f"{run}0-,after,0,2", "gone,after,0,1"]
    path.write_text("\n".join(["run_id,stage,index,singular_value", *lines]))
    values = spectra.read(path, done).set_index("data")
    assert values["singular_value"].to_dict() == {
        "sst2, vocab=train": 6,
        "sst2, vocab=train+vectors": 2,
    }
    assert spectra.averaged(values) == "averaged over 1 to 2 seeds"
    # An id of digits only is text too.
    path.write_text("run_id,stage,index,singular_value\n002345678901,after,0,3\n")
    digits = done.assign(run_id=["002345678901", *done["run_id"].iloc[1:]])
    assert spectra.read(path, digits)["singular_value"].tolist() == [3]
    assert spectra.averaged(values[values["seeds"] == 1]) == "of one seed"


def test_spectra_use_the_ranks_of_the_runs(done: pd.DataFrame) -> None:
    table = summarize(done)
    kept = spectra.kept(spectra_rows(), done, table)
    assert set(kept["method"]) == {"in_training_svd"}
    row = kept[(kept["rate"] == 0.9) & (kept["data"] == "sst2") & (kept["stage"] == "before")]
    ranks = table[(table["method"] == "in_training_svd") & (table["rate"] == 0.9)]
    assert row["rank"].iloc[0] == ranks[ranks["data"] == "sst2"]["rank"].iloc[0]
    squares = np.linspace(30, 3, 300) ** 2
    expected = squares[: int(row["rank"].iloc[0])].sum() / squares.sum()
    assert row["energy"].iloc[0] == pytest.approx(expected)
    # A table that was trained with another schedule is another table.
    assert spectra.kept(spectra_rows().assign(schedule="clr"), done, table).empty
