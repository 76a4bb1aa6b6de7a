"""Calibration before and after one temperature per target, fitted on validation rows (Guo et al. 2017), and on every
subset of modalities, where confidence is often most wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ..activations import activate
from ..files import read_json
from ..predictor import SIGNATURE
from ..temperature_scaling import fit, scaled
from ..types import NUMBER, Spec
from .calibration import calibrate, with_intervals
from .context import SEED, Context, Model
from .macs import affordable
from .metrics import Draws
from .modality_subsets import rows_of, subsets
from .target_metrics import measure

MOST = 2000  # validation rows
Temperatures = Mapping[str, float]  # target -> T


def probe(context: Context) -> dict[str, dict]:
    """``temperature`` of every main model, of targets that aren't numbers."""
    if all(head.kind == NUMBER for head in context.spec.heads):
        return {}
    rows = validation(context)
    return {model.who: {"temperature": tempered(context, model, rows)} for model in context.main()}


def validation(context: Context) -> np.ndarray:
    """Positions of the labelled validation rows, or of 2,000 of them, fewer where networks are heavy."""
    rows = context.columns.labelled("validation")
    most = affordable(context, lambda member, work: work.whole, MOST)
    return np.sort(np.random.default_rng(SEED).permutation(rows)[:most])


def tempered(context: Context, model: Model, rows: np.ndarray) -> dict[str, Any]:
    """One model: temperatures by seed, and calibration with them and without."""
    context.tell(0.0, f"{model.who}: temperature")
    spec, target = context.spec, context.columns.target[rows]
    own = stored(model)
    fitted = {seed: fit(spec, member.logits(rows), target) for seed, member in model.members.items() if not own}
    seeds, whole = list(model.logits), "+".join(next(iter(model.members.values())).names)
    used = {s: own.get(whole, {}) if own else fitted[s] for s in seeds}
    raw = [model.logits[s] for s in seeds]
    cooled = [scaled(spec.heads, model.logits[s], used[s]) for s in seeds]
    before, after = stated(spec, raw, context), stated(spec, cooled, context)
    found = {
        name: {"temperature": [used[s].get(name, 1.0) for s in seeds], "before": before[name], "after": after[name]}
        for name in before
    }
    facts: dict[str, Any] = {"from": "export", "targets": found} if own else {"fitted_on": len(rows), "targets": found}
    if ("subsets", model.who) in context.memory:
        facts["subsets"] = by_subset(context, model, own, fitted)
    return facts


def stored(model: Model) -> Mapping[str, Temperatures]:
    """Subset -> temperatures that an export holds; none of what is no export, or has none."""
    if model.folder is None or not model.who.startswith("export"):
        return {}
    return (read_json(model.folder / SIGNATURE) or {}).get("temperatures") or {}


def by_subset(
    context: Context, model: Model, own: Mapping[str, Temperatures], fitted: Mapping[str, Temperatures]
) -> dict[str, dict]:
    """Subset -> target -> ECE and Brier score before and after its own temperature, or that of the whole; the latter
    with intervals."""
    said, where = subsets(context, model), rows_of(context)
    spec, target, draws, found = context.spec, context.target[where], context.drawn(where), {}
    for number, (name, exported) in enumerate(zip(said.titles, said.exported, strict=True)):
        raw = [z[number] for z in said.logits.values()]
        used = {seed: own.get(exported, {}) if own else fitted[seed] for seed in said.logits}
        cooled = [scaled(spec.heads, z[number], used[seed]) for seed, z in said.logits.items()]
        before, after = errors(spec, raw, target), errors(spec, cooled, target, draws)
        found[name] = {head: {"before": short(before[head]), "after": short(after[head])} for head in before}
    return found


def stated(spec: Spec, logits: list[np.ndarray], context: Context) -> dict[str, dict]:
    """Target -> ECE, Brier score, their intervals, bins and log loss on the test rows, over all seeds together."""
    once = replace(context.draws, weight=context.draws.weight[:1])
    answers = [activate(spec.heads, z) for z in logits]
    found = _by_target(spec, with_intervals(spec, answers, context.target, context.draws))
    losses = [measure(spec, said, context.target, once) for said in answers]
    for name, facts in found.items():
        key = "log_loss" if len(spec.heads) == 1 else f"{name}:log_loss"
        facts["log_loss"] = float(np.mean([one[key][0] for one in losses]))
    return found


def errors(spec: Spec, logits: list[np.ndarray], target: np.ndarray, draws: Draws | None = None) -> dict[str, dict]:
    """Target -> its calibration, seeds one after the other; with intervals where there are draws of the rows."""
    each = [activate(spec.heads, z) for z in logits]
    if draws is not None:
        return _by_target(spec, with_intervals(spec, each, target, draws))
    return _by_target(spec, calibrate(spec, np.concatenate(each), np.concatenate([target] * len(logits))))


def _by_target(spec: Spec, facts: dict[str, Any]) -> dict[str, dict]:
    if len(spec.heads) > 1:
        return facts["calibrations"]
    return {head.name: facts["calibration"] for head in spec.heads if facts}


def short(facts: dict) -> dict[str, Any]:
    """Without the bins."""
    return {key: facts[key] for key in ("ece", "brier", "intervals") if key in facts}
