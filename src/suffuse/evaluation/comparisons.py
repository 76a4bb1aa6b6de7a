"""Comparisons of a run's models on the main metric: which pairs, and McNemar's test.

distillation   every student against the same network trained on labels only
compute        the student against the compute-matched baseline (``distill.compute_matched_baseline``)
fusion         a network of all modalities against the same network on each modality alone
classical      teacher, student and exported student against the classical baseline that is best on validation rows

McNemar's test (1947) is on the rows of one seed: of the ``gained + lost`` rows that only one of two models gets right,
as many should be gained as lost if the models are equally good. The exact test is binomial; mid-p counts half the
probability of outcomes as likely as the observed one and so is less conservative (Fagerland, Lydersen & Laake 2013).
Where rows come in groups (all questions about a picture) they aren't independent, and the groups' rates are tested
instead (Durkalski et al. 2003, "Analysis of clustered matched-pair data"): with K groups, group k with n_k rows, b_k of
them gained and c_k lost,

    chi^2 = (sum_k (b_k - c_k) / n_k)^2 / sum_k ((b_k - c_k) / n_k)^2      one degree of freedom

so a large group counts no more than a small one. The test compares two trained networks, not two recipes: a verdict
rests on seeds too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import bdtr, chdtrc

from ..model_names import parse_trained
from ..transcripts.frame_predictions import right_texts
from ..types import CLASSES, TOKENS, Spec
from .family import family_verdicts
from .intervals import bounds, spread
from .metrics import Draws, Metrics
from .verdict import NO_EVIDENCE, compare, required_size

DISTILLATION, COMPUTE, FUSION, CLASSICAL = "distillation", "compute", "fusion", "classical"
FAMILY = (DISTILLATION, COMPUTE)  # whose verdicts are adjusted for their number
NETWORKS = ("student", "export")  # that are compared with a classical baseline, beside the teacher


@dataclass(frozen=True)
class References:
    """What is known of the models that others are compared with."""

    classical: str = ""  # the classical baseline that is best on validation rows
    convergence: Mapping[str, Any] | None = None  # what convergence.json holds
    earlier_seeds: Sequence[int] = ()  # numbers of seeds that were evaluated before, fewer than now
    teachers: int = 1  # that the seeds of a student learn from


def pairs(models: Sequence[str], classical: str = "") -> list[tuple[str, str, str]]:
    """(about, candidate, reference) of the models that exist. ``classical``: the best of the classical baselines."""
    wanted = [
        (DISTILLATION, name, name.replace("student", "baseline")) for name in models if name.startswith("student")
    ]
    wanted.append((COMPUTE, "student", "rival"))
    for candidate, prefix in (("teacher", "teacher-only-"), ("baseline", "only-")):
        wanted.extend((FUSION, candidate, unimodal) for unimodal in models if unimodal.startswith(prefix))
    teacher = "ensemble" if "ensemble" in models else "teacher"  # all that teaches
    wanted.extend((CLASSICAL, network, classical) for network in (teacher, *NETWORKS))
    return [pair for pair in wanted if pair[1] in models and pair[2] in models]


def comparisons(
    metrics: Mapping[str, Sequence[Metrics]],
    predictions: Mapping[str, Sequence[np.ndarray]],
    known: tuple[Spec, np.ndarray],
    metric: str,
    draws: Draws,
    reference_facts: References = References(),
) -> list[dict[str, Any]]:
    """A verdict on each pair. ``metrics`` and ``predictions``: model -> one entry per seed, predictions (N, C);
    ``known``: the spec, and the targets (N,).

    Two single networks ("fusion" with one seed) can be compared on rows alone; a statement about a recipe, as that
    distilling helps, needs at least two seeds. Those about distillation are a family (:mod:`.family`).
    """
    verdicts, classical = [], reference_facts.classical
    for about, candidate, reference in pairs(list(metrics), classical):
        scores, base = ([m[metric] for m in metrics[name]] for name in (candidate, reference))
        if about == CLASSICAL:
            base = base * len(scores)  # it has no seed
        fixed = about in (FUSION, CLASSICAL) and len(scores) == 1
        facts: dict[str, Any] = {"about": about, "who": candidate, "against": reference, "metric": metric}
        facts |= compare(scores, base, draws.confidence, bounds(metric), draws.size, fixed)
        if about in FAMILY:
            facts |= {"earlier_seeds": list(reference_facts.earlier_seeds)} if reference_facts.earlier_seeds else {}
            facts["teachers"] = reference_facts.teachers
            facts["per_seed"] = {name: [float(m[metric][0]) for m in metrics[name]] for name in (candidate, reference)}
        if about == DISTILLATION:
            facts["longer"] = longer_comparisons(metrics, (candidate, reference), metric, draws)
        verdicts.append(facts | paired_rows((predictions[candidate][0], predictions[reference][0]), known, draws))
    family = [facts for facts in verdicts if facts["about"] in FAMILY]
    judged = iter(family_verdicts(family, draws.confidence, reference_facts.convergence))
    return [_planned(next(judged), metrics, draws) if f["about"] in FAMILY else f for f in verdicts]


def longer_comparisons(
    metrics: Mapping[str, Sequence[Metrics]], pair: tuple[str, str], metric: str, draws: Draws
) -> list[dict[str, Any]]:
    """The student against each longer baseline of the same share of the labels, the shortest first."""
    student, baseline = pair
    found = []
    for name in metrics:
        kind, fraction, factor = parse_trained(name) or ("", "", 0)
        if kind == "baseline" and factor > 1 and parse_trained(baseline) == (kind, fraction, 1):
            found.append((factor, name))
    entries = []
    for factor, name in sorted(found):
        scores, base = ([m[metric] for m in metrics[model]] for model in (student, name))
        facts = compare(scores, base, draws.confidence, bounds(metric), draws.size, plan=False)
        numbers = {key: facts[key] for key in ("difference", "low", "high", "p")}
        entries.append({"against": name, "factor": factor, **numbers, "per_seed": [float(s[0]) for s in base]})
    return entries


def _planned(facts: dict[str, Any], metrics: Mapping[str, Sequence[Metrics]], draws: Draws) -> dict[str, Any]:
    """A verdict of the family with what would settle it, at the level that is left of several verdicts."""
    if facts["verdict"] != NO_EVIDENCE or facts["settles"] is not None:
        return facts | ({"settles": None} if facts["verdict"] != NO_EVIDENCE else {})
    scores = ([m[facts["metric"]] for m in metrics[facts[side]]] for side in ("who", "against"))
    estimate = spread([a - b for a, b in zip(*scores, strict=True)])
    confidence = 1 - (1 - draws.confidence) / facts["family"]
    return facts | {"settles": required_size(estimate, confidence, draws.size)}


def paired_rows(pair: tuple[np.ndarray, np.ndarray], known: tuple[Spec, np.ndarray], draws: Draws) -> dict[str, Any]:
    """McNemar's test on the first seed of both models, where rows are right or wrong: ``mcnemar``, and ``p_mcnemar``,
    the p-value over groups where rows come in groups, otherwise the exact one."""
    candidate, reference = (correct_rows(known[0], predictions, known[1]) for predictions in pair)
    if candidate is None or reference is None:
        return {}
    facts = mcnemar(candidate, reference, draws.group)
    return {"p_mcnemar": facts.get("p_groups", facts["p"]), "mcnemar": facts}


def correct_rows(spec: Spec, predictions: np.ndarray, target: np.ndarray) -> np.ndarray | None:
    """Predictions (N, C) and targets (N,) -> (N,) bool; None where rows aren't simply right or wrong: labels, numbers,
    several targets."""
    if len(spec.heads) != 1 or spec.heads[0].kind not in (CLASSES, TOKENS):
        return None
    if spec.heads[0].kind == TOKENS:
        return right_texts(spec.heads[0], predictions, spec.targets(target)[0][1])
    return predictions.argmax(1) == target


def mcnemar(candidate: np.ndarray, reference: np.ndarray, group: np.ndarray) -> dict[str, Any]:
    """(N,) bool twice, which rows are right, and groups (N,) -> gained, lost, p (exact), p_mid, and with groups
    p_groups."""
    difference = candidate.astype(int) - reference.astype(int)
    gained, lost = int((difference > 0).sum()), int((difference < 0).sum())
    facts = {"gained": gained, "lost": lost, "p": exact_p(gained, lost), "p_mid": mid_p(gained, lost)}
    _, index = np.unique(group, return_inverse=True)
    if index.max(initial=0) + 1 < len(difference):
        rates = np.bincount(index, weights=difference) / np.bincount(index)
        square = float((rates**2).sum())
        facts["p_groups"] = float(chdtrc(1, rates.sum() ** 2 / square)) if square else 1.0
    return facts


def exact_p(gained: int, lost: int) -> float:
    """Two-sided p-value of a fair coin; 1 where the models never differ."""
    return min(1.0, 2 * _binomial_cdf(min(gained, lost), gained + lost))


def mid_p(gained: int, lost: int) -> float:
    """The same with half the probability of outcomes as likely as the observed one."""
    fewer, both = min(gained, lost), gained + lost
    if not both:
        return 1.0
    observed = _binomial_cdf(fewer, both) - _binomial_cdf(fewer - 1, both)
    return 1 - observed / 2 if gained == lost else 2 * _binomial_cdf(fewer, both) - observed


def _binomial_cdf(count: int, tosses: int) -> float:
    """Probability of at most ``count`` heads of a fair coin."""
    return float(bdtr(count, tosses, 0.5)) if count >= 0 else 0.0
