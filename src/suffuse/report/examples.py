"""Some test rows with both models' answers, chosen by a stated rule."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ..run import Run
from .matrices import predictions
from .prepared import Prepared

EACH = 6  # rows of a kind
SEED = 0


def examples(run: Run, prepared: Prepared) -> list[dict]:
    """Groups of rows: the models disagree, the student is wrong, some at random. No row comes twice."""
    found = predictions(run, "teacher", "export")
    teacher, student, target = found["teacher"].argmax(1), found["export"].argmax(1), found["target"]
    rules = {
        "They disagree": ("the first test rows to which the two models give different answers", teacher != student),
        "The student is wrong": ("the first further rows that the exported student gets wrong", student != target),
    }
    taken: set[int] = set()
    groups = []
    for title, (rule, wanted) in rules.items():
        some = _first(np.flatnonzero(wanted), taken)
        groups.append({"title": title, "rule": rule, "all": int(wanted.sum()), "some": some})
    some = _first(np.random.default_rng(SEED).permutation(len(target)), taken)
    rule = f"further rows, drawn by chance with the fixed seed {SEED}"
    groups.append({"title": "Any rows", "rule": rule, "all": len(target), "some": some})
    for group in groups:
        group["rows"] = [_row(prepared, found, position) for position in group.pop("some")]
    return groups


def _first(order: Iterable[int], taken: set[int]) -> list[int]:
    """The first positions that were not taken yet; they are taken now."""
    kept = []
    for position in order:
        if len(kept) == EACH:
            break
        if int(position) not in taken:
            kept.append(int(position))
    taken.update(kept)
    return kept


def _row(prepared: Prepared, found: dict[str, np.ndarray], position: int) -> dict:
    row, target = int(found["row"][position]), int(found["target"][position])
    answers = []
    for who, title in (("teacher", "teacher"), ("export", "student")):
        soft = found[who][position]
        best = int(soft.argmax())
        answers.append(
            {"who": title, "said": prepared.classes[best], "share": float(soft[best]), "right": best == target}
        )
    return {
        "id": prepared.id(row),
        "cells": prepared.cells(row),
        "label": prepared.label(row),
        "unseen": target == len(prepared.classes),
        "answers": answers,
    }
