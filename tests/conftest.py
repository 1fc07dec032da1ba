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

# Fixtures that several folders use.
pytest_plugins = ["command_line", "upstream", "made_up_rows"]

# Small tensors everywhere: more threads would only wait for each other, and for other workers'.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# The user's own cache stays as it is; matplotlib keeps its fonts there, which take seconds to find.
os.environ.setdefault("MPLCONFIGDIR", user_cache_dir("matplotlib"))
_CACHE = tempfile.TemporaryDirectory(prefix="ccompress-tests-")
os.environ["XDG_CACHE_HOME"] = _CACHE.name
# As the command line does: a GPU repeats its numbers.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

# A busy machine is no fault of what is tested.
hypothesis.settings.register_profile("no deadline", deadline=None)
hypothesis.settings.load_profile("no deadline")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The root of the real data sets; the test is skipped where they are not."""
    root = os.environ.get("CCOMPRESS_DATA")
    path = Path(root) if root else Path(__file__).parents[2] / "shared" / "data"
    if not (path / "sst").is_dir():
        pytest.skip(f"real data are not at {path}; set CCOMPRESS_DATA to their folder")
    return path


@pytest.fixture(scope="session", params=["cpu", "cuda"])
def device(request: pytest.FixtureRequest) -> "torch.device":
    """The CPU, and a GPU where there is one."""
    import torch  # takes seconds, which many tests do without

    from ccompress import machine

    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    machine.use_device(torch.device(request.param), "float32")
    return torch.device(request.param)
