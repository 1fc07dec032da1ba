"""What this machine has to run on: processors, devices, versions."""

import contextlib
import functools
import multiprocessing
import os
import platform
import re
import subprocess
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import torch

from ccompress.errors import DeviceLost, InputError, OutOfMemory


def choose_device(name: str) -> torch.device:
    """The device that `name` (auto, cpu, cuda or cuda:N) means to this process.

    The processes of a parallel sweep take turns on several GPUs; any other process has the first.

    Raises:
        InputError: A GPU is asked for that is not there.
    """
    count = torch.cuda.device_count()
    kind, _, index = name.partition(":")
    if kind == "cpu" or (kind == "auto" and not count):
        return torch.device("cpu")
    if not count:
        raise InputError(f"device={name}, but torch finds no CUDA device: use device=cpu or auto")
    if index and int(index) >= count:
        there = "cuda:0" if count == 1 else f"cuda:0 to cuda:{count - 1}"
        raise InputError(f"device={name}, but the CUDA devices here are {there}")
    return torch.device("cuda", int(index) if index else (_number_of_process() - 1) % count)


def _number_of_process() -> int:
    """1, 2, ... for the processes of a parallel sweep, which joblib numbers; else 1."""
    number = re.search(r"-(\d+)$", multiprocessing.current_process().name)
    return int(number[1]) if number else 1


def use_device(device: torch.device, precision: str) -> None:
    """Let torch compute on `device`, with the same numbers every time.

    On a CPU there is nothing to do. On a GPU, cuBLAS repeats its numbers only where
    `CUBLAS_WORKSPACE_CONFIG` is set before it starts, as the command line does.

    Args:
        device: As `choose_device` gives it.
        precision: Of products on a GPU: `float32`, or `tf32`, which rounds their factors to 11 bits
            and is faster for large matrices. torch uses tf32 in recurrent layers unless it is told.

    Raises:
        InputError: The device has no tf32.
    """
    is_gpu = device.type == "cuda"
    tf32 = precision == "tf32"
    if tf32 and not (is_gpu and torch.cuda.get_device_capability(device) >= (8, 0)):
        raise InputError(
            f"precision=tf32 is for NVIDIA GPUs of compute capability 8.0 and above, this run's "
            f"device is {device_name(device)}: use precision=float32"
        )
    if is_gpu:
        torch.cuda.set_device(device)
        torch.backends.cuda.matmul.allow_tf32 = tf32
        torch.backends.cudnn.allow_tf32 = tf32
        torch.backends.cudnn.deterministic = True
        torch.backends.cudnn.benchmark = False


@contextlib.contextmanager
def errors_told(less: str) -> Iterator[None]:
    """Tell in one line that memory ran out, or that a GPU is lost, whatever torch says of it.

    Args:
        less: What would need less memory.

    Raises:
        OutOfMemory: Memory ran out, the machine's or a GPU's.
        DeviceLost: This process can use its GPU no more.
    """
    try:
        yield
    except Exception as error:
        said = str(error).partition("\n")[0]
        if isinstance(error, MemoryError) or _NO_MEMORY.search(said):
            where = "the GPU" if "CU" in said else "this machine"
            amount = re.search(r"to allocate (\d[\d.]* \w+)", said)
            wanted = f" for {amount[1]} more" if amount else " left"
            raise OutOfMemory(f"out of memory: {where} has none{wanted}; {less}") from error
        if _gpu_is_lost():
            message = f"this process can use its GPU no more: {said}"
            raise DeviceLost(message, os.getpid()) from error
        raise


# Only where its own allocator finds no memory on a GPU, torch has a class for the error.
_NO_MEMORY = re.compile(r"DefaultCPUAllocator|CUDA.*out of memory|CU[A-Z]+_STATUS_ALLOC_FAILED")


def _gpu_is_lost() -> bool:
    """Whether this process uses a GPU that refuses all further work."""
    if not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return False
    try:
        torch.cuda.synchronize()
    except RuntimeError:
        return True
    return False


@contextlib.contextmanager
def threads(number: int) -> Iterator[None]:
    """Let torch use `number` CPU threads, and afterwards as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def device_name(device: torch.device) -> str:
    """The device as results name it: `cpu` or `cuda`, and the name of the processor or GPU."""
    if device.type == "cuda":
        return f"cuda {torch.cuda.get_device_name(device)}"
    return f"cpu {_processor()}"


@functools.cache
def _processor() -> str:
    """The processor's name, and the instructions that torch uses of it."""
    name = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):  # Linux tells the name there alone
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(
            (line.partition(": ")[2] for line in lines if line.startswith("model name")), name
        )
    return f"{name} {torch.backends.cpu.get_cpu_capability()}"


def versions(device: torch.device | None = None) -> str:
    """Versions of what the numbers depend on, on `device` where it is known."""
    names = ("ccompress", "torch", "numpy", "scipy")
    packages = [f"{name} {version(name)}" for name in names]
    gpu = cuda_versions(device) if device else []
    return ", ".join([f"python {platform.python_version()}", *packages, *gpu])


def cuda_versions(device: torch.device) -> list[str]:
    """Versions of what a GPU's numbers depend on beside torch; nothing for a CPU."""
    if device.type != "cuda":
        return []
    return [
        f"cuda {torch.version.cuda}",
        f"cudnn {torch.backends.cudnn.version()}",  # type: ignore[no-untyped-call]
        f"driver {_driver()}",
    ]


@functools.cache
def _driver() -> str:
    """The version of NVIDIA's driver, which torch does not tell."""
    ask = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        said = subprocess.run(ask, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return "unknown"  # as in a container without its tools
    return said.split()[0]
