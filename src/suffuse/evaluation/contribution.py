"""Contribution of each modality to the score: Shapley values, leave-one-out, interaction, rows helped and hurt, EMAP.

Shapley values of the main metric over inputs (Shapley 1953; Hu et al. 2022, "SHAPE"), with the training prior as the
empty subset: they sum to the score on all inputs less that of the prior. The interaction of two inputs is their Shapley
interaction index (Grabisch and Roubens 1999). Each value is computed in every resample and so has an interval.
Permutation importance comes from :mod:`suffuse.evaluation.ablations`. Gates of a fusion are reported beside these
values and can't replace them: a large weight on an uninformative vector changes no prediction.

EMAP, the empirical multimodally-additive projection (Hessel and Lee 2020), replaces the logits of a model f on n rows
by the best sum of functions of one modality each: for two, f(a_i, b_i) -> mean_j f(a_i, b_j) + mean_j f(a_j, b_i) -
mean_jk f(a_j, b_k). For M modalities it is the sum of the M means in which one modality is row i's and the others come
together from row j, less M - 1 times the mean of all. Where the projection scores as the model does, the fusion only
adds up its modalities. Features are encoded once and fused M n^2 times; absent modalities stay absent.
"""

from __future__ import annotations

from itertools import combinations
from math import factorial
from typing import Any

import numpy as np
import torch

from ..activations import activate, main_metric
from ..data.columns import Columns
from ..data.device_transfer import to_array
from ..data.entry_gather import spread
from ..engine import inference
from ..model import FusionModel
from ..shapley import masks, shapley
from ..types import NUMBER, Encoded
from . import ProbeDocs
from .agreement import is_correct
from .context import Context, Model
from .contribution_fidelity import fidelity
from .intervals import SHARE, bounds, difference_bounds, summary
from .metrics import main_score
from .missing_modalities import subset_scores
from .modality_subsets import Subsets, subset_logits, subset_rows
from .models import Network

FIELDS = ("contribution",)
DOCS = ProbeDocs(models="main", cost="`missing`, and a few thousand fusions for `emap`")
EMAP_ROWS, EMAP_TOKEN_ROWS = 128, 48  # rows; where the fusion reads tokens
FUSION_BATCH = 1024  # rows that are fused at a time


def probe(context: Context) -> dict[str, dict]:
    """``contribution`` of every main model that reads two modalities or more; of the others ``fidelity`` alone."""
    values = {model.name: subset_values(context, model) for model in context.maskable_models()}
    cards = context.limitations("contribution")
    for model in context.maskable_models():
        facts = contribution(context, model, values[model.name])
        similarity = fidelity(context, model, values)
        facts |= {"fidelity": similarity} if similarity else {}
        if facts:
            cards[model.name] = {"contribution": facts}
    return cards


def subset_values(context: Context, model: Model) -> list[np.ndarray]:
    """The main metric of every subset in every resample (S, R + 1), one array per seed."""
    rows = subset_rows(context)
    return [np.stack(subset_scores(context, z, rows)) for z in subset_logits(context, model).logits.values()]


def contribution(context: Context, model: Model, values: list[np.ndarray]) -> dict[str, Any]:
    """The fields of ``contribution`` except ``fidelity``; empty with a single input."""
    subsets, rows = subset_logits(context, model), subset_rows(context)
    if len(subsets.inputs) < 2:
        return {}
    facts: dict[str, Any] = {
        "metric": main_metric(context.spec.heads),
        "rows": len(rows),
        "of": len(context.rows),
        "exact": subsets.exhaustive,
        **(shapley_values(context, subsets, values) if subsets.exhaustive else {}),
        **leave_one_out(context, subsets, values),
        **helped_and_hurt(context, subsets),
    }
    permutation = context.cache.get(("controls", model.name))
    if permutation:
        facts["permutation"] = permutation
    networks: list[Network] = [m for m in model.members.values() if isinstance(m, Network)]
    if networks:
        gates = mean_gates(networks, context.rows[rows], subsets)
        facts |= {"gates": gates} if gates else {}
        facts["emap"] = emap(context, networks)
    return facts


