"""Runs and sweeps on the CPU and on a GPU, and their behaviour if a device fails."""

from pathlib import Path

import composing
import lost_gpu
import pytest
import tiny_data
import torch
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from lost_gpu import HIDDEN

from ccompress import machine
from ccompress.errors import DeviceLost
from ccompress.experiment import launching, results
from ccompress.experiment.run import run
from ccompress.networks.dan import DAN

METHODS = sorted(path.stem for path in (composing.CONF / "method").glob("*.yaml"))
RATES = {"product_quantization": 0.1}  # its centroids take most of the bytes of a small table


@pytest.fixture
def tiny(tmp_path):
    return tiny_data.write(tmp_path / "data")


@pytest.mark.parametrize("network", ["dan", "lstm"])
@pytest.mark.parametrize("method", METHODS)
def test_every_method_runs_and_repeats_its_numbers_on_a_gpu(tmp_path, method, network, device):
    options = tiny_data.write(tmp_path / "data", words=600)  # more rows than centroids
    options += [f"network={network}", f"method={method}", f"rate={RATES.get(method, 0.6)}"]
    options += [f"device={device}", "train.epochs=2"]

    def run_in(runs_dir):
        settings = composing.settings(*options, f"runs_dir={runs_dir}")
        row = run(settings, "", on_epoch=lambda row: None)
        predictions = (settings.folder / "predictions.csv").read_text()
        return {key: row[key] for key in row if key not in results.MEASURED}, predictions

    row, predictions = run_in(tmp_path / "first")
    assert row["device"].split()[0] == device.type
    assert ("cudnn" in row["versions"]) == (device.type == "cuda")
    if device.type == "cuda":  # other tests check this for the CPU
        assert run_in(tmp_path / "second") == (row, predictions)


def test_a_shared_training_is_reused_only_with_the_same_gpu_software(monkeypatch, tmp_path, tiny):
    def reused(method, runs):
        settings = composing.settings(*tiny, f"method={method}", f"runs_dir={tmp_path / runs}")
        return run(settings, "", on_epoch=lambda row: None)["reused_stages"]

    reused("none", "runs")
    assert reused("quantization", "runs") == 1
    reused("none", "others")
    monkeypatch.setattr(machine, "cuda_versions", lambda device: ["cudnn 91002"])
    assert reused("quantization", "others") == 0


def no_memory(*_):
    return torch.empty(1 << 60)


@pytest.fixture
def called(ccompress, tmp_path, monkeypatch):
    """Runs the command; exit code, output and errors."""
    monkeypatch.chdir(tmp_path)  # the tests also look for the runs there

    def call(*arguments):
        done = ccompress(*arguments)
        return done.returncode, done.stdout, done.stderr

    return call


def test_out_of_memory_is_one_line_and_exit_code_1(monkeypatch, tiny, called):
    monkeypatch.setattr(DAN, "forward", no_memory)
    code, _, errors = called(*tiny)
    assert code == 1
    assert errors.startswith("ccompress: out of memory: this machine has none for 4611686018427387")
    assert "a smaller train.batch_size" in errors
    assert errors.count("\n") == 1
    (row,) = results.collect(composing.settings(*tiny).runs_dir)
    assert row["status"] == "failed"
    assert row["error"].startswith("OutOfMemory: out of memory: this machine")


def test_a_verb_out_of_memory_is_one_line_too(monkeypatch, tiny, called, tmp_path):
    assert called(*tiny)[0] == 0
    monkeypatch.setattr(DAN, "forward", no_memory)
    (tmp_path / "texts.txt").write_text("w1 w2\n")
    (folder,) = (tmp_path / "results" / "runs").glob("[!.]*")
    code, _, errors = called("predict", str(folder), "texts.txt", "--device", "cpu")
    assert code == 1
    assert errors.startswith("ccompress: out of memory: this machine has none for 4611686018427387")
    assert errors.count("\n") == 1


SIZES = ["-m", f"network.hidden=8,{HIDDEN},10", "save_model=false", "experiment_name=mine"]


def failing(monkeypatch, error):
    """Let the networks with the hidden size HIDDEN raise `error`."""
    forward = DAN.forward

    def read(network, batch):
        if network.output.in_features == HIDDEN:
            raise error
        return forward(network, batch)

    monkeypatch.setattr(DAN, "forward", read)


def statuses(folder):
    rows = results.read_runs(folder / "results" / "mine" / "runs.csv")
    return {row["overrides"].partition("hidden=")[2].split()[0]: row["status"] for row in rows}


