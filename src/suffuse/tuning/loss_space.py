"""What the student learns from: kinds of losses, their weights, temperatures and schedules.

The recipe's losses are where it starts. Of those on the teacher's answers the kind may change; any other may be left
out; a few that the recipe lacks may join. What would be wrong or say nothing here
(:mod:`suffuse.losses.compatibility`), or needs of the teacher what the store hasn't got, is never proposed.
"""

from __future__ import annotations

from typing import Any

from .. import losses
from ..errors import UsageError
from ..losses import compatibility
from ..registry import PartSettings, load, settings
from ..types import CLASSES, LABELS, NUMBER
from .samplers import Ask
from .search_context import LOGITS, Ground
from .training_space import SMOOTHING, short

ANSWERS = {  # kind of target -> losses on the teacher's answers
    CLASSES: ("kd", "dkd", "nkd", "dist", "lskd", "js", "reverse_kd"),
    LABELS: ("multilabel_kd",),
    NUMBER: ("regression_kd",),
}
SOFTEST = {"kd": 8.0, "dkd": 8.0, "lskd": 5.0}  # of others 4
OWN = {"dkd": ("beta", 0.25, 8.0), "nkd": ("gamma", 0.5, 3.0)}  # kind -> what else it has
MORE = {  # losses that may join -> weights
    "hint": (0.1, 10.0),
    "modality_hints": (0.1, 10.0),
    "rkd_distance": (0.1, 30.0),
    "gate_transfer": (0.1, 3.0),
    "subset_consistency": (0.1, 3.0),
}
PLANS = ("as in the recipe", "answers fade", "answers sharpen")
FADED = 0.2  # what is left of a fading loss's weight


def lose(ask: Ask, ground: Ground, place: compatibility.Place, headless: bool) -> dict[str, Any]:
    """Overrides of ``distill.losses`` and ``distill.schedules``, where they are to be used as ``place`` says."""
    now = ground.recipe.distill.losses
    main = list(answering(now).values())
    found: dict[str, dict] = {}
    for name, loss in now.items():
        if name in main:
            found[name] = answer(ask, ground, name, place)
        elif loss.kind == "task":
            found[name] = labels(ask, ground, loss)
        elif valid(loss, ground, place, headless) and ask.choice(f"{name}.kept", (True, False), True):
            weight = ask.real(f"{name}.weight", loss.weight / 10, loss.weight * 10, loss.weight, log=True)
            found[name] = {**loss.model_dump(mode="json"), "weight": short(weight)}
    balance(ask, found, now, main)
    found |= joined(ask, ground, place, headless)
    changed = {"distill.losses": found} if found != _raw(now) else {}
    return changed | plans(ask, ground, found, main)


def answering(chosen: dict[str, PartSettings]) -> dict[str, str]:
    """Kind of target -> the loss that learns the teacher's answers to it: the heaviest where there are several."""
    found: dict[str, str] = {}
    for name, loss in sorted(chosen.items(), key=lambda one: -float(one[1].weight)):
        for kind, kinds in ANSWERS.items():
            if loss.kind in kinds:
                found.setdefault(kind, name)
    return found


def answer(ask: Ask, ground: Ground, name: str, place: compatibility.Place) -> dict[str, Any]:
    """The loss on the teacher's answers: its kind, temperature, and what else its kind has."""
    now = ground.recipe.distill.losses[name]
    target = next(kind for kind, kinds in ANSWERS.items() if now.kind in kinds)
    kinds = [now.kind, *(k for k in ANSWERS[target] if k != now.kind and _stands({"kind": k}, place))]
    kind = ask.choice(f"{name}.kind", kinds, now.kind) if len(kinds) > 1 else now.kind
    raw = now.model_dump(mode="json") if kind == now.kind else {"kind": kind, "weight": now.weight}
    fields: Any = load(losses.TABLE, kind).Settings.model_fields
    if getattr(now, "confidence", None) and "confidence" in fields:
        raw["confidence"] = now.confidence  # pyright: ignore
    if "temperature" in fields:
        start = raw.get("temperature", fields["temperature"].default)
        raw["temperature"] = short(
            ask.real(f"{name}.{kind}.temperature", 0.5, max(SOFTEST.get(kind, 4.0), start), start, log=True)
        )
    if kind in OWN:
        key, low, high = OWN[kind]
        start = raw.get(key, fields[key].default)
        raw[key] = short(ask.real(f"{name}.{kind}.{key}", low, high, start, log=True))
    if kind == "regression_kd":
        raw["form"] = ask.choice(f"{name}.form", ("plain", "bounded"), raw.get("form", "plain"))
    return raw


