"""Ablations: what a modality is worth to a trained model, measured on the test rows without retraining.

``blank``: the modality is absent in every row. ``shuffled``: rows exchange their contents of it, which stay realistic
and no longer belong to the row (Gat et al. 2021, "Perceptual Score"); no row keeps a content of its own group. Where
that costs no accuracy, the model doesn't use the modality. All forms of an input change together
(:mod:`suffuse.evaluation.modality_subsets`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import reduce
from typing import Any

import numpy as np

from ..activations import activate, main_metric
from ..data.columns import Columns
from ..engine.inference import logits
from ..model import FusionModel
from .context import Context
from .intervals import bounds, summary
from .metrics import Draws, Metrics, measure
from .modality_subsets import group_inputs
from .models import Network
from .verdict import compare

KINDS = ("blank", "shuffled")
SEED = 0  # of the shuffle: the same for every model
Inputs = tuple[tuple[str, ...], np.ndarray]  # names of I inputs, and (I, M) bool, the modalities of each


def probe(context: Context) -> dict[str, dict]:
    """``controls`` of teacher and student, where the run trained them."""
    cards: dict[str, dict] = {}
    for name in ("teacher", "student"):
        model = context.models.get(name)
        networks = [m for m in model.members.values() if isinstance(m, Network)] if model else []
        if networks:
            seeds, inputs = [n.opened for n in networks], group_inputs(context.recipe, networks[0].names)
            facts = ablate(seeds, inputs, context.rows, context.draws, context.metrics[name])
            cards[name] = {"controls": facts} if facts else {}
            by_input = facts.get("modalities", {})
            context.cache["controls", name] = {n: shuffle_cost(ablations) for n, ablations in by_input.items()}
    return cards


def shuffle_cost(ablations: dict[str, dict]) -> dict[str, Any]:
    """What shuffling an input costs, as a value with an interval."""
    cost = ablations["shuffled"]["cost"]
    return {"mean": cost["difference"], "low": cost["low"], "high": cost["high"]}


def ablate(
    seeds: Sequence[tuple[FusionModel, Columns]],
    inputs: Inputs,
    rows: np.ndarray,
    draws: Draws,
    full: Sequence[Metrics],
) -> dict:
    """The main metric under every ablation of every input, over a model's seeds, and its cost against ``full``, the
    metrics of the same seeds on unchanged rows. Costs are of these networks, so their intervals are over rows alone.
    Each seed comes with the columns that it reads. Empty with a single input."""
    spec, target = seeds[0][1].spec, seeds[0][1].target[rows]
    metric = main_metric(spec.heads)
    scores: dict[tuple[str, str], list[np.ndarray]] = {}
    for model, columns in seeds:
        for name, kind, changed in ablations(columns.of(model.spec.names), rows, inputs):
            predictions = activate(spec.heads, logits(model, changed, rows))
            scores.setdefault((name, kind), []).append(measure(spec, predictions, target, draws)[metric])
    by_input: dict[str, dict] = {}
    for (name, kind), ablated in scores.items():
        cost = compare([m[metric] for m in full], ablated, draws.confidence, bounds(metric), draws.size, fixed=True)
        facts = summary(ablated, draws.confidence, bounds(metric), draws.size)
        by_input.setdefault(name, {})[kind] = {**facts, "cost": cost}
    return {"metric": metric, "seed": SEED, "modalities": by_input} if by_input else {}


def ablations(columns: Columns, rows: np.ndarray, inputs: Inputs) -> Iterator[tuple[str, str, Columns]]:
    """(input, kind, changed columns) for each input and kind of ablation; nothing with a single input, without which
    there is nothing to predict from."""
    if len(inputs[0]) > 1:
        for name, forms in zip(*inputs, strict=True):
            modalities = [n for n, used in zip(columns.spec.names, forms, strict=True) if used]
            yield name, "blank", reduce(blank, modalities, columns)
            yield name, "shuffled", reduce(lambda changed, n: shuffled(changed, n, rows), modalities, columns)


def blank(columns: Columns, name: str) -> Columns:
    """The same rows, all without this modality."""
    m, present = columns.spec.names.index(name), columns.present.copy()
    present[:, m] = False
    return replace(columns, present=present)


def shuffled(columns: Columns, name: str, rows: np.ndarray, seed: int = SEED) -> Columns:
    """The same columns, in which ``rows`` exchange their contents of this modality; absence moves with them."""
    m = columns.spec.names.index(name)
    entry, present = columns.entry.copy(), columns.present.copy()
    donors = rows[derangement(columns.group[rows], seed)]
    entry[rows, m], present[rows, m] = columns.entry[donors, m], columns.present[donors, m]
    return replace(columns, entry=entry, present=present)


def derangement(group: np.ndarray, seed: int) -> np.ndarray:
    """(N,) groups -> a permutation (N,) that maps no position to one of its own group.

    Groups are put one after the other, in random order, and rotated by the size of the largest. A group of more than
    half of the rows can't leave itself: as few of its rows as possible stay within it.
    """
    random = np.random.default_rng(seed)
    _, index, count = np.unique(group, return_inverse=True, return_counts=True)
    shuffled_rows = random.permutation(len(group))
    order = shuffled_rows[np.argsort(random.permutation(len(count))[index[shuffled_rows]], kind="stable")]
    donors = np.empty(len(group), dtype=np.int64)
    donors[order] = np.roll(order, -int(count.max()))
    return donors
