"""Fixtures that run the command line in this process, in another process, or in the background."""

import contextlib
import io
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

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

    def run(*arguments: str) -> Completed:
        stdout, stderr = (
            io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2)
        )
        with (
            pytest.MonkeyPatch.context() as patch,
            _handlers_kept(),
            contextlib.redirect_stdout(stdout),
            contextlib.redirect_stderr(stderr),
        ):
            patch.chdir(tmp_path)
            patch.setattr(sys, "argv", ["ccompress"])
            patch.setenv("HYDRA_FULL_ERROR", "1")  # the command sets it and does not reset it
            try:
                code = cli.command(list(arguments))
            except SystemExit as end:
                code = int(end.code or 0)
        outputs = [stream.buffer.getvalue().decode() for stream in (stdout, stderr)]
        return subprocess.CompletedProcess(arguments, code, *outputs)

    return run


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
