"""The trials, in Optuna's SQLite file: proposed, completed or pruned, and resumed after a kill.

Processes share the file. Asking for a trial takes a lock, so no number is given out twice, and the sampler is rebuilt
from (seed, number of the trial): what it proposes depends on the completed trials, not on the process that asks. So
with one process a search that was killed continues as if it had not been. A trial that a kill left running keeps its
number and its parameters, and its training resumes from its checkpoint.

Pruning is the median rule (Golovin et al. 2017, "Google Vizier") for several objectives. Optuna's own pruners take one
objective and compare by epoch. Here trainings differ in length, and each has a schedule over all of it, so they are
compared at equal shares of their training. A search for small students must not prune a small one because large ones
learn faster: a training is compared with those that have no more parameters.
"""

from __future__ import annotations

import contextlib
import sqlite3
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from ..file_lock import lock
from ..registry import optional
from .pareto import LATENCY, QUALITY, SIZE

STARTUP = 12  # trials near the recipe before the sampler learns from them
FILE = "study.db"
SLACK = 1.05  # measured latency of two equal networks differs by some percent
BEHIND = "behind"  # why a trial was pruned: the only reason that isn't a violated constraint
TIE = 1e-3  # factor of the log loss, which decides between trials of equal quality
RUNGS = (0.3, 0.5, 0.7, 0.85)  # shares of a training at which it may be pruned
MIN_CURVES = 4  # other trainings that must have come as far
Curve = Sequence[Sequence[float]]  # (share of the training done, best score so far), in order


class Study:
    """The trials of one search: of the student, or of the baseline."""

    def __init__(self, folder: Path, role: str, objectives: Sequence[str], seed: int):
        self.optuna: Any = optional("optuna", "tune")
        self.optuna.logging.set_verbosity(self.optuna.logging.ERROR)
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.role, self.seed = folder, role, seed
        self.objectives = tuple(objectives)
        directions = ["maximize" if objective == QUALITY else "minimize" for objective in self.objectives]
        with self.locked(), _quiet():
            file = (folder / FILE).resolve()
            storage = self.optuna.storages.RDBStorage(f"sqlite:///{file}", {"creator": lambda: _connect(file)})
            self.study = self.optuna.create_study(
                storage=storage, study_name=role, directions=directions, load_if_exists=True
            )

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """One process at a time."""
        with (self.folder / ".asking").open("w") as file:
            lock(file, self.folder, wait=True)
            yield

    def trials(self) -> list[Any]:
        """All trials that were begun, in order."""
        waiting = self.optuna.trial.TrialState.WAITING
        return [t for t in self.study.get_trials(deepcopy=False) if t.state != waiting]

    def completed(self) -> list[Any]:
        """Trials that were trained to their end."""
        return [t for t in self.trials() if t.state == self.optuna.trial.TrialState.COMPLETE]

    def running(self) -> list[int]:
        """Numbers of trials that were begun and have no result yet."""
        return [t.number for t in self.trials() if t.state == self.optuna.trial.TrialState.RUNNING]

    def count_ended(self) -> int:
        """How many trials have a result, pruned ones included."""
        return len(self.trials()) - len(self.running())

    def count(self) -> int:
        """How many trials exist, waiting ones included."""
        return len(self.study.get_trials(deepcopy=False))

    def reference_seconds(self) -> tuple[float | None, float | None]:
        """Seconds of the unchanged recipe's training, and of the best other trial that doesn't exceed its costs; None
        where there is none yet."""
        own = best = None
        for trial in self.completed():
            if trial.user_attrs.get("as_is"):
                own = trial
            elif trial.user_attrs["facts"]["over"] <= 0:
                best = max(best or trial, trial, key=lambda t: t.user_attrs["facts"][QUALITY])
        own_seconds, best_seconds = (trial and trial.user_attrs["facts"]["seconds"] for trial in (own, best))
        return own_seconds, best_seconds

    @property
    def proposed(self) -> bool:
        """Whether all first points were proposed."""
        return bool(self.study.user_attrs.get("proposed"))

    @proposed.setter
    def proposed(self, value: bool) -> None:
        self.study.set_user_attr("proposed", value)

    def propose(self, values: dict[str, Any], why: str, as_is: bool = False) -> None:
        """Add a point to be tried before the sampler proposes its own. ``as_is``: it is the unchanged recipe."""
        with _quiet():
            self.study.enqueue_trial(values, user_attrs={"why": why, "as_is": as_is}, skip_if_exists=False)

    def ask(self, limit: int | None) -> Any:
        """A new trial; None where there are ``limit`` trials already."""
        with self.locked(), _quiet():
            count = len(self.trials())
            if limit is not None and count >= limit:
                return None
            self.study.sampler = self.sampler(count)
            return self.study.ask()

    def resume(self, number: int) -> Any:
        """A trial that a kill left running."""
        with _quiet():
            self.study.sampler = self.sampler(number)
            trial = self.study.get_trials(deepcopy=False)[number]
            return self.optuna.trial.Trial(self.study, trial._trial_id)

    def tell(self, trial: Any, facts: dict[str, Any]) -> None:
        """Store the result of a training: quality and costs; ``over`` is the excess over the allowed cost."""
        trial.set_user_attr("facts", facts)
        tie = TIE * min(facts["validation"]["log_loss"], 10.0)
        values = {QUALITY: facts[QUALITY] - tie, LATENCY: facts[LATENCY], SIZE: facts[SIZE]}
        with _quiet():
            trial.set_constraint("cost", facts["over"])
            self.study.tell(trial.number, [float(values[objective]) for objective in self.objectives])

    def prune(self, trial: Any, kind: str, why: str) -> None:
        """Store that a trial won't be finished, and why: ``invalid``, ``costly``, ``diverged``, :data:`BEHIND`."""
        trial.set_user_attr("pruned", {"kind": kind, "why": why})
        with _quiet():
            trial.set_constraint("cost", 0.0 if kind == BEHIND else 1.0)
            self.study.tell(trial.number, state=self.optuna.trial.TrialState.PRUNED)

    def sampler(self, number: int) -> Any:
        """Tree-structured Parzen estimators (Bergstra et al. 2011; several objectives: Ozaki et al. 2022), constrained
        to networks that don't exceed their allowed cost."""
        return self.optuna.samplers.TPESampler(
            n_startup_trials=STARTUP,
            multivariate=True,
            group=True,
            constant_liar=True,
            seed=(self.seed * 100_003 + number) % 2**32,
        )


