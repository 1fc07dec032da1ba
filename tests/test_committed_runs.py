"""Stored results stay valid: committed rows keep their ids, and old model files can be read."""

import csv
import shlex
from pathlib import Path

import composing
import pytest
import torch

import ccompress.config.settings
from ccompress.config.settings import PROTOCOL
from ccompress.deployment import model

ROOT = Path(__file__).parents[1]
# Models stored by the version of 24 November 2026, and their probabilities for two texts.
STORED = {
    "dan_factors": [[0.36974090, 0.37447876, 0.25578034], [0.41915777, 0.31088251, 0.26995972]],
    "dan_product": [[0.37537591, 0.36696476, 0.25766736], [0.46308157, 0.26288489, 0.27403349]],
    "lstm_codebook": [[0.24469131, 0.45457363, 0.30073509], [0.31688002, 0.33746067, 0.34565932]],
    "lstm_byte_factors": [
        [0.24815671, 0.44979528, 0.30204797],
        [0.30662522, 0.33785847, 0.35551631],
    ],
}


def committed():
    """Some rows of each experiment, spread over its methods and data sets."""
    for path in sorted((ROOT / "results").glob("*/runs.csv")):
        with path.open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["status"] == "done"]
        for row in rows[:: max(1, len(rows) // 8)]:
            yield pytest.param(row, id=f"{path.parent.name}-{row['run_id']}")


@pytest.mark.parametrize("row", list(committed()))
def test_the_command_line_of_a_committed_row_has_its_id(row, tmp_path, monkeypatch):
    if int(row["protocol"]) != PROTOCOL:
        pytest.skip(f"the row is of protocol {row['protocol']}, this version's is {PROTOCOL}")
    if row["vectors"].startswith("glove"):
        # The vectors are not in the repository. Their contents enter the id as this checksum.
        (tmp_path / "glove.6B.100d.txt").touch()
        monkeypatch.setattr(
            ccompress.config.settings, "_contents", lambda key, path: row["vectors_sha256"]
        )
    words = [*shlex.split(row["overrides"])[1:], f"data.root={tmp_path}"]
    assert composing.settings(*words).run_id == row["run_id"]


@pytest.mark.parametrize("name", STORED)
def test_a_model_file_of_an_earlier_version_gives_the_same_probabilities(name):
    small = model.load(Path(__file__).parent / "before_the_move" / f"{name}.safetensors")
    probabilities = small.probabilities(["w2 w3 w5", "w7"])
    torch.testing.assert_close(probabilities, torch.tensor(STORED[name]), rtol=0, atol=1e-5)
