"""The trials, in Optuna's SQLite file: asked for, told, and taken up again after a kill.

Processes share the file. Whoever asks holds a lock, so no number is given out twice, and the sampler is rebuilt from
(seed, number of the trial): what it proposes depends on the trials that are told and not on who asked before. So with
one process a search that was killed goes on as if it had not been. A trial that a kill left running keeps its number
and its parameters, and its training goes on from its checkpoint.
"""

from __future__ import annotations

import contextlib
import sqlite3
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..file_lock import lock
from ..registry import optional
from .pareto import LATENCY, QUALITY, SIZE

STARTUP = 12  # trials near the recipe before the sampler learns from them
FILE = "study.db"
SLACK = 1.05  # measured latency of two equal networks differs by some percent
BEHIND = "behind"  # why a trial was pruned: the only one that says nothing against its point being tried
TIE = 1e-3  # of the log loss: what decides between trials of equal quality


class Study:
    """The trials of one search: of the student, or of the baseline."""

    def __init__(self, folder: Path, who: str, objectives: Sequence[str], seed: int):
        self.optuna: Any = optional("optuna", "tune")
        self.optuna.logging.set_verbosity(self.optuna.logging.ERROR)
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.who, self.seed = folder, who, seed
        self.objectives = tuple(objectives)
        directions = ["maximize" if one == QUALITY else "minimize" for one in self.objectives]
        with self.locked(), _quiet():
            file = (folder / FILE).resolve()
            storage = self.optuna.storages.RDBStorage(f"sqlite:///{file}", {"creator": lambda: _connected(file)})
            self.study = self.optuna.create_study(
                storage=storage, study_name=who, directions=directions, load_if_exists=True
            )

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """One process at a time."""
        with (self.folder / ".asking").open("w") as file:
            lock(file, self.folder, wait=True)
            yield

    def trials(self) -> list[Any]:
        """All that were asked for, in order."""
        waiting = self.optuna.trial.TrialState.WAITING
        return [t for t in self.study.get_trials(deepcopy=False) if t.state != waiting]

    def done(self) -> list[Any]:
        """Those that were trained to their end."""
        return [t for t in self.trials() if t.state == self.optuna.trial.TrialState.COMPLETE]

    def pace(self) -> tuple[float | None, float | None]:
        """Seconds that the recipe as it is took, and that the best of the other trials did which costs no more than it
        may; None where there is none yet."""
        own = best = None
        for trial in self.done():
            if trial.user_attrs.get("as_is"):
                own = trial
            elif trial.user_attrs["facts"]["over"] <= 0:
                best = max(best or trial, trial, key=lambda t: t.user_attrs["facts"][QUALITY])
        took = [one and one.user_attrs["facts"]["seconds"] for one in (own, best)]
        return took[0], took[1]

    def running(self) -> list[int]:
        """Numbers of those that were begun and not told."""
        return [t.number for t in self.trials() if t.state == self.optuna.trial.TrialState.RUNNING]

    def ended(self) -> int:
        """How many were told, pruned ones too."""
        return len(self.trials()) - len(self.running())

    def asked(self) -> int:
        """How many there are, those that wait among them."""
        return len(self.study.get_trials(deepcopy=False))

    @property
    def proposed(self) -> bool:
        """Whether all points that come first were proposed."""
        return bool(self.study.user_attrs.get("proposed"))

    @proposed.setter
    def proposed(self, value: bool) -> None:
        self.study.set_user_attr("proposed", value)

    def propose(self, values: dict[str, Any], why: str, as_is: bool = False) -> None:
        """A point to be tried before the sampler proposes its own. ``as_is``: it stands for the recipe unchanged."""
        with _quiet():
            self.study.enqueue_trial(values, user_attrs={"why": why, "as_is": as_is}, skip_if_exists=False)

    def next(self, most: int | None) -> Any:
        """A new trial; None where there were so many already."""
        with self.locked(), _quiet():
            asked = len(self.trials())
            if most is not None and asked >= most:
                return None
            self.study.sampler = self.sampler(asked)
            return self.study.ask()

    def again(self, number: int) -> Any:
        """A trial that a kill left running."""
        with _quiet():
            self.study.sampler = self.sampler(number)
            trial = self.study.get_trials(deepcopy=False)[number]
            return self.optuna.trial.Trial(self.study, trial._trial_id)

    def tell(self, trial: Any, facts: dict[str, Any]) -> None:
        """A training's end: quality, and what it costs; ``over`` is by how much that is more than it may be."""
        trial.set_user_attr("facts", facts)
        tie = TIE * min(facts["validation"]["log_loss"], 10.0)
        values = {QUALITY: facts[QUALITY] - tie, LATENCY: facts[LATENCY], SIZE: facts[SIZE]}
        with _quiet():
            trial.set_constraint("cost", facts["over"])
            self.study.tell(trial.number, [float(values[one]) for one in self.objectives])

    def prune(self, trial: Any, kind: str, why: str) -> None:
        """It won't be finished, and why: ``invalid``, ``costly``, ``diverged``, :data:`BEHIND`."""
        trial.set_user_attr("pruned", {"kind": kind, "why": why})
        with _quiet():
            trial.set_constraint("cost", 0.0 if kind == BEHIND else 1.0)
            self.study.tell(trial.number, state=self.optuna.trial.TrialState.PRUNED)

    def sampler(self, number: int) -> Any:
        """Tree-structured Parzen estimators (Bergstra et al. 2011; several goals: Ozaki et al. 2022), that keep to
        networks which cost no more than they may."""
        return self.optuna.samplers.TPESampler(
            n_startup_trials=STARTUP,
            multivariate=True,
            group=True,
            constant_liar=True,
            seed=(self.seed * 100_003 + number) % 2**32,
        )


def over(cost: dict[str, Any], own: dict[str, Any], largest: float) -> float:
    """By how much a network costs more than it may: ``largest`` times the recipe's student, in size and latency."""
    ratio = cost["ratio"] or 0.0
    return max(cost["parameters"] / own["parameters"] - largest, ratio / SLACK - largest)


def _connected(file: Path) -> sqlite3.Connection:
    """A connection whose commits survive a kill without waiting for the disk: a trial is some thirty of them."""
    found = sqlite3.connect(file, timeout=120, check_same_thread=False)
    found.execute("PRAGMA journal_mode=WAL")
    found.execute("PRAGMA synchronous=NORMAL")
    return found


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Optuna warns of features that it calls experimental."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
