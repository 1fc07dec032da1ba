"""Which columns hold the texts and labels if the user does not name them."""

from pathlib import Path

import pytest

from ccompress.data.columns import recognised
from ccompress.data.datasets.custom import Custom
from ccompress.errors import InputError


def table(folder: Path, *lines: str) -> Path:
    path = folder / "table.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


ROWS = [f"{i},it is text number {i},{'xy'[i % 2]}" for i in range(8)]


@pytest.mark.parametrize(
    ("header", "rows", "columns"),
    [
        ("id,what,queue", ROWS, ("what", "queue")),  # the most words; repeated values
        ("Text,what,queue", ROWS, ("Text", "queue")),
        ("id,Anfrage,Kategorie", ROWS, ("Anfrage", "Kategorie")),
        # of two candidates, the one with a usual name is chosen
        (
            "id,what,queue,Label",
            [f"{row},{i // 4}" for i, row in enumerate(ROWS)],
            ("what", "Label"),
        ),
    ],
)
def test_guesses(tmp_path: Path, header: str, rows: list[str], columns: tuple[str, str]) -> None:
    assert recognised(table(tmp_path, header, *rows), None, None, None) == columns


def test_named_columns_are_used(tmp_path: Path) -> None:
    path = table(tmp_path, "id,what,queue", *ROWS)
    assert recognised(path, None, "id", None) == ("id", "queue")
    assert recognised(path, None, None, "what") == ("id", "what")


def test_several_possible_columns_of_labels_are_an_error(tmp_path: Path) -> None:
    path = table(
        tmp_path, "what,queue,urgent", *(f"a text of {i},{i % 2},{i % 3}" for i in range(9))
    )
    with pytest.raises(InputError, match=r"each of 'queue', 'urgent' may .* with --label"):
        recognised(path, None, None, None)


@pytest.mark.parametrize(
    ("text", "label", "complaint"),
    [
        (
            None,
            None,
            r"no column of labels beside 'what': 'id' has 8 different values in 8 rows; na",
        ),
        ("wat", None, r"--text wat: .*has 'id', 'what' \(did you mean what\?\)"),
        (None, "queue", r"--label queue: .*has 'id', 'what'"),
    ],
)
def test_the_error_names_what_is_wrong(
    tmp_path: Path, text: str | None, label: str | None, complaint: str
) -> None:
    path = table(tmp_path, "id,what", *(f"{i},text {i}" for i in range(8)))
    with pytest.raises(InputError, match=complaint):
        recognised(path, None, text, label)


def test_a_column_of_a_usual_name_is_used_and_reading_says_what_is_wrong_with_it(
    tmp_path: Path,
) -> None:
    for labels, complaint in (
        (["x"] * 6, "one class only \\('x'\\)"),
        (list("abcdef"), "each of the 6 labels in 'label' has one text only"),
    ):
        path = table(tmp_path, "what,label", *(f"text {i},{x}" for i, x in enumerate(labels)))
        columns = recognised(path, None, None, None)
        assert columns == ("what", "label")
        read = Custom(
            name="custom",
            tokenizer="whitespace",
            vectors="glove",
            train=str(path),
            text=columns.text,
            label=columns.label,
        )
        with pytest.raises(InputError, match=complaint):
            read.load(tmp_path)
    path = table(tmp_path, "what,queue", *(f"text {i},{'x' * (i % 2)}" for i in range(6)))
    with pytest.raises(InputError, match=r"beside 'what': 'queue' has one value only \('x'\)"):
        recognised(path, None, None, None)
    path = table(tmp_path, "what", "text 1", "text 2")
    with pytest.raises(InputError, match="beside 'what': there is no other column"):
        recognised(path, None, None, None)