def shapley_values(context: Context, subsets: Subsets, values: list[np.ndarray]) -> dict[str, Any]:
    """Shapley values and pairwise interaction of the metric: means of differences, and of differences of these."""
    names, single, pairs = subsets.inputs, [shapley(v) for v in values], [interaction(v) for v in values]
    within = difference_bounds(bounds(main_metric(context.spec.heads)))
    pair_within, confidence = difference_bounds(within), context.confidence
    return {
        "shapley": {name: summary([s[m] for s in single], confidence, within) for m, name in enumerate(names)},
        "interaction": {
            f"{names[a]}+{names[b]}": summary([p[a, b] for p in pairs], confidence, pair_within)
            for a, b in combinations(range(len(names)), 2)
        },
    }


def interaction(values: np.ndarray) -> np.ndarray:
    """(2^M, ...) the value of every subset -> (M, M, ...), the Shapley interaction index of each two inputs:

    I(a, b) = sum over S without a and b of |S|! (M - |S| - 2)! / (M - 1)! (v(S + a + b) - v(S + a) - v(S + b) + v(S)).
    """
    count = len(values).bit_length() - 1
    present = masks(count)
    index = np.zeros((count, count, *values.shape[1:]))
    for a, b in combinations(range(count), 2):
        for s in np.flatnonzero(~present[:, a] & ~present[:, b]):
            size = int(present[s].sum())
            weight = factorial(size) * factorial(count - size - 2) / factorial(count - 1)
            index[a, b] += weight * (values[s | 1 << a | 1 << b] - values[s | 1 << a] - values[s | 1 << b] + values[s])
        index[b, a] = index[a, b]
    return index


def leave_one_out(context: Context, subsets: Subsets, values: list[np.ndarray]) -> dict[str, Any]:
    """Leave-one-out, each input alone, and what all inputs are worth beyond the best one."""
    without = {name: subsets.index_without(name) for name in subsets.inputs}
    single = {name: subsets.index(name) for name in subsets.inputs}
    best = max(single.values(), key=lambda s: np.mean([v[s, 0] for v in values]))
    within = difference_bounds(bounds(main_metric(context.spec.heads)))

    def difference(a: int, b: int) -> dict:
        return summary([v[a] - v[b] for v in values], context.confidence, within)

    return {
        "leave_one_out": {name: difference(-1, s) for name, s in without.items()},
        "alone": {name: difference(s, 0) for name, s in single.items()},
        "cooperation": difference(-1, best),
    }


def helped_and_hurt(context: Context, subsets: Subsets) -> dict[str, dict]:
    """Shares of rows that are right only with an input (``helped``), and only without it (``hurt``), with intervals;
    ``rows_helped`` and ``rows_hurt`` are their means. A seed's value is the mean over the targets that aren't
    numbers."""
    seeds = [_changed_rows(context, subsets, logits) for logits in subsets.logits.values()]
    if not all(seeds):
        return {}
    facts = {
        kind: {n: summary([seed[n][k] for seed in seeds], context.confidence, SHARE) for n in subsets.inputs}
        for k, kind in enumerate(("helped", "hurt"))
    }
    means = {f"rows_{kind}": {n: v["mean"] for n, v in values.items()} for kind, values in facts.items()}
    return {**means, **facts}


