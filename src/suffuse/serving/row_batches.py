"""Rows as the network takes them, and rows of several requests side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..modalities.cell import Root
from ..predictor import Predictor
from ..predictor.input_encoding import Encoded, Input, encode
from .http_error import wrong

NOWHERE = Root("/nonexistent", "\0/")  # no path starts so: whatever slips through, no file is read
STRICT = replace(NOWHERE, strict=True)


class Cancelled(Exception):
    """Nobody waits for these rows any more."""


@dataclass(frozen=True)
class Rows:
    """B rows of one request."""

    entries: Mapping[str, np.ndarray]  # modality -> (B, ...)
    present: np.ndarray  # (B, M) bool
    absent: Sequence[Mapping[str, str]]  # of each row, modality -> why it isn't used
    partly: Sequence[Mapping[str, str]]  # of each row, modality -> what of it isn't used

    def __len__(self) -> int:
        return len(self.present)


def prepared(
    predictor: Predictor,
    records: Sequence[Mapping[str, Any]],
    strict: bool = True,
    cancelled: Callable[[], bool] = lambda: False,
) -> Rows:
    """Records of safe cells -> rows. Raises Refusal where something can't be read; if not ``strict``, it is absent, and
    its row says why.

    ``cancelled`` is asked before each cell is decoded. Raises Cancelled where it says yes.
    """
    place = STRICT if strict else NOWHERE
    columns = [encode(one, _cells(predictor, one, records, cancelled), place) for one in predictor.inputs]
    present = np.array([[row not in c.absent for c in columns] for row in range(len(records))], dtype=bool)
    named = list(zip(predictor.names, columns, strict=True))
    if strict:
        _refuse_unreadable(named)
    return Rows(
        {name: c.entries for name, c in named},
        present.reshape(len(records), len(columns)),
        [{name: c.absent[row] for name, c in named if row in c.absent} for row in range(len(records))],
        [{name: c.partly[row] for name, c in named if row in c.partly} for row in range(len(records))],
    )


def _refuse_unreadable(columns: Sequence[tuple[str, Encoded]]) -> None:
    """The first row's reason."""
    found = [(min(c.unreadable), name, c) for name, c in columns if c.unreadable]
    if found:
        row, name, one = min(found, key=lambda each: each[0])
        reason = one.absent.get(row) or one.partly[row]
        hint = 'with on_unreadable "absent" it is answered without it'
        raise wrong("unreadable", f"row {row + 1}: '{name}' can't be read: {reason}", hint)


def _cells(
    predictor: Predictor, one: Input, records: Sequence[Mapping[str, Any]], cancelled: Callable[[], bool]
) -> Iterator[Any]:
    for record in records:
        if cancelled():
            raise Cancelled
        yield _cell(predictor, one, record)


def _cell(predictor: Predictor, one: Input, record: Mapping[str, Any]) -> Any:
    """By its column; of several a dictionary."""
    if isinstance(one.settings.column, str):
        return predictor.value(one.settings.column, record, NOWHERE)
    return {column: predictor.value(column, record, NOWHERE) for column in one.settings.columns}


def joined(several: Sequence[Rows]) -> tuple[Mapping[str, np.ndarray], np.ndarray]:
    """Rows of several requests -> entries (B, ...) and present (B, M) of all of them, in order.

    Texts and steps of numbers are as long as the longest; behind their end stand zeros, which the network masks.
    """
    if len(several) == 1:
        return several[0].entries, several[0].present
    entries = {name: _stacked([rows.entries[name] for rows in several]) for name in several[0].entries}
    return entries, np.concatenate([rows.present for rows in several])


def _stacked(parts: Sequence[np.ndarray]) -> np.ndarray:
    first = parts[0]
    if all(part.shape[1:] == first.shape[1:] for part in parts):
        return np.concatenate(parts)
    made = np.zeros((sum(map(len, parts)), max(p.shape[1] for p in parts), *first.shape[2:]), dtype=first.dtype)
    at = 0
    for part in parts:
        made[at : at + len(part), : part.shape[1]] = part
        at += len(part)
    return made
