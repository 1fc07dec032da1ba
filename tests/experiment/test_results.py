import pytest

from ccompress.experiment import results


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 kB"),
        (44, "0 kB"),
        (3_160, "3.2 kB"),
        (9_960, "10 kB"),
        (512_400, "512 kB"),
        (999_499, "999 kB"),
        (999_501, "1.00 MB"),
        (17_796_000, "17.80 MB"),
    ],
)
def test_sizes_are_in_kb_below_1_mb(count, shown):
    assert results.size(count) == shown
