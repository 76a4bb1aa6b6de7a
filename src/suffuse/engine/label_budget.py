"""The label fraction: which labels a training may use where the recipe gives it a share of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..data.columns import Columns
from ..errors import SuffuseError
from ..types import NUMBER, Head

WHERE = "distill.label_fractions, evaluate.label_curve"


def label_budget(columns: Columns, fraction: float, seed: int) -> np.ndarray:
    """(N,) bool: rows whose label may be used. Whole groups (all questions of a picture) are drawn, the same for every
    training; a smaller fraction is a subset of a larger one."""
    allowed = np.ones(len(columns.target), dtype=bool)
    if fraction < 1:
        for split in ("train", "validation"):
            rows = columns.rows(split)
            groups = np.unique(columns.group[rows])
            count = max(1, round(fraction * len(groups)))
            kept = np.random.default_rng([seed, 5]).permutation(groups)[:count]
            allowed[rows] = np.isin(columns.group[rows], kept)
            if not (allowed[rows] & columns.spec.known(columns.target[rows])).any():
                raise SuffuseError(
                    "too few labels are left",
                    where=WHERE,
                    got=f"{fraction:g} of {len(groups)} groups",
                )
    return allowed


def visible(columns: Columns, allowed: np.ndarray) -> Columns:
    """The same rows with label statistics taken from the allowed (N,) bool training rows only: the prior, class
    weights, and a number's mean and deviation, in whose units its targets are.

    Raises SuffuseError where they leave a number without a deviation.
    """
    from ..prepare import targets  # reads tables: only where labels are hidden

    if allowed.all():
        return columns
    train = columns.rows("train")
    train = train[allowed[train]]
    heads: list[Head] = []
    prior: list[float] = []
    parts: list[np.ndarray] = []
    for head, target in columns.spec.targets(columns.target):
        visible_targets = target[train]
        if head.kind == NUMBER:
            head, target = _standardised(head, target, visible_targets[head.known(visible_targets)])
        elif head.balance:
            head = replace(head, balance=targets.balance(head, visible_targets))
        heads.append(head)
        prior.extend(targets.prior(head, visible_targets))
        parts.append(target)
    spec = replace(columns.spec, heads=tuple(heads), log_prior=tuple(prior))
    return replace(columns, spec=spec, target=targets.join(heads, parts))


def _standardised(head: Head, target: np.ndarray, visible_targets: np.ndarray) -> tuple[Head, np.ndarray]:
    """A number's head and its targets (N,), with mean and deviation of the visible ones."""
    values = visible_targets.astype(np.float64) * head.std + head.mean
    if len(values) < 2 or values.std() == 0:
        got = f"{len(np.unique(values))} different numbers for '{head.name}'"
        raise SuffuseError("too few labels are left", where=WHERE, got=got, expected="two or more in training rows")
    mean, std = float(values.mean()), float(values.std())
    standardised = (target.astype(np.float64) * head.std + head.mean - mean) / std
    return replace(head, mean=mean, std=std), standardised.astype(np.float32)
