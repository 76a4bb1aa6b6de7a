"""Calibration: does a confidence of 0.9 mean that nine of ten predictions are right? Before and after temperature.

Expected calibration error (Guo et al. 2017) over equal-width bins, and the Brier score (Brier 1950). Each label is a
binary question of its own: the stated probability against the observed frequency, over all labels together. A number
has no confidence.

Both are computed over the predictions of all seeds together. Intervals use the resamples and the spread of the seeds,
as those of every other value do: each seed's ECE in a resample, less the average reduction from pooling the seeds.

The probe scales logits by one temperature per target, fitted on validation rows (Guo et al. 2017), on all modalities
and on every subset of them, where confidence is often most wrong. Shapes: N rows, C outputs, R resamples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..activations import activate
from ..files import read_json
from ..predictor import SIGNATURE
from ..temperature_scaling import fit, scaled
from ..types import CLASSES, LABELS, Head, Spec
from . import ProbeDocs
from .context import SEED, Context, Model
from .intervals import SHARE, bounds, summary
from .metrics import Draws, measure, per_group, ratio
from .modality_subsets import subset_logits, subset_rows
from .size import affordable_rows

FIELDS = ("temperature",)
DOCS = ProbeDocs(models="main", cost="predictions for validation rows")
BINS = 10
MAX_ROWS = 2000  # validation rows
Temperatures = Mapping[str, float]  # target -> T


def calibration_with_intervals(
    spec: Spec, seeds: Sequence[np.ndarray], target: np.ndarray, draws: Draws
) -> dict[str, Any]:
    """:func:`calibrate` over all seeds' predictions (N, C), each with ``intervals`` of its ECE and Brier score."""
    facts = calibrate(spec, np.concatenate(list(seeds)), np.concatenate([target] * len(seeds)))
    by_target, parts = _by_target(spec, facts), [spec.parts(predictions) for predictions in seeds]
    for n, (head, labels) in enumerate(spec.targets(target)):
        if head.name in by_target:
            known = head.known(labels)
            known_parts = [seed[n][1][known] for seed in parts]
            by_target[head.name]["intervals"] = intervals(head, known_parts, labels[known], draws.of(known))
    return facts


def intervals(head: Head, seeds: Sequence[np.ndarray], target: np.ndarray, draws: Draws) -> dict[str, dict[str, float]]:
    """Predictions (N, C) of one target, one array per seed -> ``low`` and ``high`` of ``ece`` and ``brier``."""
    gaps, squares = zip(*(_resampled_errors(head, predictions, target, draws) for predictions in seeds), strict=True)
    questions = 1 if head.kind == CLASSES else target.shape[1]
    count = questions * draws.sums(np.ones(len(target)))
    seed_ece = [ratio(np.abs(gap).sum(1), count) for gap in gaps]
    pooled_ece = ratio(np.abs(np.mean(gaps, axis=0)).sum(1), count)
    pooling = pooled_ece - np.mean(seed_ece, axis=0)
    values = {"ece": [ece + pooling for ece in seed_ece], "brier": [ratio(square, count) for square in squares]}
    ranges = {"ece": bounds("ece"), "brier": bounds("brier") if head.kind == CLASSES else SHARE}
    summaries = {name: summary(value, draws.confidence, ranges[name], draws.size) for name, value in values.items()}
    return {name: {"low": facts["low"], "high": facts["high"]} for name, facts in summaries.items()}


def _resampled_errors(
    head: Head, predictions: np.ndarray, target: np.ndarray, draws: Draws
) -> tuple[np.ndarray, np.ndarray]:
    """One seed's sums over the rows of every resample: confidence minus outcome, by bin (R + 1, bins), and the squared
    error (R + 1,)."""
    if head.kind == CLASSES:
        confidence, outcome, square = _class_errors(predictions, target)
    else:
        confidence, outcome = predictions, target > 0
        square = ((predictions - outcome) ** 2).sum(1)
    bin_index = _bin_index(confidence).reshape(len(predictions), -1)
    gap = (confidence - outcome).reshape(len(predictions), -1)
    gaps = [per_group(np.where(bin_index == b, gap, 0).sum(1), draws) for b in range(BINS)]
    return draws.weight @ np.stack(gaps, 1), draws.weight @ per_group(square, draws)


