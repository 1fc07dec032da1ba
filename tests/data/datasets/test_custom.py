"""The user's own files: their forms, and what can be wrong with them."""

import gzip
import json
from collections import Counter
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
    """A data set whose train and test file both have these contents."""
    path = folder / name
    path.write_bytes(contents if isinstance(contents, bytes) else contents.encode())
    files = {"train": str(path), "test": str(path), **options}
    fixed = {"name": "custom", "tokenizer": "treebank", "vectors": "glove"}
    return Custom(**{**fixed, **files})


@pytest.mark.parametrize(
    ("name", "contents"), [("a.csv", CSV), ("a.tsv", TSV), ("a.JSONL", JSON_LINES)]
)
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_three_forms_give_the_same_splits(
    tmp_path: Path, name: str, contents: str, mark: str
) -> None:
    dataset = custom(tmp_path, mark + contents, name)
    splits = dataset.load(tmp_path)
    assert splits.test.tokens == TOKENS
    assert splits.test.labels == ["pos", "neg", "pos", "neg"]
    assert (len(splits.train), len(splits.dev)) == (2, 2)
    assert dataset.files() == {"train": tmp_path / name, "test": tmp_path / name}


SEMICOLONS = "text;label\n" + CSV.partition("\n")[2].replace(",pos", ";pos").replace(",neg", ";neg")


@pytest.mark.parametrize(
    ("name", "contents"),
    [
        ("a.csv", SEMICOLONS),
        ("a.csv", "sep=|\r\n" + TSV.replace("\t", "|").replace('"no"', "no")),
        ("a.csv", '"sep=\t"\n' + TSV),
        ("a.csv", TSV),
        ("a.tsv", SEMICOLONS.replace(";", "\t")),
        ("a.json", "[" + ",".join(JSON_LINES.split("\n")) + "]"),
        ("a.jsonl.gz", gzip.compress(JSON_LINES.encode(), mtime=0)),
        ("a.CSV.gz", gzip.compress(CSV.encode(), mtime=0)),
        ("a.csv", TSV.encode("UTF-16")),
    ],
)
def test_other_forms_give_the_same_splits(tmp_path: Path, name: str, contents: str | bytes) -> None:
    splits = custom(tmp_path, contents, name).load(tmp_path)
    assert splits.test.labels == ["pos", "neg", "pos", "neg"]
    quoted = [token for token in TOKENS[1] if "sep=|" not in str(contents) or token not in "``''"]
    assert splits.test.tokens == [TOKENS[0], quoted, *TOKENS[2:]]


def test_a_file_without_a_header_has_numbered_columns(tmp_path: Path) -> None:
    contents = "good,x\nbad,y\nso,x\nwell,x\nno,y\n"
    splits = custom(tmp_path, contents, text="1", label="2").load(tmp_path)
    assert splits.test.labels == ["x", "y", "x", "x", "y"]


def test_a_header_that_is_repeated_in_the_middle_is_no_example(tmp_path: Path) -> None:
    contents = "text,label\na,x\nb,y\ntext,label\nc,x\nd,y\ntext,label\n"
    assert len(custom(tmp_path, contents).load(tmp_path).test) == 6


def test_the_delimiter_is_an_option(tmp_path: Path) -> None:
    contents = "text~label\nso~x\nno~y\nso~x\nno~y\n"
    splits = custom(tmp_path, contents, delimiter="~").load(tmp_path)
    assert splits.test.labels == ["x", "y", "x", "y"]
    with pytest.raises(InputError, match=r"dataset.delimiter='ab': it is one character"):
        custom(tmp_path, contents, delimiter="ab")


def test_without_a_test_file_a_fifth_of_each_class_is_test_and_a_fifth_of_the_rest_is_dev(
    tmp_path: Path,
) -> None:
    rows = [f"word{i},{'xxxxy'[i % 5]}" for i in range(250)] + ["lone,z"]
    splits = custom(tmp_path, "\n".join(["text,label", *rows]), test=None).load(tmp_path)
    turned = custom(tmp_path, "\n".join(["text,label", *rows[::-1]]), test=None).load(tmp_path)
    sizes = {name: Counter(getattr(splits, name).labels) for name in ("train", "dev", "test")}
    assert sizes == {
        "train": {"x": 128, "y": 32, "z": 1},
        "dev": {"x": 32, "y": 8},
        "test": {"x": 40, "y": 10},
    }
    assert sorted(splits.test.tokens) == sorted(turned.test.tokens)


def test_with_a_dev_file_no_text_is_held_out_from_train(tmp_path: Path) -> None:
    (tmp_path / "dev.csv").write_text("text,label\nwell,neg\n", "utf-8")
    dataset = custom(tmp_path, CSV, dev=str(tmp_path / "dev.csv"))
    splits = dataset.load(tmp_path)
    assert (len(splits.train), splits.dev.tokens) == (4, [["well"]])
    assert dataset.files()["dev"] == tmp_path / "dev.csv"


