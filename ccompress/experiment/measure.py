"""Measurements of a run: its memory, its latency, and the version of the code."""

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

_SENTENCES = 200  # sentences timed for the latency, after a tenth as many to warm up


def reset_peak_memory(device: torch.device) -> None:
    """Reset the peak that `peak_memory` returns, if the system supports it."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    # Without Linux or without permission, the peak is that of the whole process: an upper bound.
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM, see proc(5)


def peak_memory(device: torch.device) -> int:
    """The largest memory in use since `reset_peak_memory`, in bytes: resident, or on the GPU."""
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
    """The median time of a batch of one sentence, in ms, on one CPU thread or on the GPU."""
    network.eval()
    spread = torch.linspace(0, len(split) - 1, min(len(split), _SENTENCES)).long()
    ends = split.lengths.cpu().cumsum(0)
    times = []
    device = split.tokens.device
    with machine.threads(1):
        sentences = []
        for index in spread.tolist():
            tokens = split.tokens[int(ends[index] - split.lengths[index]) : int(ends[index])]
            place = slice(index, index + 1)
            sentence = Encoded(tokens, split.lengths[place], split.labels[place])
            sentences += list(evaluation_batches(sentence))
        for batch in sentences[: len(sentences) // 10 + 1] + sentences:
            began = time.perf_counter()
            network(batch)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            times.append(time.perf_counter() - began)
    return 1000 * statistics.median(times[-len(sentences) :])


@functools.cache
def git_commit() -> str:
    """The git commit of this source tree, with `-dirty` if files differ; empty without git.

    Differences under results/ do not count, because a sweep writes its own rows there.
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