def test_a_sweep_goes_on_after_a_run_that_is_out_of_memory(monkeypatch, tmp_path, tiny, called):
    failing(monkeypatch, torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."))
    code, output, errors = called(*tiny, *SIZES)
    assert code == 1
    assert "2 of 3 runs are done" in output
    assert "out of memory: the GPU has none for 2.00 GiB more; use a smaller" in errors
    assert statuses(tmp_path) == {"8": "done", "9": "failed", "10": "done"}


def test_a_lost_gpu_ends_the_process_and_fails_one_run(monkeypatch, tmp_path, tiny, called):
    failing(monkeypatch, RuntimeError("CUDA error: device-side assert triggered\nCompile with"))
    monkeypatch.setattr(machine, "_gpu_is_lost", lambda: True)
    code, output, errors = called(*tiny, *SIZES)
    assert code == 1
    assert "1 of 3 runs are done" in output
    lost = "this process can no longer use its GPU: CUDA error: device-side assert triggered"
    assert f"the sweep ends here: {lost}\n" in errors
    assert "Traceback" not in errors
    assert statuses(tmp_path) == {"8": "done", "9": "failed"}
    # The same command begins with the runs that have not failed.
    assert called(*tiny, *SIZES)[0] == 1
    assert statuses(tmp_path) == {"8": "done", "9": "failed", "10": "done"}
    code, _, errors = called(*tiny, f"network.hidden={HIDDEN}")
    assert (code, errors) == (1, f"ccompress: {lost}\n")


@pytest.mark.slow
def test_a_parallel_sweep_goes_on_in_new_processes(console, tmp_path, tiny):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    network = f"network._target_={lost_gpu.__name__}.Losing"
    parallel = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "seed=0,1"]
    done = console(
        *tiny, *SIZES, network, *parallel, PYTHONPATH=str(Path(lost_gpu.__file__).parent)
    )
    assert done.returncode == 1, done.stderr
    assert "4 of 6 runs are done" in done.stdout
    assert "2 failed" in done.stderr
    assert "no result" not in done.stderr
    assert "Traceback" not in done.stderr


def test_a_lost_gpu_is_an_ordinary_failure_in_a_job_of_a_cluster(monkeypatch):
    def lose():
        raise DeviceLost("gone", 1)

    with pytest.raises(DeviceLost):
        launching.guarded(lose)
    monkeypatch.setenv("SUBMITIT_EXECUTOR", "slurm")
    assert launching.guarded(lose) == {"error": "gone"}


@pytest.fixture
def slurm(monkeypatch):
    """A fake Slurm that records the launchers' options and runs nothing."""
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    requests = []

    class Cluster:
        def launch(self, job_overrides, initial_job_idx):
            return [JobReturn(status=JobStatus.COMPLETED) for _ in job_overrides]

    def instantiate(self, *, hydra_context, task_function, config):
        requests.append(config.hydra.launcher)
        return Cluster()

    monkeypatch.setattr(Plugins, "instantiate_launcher", instantiate)
    return requests


@pytest.mark.parametrize(
    ("options", "gpus"),
    [
        (["device=cuda"], 1),
        (["device=cuda:0"], 1),
        (["device=cuda", "hydra.launcher.gpus_per_node=2"], 2),
        (["device=cuda", "hydra.launcher.gres=gpu:a100:1"], None),
        (["device=cuda", "hydra.launcher.gpus_per_task=1"], None),
        (["device=cuda", "+hydra.launcher.additional_parameters.gpus=1"], None),
        (["device=auto"], None),
        (["device=cpu"], None),
    ],
)
def test_slurm_is_asked_for_one_gpu_if_a_run_needs_one(tiny, called, slurm, options, gpus):
    called(*tiny, "-m", "seed=0,1", "hydra/launcher=submitit_slurm", *options)
    assert [launcher.gpus_per_node for launcher in slurm] == [gpus]


def test_auto_that_finds_no_gpu_in_a_slurm_job_says_so(monkeypatch, tiny, called, slurm):
    sweep = [*tiny, "-m", "seed=0", "hydra/launcher=submitit_slurm", "save_model=false"]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    ran = called(*tiny, "seed=0", "save_model=false", "device=auto")
    assert ran[0] == 0
    assert "no GPU" not in ran[2]
    messages = {}
    for device in ("auto", "cpu"):
        # The result exists already, as if the job had written it.
        messages[device] = called(*sweep, f"device={device}", "force=true")[2]
    assert "found no GPU in the Slurm jobs of 1 runs, which used the CPU" in messages["auto"]
    assert "device=cuda asks Slurm for one" in messages["auto"]
    assert "no GPU" not in messages["cpu"]
