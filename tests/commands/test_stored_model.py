"""How verbs find the model of a run."""

import pytest
from small_model import store

from ccompress.deployment import finding
from ccompress.errors import InputError


def test_a_run_is_named_by_its_folder_its_file_or_the_beginning_of_its_id(tmp_path):
    runs = tmp_path / "runs"
    for run_id in ("abc1", "abd2", "f00"):
        (runs / run_id).mkdir(parents=True)
    path, _ = store(runs / "abc1")
    for run in (str(path), str(path.parent), "abc1", "abc"):
        assert finding.file_of(run, runs) == path
    (runs / "abd2" / "config.yaml").touch()
    for run, message in (
        ("abd", r"abd2 has no model\.safetensors.* save_model=true"),
        ("ab", "is the beginning of 2 runs: abc1, abd2"),
        ("ff", "no run 'ff'"),
        ("../runs/abc*", "no run"),
        ("f0", r"f00 is not a run's folder"),
        ("", "no run is named"),
    ):
        with pytest.raises(InputError, match=message):
            finding.file_of(run, runs)
    with pytest.raises(InputError, match="no run"):
        finding.file_of("abc", tmp_path / "nowhere")
