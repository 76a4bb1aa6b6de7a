"""Whether a labels-only baseline was trained long enough to be compared with a student, and how much longer it takes.

A student that learns in fewer steps looks better than a baseline that was stopped too early. The scores on labelled
*training* rows tell the two apart: a baseline that lacks labels fits its own training rows and fails on others, one
that lacks steps doesn't even fit its training rows. A comparison in which the student is ahead on validation rows, by
the *claimed difference*, is in doubt

    training score   where the student's training score exceeds the baseline's by half of the claimed difference or more
    spread           where the standard deviation of the baseline over seeds, less what the validation rows alone make
                     of it, is 5 times the student's or more: some seeds failed, or aren't done
    lead             where the claimed difference is larger than the interval of the validation rows: nothing is claimed
                     before one longer training. A baseline may fit its training rows and still gain from more steps

Then the baseline is trained again with 2, 4 and 8 times the epochs, all else equal, until the student isn't ahead any
more, or the validation score stops rising and neither of the first two doubts is left: they count where the student's
lead is larger than the interval of the validation rows. A score rises if it gains more than that interval, or a quarter
of the lead that is left. At the cap a score that has stopped rising is enough. Every decision follows from finished
trainings and from training and validation rows alone: it is the same after a kill, and test rows have no part in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..activations import activate, main_metric
from ..data.columns import Columns
from ..engine import feature_cache
from ..engine.label_budget import label_budget
from ..engine.student_training import Job, has_labels, longer_jobs, training_of
from ..files import read_json
from ..model_names import longer_name, with_fraction
from ..run import Run
from . import metrics
from .intervals import UNBOUNDED, Range, Size, bounds, interval, spread
from .models import Network
from .verdict import compare

FACTORS = (2, 4, 8)  # times the epochs; the last is the cap
GAP = 0.5  # share of the claimed difference that training scores may differ by
LEFT = 0.25  # share of the lead that is left: a rise by as much, from one length to the next, may go on
SPREAD = 5.0  # times the student's standard deviation over seeds
FILE = "convergence.json"
TRAINING_SCORE, SEEDS, LEAD = "training score", "spread", "lead"  # doubts
# why a comparison is, or isn't, settled
NO_LEAD, TRAINED, LONGER, RISING, OFF = "no lead", "trained", "longer", "rising", "off"


@dataclass(frozen=True)
class Scores:
    """The main metric of one network over its S seeds."""

    training: Sequence[float]  # on labelled training rows
    validation: Sequence[float]

    @property
    def deviation(self) -> float:
        """The standard deviation over seeds on validation rows; 0 with one seed."""
        return float(np.std(self.validation, ddof=1)) if len(self.validation) > 1 else 0.0


def doubts(student: Scores, baseline: Scores, rows_variance: Callable[[], float]) -> dict[str, Any]:
    """``claimed``, ``training_gap``, ``deviations`` and the ``doubts``. ``rows_variance``: what the validation rows
    alone add to the variance of the baseline's seeds; called where it matters."""
    claimed = float(np.mean(student.validation) - np.mean(baseline.validation))
    gap = float(np.mean(student.training) - np.mean(baseline.training))
    excess, found = baseline.deviation, []
    if claimed > 0 and gap >= GAP * claimed:
        found.append(TRAINING_SCORE)
    if claimed > 0 and excess > 0 and excess >= SPREAD * student.deviation:
        excess = float(np.sqrt(max(excess**2 - rows_variance(), 0.0)))
        found += [SEEDS] if excess > 0 and excess >= SPREAD * student.deviation else []
    deviations = {"student": student.deviation, "baseline": baseline.deviation}
    return {"claimed": claimed, "training_gap": gap, "deviations": deviations, "doubts": found}


def with_lead(facts: dict[str, Any], ahead: Callable[[], bool]) -> dict[str, Any]:
    """The facts of :func:`doubts` on the shortest baseline, with a lead as a doubt where there is no other. ``ahead``:
    whether the lead is larger than the interval of the validation rows; called where it matters."""
    is_lead = facts["claimed"] > 0 and not facts["doubts"] and ahead()
    return {**facts, "doubts": [LEAD]} if is_lead else facts


