"""Filters of stored runs on a command line, such as `dataset=sst2 rate=0.5,0.9`."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ccompress.errors import InputError, nearest
from ccompress.experiment import results

Row = dict[str, Any]
Conditions = dict[str, list[str]]

_SHOWN = 10  # the number of values that an error message lists
_WHOLE = 1e15  # a smaller whole number is written with all its digits


def parse(words: Iterable[str]) -> Conditions:
    """Read filters: key -> the values that a run may have, as text.

    Raises:
        InputError: A word is not KEY=VALUE or KEY=VALUE,VALUE.
    """
    conditions: Conditions = {}
    for word in words:
        key, equals, values = word.partition("=")
        if not (key and equals and values):
            raise InputError(f"{word!r} is not a filter: give KEY=VALUE or KEY=VALUE,VALUE")
        conditions.setdefault(key, []).extend(values.split(","))
    return conditions


def select(
    rows: Sequence[Row], conditions: Conditions, options: Callable[[Row], Mapping[str, str]]
) -> list[Row]:
    """The rows that meet every condition.

    Args:
        rows: Rows with the columns of runs.csv.
        conditions: The result of `parse`. A key is a column, or an option such as `network.hidden`.
        options: A function that returns the options of a row.

    Raises:
        InputError: No row has a key, or no row meets a condition.
    """
    selected = list(rows)
    for key, texts in conditions.items():
        known = {*results.COLUMNS, *(name for row in rows for name in options(row))}
        if rows and key not in known:
            raise InputError(
                f"no run has a key {key}{nearest(key, known)}: it is a column of runs.csv or an "
                f"option that a run was given"
            )
        values = [plain(_value(row, key, options)) for row in selected]
        accepted = {plain(value) for value in texts}
        kept = [row for row, value in zip(selected, values, strict=True) if value in accepted]
        if selected and not kept:
            raise InputError(f"no run has {key}={','.join(texts)}: {key} is {_listed(values)}")
        selected = kept
    return selected


def _listed(values: Iterable[str]) -> str:
    """The distinct values, as many as fit on a line."""
    distinct = sorted({value or "none given" for value in values})
    return ", ".join(distinct[:_SHOWN]) + ", …" * (len(distinct) > _SHOWN)


def plain(value: Any) -> str:
    """A value as text in a canonical form: 0.90 and 9e-1 are "0.9", a missing value is ""."""
    if value is None or value != value:
        return ""
    text = str(value)
    if text.lower() in ("true", "false"):
        return text.lower()
    try:
        number = float(text)
    except ValueError:
        return text
    return str(int(number)) if number.is_integer() and abs(number) < _WHOLE else repr(number)


def _value(row: Row, key: str, options: Callable[[Row], Mapping[str, str]]) -> Any:
    return row[key] if key in results.COLUMNS else options(row).get(key)
