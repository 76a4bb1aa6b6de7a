"""The state of rows while they are cleaned, and the rules by which rows are left out."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from . import row_keys, splits
from .cell_cleaning import Cleaned
from .quarantine import Quarantine
from .targets import Cells

EMPTY = "nothing is present in this row"
KEY_ROWS = 65_536  # rows whose hashes are made at a time


@dataclass
class Draft:
    """The rows while they are being cleaned; all lists have N items."""

    ids: list[str | None]
    lines: list[int]
    label: list[str | None]  # all targets as one text
    group: np.ndarray  # (N,) int64
    split: np.ndarray  # (N,) int8
    columns: dict[str, Cleaned]
    keep: np.ndarray  # (N,) bool, False once a row is quarantined
    notes: Quarantine
    targets: list[Cells] = field(default_factory=list)
    derive: dict[str, dict] = field(default_factory=dict)  # derived columns and what they were made with
    slice_columns: dict[str, list[str | None]] = field(
        default_factory=dict
    )  # column -> values that scores are reported by
    equal: dict[tuple[bool, bool], np.ndarray] = field(default_factory=dict)  # cache of split_leaks.content_codes

    def drop(self, row: int, column: str, reason: str) -> None:
        """Leave a row out; only its first reason counts."""
        if self.keep[row]:
            self.keep[row] = False
            self.notes.note(self.lines[row], self.ids[row], column, "quarantined", reason)

    def entries(self) -> np.ndarray:
        """(N, M) slot of each row's item, -1 where absent."""
        return np.stack([c.entry for c in self.columns.values()], axis=1)

    def keys(self, rows: np.ndarray) -> np.ndarray:
        """(K,) uint64 hash of the id and all contents of some rows (K,)."""
        keys = []
        for start in range(0, len(rows), KEY_ROWS):
            chunk = rows[start : start + KEY_ROWS]
            contents = np.concatenate([c.contents(chunk) for c in self.columns.values()], axis=1)
            keys.append(row_keys.row_keys([self.ids[r] for r in chunk], contents))
        return np.concatenate(keys)


def drop_bad_ids(draft: Draft) -> None:
    """Leave out rows without an id, with the id of an earlier row, or of an unknown split."""
    for row in (row for row, name in enumerate(draft.ids) if name is None):
        draft.drop(row, "id", "no id")
    for row, first in row_keys.first_occurrences(draft.ids).items():
        draft.drop(row, "id", f"duplicate id: stands in line {draft.lines[first]} too")
    for row in np.flatnonzero(draft.split == splits.UNKNOWN):
        draft.drop(int(row), "split", "unknown split: expected train, validation or test")


def drop_bad_targets(draft: Draft) -> None:
    """Leave out rows with a target that can't be read."""
    for cells in draft.targets:
        for row, reason in cells.broken.items():
            draft.drop(row, cells.name, reason)


def drop_empty(draft: Draft) -> None:
    """Note absent and partly read items; leave out rows in which nothing is present."""
    for name, column in draft.columns.items():
        for action, reasons in (("absent", column.reasons), ("partly", column.remarks)):
            for row, reason in reasons.items():
                if draft.keep[row]:
                    draft.notes.note(draft.lines[row], draft.ids[row], name, action, reason)
    for row in np.flatnonzero(draft.entries().max(1) < 0):
        draft.drop(int(row), "", EMPTY)


def drop_straddling(draft: Draft) -> None:
    """Of a given split, leave out training rows whose group is in validation or test too, and validation rows whose
    group is in test."""
    for code, held in ((splits.VALIDATION, (splits.TEST,)), (splits.TRAIN, (splits.VALIDATION, splits.TEST))):
        held_groups = np.unique(draft.group[draft.keep & np.isin(draft.split, held)])
        for row in np.flatnonzero(draft.keep & (draft.split == code) & np.isin(draft.group, held_groups)):
            draft.drop(int(row), "group", "its group stands in a held-out split too")
