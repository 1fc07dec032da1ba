"""Fixtures shared by all tests."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The root of the real data sets; the test is skipped where they are not."""
    root = os.environ.get("CCOMPRESS_DATA")
    path = Path(root) if root else Path(__file__).parents[2] / "shared" / "data"
    if not (path / "sst").is_dir():
        pytest.skip(f"real data are not at {path}; set CCOMPRESS_DATA to their folder")
    return path
