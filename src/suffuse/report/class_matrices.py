"""Tables of classes by classes, shaded: confusion, and what a soft label says on average."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from .formatting import percent, short
from .i18n import t

MOST_CLASSES = 30  # above this a matrix can't be read; the largest entries are listed
MOST_PAIRS = 20  # of those
UNSEEN = "(never in training)"


def count(target: np.ndarray, answer: np.ndarray, classes: int) -> np.ndarray:
    """(C, C) rows by true class and answer; a row more for labels that training never saw, where there are any."""
    rows = classes + int((target == classes).any())
    return np.bincount(target * classes + answer, minlength=rows * classes).reshape(rows, classes)


def row_names(classes: Sequence[str], counts: np.ndarray) -> list[str]:
    """The true classes of a matrix's rows."""
    return [*classes, t(UNSEEN)][: len(counts)]


def shaded(
    title: str,
    rows: Sequence[str],
    columns: Sequence[str],
    values: np.ndarray,
    says: Callable[[int, int], str],
    sign: str = "",
) -> dict:
    """A matrix of shares -> cells with a percentage, a depth of shade and words for the pointer."""
    largest = max(float(np.abs(values).max()), 1e-9)
    body = [
        {
            "name": name,
            "cells": [
                {
                    "text": figure(values[r, c], sign),
                    "depth": f"{abs(values[r, c]) / largest:.2f}",
                    "tone": "less" if values[r, c] < 0 else "more",
                    "own": r == c,
                    "title": f"{short(name, 30)} → {short(columns[c], 30)}: {says(r, c)}",
                }
                for c in range(len(columns))
            ],
        }
        for r, name in enumerate(rows)
    ]
    return {"title": title, "columns": list(columns), "rows": body}


def figure(value: float, sign: str = "") -> str:
    """A share in percent, without the sign; nothing where it is 0, ``<1`` where it isn't quite."""
    if value == 0:
        return ""
    if abs(value) < 0.005 and not sign:
        return "<1"
    return f"{100 * value:{sign}.{0 if abs(value) >= 0.0095 or not sign else 1}f}".replace("-", "−")


def pairs(teacher: np.ndarray, student: np.ndarray, classes: Sequence[str], most: int = MOST_PAIRS) -> list[dict]:
    """The largest wrong entries, by what both models get wrong together."""
    names, both = row_names(classes, teacher), teacher + student
    both = np.where(np.eye(*both.shape, dtype=bool), 0, both)
    order = np.argsort(-both, axis=None, kind="stable")[:most]
    found = []
    for r, c in zip(*np.unravel_index(order, both.shape), strict=True):
        if both[r, c]:
            rows = int(teacher[r].sum())
            line = {"true": names[r], "said": classes[c], "rows": rows}
            found.append(line | {"teacher": int(teacher[r, c]), "export": int(student[r, c])})
    return found


def counted(counts: np.ndarray, sign: str = "") -> Callable[[int, int], str]:
    """What the pointer says of a cell."""
    return lambda r, c: t("%(number)s rows", number=f"{counts[r, c]:{sign},}")


def soft(means: np.ndarray, classes: Sequence[str], rows: np.ndarray) -> dict:
    """(C, C) mean soft label by true class. The shade leaves out the class's own share, which would drown the rest."""
    made = shaded(
        "",
        classes,
        classes,
        means,
        lambda r, c: t("%(share)s on average, %(rows)s rows", share=percent(means[r, c]), rows=f"{rows[r]:,}"),
    )
    beside = means[~np.eye(len(classes), dtype=bool) & (rows[:, None] > 0)]
    low, high = (float(beside.min()), float(beside.max())) if len(beside) else (0.0, 0.0)
    for r, row in enumerate(made["rows"]):
        for c, cell in enumerate(row["cells"]):
            depth = 0.0 if r == c else (means[r, c] - low) / max(high - low, 1e-9)
            cell["depth"] = f"{max(depth, 0.0):.2f}"
            cell["text"] = figure(means[r, c]) if r == c else _tenths(means[r, c])
    return made


def _tenths(value: float) -> str:
    return f"{100 * value:.1f}" if value >= 0.0005 else ""