def labels(ask: Ask, ground: Ground, loss: PartSettings) -> dict[str, Any]:
    """The labels' loss: its smoothing, where there are classes."""
    raw = loss.model_dump(mode="json")
    if ground.classes:
        options = sorted({*SMOOTHING, raw["smoothing"]})
        raw["smoothing"] = ask.choice("smoothing", options, raw["smoothing"])
    return raw


def balance(ask: Ask, found: dict[str, dict], now: dict[str, PartSettings], main: list[str]) -> None:
    """Share of the labels in the weight of labels and answers together; the sum stays."""
    hard = [name for name, raw in found.items() if raw["kind"] == "task"]
    soft = [name for name in main if name in found]
    if not hard or not soft:
        return
    total = {who: sum(float(now[n].weight) for n in names) for who, names in (("hard", hard), ("soft", soft))}
    start = total["hard"] / (total["hard"] + total["soft"])
    share = ask.real("labels.share", 0.02, 0.8, start)
    if abs(share - start) < 1e-6:
        return
    both = total["hard"] + total["soft"]
    for names, part, before in ((hard, share, total["hard"]), (soft, 1 - share, total["soft"])):
        for name in names:
            found[name]["weight"] = short(float(now[name].weight) / before * part * both)


def joined(ask: Ask, ground: Ground, place: compatibility.Place, headless: bool) -> dict[str, dict]:
    """Losses that the recipe lacks."""
    there, found = {loss.kind for loss in ground.recipe.distill.losses.values()}, {}
    for kind, (low, high) in MORE.items():
        new = settings(losses.TABLE, {"kind": kind})
        if kind in there or not valid(new, ground, place, headless):
            continue
        if ask.choice(kind, (False, True), False):
            name = kind if kind not in ground.recipe.distill.losses else f"{kind}_2"
            found[name] = {"kind": kind, "weight": short(ask.real(f"{kind}.weight", low, high, 1.0, log=True))}
    return found


def valid(loss: PartSettings, ground: Ground, place: compatibility.Place, headless: bool) -> bool:
    """Whether a loss says something here, and the store has what it needs."""
    part: Any = load(losses.TABLE, loss.kind)
    for need in part.needs(loss):
        name = need.partition("@")[0]
        if name == "*" and not ground.shared:
            return False
        if name == "fused" and (headless or not ground.taps.get("fused")):
            return False
        if name == "gates" and (len(ground.names) < 2 or not ground.taps.get("gates")):
            return False
        if name not in ("*", LOGITS, *ground.taps):
            return False
    return _stands(loss, place)


def plans(ask: Ask, ground: Ground, found: dict[str, dict], main: list[str]) -> dict[str, Any]:
    """Overrides of the schedules: the recipe's, as far as their losses are still there, or one of the answers'."""
    chosen = ask.choice("schedule", PLANS, PLANS[0])
    now = {n: one.model_dump(mode="json") for n, one in ground.recipe.distill.schedules.items()}
    kept = {
        n: one for n, one in now.items() if n in found and (one["temperature"] is None or "temperature" in found[n])
    }
    for name in main if chosen != PLANS[0] else ():
        if chosen == PLANS[1]:
            kept[name] = {"weight": short(found[name]["weight"] * FADED), "shape": "cosine"}
        elif "temperature" in found[name]:
            kept[name] = {"temperature": 1.0, "shape": "linear"}
    return {"distill.schedules": kept} if kept != now else {}


def _stands(loss: PartSettings | dict, place: compatibility.Place) -> bool:
    try:
        compatibility.check(settings(losses.TABLE, loss), place, "")
    except UsageError:
        return False
    return True


def _raw(chosen: dict[str, PartSettings]) -> dict[str, dict]:
    return {name: loss.model_dump(mode="json") for name, loss in chosen.items()}
