"""The user's own files: three forms, and what can be wrong with them."""

import json
from pathlib import Path
from typing import Any

import pytest

from ccompress.data.datasets.custom import Custom
from ccompress.errors import InputError

ROWS = [
    ("Good, really", "pos"),
    ('He said "no"', "neg"),
    ("It's café", "pos"),
    ("so\u2028bad", "neg"),
]
TOKENS = [
    ["good", ",", "really"],
    ["he", "said", "``", "no", "''"],
    ["it", "'s", "café"],
    ["so", "bad"],
]
CSV = 'text,label\n"Good, really",pos\n"He said ""no""",neg\n\nIt\'s café,pos\nso\u2028bad,neg\n'
TSV = "label\tid\ttext\r\n" + "".join(f"{label}\t7\t{text}\r\n" for text, label in ROWS)
JSON_LINES = "\n".join(json.dumps({"text": t, "label": y}, ensure_ascii=False) for t, y in ROWS)


def custom(folder: Path, contents: str | bytes, name: str = "a.csv", **options: Any) -> Custom:
    """The data set whose train and test file have these contents."""
    path = folder / name
    path.write_bytes(contents if isinstance(contents, bytes) else contents.encode())
    files = {"train": str(path), "test": str(path), **options}
    return Custom(name="custom", tokenizer="treebank", vectors="glove", **files)


@pytest.mark.parametrize(
    ("name", "contents"), [("a.csv", CSV), ("a.tsv", TSV), ("a.JSONL", JSON_LINES)]
)
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_the_three_forms_give_the_same(tmp_path: Path, name: str, contents: str, mark: str) -> None:
    dataset = custom(tmp_path, mark + contents, name)
    splits = dataset.load(tmp_path)
    assert splits.test.tokens == TOKENS
    assert splits.test.labels == ["pos", "neg", "pos", "neg"]
    assert (len(splits.train), len(splits.dev)) == (2, 2)
    assert dataset.files() == {"train": tmp_path / name, "test": tmp_path / name}


def test_a_dev_file_leaves_train_whole(tmp_path: Path) -> None:
    (tmp_path / "dev.csv").write_text("text,label\nwell,neg\n", "utf-8")
    dataset = custom(tmp_path, CSV, dev=str(tmp_path / "dev.csv"))
    splits = dataset.load(tmp_path)
    assert (len(splits.train), splits.dev.tokens) == (4, [["well"]])
    assert dataset.files()["dev"] == tmp_path / "dev.csv"


def test_columns_and_tokenizer_of_other_names(tmp_path: Path) -> None:
    lines = '{"q": "A-B c", "y": 1}\n{"q": "d", "y": 0}\n{"q": "D", "y": 1}\n{"q": "e", "y": 0}\n'
    dataset = custom(tmp_path, lines, "a.jsonl", text="q", label="y")
    dataset.tokenizer = "whitespace"
    splits = dataset.load(tmp_path)
    assert splits.test.tokens == [["a-b", "c"], ["d"], ["d"], ["e"]]
    assert splits.test.labels == ["1", "0", "1", "0"]


def test_a_stray_quotation_mark_in_tsv_swallows_nothing(tmp_path: Path) -> None:
    contents = 'text\tlabel\n"so it begins\tx\nwell\ty\nbad"\tx\ngood\ty\n'
    assert len(custom(tmp_path, contents, "a.tsv").load(tmp_path).test) == 4


@pytest.mark.parametrize(
    ("name", "contents", "complaint"),
    [
        ("a.csv", "", r"a.csv is empty; its first line must name the columns"),
        ("a.csv", "text,label\n", r"the train split has no examples"),
        ("a.csv", "words,label\nso,x\n", r"line 2 has no column 'text', only 'words', 'label'"),
        ("a.csv", "text,class\nso,x\n", r"line 2 has no column 'label', only 'text', 'class'"),
        ("a.csv", "text,label\nso,x\n  ,y\n", r"a.csv line 3 has an empty 'text'"),
        ("a.csv", "text,label\nso,x\nso,\n", r"a.csv line 3 has an empty 'label'"),
        ("a.csv", "text,label\nwell, so,x\n", r"line 2 has 3 fields where the header has 2"),
        ("a.csv", 'text,label\n"so,x\nwell,y\n', r"a.csv line 3 cannot be read: unexpected end"),
        ("a.csv", "text,label\na,x\nb,x\n", r"one class only \('x'\)"),
        ("a.csv", "text,label\na,x\nb,y\n", r"the dev split has no examples"),
        ("a.csv", "text,label\ncafé,x\n".encode("ISO-8859-1"), r"a.csv is not UTF-8 \(line 2\)"),
        ("a.csv", b"PK\x03\x04\xff\xfe\x00", r"a.csv is not UTF-8 \(line 1\)"),
        ("a.tsv", "text\tlabel\nso\tx\ty\n", r"line 2 has 3 fields where the header has 2"),
        ("a.jsonl", '{"text": "so", "label": "x"}\nso,x', r"a.jsonl line 2 is not JSON"),
        ("a.jsonl", "[1]", r"a.jsonl line 1 is not a JSON object"),
        ("a.jsonl", '{"text": "so", "label": null}', r"line 1 has an empty 'label'"),
        ("a.jsonl", '{"text": ["so"], "label": "x"}', r"line 1 has an empty 'text'"),
        ("a.txt", "so", r"a.txt must end in .csv, .tsv, .jsonl"),
    ],
)
def test_what_is_wrong_is_named(
    tmp_path: Path, name: str, contents: str | bytes, complaint: str
) -> None:
    with pytest.raises(InputError, match=complaint):
        custom(tmp_path, contents, name).load(tmp_path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    dataset = custom(tmp_path, CSV, test=str(tmp_path / "absent.csv"))
    with pytest.raises(InputError, match=r"cannot read .*absent.csv: No such file"):
        dataset.load(tmp_path)


def test_a_label_that_only_test_has(tmp_path: Path) -> None:
    (tmp_path / "test.csv").write_text("text,label\nwell,neutral\n", "utf-8")
    dataset = custom(tmp_path, CSV, test=str(tmp_path / "test.csv"))
    with pytest.raises(InputError, match=r"test split has the label 'neutral' .example 1."):
        dataset.load(tmp_path)