def rise(
    longer: Sequence[np.ndarray], shorter: Sequence[np.ndarray], confidence: float, within: Range, size: Size
) -> dict[str, Any]:
    """The rise of the validation score from one length to the next, from both sides' seeds (R + 1,), with the interval
    of the rows; whether it is still ``rising``: by more than the interval, and with room for as much again."""
    facts = compare(longer, shorter, confidence, within, size, fixed=True, plan=False)
    _, highest = interval(spread(longer, fixed=True), confidence, size)
    rising = bool(facts["low"] > 0 and highest < within[1])
    return {
        "validation": [float(seed[0]) for seed in longer],
        "rise": facts["difference"], "low": facts["low"], "high": facts["high"], "rising": rising,
    }  # fmt: skip


def is_rising(length: Mapping[str, Any]) -> bool:
    """Whether a longer training may change the comparison: the score rises by more than the interval of the validation
    rows, or by a share of the lead that is left. Few rows have a wide interval, and hide a rise that matters."""
    return bool(length["rising"] or length["rise"] > LEFT * length["claimed"] > 0)


def outcome(found: Sequence[str], lengths: Sequence[Mapping[str, Any]], automatic: bool) -> tuple[str, int | None]:
    """Why the comparison is or isn't settled, and the factor of the next longer training; None where there is none.
    ``found``: its doubts; ``lengths``: ``rising``, ``doubts`` and ``claimed`` of each length that was trained, compared
    with the student."""
    if not found or (not automatic and list(found) == [LEAD]):
        return TRAINED, None
    if not automatic:
        return OFF, None
    if len(lengths) < len(FACTORS):
        return (LONGER, None) if lengths and is_enough(lengths[-1]) else (RISING, FACTORS[len(lengths)])
    return (LONGER if is_enough(lengths[-1]) or not lengths[-1]["rising"] else RISING), None


def is_enough(length: Mapping[str, Any]) -> bool:
    """Whether no longer training is needed: the student isn't ahead any more, or the score has stopped rising and
    nothing is in doubt. A score that doesn't rise is not enough: seeds may sit on a plateau before they learn."""
    return length["claimed"] <= 0 or not (length["rising"] or length["doubts"])


def is_ahead(student: Sequence[np.ndarray], longer: Sequence[np.ndarray], confidence: float, size: Size) -> bool:
    """Whether the student's lead over a longer baseline is larger than the interval of the validation rows."""
    facts = compare(student, longer, confidence, UNBOUNDED, size, fixed=True, plan=False)
    return bool(facts["low"] > 0)


def longer_trainings(run: Run, facts: dict[str, Any]) -> list[Job]:
    """The longer baselines that :data:`FILE` names: those that were trained, and the next ones."""
    trainings: list[Job] = []
    for fraction in (1.0, *run.recipe.fractions):
        comparison = facts["comparisons"].get(with_fraction("student", fraction))
        if comparison:
            factors = [*FACTORS[: len(comparison["lengths"])], comparison["next"]]
            trainings += [job for factor in factors if factor for job in longer_jobs(run, fraction, factor)]
    return trainings


