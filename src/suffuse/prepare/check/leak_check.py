"""Leaks: groups, rows and contents of one modality that are in two splits, and columns that give a target away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...errors import visible
from ...types import NUMBER
from .. import duplicates, label_leakage, splits
from ..column_types import Column, percent, short
from ..row_state import Draft
from ..split_leaks import LARGE, NAMES, across, content_codes
from ..targets import Cells
from .findings import NOTES, WARNS, Check


def check_table_split(check: Check, draft: Draft, group: str | None) -> None:
    """Groups and copies that a given split has on both sides, before prepare leaves rows out."""
    if group:
        rows = _pairs_text(across(draft.group, draft.split))
        if rows:
            check.add(
                WARNS, "groups_in_two_splits", group, f"groups stand in two splits: {rows}{_example_lines(draft)}"
            )
    copies = _pairs_text(across(content_codes(draft, True), draft.split))
    if copies:
        check.add(
            WARNS, "copies_in_two_splits", "", f"rows with equal contents and label stand in two splits: {copies}"
        )


def check_duplicates(check: Check, facts: dict[str, Any]) -> None:
    """Rows with equal contents, and what ``data.duplicates`` does with them. ``facts``: of
    :func:`suffuse.prepare.duplicates.facts`."""
    if not facts["rows"]:
        return
    text = duplicates.count_text(facts)
    if facts["rule"] == duplicates.GROUP:
        text += ": rows with equal contents are one group, and splits that are made keep them together"
    warning = duplicates.few_groups(facts)
    check.add(
        WARNS if warning else NOTES, "equal_contents", "data.duplicates", f"{text}; {warning}" if warning else text
    )


def check_contradictions(check: Check, draft: Draft) -> None:
    """Rows with equal contents and different labels: no model can be right on all of them."""
    contents, rows = content_codes(draft, False, complete=False), content_codes(draft, True, complete=False)
    known = np.array([label is not None for label in draft.label]) & (contents >= 0) & draft.keep
    first: dict[int, int] = {}
    contradictory = {
        c for c, r in zip(contents[known], rows[known], strict=True) if first.setdefault(int(c), int(r)) != r
    }
    count = int(np.isin(contents[known], list(contradictory)).sum()) if contradictory else 0
    if count:
        share = percent(count / int(known.sum()))
        text = f"{count:,} rows ({share}) have the contents of another row and another label"
        check.add(WARNS if count > 0.05 * known.sum() else NOTES, "contradicting_labels", "", text)


def check_shared_contents(check: Check, draft: Draft, sizes: dict[str, float]) -> None:
    """Contents of one modality that kept rows of two splits share. ``sizes``: bytes of an entry."""
    split = np.where(draft.keep, draft.split, splits.UNKNOWN)
    for name, column in draft.columns.items():
        pairs = across(column.entry, split)
        if not pairs:
            continue
        (held, second), count = max(pairs.items(), key=lambda item: item[1])
        total = int(((split == NAMES.index(held)) & (column.entry >= 0)).sum())
        text = f"{count:,} of {total:,} {held} rows ({percent(count / total)}) "
        text += f"have a content that stands in {second} rows too"
        hint = "; if such rows belong together, name a column for them in data.group"
        large = sizes.get(name, 0.0) >= LARGE
        check.add(WARNS if large else NOTES, "contents_in_two_splits", name, text + hint * large)


def check_give_aways(check: Check, columns: Sequence[Column], used: dict[str, str], targets: Sequence[Cells]) -> None:
    """Columns that give a target away. ``used``: column -> modality; cells of both are of the same rows."""
    for column in columns:
        for cells in targets:
            if column.name == cells.name:
                reason = "is the target itself"
            elif cells.task.kind == NUMBER:
                paired = zip(column.cells, cells.values, strict=True)
                pairs = [(cell, float(value)) for cell, value in paired if cell is not None and value is not None]
                reason = label_leakage.number_leak_reason(column.role, pairs)
            else:
                reason = label_leakage.leak_reason(column, [_first_label(v) for v in cells.values])
            if reason:
                text = f"column '{visible(column.name)}' {reason.replace('the label', quoted_name(cells))}"
                check.add(WARNS, "gives_the_label_away", used[column.name], text)


def quoted_name(cells: Cells) -> str:
    """A target by its name."""
    return f"'{visible(short(cells.name))}'"


def _first_label(value: object) -> str | None:
    """A class; of several labels, the first."""
    if isinstance(value, tuple):
        return value[0] if value else None
    return None if value is None else str(value)


def _pairs_text(pairs: dict[tuple[str, str], int]) -> str:
    return ", ".join(f"{count:,} {held} rows with {second} rows" for (held, second), count in pairs.items())


def _example_lines(draft: Draft) -> str:
    """The lines of two rows of one group in two splits."""
    first: dict[int, int] = {}
    for row, (group, split) in enumerate(zip(draft.group.tolist(), draft.split.tolist(), strict=True)):
        earlier = first.setdefault(group, row)
        if split != splits.UNKNOWN and draft.split[earlier] not in (split, splits.UNKNOWN):
            return f" (e.g. lines {draft.lines[earlier]} and {draft.lines[row]})"
    return ""
