"""Controls: what a modality is worth to a trained model, on the test rows, without training anything again.

``blank``: the modality is absent in every row. ``shuffled``: the rows have each other's contents of it, which are as
real as before and say nothing about the row they now stand in (Gat et al. 2021, "Perceptual Score"); no row keeps a
content of its own group. Where that costs no accuracy, the model doesn't use the modality. All forms of one input
change together (:mod:`suffuse.evaluation.row_inputs`).
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
from .metrics import Draws
from .model_adapters import Network
from .row_inputs import grouped
from .target_metrics import Measured, measure
from .verdict import compare

CONTROLS = ("blank", "shuffled")
SEED = 0  # of the shuffle: the same one for every model


def probe(context: Context) -> dict[str, dict]:
    """``controls`` of teacher and student, where the run trained them."""
    found: dict[str, dict] = {}
    for who in ("teacher", "student"):
        model = context.models.get(who)
        networks = [m for m in model.members.values() if isinstance(m, Network)] if model else []
        if networks:
            opened, forms = [one.opened for one in networks], grouped(context.recipe, networks[0].names)
            facts = worth(opened, forms, (context.rows, context.draws), context.measured[who])
            found[who] = {"controls": facts} if facts else {}
            context.memory["controls", who] = {name: costs(one) for name, one in facts.get("modalities", {}).items()}
    return found


def costs(controls: dict[str, dict]) -> dict[str, Any]:
    """What shuffling a modality costs, as a value with an interval."""
    cost = controls["shuffled"]["cost"]
    return {"mean": cost["difference"], "low": cost["low"], "high": cost["high"]}


def worth(
    seeds: Sequence[tuple[FusionModel, Columns]],
    forms: tuple[tuple[str, ...], np.ndarray],
    on: tuple[np.ndarray, Draws],
    full: Sequence[Measured],
) -> dict:
    """Every input's controls, scored by the main metric over a model's seeds, and what each costs against ``full``
    (the same seeds' scores on the rows as they are), on the same draws: of these very networks, so that a cost's
    interval is of the rows. Each seed comes with the columns it reads; ``forms``: inputs, and their modalities."""
    rows, draws = on
    spec, target = seeds[0][1].spec, seeds[0][1].target[rows]
    metric = main_metric(spec.heads)
    values: dict[tuple[str, str], list[np.ndarray]] = {}
    for model, columns in seeds:
        for name, control, changed in controls(columns.of(model.spec.names), rows, forms):
            answers = activate(spec.heads, logits(model, changed, rows))
            values.setdefault((name, control), []).append(measure(spec, answers, target, draws)[metric])
    found: dict[str, dict] = {}
    for (name, control), some in values.items():
        cost = compare([m[metric] for m in full], some, draws.confidence, bounds(metric), draws.size, fixed=True)
        facts = summary(some, draws.confidence, bounds(metric), draws.size)
        found.setdefault(name, {})[control] = {**facts, "cost": cost}
    return {"metric": metric, "seed": SEED, "modalities": found} if found else {}


def controls(
    columns: Columns, rows: np.ndarray, forms: tuple[tuple[str, ...], np.ndarray]
) -> Iterator[tuple[str, str, Columns]]:
    """(input, control, the columns as a model sees them then), for each input, of I, and control. ``forms``: their
    names, and (I, M) bool, the modalities of each.

    Nothing where there is one input: without it there is nothing to answer from.
    """
    if len(forms[0]) > 1:
        for name, own in zip(*forms, strict=True):
            some = [n for n, mine in zip(columns.spec.names, own, strict=True) if mine]
            yield name, "blank", reduce(blank, some, columns)
            yield name, "shuffled", reduce(lambda so_far, n: shuffled(so_far, n, rows), some, columns)


def blank(columns: Columns, name: str) -> Columns:
    """The same rows, all of which lack this modality."""
    m, present = columns.spec.names.index(name), columns.present.copy()
    present[:, m] = False
    return replace(columns, present=present)


def shuffled(columns: Columns, name: str, rows: np.ndarray, seed: int = SEED) -> Columns:
    """The same rows, of which ``rows`` have each other's contents of this modality; absence moves with them."""
    m = columns.spec.names.index(name)
    entry, present = columns.entry.copy(), columns.present.copy()
    donors = rows[derangement(columns.group[rows], seed)]
    entry[rows, m], present[rows, m] = columns.entry[donors, m], columns.present[donors, m]
    return replace(columns, entry=entry, present=present)


def derangement(group: np.ndarray, seed: int) -> np.ndarray:
    """(N,) groups -> a permutation (N,) in which no position gets one of its own group.

    Groups stand one after the other, in random order; all move on by the size of the largest. A group of more than
    half of the rows can't leave itself: as few of its rows as can be stay within it.
    """
    random = np.random.default_rng(seed)
    _, which, count = np.unique(group, return_inverse=True, return_counts=True)
    shuffled_rows = random.permutation(len(group))
    order = shuffled_rows[np.argsort(random.permutation(len(count))[which[shuffled_rows]], kind="stable")]
    donors = np.empty(len(group), dtype=np.int64)
    donors[order] = np.roll(order, -int(count.max()))
    return donors
