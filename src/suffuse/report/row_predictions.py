"""One target of one test row in words: what is true, what each model says, and whether that is right."""

from __future__ import annotations

import numpy as np

from ..types import CLASSES, LABELS, NUMBER
from .formatting import amount, listed, minus, percent, rounded, short
from .i18n import t
from .test_predictions import Told

MODELS = {"teacher": "teacher", "export": "student"}
CAPTION = {CLASSES: "Label", LABELS: "Labels", NUMBER: "True number"}
MOST = 6  # labels of one answer that are named
TRUE_DIGITS = 6  # stored numbers are exact to about seven


def answers(told: Told, position: int, source: str = "") -> dict:
    """``source``: the label as the table has it, where this is the only target."""
    return {
        "name": told.head.name,
        "caption": t(CAPTION[told.head.kind]),
        "true": truth(told, position, source),
        "note": _note(told, position),
        "answers": [{"who": t(title), **answer(told, who, position)} for who, title in MODELS.items()],
    }


def truth(told: Told, position: int, source: str = "") -> str:
    """What the row's target is; nothing where it has none."""
    if not told.known[position]:
        return ""
    target, head = told.target[position], told.head
    if head.kind == NUMBER:
        return minus(amount(float(target), TRUE_DIGITS))
    if head.kind == LABELS:
        return labels(head.classes, target > 0)
    return source or (short(head.classes[target]) if target < len(head.classes) else t("another class"))


def _note(told: Told, position: int) -> str:
    unseen = told.head.kind == CLASSES and told.target[position] == len(told.head.classes)
    return t("(never in training, so no model can be right)") if unseen else ""


def answer(told: Told, who: str, position: int) -> dict:
    """``said``, ``more`` (how sure, how far off) and ``right``: None where nothing is known, or it is a number."""
    said, head = told.said[who][position], told.head
    known = bool(told.known[position])
    right = bool(told.right(who)[position]) if known and head.kind != NUMBER else None
    if head.kind == NUMBER:
        text = minus(rounded(float(said), head.std))
        return {"said": text, "more": off(told, who, position) if known else "", "right": None}
    if head.kind == LABELS:
        sure = percent(float(np.maximum(said, 1 - said).min()), 1)
        there = told.answer(who)[position]
        return {"said": labels(head.classes, there), "more": sure, "right": right}
    best = int(said.argmax())
    return {"said": short(head.classes[best]), "more": percent(float(said[best]), 1), "right": right}


def labels(classes: tuple[str, ...], there: np.ndarray) -> str:
    """Those that are there."""
    return listed([classes[c] for c in np.flatnonzero(there)], MOST) or t("no label")


def off(told: Told, who: str, position: int) -> str:
    """How far a number is from the true one."""
    gap = float(told.said[who][position] - told.target[position])
    size = rounded(abs(gap), told.head.std)
    if size == "0":
        return t("hardly off")
    return t("%(size)s too high", size=size) if gap > 0 else t("%(size)s too low", size=size)
