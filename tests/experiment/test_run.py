import csv
import json

import pytest
import tiny_data
from filelock import FileLock

from ccompress import storage
from ccompress.experiment import results


@pytest.fixture
def tiny(tmp_path):
    return tiny_data.write(tmp_path / "data")


def only_run(folder):
    (row,) = results.collect(folder / "results" / "runs")
    return row, folder / "results" / "runs" / row["run_id"]


@pytest.mark.parametrize(
    ("method", "size"),
    [
        ("none", {"rank": None, "bits": None}),
        ("in_training_svd", {"rank": 3}),  # floor(0.26 * 62 * 16 / (62 + 16))
        ("pre_training_svd", {"rank": 4}),
        ("quantization", {"bits": 8}),
    ],
)
def test_a_run_leaves_a_complete_folder(ccompress, tiny, tmp_path, method, size):
    done = ccompress(*tiny, f"method={method}", "rate=0.74", "network=lstm")
    assert done.returncode == 0, done.stderr
    row, folder = only_run(tmp_path)
    assert {path.name for path in folder.iterdir()} == {
        "config.yaml",
        "log",
        "metrics.csv",
        "model.safetensors",
        "predictions.csv",
        "result.json",
        *(["spectra.csv"] if method == "none" else []),
    }
    assert list(json.loads((folder / "result.json").read_text())) == list(results.COLUMNS)
    assert row["status"] == "done"
    assert row["error"] is None
    assert row["vectors"] == "vectors"
    assert row["dim"] == 16
    assert row["vocab_with_vector"] < row["vocab_size"] == 62
    assert {key: row[key] for key in size} == size
    if method != "none":
        assert row["achieved_reduction"] >= 0.74 - 0.002

    with (folder / "predictions.csv").open() as file:
        predictions = list(csv.DictReader(file))
    right = sum(line["label"] == line["prediction"] for line in predictions)
    assert len(predictions) == row["test_size"] == 40
    assert row["test_accuracy"] == pytest.approx(100 * right / 40)

    with (folder / "metrics.csv").open() as file:
        metrics = list(csv.DictReader(file))
    assert [int(line["epoch"]) for line in metrics] == [1, 2, 3, 4]
    before = {"none": 4, "quantization": 4, "in_training_svd": 2, "pre_training_svd": 0}[method]
    stages = ["reference"] * before + ["compressed"] * (4 - before)
    assert [line["stage"] for line in metrics] == stages

    tensors, _ = storage.load_numpy(folder / "model.safetensors")
    tensors = {name: t for name, t in tensors.items() if name[0] != "."}  # the network's
    assert sum(t.nbytes for t in tensors.values()) == row["folded_bytes"]
    embedding = sum(t.nbytes for name, t in tensors.items() if name.startswith("embedding."))
    if method == "in_training_svd":  # B is multiplied into the first layer, of 4 x 8 rows
        rank, dim = row["rank"], row["dim"]
        assert embedding == row["embedding_bytes"] - 4 * rank * dim
        assert row["folded_bytes"] == row["model_bytes"] - 4 * (rank * dim + 32 * (dim - rank))
    else:
        assert embedding == row["embedding_bytes"]
        assert row["folded_bytes"] == row["model_bytes"]
    assert row["file_bytes"] == (folder / "model.safetensors").stat().st_size
    assert row["file_table_bytes"] == embedding
    assert row["file_rest_bytes"] == row["folded_bytes"] - embedding
    parts = ("table", "rest", "vocabulary", "metadata")
    assert sum(row[f"file_{part}_bytes"] for part in parts) == row["file_bytes"]
    assert row["model_saved"] == 1


@pytest.mark.parametrize("network", ["dan", "lstm"])
@pytest.mark.parametrize(
    ("method", "bytes_of_rows"),
    [  # the bytes of A, with 62 rows and k columns
        ("in_training_svd", lambda k: 4 * 62 * k),
        ("in_training_svd_weighted", lambda k: 4 * 62 * k),
        ("in_training_svd_int8", lambda k: 62 * k + 8),  # one byte per number, and the range
        ("pre_training_svd", lambda k: 4 * 62 * k),
    ],
)
def test_the_recorded_bytes_of_factors_are_those_of_the_deployed_network(
    ccompress, tiny, tmp_path, network, method, bytes_of_rows
):
    """Its first layer reads k columns, and B is gone."""
    ccompress(*tiny, f"network={network}", f"method={method}", "rate=0.74", "train.epochs=2")
    row, _ = only_run(tmp_path)
    k, hidden, classes = row["rank"], 8, 3
    layers = {
        "dan": (k * hidden + hidden) + (hidden * hidden + hidden),
        "lstm": 4 * hidden * k + 4 * hidden * hidden + 2 * 4 * hidden,
    }
    numbers = layers[network] + hidden * classes + classes
    assert row["folded_bytes"] == bytes_of_rows(k) + 4 * numbers


