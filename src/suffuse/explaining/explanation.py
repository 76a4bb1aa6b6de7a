"""The explanation of one prediction of one model, as plain data.

``modalities``: exact Shapley values over the subsets of the row's modalities, of the probability of the predicted class
(of a number: of the number). They sum to its value on all modalities less that of the training prior. ``parts``: for
each modality the evidence that each of its segments contributes (:mod:`suffuse.explaining.attribution`) with everything
else present. Integrated gradients sum to the total; occlusion needn't: of two redundant words neither is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any, Literal

import numpy as np

from .. import shapley
from ..activations import THRESHOLD, activate
from ..transcripts.frame_predictions import hypotheses, text
from ..types import LABELS, NUMBER, TOKENS, Spec
from .attribution import UNIT, ExplainedOutput, has_gradients, integrated_gradients, occlusion, target_outputs
from .perturbation import ModelRow, NetworkRow
from .segments import Segments, segment_entry

Method = Literal["auto", "gradients", "occlusion"]
Logits = Callable[[np.ndarray], np.ndarray]  # (S, M) bool, modalities that are kept -> (S, C); NaN: no prediction
GRADIENTS, OCCLUSION = "integrated gradients", "occlusion"
LARGE = "its network is large: what is inside of a modality is asked when you ask for it"
SILENT = "it has no answer for this row"
OUTSIDE = "it reads raw rows its own way: what is inside of a modality can't be asked"


def explain_row(
    row: ModelRow, settings: Mapping[str, Any], target: int = 0, method: Method | None = "auto"
) -> dict[str, Any]:
    """The prediction of a target, and what it is due to; without a method only the modalities. ``settings``: of each
    modality."""
    spec, present = row.columns.spec, row.columns.present[row.row]
    prediction = describe_prediction(spec, row.logits(present[None])[0], target)
    index = prediction["output"]

    def logits(subsets: np.ndarray) -> np.ndarray:
        masks = np.zeros((len(subsets), len(row.names)), dtype=bool)
        masks[:, np.flatnonzero(present)] = subsets
        return row.logits(masks)

    explanation = {**prediction, **_modalities(row.names, present, logits, spec, (target, index))}
    if method is None:
        return {**explanation, "parts": {}, "note": LARGE}
    kinds = {field.name: field.kind for field in spec.fields}
    output = ExplainedOutput(*target_outputs(spec, target), index)
    explanation["parts"] = {
        name: {"kind": kinds[name], **_attribute(row, name, segments, output, method)}
        for name, segments in segment_entries(row, settings).items()
    }
    return explanation


def explain_modalities(
    names: tuple[str, ...], present: np.ndarray, logits: Logits, spec: Spec, target: int
) -> dict[str, Any]:
    """The explanation by modalities alone, of a model that reads raw rows its own way. ``present`` (M,) bool."""
    prediction = logits(np.ones((1, int(present.sum())), dtype=bool))
    if np.isnan(prediction).any():
        return {"silent": SILENT}
    facts = describe_prediction(spec, prediction[0], target)
    modalities = _modalities(names, present, logits, spec, (target, facts["output"]))
    return {**facts, **modalities, "parts": {}, "note": OUTSIDE}


def describe_prediction(spec: Spec, logits: np.ndarray, target: int) -> dict[str, Any]:
    """(C,) logits -> the prediction of a target, its confidence, and the output that is explained: the predicted class,
    of labels the most probable one, the number; of a transcript its units."""
    head, outputs = target_outputs(spec, target)
    values = activate(spec.heads, logits[None])[0, outputs]
    if head.kind == NUMBER:
        return {"target": head.name, "answer": float(values[0]), "confidence": None, "output": 0, "unit": UNIT[NUMBER]}
    if head.kind == TOKENS:
        hypothesis = hypotheses(head, values[None])[0]
        facts = {"target": head.name, "answer": text(head, hypothesis), "confidence": hypothesis.confidence}
        return {**facts, "output": hypothesis.units, "unit": UNIT[TOKENS]}
    index = int(values.argmax())
    facts = {"target": head.name, "answer": head.classes[index], "confidence": float(values[index])}
    if head.kind == LABELS:
        facts["labels"] = [c for c, v in zip(head.classes, values, strict=True) if v > THRESHOLD]
    return {**facts, "output": index, "unit": UNIT[head.kind]}


def segment_entries(row: ModelRow, settings: Mapping[str, Any]) -> dict[str, Segments]:
    """Modality -> the segments of its entry, for the row's modalities that have segments."""
    entries, cut = row.entries, {}
    for field in row.columns.spec.fields:
        if field.name in entries:
            segments = segment_entry(field, settings[field.name], entries[field.name])
            if segments is not None and segments.labels:
                cut[field.name] = segments
    return cut


