"""`scripts/peers`: what dev chooses, and its page and figures, from made-up rows."""

import base64
import functools

import numpy as np
import pandas as pd
import peers
import peers_page
import peers_tools
import pytest
import torch
from matplotlib.lines import Line2D
from torch import nn

from ccompress.data.base import Examples, Splits
from ccompress.experiment import results
from ccompress.networks import DAN
from ccompress.report.statistics import Estimate
from ccompress.report.style import printing

TESTED = 400
SETTINGS = {"ccompress": ["c"]}  # what is to be tried


def row(tool, setting, seed, dev, test, size, data="trec"):
    return {
        "run_id": f"{data}-{tool}-{setting}-{seed}",
        "dataset": data,
        "tool": tool,
        "setting": setting,
        "seed": seed,
        "dev_accuracy": dev,
        "test_accuracy": test,
        "file_bytes": size,
        "per_second_1": 1000.0,
        "per_second_64": 9000.0,
        "train_seconds": 3.0,
        "test_size": TESTED,
        "command": "",
    }


def table(*rows):
    return pd.DataFrame(rows)


def store(folder, rows):
    """Write rows, and answers in which the first test items are the correct ones."""
    rows.to_csv(folder / peers_page.ROWS, index=False)
    lines = []
    for line in rows.itertuples():
        right = np.arange(TESTED) < round(TESTED * line.test_accuracy / 100)
        bits = base64.b64encode(np.packbits(right).tobytes()).decode("ascii")
        lines.append((line.run_id, bits))
    results.write_csv(folder / results.CORRECT, ("run_id", "correct"), lines)


def whole():
    """Two data sets: ccompress is 10 points ahead on trec, 5 behind on snips."""
    rows = [row("TF-IDF", "a", 0, 70.0, 75.0, 9_000), row("TF-IDF", "b", 0, 80.0, 80.0, 40_000)]
    for seed in peers_page.SEEDS:
        rows.append(row("ccompress", "c", seed, 85.0, 90.0 + 0.25 * (seed % 2), 48_000 + seed))
    rows.append(row("TF-IDF", "a", 0, 95.0, 95.0, 15_000, "snips"))
    for seed in peers_page.SEEDS:
        rows.append(row("ccompress", "c", seed, 90.0, 90.0, 45_000, "snips"))
    return table(*rows)


def test_dev_chooses_the_best_that_fits_and_the_smaller_of_two_equal_ones():
    rows = table(
        row("fastText", "small", 0, 80.0, 99.0, 19_000),
        row("fastText", "equal", 0, 80.0, 0.0, 19_500),
        row("fastText", "better", 0, 85.0, 0.0, 90_000),
        row("fastText", "worse", 0, 84.0, 99.0, 95_000),
    )
    chosen = peers_page.choices(rows).set_index("budget")["setting"]
    assert chosen[20_000] == chosen[50_000] == "small"
    assert chosen[100_000] == chosen[10_000_000] == "better"


def test_a_setting_fits_only_if_the_files_of_all_seeds_do():
    rows = table(
        row("fastText", "edge", 0, 90.0, 90.0, 49_900),
        row("fastText", "edge", 1, 90.0, 90.0, 50_100),
        row("fastText", "safe", 0, 80.0, 80.0, 30_000),
    )
    chosen = peers_page.choices(rows).set_index("budget")["setting"]
    assert (chosen[50_000], chosen[100_000]) == ("safe", "edge")
    assert peers_page.missing(rows, ["fastText"]) == [
        *(("fastText", "safe", seed) for seed in range(1, 5)),
        *(("fastText", "edge", seed) for seed in range(2, 5)),
    ]


def test_later_seeds_do_not_change_what_was_chosen_on_dev():
    rows = table(
        row("fastText", "first", 0, 80.0, 80.0, 19_000),
        row("fastText", "other", 0, 79.0, 80.0, 19_000),
        row("fastText", "other", 1, 99.0, 80.0, 19_000),
    )
    assert set(peers_page.choices(rows)["setting"]) == {"first"}


def test_what_has_no_seed_lacks_none():
    rows = table(row("TF-IDF", "a", 0, 70.0, 70.0, 9_000))
    assert peers_page.missing(rows, ["TF-IDF", "fastText"]) == []


def test_the_page_says_who_is_ahead_and_what_each_tool_tried(tmp_path):
    store(tmp_path, whole())
    peers_page.write(tmp_path, SETTINGS)
    page = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "- trec: under 50 kB ahead (+10.1 points against TF-IDF)" in page
    assert "- snips: under 50 kB behind (-5.0 points against TF-IDF)" in page
    trec = page[page.index("## trec") :]
    line = next(line for line in trec.splitlines() if line.startswith("| 50 kB"))
    assert "| 80.0 (40 kB) | ahead, 10.1 [" in line.replace("90.1 [89.9, 90.3] (48 kB) | ", "")
    assert "90.1 [89.9, 90.3] (48 kB)" in line
    assert next(x for x in trec.splitlines() if x.startswith("| 20 kB")).endswith("| — |")
    assert "1 setting of ccompress, 1 to 2 settings of TF-IDF" in page
    assert "ot complete" not in page
    assert (tmp_path / "figures" / "trec.png").read_bytes().startswith(b"\x89PNG")


def test_the_page_says_what_is_missing(tmp_path):
    store(tmp_path, whole().iloc[:-2])
    peers_page.write(tmp_path, {"ccompress": ["c", "d"], "torch": ["e"]})
    page = (tmp_path / "README.md").read_text(encoding="utf-8")
    tried = "ccompress has tried 1 of 2 settings, torch has tried 0 of 1 settings"
    assert f"**Not complete**: {tried}, 2 runs of the other seeds are missing." in page
    assert f"**Not complete**: {tried}.\n" in page
    assert "- snips (not complete): under" in page