def _changed_rows(context: Context, subsets: Subsets, logits: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """One seed's logits (S, n, C) -> input -> the shares helped and hurt (R + 1,); empty where all targets are
    numbers."""
    spec, rows, by_input = context.spec, subset_rows(context), {}
    full = spec.parts(activate(spec.heads, logits[-1]))
    for name in subsets.inputs:
        reduced = spec.parts(activate(spec.heads, logits[subsets.index_without(name)]))
        shares: list[tuple[np.ndarray, np.ndarray]] = []
        for (head, a), (_, b), (_, labels) in zip(full, reduced, spec.targets(context.target[rows]), strict=True):
            known = head.known(labels)
            if head.kind != NUMBER and known.any():
                with_input, without = (is_correct(head, part[known], labels[known]) for part in (a, b))
                draws = context.draws.of(rows[known])
                shares.append((draws.means(with_input & ~without), draws.means(~with_input & without)))
        if shares:
            by_input[name] = tuple(np.mean(kind, axis=0) for kind in zip(*shares, strict=True))
    return by_input


def mean_gates(networks: list[Network], rows: np.ndarray, subsets: Subsets) -> dict[str, float]:
    """The fusion's mean weight of each input over rows and seeds; empty where it has no gates."""
    seeds = []
    for network in networks:
        weights = [
            to_array(output.gates.float().mean(0)) * len(piece)
            for piece, output in inference.outputs(*network.opened, rows)
            if output.gates is not None
        ]
        if weights:
            seeds.append(np.sum(weights, axis=0) / len(rows))
    return dict(zip(subsets.inputs, (subsets.forms @ np.mean(seeds, axis=0)).tolist(), strict=True)) if seeds else {}


def emap(context: Context, networks: list[Network]) -> dict[str, Any]:
    """The score of the model and of its additive projection, and the gap, on the same sample of rows."""
    tokens = any(network.opened[0].part.TOKENS for network in networks)
    positions = context.sample(EMAP_TOKEN_ROWS if tokens else EMAP_ROWS)
    rows, draws = context.rows[positions], context.draws.of(positions)
    spec, target = context.spec, context.target[positions]
    full, additive = [], []
    for network in networks:
        context.tell(0.0, "interaction of modalities")
        for scores, logits in zip((full, additive), additive_projection(*network.opened, rows), strict=True):
            scores.append(main_score(spec, activate(spec.heads, logits), target, draws))
    metric = main_metric(spec.heads)
    within, gaps = bounds(metric), [f - a for f, a in zip(full, additive, strict=True)]
    return {
        "metric": metric,
        "rows": len(rows),
        "full": summary(full, draws.confidence, within),
        "additive": summary(additive, draws.confidence, within),
        "gap": summary(gaps, draws.confidence, difference_bounds(within)),
    }


@torch.inference_mode()
def additive_projection(model: FusionModel, columns: Columns, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Logits (n, C) of the model, and of its additive projection, on these rows."""
    batch = inference.batch_for(model, columns, rows)
    encoded = model.encode(batch)
    full = model.fuse(encoded, batch.present).logits.cpu().double().numpy()
    grids = [_crossed_logits(model, encoded, batch.present, 0)]  # [i, j]: one modality of row i, the others of row j
    terms = [grids[0].mean(1)]
    if len(encoded) == 2:
        terms.append(grids[0].mean(0))
    for m in range(1, len(encoded) if len(encoded) > 2 else 1):
        grids.append(_crossed_logits(model, encoded, batch.present, m))
        terms.append(grids[-1].mean(1))
    overall = np.mean([grid.mean((0, 1)) for grid in grids], axis=0)
    return full, sum(terms) - (len(encoded) - 1) * overall


def _crossed_logits(model: FusionModel, encoded: list[Encoded], present: torch.Tensor, m: int) -> np.ndarray:
    """(n, n, C) logits with modality ``m`` of row i and the others of row j."""
    count = len(present)
    places = torch.arange(count, device=present.device)
    first, second = (t.reshape(-1) for t in torch.meshgrid(places, places, indexing="ij"))
    tokens, logits = model.part.TOKENS, []
    for i, j in zip(first.split(FUSION_BATCH), second.split(FUSION_BATCH), strict=True):
        mixed = [spread(e, i if n == m else j, tokens) for n, e in enumerate(encoded)]
        mixed_present = present[j].clone()
        mixed_present[:, m] = present[i, m]
        logits.append(model.fuse(mixed, mixed_present).logits.cpu().double())
    return torch.cat(logits).reshape(count, count, -1).numpy()
