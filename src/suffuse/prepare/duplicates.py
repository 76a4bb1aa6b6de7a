"""Rows with equal contents: which of them are kept, and which must be in one split.

Two rows have equal contents where both have every modality and each modality's content is the same. A missing clip
beside an equal transcript is no duplicate: what the clips held is unknown. Rows with different ids are different rows,
whatever they hold. ``data.duplicates`` says what is done with equal contents:

group   Every row is kept. Rows with equal contents are one group, joined with the groups of ``data.group``: splits
        that are made never separate them, and resamples draw them together. Where the table gives the split, a
        training row with the contents and the label of a validation or test row is a leak and is quarantined; so is
        a validation row that copies a test row.
keep    Every row is kept and nothing is grouped. Copies in two splits are counted and reported as a warning.
drop    Of rows with equal contents and label the first is kept, the others are quarantined. A copy in test is kept
        before one in validation, and that before one in training. Copies within test, or within validation, are kept:
        a given split is scored unchanged.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import splits
from .row_state import Draft
from .split_leaks import NAMES, content_codes

GROUP, KEEP, DROP = "group", "keep", "drop"
REASON = "duplicate row"
FEW_GROUPS = 10  # of test rows: intervals, which are of groups, are then wide


def drop_duplicates(draft: Draft, rule: str) -> None:
    """Leave out the rows that ``rule`` doesn't keep, as the module says. Splits are those that the table gives."""
    if rule == KEEP:
        return
    code = content_codes(draft, True)
    rows = np.flatnonzero(draft.keep & (code >= 0))
    order = rows[np.lexsort((rows, -draft.split[rows].astype(int)))]  # test before validation before training
    _, first, content = np.unique(code[order], return_index=True, return_inverse=True)
    for position in np.flatnonzero(first[content] != np.arange(len(order))):
        row, kept = int(order[position]), int(order[first[content[position]]])
        leak = draft.split[row] != draft.split[kept]
        if leak or (rule == DROP and draft.split[row] == splits.TRAIN):
            held_out = f", a {NAMES[draft.split[kept]]} row" if leak else ""
            draft.drop(row, "", f"{REASON}: same contents and label as line {draft.lines[kept]}{held_out}")


def group_duplicates(draft: Draft, rule: str) -> None:
    """Join the groups of kept rows with equal contents, split by split, where ``rule`` groups them.

    Contents that a given split has on both sides, with different labels, join nothing: no group may stand in two
    splits.
    """
    if rule == GROUP:
        draft.group = join_groups(draft.group, _by_split(draft))


def join_groups(group: np.ndarray, content: np.ndarray) -> np.ndarray:
    """group and content (N,) int64, content -1 where it is no other row's -> (N,) int64: the connected components of
    rows that share a group or a content, each under the least of its groups."""
    order = np.lexsort((group, content))
    order = order[content[order] >= 0]
    current, previous = order[1:], order[:-1]
    pairs = np.stack([group[previous], group[current]], axis=1)[content[current] == content[previous]]
    parent: dict[int, int] = {}

    def root(node: int) -> int:
        while (next_node := parent.setdefault(node, node)) != node:
            parent[node] = parent[next_node]  # path halving
            node = parent[node]
        return node

    for left, right in np.unique(pairs, axis=0).tolist():
        low, high = sorted((root(left), root(right)))
        parent[high] = low
    distinct, which = np.unique(group, return_inverse=True)
    component = distinct.copy()
    component[np.searchsorted(distinct, np.array(list(parent), dtype=np.int64))] = [root(node) for node in [*parent]]
    return component[which]


def facts(draft: Draft, rule: str) -> dict[str, Any]:
    """The rule, how many kept rows have the contents of another kept row, how many contents those are, and the groups
    of each split."""
    code = content_codes(draft, False)
    _, count = np.unique(code[draft.keep & (code >= 0)], return_counts=True)
    groups_by_split = {name: draft.group[draft.keep & (draft.split == split)] for split, name in enumerate(NAMES)}
    groups = {name: len(np.unique(ids)) for name, ids in groups_by_split.items()}
    return {"rule": rule, "rows": int(count[count > 1].sum()), "contents": int((count > 1).sum()), "groups": groups}


def lines(facts: dict[str, Any] | None) -> list[str]:
    """One line of text where rows have equal contents, else none."""
    if not facts or not facts["rows"]:
        return []
    groups = ", ".join(f"{count:,} {name}" for name, count in facts["groups"].items())
    grouped = f"rows with equal contents are one group; groups: {groups}"
    return [f"{count_text(facts)}: {grouped if facts['rule'] == GROUP else 'splits may separate them'}"]


def few_groups(facts: dict[str, Any]) -> str:
    """A warning where equal contents leave few groups of test rows; empty where they don't."""
    groups = facts["groups"]["test"]
    if facts["rule"] != GROUP or not facts["rows"] or not 0 < groups < FEW_GROUPS:
        return ""
    count = f"{groups} group{'s' * (groups != 1)} of equal contents"
    return f"the test rows are {count}: intervals are wide, or none; data.duplicates: keep splits row by row"


def count_text(facts: dict[str, Any]) -> str:
    """How many rows have equal contents, and how many contents those are."""
    contents = facts["contents"]
    different = f"{contents:,} different content{'s' * (contents != 1)}"
    return f"{facts['rows']:,} rows have the contents of another row ({different})"


def _by_split(draft: Draft) -> np.ndarray:
    """(N,) int64: equal for kept rows of one split with equal contents, -1 where no other row has them."""
    code = content_codes(draft, False)
    rows = np.flatnonzero(draft.keep & (code >= 0))
    pairs = code[rows] * len(NAMES) + draft.split[rows]
    _, which, count = np.unique(pairs, return_inverse=True, return_counts=True)
    content = np.full(len(code), -1, dtype=np.int64)
    content[rows] = np.where(count[which] > 1, which, -1)
    return content
