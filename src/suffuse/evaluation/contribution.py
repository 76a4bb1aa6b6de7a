"""What each modality contributes to the score: Shapley values, leave-one-out, interaction, rows helped and hurt.

Shapley values of the main metric over modalities (Shapley 1953; Hu et al. 2022, "SHAPE"), the empty subset being the
training prior: they sum to the score of all less the prior's. Interaction of two is their Shapley interaction index
(Grabisch and Roubens 1999). All of it is taken in every resample, so that all of it has an interval. Permutation is
that of :mod:`suffuse.evaluation.ablations`. A fusion's gates stand beside these numbers and can't stand in for them: a
large weight on a vector that says nothing changes no answer.
"""

from __future__ import annotations

from itertools import combinations
from math import factorial
from typing import Any

import numpy as np

from ..activations import activate, main_metric
from ..engine import inference
from ..shapley import masks, shapley
from ..types import NUMBER
from .agreement import right, share
from .context import Context, Model
from .contribution_fidelity import fidelity
from .emap import emap
from .intervals import SHARE, bounds, difference_bounds, summary
from .missing_modalities import scores
from .modality_subsets import Subsets, rows_of, subsets
from .model_adapters import Network


def probe(context: Context) -> dict[str, dict]:
    """``contribution`` of every main model that reads two modalities or more; of the others ``fidelity`` alone."""
    worth = {model.who: values(context, model) for model in context.hidden()}
    found = {m.who: {"not_measured": {"contribution": m.hindrance}} for m in context.main() if m.hindrance}
    for model in context.hidden():
        facts = contribution(context, model, worth[model.who])
        alike = fidelity(context, model, worth)
        facts |= {"fidelity": alike} if alike else {}
        if facts:
            found[model.who] = {"contribution": facts}
    return found


def values(context: Context, model: Model) -> list[np.ndarray]:
    """The main metric of every subset in every resample (S, R + 1), one array a seed."""
    where = rows_of(context)
    return [np.stack(scores(context, said, where)) for said in subsets(context, model).logits.values()]


def contribution(context: Context, model: Model, worth: list[np.ndarray]) -> dict[str, Any]:
    """All but ``permutation``, which the controls hold, and ``fidelity``; nothing where there is one modality."""
    found, where = subsets(context, model), rows_of(context)
    if len(found.names) < 2:
        return {}
    facts: dict[str, Any] = {
        "metric": main_metric(context.spec.heads),
        "rows": len(where),
        "of": len(context.rows),
        "exact": found.exact,
        **(exact(context, found, worth) if found.exact else {}),
        **simple(context, found, worth),
        **rows_changed(context, found),
    }
    permutation = context.memory.get(("controls", model.who))
    if permutation:
        facts["permutation"] = permutation
    networks: list[Network] = [m for m in model.members.values() if isinstance(m, Network)]
    if networks:
        weights = gates(networks, context.rows[where], found)
        facts |= {"gates": weights} if weights else {}
        facts["emap"] = emap(context, networks)
    return facts


def exact(context: Context, found: Subsets, worth: list[np.ndarray]) -> dict[str, Any]:
    """Shapley values and pairwise interaction of the metric: means of differences, and of differences of these."""
    shares, pairs = [shapley(v) for v in worth], [interaction(v) for v in worth]
    gaps = difference_bounds(bounds(main_metric(context.spec.heads)))
    both, confidence = difference_bounds(gaps), context.confidence
    return {
        "shapley": {n: summary([s[m] for s in shares], confidence, gaps) for m, n in enumerate(found.names)},
        "interaction": {
            f"{found.names[a]}+{found.names[b]}": summary([p[a, b] for p in pairs], confidence, both)
            for a, b in combinations(range(len(found.names)), 2)
        },
    }


