"""The hardware and software that a run uses: processors, devices, versions."""

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
    """The device that `name` (auto, cpu, cuda or cuda:N) means in this process.

    A parallel sweep distributes its processes over the GPUs. Any other process uses the first GPU.

    Raises:
        InputError: `name` asks for a GPU that this machine does not have.
    """
    count = torch.cuda.device_count()
    kind, _, index = name.partition(":")
    if kind == "cpu" or (kind == "auto" and not count):
        return torch.device("cpu")
    if not count:
        raise InputError(f"device={name}, but torch finds no CUDA device: use device=cpu or auto")
    if index and int(index) >= count:
        devices = "cuda:0" if count == 1 else f"cuda:0 to cuda:{count - 1}"
        raise InputError(f"device={name}, but the CUDA devices here are {devices}")
    return torch.device("cuda", int(index) if index else (_process_number() - 1) % count)


def _process_number() -> int:
    """The number that joblib gave this process of a parallel sweep (1, 2, ...); otherwise 1."""
    number = re.search(r"-(\d+)$", multiprocessing.current_process().name)
    return int(number[1]) if number else 1


def use_device(device: torch.device, precision: str) -> None:
    """Make torch compute on `device` and give the same numbers every time.

    A CPU needs no settings. On a GPU, cuBLAS repeats its numbers only if
    `CUBLAS_WORKSPACE_CONFIG` is set before cuBLAS starts. The command line sets it.

    Args:
        device: The device that `choose_device` returned.
        precision: The precision of matrix products on a GPU: `float32`, or `tf32`, which rounds the
            factors to 11 bits and is faster for large matrices. By default torch uses tf32 in
            recurrent layers; `float32` turns this off.

    Raises:
        InputError: The precision is `tf32` and the device does not support it.
    """
    is_gpu = device.type == "cuda"
    tf32 = precision == "tf32"
    if tf32 and not (is_gpu and torch.cuda.get_device_capability(device) >= (8, 0)):
        raise InputError(
            f"precision=tf32 needs an NVIDIA GPU of compute capability 8.0 or above, but this "
            f"run's device is {device_name(device)}: use precision=float32"
        )
    if is_gpu:
        torch.cuda.set_device(device)
        torch.backends.cuda.matmul.allow_tf32 = tf32
        torch.backends.cudnn.allow_tf32 = tf32
        torch.backends.cudnn.deterministic = True
        torch.backends.cudnn.benchmark = False


@contextlib.contextmanager
def hardware_errors(advice: str) -> Iterator[None]:
    """Turn torch's errors about memory and lost GPUs into ours, whose message is one line.

    Args:
        advice: What would need less memory; the end of the message.

    Raises:
        OutOfMemory: The machine or a GPU has no memory left.
        DeviceLost: This process can no longer use its GPU.
    """
    try:
        yield
    except Exception as error:
        message = str(error).partition("\n")[0]
        if isinstance(error, MemoryError) or _NO_MEMORY.search(message):
            where = "the GPU" if "CU" in message else "this machine"
            amount = re.search(r"to allocate (\d[\d.]* \w+)", message)
            lacking = f" for {amount[1]} more" if amount else " left"
            raise OutOfMemory(f"out of memory: {where} has none{lacking}; {advice}") from error
        if _gpu_is_lost():
            raise DeviceLost(
                f"this process can no longer use its GPU: {message}", os.getpid()
            ) from error
        raise


# torch has an error class for one case only: its own allocator finds no memory on a GPU.
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
    """Make torch use `number` CPU threads, and restore the earlier number afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def device_name(device: torch.device) -> str:
    """The device's name in the results: `cpu` or `cuda`, and the model of processor or GPU."""
    if device.type == "cuda":
        return f"cuda {torch.cuda.get_device_name(device)}"
    return f"cpu {_processor()}"


@functools.cache
def _processor() -> str:
    """The processor's model name, and the instruction set that torch uses on it."""
    name = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):  # on Linux, only this file holds the model name
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(
            (line.partition(": ")[2] for line in lines if line.startswith("model name")), name
        )
    return f"{name} {torch.backends.cpu.get_cpu_capability()}"


def versions(device: torch.device | None = None) -> str:
    """Versions of the software that the numbers depend on; with a GPU, also of CUDA's parts."""
    names = ("ccompress", "torch", "numpy", "scipy")
    packages = [f"{name} {version(name)}" for name in names]
    gpu = cuda_versions(device) if device else []
    return ", ".join([f"python {platform.python_version()}", *packages, *gpu])


def cuda_versions(device: torch.device) -> list[str]:
    """Versions that a GPU's numbers depend on in addition to torch; empty for a CPU."""
    if device.type != "cuda":
        return []
    return [
        f"cuda {torch.version.cuda}",
        f"cudnn {torch.backends.cudnn.version()}",  # type: ignore[no-untyped-call]
        f"driver {_driver()}",
    ]


@functools.cache
def _driver() -> str:
    """The version of NVIDIA's driver. torch has no function for it."""
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        output = subprocess.run(query, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return "unknown"  # for example in a container without NVIDIA's tools
    return output.split()[0]