def test_the_same_rows_give_the_same_page(tmp_path):
    pages = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        store(tmp_path / name, whole())
        peers_page.write(tmp_path / name, SETTINGS)
        files = sorted(path for path in (tmp_path / name).rglob("*") if path.is_file())
        pages.append([path.read_bytes() for path in files])
    assert pages[0] == pages[1]


def test_an_interval_that_holds_zero_is_level():
    ends = [(0.1, 2.0), (-2.0, -0.1), (-0.5, 1.5)]
    verdicts = [peers_page.verdict(Estimate(0.0, low, high, 5)) for low, high in ends]
    assert verdicts == ["ahead", "behind", "level"]


def test_the_figure_has_a_point_for_each_chosen_setting():
    taken = peers_page.at_choices(whole())
    with printing():
        drawn = peers_page.figure(taken[taken["dataset"] == "trec"], "trec")
    drawn_at = {tuple(line.get_xdata()) for line in drawn.axes[0].findobj(Line2D)}
    assert (9_000, 40_000) in drawn_at
    assert (48_002.0,) in drawn_at  # one setting, whatever its budgets are
    # From 10 kB, or less where a file is smaller.
    assert drawn.axes[0].get_xlim() == pytest.approx((7_200, 10_000_000))


def stored(tmp_path, answer, size):
    path = tmp_path / "model"
    path.write_bytes(b"x" * size)
    return peers_tools.Stored(path, lambda texts: [answer] * len(texts), 1.0)


def test_rows_are_of_the_file_and_are_not_computed_again(tmp_path, monkeypatch):
    """With tools that answer the same label whatever they read."""
    few = Examples([["a"], ["b"], ["c"], ["d"]], ["x", "x", "x", "y"])
    many = Examples([["a"]] * 5, ["x", "y", "y", "y", "y"])
    task = peers_tools.Task("trec", Splits(few, few, many), "basic_english", tmp_path)
    trained = []

    def train(task, setting, seed, folder):
        trained.append((setting, seed))
        return stored(folder, setting, {"x": 30_000, "y": 15_000}[setting])

    tool = peers_tools.Tool(train, ["x", "y"])
    monkeypatch.setattr(peers, "TOOLS", {"ccompress": tool})
    monkeypatch.setattr(
        peers, "tfidf_models", lambda task, folder: [("t", stored(folder, "y", 123))]
    )
    for _ in range(2):
        peers.Experiment(tmp_path / "out").run(task, ["TF-IDF", "ccompress"])
    assert sorted(trained) == [(setting, seed) for setting in "xy" for seed in range(5)]
    rows = peers_page.read(tmp_path / "out").set_index(["tool", "setting", "seed"])
    first = rows.loc[("ccompress", "x", 0)]
    assert (first["file_bytes"], first["dev_accuracy"], first["test_accuracy"]) == (30_000, 75, 20)
    assert rows.loc[("TF-IDF", "t", 0), "file_bytes"] == 123
    peers_page.write(tmp_path / "out", {"ccompress": ["x", "y"]})
    page = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "20 kB behind" not in page  # ccompress answers y there, as TF-IDF does
    assert "under 20 kB level (+0.0 points against TF-IDF)" in page


def test_sentences_a_second_are_counted_over_batches():
    sizes = []

    def predict(texts):
        sizes.append(len(texts))
        sum(range(20_000))  # takes time
        return ["x"] * len(texts)

    rate = functools.partial(peers.per_second, predict, [["a"]] * 100)
    assert rate(64) > rate(1)
    assert sizes[:2] == [64, 36]


def test_each_tool_tries_as_many_settings():
    counts = {len(set(tool.settings)) for tool in peers_tools.TOOLS.values()}
    assert len(counts) == 1


def network():
    torch.manual_seed(0)
    return DAN(nn.Embedding(40, 32), 32, 3, hidden=16, layers=1).eval()


@pytest.mark.parametrize("form", ["torch.ao-8", "torch.ao-4", "torchao-8", "torchao-4"])
def test_torch_reads_its_rounded_table(form):
    package, _, bits = form.partition("-")
    pytest.importorskip(package, reason="needs the extra [peers]")
    whole = network()
    small = peers_tools.QUANTIZE[package](whole, int(bits))
    words = torch.arange(40)
    read, wanted = small.embedding(words), whole.embedding(words)
    step = (wanted.max(1).values - wanted.min(1).values) / (2 ** int(bits) - 1)
    assert read.shape == wanted.shape
    assert ((read - wanted).abs().max(1).values <= 1.2 * step).all()
    assert (read - wanted).abs().max() > 0


def test_fasttext_predicts_from_its_stored_file(tmp_path):
    pytest.importorskip("fasttext", reason="needs the extra [peers]")
    # It quantizes nothing with fewer than 256 words.
    texts = [[["good", "bad"][i % 2], "film", f"w{i}"] for i in range(600)]
    examples = Examples(texts, ["very good", "very bad"] * 300)
    task = peers_tools.Task("mine", Splits(examples, examples, examples), "basic_english", tmp_path)
    setting = "dim=4 ngrams=1 vectors=False lr=0.5 epochs=5 cutoff=300 dsub=2"
    small = peers_tools.fasttext_model(task, setting, 0, tmp_path)
    assert small.path.suffix == ".ftz"
    assert small.predict([["good", "film"], ["bad", "film"]]) == ["very good", "very bad"]
