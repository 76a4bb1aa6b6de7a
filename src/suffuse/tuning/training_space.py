"""The student's training: learning rate, epochs, weight averaging, dropout, modality dropout, augmentation."""

from __future__ import annotations

from typing import Any

from ..data.training_views import COMPLEMENTARY
from ..registry import ModalitySettings
from .samplers import Sampler, SearchContext

EPOCH_FACTORS = (0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
SMOOTHING, DROPOUT = (0.0, 0.05, 0.1, 0.2), (0.0, 0.1, 0.2, 0.3, 0.5)
EMA, MIXUP, MODALITY_DROPOUT = (0.0, 0.98, 0.99, 0.995), (0.0, 0.1, 0.3), (0.0, 0.1, 0.2, 0.3, 0.5)
MILD, EXTRA, PLAIN = "gentle", "more", "none"
GENTLE = {  # kind of modality -> ``augment`` settings that hardly ever change a label
    "image": {"shift": 0.06, "zoom": 0.1, "brightness": 0.1, "contrast": 0.1},
    "audio": {"time_masks": 1, "time": 0.05, "band_masks": 1, "bands": 0.1},
    "sequence": {"masks": 1, "share": 0.05},
}
FURTHER = {"mel": {"speed": 0.1, "warp": 0.1}, "wave": {"speed": 0.1}}  # form of audio -> further ``augment`` settings
RATE_FACTOR = 4.0  # the learning rate is searched from the recipe's divided by it to the recipe's multiplied by it


def training_overrides(sampler: Sampler, context: SearchContext, headless: bool) -> dict[str, Any]:
    """Overrides of ``distill.train`` and of the student's dropout; ``headless``: of the fusion that it will have."""
    train, prefix = context.recipe.distill.train, "distill.train"
    overrides: dict[str, Any] = {
        f"{prefix}.learning_rate": learning_rate(sampler, train.learning_rate),
        f"{prefix}.weight_decay": weight_decay(sampler, train.weight_decay),
        f"{prefix}.warmup": round_digits(sampler.real("warmup", 0.0, 0.3, train.warmup)),
    }
    factors = [factor for factor in EPOCH_FACTORS if factor <= context.max_epochs] or [1.0]
    overrides[f"{prefix}.epochs"] = max(1, round(train.epochs * sampler.choice("epochs", factors, 1.0)))
    overrides[f"{prefix}.ema"] = sampler.choice("ema", _options(EMA, train.ema), train.ema)
    mixes = (
        not headless and not train.also_full_input and (context.by_subsets or train.modality_dropout != COMPLEMENTARY)
    )
    mixup = sampler.choice("mixup", _options(MIXUP, train.mixup), train.mixup) if mixes else 0.0
    overrides[f"{prefix}.mixup"] = mixup
    overrides |= modality_dropout(sampler, context) | augmentation(sampler, context)
    overrides |= dropout(sampler, context, headless)
    if overrides.get(f"{prefix}.modality_dropout") == COMPLEMENTARY:
        overrides[f"{prefix}.mixup"] = 0.0  # both add passes of their own
    return {key: value for key, value in overrides.items() if value != _current_value(context, key)}


def learning_rate(sampler: Sampler, current: float) -> float:
    """A learning rate, on a logarithmic scale."""
    return round_digits(sampler.real("learning_rate", current / RATE_FACTOR, current * RATE_FACTOR, current, log=True))


def weight_decay(sampler: Sampler, current: float) -> float:
    """A weight decay, on a logarithmic scale."""
    return round_digits(sampler.real("weight_decay", 1e-4, 0.3, max(current, 1e-4), log=True))


def modality_dropout(sampler: Sampler, context: SearchContext) -> dict[str, Any]:
    """The rate of modality dropout, which is 0 only where the recipe has no full-input pass; in a search that scores
    subsets also complementary subsets. Rates of single modalities that the recipe names stay unchanged."""
    distill, train = context.recipe.distill, context.recipe.distill.train
    current, prefix = train.modality_dropout, "distill.train"
    if len(context.names) < 2 or isinstance(current, dict) or (current == COMPLEMENTARY and not context.by_subsets):
        return {}
    options = _options(MODALITY_DROPOUT, current if not isinstance(current, str) else 0.0)
    rates = [rate for rate in options if rate or not train.also_full_input]
    complementary = context.by_subsets and not train.also_full_input and distill.teacher_input == "full"
    chosen = sampler.choice(
        "modality_dropout", [*rates, "uniform", *([COMPLEMENTARY] if complementary else [])], current
    )
    overrides = {f"{prefix}.modality_dropout": chosen}
    if current == COMPLEMENTARY and train.checkpoint_metric is None and chosen != COMPLEMENTARY:
        overrides[f"{prefix}.checkpoint_metric"] = "subsets"
    return overrides


def augmentation(sampler: Sampler, context: SearchContext) -> dict[str, Any]:
    """Augmentation: off; on, with the settings of the recipe's modalities; gentle, also of modalities for which the
    recipe sets none, in ways that hardly ever change a label (nothing is mirrored); or extra, also in ways that the
    recipe doesn't set (speed and pitch of voices). Always on where the store holds views."""
    recipe = context.recipe
    if recipe.extract.views:
        return {}
    own = any(recipe.modalities[name].get("augment") for name in context.names)
    gentle = {
        f"modalities.{name}.augment": GENTLE[recipe.modalities[name].kind] for name in unset_augmentation(context)
    }
    extra = {f"modalities.{name}.augment": values for name, values in extra_augmentation(context).items()}
    options = [False, *([True] if own else []), *([MILD] if gentle else []), *([EXTRA] if extra else [])]
    if len(options) == 1:
        return {}
    chosen = sampler.choice("augment", options, recipe.distill.train.augment)
    return {"distill.train.augment": bool(chosen), **{MILD: gentle, EXTRA: extra}.get(chosen, {})}


def baseline_augmentation(sampler: Sampler, context: SearchContext) -> dict[str, Any]:
    """Augmentation of the labels-only baseline: the student's; none; or the student's and gentle. What the recipe sets
    stays."""
    recipe, key = context.recipe, "distill.baseline.augment"
    if recipe.distill.baseline and recipe.distill.baseline.augment:
        return {}
    modalities = {
        n: m for n, m in recipe.viewed_modalities(False).items() if n in context.names and not context.frozen(n)
    }
    augmented = {n: m for n, m in modalities.items() if recipe.distill.train.augment and m.get("augment")}
    plain = {name: type(m).model_fields["augment"].default for name, m in augmented.items()}
    capable = [name for name, m in modalities.items() if m.kind in GENTLE]
    own = {name: _nonzero_settings(modalities[name]) if name in augmented else {} for name in capable}
    gentle = {name: {**GENTLE[modalities[name].kind], **own[name]} for name in capable}
    options = [None, *([PLAIN] if plain else []), *([MILD] if gentle != own else [])]
    chosen = sampler.choice("augment", options, None) if len(options) > 1 else None
    return {key: plain if chosen == PLAIN else gentle} if chosen else {}


def _nonzero_settings(modality: ModalitySettings) -> dict[str, Any]:
    """The settings of a modality's ``augment`` that change anything."""
    return {key: value for key, value in modality.get("augment").model_dump(mode="json").items() if value}


def unset_augmentation(context: SearchContext) -> list[str]:
    """The student's modalities that could be augmented gently and for which the recipe sets no augmentation."""
    modalities = context.recipe.modalities
    capable = [name for name in augmentable(context) if modalities[name].kind in GENTLE]
    return [name for name in capable if modalities[name].get("augment") is None]


def extra_augmentation(context: SearchContext) -> dict[str, dict[str, Any]]:
    """The student's modalities that the recipe augments and that have further ways of augmentation -> all settings of
    ``augment``, these included."""
    settings = {}
    for name in augmentable(context):
        modality = context.recipe.modalities[name]
        augment, further = modality.get("augment"), FURTHER.get(modality.get("form", ""), {})
        if further and augment and not any(getattr(augment, key) for key in further):
            settings[name] = {**augment.model_dump(mode="json"), **further}
    return settings


def augmentable(context: SearchContext) -> list[str]:
    """The student's modalities whose augmentation the search may set: not those of a frozen encoder, which never sees
    augmented rows, nor those whose augmentation the teacher was trained with."""
    recipe = context.recipe
    teacher = recipe.trained.encoders if recipe.trained and recipe.trained.train.augment else {}
    return [name for name in context.names if name not in teacher and not context.frozen(name)]


def dropout(sampler: Sampler, context: SearchContext, headless: bool) -> dict[str, Any]:
    """Dropout of the head; where the fusion has heads of its own, of the encoders that have dropout."""
    student = context.recipe.student
    if not headless:
        options = _options(DROPOUT, student.dropout)
        return {"student.dropout": sampler.choice("dropout", options, student.dropout)}
    encoders = {name: e.get("dropout") for name, e in student.encoders.items() if e.has("dropout")}
    overrides = {"student.dropout": 0.0} if student.dropout else {}
    if not encoders:
        return overrides
    current = next(iter(encoders.values()))
    chosen = sampler.choice("encoder.dropout", _options(DROPOUT, current), current)
    return overrides | ({} if chosen == current else {f"student.encoders.{name}.dropout": chosen for name in encoders})


def round_digits(value: float) -> float:
    """A number with three significant digits, as people write it in a recipe."""
    return float(f"{value:.3g}")


def _options(values: tuple[float, ...], current: Any) -> list[Any]:
    return sorted({*values, current})


def _current_value(context: SearchContext, key: str) -> Any:
    """The recipe's value of a key."""
    value: Any = context.recipe
    for step in key.split("."):
        value = value[step] if isinstance(value, dict) else getattr(value, step, None)
    return value
