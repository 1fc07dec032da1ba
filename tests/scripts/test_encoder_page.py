"""The page of `scripts/encoder` for made-up rows."""

import encoder_page
import pandas as pd


def row(method, rate, recovered, seed, accuracy):
    measured = {"cosine": 0.5, "rank_correlation": 0.25, "relative_error": 0.75}
    sizes = {"bytes_before": 1000.0, "bytes_after": 100.0, "texts": 500 * recovered}
    tasks = dict.fromkeys(encoder_page.TASKS, accuracy)
    key = {"method": method, "rate": rate, "recovered": recovered, "seed": seed}
    return {**key, **measured, **sizes, **tasks}


def test_a_line_for_each_case_with_intervals_over_seeds(tmp_path):
    rows = [row("none", 0.0, False, 0, 80.0), row("quantization", 0.9, False, 0, 60.0)]
    rows += [row("quantization", 0.9, True, seed, 70.0 + seed) for seed in (0, 1, 2)]
    pd.DataFrame(rows).to_csv(tmp_path / "runs.csv", index=False)
    encoder_page.write(tmp_path)
    page = (tmp_path / "README.md").read_text(encoding="utf-8")
    lines = [line for line in page.splitlines() if line.startswith("| `")]
    assert lines[0].startswith("| `none` |  |  | no | 0.500 | 0.250 | 80.0 |")
    assert lines[1].startswith("| `quantization` | 90.0% | 0.75 | no | 0.500 | 0.250 | 60.0 |")
    assert "| 90.0% | 0.75 | yes | " in lines[2]
    assert "71.0 [68.5, 73.5]" in lines[2]
    assert "on 500 training texts" in page
