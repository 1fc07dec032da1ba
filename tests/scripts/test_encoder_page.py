"""The page of `scripts/encoder` for made-up rows."""

from pathlib import Path

import encoder_page
import pandas as pd

ROOT = Path(__file__).parents[2]


def row(method, rate, recovered, seed, accuracy):
    measured = {"cosine": 0.5, "rank_correlation": 0.25, "relative_error": 0.75}
    sizes = {"bytes_before": 1000.0, "bytes_after": 100.0, "texts": 500 * recovered}
    tasks = dict.fromkeys(encoder_page.TASKS, accuracy)
    key = {"method": method, "rate": rate, "recovered": recovered, "seed": seed}
    return {**key, **measured, **sizes, **tasks}


def test_a_line_for_each_case_with_intervals_over_seeds(tmp_path):
    rows = [row("none", 0.0, False, 0, 80.0), row("quantization", 0.9, False, 0, 60.0)]
    rows += [row("quantization", 0.9, True, seed, 70.0 + seed) for seed in (0, 1, 2)]
    pd.DataFrame(rows).to_csv(tmp_path / encoder_page.ROWS, index=False)
    encoder_page.write(tmp_path)
    page = (tmp_path / "README.md").read_text(encoding="utf-8")
    table = page.partition("## All of it")[2]
    lines = [line for line in table.splitlines() if line.startswith("| `")]
    assert lines[0].startswith("| `none` |  |  | no | 0.500 | 0.250 | 80.0 |")
    assert lines[1].startswith("| `quantization` | 90.0% | 0.75 | no | 0.500 | 0.250 | 60.0 |")
    assert "| 90.0% | 0.75 | yes | " in lines[2]
    assert "71.0 [68.5, 73.5]" in lines[2]
    assert "on 500 training texts" in page
    assert "of the uncompressed encoder it is 80.0 %" in page
    assert "| `quantization` | 90.0% | 0.75 | 0.500 | 60.0 | 0.500 | 71.0 |" in page


def test_the_page_on_ones_own_model_shows_the_committed_results():
    rows = pd.read_csv(ROOT / "results" / "encoder" / encoder_page.ROWS)
    page = ROOT / "docs" / "compress_your_own_model.md"
    assert encoder_page.summary(rows).strip() in page.read_text(encoding="utf-8")
