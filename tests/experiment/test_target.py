"""`target_bytes`: the choice of a model, the size of its file, and an interrupted search."""

import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
import tiny_data

from ccompress.deployment import model
from ccompress.errors import Diverged
from ccompress.experiment import halving, results, target
from ccompress.experiment.candidates import Candidate
from ccompress.training.trainer import Trainer

TARGET = 2640
FEW_ROUNDS = [(4, 1), (2, 1)]


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Four candidates and two seeds."""
    monkeypatch.setattr(target, "NETWORKS", ({"network.layers": 1, "network.hidden": 5}, {}))
    monkeypatch.setattr(target, "MIN_COUNTS", ({},))
    monkeypatch.setattr(target, "SEEDS", 2)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return tiny_data.write(tmp_path_factory.mktemp("data"))


def kept(folder: Path) -> pd.DataFrame:
    rows = pd.read_csv(folder / "results" / "target_bytes" / "custom" / results.RUNS)
    rows["candidate"] = rows["overrides"].str.replace(r" seed=.*", "", regex=True)
    return rows


def chosen_of(output: str) -> str:
    """The id of the chosen run."""
    return re.search(r"^  run +results/runs/(\w+)$", output, re.MULTILINE)[1]


def comparable(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.drop(columns=list(results.MEASURED)).sort_values("run_id", ignore_index=True)


def test_halving_on_dev_chooses_among_files_of_at_most_the_target(ccompress, tiny, tmp_path):
    done = ccompress(*tiny, f"target_bytes={TARGET}")
    assert done.returncode == 0, done.stderr
    assert f"4 of 4 candidates can have a file of at most {TARGET:,} bytes" in done.stdout
    assert "[6/6] in_training_svd_mixed" in done.stdout
    rows = kept(tmp_path)
    assert len(rows) == sum(count * further for count, further in FEW_ROUNDS)
    assert {*rows["method"]} == {"in_training_svd_mixed"}
    assert rows["candidate"].str.contains("rest=int8").all()
    assert rows["candidate"].nunique() == 4
    assert not rows["candidate"].str.contains("network.hidden=5").any(), "the user chose 8"

    # The rule makes the same choice from these rows.
    by_candidate = rows.sort_values("seed").groupby("candidate", sort=False)["dev_accuracy"]
    scores = {name: list(accuracies) for name, accuracies in by_candidate}
    in_order = sorted(scores, key=lambda name: ("layers" not in name, "ngrams" in name))
    expected = halving.chosen({name: scores[name] for name in in_order})
    run_id = chosen_of(done.stdout)
    [row] = rows[rows["run_id"] == run_id].to_dict("records")
    assert (row["candidate"], row["seed"]) == (expected, 0)

    # No file exceeds the target, and twice the table gives a larger file.
    assert rows["file_bytes"].max() <= TARGET
    for one in rows.to_dict("records"):
        file = tmp_path / "results" / "runs" / one["run_id"] / model.FILE
        assert file.stat().st_size == one["file_bytes"]
    tight = rows[rows["rate"] > 0].iloc[0]
    twice = target.RATES[target.RATES.index(tight["rate"]) - 24]
    assert 1 - twice == pytest.approx(2 * (1 - tight["rate"]), rel=0.01)
    words = tight["overrides"].replace(f"rate={tight['rate']}", f"rate={twice}").split()[1:]
    assert ccompress(*words, *(option for option in tiny if "=skip" in option)).returncode == 0
    larger = [one["file_bytes"] for one in results.collect(tmp_path / "results" / "runs")]
    assert max(larger) > TARGET


def test_a_finished_search_trains_nothing_and_makes_the_same_choice(
    ccompress, tiny, tmp_path, monkeypatch
):
    options = [*tiny, f"target_bytes={TARGET}", "network.ngrams=1"]
    first = ccompress(*options)
    assert first.returncode == 0, first.stderr
    rows = kept(tmp_path)
    assert not rows["candidate"].str.contains("ngrams=2").any()
    shutil.rmtree(tmp_path / "results" / "runs" / ".stages")
    monkeypatch.setattr(Trainer, "train", lambda *_: pytest.fail("it trains"))
    again = ccompress(*options)
    assert again.returncode == 0, again.stderr
    assert chosen_of(again.stdout) == chosen_of(first.stdout)
    pd.testing.assert_frame_equal(kept(tmp_path), rows)


def test_an_interrupted_search_has_the_same_result(ccompress, tiny, tmp_path, monkeypatch):
    options = [*tiny, f"target_bytes={TARGET}", "network.ngrams=1"]
    attempt, attempted = Candidate.attempt, []

    def interrupted(candidate, *arguments):
        attempted.append(candidate.settings.run_id)
        if len(attempted) == 3:
            raise KeyboardInterrupt
        return attempt(candidate, *arguments)

    monkeypatch.setattr(Candidate, "attempt", interrupted)
    stopped = ccompress(*options)
    assert stopped.returncode == 130
    assert "the same command continues" in stopped.stderr
    assert {*kept(tmp_path)["run_id"]} == {*attempted[:2]}
    monkeypatch.undo()
    monkeypatch.setattr(target, "NETWORKS", ({"network.layers": 1}, {}))
    monkeypatch.setattr(target, "MIN_COUNTS", ({},))
    monkeypatch.setattr(target, "SEEDS", 2)
    resumed = ccompress(*options)
    assert resumed.returncode == 0, resumed.stderr
    rows, run_id = comparable(kept(tmp_path)), chosen_of(resumed.stdout)
    shutil.rmtree(tmp_path / "results")
    uninterrupted = ccompress(*options)
    assert chosen_of(uninterrupted.stdout) == run_id
    pd.testing.assert_frame_equal(comparable(kept(tmp_path)), rows)


def test_the_error_of_a_target_below_the_smallest_file_names_one_that_works(
    ccompress, tiny, tmp_path
):
    options = [*tiny, "network.layers=1", "network.ngrams=1"]
    refused = ccompress(*options, "target_bytes=500")
    assert refused.returncode == 2
    [line] = refused.stderr.splitlines()
    least = int(re.search(r"no model file is so small: give target_bytes=(\d+) or more$", line)[1])
    assert not (tmp_path / "results" / "target_bytes").exists(), "nothing was trained"
    done = ccompress(*options, f"target_bytes={least}")
    assert done.returncode == 0, done.stderr
    assert kept(tmp_path)["file_bytes"].max() <= least
    assert len(kept(tmp_path)) == 1, "one candidate needs no choice"


def test_a_candidate_that_fails_is_not_chosen(ccompress, tiny, tmp_path, monkeypatch):
    train = Trainer.train

    def fail(trainer, *arguments):
        if len(trainer.network.hidden) == 2:
            raise Diverged("the loss was nan")
        train(trainer, *arguments)

    monkeypatch.setattr(Trainer, "train", fail)
    options = [*tiny, f"target_bytes={TARGET}", "network.ngrams=1"]
    done = ccompress(*options)
    assert done.returncode == 0, done.stderr
    assert "failed: the loss was nan" in done.stdout
    assert kept(tmp_path)["candidate"].str.contains("layers=1").all()
    monkeypatch.setattr(Trainer, "train", lambda *_: fail_always())
    none = ccompress(*options, "network.layers=2")
    assert none.returncode == 1
    assert none.stderr == "ccompress: the loss was nan\n"


def fail_always():
    raise Diverged("the loss was nan")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["target_bytes=5000", "rate=0.9"], "chooses the rate: leave out rate=…"),
        (["target_bytes=5000", "method=none"], "method=none takes no rate"),
        (["target_bytes=0"], "give a number of bytes, such as 100000"),
        (["target_bytes=5kB"], "target_bytes=5kB: give a number of bytes"),
        (["target_bytes=5000", "-m"], "leave out -m"),
        (["target_bytes=5000", "-m", "seed=0,1"], "leave out -m"),
        (["target_bytes=5000", "network.hiden=5"], "network.hiden is not known"),
    ],
)
def test_wrong_options_give_an_error_of_one_line(ccompress, tiny, tmp_path, options, reason):
    done = ccompress(*tiny, *options)
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert reason in line
    assert not (tmp_path / "results").exists()


def test_a_method_that_compresses_before_it_trains(ccompress, tiny, tmp_path):
    options = ["network.layers=1", "network.ngrams=1", "method=pre_training_svd", "rest=int4"]
    done = ccompress(*tiny, *options, f"target_bytes={TARGET}")
    assert done.returncode == 0, done.stderr
    [row] = kept(tmp_path).to_dict("records")
    assert row["file_bytes"] <= TARGET < row["file_bytes"] + 4 * 62 + 200, (
        "a column more is too much"
    )
    assert "rest=int4" in row["overrides"]
