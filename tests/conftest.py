"""Fixtures shared by all tests."""

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest
from platformdirs import user_cache_dir

if TYPE_CHECKING:
    import torch

# Modules with fixtures for several folders.
pytest_plugins = ["command_line", "upstream", "made_up_rows"]

# All tensors are small. More threads would only wait for each other and for those of other workers.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# The tests do not change the user's cache. Only matplotlib uses it, because finding all fonts takes
# seconds.
os.environ.setdefault("MPLCONFIGDIR", user_cache_dir("matplotlib"))
_CACHE = tempfile.TemporaryDirectory(prefix="ccompress-tests-")
os.environ["XDG_CACHE_HOME"] = _CACHE.name
# The command line sets it too, so that a GPU repeats its numbers.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

# A test must not fail because the machine is busy.
hypothesis.settings.register_profile("no deadline", deadline=None)
hypothesis.settings.load_profile("no deadline")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The root of the real data sets; without them, the test is skipped."""
    root = os.environ.get("CCOMPRESS_DATA")
    path = Path(root) if root else Path(__file__).parents[2] / "shared" / "data"
    if not (path / "sst").is_dir():
        pytest.skip(f"real data are not at {path}; set CCOMPRESS_DATA to their folder")
    return path


@pytest.fixture(scope="session", params=["cpu", "cuda"])
def device(request: pytest.FixtureRequest) -> "torch.device":
    """The CPU, and the GPU if there is one."""
    import torch  # takes seconds, and many tests do not need it

    from ccompress import machine

    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    machine.use_device(torch.device(request.param), "float32")
    return torch.device(request.param)