def calibrate(spec: Spec, predictions: np.ndarray, target: np.ndarray) -> dict[str, Any]:
    """Predictions (N, C), as :func:`suffuse.activations.activate` gives them, and targets -> ``calibration`` of the
    only target, or ``calibrations`` by target, on the rows that have the target. Numbers are left out."""
    by_target = {}
    for (head, part), (_, labels) in zip(spec.parts(predictions), spec.targets(target), strict=True):
        known = head.known(labels)
        if head.kind in (CLASSES, LABELS) and known.any():
            function = class_calibration if head.kind == CLASSES else label_calibration
            by_target[head.name] = function(part[known], labels[known])
    if len(spec.heads) > 1:
        return {"calibrations": by_target}
    return {"calibration": next(iter(by_target.values()))} if by_target else {}


def class_calibration(probability: np.ndarray, target: np.ndarray) -> dict:
    """(N, C) and (N,) -> ece, brier, and per bin: rows, mean confidence, accuracy."""
    confidence, correct, square = _class_errors(probability, target)
    return {**binned(confidence, correct), "brier": float(square.mean())}


def _class_errors(probability: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(N,) each: confidence, whether the prediction is right, and its squared distance from the one-hot target."""
    one_hot = np.zeros_like(probability)
    known = target < probability.shape[1]
    one_hot[np.flatnonzero(known), target[known]] = 1
    return probability.max(1), probability.argmax(1) == target, ((probability - one_hot) ** 2).sum(1)


def label_calibration(probability: np.ndarray, target: np.ndarray) -> dict:
    """(N, C) twice -> the same over all labels of all rows: ``accuracy`` is the share of positive labels in a bin."""
    confidence, positive = probability.ravel(), target.ravel() > 0
    return {**binned(confidence, positive), "brier": float(((confidence - positive) ** 2).mean())}


def binned(confidence: np.ndarray, outcome: np.ndarray) -> dict:
    """(N,) probabilities and (N,) bool outcomes -> ece, and the bins."""
    bin_index = _bin_index(confidence)
    rows = np.bincount(bin_index, minlength=BINS)
    mean_confidence = np.bincount(bin_index, weights=confidence, minlength=BINS) / np.maximum(rows, 1)
    accuracy = np.bincount(bin_index, weights=outcome, minlength=BINS) / np.maximum(rows, 1)
    return {
        "ece": float((rows * np.abs(mean_confidence - accuracy)).sum() / rows.sum()),
        "bins": [
            {"rows": int(r), "confidence": float(c), "accuracy": float(a)}
            for r, c, a in zip(rows, mean_confidence, accuracy, strict=True)
        ],
    }


def _bin_index(confidence: np.ndarray) -> np.ndarray:
    return np.minimum((confidence * BINS).astype(int), BINS - 1)


def probe(context: Context) -> dict[str, dict]:
    """``temperature`` of every main model, for targets that aren't numbers."""
    if not any(head.kind in (CLASSES, LABELS) for head in context.spec.heads):
        return {}
    rows = validation_rows(context)
    return {model.name: {"temperature": temperature_facts(context, model, rows)} for model in context.main_models()}


def validation_rows(context: Context) -> np.ndarray:
    """Positions of the labelled validation rows, or of 2,000 of them, fewer where networks are heavy."""
    rows = context.columns.labelled("validation")
    count = affordable_rows(context, lambda member, macs: macs.total, MAX_ROWS)
    return np.sort(np.random.default_rng(SEED).permutation(rows)[:count])


def temperature_facts(context: Context, model: Model, rows: np.ndarray) -> dict[str, Any]:
    """One model: temperatures by seed, and its calibration with and without them."""
    context.tell(0.0, f"{model.name}: temperature")
    spec, target = context.spec, context.columns.target[rows]
    stored = stored_temperatures(model)
    fitted = {seed: fit(spec, member.logits(rows), target) for seed, member in model.members.items() if not stored}
    seeds, all_modalities = list(model.logits), "+".join(next(iter(model.members.values())).names)
    used = {seed: stored.get(all_modalities, {}) if stored else fitted[seed] for seed in seeds}
    raw = [model.logits[seed] for seed in seeds]
    tempered = [scaled(spec.heads, model.logits[seed], used[seed]) for seed in seeds]
    before, after = calibration_on_test(context, raw), calibration_on_test(context, tempered)
    targets = {
        name: {"temperature": [used[s].get(name, 1.0) for s in seeds], "before": before[name], "after": after[name]}
        for name in before
    }
    facts: dict[str, Any] = {"from": "export"} if stored else {"fitted_on": len(rows)}
    facts["targets"] = targets
    if ("subsets", model.name) in context.cache:
        facts["subsets"] = subset_calibration(context, model, stored, fitted)
    return facts


def stored_temperatures(model: Model) -> Mapping[str, Temperatures]:
    """Subset -> temperatures that an export holds; empty for other models, and for exports without any."""
    if model.folder is None or not model.name.startswith("export"):
        return {}
    return (read_json(model.folder / SIGNATURE) or {}).get("temperatures") or {}


def subset_calibration(
    context: Context, model: Model, stored: Mapping[str, Temperatures], fitted: Mapping[str, Temperatures]
) -> dict[str, dict]:
    """Subset -> target -> ECE and Brier score before and after the subset's own temperature, or that of all modalities
    where the model has no others; the latter with intervals."""
    subsets, rows = subset_logits(context, model), subset_rows(context)
    spec, target, draws, table = context.spec, context.target[rows], context.draws.of(rows), {}
    for n, (title, export_title) in enumerate(zip(subsets.titles, subsets.export_titles, strict=True)):
        raw, tempered = [], []
        for seed, logits in subsets.logits.items():
            temperatures = stored.get(export_title, {}) if stored else fitted[seed]
            raw.append(activate(spec.heads, logits[n]))
            tempered.append(activate(spec.heads, scaled(spec.heads, logits[n], temperatures)))
        pooled = calibrate(spec, np.concatenate(raw), np.concatenate([target] * len(raw)))
        before, after = (
            _by_target(spec, facts) for facts in (pooled, calibration_with_intervals(spec, tempered, target, draws))
        )
        table[title] = {
            name: {"before": _without_bins(before[name]), "after": _without_bins(after[name])} for name in before
        }
    return table


def calibration_on_test(context: Context, logits: list[np.ndarray]) -> dict[str, dict]:
    """Target -> ECE, Brier score, their intervals, bins and log loss on the test rows, over all seeds together."""
    spec, rows_only = context.spec, replace(context.draws, weight=context.draws.weight[:1])
    predictions = [activate(spec.heads, z) for z in logits]
    facts = _by_target(spec, calibration_with_intervals(spec, predictions, context.target, context.draws))
    metrics = [measure(spec, p, context.target, rows_only) for p in predictions]
    for name, target_facts in facts.items():
        key = "log_loss" if len(spec.heads) == 1 else f"{name}:log_loss"
        target_facts["log_loss"] = float(np.mean([m[key][0] for m in metrics]))
    return facts


def _by_target(spec: Spec, facts: dict[str, Any]) -> dict[str, dict]:
    if len(spec.heads) > 1:
        return facts["calibrations"]
    return {head.name: facts["calibration"] for head in spec.heads if facts}


def _without_bins(facts: dict) -> dict[str, Any]:
    return {key: facts[key] for key in ("ece", "brier", "intervals") if key in facts}