def _modalities(
    names: tuple[str, ...], present: np.ndarray, logits: Logits, spec: Spec, output: tuple[int, int | tuple[int, ...]]
) -> dict[str, Any]:
    """``modalities``, of those that are present, and the names of the ``absent`` ones."""
    kept = [name for name, p in zip(names, present, strict=True) if p]
    absent = [name for name, p in zip(names, present, strict=True) if not p]
    return {"modalities": modality_shares(kept, logits, spec, *output), "absent": absent}


def modality_shares(
    names: list[str], logits: Logits, spec: Spec, target: int, index: int | tuple[int, ...]
) -> list[dict] | str:
    """Each modality's Shapley value of output ``index`` of a target, the largest first; the reason, where there are too
    many modalities. Where the model has no prediction, the training prior stands for it."""
    if len(names) > shapley.MAX_MODALITIES:
        return f"more than {shapley.MAX_MODALITIES} modalities"
    if not names:
        return []
    by_subset = logits(shapley.masks(len(names)))
    prior = np.array(spec.log_prior, dtype=np.float32)
    by_subset = np.where(np.isnan(by_subset).any(1, keepdims=True), prior, by_subset)
    values = _explained_values(by_subset, spec, target, index)
    single = 1 << np.arange(len(names))
    alone, lost = values[single], values[-1] - values[(len(values) - 1) ^ single]
    columns = zip(names, shapley.shapley(values), alone, lost, strict=True)
    return ranked([{"name": n, "value": float(v), "alone": float(a), "lost": float(w)} for n, v, a, w in columns])


def _explained_values(logits: np.ndarray, spec: Spec, target: int, index: int | tuple[int, ...]) -> np.ndarray:
    """(S, C) logits -> (S,) probability of the class, label or text; the number."""
    head, outputs = target_outputs(spec, target)
    if isinstance(index, tuple):
        return np.exp(ExplainedOutput(head, outputs, index).evidence_array(logits))
    return activate(spec.heads, logits)[:, outputs][:, index]


def ranked(items: list[dict]) -> list[dict]:
    """Items with their ``share`` of the sum of absolute values, the largest first."""
    total = sum(abs(item["value"]) for item in items)
    for item in items:
        item["share"] = abs(item["value"]) / total if total else 0.0
    return sorted(items, key=lambda item: -abs(item["value"]))


def _attribute(row: ModelRow, name: str, segments: Segments, output: ExplainedOutput, method: Method) -> dict:
    """The evidence of each segment, and how it was computed."""
    differentiable = has_gradients(row, name) and find_spec("captum") is not None
    if method != "occlusion" and differentiable and isinstance(row, NetworkRow):
        values, total, gap = integrated_gradients(row, name, segments, output)
        facts: dict[str, Any] = {"how": GRADIENTS, "sum": total, "gap": gap}
    else:
        values, facts = occlusion(row, name, segments, output), {"how": OCCLUSION}
    items = [
        {"name": label, "value": float(v), "part": k}
        for k, (label, v) in enumerate(zip(segments.labels, values, strict=True))
    ]
    return {
        **facts,
        "items": ranked(items),
        "values": [float(v) for v in values],
        "labels": list(segments.labels),
        **segments.facts,
    }
