"""The search spaces: points asked for value by value, returned as overrides of recipe keys.

A point must be a valid recipe: the overrides are read as ``--set a.b=c`` is.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .. import fusions
from ..recipe import Recipe, read_recipe
from ..recipe.yaml_io import yaml_text
from ..registry import settings
from .architecture_space import network_overrides
from .loss_space import loss_overrides
from .options import STUDENT
from .samplers import FixedSampler, RandomSampler, Sampler, SearchContext
from .training_space import (
    DROPOUT,
    EMA,
    EPOCH_FACTORS,
    SMOOTHING,
    baseline_augmentation,
    learning_rate,
    training_overrides,
    weight_decay,
)


def point(role: str, sampler: Sampler, context: SearchContext) -> dict[str, Any]:
    """Recipe keys -> values, those that differ from the recipe."""
    return student_overrides(sampler, context) if role == STUDENT else baseline_overrides(sampler, context)


def student_overrides(sampler: Sampler, context: SearchContext) -> dict[str, Any]:
    """The student's architecture, training and losses."""
    overrides = network_overrides(sampler, context)
    fusion = settings(fusions.TABLE, overrides.get("student.fusion", context.recipe.student.fusion))
    headless = fusions.headless(fusion)
    overrides |= training_overrides(sampler, context, headless)
    rates = overrides.get("distill.train.modality_dropout", context.recipe.distill.train.modality_dropout)
    dropped = len(context.names) > 1 and bool(any(rates.values()) if isinstance(rates, dict) else rates)
    return overrides | loss_overrides(sampler, context, context.place(dropped, fusions.gates(fusion)), headless)


def baseline_overrides(sampler: Sampler, context: SearchContext) -> dict[str, Any]:
    """What the labels-only baseline may choose: learning rate, weight decay, weight averaging, epochs (at least the
    student's), dropout, label smoothing, augmentation."""
    distill = context.recipe.distill
    own, train = distill.baseline, distill.train
    train = train if own is None else own.train.applied(train)
    dropout = own.dropout if own and own.dropout is not None else _baseline_dropout(context)
    overrides: dict[str, Any] = {
        "distill.baseline.train.learning_rate": learning_rate(sampler, train.learning_rate),
        "distill.baseline.train.weight_decay": weight_decay(sampler, train.weight_decay),
        "distill.baseline.train.ema": sampler.choice("ema", sorted({*EMA, train.ema}), train.ema),
    }
    factors = [factor for factor in EPOCH_FACTORS if 1 <= factor <= max(context.max_epochs, 1)]
    factor = sampler.choice("epochs", factors, 1.0) if len(factors) > 1 else 1.0
    if factor != 1 and (own is None or own.epochs == "auto"):
        overrides["distill.baseline.train.epochs"] = round(train.epochs * factor)
    if dropout is not None:
        overrides["distill.baseline.dropout"] = sampler.choice("dropout", sorted({*DROPOUT, dropout}), dropout)
    if context.classes:
        options = sorted({*SMOOTHING, distill.label_smoothing})
        overrides["distill.label_smoothing"] = sampler.choice("label_smoothing", options, distill.label_smoothing)
    return overrides | baseline_augmentation(sampler, context)


def override_texts(overrides: Mapping[str, Any]) -> list[str]:
    """Overrides as arguments of ``--set``."""
    return [f"{key}={_flow_yaml(value)}" for key, value in overrides.items()]


def read_point(base: Path, texts: list[str]) -> Recipe:
    """The recipe at ``base`` with overrides. Raises UsageError where they make no valid recipe."""
    return read_recipe(base, texts)


def recipe_point(role: str, context: SearchContext) -> dict[str, Any]:
    """The values of the point nearest to the unchanged recipe."""
    return point_with(role, context, {})


def neighbour_point(role: str, context: SearchContext, random: Any, keep: float) -> dict[str, Any]:
    """The values of a point near the recipe: each is the recipe's with probability ``keep``, otherwise random."""
    sampler = RandomSampler(random, keep)
    point(role, sampler, context)
    return sampler.values


def point_with(role: str, context: SearchContext, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of the recipe's point with some of them changed, and with the questions that these lead to."""
    sampler = FixedSampler(values)
    point(role, sampler, context)
    return sampler.values


def _baseline_dropout(context: SearchContext) -> float | None:
    """The dropout that the baseline has now; None where it can have none."""
    if not context.headless:
        return context.recipe.student.dropout
    encoders = context.recipe.student.encoders.values()
    return next((encoder.get("dropout") for encoder in encoders if encoder.has("dropout")), None)


def _flow_yaml(value: Any) -> str:
    text = yaml_text(value, default_flow_style=True, width=10**6)
    return text.removesuffix("\n").removesuffix("...").strip()
