"""Agreement and accuracy of an int8 form against fp32, on every subset of the modalities, with intervals.

Groups of rows are drawn with replacement (:mod:`suffuse.evaluation.metrics`); what is lost is taken on the same draws.
The limits hold for the bad end of each interval: what few rows leave open isn't shipped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...activations import activate, main_metric
from ...data.columns import Columns
from ...evaluation import metrics
from ...evaluation.intervals import bounds
from ...evaluation.target_metrics import measure
from ...evaluation.verdict import compare
from ...subsample import evenly_spaced
from ...temperature_scaling import subset_name
from ..onnx_session import Session
from ..parity import Kept, asking, comparable, entries, same_answers, spoilt

NEAR = 0.1  # of a deviation: numbers nearer than this are the same answer of an int8 form
ALONE = 64  # rows that are also asked one by one


@dataclass(frozen=True)
class Limits:
    """What an int8 form must keep to, on every subset: the recipe's."""

    agreement: float  # least share of answers equal to fp32's
    loss: float  # most of the main metric that may be lost


@dataclass(frozen=True)
class Judge:
    """fp32's answers on some rows, to hold others against."""

    columns: Columns
    rows: np.ndarray
    exact: dict[Kept, np.ndarray]  # subset -> logits (N, C)
    draws: metrics.Draws

    @classmethod
    def of(cls, fp32: Session, columns: Columns, rows: np.ndarray, subsets: Sequence[Kept], draws: tuple) -> Judge:
        """``draws``: how many resamples, and the interval's confidence."""
        ask = asking(fp32)
        exact = {kept: ask(columns, rows, kept) for kept in subsets}
        return cls(columns, rows, exact, metrics.draw(columns.group[rows], *draws))

    def __call__(self, session: Session) -> dict[str, dict]:
        """Subset -> agreement, the metric of both, and what is lost of it, each with its interval."""
        ask, spec = asking(session), self.columns.spec
        return {
            subset_name(spec.names, kept): self._subset(ask(self.columns, self.rows, kept), exact)
            for kept, exact in self.exact.items()
        }

    def _subset(self, got: np.ndarray, exact: np.ndarray) -> dict:
        spec, draws, target = self.columns.spec, self.draws, self.columns.target[self.rows]
        same = same_answers(spec, comparable(spec.heads, got), comparable(spec.heads, exact), NEAR)
        metric = main_metric(spec.heads)
        ours, theirs = (measure(spec, activate(spec.heads, z), target, draws)[metric] for z in (got, exact))
        lost = compare([theirs], [ours], draws.confidence, bounds(metric))
        return {
            "agreement": _interval(shares(same, draws), draws.confidence),
            "metric": metric,
            "fp32": float(theirs[0]),
            "int8": float(ours[0]),
            "lost": {"mean": lost["difference"], "low": lost["low"], "high": lost["high"]},
            "difference": float(np.abs(comparable(spec.heads, got) - comparable(spec.heads, exact)).max()),
        }

    def drift(self, session: Session) -> dict:
        """What a row's answer owes to others: the largest change of a probability when what stands in absent slots
        changes (and whether any bit does), and when each row is asked alone."""
        columns, rows = self.columns, self.rows[evenly_spaced(len(self.rows), ALONE)]
        given, heads = entries(columns, rows), columns.spec.heads
        found = {"absent_changes_nothing": True, "absent": 0.0, "alone": 0.0}
        for kept in self.exact:
            present = columns.present[rows] & np.array(kept)
            together = session.logits(given, present)
            others = [session.logits(other, present) for other in spoilt(given, present)]
            each = [{n: e[i : i + 1] for n, e in given.items()} for i in range(len(rows))]
            alone = np.concatenate([session.logits(one, present[i : i + 1]) for i, one in enumerate(each)])
            found["absent_changes_nothing"] &= all(bool((other == together).all()) for other in others)
            for key, logits in (*(("absent", other) for other in others), ("alone", alone)):
                gap = np.abs(comparable(heads, logits) - comparable(heads, together)).max()
                found[key] = max(found[key], float(gap))
        return found


def beyond(found: dict[str, dict], limits: Limits) -> str:
    """Why a form can't be shipped, in a few words; nothing where it keeps to the limits."""
    for subset, facts in found.items():
        least, most = facts["agreement"]["low"], facts["lost"]["high"]
        if not least >= limits.agreement:
            return f"on {subset} it may agree with fp32 on {least:.4f} only, {limits.agreement:g} is asked"
        if not most <= limits.loss:
            return f"on {subset} it may lose {most:.4f} of {facts['metric']}, {limits.loss:g} is allowed"
    return ""


def agreement(found: dict[str, dict]) -> float:
    """The mean over subsets."""
    return float(np.mean([facts["agreement"]["mean"] for facts in found.values()]))


def shares(same: np.ndarray, draws: metrics.Draws) -> np.ndarray:
    """(N,) share of equal answers of each row -> (R + 1,) the mean, in every resample."""
    total = metrics.per_group(same, draws) @ draws.weight.T
    return metrics.ratio(total, metrics.per_group(np.ones_like(same), draws) @ draws.weight.T)


def _interval(values: np.ndarray, confidence: float) -> dict[str, float]:
    low, high = np.nanquantile(values[1:], [(1 - confidence) / 2, (1 + confidence) / 2])
    return {"mean": float(values[0]), "low": float(low), "high": float(high)}
