"""Who answers the questions of a search space. Each is asked for a value by name, and told what the recipe has now."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

Narrow = Mapping[str, Sequence[Any]]  # name -> [low, high] of a number, or the options that are left


class Ask(Protocol):
    """One point of a search space, asked for value by value."""

    def choice(self, name: str, options: Sequence[Any], now: Any) -> Any:
        """One of the options."""
        ...

    def real(self, name: str, low: float, high: float, now: float, log: bool = False) -> float:
        """A number from ``low`` to ``high``."""
        ...


class Given:
    """The values that are given by name; of others what the recipe has, or what is nearest to it. Keeps all that it
    was asked for in ``values``."""

    def __init__(self, given: Mapping[str, Any] | None = None):
        self.given, self.values = dict(given or {}), {}

    def choice(self, name: str, options: Sequence[Any], now: Any) -> Any:
        """What is given, or the number nearest to it; else ``now``, or what is nearest to that."""
        wanted = self.given.get(name, now)
        if wanted not in options and not _number(wanted) and now in options:
            wanted = now  # e.g. a kind of augmentation that there isn't here: what the recipe has stays
        self.values[name] = wanted if wanted in options else _nearest(wanted, options)
        return self.values[name]

    def real(self, name: str, low: float, high: float, now: float, log: bool = False) -> float:
        """What is given, else ``now``, within the bounds."""
        self.values[name] = float(min(max(self.given.get(name, now), low), high))
        return self.values[name]


class Drawn:
    """Chance; with probability ``keep`` a value stays what the recipe has, so that a point is its neighbour."""

    def __init__(self, random: np.random.Generator, keep: float = 0.0):
        self.random, self.keep, self.values = random, keep, {}

    def choice(self, name: str, options: Sequence[Any], now: Any) -> Any:
        """Any of them, all alike."""
        drawn = options[int(self.random.integers(len(options)))]
        stays = self.random.random() < self.keep
        self.values[name] = (now if now in options else _nearest(now, options)) if stays else drawn
        return self.values[name]

    def real(self, name: str, low: float, high: float, now: float, log: bool = False) -> float:
        """Uniform, or uniform in the logarithm."""
        bounds = (math.log(low), math.log(high)) if log else (low, high)
        drawn, stays = self.random.uniform(*bounds), self.random.random() < self.keep
        drawn = min(max(math.exp(drawn) if log else drawn, low), high)
        self.values[name] = float(min(max(now, low), high) if stays else drawn)
        return self.values[name]


class Suggested:
    """Optuna's trial, within narrower bounds where the evidence says so; what the recipe has is never shut out."""

    def __init__(self, trial: Any, narrow: Narrow):
        self.trial, self.narrow = trial, narrow

    def choice(self, name: str, options: Sequence[Any], now: Any) -> Any:
        """A categorical parameter."""
        left = self.narrow.get(name)
        kept = [one for one in options if left is None or one in left or one == now]
        return self.trial.suggest_categorical(name, kept)

    def real(self, name: str, low: float, high: float, now: float, log: bool = False) -> float:
        """A float parameter."""
        least, most = self.narrow.get(name, (low, high))
        now = min(max(now, low), high)
        return self.trial.suggest_float(name, max(low, min(least, now)), min(high, max(most, now)), log=log)


def _nearest(wanted: Any, options: Sequence[Any]) -> Any:
    """The option nearest to a number; the first one for anything else."""
    numbers = [one for one in options if _number(one)]
    if _number(wanted) and numbers:
        return min(numbers, key=lambda one: abs(one - wanted))
    return options[0]


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