# The stage of the kept epoch. At rate 0.1, quantization keeps 28 bits, so that its accuracy is that
# of the unrounded table.
KEPT = {
    "none": "reference",
    "quantization": "reference",
    "in_training_svd": "compressed",
    "pre_training_svd": "compressed",
}


OWN_METHOD = """
from dataclasses import dataclass
from ccompress.methods.base import Size
from ccompress.methods.in_training_svd import InTrainingSVD

@dataclass(kw_only=True)
class Reticent(InTrainingSVD):
    def size(self, rows, dim, rate):
        super().size(rows, dim, rate)
        return Size()
"""


def test_flops_are_those_of_the_compressed_network_even_if_the_method_names_no_size(
    ccompress, tiny, tmp_path, monkeypatch
):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_methods.py").write_text(OWN_METHOD)
    (tmp_path / "conf" / "method").mkdir(parents=True)
    text = "_target_: own_methods.Reticent\ncompress_at: 0.5\n"
    (tmp_path / "conf" / "method" / "reticent.yaml").write_text(text)
    for method in ("reticent", "in_training_svd", "pre_training_svd", "none"):
        options = ["--config-dir", "conf", *tiny, f"method={method}", "rate=0.74"]
        done = ccompress(*options)
        assert done.returncode == 0, done.stderr
    rows = {row["method"]: row for row in results.collect(tmp_path / "results" / "runs")}
    assert rows["reticent"]["rank"] is None

    def flops(width):
        return 2 * (width * 8 + 8 * 8 + 8 * 3)

    assert rows["in_training_svd"]["flops_per_sentence"] == flops(3)
    assert rows["reticent"]["flops_per_sentence"] == flops(3)
    assert rows["pre_training_svd"]["flops_per_sentence"] == flops(4)
    assert rows["none"]["flops_per_sentence"] == flops(16)


@pytest.mark.parametrize("method", list(KEPT))
def test_the_epoch_kept_is_the_best_on_dev_of_those_after_the_compression(
    ccompress, tiny, tmp_path, method
):
    # A learning rate that climbs to 3 ruins what the first epochs learned.
    climbing = ["schedule=clr", "schedule.lower=0.01", "schedule.upper=3", "schedule.step_size=8"]
    options = [f"method={method}", "rate=0.1", "train.epochs=8", *climbing]
    if method == "in_training_svd":
        options.append("method.compress_at=0.1")
    assert ccompress(*tiny, *options).returncode == 0
    row, folder = only_run(tmp_path)
    with (folder / "metrics.csv").open() as file:
        epochs = list(csv.DictReader(file))
    dev = [float(line["dev_accuracy"]) for line in epochs if line["stage"] == KEPT[method]]
    assert dev[-1] < max(dev), "the test needs a last epoch that is not the best"
    assert row["dev_accuracy"] == max(dev)


def test_a_finished_run_is_not_run_again_unless_forced(ccompress, tiny, tmp_path):
    assert ccompress(*tiny).returncode == 0
    first, folder = only_run(tmp_path)
    written = (folder / "result.json").stat().st_mtime_ns
    again = ccompress(*tiny)
    assert again.returncode == 0
    assert "finished before" in again.stdout
    assert (folder / "result.json").stat().st_mtime_ns == written
    assert ccompress(*tiny, "force=true").returncode == 0
    forced, _ = only_run(tmp_path)
    assert (folder / "result.json").stat().st_mtime_ns > written
    ignored = {*results.MEASURED}
    assert {k: v for k, v in forced.items() if k not in ignored} == {
        k: v for k, v in first.items() if k not in ignored
    }


def test_a_process_waits_for_another_process_with_the_same_run(ccompress, started, tiny, tmp_path):
    assert ccompress(*tiny).returncode == 0
    row, folder = only_run(tmp_path)
    result = folder / "result.json"
    written = result.read_text()
    result.unlink()
    lock = f"{row['run_id']}.lock"
    with FileLock(folder.parent / ".locks" / lock):
        waiting = started(*tiny, "hydra.verbose=[filelock]")
        messages = iter(waiting.stderr.readline, "")
        assert any(f"{lock}, waiting" in line for line in messages)
        assert not result.exists()
        result.write_text(written)
    waiting.communicate()
    assert waiting.returncode == 0
    assert result.read_text() == written