class Convergence:
    """The comparisons of a run whose trainings are in ``folder``."""

    def __init__(self, run: Run, folder: Path):
        self.run, self.folder, self.columns = run, folder, Columns.open(run.path("data"))
        self.metric = main_metric(self.columns.spec.heads)
        self._validation: dict[str, list[np.ndarray]] = {}
        self._draws: dict[float, metrics.Draws] = {}

    def assess(self) -> dict[str, Any]:
        """What :data:`FILE` holds. ``comparisons``: student -> its facts; ``next`` is the factor of the trainings that
        are needed before it is final, None where it is. None without a labelled training row: there is no baseline."""
        distill = self.run.recipe.distill
        fractions = (1.0, *self.run.recipe.fractions) if has_labels(self.run) else ()
        return {
            "metric": self.metric,
            "automatic": distill.longer_baselines,
            "epochs": distill.train.epochs,
            "baseline_epochs": training_of(distill, False).epochs,
            "limit": FACTORS[-1] * training_of(distill, False).epochs,
            "comparisons": {with_fraction("student", f): self._comparison(f) for f in fractions},
        }

    def _comparison(self, fraction: float) -> dict[str, Any]:
        name, automatic = with_fraction("baseline", fraction), self.run.recipe.distill.longer_baselines
        student = self._recorded(with_fraction("student", fraction))
        facts = doubts(student, self._recorded(name), lambda: spread(self._scores(name, fraction)).residual)
        facts = with_lead(facts, lambda: self._is_ahead(fraction, name))
        lengths: list[dict[str, Any]] = []
        while True:
            why, factor = outcome(facts["doubts"], lengths, automatic)
            if factor is None or not self._is_trained(fraction, factor):
                why = NO_LEAD if why == TRAINED and facts["claimed"] <= 0 else why
                settled = why in (NO_LEAD, TRAINED, LONGER)
                return facts | {"lengths": lengths, "settled": settled, "why": why, "next": factor}
            before = lengths[-1]["model"] if lengths else name
            lengths.append(self._length(fraction, factor, before))

    def _length(self, fraction: float, factor: int, before: str) -> dict[str, Any]:
        model, draws = longer_name(with_fraction("baseline", fraction), factor), self._drawn(fraction)
        pair = self._scores(model, fraction), self._scores(before, fraction)
        facts = rise(*pair, draws.confidence, bounds(self.metric), draws.size)
        student = with_fraction("student", fraction)
        facts |= doubts(self._recorded(student), self._recorded(model), lambda: spread(pair[0]).residual)
        facts["ahead"] = self._is_ahead(fraction, model)
        facts["doubts"] = facts["doubts"] if facts["ahead"] else []
        facts["rising"] = is_rising(facts)
        epochs = factor * training_of(self.run.recipe.distill, False).epochs
        return {"model": model, "epochs": epochs, **facts}

    def _is_ahead(self, fraction: float, baseline: str) -> bool:
        student, draws = self._scores(with_fraction("student", fraction), fraction), self._drawn(fraction)
        return is_ahead(student, self._scores(baseline, fraction), draws.confidence, draws.size)

    def _is_trained(self, fraction: float, factor: int) -> bool:
        jobs = longer_jobs(self.run, fraction, factor)
        return all((self.folder / job.model / f"seed-{job.seed}" / "training.json").exists() for job in jobs)

    def _recorded(self, model: str) -> Scores:
        records = [read_json(folder / "training.json") or {} for folder in self._seeds(model)]
        training, validation = ([float(r[on][self.metric]) for r in records] for on in ("training", "validation"))
        return Scores(training, validation)

    def _seeds(self, model: str) -> list[Path]:
        first = self.run.recipe.seed + 1
        return [self.folder / model / f"seed-{first + n}" for n in range(self.run.recipe.distill.num_seeds)]

    def _scores(self, model: str, fraction: float) -> list[np.ndarray]:
        """The main metric of each seed on the validation rows whose labels the fraction has, in every resample."""
        if model not in self._validation:
            spec, rows, draws = self.columns.spec, self._rows(fraction), self._drawn(fraction)
            features, target = feature_cache.place(self.run), self.columns.target[rows]
            logits = (Network(seed, self.columns, features).logits(rows) for seed in self._seeds(model))
            self._validation[model] = [metrics.main_score(spec, activate(spec.heads, z), target, draws) for z in logits]
        return self._validation[model]

    def _rows(self, fraction: float) -> np.ndarray:
        rows = self.columns.labelled("validation")
        return rows[label_budget(self.columns, fraction, self.run.recipe.seed)[rows]]

    def _drawn(self, fraction: float) -> metrics.Draws:
        if fraction not in self._draws:
            settings, group = self.run.recipe.evaluate, self.columns.group[self._rows(fraction)]
            self._draws[fraction] = metrics.draw(group, settings.resamples, settings.confidence)
        return self._draws[fraction]
