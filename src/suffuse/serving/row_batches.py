"""Rows as the network takes them, and rows of several requests side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..modalities.cell import Root
from ..predictor import Predictor
from ..predictor.input_encoding import Encoded, Input, encode
from .http_error import unprocessable

NOWHERE = Root("/nonexistent", "\0/")  # no path begins so: even a path in a record would open no file
STRICT = replace(NOWHERE, strict=True)


class Cancelled(Exception):
    """The client no longer waits for these rows."""


@dataclass(frozen=True)
class Rows:
    """B rows of one request."""

    entries: Mapping[str, np.ndarray]  # modality -> (B, ...)
    present: np.ndarray  # (B, M) bool
    absent: Sequence[Mapping[str, str]]  # of each row, modality -> why it isn't used
    partly: Sequence[Mapping[str, str]]  # of each row, modality -> what of it isn't used

    def __len__(self) -> int:
        return len(self.present)


def encode_records(
    predictor: Predictor,
    records: Sequence[Mapping[str, Any]],
    strict: bool = True,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> Rows:
    """Records of validated cells -> rows. Raises Refusal where a cell can't be read; if not ``strict``, its modality is
    absent, and the row has the reason.

    ``is_cancelled`` is called before each cell is decoded. Raises Cancelled where it returns True.
    """
    root = STRICT if strict else NOWHERE
    columns = [
        encode(modality, _cells(predictor, modality, records, is_cancelled), root) for modality in predictor.inputs
    ]
    present = np.array([[row not in c.absent for c in columns] for row in range(len(records))], dtype=bool)
    encoded = list(zip(predictor.names, columns, strict=True))
    if strict:
        _refuse_unreadable(encoded)
    return Rows(
        {name: c.entries for name, c in encoded},
        present.reshape(len(records), len(columns)),
        [{name: c.absent[row] for name, c in encoded if row in c.absent} for row in range(len(records))],
        [{name: c.partly[row] for name, c in encoded if row in c.partly} for row in range(len(records))],
    )


def concatenate_rows(parts: Sequence[Rows]) -> tuple[Mapping[str, np.ndarray], np.ndarray]:
    """Rows of several requests -> entries (B, ...) and present (B, M) of all of them, in order.

    Texts and series are as long as the longest; behind their end are zeros, which the network masks.
    """
    if len(parts) == 1:
        return parts[0].entries, parts[0].present
    entries = {name: _concatenate_padded([rows.entries[name] for rows in parts]) for name in parts[0].entries}
    return entries, np.concatenate([rows.present for rows in parts])


def _refuse_unreadable(columns: Sequence[tuple[str, Encoded]]) -> None:
    """Refuse for the first unreadable row."""
    unreadable = [(min(c.unreadable), name, c) for name, c in columns if c.unreadable]
    if unreadable:
        row, name, encoded = min(unreadable, key=lambda each: each[0])
        reason = encoded.absent.get(row) or encoded.partly[row]
        hint = 'with on_unreadable "absent" it is answered without it'
        raise unprocessable("unreadable", f"row {row + 1}: '{name}' can't be read: {reason}", hint)


def _cells(
    predictor: Predictor, modality: Input, records: Sequence[Mapping[str, Any]], is_cancelled: Callable[[], bool]
) -> Iterator[Any]:
    """A modality's cell of each record: by its column; of several columns a dictionary."""
    column = modality.settings.column
    for record in records:
        if is_cancelled():
            raise Cancelled
        if isinstance(column, str):
            yield predictor.value(column, record, NOWHERE)
        else:
            yield {name: predictor.value(name, record, NOWHERE) for name in modality.settings.columns}


def _concatenate_padded(parts: Sequence[np.ndarray]) -> np.ndarray:
    first = parts[0]
    if all(part.shape[1:] == first.shape[1:] for part in parts):
        return np.concatenate(parts)
    padded = np.zeros((sum(map(len, parts)), max(p.shape[1] for p in parts), *first.shape[2:]), dtype=first.dtype)
    start = 0
    for part in parts:
        padded[start : start + len(part), : part.shape[1]] = part
        start += len(part)
    return padded
