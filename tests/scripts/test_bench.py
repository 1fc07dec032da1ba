"""The claims of scripts/bench except for the times, which no test asserts."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

sys.path.append(str(Path(__file__).parents[2] / "scripts"))

from benchmarks import gpu, sweep
from benchmarks.__main__ import main
from benchmarks.cases import Case, contenders, with_rows
from benchmarks.measuring import OURS, PLAIN, Bench, alternate, compare
from benchmarks.plain import NETWORKS, Epoch, Sentences, collate
from benchmarks.steps import accuracies
from builders import NETWORKS as OUR_NETWORKS
from builders import encoded, network, random_split

from ccompress.experiment.results import collect
from ccompress.training.evaluation import predict

CPU = torch.device("cpu")
OPTIONS = {
    "dan": {"hidden": 16, "layers": 2, "word_dropout": 0.0, "dropout": 0.0},
    "lstm": {"hidden": 16, "dropout": 0.0},
}


def case(name, sentences=400, rows=60):
    torch.manual_seed(0)
    table = torch.randn(rows, 16)
    table[:, 0] = torch.linspace(-2, 2, rows)  # the labels depend on this column
    return Case(
        name="tiny",
        table=table,
        train_rows=rows,
        classes=2,
        train=random_split(sentences, rows, 1),
        whole_steps=2 * -(-sentences // 64),
        dev=random_split(200, rows, 2),
        network=name,
        options=OPTIONS[name],
        make=lambda *arguments: OUR_NETWORKS[name](*arguments, **OPTIONS[name]),
    )


@pytest.mark.parametrize("name", NETWORKS)
def test_the_plain_network_gives_the_same_scores_as_ours(name):
    torch.manual_seed(0)
    network_of_ours = network(name, torch.randn(30, 8), **OPTIONS[name]).eval()
    other = NETWORKS[name](torch.nn.Embedding(30, 8, 0), 8, 2, **OPTIONS[name]).eval()
    pairs = zip(other.parameters(), network_of_ours.parameters(), strict=True)
    with torch.no_grad():
        for theirs, ours in pairs:
            theirs.copy_(ours)
    split = encoded([[2, 3, 4], [5], [7, 7, 9, 2, 29]])
    tokens, lengths, _ = collate([Sentences(split)[i] for i in range(3)])
    torch.testing.assert_close(other(tokens, lengths), predict(network_of_ours, split))


@pytest.mark.parametrize("rank", [None, 12])
@pytest.mark.parametrize("name", NETWORKS)
def test_ours_and_the_plain_loop_learn_the_same_task(name, rank):
    loops = contenders(case(name), CPU, rank, lightning=False)
    results = alternate(loops, 20, warm_up=0)
    best = {contender: max(e.dev_accuracy for e in run) for contender, run in results.items()}
    assert min(best.values()) > 80  # guessing gives 50
    assert abs(best[OURS] - best[PLAIN]) < 8


def test_the_steps_of_an_epoch_are_extrapolated_but_not_its_evaluation():
    tiny = case("dan", sentences=130)
    assert (tiny.steps, tiny.whole_steps) == (3, 6)
    assert tiny.whole(Epoch(seconds=4.0, evaluation=1.0, dev_accuracy=0)) == 7.0
    assert "3 of 6 steps" in tiny.note


def test_a_table_with_fewer_rows_maps_the_other_words_to_unk():
    tiny = case("dan")
    small, large = with_rows(tiny, 20), with_rows(tiny, 500)
    assert small.table.shape == (20, 16)
    assert small.train_rows == 20
    kept = tiny.train.tokens < 20
    assert torch.equal(small.train.tokens[kept], tiny.train.tokens[kept])
    assert (small.train.tokens[~kept] == 1).all()
    assert torch.equal(large.table[:60], tiny.table)
    assert len(large.table) == 500
    assert large.train_rows == 60
    assert torch.equal(large.train.tokens, tiny.train.tokens)


def test_contenders_alternate_and_the_warm_up_does_not_count():
    calls = []

    def contender(name):
        def call():
            calls.append(name)
            return len(calls)

        return call

    results = alternate({"a": contender("a"), "b": contender("b")}, rounds=2, warm_up=1)
    assert calls == ["b", "a", "a", "b", "b", "a"]
    assert results == {"a": [3, 6], "b": [4, 5]}


@pytest.mark.parametrize(("ours", "met"), [(2.0, "yes"), (2.1, "no")])
def test_a_target_is_a_ratio_of_medians(ours, met):
    samples = {OURS: [ours, 0.1, 50.0], PLAIN: [10.0, 9.0, 99.0]}
    our_row, plain = compare("tiny", CPU, "epoch", samples, at_least=5)
    assert our_row.times == pytest.approx(10 / ours)
    assert (our_row.median, our_row.low, our_row.high, our_row.n) == (ours, 0.1, 50.0, 3)
    assert our_row.met == met
    assert (plain.times, plain.met) == (1.0, "")


@pytest.mark.parametrize(("accuracy", "met"), [(80.5, "yes"), (77.0, "yes"), (75.0, "no")])
def test_a_loss_of_accuracy_is_not_accepted_for_speed(accuracy, met):
    # Noise at 80 % of 1,000 sentences: 2 * 100 * sqrt(2 * 0.8 * 0.2 / 1000) = 3.6 points.
    results = {
        OURS: [Epoch(1, 0, 60), Epoch(1, 0, accuracy)],
        PLAIN: [Epoch(1, 0, 80), Epoch(1, 0, 70)],
    }
    ours, plain = accuracies("tiny", CPU, results, 1000)
    assert (ours.median, ours.met) == (accuracy, met)
    assert plain.median == 80


def test_a_column_is_extrapolated_from_runs_that_reused_the_shared_training():
    def result(method, seconds, reused):
        return {"method": method, "total_seconds": seconds, "reused_stages": reused}

    results = [
        result("none", 50, 1),
        result("in_training_svd", 99, 0),
        result("in_training_svd", 10, 1),
        result("in_training_svd", 20, 1),
        result("pre_training_svd", 30, 0),
        result("quantization", 4, 1),
    ]
    assert sweep.extrapolated(100.0, results, 7) == 100 + 7 * (15 + 30 + 4)
    assert sweep.extrapolated(100.0, results, 0) == 100


def test_the_script_writes_a_table_and_a_figure(tmp_path):
    root = Path(__file__).parents[2]
    parts = ["lstm", "decomposition", "vectors", "factors", "vocabulary"]
    command = [root / "scripts" / "bench", "--quick", "--threads=1", f"--out={tmp_path}", *parts]
    done = subprocess.run(
        command,
        env={**os.environ, "PYTHON": sys.executable, "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    for part in parts:
        with (tmp_path / f"{part}.csv").open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        assert rows
        assert {row["threads"] for row in rows} == {"1"}
        assert all(row["machine"] and row["versions"] for row in rows)
    sizes = {row["case"] for row in rows if row["contender"] == PLAIN}
    assert sizes == {"books, dan, 1,000 x 300", "books, dan, 10,000 x 300"}
    assert (tmp_path / "vocabulary.svg").stat().st_size > 1000
    assert (tmp_path / "vocabulary.png").stat().st_size > 1000


def test_an_unknown_part_is_refused(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["speed"])
    assert stopped.value.code == 2
    assert "speed is not a part; parts are steps, factors" in capsys.readouterr().err


def test_the_whole_experiment_is_extrapolated_from_runs_of_many_processes(tmp_path, monkeypatch):
    """It runs on the CPU, where the runs are the same and the times mean nothing."""
    monkeypatch.setattr(gpu, "PROCESSES", 2)
    monkeypatch.setattr(gpu, "MEASURED", gpu.CELLS[:1])
    monkeypatch.setattr(gpu, "SAMPLE", (0.9,))
    monkeypatch.setattr(gpu, "separate", lambda *_: 100.0)
    bench = Bench(quick=True, threads=1, runs=tmp_path, out=tmp_path)
    ours, plain, minutes = gpu.paper(bench, CPU)
    done = collect(tmp_path)
    assert sorted(row["method"] for row in done) == sorted(sweep.METHODS)
    # In a quick run, the embedded data set replaces each of the five. There are five seeds.
    assert plain.median == pytest.approx(100.0 * 5 * 5)
    assert ours.median > sum(row["total_seconds"] for row in done) / 2 * 5 * 5 * 31 / 4
    assert minutes.median == pytest.approx(ours.median / 60)


def test_the_kernels_and_the_work_of_a_gpu_in_a_step_are_measured(tmp_path, device):
    """On the CPU there are no kernels, and only the time is measured."""
    bench = Bench(quick=True, threads=1, runs=tmp_path, out=tmp_path)
    step, kernels, working = gpu.launches(bench, gpu.CELLS[0], device)
    assert step.median > 0
    assert (kernels.median > 0) == (device.type == "cuda")
    assert working.median <= step.median
