import shlex

import pytest

from ccompress.errors import InputError
from ccompress.report import labels


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("tickets.csv", "tickets.csv"),
        ('"tickets.csv"', "tickets.csv"),
        ("'my tickets.csv'", "my tickets.csv"),
        (r"'it\'s.csv'", "it's.csv"),
        ('"0.90"', "0.9"),
        ('"', '"'),
    ],
)
def test_a_quoted_value_is_the_value(written, read):
    """Hydra reads both in the same way, so both are one data set in filters and reports."""
    line = shlex.join(["ccompress", f"dataset.train={written}", "+network.hidden=50"])
    assert labels.options(line) == {"dataset.train": read, "network.hidden": "50"}


def test_a_text_that_is_no_command_line_is_refused():
    with pytest.raises(InputError, match="is not a command line"):
        labels.options("ccompress 'a")
