"""Compares an exported file with its model, on every subset of the modalities."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Protocol

import numpy as np

from ..activations import THRESHOLD, activate
from ..data.columns import Columns
from ..engine.inference import subset_logits
from ..errors import SuffuseError
from ..model import FusionModel
from ..subsample import evenly_spaced
from ..temperature_scaling import subset_name
from ..transcripts.frame_predictions import same_texts
from ..types import CLASSES, LABELS, TOKENS, Head, Spec

MAX_SUBSET_MODALITIES = 6  # modalities of which every subset is compared
PIECE = 256  # rows that are computed at once
SAME = 0.01  # of a deviation: numbers nearer than this are the same answer of the same model
Subset = tuple[bool, ...]  # which modalities are left
Ask = Callable[[Columns, np.ndarray, Subset], np.ndarray]  # rows, which modalities are left -> logits (N, C)


def subsets(names: Sequence[str], every: bool = True) -> list[Subset]:
    """Which modalities are present: every subset, or all, all but one, and none."""
    if every and len(names) <= MAX_SUBSET_MODALITIES:
        return list(product((True, False), repeat=len(names)))
    single = [tuple(name != removed for name in names) for removed in names]
    return list(dict.fromkeys([(True,) * len(names), *single, (False,) * len(names)]))


def evenly(columns: Columns, count: int, split: str = "validation") -> np.ndarray:
    """At most ``count`` labelled rows of a split, evenly spaced over all of them."""
    labelled = columns.labelled(split)
    return labelled[evenly_spaced(len(labelled), count)]


def entries(columns: Columns, rows: np.ndarray) -> dict[str, np.ndarray]:
    """The rows' entries as a predictor takes them; in an absent slot stands another row's."""
    return {n: np.asarray(columns.entries[n][columns.entry[rows, m]]) for m, n in enumerate(columns.spec.names)}


class LogitModel(Protocol):
    """Anything that maps encoded rows to logits: a predictor, or a bare session."""

    def logits(self, entries: Mapping[str, np.ndarray], present: np.ndarray) -> np.ndarray:
        """Entries (B, ...) and present (B, M) bool -> (B, C)."""
        ...


def make_ask(model: LogitModel) -> Ask:
    """A model as a function of rows and a subset, in pieces that fit memory."""

    def ask(columns: Columns, rows: np.ndarray, kept: Subset) -> np.ndarray:
        size, parts = columns.fitting(PIECE), []
        for start in range(0, len(rows), size):
            piece = rows[start : start + size]
            parts.append(model.logits(entries(columns, piece), columns.present[piece] & np.array(kept)))
        return np.concatenate(parts)

    return ask


def compare(model: FusionModel, predictor: LogitModel, columns: Columns, rows: np.ndarray, every: bool) -> dict:
    """Each subset of modalities: largest difference of a probability, share of equal answers, and whether what stands
    in an absent slot changed any bit."""
    names, row_entries, by_subset = columns.spec.names, entries(columns, rows), {}
    kept = subsets(names, every)
    answers = subset_logits(model, columns, rows, np.array(kept)[:, None])
    for keeps, exact in zip(kept, answers, strict=True):
        present = columns.present[rows] & np.array(keeps)
        logits = predictor.logits(row_entries, present)
        exported_outputs, exact = (comparable(columns.spec.heads, z) for z in (logits, exact))
        spoilt_logits = [predictor.logits(changed, present) for changed in spoilt(row_entries, present)]
        by_subset[subset_name(names, keeps)] = {
            "difference": float(np.abs(exported_outputs - exact).max()),
            "same_answer": float(same_answers(columns.spec, exported_outputs, exact).mean()),
            "absent_changes_nothing": all(bool((changed == logits).all()) for changed in spoilt_logits),
        }
    return by_subset


def check(compared: dict[str, dict], tolerance: float, model_name: str) -> None:
    """Raise SuffuseError at the first subset on which the file is not the model."""
    for subset, facts in compared.items():
        if not facts["difference"] <= tolerance or not facts["absent_changes_nothing"]:
            raise SuffuseError(
                "the export is not the model", where=f"{model_name}, {subset}", got=facts, expected=f"{tolerance:g}"
            )


def comparable(heads: tuple[Head, ...], logits: np.ndarray) -> np.ndarray:
    """Probabilities; a number in standard deviations, so that one tolerance serves all targets."""
    return activate([dataclasses.replace(head, mean=0.0, std=1.0) for head in heads], logits)


def same_answers(spec: Spec, outputs: np.ndarray, reference: np.ndarray, near: float = SAME) -> np.ndarray:
    """(N,) share of equal answers over the targets; numbers are equal within ``near`` of a deviation."""
    equal_shares = []
    for (head, a), (_, b) in zip(spec.parts(outputs), spec.parts(reference), strict=True):
        if head.kind == CLASSES:
            equal_shares.append(a.argmax(1) == b.argmax(1))
        elif head.kind == LABELS:
            equal_shares.append(((a > THRESHOLD) == (b > THRESHOLD)).mean(1))
        elif head.kind == TOKENS:
            equal_shares.append(same_texts(head, a, b))
        else:
            equal_shares.append(abs(a - b)[:, 0] < near)
    return np.mean(np.stack([np.asarray(share, dtype=float) for share in equal_shares]), axis=0)


def spoilt(entries: Mapping[str, np.ndarray], present: np.ndarray) -> list[dict[str, np.ndarray]]:
    """Entries with other content wherever a row lacks a modality: another row's, and a reader's blank."""
    replacements = {n: (np.roll(e, 1, axis=0), np.zeros_like(e)) for n, e in entries.items()}
    return [
        {n: scramble(e, replacements[n][way], present[:, m]) for m, (n, e) in enumerate(entries.items())}
        for way in (0, 1)
    ]


def scramble(entries: np.ndarray, replacement: np.ndarray, present: np.ndarray) -> np.ndarray:
    """``replacement`` in the absent rows."""
    changed = entries.copy()
    changed[~present] = replacement[~present]
    return changed
