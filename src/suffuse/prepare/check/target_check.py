"""Targets: classes and their counts in training rows, unlabelled rows, labels that no training row has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import replace
from typing import Any

import numpy as np

from ...errors import SuffuseError, visible
from ...transcripts.units import split
from ...types import CLASSES, NUMBER, TOKENS, Head
from .. import splits, targets
from ..column_types import percent, short
from ..row_state import Draft
from .findings import NOTES, STOPS, WARNS, Check

NAMES = tuple(splits.NAMES)
SHOWN = 8  # classes that are listed, at either end
RARE = 5  # rows of a class
UNEVEN = 50  # times that the commonest class is as frequent as the rarest


def check_targets(check: Check, draft: Draft, labelled_splits: Collection[str] = NAMES) -> list[Head]:
    """Facts and findings of every target, among the rows that are kept; the heads of those that can be learned.

    ``labelled_splits``: splits that must have labelled rows.
    """
    heads: list[Head] = []
    rows = np.flatnonzero(draft.keep)
    codes = draft.split[rows]
    known = np.zeros(len(rows), dtype=bool)
    for all_cells in draft.targets:
        cells = replace(all_cells, values=[all_cells.values[r] for r in rows])
        labelled = np.array([v is not None for v in cells.values], dtype=bool)
        known |= labelled
        facts: dict[str, Any] = {"name": visible(cells.name), "kind": cells.task.kind, "broken": len(all_cells.broken)}
        facts["labelled"] = {name: int((labelled & (codes == code)).sum()) for code, name in enumerate(NAMES)}
        facts["unlabelled"] = int((~labelled).sum())
        check.targets.append(facts)
        try:
            head = targets.head(cells, codes)
        except SuffuseError as error:
            check.add(STOPS, "nothing_to_learn", visible(cells.name), error.line())
            continue
        heads.append(head)
        if head.kind == NUMBER:
            facts |= _number_facts(head)
        elif head.kind == TOKENS:
            facts |= _transcript_facts(check, head, cells, codes)
        else:
            facts |= _class_facts(check, head, cells, codes)
    for code, name in enumerate(NAMES):
        if name in labelled_splits and not (known & (codes == code)).any():
            text = f"the {name} split has no labelled row, of {int((codes == code).sum()):,} rows"
            check.add(STOPS, "no_labelled_row", name, text)
    return heads


def _number_facts(head: Head) -> dict[str, Any]:
    return {"mean": head.mean, "deviation": head.std}


def _transcript_facts(check: Check, head: Head, cells: targets.Cells, codes: np.ndarray) -> dict[str, Any]:
    """Counts of the units in training rows, and held-out rows with units that these never have."""
    train = [v for v, s in zip(cells.values, codes, strict=True) if s == splits.TRAIN and v is not None]
    counts = Counter(unit for value in train for unit in split(value, head.units))
    known, held_out = set(counts), {}
    for code, name in ((splits.VALIDATION, "validation"), (splits.TEST, "test")):
        values = [v for v, s in zip(cells.values, codes, strict=True) if s == code and v is not None]
        if count := sum(not set(split(value, head.units)) <= known for value in values):
            held_out[name] = count
    if held_out:
        rows_text = ", ".join(f"{n:,} {where} rows" for where, n in held_out.items())
        text = f"{rows_text} have {head.units} that no training row has: they are scored as errors"
        check.add(WARNS, "units_never_seen", visible(head.name), text)
    ordered = counts.most_common()
    shown = ordered if len(ordered) <= 2 * SHOWN else [*ordered[:SHOWN], *ordered[-SHOWN:]]
    return {"classes": len(counts), "counts": {visible(repr(u)): n for u, n in shown}, "never_seen": held_out}


def _class_facts(check: Check, head: Head, cells: targets.Cells, split: np.ndarray) -> dict[str, Any]:
    """Counts of the classes (or labels) in training rows, and what is wrong with them."""
    name = visible(cells.name)
    train = [v for v, s in zip(cells.values, split, strict=True) if s == splits.TRAIN and v is not None]
    counts = Counter(label for value in train for label in (value if isinstance(value, tuple) else (value,)))
    kept = set(head.classes)
    if head.kind == CLASSES and cells.task.max_classes:
        _check_rare_answers(check, cells, split, kept)
    unseen = _count_unseen(cells, split, {*counts, *(cells.task.classes or ())})
    if unseen:
        rows_text = ", ".join(f"{n:,} {where} rows" for where, n in unseen.items())
        effect = "are scored as errors" if head.kind == CLASSES else "count as if that label weren't there"
        check.add(WARNS, "labels_never_seen", name, f"{rows_text} have a label that no training row has: they {effect}")
    ordered = [(label, count) for label, count in counts.most_common() if label in kept]
    _check_balance(check, name, ordered, len(train), cells.task.balance)
    shown = ordered if len(ordered) <= 2 * SHOWN else [*ordered[:SHOWN], *ordered[-SHOWN:]]
    return {
        "classes": len(head.classes),
        "counts": {visible(short(str(label))): count for label, count in shown},
        "never_seen": unseen,
    }


def _check_balance(check: Check, name: str, ordered: list[tuple[str, int]], rows: int, balanced: bool) -> None:
    if len(ordered) < 2:
        return
    (commonest, max_count), (rarest, min_count) = ordered[0], ordered[-1]
    uneven = max_count / rows > 0.8 or max_count > UNEVEN * min_count
    if uneven and not balanced:
        text = f"'{visible(short(commonest))}' in {percent(max_count / rows)} of the labelled training rows, "
        text += f"'{visible(short(rarest))}' in {min_count:,}; data.tasks.{name}.balance: true weighs them"
        check.add(WARNS, "imbalance", name, text)
    rare = [label for label, count in ordered if count < RARE]
    if rare:
        text = f"{len(rare):,} of {len(ordered):,} classes have fewer than {RARE} training rows, e.g. "
        check.add(NOTES, "rare_classes", name, text + ", ".join(f"'{visible(short(r))}'" for r in rare[-3:]))


def _check_rare_answers(check: Check, cells: targets.Cells, split: np.ndarray, kept: set[str]) -> None:
    """Count the labels that a vocabulary of the most frequent ones leaves out."""
    counts = []
    for code, name in enumerate(NAMES):
        values = [v for v, s in zip(cells.values, split, strict=True) if s == code and v is not None]
        left_out = sum(v not in kept for v in values)
        if left_out:
            counts.append(f"{left_out:,} of {len(values):,} {name} rows ({percent(left_out / len(values))})")
    if counts:
        text = f"answers beyond the {cells.task.max_classes} most frequent: {', '.join(counts)}; in training they are "
        text += f"'{targets.REST_CLASS}', which is never a right answer in validation and test"
        check.add(NOTES, "rare_answers", visible(cells.name), text)


def _count_unseen(cells: targets.Cells, split: np.ndarray, train_labels: set[str]) -> dict[str, int]:
    """Held-out split -> rows with a label that no training row has."""
    counts = {}
    for code, name in ((splits.VALIDATION, "validation"), (splits.TEST, "test")):
        values = [v for v, s in zip(cells.values, split, strict=True) if s == code and v is not None]
        labels = (set(v) if isinstance(v, tuple) else {v} for v in values)
        count = sum(not row_labels <= train_labels for row_labels in labels)
        if count:
            counts[name] = count
    return counts
