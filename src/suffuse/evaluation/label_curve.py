"""The label curve: scores by the share of the labels, and the label-equivalence of distillation.

A student with few labels scores as labels-only training with more of them: with the share at which the baseline's curve
reaches the student's score. The curve is that of the longest baselines, made monotone (isotonic regression, Barlow et
al. 1972) and interpolated between two shares along the logarithm of the number of labels. Its interval is a bootstrap
over rows and seeds together: the resamples of rows that all models share, and seeds drawn with replacement, whose
deviations are expanded for their small number as those of groups are (Hesterberg 2015).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.optimize import isotonic_regression
from scipy.special import ndtri, stdtrit

from ..model_names import parse_trained, with_fraction
from .intervals import bounds, spread, summary
from .metrics import Draws, Metrics
from .verdict import compare

SEED = 7  # of the seeds that are drawn


def label_curve(
    metrics: Mapping[str, Sequence[Metrics]],
    labels: Mapping[float, int],
    metric: str,
    draws: Draws,
    verdicts: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any] | None:
    """Scores of student and baseline by the share of the labels that they were trained on, and for each share the
    label-equivalence.

    ``labels``: share -> labelled training rows; 1 is all. ``verdicts``: entries of ``comparisons.json``. The smallest
    share comes first, shares without both models are left out; None with fewer than two points. The teacher is the same
    at every share, trained on all labels: the curve shows how far its logits replace labels that the student lacks, not
    what training such a teacher takes.
    """
    points: list[dict[str, Any]] = []
    for share in sorted(labels):
        names = {name: with_fraction(name, share) for name in ("student", "baseline")}
        if any(name not in metrics for name in names.values()):
            continue
        longest = longest_baseline(metrics, names["baseline"])
        scores = {name: _scores(metrics, model, metric) for name, model in {**names, "longest": longest}.items()}
        means = {name: summary(seeds, draws.confidence, bounds(metric), draws.size) for name, seeds in scores.items()}
        verdict = next((dict(v) for v in verdicts if v["who"] == names["student"] and "longer" in v), None)
        verdict = verdict or compare(
            scores["student"], scores["baseline"], draws.confidence, bounds(metric), draws.size
        )
        points.append({"share": share, "labels": labels[share], **means, "verdict": verdict, "longest_model": longest})
    if len(points) < 2:
        return None
    counts = [point["labels"] for point in points]
    curve = np.stack([resampled(_scores(metrics, p["longest_model"], metric), draws) for p in points], axis=1)
    shares, means = np.array([p["share"] for p in points]), [p["longest"]["mean"] for p in points]
    for point in points:
        student = resampled(_scores(metrics, with_fraction("student", point["share"]), metric), draws)
        point["baseline_needs"] = labels_needed(counts, means, point["student"]["mean"])
        point["equivalent"] = equivalent(shares, curve, student, draws.confidence)
    return {"metric": metric, "teacher_saw": 1.0, "points": points}


def longest_baseline(metrics: Mapping[str, Sequence[Metrics]], baseline: str) -> str:
    """The longest training of this baseline."""
    kind, fraction, _ = parse_trained(baseline) or ("", "", 1)
    names = {name: parse_trained(name) or ("", "", 0) for name in metrics}
    lengths = {name: parsed[2] for name, parsed in names.items() if parsed[:2] == (kind, fraction)}
    return max(lengths, key=lambda name: lengths[name])


def resampled(seeds: Sequence[np.ndarray], draws: Draws) -> np.ndarray:
    """S seeds (R + 1,) -> (R + 1,): the mean over the seeds as it is, and with rows and seeds drawn again. All models
    get the same draws."""
    values, count = np.stack(list(seeds)), len(seeds)
    rows = values.mean(0)
    if count == 1:
        return rows
    rows[1:] = rows[0] + spread(seeds).scale * (rows[1:] - rows[0])
    drawn = np.random.default_rng(SEED).integers(0, count, (len(rows) - 1, count))
    tail = (1 - draws.confidence) / 2
    factor = float(stdtrit(count - 1, 1 - tail) / ndtri(1 - tail)) * np.sqrt(count / (count - 1))
    rows[1:] += factor * (values[drawn, 0].mean(1) - rows[0])
    return rows


def equivalent(shares: np.ndarray, curve: np.ndarray, student: np.ndarray, confidence: float) -> dict[str, Any]:
    """shares (F,), the baseline's curve (R + 1, F) and the student's score (R + 1,) -> ``share`` of the labels with
    which labels-only training scores as the student, ``low`` and ``high``. One that lies beyond the shares is the
    outermost share, and is named in ``beyond``: ``below`` the smallest, ``above`` the largest."""
    found = positions(np.log(shares), isotonic(curve), student)
    tail = (1 - confidence) / 2
    drawn = found[1:][~np.isnan(found[1:])]
    low, high = np.quantile(drawn, [tail, 1 - tail], method="inverted_cdf") if len(drawn) else (-np.inf, np.inf)
    ends = {"share": float(found[0]), "low": float(low), "high": float(high)}
    infinities = {"below": -np.inf, "above": np.inf}
    beyond = {side: [name for name, end in ends.items() if end == infinity] for side, infinity in infinities.items()}
    values = {name: float(np.exp(np.clip(end, *np.log(shares[[0, -1]])))) for name, end in ends.items()}
    return {**values, "beyond": beyond}


def isotonic(values: np.ndarray) -> np.ndarray:
    """(R, F) -> the closest rising rows (R, F), least squares, all weights equal; a row with a NaN is all NaN."""
    rising = np.full(values.shape, np.nan)
    for number in np.flatnonzero(~np.isnan(values).any(1)):
        rising[number] = isotonic_regression(values[number]).x
    return rising


def positions(at: np.ndarray, curve: np.ndarray, target: np.ndarray) -> np.ndarray:
    """at (F,), rising curves (R, F) and targets (R,) -> (R,): where each curve first reaches its target, interpolated;
    minus infinity where it lies above it from the start, infinity where it never does."""
    reached = curve >= target[:, None] - 1e-12
    first = np.where(reached.any(1), reached.argmax(1), len(at))
    after, before = np.clip(first, 1, len(at) - 1), np.clip(first, 1, len(at) - 1) - 1
    rows = np.arange(len(curve))
    low, high = curve[rows, before], curve[rows, after]
    fraction = np.divide(target - low, high - low, out=np.ones(len(curve)), where=high > low)
    found = at[before] + fraction * (at[after] - at[before])
    found = np.where(first == len(at), np.inf, found)
    start = np.where(np.isclose(curve[:, 0], target, atol=1e-12), at[0], -np.inf)
    return np.where(np.isnan(target), np.nan, np.where(first == 0, start, found))


def labels_needed(labels: Sequence[int], scores: Sequence[float], target_score: float) -> int | None:
    """The number of labels at which the baseline first reaches a score, interpolated between two points along the
    logarithm of the number. None where it never does, and where it does with the fewest labels already."""
    for n in range(1, len(labels)):
        before, after = scores[n - 1], scores[n]
        if before < target_score <= after:
            fraction = (target_score - before) / (after - before)
            return round(float(np.exp(np.interp(fraction, [0, 1], np.log([labels[n - 1], labels[n]])))))
    return None


def _scores(metrics: Mapping[str, Sequence[Metrics]], model: str, metric: str) -> list[np.ndarray]:
    return [seed[metric] for seed in metrics[model]]