def test_columns_and_tokenizer_are_options(tmp_path: Path) -> None:
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
        ("a.csv", "text,label\nso,x\n  ,y\n", r"rows without words in 'text' \(line 3\): fill"),
        (
            "a.csv",
            "text,label\n,x\n<br/>,y\nd,\ne,x\n" + ",x\n" * 4,
            r"rows without words in 'text' \(lines 2, 3, 6, 7, 8, … \(6 in all\)\) and without a"
            r" value in 'label' \(line 4\): fill",
        ),
        ("a.csv", "text,label\nso,x\n", r"one class only \('x'\)"),
        ("a.csv", "text,label\nso,x\nso,\n", r"has rows without a value in 'label' \(line 3\)"),
        ("a.csv", "text,label\nwell, so,x\n", r"line 2 has 3 fields where the header has 2"),
        ("a.csv", 'text,label\n"so,x\nwell,y\n', r"a.csv line 3 cannot be read: unexpected end"),
        ("a.csv", "text,label\na,x\nb,x\n", r"one class only \('x'\)"),
        ("a.csv", "text,label\na,x\nb,y\n", r"each of the 2 labels in 'label' has one text only"),
        ("a.jsonl", '{"text": "café"}'.encode("ISO-8859-1"), r"a.jsonl is not UTF-8 \(line 1\)"),
        # damaged UTF-8; a text in no Western language; a binary file
        ("a.csv", "text,label\ncafé,x\n".encode() + b"caf\xe9", r"a.csv is not UTF-8 \(line 3\)"),
        ("a.csv", "text,label\nпривет,x\n".encode("cp1251"), r"a.csv is not UTF-8 \(line 2\)"),
        ("a.csv", b"PK\x03\x04\xff\xfe\x00", r"a.csv is not UTF-8 \(line 1\)"),
        ("a.tsv", "text\tlabel\nso\tx\ty\n", r"line 2 has 3 fields where the header has 2"),
        ("a.jsonl", '{"text": "so", "label": "x"}\nso,x', r"a.jsonl line 2 is not JSON"),
        ("a.jsonl", "[1]", r"a.jsonl line 1 is not a JSON object"),
        ("a.jsonl", '{"text": "so", "label": null}', r"without a value in 'label' \(line 1\)"),
        ("a.jsonl", '{"text": "so", "label": ["x"]}', r"line 1: 'label' is a list; it must be a s"),
        ("a.jsonl", '{"text": {"a": 1}, "label": "x"}', r"line 1: 'text' is an object; it must"),
        ("a.jsonl", '{"text": "so", "label": NaN}', r"line 1: 'label' is the number NaN; it must"),
        ("a.jsonl", '\n{"text": NaN, "label": "x"}', r"line 2: 'text' is the number NaN; it must"),
        ("a.jsonl", '{"text": "so", "label": -1e400}', r"'label' is the number -Infinity; it must"),
        ("a.jsonl", r'{"text": "so \ud83d", "label": "x"}', r"line 1: 'text' holds half of a surr"),
        ("a.jsonl", r'{"text": "so", "label": "\udc00x"}', r"line 1: 'label' holds half of a surr"),
        ("a.jsonl", '{"text": "so", "text": "no", "label": "x"}', r"1 has 2 columns named 'text'"),
        ("a.jsonl", '{"text": "so", "label": ' + "9" * 5000 + "}", r"a.jsonl line 1 is not JSON"),
        ("a.jsonl", '{"text": ' + "[" * 100_000, r"a.jsonl line 1 is not JSON"),
        ("a.csv", "text,label,label\nso,x,y\n", r"a.csv line 2 has 2 columns named 'label'"),
        ("a.csv", "text,label,text\nso,x,y\n", r"a.csv line 2 has 2 columns named 'text'"),
        ("a.tsv", "text\tlabel\tlabel\nso\tx\ty\n", r"line 2 has 2 columns named 'label'"),
        ("a.csv", 'text,label\n"so\n\nso",x\n"a\nb",\n', r"without a value in 'label' \(line 5\)"),
        ("a.csv", "text,label\na,x\nb,y\nc,x\n<br/>,y\nd,y\n", r"without words in 'text' \(line 5"),
        ("a.txt", "so", r"a.txt must end in .csv, .tsv, .json, .jsonl"),
        ("a.xlsx", b"PK\x03\x04\xff", r"a.xlsx is a spreadsheet; save it as CSV"),
        ("a.csv.gz", "text,label\n", r"a.csv.gz is no whole gzip file"),
        ("a.json", '{"text": "so", "label": "x"}', r"a.json is not a list of objects"),
        ("a.json", '[{"text": "so", "label": "x"}, 1]', r"a.json entry 2 is not a JSON object"),
        ("a.json", '[{"text": "so", "label": ""}]', r"without a value in 'label' \(entry 1\)"),
        ("a.csv", "sep=;\ntext;label\nso;x\nno, or;\n", r"without a value in 'label' \(line 4\)"),
        ("a.csv", "good,x\nbad,y\nso,x\nwell,x\n", r"no column 'text', only '1', '2'"),
    ],
)
def test_the_error_names_what_is_wrong(
    tmp_path: Path, name: str, contents: str | bytes, complaint: str
) -> None:
    with pytest.raises(InputError, match=complaint):
        custom(tmp_path, contents, name).load(tmp_path)


