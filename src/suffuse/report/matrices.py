"""Tables of classes by classes, shaded: confusion, and what a soft label says on average."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow.parquet as pq

from ..run import Run
from .prepared import Prepared
from .words import percent, short

MOST_CLASSES = 30  # above this a matrix can't be read; the largest entries are listed
MOST_PAIRS = 20
UNSEEN = "(never in training)"


def predictions(run: Run, *wanted: str) -> dict[str, np.ndarray]:
    """``row``, ``target`` and the (N, C) probabilities of those of the wanted models that are there."""
    file = run.path("scores", "predictions.parquet")
    there = [n for n in ("row", "target", *wanted) if n in pq.read_schema(file).names]
    read, found = pq.read_table(file, columns=there), {}
    for name in there:
        column = read.column(name).combine_chunks()
        flat = np.asarray(column if name in ("row", "target") else column.flatten())
        found[name] = flat if name in ("row", "target") else flat.reshape(len(column), -1)
    return found


def confusion(run: Run, prepared: Prepared) -> dict:
    """Counts of the teacher and of the exported student, as matrices or as the most confused pairs."""
    found, classes = predictions(run, "teacher", "export"), prepared.classes
    counts = {who: count(found["target"], found[who].argmax(1), len(classes)) for who in ("teacher", "export")}
    wrong = {who: int(c.sum() - np.trace(c)) for who, c in counts.items()}
    facts = {"rows": len(found["target"]), "wrong": wrong, "matrices": [], "pairs": []}
    if len(classes) > MOST_CLASSES:
        return facts | {"pairs": pairs(counts["teacher"], counts["export"], classes)}
    names = row_names(classes, counts["teacher"])
    parts = {who: c / np.maximum(c.sum(1, keepdims=True), 1) for who, c in counts.items()}
    for who, title in (("teacher", "Teacher"), ("export", "Exported student")):
        facts["matrices"].append(shaded(title, names, classes, parts[who], _counted(counts[who])))
    more = parts["export"] - parts["teacher"]
    title = "Exported student less teacher, in points"
    facts["matrices"].append(
        shaded(title, names, classes, more, _counted(counts["export"] - counts["teacher"], "+"), "+")
    )
    return facts


def count(target: np.ndarray, answer: np.ndarray, classes: int) -> np.ndarray:
    """(C, C) rows by true class and answer; a row more for labels that training never saw, where there are any."""
    rows = classes + int((target == classes).any())
    return np.bincount(target * classes + answer, minlength=rows * classes).reshape(rows, classes)


def row_names(classes: Sequence[str], counts: np.ndarray) -> list[str]:
    """The true classes of a matrix's rows."""
    return [*classes, UNSEEN][: len(counts)]


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


def pairs(teacher: np.ndarray, student: np.ndarray, classes: Sequence[str]) -> list[dict]:
    """The largest wrong entries, by what both models get wrong together."""
    names, both = row_names(classes, teacher), teacher + student
    both = np.where(np.eye(*both.shape, dtype=bool), 0, both)
    order = np.argsort(-both, axis=None, kind="stable")[:MOST_PAIRS]
    found = []
    for r, c in zip(*np.unravel_index(order, both.shape), strict=True):
        if both[r, c]:
            rows = int(teacher[r].sum())
            line = {"true": names[r], "said": classes[c], "rows": rows}
            found.append(line | {"teacher": int(teacher[r, c]), "export": int(student[r, c])})
    return found


def _counted(counts: np.ndarray, sign: str = "") -> Callable[[int, int], str]:
    return lambda r, c: f"{counts[r, c]:{sign},} rows"


def soft(means: np.ndarray, classes: Sequence[str], rows: np.ndarray) -> dict:
    """(C, C) mean soft label by true class. The shade leaves out the class's own share, which would drown the rest."""
    made = shaded("", classes, classes, means, lambda r, c: f"{percent(means[r, c])} on average, {rows[r]:,} rows")
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
