"""Rows of any kind as records, column -> value: frames, Arrow tables, datasets, lists of records."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol, cast

from ..errors import UsageError, did_you_mean, listed, nearest

Record = Mapping[str, Any]  # column, or modality -> path, bytes, array, text or number


class Frame(Protocol):
    """A pandas or Polars frame, or an Arrow table."""

    @property
    def columns(self) -> Any:
        """Its columns."""


Rows = Sequence[Record] | Frame
TYPO = 0.8  # ratio of difflib from which another name is taken for a mistyped one


def to_records(rows: Any) -> list[Record]:
    """A pandas or Polars frame, an Arrow table, a Hugging Face dataset or a sequence of records -> records.

    Raises UsageError where it is none of them.
    """
    if hasattr(rows, "to_pylist"):  # an Arrow table
        return rows.to_pylist()
    if hasattr(rows, "to_dicts"):  # a Polars frame
        return rows.to_dicts()
    if hasattr(rows, "columns") and hasattr(rows, "to_dict"):  # a pandas frame
        names = [str(name) for name in rows.columns]
        return [dict(zip(names, cells, strict=True)) for cells in rows.itertuples(index=False, name=None)]
    if hasattr(rows, "features") and hasattr(rows, "with_format"):
        return [dict(row) for row in cast("Iterable[Record]", rows)]
    if not isinstance(rows, Sequence) or isinstance(rows, (str, bytes, bytearray)):
        got, expected = type(rows).__name__, "a record (column -> value), a list of records, or a frame"
        raise UsageError("this is no record", got=got, expected=expected)
    return list(cast("Sequence[Record]", rows))


def check_records(records: Iterable[Any], known: Collection[str]) -> set[str]:
    """The keys of all records; those that aren't ``known`` are columns that the model doesn't read.

    Raises UsageError where a record is no mapping, has none of the model's inputs, or a key that looks like a mistyped
    input that the record lacks.
    """
    checked: set[tuple[str, ...]] = set()
    for record in records:
        if not isinstance(record, Mapping):
            got, expected = type(record).__name__, "a mapping, column -> value"
            raise UsageError("this is no record", got=got, expected=expected)
        keys = tuple(cast("Mapping[str, Any]", record))
        if keys not in checked:
            _check_keys(keys, known)
            checked.add(keys)
    return {key for keys in checked for key in keys}


def _check_keys(keys: tuple[str, ...], known: Collection[str]) -> None:
    if not keys:
        expected, hint = f"some of {listed(sorted(known))}", "None as a value says that a column is empty"
        raise UsageError("this record has none of the model's inputs", expected=expected, hint=hint)
    others = [key for key in keys if key not in known]
    lacking = [name for name in known if name not in keys]
    for key in others:
        if len(others) == len(keys) or _resembles(str(key), lacking):
            raise UsageError("this model has no such input", got=f"'{key}'", hint=did_you_mean(str(key), known))


def _resembles(key: str, names: Collection[str]) -> bool:
    return bool(nearest(key.casefold(), [name.casefold() for name in names], 1, cutoff=TYPO))
