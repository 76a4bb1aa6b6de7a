"""A table and a recipe -> rows with ids, groups, splits and targets, and the rows that are left out.

``prepare`` and ``check`` share this code, so that a check reports what prepare does.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from .. import sources
from ..errors import SuffuseError
from ..modalities import load_modality
from ..modalities.cell import Root
from ..recipe import Data, Recipe
from . import duplicates, row_keys, splits, targets
from .cell_cleaning import Cleaned
from .derived_columns import Derived
from .quarantine import LeftOut, Quarantine
from .row_state import EMPTY, Draft, drop_bad_ids, drop_bad_targets, drop_empty, drop_straddling
from .targets import Cells


@dataclass(frozen=True)
class Roles:
    """Ids, groups, splits and targets of N rows; all lists have N items."""

    ids: list[str | None]
    group: np.ndarray  # (N,) int64
    split: np.ndarray  # (N,) int8, as it is given
    targets: list[Cells]
    slice_columns: dict[str, list[str | None]]  # column -> values that scores are reported by
    notes: Quarantine  # about rows that the source changed or couldn't read

    def names(self) -> list[str]:
        """The classes and labels of the rows that may be training rows."""
        return targets.names(self.targets, self.split == splits.TRAIN)

    def label(self) -> list[str | None]:
        """All targets of each row as one text, for comparing rows and for people."""
        if len(self.targets) == 1:
            return [self.targets[0].text(row) for row in range(len(self.ids))]
        parts = ([(c.name, c.text(row)) for c in self.targets] for row in range(len(self.ids)))
        return ["; ".join(f"{n}={t}" for n, t in parts_of_row if t is not None) or None for parts_of_row in parts]


def used_columns(recipe: Recipe) -> list[tuple[str, str]]:
    """(the recipe's key, a column that it names), in the recipe's order; derived columns among them."""
    data = recipe.data
    columns = [(f"modalities.{name}.column", column) for name, m in recipe.modalities.items() for column in m.columns]
    columns += [(f"data.derive.{name}.column", settings.column) for name, settings in data.derive.items()]
    columns += [("data.target", column) for column in data.targets]
    roles = (("data.id", data.id), ("data.group", data.group), ("data.split.column", data.split.column))
    columns += [(key, column) for key, column in roles if column]
    columns += [("data.split.hold_out.column", data.split.hold_out.column)] if data.split.hold_out else []
    return columns + [("evaluate.slice_by", column) for column in recipe.evaluate.slice_by]


def check_columns(recipe: Recipe, rows: sources.Rows) -> None:
    """Raise UsageError, naming the recipe's key, where it names a column that there won't be, or a library or file
    isn't there."""
    for key, column in used_columns(recipe):
        if column not in recipe.data.derive or not key.startswith(("modalities.", "data.derive.")):
            sources.column(rows, column, key)
    for settings in recipe.modalities.values():
        load_modality(settings.kind).ready(settings, False)


def root(data: Data, rows: sources.Rows) -> Root:
    """Where file paths in cells start, and the folder that they must stay in."""
    return Root.of(data.root or rows.root, data.allowed_dir)


def roles(recipe: Recipe, rows: sources.Rows) -> Roles:
    """Ids, groups, given splits and targets of all rows."""
    data, count = recipe.data, rows.table.num_rows
    target_cells = [targets.read(n, data.task(n), sources.column(rows, n, "data.target")) for n in data.targets]
    ids: list[str | None] = [*map(str, rows.line)] if data.id is None else _texts(rows, data.id, "data.id")
    group = np.arange(count, dtype=np.int64)
    if data.group:
        values = _texts(rows, data.group, "data.group")
        group = row_keys.ordered_codes([f"={v}" if v else f"#{n}" for n, v in enumerate(values)])
    split = np.zeros(count, dtype=np.int8)
    if data.split.column:
        split = splits.parse_splits(_texts(rows, data.split.column, "data.split.column"))
    elif data.split.hold_out:
        hold_out = data.split.hold_out
        split = splits.held_out(_texts(rows, hold_out.column, "data.split.hold_out.column"), hold_out.values)
    slice_columns = {name: _texts(rows, name, "evaluate.slice_by") for name in recipe.evaluate.slice_by}
    return Roles(
        ids,
        group,
        split,
        target_cells,
        slice_columns,
        _notes(rows, ids, {column for _, column in used_columns(recipe)}),
    )


def draft(rows: sources.Rows, roles: Roles, derived: Derived, cleaned: dict[str, Cleaned]) -> Draft:
    """The state of all rows, before any is left out. ``cleaned``: the modalities' cells."""
    keep, split = np.ones(len(roles.ids), dtype=bool), roles.split.copy()
    draft = Draft(roles.ids, rows.line, roles.label(), roles.group, split, cleaned, keep, roles.notes, roles.targets)
    draft.derive, draft.slice_columns = derived.facts, roles.slice_columns
    for row, column, reason in derived.failed:
        draft.notes.note(rows.line[row], roles.ids[row], column, "underived", reason)
    return draft


def leave_out(draft: Draft, data: Data) -> None:
    """Quarantine the rows that can't be learned from, and those that a given split must not have."""
    drop_bad_ids(draft)
    drop_bad_targets(draft)
    drop_empty(draft)
    duplicates.drop_duplicates(draft, data.duplicates)
    drop_straddling(draft)


def too_few(draft: Draft, data: Data) -> SuffuseError | None:
    """Why a run stops after :func:`leave_out`: no row is left, or more of them are quarantined than ``max_quarantined``
    allows; None where it goes on."""
    reasons, kept = draft.notes.reasons(), int(draft.keep.sum())
    count = sum(reason.rows for reason in reasons)
    left_out = LeftOut(count, count + kept, {reason.name: reason.rows for reason in reasons})
    sentence = left_out.sentence({reason.name: reason.examples() for reason in reasons})
    if any(reason.reason == EMPTY for reason in reasons):  # and why nothing is present
        sentence = "; ".join((sentence, *draft.notes.lines("absent")))
    if not kept:
        hint = draft.notes.fetch_hint(data.source) or "is data.root the folder that the file paths start from?"
        return SuffuseError("no row can be used", where=data.source, got=sentence, hint=hint)
    if left_out.share <= data.max_quarantined:
        return None
    hint = "`--set data.max_quarantined=1` goes on without these rows"
    if fetch_hint := draft.notes.fetch_hint(data.source):
        hint = f"{fetch_hint}; {hint}"
    if reasons[0].reason == duplicates.REASON:
        hint = f"`--set data.duplicates={duplicates.KEEP}` keeps rows with equal contents; {hint}"
    return SuffuseError(
        "too many rows are quarantined",
        where=data.source,
        got=sentence,
        expected=f"at most {100 * data.max_quarantined:g} % (data.max_quarantined)",
        hint=hint,
    )


def make_splits(draft: Draft, data: Data, seed: int) -> None:
    """Make the splits that the table doesn't give, rows of a group in one of them.

    Raises SuffuseError where there are too few rows or groups.
    """
    duplicates.group_duplicates(draft, data.duplicates)
    kept = draft.keep
    strata = draft.targets[0].strata()[kept]  # by the first target
    draft.split[kept] = splits.make(draft.split[kept], draft.group[kept], strata, data.split, seed)


def _texts(rows: sources.Rows, name: str, key: str) -> list[str | None]:
    return sources.texts(sources.column(rows, name, key).to_pylist())


def _notes(rows: sources.Rows, ids: list[str | None], used: Iterable[str]) -> Quarantine:
    """Notes from the source: broken rows, and cells that a rule changed."""
    notes = Quarantine()
    row_of_line = {line: row for row, line in enumerate(rows.line)} if rows.changed else {}
    for line, reason in rows.broken:
        notes.note(line, None, "", "quarantined", reason)
    for line, column, change in rows.changed:
        if column in used:
            notes.note(line, ids[row_of_line[line]], column, "changed", change)
    return notes
