"""The student's losses: kinds, weights, temperatures and schedules.

The recipe's losses are the starting point. A distillation loss on logits may change its kind; any other loss may be
left out; a few that the recipe lacks may be added. A loss that is invalid here (:mod:`suffuse.losses.compatibility`),
or needs something of the teacher that the store doesn't hold, is never proposed.
"""

from __future__ import annotations

from typing import Any

from .. import losses
from ..errors import UsageError
from ..losses import compatibility
from ..registry import PartSettings, settings
from ..types import CLASSES, LABELS, NUMBER, TOKENS
from .samplers import LOGITS, Sampler, SearchContext
from .training_space import SMOOTHING, round_digits

DISTILLATION_KINDS = {  # kind of target -> losses on the teacher's logits
    CLASSES: ("kd", "dkd", "nkd", "dist", "lskd", "js", "reverse_kd"),
    LABELS: ("multilabel_kd",),
    NUMBER: ("regression_kd",),
    TOKENS: ("ctc_kd", "sequence_kd"),
}
MAX_TEMPERATURES, MAX_TEMPERATURE = {"kd": 8.0, "dkd": 8.0, "lskd": 5.0}, 4.0  # by kind; of the other kinds
KIND_PARAMETERS = {"dkd": ("beta", 0.25, 8.0), "nkd": ("gamma", 0.5, 3.0)}  # kind -> further parameter, its range
ADDABLE = {  # losses that may be added -> range of the weight
    "hint": (0.1, 10.0),
    "modality_hints": (0.1, 10.0),
    "rkd_distance": (0.1, 30.0),
    "guided_ctc": (0.03, 3.0),
    "gate_transfer": (0.1, 3.0),
    "subset_consistency": (0.1, 3.0),
}
AS_IS, FADE, SHARPEN = SCHEDULES = ("as in the recipe", "answers fade", "answers sharpen")
FADED_SHARE = 0.2  # of the weight, at the end of a fading schedule


def loss_overrides(
    sampler: Sampler, context: SearchContext, place: compatibility.Place, headless: bool
) -> dict[str, Any]:
    """Overrides of ``distill.losses`` and ``distill.schedules``; ``place``: where the losses would be used."""
    current = context.recipe.distill.losses
    distillation = list(distillation_losses(current).values())
    chosen: dict[str, dict] = {}
    for name, loss in current.items():
        if name in distillation:
            chosen[name] = distillation_loss(sampler, context, name, place)
        elif loss.kind == "task":
            chosen[name] = task_loss(sampler, context, loss)
        elif is_usable(loss, context, place, headless) and sampler.choice(f"{name}.kept", (True, False), True):
            weight = sampler.real(f"{name}.weight", loss.weight / 10, loss.weight * 10, loss.weight, log=True)
            chosen[name] = {**loss.model_dump(mode="json"), "weight": round_digits(weight)}
    balance_labels(sampler, chosen, current, distillation)
    chosen |= added_losses(sampler, context, place, headless)
    unchanged = chosen == {name: loss.model_dump(mode="json") for name, loss in current.items()}
    overrides = {} if unchanged else {"distill.losses": chosen}
    return overrides | schedule_overrides(sampler, context, chosen, distillation)


def distillation_losses(losses: dict[str, PartSettings]) -> dict[str, str]:
    """Kind of target -> the loss on the teacher's logits: the one with the largest weight where there are several."""
    by_target: dict[str, str] = {}
    for name, loss in sorted(losses.items(), key=lambda item: -float(item[1].weight)):
        for target, kinds in DISTILLATION_KINDS.items():
            if loss.kind in kinds:
                by_target.setdefault(target, name)
    return by_target


def distillation_loss(
    sampler: Sampler, context: SearchContext, name: str, place: compatibility.Place
) -> dict[str, Any]:
    """The settings of a loss on the teacher's logits: kind, temperature, and further parameters of the kind."""
    current = context.recipe.distill.losses[name]
    target = next(target for target, kinds in DISTILLATION_KINDS.items() if current.kind in kinds)
    others = [k for k in DISTILLATION_KINDS[target] if k != current.kind and _is_compatible({"kind": k}, place)]
    kind = sampler.choice(f"{name}.kind", [current.kind, *others], current.kind) if others else current.kind
    raw = current.model_dump(mode="json") if kind == current.kind else {"kind": kind, "weight": current.weight}
    fields = losses.load_loss(kind).Settings.model_fields
    if current.get("confidence") and "confidence" in fields:
        raw["confidence"] = current.get("confidence")
    if "temperature" in fields:
        start = raw.get("temperature", fields["temperature"].default)
        high = max(MAX_TEMPERATURES.get(kind, MAX_TEMPERATURE), start)
        raw["temperature"] = round_digits(sampler.real(f"{name}.{kind}.temperature", 0.5, high, start, log=True))
    if kind in KIND_PARAMETERS:
        key, low, high = KIND_PARAMETERS[kind]
        start = raw.get(key, fields[key].default)
        raw[key] = round_digits(sampler.real(f"{name}.{kind}.{key}", low, high, start, log=True))
    if kind == "regression_kd":
        raw["form"] = sampler.choice(f"{name}.form", ("plain", "bounded"), raw.get("form", "plain"))
    return raw


