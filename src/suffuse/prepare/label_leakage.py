"""Columns that give the label away: what a model would copy from instead of learning.

What decides the label exactly (a copy, a category with one label per value, a number whose ranges are the labels) is
left out of a proposed recipe. What may give it away (a text with its label's words, a coarser label) is a feature if it
is known at prediction time: it is used, with a warning.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np

from ..modalities.value_parsing import as_number
from ..word_patterns import UNSPACED, stem, word_pattern
from .column_types import READ, Column, is_number, percent, sample

MAX_ROWS = 5000  # that are compared
MIN_ROWS = 30  # with a number, for a verdict on ranges and ranks
PURE = 0.98  # of the rows have the label that is the commonest for their value
FOLLOWS = 0.999  # rank correlation above which one number determines another
KEEP = "Keep it if it is known before the label"
COMMON_ANSWERS = {"yes", "no", "true", "false"}  # words that are in a text for other reasons


def mark_leaks(columns: list[Column], target: str, number: bool = False) -> list[Column]:
    """The same columns: texts that are a copy of the label get the role ``give-away``; other columns that decide it are
    marked as ``leaks``; those that may give it away get a warning. ``number``: the labels are measured numbers.

    Where nothing else could be used, such texts stay in use, with a warning as their reason.
    """
    labels = next(c.cells for c in columns if c.name == target)
    marked = [_marked(column, labels, number) for column in columns]
    if any(c.role in READ for c in marked):
        return marked
    return [replace(c, role="text", reason=f"WARNING: {c.reason}") if c.role == "give-away" else c for c in marked]


def leak_reason(column: Column, labels: list[str | None], number: bool = False) -> str:
    """How a column's cells give the labels (N,) away, or "". ``number``: the labels are measured numbers."""
    if column.role not in ("text", "category", "number", "date", "other") or not column.cells:
        return ""
    pairs = [(v, y) for v, y in zip(column.cells, labels, strict=True) if v is not None and y is not None]
    if number and column.role != "text":
        return number_leak_reason(column.role, sample([(v, as_number(y)) for v, y in pairs], MAX_ROWS))
    if column.role in ("text", "category", "other"):
        own_share, other_share = label_word_shares(sample(pairs, MAX_ROWS))
        if own_share > 0.5 and other_share < own_share / 2:
            words = (
                f"its label's words stand in {percent(own_share)} of rows (another label's in {percent(other_share)})"
            )
            verb = "gives" if is_copy(pairs) or (column.role != "text" and determines_label(pairs)) else "may give"
            return f"{verb} the label away: {words}"
    if determines_label(pairs):
        verb = "may give" if column.role == "text" else "gives"
        return f"{verb} the label away: nearly every one of its {column.distinct:,} values has one label"
    if column.role != "text" and determines_label([(label, value) for value, label in pairs]):
        return "may give the label away: nearly every label has one value of it, as a coarser label has"
    if column.role == "number" and are_ranges(sample(pairs, MAX_ROWS)):
        return "gives the label away: labels are ranges of it"
    return ""


def _marked(column: Column, labels: list[str | None], number: bool) -> Column:
    reason = leak_reason(column, labels, number)
    if not reason:
        return column
    if column.forced:
        return replace(column, reason=f"{column.reason}; WARNING: {reason}")
    if reason.startswith("may "):
        return replace(column, reason=f"{column.reason}; WARNING: {reason}. {KEEP}")
    if column.role == "text":
        return replace(column, role="give-away", reason=reason)
    return replace(column, reason=f"{column.reason}; {reason}", leaks=True)


def is_copy(pairs: list[tuple[str, str]]) -> bool:
    """Of (text, label) rows: nearly every text is its label, in other case or spacing at the most."""
    same = sum(text.split() == label.split() for text, label in ((t.casefold(), y.casefold()) for t, y in pairs))
    return same > PURE * len(pairs)


def label_word_shares(pairs: list[tuple[str, str]]) -> tuple[float, float]:
    """Of (text, label) rows: the share in whose text their label's words stand, and another label's.

    The other label is a random other row's. A label that is no word (a number, a letter, yes or no) never
    counts as standing there.
    """
    order = np.random.default_rng(0).permutation(len(pairs))
    stems_by_row = [_stems(text) for text, _ in pairs]
    own = [_contains_label(label, text, stems) for (text, label), stems in zip(pairs, stems_by_row, strict=True)]
    others = [
        _contains_label(pairs[j][1], pairs[i][0], stems_by_row[i])
        for i, j in enumerate(order)
        if pairs[i][1] != pairs[j][1]
    ]
    return float(np.mean(own or [0])), float(np.mean(others or [0]))


def determines_label(pairs: list[tuple[str, str]]) -> bool:
    """Of (value, label) rows: far fewer values than rows, and nearly every value has one label."""
    commonest: dict[str, Counter] = {}
    for value, label in pairs:
        commonest.setdefault(value, Counter())[label] += 1
    if len(commonest) < 2 or 3 * len(commonest) > len(pairs):
        return False
    pure = sum(counts.most_common(1)[0][1] for counts in commonest.values()) / len(pairs)
    major = Counter(label for _, label in pairs).most_common(1)[0][1] / len(pairs)
    return pure > PURE and pure - major > (1 - major) / 2  # not merely because one label is nearly all of them


def are_ranges(pairs: list[tuple[str, str]]) -> bool:
    """Of (number, label) rows: whether the labels are ranges of the number, as of a price cut into classes.

    In the order of the numbers the label then changes as often as there are labels, but for a row in a thousand.
    """
    known = [(as_number(value), label) for value, label in pairs if is_number(value)]
    labels = [label for _, label in sorted(known)]
    changes = sum(a != b for a, b in pairwise(labels))
    return len(labels) >= MIN_ROWS and 0 < changes < len(set(labels)) + len(labels) / 1000


def number_leak_reason(role: str, pairs: list[tuple[str, float]]) -> str:
    """How a column of (cell, target) rows is the target number in another form, or "". A number rises or falls with
    it, as a price in another currency does (Spearman's rank correlation, 1904, is above 0.999, either way); the values
    of a category, or of a number that has few, are ranges of it."""
    known = [(as_number(cell), y) for cell, y in pairs if role == "number" and is_number(cell)]
    x, y = np.array([a for a, _ in known]), np.array([b for _, b in known])
    if len(x) >= MIN_ROWS and x.min() < x.max() and y.min() < y.max():
        correlation = abs(float(np.corrcoef(_ranks(x), _ranks(y))[0, 1]))
        if correlation > FOLLOWS:
            return f"gives the label away: its numbers follow it (rank correlation {correlation:.4f})"
    has_few_values = role != "text" and 3 * len({cell for cell, _ in pairs}) <= len(pairs)
    return (
        "gives the label away: its values are ranges of it"
        if has_few_values and are_ranges([(repr(y), c) for c, y in pairs])
        else ""
    )


def _ranks(values: np.ndarray) -> np.ndarray:
    """(N,): each value's place in their order; equal ones share the mean of theirs."""
    _, rank, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[rank]


def _contains_label(label: str, text: str, stems: set[str]) -> bool:
    if UNSPACED.search(label):
        return label.lower() in text.lower()
    words = _stems(label)
    if is_number(label) or len(label) < 2 or label.lower() in COMMON_ANSWERS or not words:
        return False
    return words <= stems


def _stems(text: str) -> set[str]:
    """The words of a text, in lower case and without plural endings."""
    return {stem(word) for word in word_pattern().findall(text)}
