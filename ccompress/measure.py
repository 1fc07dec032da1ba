"""What a run costs: memory, latency, and the machine that it was measured on."""

import contextlib
import functools
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import torch
from torch import nn

from ccompress.data.batches import Encoded, evaluation_batches
from ccompress.networks import Network

_SENTENCES = 200  # sentences timed for the latency, after a tenth as many that are not


def reset_peak_memory(device: torch.device) -> None:
    """Let `peak_memory` begin anew, where the system can do that."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    # Where this is not Linux, or not allowed, the peak is the process's: an upper bound.
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM, see proc(5)


def peak_memory(device: torch.device) -> int:
    """Largest memory in use since `reset_peak_memory`, in bytes: resident, or on the GPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


@contextlib.contextmanager
def threads(number: int) -> Iterator[None]:
    """Let torch use `number` CPU threads, and afterwards as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@torch.no_grad()
def latency_ms(network: Network, split: Encoded) -> float:
    """Median time of one sentence at batch 1 on one CPU thread (or on the GPU), in milliseconds."""
    network.eval()
    spread = torch.linspace(0, len(split) - 1, min(len(split), _SENTENCES)).long()
    ends = split.lengths.cpu().cumsum(0)
    times = []
    device = split.tokens.device
    with threads(1):
        sentences = []
        for index in spread.tolist():
            tokens = split.tokens[int(ends[index] - split.lengths[index]) : int(ends[index])]
            one = Encoded(tokens, split.lengths[index : index + 1], split.labels[index : index + 1])
            sentences += list(evaluation_batches(one))
        for batch in sentences[: len(sentences) // 10 + 1] + sentences:
            began = time.perf_counter()
            network(batch)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            times.append(time.perf_counter() - began)
    return 1000 * statistics.median(times[-len(sentences) :])


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


def tensor_bytes(module: nn.Module) -> int:
    """Bytes of all tensors that are stored with a module."""
    return sum(t.numel() * t.element_size() for t in module.state_dict().values())


def versions() -> str:
    """Versions of what the numbers depend on."""
    return f"python {platform.python_version()}, " + ", ".join(
        f"{name} {version(name)}" for name in ("ccompress", "torch", "numpy", "scipy")
    )


@functools.cache
def git_commit() -> str:
    """Commit of the source tree this runs from, with `-dirty` where it differs; else empty.

    What differs under results/ does not count: a sweep writes its own rows there.
    """

    def git(*arguments: str) -> subprocess.CompletedProcess[str]:
        folder = Path(__file__).parent
        return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True)

    try:
        if git("ls-files", "--error-unmatch", __file__).returncode:
            return ""
        commit = git("rev-parse", "--short=12", "HEAD").stdout.strip()
        differs = git("diff", "--quiet", "HEAD", "--", ":/", ":(top,exclude)results").returncode
    except OSError:
        return ""
    return f"{commit}-dirty" if differs else commit
