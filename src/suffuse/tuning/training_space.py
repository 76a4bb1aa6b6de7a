"""How the student is trained: learning rate, epochs, averaging, dropout of numbers and of modalities, augmentation."""

from __future__ import annotations

from typing import Any

from ..data.training_views import HALVES
from .samplers import Ask
from .search_context import FACTOR, Ground

SMOOTHING, DROPOUT = (0.0, 0.05, 0.1, 0.2), (0.0, 0.1, 0.2, 0.3, 0.5)
EMA, MIXUP, LOST = (0.0, 0.98, 0.99, 0.995), (0.0, 0.1, 0.3), (0.0, 0.1, 0.2, 0.3, 0.5)
MILD, MORE, PLAIN = "gentle", "more", "none"
GENTLE = {  # kind of modality -> what of its ``augment`` hardly ever changes a label
    "image": {"shift": 0.06, "zoom": 0.1, "brightness": 0.1, "contrast": 0.1},
    "audio": {"time_masks": 1, "time": 0.05, "band_masks": 1, "bands": 0.1},
    "sequence": {"masks": 1, "share": 0.05},
}
FURTHER = {"mel": {"speed": 0.1, "warp": 0.1}, "wave": {"speed": 0.1}}  # form of audio -> what else `augment` can do
TIMES = 4.0  # the learning rate is searched from the recipe's divided by this to it multiplied by this


def school(ask: Ask, ground: Ground, headless: bool) -> dict[str, Any]:
    """Overrides of ``distill.train`` and of the student's dropout; ``headless``: of the fusion that it will have."""
    train, where = ground.recipe.distill.train, "distill.train"
    found: dict[str, Any] = {f"{where}.learning_rate": rate(ask, train.learning_rate)}
    found[f"{where}.weight_decay"] = short(ask.real("weight_decay", 1e-4, 0.3, max(train.weight_decay, 1e-4), log=True))
    found[f"{where}.warmup"] = short(ask.real("warmup", 0.0, 0.3, train.warmup))
    factors = [one for one in FACTOR if one <= ground.longest] or [1.0]
    found[f"{where}.epochs"] = max(1, round(train.epochs * ask.choice("epochs", factors, 1.0)))
    found[f"{where}.ema"] = ask.choice("ema", _with(EMA, train.ema), train.ema)
    mixes = not headless and not train.whole and (ground.by_subsets or train.modality_dropout != HALVES)
    mixup = ask.choice("mixup", _with(MIXUP, train.mixup), train.mixup) if mixes else 0.0
    found[f"{where}.mixup"] = mixup
    found |= lost(ask, ground) | augmented(ask, ground) | dropped(ask, ground, headless)
    if found.get(f"{where}.modality_dropout") == HALVES:
        found[f"{where}.mixup"] = 0.0  # it has answers of its own
    return {key: value for key, value in found.items() if value != _now(ground, key)}


def rate(ask: Ask, now: float) -> float:
    """The learning rate."""
    return short(ask.real("learning_rate", now / TIMES, now * TIMES, now, log=True))


def lost(ask: Ask, ground: Ground) -> dict[str, Any]:
    """Share of the rows that lose a modality, which is none only where the recipe doesn't learn them whole too; or, in
    a search that judges by subsets, halves. Rates of single modalities that the recipe names stay as they are."""
    how, train = ground.recipe.distill, ground.recipe.distill.train
    now, where = train.modality_dropout, "distill.train"
    if len(ground.names) < 2 or isinstance(now, dict) or (now == HALVES and not ground.by_subsets):
        return {}
    rates = [rate for rate in _with(LOST, now if not isinstance(now, str) else 0.0) if rate or not train.whole]
    able = ground.by_subsets and not train.whole and how.targets == "full"
    chosen = ask.choice("modality_dropout", [*rates, "uniform", *([HALVES] if able else [])], now)
    judged = {f"{where}.select": "subsets"} if now == HALVES and train.select is None and chosen != HALVES else {}
    return {f"{where}.modality_dropout": chosen, **judged}


