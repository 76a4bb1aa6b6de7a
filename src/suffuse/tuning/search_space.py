"""The search spaces: points asked for value by value, given as overrides of recipe keys.

A point is one only if it is a recipe: what comes out is read as any recipe is, with ``a.b=c`` set.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .. import fusions
from ..recipe import Recipe, read_recipe
from ..recipe.yaml_io import yaml_text
from ..registry import settings
from .architecture_space import shape
from .loss_space import lose
from .options import STUDENT
from .samplers import Ask, Drawn, Given
from .search_context import Ground
from .training_space import DROPOUT, EMA, SMOOTHING, alone, rate, school, short


def point(who: str, ask: Ask, ground: Ground) -> dict[str, Any]:
    """Recipe keys -> values, those that differ from the recipe."""
    return student(ask, ground) if who == STUDENT else baseline(ask, ground)


def student(ask: Ask, ground: Ground) -> dict[str, Any]:
    """The student's: its shape, how it is trained, what it learns from."""
    found = shape(ask, ground)
    fusion = settings(fusions.TABLE, found.get("student.fusion", ground.recipe.student.fusion))
    headless = fusions.headless(fusion)
    found |= school(ask, ground, headless)
    rates = found.get("distill.train.modality_dropout", ground.recipe.distill.train.modality_dropout)
    dropped = len(ground.names) > 1 and bool(any(rates.values()) if isinstance(rates, dict) else rates)
    return found | lose(ask, ground, ground.place(dropped, fusions.gates(fusion)), headless)


def baseline(ask: Ask, ground: Ground) -> dict[str, Any]:
    """Of the labels-only baseline what its budget leaves free: learning rate, decay, averaging, dropout,
    smoothing, augmentation."""
    how = ground.recipe.distill
    apart, train = how.baseline, how.train if how.baseline is None else how.baseline.train.applied(how.train)
    now = apart.dropout if apart and apart.dropout is not None else _dropout(ground)
    found: dict[str, Any] = {"distill.baseline.train.learning_rate": rate(ask, train.learning_rate)}
    decay = ask.real("weight_decay", 1e-4, 0.3, max(train.weight_decay, 1e-4), log=True)
    found["distill.baseline.train.weight_decay"] = short(decay)
    found["distill.baseline.train.ema"] = ask.choice("ema", sorted({*EMA, train.ema}), train.ema)
    if now is not None:
        found["distill.baseline.dropout"] = ask.choice("dropout", sorted({*DROPOUT, now}), now)
    if ground.classes:
        found["distill.smoothing"] = ask.choice("smoothing", sorted({*SMOOTHING, how.smoothing}), how.smoothing)
    return found | alone(ask, ground)


def texts(found: Mapping[str, Any]) -> list[str]:
    """Overrides as they are written behind ``--set``."""
    return [f"{key}={_flow(value)}" for key, value in found.items()]


def made(base: Path, overrides: list[str]) -> Recipe:
    """The recipe at ``base`` with these overrides. Raises UsageError where they make none."""
    return read_recipe(base, overrides)


def shipped(who: str, ground: Ground) -> dict[str, Any]:
    """The point that is nearest to the recipe as it is."""
    ask = Given()
    point(who, ask, ground)
    return ask.values


def neighbour(who: str, ground: Ground, random: Any, keep: float) -> dict[str, Any]:
    """A point near the recipe: each value is the recipe's with probability ``keep``, else drawn."""
    ask = Drawn(random, keep)
    point(who, ask, ground)
    return ask.values


def changed(who: str, ground: Ground, values: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe's point with these values, and what else they make to be asked."""
    ask = Given(values)
    point(who, ask, ground)
    return ask.values


def _dropout(ground: Ground) -> float | None:
    """The dropout that the baseline has now; None where it can have none."""
    if not ground.headless:
        return ground.recipe.student.dropout
    return next((one.dropout for one in ground.recipe.student.encoders.values() if hasattr(one, "dropout")), None)  # pyright: ignore


def _flow(value: Any) -> str:
    text = yaml_text(value, default_flow_style=True, width=10**6)
    return text.removesuffix("\n").removesuffix("...").strip()
