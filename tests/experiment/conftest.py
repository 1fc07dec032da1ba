"""Fixtures for tests of sweeps."""

import shutil
import subprocess

import pytest
import tiny_data
from command_line import SCRIPT
from sweep_grid import GRID


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    return tiny_data.write(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def undisturbed(tiny, tmp_path_factory):
    """A folder in which one process ran the grid without interruption."""
    folder = tmp_path_factory.mktemp("undisturbed")
    subprocess.run([SCRIPT, *tiny, *GRID], cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture
def swept(undisturbed, tmp_path):
    """Copies the results of `undisturbed` into the test's own folder."""
    shutil.copytree(undisturbed / "results", tmp_path / "results")
