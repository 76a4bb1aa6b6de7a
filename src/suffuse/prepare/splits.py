"""Splits: given by a column, or made: seeded, stratified by label, with whole groups."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from ..errors import SuffuseError, UsageError, did_you_mean, listed
from ..recipe import Split
from ..types import SPLIT_NAMES

NAMES = SPLIT_NAMES
CODE = {alias: code for code, aliases in enumerate(NAMES.values()) for alias in aliases}
TRAIN, VALIDATION, TEST = 0, 1, 2
UNKNOWN = -1


def parse_splits(values: list[str | None]) -> np.ndarray:
    """A split column -> codes (N,) int8; -1 for an unknown name."""
    return np.array([CODE.get((v or "").lower(), UNKNOWN) for v in values], dtype=np.int8)


def held_out(cells: list[str | None], values: Sequence[str]) -> np.ndarray:
    """A column's cells -> codes (N,) int8: test where a cell is one of the values, training elsewhere.

    Raises UsageError where no cell is one of them, or every cell is.
    """
    where, counts = "data.split.hold_out.values", Counter(cells)
    for value in values:
        if value not in counts:
            known = [str(cell) for cell, _ in counts.most_common(1000) if cell is not None]
            raise UsageError("no row has this value", where=where, got=f"'{value}'", hint=did_you_mean(value, known))
    test = np.isin(np.array([c or "" for c in cells], dtype=object), list(values))
    if test.all():
        raise UsageError("every row is held out", where=where, got=listed(values), expected="some of the values")
    return np.where(test, TEST, TRAIN).astype(np.int8)


def make(split: np.ndarray, group: np.ndarray, label: np.ndarray, settings: Split, seed: int) -> np.ndarray:
    """Fill in the splits that have no rows, out of the training rows.

    split (N,) codes, group (N,) and label (N,) ints -> codes (N,) int8. Raises SuffuseError where there are
    too few groups.
    """
    filled = split.copy()
    if settings.folds is not None:
        strata = label if settings.stratify else np.zeros(len(label), dtype=int)
        filled[fold_of(group, strata, settings.folds, seed) == settings.fold] = TEST
    for code, name, share in ((TEST, "test", settings.test), (VALIDATION, "validation", settings.validation)):
        if not (filled == code).any():
            rows = np.flatnonzero(filled == TRAIN)
            strata = label[rows] if settings.stratify else np.zeros(len(rows), dtype=int)
            picked = rows[_draw(group[rows], strata, share, np.random.default_rng([seed, code]))]
            if not len(picked) or len(picked) == len(rows):
                raise SuffuseError(
                    f"can't make a {name} split",
                    where="data.split",
                    got=f"{len(np.unique(group[rows]))} groups in {len(rows)} training rows",
                    hint="give more rows, a split column, a finer group column, data.duplicates: keep where contents "
                    "repeat, or data.split.stratify: false",
                )
            filled[picked] = code
    return filled


def fold_of(group: np.ndarray, label: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """(N,) which of ``folds`` parts a row is in: whole groups, each label spread evenly, decided by the seed.

    Groups come in random order, the larger first, each to the part that lacks its labels most.
    """
    _, group = np.unique(group, return_inverse=True)
    _, label = np.unique(label, return_inverse=True)
    random = np.random.default_rng([seed, 7, folds])
    sizes = np.bincount(group)
    if sizes.max() == 1:  # nothing to keep together: deal each label's rows out in turn
        order = random.permutation(len(label))
        order = order[np.argsort(label[order], kind="stable")]
        folds_of_rows = np.empty(len(label), dtype=np.int64)
        folds_of_rows[order] = np.arange(len(label)) % folds
        return folds_of_rows
    label_counts = np.zeros((folds, int(label.max()) + 1))
    rows_of = np.split(np.argsort(group, kind="stable"), np.cumsum(sizes)[:-1])
    order = random.permutation(len(sizes))
    folds_of_rows = np.empty(len(label), dtype=np.int64)
    for number in order[np.argsort(-sizes[order], kind="stable")]:
        labels, counts = np.unique(label[rows_of[number]], return_counts=True)
        part = int(np.lexsort((label_counts.sum(1), label_counts[:, labels] @ counts))[0])
        label_counts[part, labels] += counts
        folds_of_rows[rows_of[number]] = part
    return folds_of_rows


def _draw(group: np.ndarray, label: np.ndarray, share: float, random: np.random.Generator) -> np.ndarray:
    """Whole groups, in random order, as long as each brings the labels' counts nearer to their share."""
    _, group = np.unique(group, return_inverse=True)
    _, label = np.unique(label, return_inverse=True)
    need = (share * np.bincount(label).astype(float)).tolist()
    order = np.argsort(group, kind="stable")
    ends = [0, *np.cumsum(np.bincount(group)).tolist()]
    labels_by_group = label[order].tolist()  # of each group's rows, one group behind the other
    is_drawn = np.zeros(len(ends) - 1, dtype=bool)
    for number in random.permutation(len(is_drawn)).tolist():
        if ends[number + 1] - ends[number] == 1:  # a faster path for groups of one row
            need_of = need[labels_by_group[ends[number]]]
            if need_of * need_of - (need_of - 1) * (need_of - 1) > 0:
                need[labels_by_group[ends[number]]] -= 1
                is_drawn[number] = True
            continue
        counts = sorted(Counter(labels_by_group[ends[number] : ends[number + 1]]).items())
        if sum(need[y] * need[y] - (need[y] - count) * (need[y] - count) for y, count in counts) > 0:
            for y, count in counts:
                need[y] -= count
            is_drawn[number] = True
    return np.flatnonzero(is_drawn[group])