def test_a_finished_run_without_a_model_is_run_again_for_the_model(ccompress, tiny, tmp_path):
    assert ccompress(*tiny, "save_model=false").returncode == 0
    without, folder = only_run(tmp_path)
    assert not (folder / "model.safetensors").exists()
    assert ccompress(*tiny).returncode == 0
    row, _ = only_run(tmp_path)
    assert (folder / "model.safetensors").stat().st_size == row["file_bytes"]
    assert (without["model_saved"], row["model_saved"]) == (0, 1)
    counted = [name for name in row if name.startswith("file_")]
    assert {name: without[name] for name in counted} == {name: row[name] for name in counted}


@pytest.mark.parametrize("file_bytes", [None, 1000])
def test_the_file_bytes_of_a_row_of_an_earlier_version_show_whether_it_stored_a_model(
    tmp_path, file_bytes
):
    row = {"run_id": "abc", "status": "done", "overrides": "", "protocol": 2}
    later = ("model_saved", "folded_bytes", *(c for c in results.COLUMNS if c.startswith("file_")))
    earlier = [column for column in results.COLUMNS if column not in later] + ["file_bytes"]
    values = {**dict.fromkeys(earlier), **row, "file_bytes": file_bytes}
    results.write_csv(tmp_path / "runs.csv", earlier, [[values[column] for column in earlier]])
    (tmp_path / "result.json").write_text(json.dumps(values))
    for read in (*results.read_runs(tmp_path / "runs.csv"), results.read_result(tmp_path)):
        assert read["model_saved"] == int(file_bytes is not None)


def test_a_reused_stage_gives_the_same_numbers_as_training_it_again(ccompress, tiny, tmp_path):
    rows = {}
    for where in ("alone", "shared"):
        options = [*tiny, f"runs_dir={where}", "rate=0.75"]
        if where == "shared":
            ccompress(*options, "method=in_training_svd", "rate=0.5")
            ccompress(*options, "method=none")
        for method in ("in_training_svd", "quantization"):
            assert ccompress(*options, f"method={method}").returncode == 0
        stored = results.collect(tmp_path / where)
        rows[where] = {row["method"]: row for row in stored if row["rate"] == 0.75}
        if where == "shared":
            assert {row["reused_stages"] for row in rows["shared"].values()} == {1}
    for method, alone in rows["alone"].items():
        shared = rows["shared"][method]
        for key in set(results.COLUMNS) - set(results.MEASURED):
            assert alone[key] == shared[key], (method, key)


def test_a_stage_trained_with_another_number_of_threads_is_not_reused(ccompress, tiny, tmp_path):
    for method, threads in (("none", 1), ("quantization", 2)):
        assert (
            ccompress(*tiny, f"method={method}", "rate=0.5", f"threads={threads}").returncode == 0
        )
    reused = {
        row["method"]: row["reused_stages"] for row in results.collect(tmp_path / "results/runs")
    }
    assert reused == {"none": 0, "quantization": 0}


def test_a_diverged_run_is_a_failed_run(ccompress, tiny, tmp_path):
    done = ccompress(*tiny, "schedule=fixed", "schedule.upper=1e30", "method=none")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    row, folder = only_run(tmp_path)
    assert row["status"] == "failed"
    assert "learning rate 1e+30" in row["error"]
    assert "step " in row["error"]
    assert not (folder / "model.safetensors").exists()


def test_an_impossible_rate_is_refused_before_any_training(ccompress, tiny, tmp_path):
    done = ccompress(*tiny, "rate=0.95")
    assert done.returncode == 2
    assert "the largest rate that works is 0.92137" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "results" / "runs" / ".stages").exists()


def test_a_run_that_is_killed_leaves_no_result(started, tiny, tmp_path):
    process = started(*tiny, "train.epochs=5000")
    assert "epoch 1/" in process.stdout.readline()
    process.kill()
    process.wait()
    assert results.collect(tmp_path / "results" / "runs") == []


def test_the_overrides_of_a_row_repeat_the_run(ccompress, tiny, tmp_path):
    assert ccompress(*tiny, "method=none", "rate=0.5", "save_model=false").returncode == 0
    row, _ = only_run(tmp_path)
    command = row["overrides"].split(" ")
    assert command[0] == "ccompress"
    assert not any(word.startswith(("rate=", "threads=", "save_model=")) for word in command)
    again = ccompress(*command[1:], "save_model=false", "threads=1")
    assert "finished before" in again.stdout
