import os
import pwd
import signal
import subprocess
import sys
import tempfile

import pytest
import tiny_data
from small_model import store

from ccompress.deployment import model
from ccompress.experiment import results
from ccompress.storage import expanded

# Print to both streams, and write down the number of the next free file descriptor.
CODE = """
import os, sys
from ccompress import streams
streams.prepare(outlive_reader=False)
print("é"); print("é", file=sys.stderr); sys.stderr.isatty()
sys.stdout.flush()
os.write(os.open("next", os.O_CREAT | os.O_WRONLY), str(os.dup(0)).encode())
"""


@pytest.mark.parametrize("closed", ["", "<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_does_no_harm(tmp_path, closed):
    command = ["sh", "-c", f'exec "$0" "$@" {closed}', sys.executable, "-c", CODE]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ("" if " >&-" in f" {closed}" else "é\n")
    assert done.stderr == ("" if "2>&-" in closed else "é\n")
    assert int((tmp_path / "next").read_text()) > 2


def test_letters_that_a_terminal_cannot_show_are_escaped(tmp_path):
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-c", CODE]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "\\xe9\n", "\\xe9\n")


def test_a_notebook_on_a_terminal_without_utf_8(console, tmp_path):
    """Evaluate a model with non-ASCII labels, while MPLBACKEND names a backend that is missing."""
    path, _ = store(tmp_path)
    small = model.load(path)
    model.save(path, model.Model(**{**vars(small), "labels": ["gut", "schön", "悪い"]}))
    (tmp_path / "data.csv").write_text("text,label\nw2 w3,schön\nw4,悪い\n", encoding="utf-8")
    done = console(
        *("evaluate", str(path), "--data", "data.csv"),
        PYTHONIOENCODING="ascii",
        MPLBACKEND="module://matplotlib_inline_elsewhere",
    )
    assert done.returncode == 0, done.stderr
    assert "sch\\xf6n" in done.stdout
    assert "\\u60aa\\u3044" in done.stdout


def test_a_home_folder_that_does_not_exist_is_named(monkeypatch, tmp_path, ccompress):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert expanded("~/x") == tmp_path / "x"
    done = ccompress('data.root="~nobody-of-this-name/data"')
    assert done.returncode == 2
    assert done.stderr == (
        "ccompress: ~nobody-of-this-name/data: there is no home folder; give the whole path\n"
    )


def test_the_data_of_a_user_without_home_and_name_are_in_a_temporary_folder(
    monkeypatch, tmp_path, ccompress
):
    def unknown(number):
        raise KeyError(number)

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    for name in ("HOME", "XDG_CACHE_HOME", "CCOMPRESS_DATA", "USER", "LOGNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    root = tmp_path / f"ccompress-{os.getuid()}" / "data"
    assert ccompress("data", "list").stdout.startswith(f"data root: {root}\n")
    done = ccompress("--cfg", "job", "--resolve", "--package", "data")
    assert done.stdout.splitlines()[-1] == f"root: {root}"


@pytest.mark.parametrize("sweep", [[], ["-m", "seed=0,1"]], ids=["run", "sweep"])
def test_a_training_goes_on_where_nobody_reads_what_it_prints(started, tmp_path, sweep):
    """As in `ccompress 2>&1 | head`."""
    process = started(*tiny_data.write(tmp_path / "data"), "method=none", *sweep)
    process.stdout.close()
    process.stderr.close()
    assert process.wait() == 0
    rows = results.collect(tmp_path / "results" / "runs")
    assert [row["status"] for row in rows] == ["done"] * (1 + bool(sweep))


def test_a_verb_that_only_prints_ends_where_nobody_reads_it(started):
    process = started("data", "list")
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait() == 128 + signal.SIGPIPE