def task_loss(sampler: Sampler, context: SearchContext, loss: PartSettings) -> dict[str, Any]:
    """The settings of the loss on labels: its label smoothing, where there are classes."""
    raw = loss.model_dump(mode="json")
    if context.classes:
        options = sorted({*SMOOTHING, raw["label_smoothing"]})
        raw["label_smoothing"] = sampler.choice("label_smoothing", options, raw["label_smoothing"])
    return raw


def balance_labels(
    sampler: Sampler, chosen: dict[str, dict], current: dict[str, PartSettings], distillation: list[str]
) -> None:
    """Change the share of the labels in the weight of labels and distillation together; the sum stays."""
    hard = [name for name, raw in chosen.items() if raw["kind"] == "task"]
    soft = [name for name in distillation if name in chosen]
    if not hard or not soft:
        return
    hard_weight, soft_weight = (sum(float(current[n].weight) for n in names) for names in (hard, soft))
    total = hard_weight + soft_weight
    start = hard_weight / total
    share = sampler.real("labels.share", 0.02, 0.8, start)
    if abs(share - start) < 1e-6:
        return
    for names, part, weight in ((hard, share, hard_weight), (soft, 1 - share, soft_weight)):
        for name in names:
            chosen[name]["weight"] = round_digits(float(current[name].weight) / weight * part * total)


def added_losses(
    sampler: Sampler, context: SearchContext, place: compatibility.Place, headless: bool
) -> dict[str, dict]:
    """Losses that the recipe lacks."""
    own, added = context.recipe.distill.losses, {}
    own_kinds = {loss.kind for loss in own.values()}
    for kind, (low, high) in ADDABLE.items():
        loss = settings(losses.TABLE, {"kind": kind})
        if kind in own_kinds or not is_usable(loss, context, place, headless):
            continue
        if sampler.choice(kind, (False, True), False):
            weight = round_digits(sampler.real(f"{kind}.weight", low, high, 1.0, log=True))
            added[f"{kind}_2" if kind in own else kind] = {"kind": kind, "weight": weight}
    return added


def is_usable(loss: PartSettings, context: SearchContext, place: compatibility.Place, headless: bool) -> bool:
    """Whether a loss is valid here, and the store has what it needs."""
    for need in losses.load_loss(loss.kind).needs(loss):
        tap = need.partition("@")[0]
        if tap == "*" and not context.shared:
            return False
        if tap == "fused" and (headless or not context.taps.get("fused")):
            return False
        if tap == "gates" and (len(context.names) < 2 or not context.taps.get("gates")):
            return False
        if tap not in ("*", LOGITS, *context.taps):
            return False
    return _is_compatible(loss, place)


def schedule_overrides(
    sampler: Sampler, context: SearchContext, chosen: dict[str, dict], distillation: list[str]
) -> dict[str, Any]:
    """Overrides of the schedules: the recipe's, as far as their losses remain, or one of the distillation losses."""
    schedule = sampler.choice("schedule", SCHEDULES, AS_IS)
    current = {name: s.model_dump(mode="json") for name, s in context.recipe.distill.schedules.items()}
    kept = {
        name: raw
        for name, raw in current.items()
        if name in chosen and (raw["temperature"] is None or "temperature" in chosen[name])
    }
    for name in distillation if schedule != AS_IS else ():
        if schedule == FADE:
            kept[name] = {"weight": round_digits(chosen[name]["weight"] * FADED_SHARE), "shape": "cosine"}
        elif "temperature" in chosen[name]:
            kept[name] = {"temperature": 1.0, "shape": "linear"}
    return {"distill.schedules": kept} if kept != current else {}


def _is_compatible(loss: PartSettings | dict, place: compatibility.Place) -> bool:
    try:
        compatibility.check(settings(losses.TABLE, loss), place, "")
    except UsageError:
        return False
    return True
