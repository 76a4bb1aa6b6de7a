"""What stands in two splits: groups, whole rows, contents of one modality; and columns that give a target away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...errors import visible
from ...types import NUMBER
from .. import duplicates, label_leakage, splits
from ..column_types import Column, percent, short
from ..row_state import Draft
from ..split_leaks import LARGE, NAMES, across, whole
from ..targets import Cells
from .findings import NOTES, WARNS, Check


def given(check: Check, draft: Draft, group: str | None) -> None:
    """What a split that the table gives has on both sides, before prepare leaves anything out."""
    if group:
        rows = _told(across(draft.group, draft.split))
        if rows:
            check.add(WARNS, "groups_in_two_splits", group, f"groups stand in two splits: {rows}{_some(draft)}")
    copies = _told(across(whole(draft, True), draft.split))
    if copies:
        check.add(
            WARNS, "copies_in_two_splits", "", f"rows with equal contents and label stand in two splits: {copies}"
        )


def duplicated(check: Check, facts: dict[str, Any]) -> None:
    """Rows with equal contents, and what ``data.duplicates`` does with them. ``facts``: of
    :func:`suffuse.prepare.duplicates.facts`."""
    if not facts["rows"]:
        return
    says = duplicates.counted(facts)
    if facts["rule"] == duplicates.GROUP:
        says += ": rows with equal contents are one group, and splits that are made keep them together"
    few = duplicates.few_groups(facts)
    check.add(WARNS if few else NOTES, "equal_contents", "data.duplicates", f"{says}; {few}" if few else says)


def contradicting(check: Check, draft: Draft) -> None:
    """Rows with equal contents and different labels: no model can be right on all of them."""
    contents, rows = whole(draft, False, complete=False), whole(draft, True, complete=False)
    known = np.array([label is not None for label in draft.label]) & (contents >= 0) & draft.keep
    first: dict[int, int] = {}
    several = {c for c, r in zip(contents[known], rows[known], strict=True) if first.setdefault(int(c), int(r)) != r}
    count = int(np.isin(contents[known], list(several)).sum()) if several else 0
    if count:
        share = percent(count / int(known.sum()))
        says = f"{count:,} rows ({share}) have the contents of another row and another label"
        check.add(WARNS if count > 0.05 * known.sum() else NOTES, "contradicting_labels", "", says)


def shared(check: Check, draft: Draft, sizes: dict[str, float]) -> None:
    """One modality's contents that stand in two splits, among the rows that are kept. ``sizes``: bytes of an entry."""
    split = np.where(draft.keep, draft.split, splits.UNKNOWN)
    for name, column in draft.columns.items():
        found = across(column.entry, split)
        if not found:
            continue
        (held, other), count = max(found.items(), key=lambda item: item[1])
        of = int(((split == NAMES.index(held)) & (column.entry >= 0)).sum())
        says = f"{count:,} of {of:,} {held} rows ({percent(count / of)}) have a content that stands in {other} rows too"
        hint = "; if such rows belong together, name a column for them in data.group"
        large = sizes.get(name, 0.0) >= LARGE
        check.add(WARNS if large else NOTES, "contents_in_two_splits", name, says + hint * large)


def give_away(check: Check, columns: Sequence[Column], used: dict[str, str], targets: Sequence[Cells]) -> None:
    """Columns from which a target can be read off. ``used``: column -> modality; cells of both are of the same rows."""
    for column in columns:
        for cells in targets:
            if column.name == cells.name:
                says = "is the target itself"
            elif cells.task.kind == NUMBER:
                both = zip(column.cells, cells.values, strict=True)
                pairs = [(cell, float(value)) for cell, value in both if cell is not None and value is not None]
                says = label_leakage.tells_number(column.role, pairs)
            else:
                says = label_leakage.why(column, [_one_label(v) for v in cells.values])
            if says:
                what = f"column '{visible(column.name)}' {says.replace('the label', repr_of(cells))}"
                check.add(WARNS, "gives_the_label_away", used[column.name], what)


def repr_of(cells: Cells) -> str:
    """A target by its name."""
    return f"'{visible(short(cells.name))}'"


def _one_label(value: object) -> str | None:
    """A class; of several labels, the first."""
    if isinstance(value, tuple):
        return value[0] if value else None
    return None if value is None else str(value)


def _told(found: dict[tuple[str, str], int]) -> str:
    return ", ".join(f"{count:,} {held} rows with {other} rows" for (held, other), count in found.items())


def _some(draft: Draft) -> str:
    """The lines of two rows of one group in two splits."""
    first: dict[int, int] = {}
    for row, (group, split) in enumerate(zip(draft.group.tolist(), draft.split.tolist(), strict=True)):
        other = first.setdefault(group, row)
        if split != splits.UNKNOWN and draft.split[other] not in (split, splits.UNKNOWN):
            return f" (e.g. lines {draft.lines[other]} and {draft.lines[row]})"
    return ""
