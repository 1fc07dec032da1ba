"""What a run costs: memory, latency, and the machine that it was measured on."""

import contextlib
import functools
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch

from ccompress import machine
from ccompress.data.batches import Encoded, evaluation_batches
from ccompress.networks.base import Network

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


@torch.no_grad()
def latency_ms(network: Network, split: Encoded) -> float:
    """Median time of one sentence at batch 1 on one CPU thread (or on the GPU), in milliseconds."""
    network.eval()
    spread = torch.linspace(0, len(split) - 1, min(len(split), _SENTENCES)).long()
    ends = split.lengths.cpu().cumsum(0)
    times = []
    device = split.tokens.device
    with machine.threads(1):
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