def excess_cost(cost: dict[str, Any], own: dict[str, Any], max_cost: float) -> float:
    """By how much a network exceeds ``max_cost`` times the size and latency of the recipe's student (``own``)."""
    ratio = cost["ratio"] or 0.0
    return max(cost["parameters"] / own["parameters"] - max_cost, ratio / SLACK - max_cost)


def score_at(curve: Curve, share: float) -> float | None:
    """The best score after this share of a training; None where it hasn't come so far."""
    if not curve or curve[-1][0] < share - 1e-9:
        return None
    scores = [score for done, score in curve if done <= share + 1e-9]
    return max(scores) if scores else None


def pruning_reason(curve: Curve, size: int, others: Sequence[tuple[Curve, int]]) -> str:
    """Why a training of a network with ``size`` parameters should stop now; empty where it continues. ``others``:
    curves and sizes of the other trainings."""
    if not curve:
        return ""
    passed = [rung for rung in RUNGS if curve[-1][0] >= rung]
    before = curve[-2][0] if len(curve) > 1 else 0.0
    if not passed or before >= passed[-1]:  # once at each rung
        return ""
    share, own = curve[-1][0], max(score for _, score in curve)
    scores = [score_at(other, share) for other, other_size in others if other_size <= size]
    known = [score for score in scores if score is not None]
    if len(known) < MIN_CURVES or own >= median(known):
        return ""
    return f"at {share:.0%} of its training {own:.4f}, the median of {len(known)} others is {median(known):.4f}"


def _connect(file: Path) -> sqlite3.Connection:
    """A connection whose commits survive a kill without waiting for the disk: a trial makes some thirty of them."""
    connection = sqlite3.connect(file, timeout=120, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    return connection


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without Optuna's warnings about experimental features."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
