"""Completion, requested as the shells do it."""

import os
import subprocess

import pytest
from command_line import SCRIPT

from ccompress.experiment import results

# When Tab is pressed after $1, bash sets these variables and calls the function.
BASH = """
eval "$(ccompress -sc install=bash)"
COMP_LINE="$1" COMP_POINT=${#1}
words=($1)
COMP_CWORD=$(( ${#words[@]} - 1 ))
[[ "$1" == *" " ]] && COMP_CWORD=${#words[@]}
hydra_bash_completion
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def folder(tmp_path):
    """A user's folder: two runs, an experiment, files."""
    for run_id in ("3f2a00000000", "77ab00000000"):
        (tmp_path / "results" / "runs" / run_id).mkdir(parents=True)
        (tmp_path / "results" / "runs" / run_id / results.RESULT).touch()
    results.write_runs(tmp_path / "results" / "mine" / results.RUNS, [])
    (tmp_path / "texts.csv").touch()
    return tmp_path


def in_bash(folder, line):
    path = f"{SCRIPT.parent}{os.pathsep}{os.environ['PATH']}"
    completed = subprocess.run(
        ["bash", "-c", BASH, "bash", line],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert completed.stderr == ""
    return completed.stdout.split()


def test_bash_completes_verbs_and_overrides_in_one_place(folder):
    candidates = in_bash(folder, "ccompress re")
    assert "report" in candidates
    assert "results_dir=" in candidates
    assert in_bash(folder, "ccompress -m method=quant") == ["method=quantization"]
    assert in_bash(folder, "ccompress -m dataset=sst2,tr") == ["dataset=sst2,trec"]
    assert in_bash(folder, "ccompress predict 3") == ["3f2a00000000"]


@pytest.fixture
def completed_line(ccompress, folder, monkeypatch):
    """The completions of a line, requested as in fish, which shows only the printed files."""

    def complete(line, shell="fish", **environment):
        for name, value in {"COMP_LINE": line, **environment}.items():
            monkeypatch.setenv(name, value)
        done = ccompress("-sc", f"query={shell}")
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.split()

    return complete


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("ccompress pre", ["precision=", "predict"]),
        ("ccompress runs d", ["diff"]),
        ("ccompress runs m", ["mine"]),
        ("ccompress runs diff 3f2a 7", ["77ab00000000"]),
        ("ccompress predict --device cpu 7", ["77ab00000000"]),
        ("ccompress predict --runs-dir elsewhere 7", []),
        ("ccompress predict 3f2a --dev", ["--device"]),
        ("ccompress predict 3f2a --device cu", ["cuda"]),
        ("ccompress predict 3f2a t", ["texts.csv"]),
        ("ccompress predict 3f2a results/", ["results/mine/", "results/runs/"]),
        ("ccompress evaluate 3f2a --data te", ["texts.csv"]),
        ("ccompress export 3f2a --format o", ["onnx"]),
        ("ccompress report ", ["mine"]),
        ("ccompress report mine dataset=sn", ["dataset=snips"]),
        ("ccompress -m dataset=sst2,tr", ["dataset=sst2,trec"]),
        ("ccompress -m dataset=sst2,trec,s", ["dataset=sst2,trec,snips"]),
        ("ccompress runs method=none,pre", ["method=none,pre_training_svd"]),
        ("ccompress data fe", ["fetch"]),
        ("ccompress data fetch tr", ["trec"]),
        ("ccompress data fetch pap", ["paper"]),
        ("ccompress baseline dataset=cli", ["dataset=clinc150"]),
        ("ccompress baseline --out x dataset=custom dataset.tr", ["dataset.train="]),
        ("ccompress shrink te", ["texts.csv"]),
        ("ccompress method=none network.hid", ["network.hidden="]),
        (
            "ccompress dataset=custom dataset.train=",
            ["dataset.train=results/", "dataset.train=texts.csv"],
        ),
        ("ccompress dataset=custom dataset.train=te", ["dataset.train=texts.csv"]),
        ("ccompress nothing.of.the.kind=1 network=ls", ["network=lstm"]),
        ("ccompress --nothing-of-the-kind ", ["results/", "texts.csv"]),
    ],
)
def test_completions_of_a_line(completed_line, line, expected):
    assert completed_line(line) == expected


def test_words_after_the_cursor_do_not_count(completed_line):
    assert completed_line("ccompress runs d mine", COMP_POINT="16") == ["diff"]


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_bash_and_zsh_complete_files_by_themselves(completed_line, shell):
    assert completed_line("ccompress predict 3f2a t", shell) == []
    assert completed_line("ccompress predict 3", shell) == ["3f2a00000000"]
    assert completed_line("ccompress dataset.train=te", shell) == ["dataset.train=texts.csv"]


def test_hydra_answers_the_other_queries(ccompress):
    done = ccompress("-sc", "install=fish")
    assert done.returncode == 0
    assert "hydra_fish_completion" in done.stdout
    assert ccompress("-sc", "query=nushell").returncode == 2
