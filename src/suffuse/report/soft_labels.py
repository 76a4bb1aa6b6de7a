"""What the teacher's soft labels know that the hard ones don't, read from the knowledge store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..files import read_array
from ..knowledge.teacher_logits import stored_logits
from ..losses import TABLE
from ..registry import load
from ..run import Run
from ..subsample import evenly_spaced
from ..types import CLASSES, Head
from . import class_matrices
from .dataset_view import SPLITS, Prepared
from .formatting import short

MOST_NUMBERS = 20_000_000  # logits that are read; of a larger store, evenly spaced rows
CHUNK = 2_000_000  # numbers at a time
SHOWN = 6  # example rows
PER_CLASS = 2  # of them, at the most
MOST_LISTED = 30


@dataclass(frozen=True)
class Softness:
    """Of the rows that were read, and one target: R rows, C classes."""

    place: np.ndarray  # (R,) position in the store
    label: np.ndarray  # (R,)
    entropy: np.ndarray  # (R,) bits
    answer: np.ndarray  # (R,)
    means: np.ndarray  # (C, C) mean soft label by true class
    rows: np.ndarray  # (C,) rows of each true class


def softness(run: Run, prepared: Prepared) -> dict | None:
    """Of the first target of classes: facts, the mean soft label of every class, and rows whose soft label says most.
    Nothing where all targets are of other kinds."""
    first = next((at for at, head in enumerate(prepared.spec.heads) if head.kind == CLASSES), None)
    if first is None:
        return None
    stored = stored_logits(run.path("knowledge"), prepared.spec)
    given = read_array(run.path("knowledge", "label.npy"), "r")
    head, logits = prepared.spec.parts(stored)[first]
    labels = prepared.spec.targets(given)[first][1]
    heat = temperature(run)
    found = read(logits, labels, heat)
    known = (found.label >= 0) & (found.label < logits.shape[1])
    right = known & (found.answer == found.label)
    facts = {
        "target": head.name if len(prepared.spec.heads) > 1 else "",
        "temperature": f"{heat:g}",
        "rows": len(found.place),
        "all_rows": len(labels),
        "bits": float(found.entropy.mean()),
        "as_many": float(2 ** found.entropy.mean()),
        "most_bits": float(np.log2(logits.shape[1])),
        "labelled": int(known.sum()),
        "differs": int((known & ~right).sum()),
        "examples": examples(run, prepared, (head, found, right), logits, heat),
        "matrix": None,
        "list": [],
    }
    if len(head.classes) <= class_matrices.MOST_CLASSES:
        return facts | {"matrix": class_matrices.soft(found.means, head.classes, found.rows)}
    return facts | {"list": listed(found, head.classes)}


def temperature(run: Run) -> float:
    """Of the recipe's first loss on soft labels that has one; 1 where none has."""
    losses = run.recipe.distill.losses.values()
    heats = (getattr(x, "temperature", None) for x in losses if CLASSES in getattr(load(TABLE, x.kind), "HEADS", ()))
    return next((float(h) for h in heats if h), 1.0)


def soften(logits: np.ndarray, heat: float) -> np.ndarray:
    """(R, C) float16 logits -> softmax at a temperature, float32."""
    scaled = logits.astype(np.float32) / heat
    raised = np.exp(scaled - scaled.max(1, keepdims=True))
    return raised / raised.sum(1, keepdims=True)


def read(logits: np.ndarray, labels: np.ndarray, heat: float) -> Softness:
    """One pass over the store, a chunk at a time."""
    count, classes = logits.shape
    place = evenly_spaced(count, max(MOST_NUMBERS // classes, 1))
    place = place[~np.isnan(logits[place, 0])]  # rows for which the teacher has an answer
    label = labels[place].astype(np.int64)
    entropy, answer = np.zeros(len(place)), np.zeros(len(place), dtype=np.int64)
    sums = np.zeros((classes, classes))
    step = max(1, CHUNK // classes)
    for start in range(0, len(place), step):
        part = slice(start, start + step)
        soft = soften(logits[place[part]], heat)
        entropy[part] = -(soft * np.log2(np.maximum(soft, 1e-30))).sum(1)
        answer[part] = soft.argmax(1)
        order = np.argsort(label[part], kind="stable")
        there, first = np.unique(label[part][order], return_index=True)
        added, known = np.add.reduceat(soft[order], first, axis=0), (there >= 0) & (there < classes)
        sums[there[known]] += added[known]
    rows = np.bincount(label[(label >= 0) & (label < classes)], minlength=classes)
    return Softness(place, label, entropy, answer, sums / np.maximum(rows, 1)[:, None], rows)


def listed(found: Softness, classes: Sequence[str]) -> list[dict]:
    """The classes with the softest labels, and the two others that each is closest to."""
    own = np.diag(found.means)
    softest = [c for c in np.argsort(own, kind="stable") if found.rows[c]][:MOST_LISTED]
    lines = []
    for c in softest:
        others = [o for o in np.argsort(-found.means[c], kind="stable") if o != c][:2]
        near = [{"name": classes[o], "share": float(found.means[c, o])} for o in others]
        lines.append({"name": classes[c], "rows": int(found.rows[c]), "own": float(own[c]), "near": near})
    return lines


def examples(
    run: Run, prepared: Prepared, what: tuple[Head, Softness, np.ndarray], logits: np.ndarray, heat: float
) -> list[dict]:
    """Training rows that the teacher gets right and is least sure of: highest entropy first, few of a class."""
    head, found, right = what
    keys = read_array(run.path("knowledge", "key.npy"), "r")
    taken: dict[int, int] = {}
    shown = []
    candidates = np.flatnonzero(right)
    for r in candidates[np.argsort(-found.entropy[candidates], kind="stable")]:
        label = int(found.label[r])
        if taken.get(label, 0) >= PER_CLASS:
            continue
        rows = np.flatnonzero(prepared.key == keys[found.place[r]])
        row = int(rows[0]) if len(rows) else -1
        if row < 0 or SPLITS[prepared.split[row]] != "train":
            continue
        taken[label] = taken.get(label, 0) + 1
        soft = soften(logits[found.place[r]][None], heat)[0]
        bars = [{"name": head.classes[c], "share": float(soft[c])} for c in np.argsort(-soft, kind="stable")[:3]]
        label_text = short(head.classes[label]) if len(prepared.spec.heads) > 1 else prepared.label(row)
        said = {"label": label_text, "cells": prepared.cells(row), "bars": bars}
        shown.append({"id": prepared.id(row), **said})
        if len(shown) == SHOWN:
            break
    return shown
