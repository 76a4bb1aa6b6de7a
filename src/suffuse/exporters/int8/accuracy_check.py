"""Agreement and accuracy of an int8 form against fp32, on every subset of the modalities, with intervals.

Groups of rows are drawn with replacement (:mod:`suffuse.evaluation.metrics`); both forms are compared on the same
draws. The limits hold for the unfavourable end of each interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...activations import activate, main_metric
from ...data.columns import Columns
from ...evaluation import metrics
from ...evaluation.intervals import bounds
from ...evaluation.metrics import measure
from ...evaluation.verdict import compare
from ...subsample import evenly_spaced
from ...temperature_scaling import subset_name
from ..onnx_session import Session
from ..parity import Subset, comparable, entries, make_ask, same_answers, spoilt

NEAR = 0.1  # of a deviation: numbers nearer than this are the same answer of an int8 form
ALONE = 64  # rows that are also asked one by one


@dataclass(frozen=True)
class Limits:
    """The recipe's limits for an int8 form, on every subset."""

    agreement: float  # least share of answers equal to fp32's
    loss: float  # most of the main metric that may be lost


@dataclass(frozen=True)
class AccuracyCheck:
    """fp32's logits on some rows, to compare int8 forms with."""

    columns: Columns
    rows: np.ndarray
    exact: dict[Subset, np.ndarray]  # subset -> logits (N, C)
    draws: metrics.Draws

    @classmethod
    def of(
        cls, fp32: Session, columns: Columns, rows: np.ndarray, subsets: Sequence[Subset], draws: tuple
    ) -> AccuracyCheck:
        """``draws``: how many resamples, and the interval's confidence."""
        ask = make_ask(fp32)
        exact = {kept: ask(columns, rows, kept) for kept in subsets}
        return cls(columns, rows, exact, metrics.draw(columns.group[rows], *draws))

    def __call__(self, session: Session) -> dict[str, dict]:
        """Subset -> agreement, the metric of both, and the loss of it, each with its interval."""
        ask, spec = make_ask(session), self.columns.spec
        return {
            subset_name(spec.names, kept): self._subset(ask(self.columns, self.rows, kept), exact)
            for kept, exact in self.exact.items()
        }

    def _subset(self, int8_logits: np.ndarray, fp32_logits: np.ndarray) -> dict:
        spec, draws, target = self.columns.spec, self.draws, self.columns.target[self.rows]
        int8_outputs, fp32_outputs = comparable(spec.heads, int8_logits), comparable(spec.heads, fp32_logits)
        same = same_answers(spec, int8_outputs, fp32_outputs, NEAR)
        metric = main_metric(spec.heads)
        int8_metric, fp32_metric = (
            measure(spec, activate(spec.heads, z), target, draws)[metric] for z in (int8_logits, fp32_logits)
        )
        lost = compare([fp32_metric], [int8_metric], draws.confidence, bounds(metric))
        return {
            "agreement": _interval(shares(same, draws), draws.confidence),
            "metric": metric,
            "fp32": float(fp32_metric[0]),
            "int8": float(int8_metric[0]),
            "lost": {"mean": lost["difference"], "low": lost["low"], "high": lost["high"]},
            "difference": float(np.abs(int8_outputs - fp32_outputs).max()),
        }

    def drift(self, session: Session) -> dict:
        """How a row's outputs depend on other content: the largest change of a probability when the content of absent
        slots changes (and whether any bit does), and when each row is computed alone."""
        columns, rows = self.columns, self.rows[evenly_spaced(len(self.rows), ALONE)]
        row_entries, heads = entries(columns, rows), columns.spec.heads
        drift = {"absent_changes_nothing": True, "absent": 0.0, "alone": 0.0}
        for kept in self.exact:
            present = columns.present[rows] & np.array(kept)
            together = session.logits(row_entries, present)
            spoilt_logits = [session.logits(changed, present) for changed in spoilt(row_entries, present)]
            single_rows = [{n: e[i : i + 1] for n, e in row_entries.items()} for i in range(len(rows))]
            alone = np.concatenate([session.logits(row, present[i : i + 1]) for i, row in enumerate(single_rows)])
            drift["absent_changes_nothing"] &= all(bool((logits == together).all()) for logits in spoilt_logits)
            for key, logits in (*(("absent", logits) for logits in spoilt_logits), ("alone", alone)):
                gap = np.abs(comparable(heads, logits) - comparable(heads, together)).max()
                drift[key] = max(drift[key], float(gap))
        return drift


def limit_exceeded(by_subset: dict[str, dict], limits: Limits) -> str:
    """The first limit that a form exceeds, in a few words; empty where it keeps to all."""
    for subset, facts in by_subset.items():
        agreement_low, lost = facts["agreement"]["low"], facts["lost"]["high"]
        if not agreement_low >= limits.agreement:
            return f"on {subset} it may agree with fp32 on {agreement_low:.4f} only, {limits.agreement:g} is asked"
        if not lost <= limits.loss:
            return f"on {subset} it may lose {lost:.4f} of {facts['metric']}, {limits.loss:g} is allowed"
    return ""


def agreement(by_subset: dict[str, dict]) -> float:
    """The mean agreement over subsets."""
    return float(np.mean([facts["agreement"]["mean"] for facts in by_subset.values()]))


def shares(same: np.ndarray, draws: metrics.Draws) -> np.ndarray:
    """(N,) share of equal answers of each row -> (R + 1,) the mean, in every resample."""
    total = metrics.per_group(same, draws) @ draws.weight.T
    return metrics.ratio(total, metrics.per_group(np.ones_like(same), draws) @ draws.weight.T)


def _interval(values: np.ndarray, confidence: float) -> dict[str, float]:
    low, high = np.nanquantile(values[1:], [(1 - confidence) / 2, (1 + confidence) / 2])
    return {"mean": float(values[0]), "low": float(low), "high": float(high)}
