"""Which column of a table holds the texts, and which the labels, where nobody says."""

from collections import defaultdict
from pathlib import Path
from statistics import mean

from ccompress.data import table_file
from ccompress.data.base import Columns as Columns
from ccompress.errors import InputError, nearest

_TEXTS = ("text", "sentence", "message", "utterance", "review", "nachricht", "satz")
_LABELS = ("label", "class", "category", "intent", "sentiment", "klasse", "kategorie")


def recognised(path: Path, delimiter: str | None, text: str | None, label: str | None) -> Columns:
    """The columns of a table; a guess for the one that is None.

    The texts are the column of a usual name, or else the one with most words. The labels are the
    only other column with values that stand again, or of those the one of a usual name.

    Args:
        path: The file.
        delimiter: See `table_file.rows`.
        text: The column of the texts, if it is known.
        label: The column of the labels, if it is known.

    Raises:
        InputError: The file cannot be read, lacks a column that is named, or leaves no guess.
    """
    values: defaultdict[str, list[str]] = defaultdict(list)
    for _, row in table_file.rows(path, delimiter):
        for name, value in row:
            values[name].append(str(value))
    if not values:
        raise InputError(f"{path} has no rows")
    for option, column in (("--text", text), ("--label", label)):
        if column is not None and column not in values:
            listed = ", ".join(map(repr, values))
            raise InputError(f"{option} {column}: {path} has {listed}{nearest(column, values)}")
    text = text or _text(values, label)
    return Columns(text, label or _label(values, text, path))


def _text(values: dict[str, list[str]], label: str | None) -> str:
    others = [name for name in values if name != label]
    named = [name for name in others if name.casefold() in _TEXTS]
    if len(named) == 1:
        return named[0]
    return max(others, key=lambda name: mean(len(value.split()) for value in values[name]))


def _label(values: dict[str, list[str]], text: str, path: Path) -> str:
    others = {name: column for name, column in values.items() if name != text}
    candidates = [name for name, column in others.items() if not _unlike_labels(column)]
    usual = [name for name in others if name.casefold() in _LABELS]
    # A column of a usual name is taken for the labels even if it cannot be: reading says why.
    for names in (usual, [name for name in usual if name in candidates], candidates):
        if len(names) == 1:
            return names[0]
    if candidates:
        listed = ", ".join(map(repr, candidates))
        raise InputError(f"{path}: each of {listed} may hold the labels; say which with --label")
    reasons = [f"{name!r} has {_unlike_labels(column)}" for name, column in others.items()]
    raise InputError(
        f"{path} has no column of labels beside {text!r}: "
        f"{'; '.join(reasons) or 'there is no other column'}; name it with --label, or the texts"
        " with --text"
    )


def _unlike_labels(column: list[str]) -> str:
    """Why a column cannot hold labels; empty if it can."""
    filled = [value for value in column if value.strip()]
    distinct = len(set(filled))
    if distinct < 2:
        return f"one value only ({filled[0]!r})" if filled else "no values"
    if distinct > len(filled) / 2:
        return f"{distinct:,} different values in {len(filled):,} rows"
    return ""
