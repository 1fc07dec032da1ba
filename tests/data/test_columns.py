"""Which columns are taken for texts and labels where nobody names them."""

from pathlib import Path

import pytest

from ccompress.data.columns import recognised
from ccompress.errors import InputError


def table(folder: Path, *lines: str) -> Path:
    path = folder / "table.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


ROWS = [f"{i},it is text number {i},{'xy'[i % 2]}" for i in range(8)]


@pytest.mark.parametrize(
    ("header", "rows", "columns"),
    [
        ("id,what,queue", ROWS, ("what", "queue")),  # most words; values that stand again
        ("Text,what,queue", ROWS, ("Text", "queue")),
        ("id,Anfrage,Kategorie", ROWS, ("Anfrage", "Kategorie")),
        # of two candidates the one of a usual name
        (
            "id,what,queue,Label",
            [f"{row},{i // 4}" for i, row in enumerate(ROWS)],
            ("what", "Label"),
        ),
    ],
)
def test_guesses(tmp_path: Path, header: str, rows: list[str], columns: tuple[str, str]) -> None:
    assert recognised(table(tmp_path, header, *rows), None, None, None) == columns


def test_what_is_named_is_taken(tmp_path: Path) -> None:
    path = table(tmp_path, "id,what,queue", *ROWS)
    assert recognised(path, None, "id", None) == ("id", "queue")
    assert recognised(path, None, None, "what") == ("id", "what")


def test_several_columns_that_may_be_the_labels_are_not_guessed_among(tmp_path: Path) -> None:
    path = table(
        tmp_path, "what,queue,urgent", *(f"a text of {i},{i % 2},{i % 3}" for i in range(9))
    )
    with pytest.raises(InputError, match=r"each of 'queue', 'urgent' may .* with --label"):
        recognised(path, None, None, None)


@pytest.mark.parametrize(
    ("text", "label", "complaint"),
    [
        (None, None, r"no column has values that stand again"),
        ("wat", None, r"--text wat: .*has 'id', 'what' \(did you mean what\?\)"),
        (None, "queue", r"--label queue: .*has 'id', 'what'"),
    ],
)
def test_what_is_wrong_is_named(
    tmp_path: Path, text: str | None, label: str | None, complaint: str
) -> None:
    path = table(tmp_path, "id,what", *(f"{i},text {i}" for i in range(8)))
    with pytest.raises(InputError, match=complaint):
        recognised(path, None, text, label)
