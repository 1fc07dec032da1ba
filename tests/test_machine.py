import multiprocessing
import pickle
import subprocess
import sys

import pytest
import torch

from ccompress import machine
from ccompress.errors import DeviceLost, InputError, OutOfMemory

CPU = torch.device("cpu")


@pytest.fixture
def gpus(monkeypatch):
    """Lets torch report this many GPUs, none of which can be used."""

    def find(number):
        monkeypatch.setattr(torch.cuda, "device_count", lambda: number)

    return find


@pytest.mark.parametrize(
    ("name", "number", "chosen"),
    [
        ("auto", 0, "cpu"),
        ("cpu", 2, "cpu"),
        ("auto", 2, "cuda:0"),
        ("cuda", 1, "cuda:0"),
        ("cuda:1", 2, "cuda:1"),
        ("cuda:11", 12, "cuda:11"),
    ],
)
def test_a_device_is_chosen_by_its_name(gpus, name, number, chosen):
    gpus(number)
    assert machine.choose_device(name) == torch.device(chosen)


@pytest.mark.parametrize(
    ("name", "number", "message"),
    [
        ("cuda", 0, "device=cuda, but torch finds no CUDA device: use device=cpu or auto"),
        ("cuda:1", 1, "device=cuda:1, but the CUDA devices here are cuda:0"),
        ("cuda:4", 4, "device=cuda:4, but the CUDA devices here are cuda:0 to cuda:3"),
    ],
)
def test_a_gpu_that_is_not_there_is_refused(gpus, name, number, message):
    gpus(number)
    with pytest.raises(InputError, match=f"^{message}$"):
        machine.choose_device(name)


def test_the_processes_of_a_sweep_take_turns_on_the_gpus(gpus, monkeypatch):
    joblib = pytest.importorskip("joblib")
    gpus(3)
    (name,) = joblib.Parallel(n_jobs=2)([joblib.delayed(_name_of_process)()])
    kind, _, number = name.partition("-")
    assert number.isdigit()
    chosen = []
    for i in range(1, 7):
        monkeypatch.setattr(multiprocessing.current_process(), "name", f"{kind}-{i}")
        chosen.append(machine.choose_device("auto").index)
        assert machine.choose_device("cuda:2").index == 2
    assert chosen == [0, 1, 2, 0, 1, 2]


def _name_of_process():
    return multiprocessing.current_process().name


def test_tf32_is_refused_on_a_device_without_it():
    with pytest.raises(InputError, match=r"an NVIDIA GPU.* device is cpu .*precision=float32"):
        machine.use_device(CPU, "tf32")


def test_a_gpu_computes_in_float32_unless_asked_for_tf32_and_repeats_its_numbers(device):
    if device.type == "cpu":
        pytest.skip("a test of a GPU")
    a, b = (torch.randn(256, 256, generator=torch.Generator().manual_seed(i)) for i in (1, 2))
    errors = []
    for precision in ("tf32", "float32"):
        machine.use_device(device, precision)
        product = (a.to(device) @ b.to(device)).cpu()
        errors.append((product - (a.double() @ b.double())).abs().max())
    assert errors[1] < 1e-4 < errors[0]
    assert not torch.backends.cudnn.allow_tf32
    assert torch.backends.cudnn.deterministic


def test_versions_include_those_of_the_gpu_if_one_is_used(monkeypatch):
    alone = machine.versions(CPU)
    assert alone == machine.versions()
    assert f"torch {torch.__version__}" in alone
    assert "cuda " not in alone
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 91002)
    monkeypatch.setattr(
        subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 0, "570.1\n570.1\n")
    )
    machine._driver.cache_clear()
    both = machine.versions(torch.device("cuda:0"))
    assert both == f"{alone}, cuda 12.8, cudnn 91002, driver 570.1"

    def missing(*_, **__):
        raise FileNotFoundError

    monkeypatch.setattr(subprocess, "run", missing)
    machine._driver.cache_clear()
    assert machine.cuda_versions(torch.device("cuda"))[-1] == "driver unknown"
    machine._driver.cache_clear()


def raised(error):
    with machine.hardware_errors("a smaller one needs less"):
        raise error


def real_error():
    try:
        torch.empty(1 << 60)
    except RuntimeError as error:
        return error


MEMORY = [
    (real_error(), "this machine has none for 4611686018427387904 bytes more"),
    (MemoryError("Unable to allocate 7.45 GiB for an array"), "this machine has none for 7.45 GiB"),
    (MemoryError(), "this machine has none left"),
    (
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has"),
        "the GPU has none for 20.00 GiB more",
    ),
    (RuntimeError("CUDA error: out of memory\nCUDA kernel errors might"), "the GPU has none left"),
    (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"), "the GPU has none left"),
]


@pytest.mark.parametrize(("error", "message"), MEMORY, ids=[message for _, message in MEMORY])
def test_lack_of_memory_gives_one_line_that_says_what_would_help(error, message):
    with pytest.raises(OutOfMemory) as caught:
        raised(error)
    assert str(caught.value).startswith(f"out of memory: {message}")
    assert str(caught.value).endswith("; a smaller one needs less")
    assert "\n" not in str(caught.value)


def test_a_gpu_out_of_memory_can_be_used_again(device):
    if device.type == "cpu":
        pytest.skip("a test of a GPU")
    with pytest.raises(OutOfMemory, match="the GPU has none for"), machine.hardware_errors("less"):
        torch.empty(1 << 50, device=device)
    assert torch.ones(3, device=device).sum() == 3


@pytest.mark.parametrize("error", [ValueError("no"), RuntimeError("CUDA error: invalid argument")])
def test_other_errors_are_passed_on_unchanged(monkeypatch, error):
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)  # the GPU still responds
    with pytest.raises(type(error)) as caught:
        raised(error)
    assert caught.value is error


def test_a_gpu_that_no_longer_responds_is_lost_to_the_process(monkeypatch):
    def refuses():
        raise RuntimeError("CUDA error: device-side assert triggered")

    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", refuses)
    with pytest.raises(DeviceLost, match="GPU: CUDA error: an illegal address") as caught:
        raised(RuntimeError("CUDA error: an illegal address\nCompile with"))
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.process) == (str(caught.value), caught.value.process)
    assert not isinstance(caught.value, Exception)


def test_a_process_loses_its_gpu_by_a_real_error(device):
    if device.type == "cpu":
        pytest.skip("a test of a GPU")
    code = (
        "import torch\nfrom ccompress import errors, machine\n"
        "try:\n"
        "    with machine.hardware_errors(''):\n"
        "        torch.zeros(2, device='cuda')[torch.tensor([9], device='cuda')].item()\n"
        "except errors.DeviceLost as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "this process can no longer use its GPU" in done.stdout
