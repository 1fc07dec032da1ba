"""What this machine has to run on: processors, devices, versions."""

import contextlib
import functools
import platform
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import torch

from ccompress.errors import InputError


def choose_device(name: str) -> torch.device:
    """The device that `name` (auto, cpu or cuda) means on this machine.

    Raises:
        InputError: `cuda` is asked for and there is none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("device=cuda, but torch finds no CUDA device here: use device=cpu or auto")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


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


def versions() -> str:
    """Versions of what the numbers depend on."""
    return f"python {platform.python_version()}, " + ", ".join(
        f"{name} {version(name)}" for name in ("ccompress", "torch", "numpy", "scipy")
    )