def interaction(worth: np.ndarray) -> np.ndarray:
    """(2^M, ...) the value of every subset -> (M, M, ...), the Shapley interaction index of each two modalities:

    I(a, b) = sum over S without a and b of |S|! (M - |S| - 2)! / (M - 1)! (v(S + a + b) - v(S + a) - v(S + b) + v(S)).
    """
    count = len(worth).bit_length() - 1
    there = masks(count)
    found = np.zeros((count, count, *worth.shape[1:]))
    for a, b in combinations(range(count), 2):
        for s in np.flatnonzero(~there[:, a] & ~there[:, b]):
            size = int(there[s].sum())
            share = factorial(size) * factorial(count - size - 2) / factorial(count - 1)
            found[a, b] += share * (worth[s | 1 << a | 1 << b] - worth[s | 1 << a] - worth[s | 1 << b] + worth[s])
        found[b, a] = found[a, b]
    return found


def simple(context: Context, found: Subsets, worth: list[np.ndarray]) -> dict[str, Any]:
    """Leave-one-out, each modality alone, and what all are worth beyond the best one."""
    rest = {n: found.at(*(other for other in found.names if other != n)) for n in found.names}
    alone = {n: found.at(n) for n in found.names}
    best = max(alone.values(), key=lambda at: np.mean([v[at, 0] for v in worth]))
    gaps = difference_bounds(bounds(main_metric(context.spec.heads)))

    def told(less: list[np.ndarray]) -> dict:
        return summary(less, context.confidence, gaps)

    return {
        "leave_one_out": {n: told([v[-1] - v[at] for v in worth]) for n, at in rest.items()},
        "alone": {n: told([v[at] - v[0] for v in worth]) for n, at in alone.items()},
        "cooperation": told([v[-1] - v[best] for v in worth]),
    }


def rows_changed(context: Context, found: Subsets) -> dict[str, dict]:
    """Shares of rows that are right only with a modality (``helped``), and only without it (``hurt``), with intervals;
    ``rows_helped`` and ``rows_hurt`` are their means. A seed's is the mean over the targets that aren't numbers."""
    each = [changed(context, found, said) for said in found.logits.values()]
    if not all(each):
        return {}
    facts = {
        kind: {n: summary([seed[n][at] for seed in each], context.confidence, SHARE) for n in found.names}
        for at, kind in enumerate(("helped", "hurt"))
    }
    means = {f"rows_{kind}": {n: v["mean"] for n, v in values.items()} for kind, values in facts.items()}
    return {**means, **facts}


def changed(context: Context, found: Subsets, said: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """One seed's logits (S, n, C) -> modality -> the share helped and hurt (R + 1,); nothing of numbers alone."""
    spec, where, made = context.spec, rows_of(context), {}
    full = spec.parts(activate(spec.heads, said[-1]))
    for name in found.names:
        less = spec.parts(activate(spec.heads, said[found.at(*(n for n in found.names if n != name))]))
        some: list[tuple[np.ndarray, np.ndarray]] = []
        for (head, a), (_, b), (_, wanted) in zip(full, less, spec.targets(context.target[where]), strict=True):
            known = head.known(wanted)
            if head.kind != NUMBER and known.any():
                with_, without = (right(head, x[known], wanted[known]) for x in (a, b))
                draws = context.drawn(where[known])
                some.append((share(with_ & ~without, draws), share(~with_ & without, draws)))
        if some:
            made[name] = tuple(np.mean(kind, axis=0) for kind in zip(*some, strict=True))
    return made


def gates(networks: list[Network], rows: np.ndarray, subsets: Subsets) -> dict[str, float]:
    """The fusion's mean weight of each input over rows and seeds; nothing where it has no gates."""
    found = []
    for network in networks:
        model, columns = network.opened
        weights = [o.gates.float().mean(0).numpy() * len(p) for p, o in inference.outputs(model, columns, rows)
                   if o.gates is not None]  # fmt: skip
        if weights:
            found.append(np.sum(weights, axis=0) / len(rows))
    return dict(zip(subsets.names, (subsets.forms @ np.mean(found, axis=0)).tolist(), strict=True)) if found else {}