def test_a_spreadsheet_in_windows_1252_is_read_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lines = ["sep=;", "text;label", "schön für 3,50 €;ja", '"über\nuns";nein', "gut;ja", "ab;nein"]
    contents = "\r\n".join(lines)
    plain = custom(tmp_path, contents, "plain.csv").load(tmp_path)
    assert not caplog.messages
    read = custom(tmp_path, contents.encode("cp1252"), "a.csv").load(tmp_path)
    assert read.test.tokens == plain.test.tokens
    assert read.test.tokens[0] == ["schön", "für", "3,50", "€"]
    (message,) = caplog.messages
    assert "a.csv is no UTF-8 and is read as Windows-1252" in message


def test_empty_rows_of_a_spreadsheet_are_left_out(tmp_path: Path) -> None:
    lines = CSV.split("\n")
    contents = "\n".join([*lines[:3], ",", " , ", *lines[3:], ","])
    assert custom(tmp_path, contents).load(tmp_path).test.tokens == TOKENS


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    dataset = custom(tmp_path, CSV, test=str(tmp_path / "absent.csv"))
    with pytest.raises(InputError, match=r"cannot read .*absent.csv: No such file"):
        dataset.load(tmp_path)


def test_a_label_that_only_test_has_is_named(tmp_path: Path) -> None:
    (tmp_path / "test.csv").write_text('text,label\n"so\nso",pos\nwell,neutral\n', "utf-8")
    dataset = custom(tmp_path, CSV, test=str(tmp_path / "test.csv"))
    message = r"test split has 1 label that train lacks, in 1 text: 'neutral' .*test.csv line 4\)"
    with pytest.raises(InputError, match=message):
        dataset.load(tmp_path)


def test_two_columns_of_one_name_do_no_harm_if_they_are_not_used(tmp_path: Path) -> None:
    lines = CSV.split("\n")
    contents = "\n".join([lines[0] + ",,", *(line and line + ",a,b" for line in lines[1:])])
    assert custom(tmp_path, contents).load(tmp_path).test.tokens == TOKENS


def test_json_values_that_are_no_strings_are_read_as_text(tmp_path: Path) -> None:
    values = ["1", "1.5", "true", '"true"', str(10**400)]
    lines = [f'{{"text": {value}, "label": {value}, "note": NaN}}' for value in values]
    splits = custom(tmp_path, "\n".join(lines), "a.jsonl", tokenizer="whitespace").load(tmp_path)
    assert splits.test.labels == ["1", "1.5", "true", "true", str(10**400)]
    assert splits.test.tokens == [[label] for label in splits.test.labels]


def test_a_pair_of_surrogates_is_a_character(tmp_path: Path) -> None:
    rows = [r'{"text": "so \ud83d\ude00", "label": "\ud83d\ude00"}', '{"text": "so", "label": "x"}']
    splits = custom(tmp_path, "\n".join(rows * 2), "a.jsonl").load(tmp_path)
    assert (splits.test.tokens[0], splits.test.labels[0]) == (["so", "\U0001f600"], "\U0001f600")


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl"])
def test_a_text_may_be_long(tmp_path: Path, name: str) -> None:
    long = "so " * 50_000
    if name == "a.jsonl":
        contents = "\n".join(json.dumps({"text": long, "label": label}) for label in "xyxy")
    else:
        gap = "," if name == "a.csv" else "\t"
        contents = f"text{gap}label\n" + "".join(f"{long}{gap}{label}\n" for label in "xyxy")
    assert len(custom(tmp_path, contents, name).load(tmp_path).test.tokens[0]) == 50_000


def test_a_file_that_does_not_exist_is_reported_before_missing_vectors(
    tmp_path: Path, ccompress: Any
) -> None:
    root = f"data.root={tmp_path / 'empty'}"
    run = ccompress("dataset=custom", "dataset.train=absent.csv", root)
    assert run.returncode == 2
    assert run.stderr.startswith("ccompress: dataset.train: cannot read absent.csv: No such")
