"""`ccompress report` as a user runs it: files, links, words and refusals."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ccompress import cli
from ccompress.commands import report as command
from ccompress.errors import InputError
from ccompress.experiment import results

Row = dict[str, Any]
Grid = Callable[..., list[Row]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def store(name: str, stored: list[Row]) -> None:
    path = Path("results") / name / "runs.csv"
    path.parent.mkdir(parents=True)
    results.write_runs(path, stored)


def test_the_report_of_an_experiment_is_written_into_its_folder(
    folder: Path, grid: Grid, capsys: pytest.CaptureFixture[str]
) -> None:
    stored = grid(["sst2", "books"], ["dan", "lstm"], rates=[0.5, 0.9])
    stored.remove(stored[-1])
    failed, lost = stored[-1], stored[-7]
    stored.remove(lost)
    failed |= {"status": "failed", "error": "Diverged: step 7", "test_accuracy": None}
    store("small", stored)
    assert command.main(["small"]) == 0
    out = folder / "results" / "small"
    page = (out / "tables.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)]+)\)", page)
    assert len(links) > 12
    assert all((out / link).is_file() for link in links)
    for name in ("accuracy_vs_rate", "accuracy_vs_bytes", "accuracy_vs_latency"):
        assert (out / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert "not glove.6B.300d" in page
    assert "`books` is synthetic" in page
    assert "309,000 (89.7 % fewer)" not in page  # the worked example of the source
    assert "Diverged: step 7" in page
    assert "paired t-test over seeds with Holm's correction" in page
    drops = pd.read_csv(out / "tables" / "drops.csv")
    assert len(drops) == 4 * 3 * 2
    output = capsys.readouterr().out
    assert re.search(r"books \(synthetic\) +lstm +quantization +90 % \(1, 2\)", output)
    achieved = "achieved: in_training_svd 90.2 %, pre_training_svd 90 %, quantization 90.6 %"
    assert f"At 90 % of the table ({achieved}; of the network as deployed: in_training" in output
    assert "81 finished runs: books (synthetic) and sst2; dan and lstm; calr; " in output


def test_the_same_rows_give_the_same_files(folder: Path, grid: Grid) -> None:
    store("twice", grid())
    contents = []
    for out in ("a", "b"):
        command.main(["twice", "--out", out])
        files = sorted(path for path in Path(out).rglob("*") if path.is_file())
        contents.append({path.relative_to(out): path.read_bytes() for path in files})
    assert contents[0] == contents[1]
    assert not (folder / "results" / "twice" / "tables.md").exists()


def test_a_comparison_of_methods_names_unequal_bytes(
    folder: Path, grid: Grid, capsys: pytest.CaptureFixture[str]
) -> None:
    store("unequal", grid(["sst2", "trec"], rates=[0.95]))
    command.main(["unequal"])
    output = capsys.readouterr().out
    unequal = "95.2 % of the table and 92.6 % of the network removed, against 96.9 % and 91.4 %"
    compared = f"in the mean of 2 cells, in_training_svd minus quantization ({unequal}) is"
    assert f"At 95 % of the table, {compared}" in output
    assert "in_training_svd minus pre_training_svd is" in output  # their bytes are nearly equal


def test_with_fewer_than_three_seeds_the_report_says_that_nothing_was_tested(
    folder: Path, grid: Grid, capsys: pytest.CaptureFixture[str]
) -> None:
    store("demo", grid(["books"], seeds=[0, 1]))
    assert command.main(["demo"]) == 0
    page = (folder / "results" / "demo" / "tables.md").read_text(encoding="utf-8")
    output = capsys.readouterr().out
    for text in (page, output):
        assert "14 finished runs: books (synthetic); dan; calr; " in text
        assert "; 50 and 90 % of the embedding table removed; 2 seeds." in text
        assert "Nothing was tested: with fewer than 3 seeds" in text
        assert "significant" not in text
        assert "comparison" not in text
    assert "[" not in output
    assert not (folder / "results" / "demo" / "tables" / "tests.csv").exists()


def test_panels_without_a_comparison_are_not_drawn_and_have_no_drops(
    folder: Path, grid: Grid
) -> None:
    stored = grid(["sst2", "trec"], methods=["in_training_svd"], rates=[0.5, 0.9], seeds=[0])
    lone = [row for row in grid(networks=["lstm"], seeds=[0]) if row["rate"] == 0.9][:1]
    without = [row for row in stored if (row["dataset"], row["method"]) == ("trec", "none")]
    store("mine", [*(row for row in stored if row not in without), *lone])
    command.main(["mine"])
    page = Path("results/mine/tables.md").read_text(encoding="utf-8")
    drawn = Path("results/mine/figures/accuracy_vs_rate.svg").read_text(encoding="utf-8")
    assert "<!-- sst2, dan -->" in drawn
    assert "<!-- trec, dan -->" in drawn
    assert "lstm" not in drawn
    assert "| sst2 | lstm | in_training_svd | — | — | " in page
    assert "Without drops: 2 of 3 panels (data set, network, schedule), since their ref" in page
    drops = pd.read_csv("results/mine/tables/drops.csv")
    assert set(zip(drops["data"], drops["network"], strict=True)) == {("sst2", "dan")}
    assert pd.read_csv("results/mine/tables/smallest.csv")["data"].tolist() == ["sst2"]


def test_single_points_make_no_figure(folder: Path, grid: Grid) -> None:
    lone = [
        row
        for row in grid(["sst2", "trec"], methods=["in_training_svd"], seeds=[0])
        if (row["dataset"], row["rate"]) in (("sst2", 0.5), ("trec", 0.9))
    ]
    store("few", lone)
    assert command.main(["few"]) == 0
    assert not Path("results/few/figures").exists()
    assert not Path("results/few/tables/drops.csv").exists()


def afternoon(grid: Grid) -> list[Row]:
    """Runs with three questions: methods and rates, the hidden size, and the epoch of the step."""
    stored = grid(rates=[0.5, 0.9], methods=["in_training_svd", "quantization"], seeds=[0])
    one = next(r for r in stored if (r["method"], r["rate"]) == ("in_training_svd", 0.9))
    for option in ("network.hidden=50", "network.hidden=1000", "method.compress_at=0.25"):
        changed = {"run_id": option, "overrides": f"{one['overrides']} {option}"}
        changed |= {"folded_bytes": 2e5 if option.endswith("50") else one["folded_bytes"]}
        stored.append(one | changed)
    refused = {"run_id": "typo", "status": "failed", "test_accuracy": None, "rate": 0.999}
    return [*stored, one | refused | {"error": "InputError: rate=0.999 leaves no rank"}]


def test_the_report_of_a_few_runs_is_short_and_has_a_section_for_each_question(
    folder: Path, grid: Grid, capsys: pytest.CaptureFixture[str]
) -> None:
    store("mine", afternoon(grid))
    command.main(["mine"])
    page = (folder / "results" / "mine" / "tables.md").read_text(encoding="utf-8")
    sections = re.findall(r"(?m)^## (.*)$", page)
    assert sections[:4] == [
        "Accuracy against rate",
        "The smallest model within 1 point of the reference",
        "What `network.hidden` changes",
        "What `method.compress_at` changes",
    ]
    assert len(page.splitlines()) < 125
    assert "Left out: 1 run refused as input" in page
    assert "leaves no rank" not in page
    assert "Missing" not in page
    output = capsys.readouterr().out
    # The table of the main question leaves out the options that all of its runs share.
    assert re.search(r"sst2 +dan +in_training_svd +[\d.]+ +[\d.]+ +[\d.]+", output)
    assert "All with `network.hidden=default`, `method.compress_at=default`." in page
    assert re.search(r"network.hidden +accuracy whole network\n +50 +[\d.]+ n=1 +200 kB", output)
    assert re.search(r"\n +1000 +[\d.]+ n=1 .*\n +default +[\d.]+ n=1", output)
    assert "—" not in output


def test_filters_choose_the_runs_of_a_report(
    folder: Path, grid: Grid, capsys: pytest.CaptureFixture[str]
) -> None:
    store("both", grid(["sst2", "trec"]))
    assert cli.command(["report", "both", "dataset=trec", "rate=0.9", "--out", "out"]) == 0
    page = Path("out/tables.md").read_text(encoding="utf-8")
    assert page.startswith("# Report: both dataset=trec rate=0.9\n")
    assert "sst2" not in page
    accuracy = pd.read_csv("out/tables/accuracy.csv")
    assert sorted(accuracy["rate"].unique()) == [0, 0.9]
    assert cli.command(["report", "both", "dataset=imdb"]) == 2
    assert "no run has dataset=imdb: dataset is sst2, trec" in capsys.readouterr().err


def test_a_folder_of_runs_gets_its_own_report(folder: Path, grid: Grid) -> None:
    for row in grid(seeds=[0]):
        results.write_result(folder / "mine" / row["run_id"], row)
    command.main(["mine", "--within", "9"])
    smallest = pd.read_csv(folder / "mine" / "report" / "tables" / "smallest.csv").iloc[0]
    assert smallest["rate"] == 0.9
    assert smallest["drop"] <= 9
    assert smallest["overrides"].startswith("ccompress dataset=sst2 network=dan method=")
    # A second report reads the runs again, and not the folder of the first report.
    command.main(["mine"])


def test_tables_that_a_report_no_longer_has_are_deleted(folder: Path, grid: Grid) -> None:
    stored = grid()
    store("lacking", stored[:-1])
    tables = folder / "results" / "lacking" / "tables"
    tables.mkdir()
    (tables / "own.csv").write_text("a file that the report did not write")
    command.main(["lacking"])
    assert (tables / "missing.csv").is_file()
    results.write_runs(folder / "results" / "lacking" / "runs.csv", stored)
    command.main(["lacking"])
    assert not (tables / "missing.csv").exists()
    assert (tables / "drops.csv").is_file()
    assert (tables / "own.csv").is_file()


def test_the_command_of_the_smallest_model_stores_the_model(folder: Path, grid: Grid) -> None:
    stored = grid(rates=[0.9])
    for row in stored:
        row["file_bytes"] = None  # the experiments have save_model=false
    store("unsaved", stored)
    command.main(["unsaved"])
    smallest = pd.read_csv("results/unsaved/tables/smallest.csv").iloc[0]
    assert smallest["overrides"].endswith(" save_model=true force=true")
    store("saved", [row | {"file_bytes": 1000} for row in stored])
    command.main(["saved"])
    smallest = pd.read_csv("results/saved/tables/smallest.csv").iloc[0]
    assert "force" not in smallest["overrides"]


def test_the_size_that_is_shown_is_that_of_the_file_if_all_runs_have_one(
    folder: Path, grid: Grid
) -> None:
    """The smallest file is not the smallest network: words may take more bytes than numbers."""
    stored = grid(rates=[0.5], methods=["in_training_svd", "quantization"], seeds=[0])
    for row, file in zip(stored, (9000, 3000, 2000), strict=True):
        row |= {"test_accuracy": 80.0, "file_bytes": file, "file_table_bytes": 1}
    store("files", stored)
    assert stored[1]["folded_bytes"] < stored[2]["folded_bytes"]
    stored[1] |= {"file_bytes": 1000}
    store("other", stored)
    for name, method, size in (("files", "quantization", 2), ("other", "in_training_svd", 1)):
        command.main([name])
        page = Path(f"results/{name}/tables.md").read_text(encoding="utf-8")
        assert "| model file | of | removed (of the file) | command |" in page
        removed = f"{100 * (1 - size / 9):.1f}"
        assert f"| {method} | 50 % | 0.00 n=1 | {size} kB | 9 kB | {removed} % |" in page
    stored[0] |= {"file_table_bytes": None}  # of an earlier version, which did not fold it
    store("earlier", stored)
    command.main(["earlier"])
    assert "| whole network | of | removed (of the network) |" in Path(
        "results/earlier/tables.md"
    ).read_text(encoding="utf-8")


def test_schedules_are_columns_of_one_table(folder: Path, grid: Grid) -> None:
    method = ["in_training_svd"]
    stored = grid(["sst2", "trec", "snips"], rates=[0.9], methods=method, schedules=["clr", "calr"])
    for index, row in enumerate(stored):
        row["test_accuracy"] -= 0.1 * (index**2 % 7)
    # For snips there is nothing to compare.
    store("schedules", [r for r in stored if (r["dataset"], r["schedule"]) != ("snips", "clr")])
    command.main(["schedules"])
    page = Path("results/schedules/tables.md").read_text(encoding="utf-8")
    assert "## What `schedule` changes" in page
    assert "| data set | method | rate (of the table) | calr | clr |" in page
    assert re.search(r"\| trec \| in_training_svd \| 90 % \| [^|]* n=3 \| [^|]* n=3 \|", page)
    assert "snips | " in page
    assert "| calr minus clr | 2 cells |" in page
    assert Path("results/schedules/figures/schedules.svg").is_file()
    store("mine", stored)  # the picture shows schedules of the source, not of these runs
    command.main(["mine"])
    assert not Path("results/mine/figures/schedules.svg").exists()
    assert not Path("results/schedules/figures/accuracy_vs_rate.svg").exists()


def test_stored_spectra_are_drawn(folder: Path, grid: Grid) -> None:
    store("paper", grid())
    lines = ["run_id,stage,index,singular_value"]
    for stage in ("before", "after"):
        lines += [
            f"sst2-dan-none-0-calr-{seed},{stage},{i},{300 - i}"
            for seed in (0, 1)
            for i in range(300)
        ]
    Path("results/paper/spectra.csv").write_text("\n".join(lines), encoding="utf-8")
    command.main(["paper"])
    page = Path("results/paper/tables.md").read_text()
    assert "309,000 (89.7 % fewer)" in page
    assert "298,700 (90.04 % fewer)" in page
    assert (
        "before and after training, averaged over 2 seeds"
        in Path("results/paper/tables.md").read_text()
    )
    assert Path("results/paper/figures/spectra.svg").is_file()
    assert Path("results/paper/figures/reconstruction.svg").is_file()
    lines[1] = lines[1].replace("before", "during")
    Path("results/paper/spectra.csv").write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(InputError, match="stage 'during' is neither"):
        command.main(["paper"])


@pytest.mark.parametrize("methods", [[], ["own_method"]])
def test_fewer_than_two_methods_have_a_report_too(
    folder: Path, grid: Grid, methods: list[str]
) -> None:
    store("few", grid(methods=methods, rates=[0.9], seeds=[0]))
    assert command.main(["few"]) == 0


def test_bad_input_is_refused(folder: Path, grid: Grid) -> None:
    with pytest.raises(InputError, match="no experiment has runs here"):
        command.main(["paper"])
    store("demo", grid())
    with pytest.raises(InputError, match="experiments here: demo"):
        command.main(["papre"])
    with pytest.raises(InputError, match=r"--within -1\.0"):
        command.main(["demo", "--within", "-1"])
    with pytest.raises(InputError, match="holds no runs"):
        command.main(["."])


def test_torch_is_not_imported(folder: Path, grid: Grid) -> None:
    store("light", grid(seeds=[0], schedules=["clr", "calr"]))
    code = (
        "import sys; from ccompress.commands.report import main; main(['light']); "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=folder, capture_output=True)
