"""Agreement with the teacher: does the model answer as the one it learned from, and is it right where that is wrong?

Stanton et al. 2021, "Does Knowledge Distillation Really Work?": agreement and KL, which a student's accuracy alone
doesn't tell. A teacher from outside is compared on the rows that it answers.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..activations import THRESHOLD
from ..types import CLASSES, LABELS, NUMBER, Head
from .context import Context, Model
from .intervals import ERROR, SHARE, Range, summary
from .metrics import Draws, per_group, ratio

CLOSE = 0.1  # of a number's deviation: so near, two numbers are the same answer
LEAST = 1e-12
COUNTS = ("both_right", "only_model", "only_teacher", "both_wrong")


def probe(context: Context) -> dict[str, dict]:
    """``agreement`` of every model but the teacher with the distilled teacher: one of its seeds, or all together."""
    teacher = context.models.get("ensemble") or context.models.get("teacher")
    if teacher is None:
        return {}
    theirs = teacher.answers(context.spec)[teacher.reference]
    answered = context.memory.get("answered", np.ones(len(context.rows), dtype=bool))
    return {
        who: {"agreement": agreement(context, model, theirs, answered)}
        for who, model in context.models.items()
        if who not in ("teacher", "ensemble")
    }


def agreement(context: Context, model: Model, theirs: np.ndarray, answered: np.ndarray) -> dict[str, Any]:
    """Of the only target, or of several ``{target: ...}``. ``answered`` (N,) bool: rows that the teacher answers."""
    spec, found = context.spec, {}
    ours = [spec.parts(said) for said in model.answers(spec).values()]
    for at, ((head, part), (_, wanted)) in enumerate(
        zip(spec.parts(theirs), spec.targets(context.target), strict=True)
    ):
        known = head.known(wanted) & answered
        if known.any():
            said = [seed[at][1][known] for seed in ours]
            found[head.name] = of_head(head, said, part[known], wanted[known], context.drawn(known))
    return next(iter(found.values()), {}) if len(spec.heads) == 1 else found


def of_head(head: Head, ours: list[np.ndarray], theirs: np.ndarray, target: np.ndarray, draws: Draws) -> dict[str, Any]:
    """One target; ``ours``: answers (N, C), one array a seed."""
    same = [equal(head, said, theirs) for said in ours]
    facts: dict[str, Any] = {"rows": len(target), "same": _share(same, draws, SHARE)}
    if head.kind == NUMBER:
        return facts
    facts["kl"] = _share([divergence(head, said, theirs) for said in ours], draws, ERROR)
    there, here = right(head, theirs, target), [right(head, said, target) for said in ours]
    facts["right_where_wrong"] = _share([h & ~there for h in here], draws, SHARE)
    facts["wrong_where_right"] = _share([~h & there for h in here], draws, SHARE)
    kinds = [(h & there, h & ~there, ~h & there, ~h & ~there) for h in here]
    facts["counts"] = {n: float(np.mean([k[i].sum() for k in kinds])) for i, n in enumerate(COUNTS)}
    facts["per_class"] = by_class(head, ours, theirs)
    return facts


def equal(head: Head, ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """(N,): 1 where two answers are the same; of labels the share of equal decisions."""
    if head.kind == NUMBER:
        return np.abs(ours[:, 0] - theirs[:, 0]) <= CLOSE * head.std
    if head.kind == LABELS:
        return ((ours > THRESHOLD) == (theirs > THRESHOLD)).mean(1)
    return ours.argmax(1) == theirs.argmax(1)


def divergence(head: Head, ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """(N,) KL(teacher || model) in nats: of classes, or the sum over labels."""
    p, q = theirs.astype(np.float64), np.maximum(ours.astype(np.float64), LEAST)
    found = _term(p, q)
    if head.kind == LABELS:
        found = found + _term(1 - p, np.maximum(1 - ours.astype(np.float64), LEAST))
    return np.maximum(found.sum(1), 0)


def right(head: Head, said: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(N,) bool; of labels all must be."""
    if head.kind == LABELS:
        return ((said > THRESHOLD) == (target > 0)).all(1)
    return said.argmax(1) == target


def by_class(head: Head, ours: list[np.ndarray], theirs: np.ndarray) -> dict[str, dict]:
    """Class (label) that the teacher says -> rows, and the share of them where the model says it too."""
    found = {}
    for c, name in enumerate(head.classes):
        there = theirs.argmax(1) == c if head.kind == CLASSES else theirs[:, c] > THRESHOLD
        if there.any():
            same = [(s.argmax(1) == c if head.kind == CLASSES else s[:, c] > THRESHOLD)[there].mean() for s in ours]
            found[name] = {"rows": int(there.sum()), "same": float(np.mean(same))}
    return found


def _term(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    return np.where(p > 0, p * (np.log(np.maximum(p, LEAST)) - np.log(q)), 0)


def _share(values: list[np.ndarray], draws: Draws, within: Range) -> dict:
    return summary([share(v, draws) for v in values], draws.confidence, within)


def share(values: np.ndarray, draws: Draws) -> np.ndarray:
    """(N,) -> its mean in every resample (R + 1,)."""
    rows = per_group(np.ones(len(draws.group)), draws) @ draws.weight.T
    return ratio(per_group(values.astype(float), draws) @ draws.weight.T, rows)
