"""Fixtures for tests of sweeps."""

import shutil

import pytest
import tiny_data
from command_line import run_in_process
from sweep_grid import GRID


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    return tiny_data.write(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def undisturbed(tiny, tmp_path_factory):
    """A folder in which one process ran the grid without interruption, and stored its output."""
    folder = tmp_path_factory.mktemp("undisturbed")
    done = run_in_process(folder, *tiny, *GRID)
    assert done.returncode == 0, done.stderr
    (folder / "output").write_text(done.stdout, encoding="utf-8")
    return folder


@pytest.fixture
def swept(undisturbed, tmp_path):
    """Copies the results of `undisturbed` into the test's own folder."""
    shutil.copytree(undisturbed / "results", tmp_path / "results")
