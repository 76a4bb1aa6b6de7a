"""One answer of one model, explained as plain data.

``modalities``: exact Shapley values over the subsets of what the row has, of the answer's probability (a number: of the
number): they sum to what all modalities together make of it, less what the model says of an empty row. ``parts``: for
each modality how much evidence (:mod:`.evidence`) each of its parts brings, all else being there; by integrated
gradients, which sum to the whole, or by occlusion, which doesn't have to: two words that say the same are both
dispensable.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any, Literal

import numpy as np

from .. import shapley
from ..activations import activate
from ..types import LABELS, NUMBER, Head, Spec
from .integrated_gradients import can, integrated
from .log_odds import UNIT, of_array
from .perturbation import Asked, OfNetwork
from .segments import Parts, parts

Method = Literal["auto", "gradients", "occlusion"]
GRADIENTS, OCCLUSION = "integrated gradients", "occlusion"
LARGE = "its network is large: what is inside of a modality is asked when you ask for it"
SILENT = "it has no answer for this row"
OUTSIDE = "it reads raw rows its own way: what is inside of a modality can't be asked"


def explained(asked: Asked, settings: Mapping[str, Any], target: int = 0, method: Method | None = "auto") -> dict:
    """The answer to a target of the asked row, and what made it; without a method which modality alone."""
    spec, present = asked.columns.spec, asked.columns.present[asked.row]
    head, place = at(spec, target)
    said = asked.logits(present[None])
    found = answer(spec, said[0], target)
    chosen = found["output"]
    found["modalities"] = shares(
        [n for n, p in zip(asked.names, present, strict=True) if p],
        lambda subsets: asked.logits(_full(asked.names, subsets, present)),
        (spec, target, chosen),
    )
    found["absent"] = [n for n, p in zip(asked.names, present, strict=True) if not p]
    if method is None:
        return {**found, "parts": {}, "note": LARGE}
    kinds, of = {field.name: field.kind for field in spec.fields}, (head, place, chosen)
    found["parts"] = {
        name: {"kind": kinds[name], **_parts(asked, name, cut, of, method)}
        for name, cut in cuts(asked, settings).items()
    }
    return found


def cuts(asked: Asked, settings: Mapping[str, Any]) -> dict[str, Parts]:
    """Modality -> the parts of its entry, of those that the row has and that have parts."""
    entries = asked.entries
    there = [field for field in asked.columns.spec.fields if field.name in entries]
    found = {field.name: parts(field, settings[field.name], entries[field.name]) for field in there}
    return {name: cut for name, cut in found.items() if cut is not None and cut.labels}


def at(spec: Spec, target: int) -> tuple[Head, slice]:
    """A target, and where its outputs stand."""
    before = sum(head.outputs for head in spec.heads[:target])
    return spec.heads[target], slice(before, before + spec.heads[target].outputs)


def answer(spec: Spec, logits: np.ndarray, target: int) -> dict:
    """(C,) logits -> what the model says of a target, how sure it is, and the output that is explained: the class, of
    labels the one that it is surest of, the number."""
    head, place = at(spec, target)
    values = activate(spec.heads, logits[None])[0, place]
    if head.kind == NUMBER:
        return {"target": head.name, "answer": float(values[0]), "confidence": None, "output": 0, "unit": UNIT[NUMBER]}
    output = int(values.argmax())
    found = {"target": head.name, "answer": head.classes[output], "confidence": float(values[output])}
    if head.kind == LABELS:
        found["labels"] = [c for c, v in zip(head.classes, values, strict=True) if v > 0.5]
    return {**found, "output": output, "unit": UNIT[head.kind]}


def shares(names: list[str], ask: Callable[[np.ndarray], np.ndarray], of: tuple[Spec, int, int]) -> list[dict] | str:
    """Each modality's Shapley value of the answer's probability, the largest first; why not, where there are too many.

    ``ask``: (S, M) bool, which of ``names`` are there -> logits (S, C), NaN where there is no answer.
    """
    spec, target, output = of
    if len(names) > shapley.MOST:
        return f"more than {shapley.MOST} modalities"
    if not names:
        return []
    said = ask(shapley.masks(len(names)))
    prior = np.array(spec.log_prior, dtype=np.float32)
    said = np.where(np.isnan(said).any(1, keepdims=True), prior, said)
    values = activate(spec.heads, said)[:, at(spec, target)[1]][:, output]
    each = shapley.shapley(values)
    alone, everything = values[1 << np.arange(len(names))], values[-1]
    lost = everything - values[(len(values) - 1) ^ (1 << np.arange(len(names)))]
    found = [
        {"name": n, "value": float(v), "alone": float(a), "lost": float(w)}
        for n, v, a, w in zip(names, each, alone, lost, strict=True)
    ]
    return ranked(found)


def ranked(found: list[dict]) -> list[dict]:
    """With each one's share of all that pulls, for or against; the largest first."""
    total = sum(abs(one["value"]) for one in found)
    for one in found:
        one["share"] = abs(one["value"]) / total if total else 0.0
    return sorted(found, key=lambda one: -abs(one["value"]))


def _full(names: tuple[str, ...], subsets: np.ndarray, present: np.ndarray) -> np.ndarray:
    made = np.zeros((len(subsets), len(names)), dtype=bool)
    made[:, np.flatnonzero(present)] = subsets
    return made


def _parts(asked: Asked, name: str, cut: Parts, of: tuple[Head, slice, int], method: Method) -> dict:
    """How much evidence each part brings, and how that was found."""
    ready = can(asked, name) and find_spec("captum") is not None
    if method != "occlusion" and ready and isinstance(asked, OfNetwork):
        values, wanted, gap = integrated(asked, name, cut, of)
        facts: dict[str, Any] = {"how": GRADIENTS, "sum": wanted, "gap": gap}
    else:
        values, facts = occluded(asked, name, cut, of), {"how": OCCLUSION}
    items = [
        {"name": label, "value": float(v), "part": k}
        for k, (label, v) in enumerate(zip(cut.labels, values, strict=True))
    ]
    return {
        **facts,
        "items": ranked(items),
        "values": [float(v) for v in values],
        "labels": list(cut.labels),
        **cut.facts,
    }


def occluded(asked: Asked, name: str, cut: Parts, of: tuple[Head, slice, int]) -> np.ndarray:
    """(K,) evidence that is lost with each part."""
    head, place, chosen = of
    entry, count = asked.entries[name], len(cut.labels)
    changed = np.stack([entry, *(cut.without(entry, part) for part in range(count))])
    present = np.repeat(asked.columns.present[asked.row][None], count + 1, 0)
    found = of_array(head, asked.logits(present, {name: changed})[:, place], chosen)
    return found[0] - found[1:]


def only_modalities(
    names: tuple[str, ...], present: np.ndarray, ask: Callable[[np.ndarray], np.ndarray], of: tuple[Spec, int]
) -> dict:
    """A model that reads raw rows its own way: which modality, and no more; ``ask`` as :func:`shares` takes it."""
    spec, target = of
    there = [n for n, p in zip(names, present, strict=True) if p]
    said = ask(np.ones((1, len(there)), dtype=bool))
    if np.isnan(said).any():
        return {"silent": SILENT}
    found = answer(spec, said[0], target)
    found["modalities"] = shares(there, ask, (spec, target, found["output"]))
    found["absent"] = [n for n, p in zip(names, present, strict=True) if not p]
    return {**found, "parts": {}, "note": OUTSIDE}