def augmented(ask: Ask, ground: Ground) -> dict[str, Any]:
    """Augmentation: off; on, as the recipe's modalities say; or gentle, also of modalities of which it says nothing, in
    ways that hardly ever change a label (nothing is mirrored); or more, also in ways of which the recipe says nothing
    (speed and height of voices). Always on where the store has answers to views."""
    recipe = ground.recipe
    if recipe.extract.views:
        return {}
    able = any(getattr(recipe.modalities[name], "augment", None) for name in ground.names)
    mild = {f"modalities.{name}.augment": GENTLE[recipe.modalities[name].kind] for name in silent(ground)}
    more = {f"modalities.{name}.augment": how for name, how in further(ground).items()}
    options = [False, *([True] if able else []), *([MILD] if mild else []), *([MORE] if more else [])]
    if len(options) == 1:
        return {}
    chosen = ask.choice("augment", options, recipe.distill.train.augment)
    return {"distill.train.augment": bool(chosen), **{MILD: mild, MORE: more}.get(chosen, {})}


def alone(ask: Ask, ground: Ground) -> dict[str, Any]:
    """Augmentation of the labels-only baseline: as the student's; none; or the student's and gentle. What the recipe
    sets stays."""
    recipe, where = ground.recipe, "distill.baseline.augment"
    if recipe.distill.baseline and recipe.distill.baseline.augment:
        return {}
    shown = {
        name: one
        for name, one in recipe.viewed_modalities(False).items()
        if name in ground.names and not ground.frozen(name)
    }
    now = {n: one for n, one in shown.items() if recipe.distill.train.augment and getattr(one, "augment", None)}
    plain = {name: type(one).model_fields["augment"].default for name, one in now.items()}
    able = [name for name, one in shown.items() if one.kind in GENTLE]
    own = {name: _said(shown[name]) if name in now else {} for name in able}
    mild = {name: {**GENTLE[shown[name].kind], **own[name]} for name in able}
    options = [None, *([PLAIN] if plain else []), *([MILD] if mild != own else [])]
    chosen = ask.choice("augment", options, None) if len(options) > 1 else None
    return {where: plain if chosen == PLAIN else mild} if chosen else {}


def _said(modality: Any) -> dict[str, Any]:
    """What a modality's ``augment`` changes."""
    return {key: value for key, value in modality.augment.model_dump(mode="json").items() if value}


def silent(ground: Ground) -> list[str]:
    """The student's modalities that could be augmented gently and of which the recipe says nothing."""
    modalities = ground.recipe.modalities
    able = [n for n in free(ground) if modalities[n].kind in GENTLE]
    return [n for n in able if getattr(modalities[n], "augment", None) is None]


def further(ground: Ground) -> dict[str, dict[str, Any]]:
    """The student's modalities that the recipe augments and that could be in further ways: all that ``augment`` would
    say."""
    found = {}
    for name in free(ground):
        one: Any = ground.recipe.modalities[name]
        more = FURTHER.get(getattr(one, "form", ""), {})
        if more and one.augment and not any(getattr(one.augment, key) for key in more):
            found[name] = {**one.augment.model_dump(mode="json"), **more}
    return found


def free(ground: Ground) -> list[str]:
    """The student's modalities of which the search may say how they are augmented. Not those that a frozen encoder
    reads, which sees rows as they are, nor those that would change what the teacher learned from."""
    recipe = ground.recipe
    teacher = recipe.trained.encoders if recipe.trained and recipe.trained.train.augment else {}
    return [name for name in ground.names if name not in teacher and not ground.frozen(name)]


def dropped(ask: Ask, ground: Ground, headless: bool) -> dict[str, Any]:
    """Dropout of the head; where the fusion has heads of its own, of the encoders that have some."""
    student = ground.recipe.student
    if not headless:
        now = student.dropout
        return {"student.dropout": ask.choice("dropout", _with(DROPOUT, now), now)}
    able = {name: one.dropout for name, one in student.encoders.items() if hasattr(one, "dropout")}  # pyright: ignore
    found = {"student.dropout": 0.0} if student.dropout else {}
    if not able:
        return found
    now = next(iter(able.values()))
    chosen = ask.choice("encoder.dropout", _with(DROPOUT, now), now)
    return found | ({} if chosen == now else {f"student.encoders.{name}.dropout": chosen for name in able})


def short(value: float) -> float:
    """A number as people would write it in a recipe: three digits."""
    return float(f"{value:.3g}")


def _with(options: tuple[float, ...], now: Any) -> list[Any]:
    return sorted({*options, now})


def _now(ground: Ground, key: str) -> Any:
    """What the recipe has at a key."""
    value: Any = ground.recipe
    for step in key.split("."):
        value = value[step] if isinstance(value, dict) else getattr(value, step, None)
    return value
