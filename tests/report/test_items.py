import base64

import numpy as np
import pandas as pd
import pytest

from ccompress.errors import InputError
from ccompress.report import items


def table(generator, seeds, count, of_seeds, of_items, noise=0.0):
    """Differences with known variance between seeds and between items."""
    return (
        of_seeds * generator.standard_normal((seeds, 1))
        + of_items * generator.standard_normal((1, count))
        + noise * generator.standard_normal((seeds, count))
    )


@pytest.mark.parametrize(("of_seeds", "of_items"), [(1.0, 0.0), (0.0, 20.0), (0.7, 15.0)])
def test_intervals_cover_the_truth_about_as_often_as_they_promise(of_seeds, of_items):
    """The true mean is 0; 400 data sets of 8 seeds and 300 items."""
    generator = np.random.default_rng(1)
    covered = []
    for _ in range(400):
        estimate = items.interval([("a", table(generator, 8, 300, of_seeds, of_items, 5.0))])
        covered.append(estimate.low <= 0 <= estimate.high)
    assert 0.88 <= np.mean(covered) <= 0.99


def test_the_mean_of_cells_is_less_noisy_than_one_of_them():
    generator = np.random.default_rng(2)
    cells = [(str(i), table(generator, 5, 200, 0.5, 10.0)) for i in range(9)]
    one, all_of_them = items.interval(cells[:1]), items.interval(cells)
    assert all_of_them.mean == pytest.approx(np.mean([cell.mean() for _, cell in cells]))
    assert all_of_them.high - all_of_them.low < 0.6 * (one.high - one.low)
    assert all_of_them.n == 5


def test_the_interval_includes_the_sampling_of_items_even_if_seeds_agree():
    """Two runs differ on 10 of 100 items with every seed, so that t over seeds has no width."""
    cell = np.zeros((5, 100))
    cell[:, :10] = 100
    estimate = items.interval([("a", cell)])
    assert estimate.mean == pytest.approx(10)
    # binomial standard error: sqrt(0.1 * 0.9 / 100) = 3 points
    assert estimate.high - estimate.low == pytest.approx(2 * 1.96 * 3, rel=0.15)


def test_two_networks_share_the_items_of_their_data_set():
    """The effects of the same items in two cells do not average out."""
    cell = table(np.random.default_rng(3), 5, 200, 0.0, 10.0)
    alone = items.interval([("a", cell)])
    of_one_data_set = items.interval([("a", cell), ("a", cell)])
    of_two_data_sets = items.interval([("a", cell), ("b", cell)])
    assert of_one_data_set.high - of_one_data_set.low == pytest.approx(
        alone.high - alone.low, rel=0.1
    )
    assert of_two_data_sets.high - of_two_data_sets.low == pytest.approx(
        (alone.high - alone.low) / 2**0.5, rel=0.1
    )


def test_stored_bits_are_read_back(tmp_path):
    right = np.random.default_rng(0).random(13) < 0.5
    packed = base64.b64encode(np.packbits(right).tobytes()).decode()
    path = tmp_path / "correct.csv.xz"
    pd.DataFrame({"run_id": ["0123456789ab"], "correct": [packed]}).to_csv(path, index=False)
    assert (items.read_correct(path, {"0123456789ab": 13})["0123456789ab"] == right).all()
    with pytest.raises(InputError, match="lacks 1 runs, such as ba9876543210"):
        items.read_correct(path, {"ba9876543210": 13})
    with pytest.raises(InputError, match="run the experiment"):
        items.read_correct(tmp_path / "none.csv.xz", {})


def test_differences_are_in_points_and_signed():
    correct = {"a": np.array([1.0, 0, 1]), "b": np.array([0.0, 0, 1]), "c": np.array([1.0, 1, 1])}
    estimate = items.differences(correct, [("a", "b"), ("b", "c")])
    assert estimate.tolist() == [[100, 0, 0], [-100, -100, 0]]
