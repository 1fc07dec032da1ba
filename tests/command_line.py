"""Fixtures that run the command line in this process, in another process, or in the background."""

import contextlib
import functools
import io
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, TextIO

import pytest

from ccompress import cli

SCRIPT = Path(sys.executable).with_name("ccompress")
Completed = subprocess.CompletedProcess[str]


@pytest.fixture
def ccompress(tmp_path: Path) -> Callable[..., Completed]:
    """Runs `cli.command` in this process, as if it had been called in the test's empty folder.

    It returns what `console` returns, but starts no process, which would take most of the time of a
    small run. Afterwards it restores what the call changed for the whole process.
    """

    return functools.partial(run_in_process, tmp_path)


def run_in_process(folder: Path, *arguments: str) -> Completed:
    """Run `cli.command` in this process and in the given folder; see the fixture `ccompress`."""
    stdout, stderr = (
        io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2)
    )
    with (
        pytest.MonkeyPatch.context() as patch,
        _handlers_kept(),
        contextlib.redirect_stdout(stdout),
        contextlib.redirect_stderr(stderr),
    ):
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["ccompress"])
        patch.setenv("HYDRA_FULL_ERROR", "1")  # the command sets it and does not reset it
        try:
            code = cli.command(list(arguments))
        except SystemExit as end:
            code = int(end.code or 0)
    outputs = [stream.buffer.getvalue().decode() for stream in (stdout, stderr)]
    return subprocess.CompletedProcess(arguments, code, *outputs)


@contextlib.contextmanager
def _handlers_kept() -> Iterator[None]:
    """Restore the handlers of SIGTERM and of logging, and the level of logging."""
    terminate = signal.getsignal(signal.SIGTERM)
    handlers, level = logging.root.handlers[:], logging.root.level
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, terminate)
        logging.root.handlers[:] = handlers
        logging.root.setLevel(level)


@pytest.fixture
def console(tmp_path: Path) -> Callable[..., Completed]:
    """Runs the real console script in the test's empty folder, and waits until it ends.

    It is for tests of a process: of its environment, its launchers, or several at the same time.
    """

    def run(*arguments: str, **environment: str) -> Completed:
        return subprocess.run(
            [SCRIPT, *arguments],
            cwd=tmp_path,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    return run


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts the real console script in the test's empty folder, and does not wait for its end.

    The script leads its own process group, which is killed at the end of the test.
    """
    processes: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [SCRIPT, *arguments],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            # As on a terminal. Tests that run in the background would pass on that Ctrl-C is
            # ignored.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        with contextlib.suppress(ProcessLookupError):  # all processes of the group have ended
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


class Forked(NamedTuple):
    """A process that runs the command and leads its own process group; its standard output."""

    pid: int
    stdout: TextIO


# Waits for requests with all modules loaded, and forks a process for each. A process that has ended
# is removed at once, so that its number is not found any more.
_TEMPLATE = """
import json, os, signal, sys
import ccompress.cli, ccompress.experiment.run, ccompress.experiment.sweep
import torch._dynamo  # the first optimizer would load it
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for line in sys.stdin:
    output, *arguments = json.loads(line)
    pid = os.fork()
    if pid:
        print(pid, flush=True)
        continue
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    os.dup2(os.open(output, os.O_WRONLY), 1)
    sys.argv = ["ccompress", *arguments]
    ccompress.cli.main()
"""


@pytest.fixture
def forked(tmp_path: Path) -> Iterator[Callable[..., Forked]]:
    """Starts the command in the test's empty folder, in a process that has loaded all modules.

    It is for tests that start many processes. Loading the modules takes seconds each time, and the
    processes would rarely be in a training when they are killed.
    """
    with (
        contextlib.ExitStack() as stack,
        subprocess.Popen(
            [sys.executable, "-c", _TEMPLATE],
            cwd=tmp_path,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as template,
    ):

        def start(*arguments: str) -> Forked:
            assert template.stdin is not None
            assert template.stdout is not None
            output = tmp_path / "output.fifo"
            output.unlink(missing_ok=True)
            os.mkfifo(output)
            print(json.dumps([str(output), *arguments]), file=template.stdin, flush=True)
            pid = int(template.stdout.readline())
            return Forked(pid, stack.enter_context(output.open(encoding="utf-8")))

        yield start
