"""One trial: a point of the space, read as a recipe, its cost measured, its training run on the store.

A trial may end before its training does: where the point is no valid recipe, where its network costs too much, where
the loss diverges, or where it falls behind the others at an equal share of its training. The reason is stored in the
study. A trial that is out of time, or would take too long, stays open instead, and resumes from its checkpoint when the
search does. :func:`work` is a process that runs one trial after the other until the budget is spent.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from ..checked_json import read_checked
from ..data.columns import Columns
from ..engine.checkpoint import State
from ..engine.loop import Plan, fit
from ..engine.objective import Objective
from ..engine.seed_selection import selection_score
from ..engine.student_training import Job, prepared
from ..errors import SuffuseError, UsageError
from ..model import FusionModel
from ..progress import Tell
from ..recipe import Recipe
from ..run import Run
from .model_cost import Costs
from .options import STUDENT, Budget
from .pareto import LATENCY, QUALITY, SIZE
from .samplers import Narrow, OptunaSampler, SearchContext
from .search_space import override_texts, point, read_point
from .study import BEHIND, Curve, Study, excess_cost, pruning_reason

SEARCH, FRESH = 1_000, 2_000  # added to the recipe's seed: seeds of the search, and of the reruns after it
MIN_TIME = 0.5  # share of a usual training that must fit into the remaining budget, otherwise none is begun


class OutOfTime(Exception):
    """The budget is spent; the trial stays open."""


class TooLong(Exception):
    """The training would end too late to be selected; the trial stays open."""


class Pruned(Exception):
    """The training isn't worth finishing."""


@dataclass(frozen=True)
class Search:
    """What all trials of a search share."""

    run: Run
    role: str  # :data:`suffuse.tuning.options.STUDENT` or ``BASELINE``
    base: Path  # the recipe that overrides change
    context: SearchContext
    study: Study
    costs: Costs
    narrow: Narrow
    max_cost: float  # allowed size and latency, times those of the recipe's student
    budget: Budget

    def until(self) -> float:
        """time.time() at which trials end."""
        return self.budget.until(*self.study.reference_seconds())

    @property
    def folder(self) -> Path:
        """Where trainings keep their checkpoints."""
        return self.study.folder / ".work" / self.study.role


def work(order: dict[str, Any], tell: Tell) -> None:
    """Trials of one search, in a process of its own (:mod:`suffuse.engine.workers`)."""
    search = open_search(order)
    with contextlib.suppress(OutOfTime):
        for trial in next_trials(search, order["trials"], order["open"]):
            with contextlib.suppress(TooLong):
                run_trial(search, trial, tell)


def open_search(order: dict[str, Any]) -> Search:
    """The search of an order: ``folder`` (run), ``place`` (of the search), ``base`` (recipe), ``role``, ``budget``."""
    place, base = Path(order["place"]), Path(order["base"])
    recipe, plan = read_point(base, []), read_checked(place / "plan.json") or {}
    run = Run(Path(order["folder"]), recipe)
    context = SearchContext.of(run, plan["max_epochs"])
    name = order["who"] if order["who"] == STUDENT else f"{order['who']}-{base.stem}"  # of that student
    return Search(
        run, order["who"], base, context,
        Study(place, name, plan["objectives"], recipe.seed),
        Costs(Columns.open(run.path("data")), recipe.student, place / "costs"),
        plan["narrow"] if order["who"] == STUDENT else {},
        plan["max_cost"], Budget(**order["budget"]),
    )  # fmt: skip


def next_trials(search: Search, limit: int | None, left_open: list[int]) -> Iterator[Any]:
    """The trials that a kill left open, then new ones."""
    for number in left_open:
        yield search.study.resume(number)
    while time.time() < search.until():
        seconds = [trial.user_attrs["facts"]["seconds"] for trial in search.study.completed()]
        if seconds and search.until() - time.time() < MIN_TIME * median(seconds):
            return
        trial = search.study.ask(limit)
        if trial is None:
            return
        yield trial


def run_trial(search: Search, trial: Any, tell: Tell) -> None:
    """Try a point and store the result. Raises OutOfTime, TooLong."""
    texts = trial_overrides(search, trial)
    try:
        recipe = read_point(search.base, texts)
        cost = measure_cost(search, trial, recipe)
        if cost["over"] > 0 and not trial.user_attrs.get("as_is"):
            search.study.prune(trial, "costly", _cost_text(cost, search))
            return
        facts = train(search, trial, recipe, tell)
        search.study.tell(trial, facts)
    except UsageError as error:
        search.study.prune(trial, "invalid", error.line())
    except Pruned as error:
        search.study.prune(trial, BEHIND, str(error))
    except SuffuseError as error:
        if "diverged" not in error.message and "exported" not in error.message:
            raise
        search.study.prune(trial, "diverged" if "diverged" in error.message else "invalid", error.line())
    except (RuntimeError, ValueError) as error:  # raised by torch for an impossible network
        if trial.user_attrs.get("as_is"):
            raise
        search.study.prune(trial, "invalid", f"{type(error).__name__}: {str(error).splitlines()[0]}")
    shutil.rmtree(work_folder(search, texts), ignore_errors=True)


def trial_overrides(search: Search, trial: Any) -> list[str]:
    """What the trial changes; nothing for the unchanged recipe, although Optuna gets the values of its nearest
    point."""
    texts = trial.user_attrs.get("overrides")
    if texts is None:
        overrides = point(search.role, OptunaSampler(trial, search.narrow), search.context)
        texts = [] if trial.user_attrs.get("as_is") else override_texts(overrides)
        trial.set_user_attr("overrides", texts)
    return texts


def measure_cost(search: Search, trial: Any, recipe: Recipe) -> dict[str, Any]:
    """Size and latency, and their excess over what is allowed."""
    cost, own = (search.costs.of(network) for network in (recipe.student, search.costs.own))
    excess = excess_cost(cost, own, search.max_cost)
    teacher = search.context.teacher
    if teacher is not None and cost["parameters"] >= teacher:
        excess = max(excess, cost["parameters"] / teacher)
    cost = {**cost, "over": excess}
    trial.set_user_attr("cost", cost)
    return cost


def train(search: Search, trial: Any, recipe: Recipe, tell: Tell) -> dict[str, Any]:
    """Train a point and return the facts of the result. Raises Pruned, OutOfTime, TooLong."""
    start, before = time.monotonic(), trial.user_attrs.get("seconds", 0.0)
    watch = Watch(search, trial, tell, lambda: before + time.monotonic() - start)
    state, _ = train_student(
        search.run, recipe, training_job(search.role, recipe.seed + SEARCH),
        (work_folder(search, trial.user_attrs["overrides"]), watch.on_epoch), watch.watched,
    )  # fmt: skip
    best = next(line for line in state.history if line["epoch"] == state.best_epoch)
    cost = trial.user_attrs["cost"]
    return {
        QUALITY: selection_score(
            best["validation"]
        ),  # on all modalities or over subsets: the same for all trials of a search
        LATENCY: cost["latency_ms"] if cost["latency_ms"] is not None else 0.0,
        SIZE: cost["parameters"],
        "over": cost["over"],
        "validation": best["validation"],
        "best_epoch": state.best_epoch,
        "epochs": len(state.history),
        "seconds": watch.seconds(),
    }


def train_student(
    run: Run, recipe: Recipe, job: Job, where: tuple[Path, Tell], watched: Callable[[Plan], Plan] = lambda plan: plan
) -> tuple[State, Objective]:
    """Train a student of this recipe on the run's store; ``watched`` may change the plan, to follow the training."""
    objective, plan = prepared(Run(run.folder, recipe), job, *where)
    return fit(objective, watched(plan)), objective


def training_job(role: str, seed: int) -> Job:
    """The training of a student, or of its baseline."""
    return Job(role, seed, role == STUDENT, 1.0, None)


def work_folder(search: Search, texts: list[str]) -> Path:
    """Where a point's training keeps its checkpoint, named after its overrides to be found again after a kill."""
    return search.folder / hashlib.blake2b(json.dumps(texts).encode(), digest_size=8).hexdigest()


class Watch:
    """Follows a training epoch by epoch: stores its curve in the study, and decides when to stop."""

    def __init__(self, search: Search, trial: Any, tell: Tell, seconds: Callable[[], float]):
        self.search, self.trial, self.tell, self.seconds = search, trial, tell, seconds
        self.curve: list[list[float]] = [list(point) for point in trial.user_attrs.get("curve", ())]
        self.size: int = trial.user_attrs["cost"]["parameters"]
        self.latest = 0.0

    def watched(self, plan: Plan) -> Plan:
        """The plan, with a validation that keeps its score here."""

        def validate(model: FusionModel) -> dict[str, float]:
            scores = plan.validate(model)
            self.latest = selection_score(scores)
            return scores

        return dataclasses.replace(plan, validate=validate)

    def on_epoch(self, share: float, words: str) -> None:
        """Called after every epoch. Raises Pruned, OutOfTime, TooLong."""
        self.curve = [point for point in self.curve if point[0] < share - 1e-9]  # epochs that are repeated after a kill
        best = max([self.latest, *(score for _, score in self.curve[-1:])])
        self.curve.append([share, best])
        self.tell(share, f"trial {self.trial.number}: {words}")
        self.trial.set_user_attr("curve", self.curve)
        self.trial.set_user_attr("seconds", self.seconds())
        if share < 1 and not self.trial.user_attrs.get("as_is"):
            why = pruning_reason(self.curve, self.size, self._other_curves())
            if why:
                raise Pruned(why)
        if share < 1:
            self._check_time(share)

    def _check_time(self, share: float) -> None:
        """Raises OutOfTime; and TooLong where another trial can be selected and this one would end too late."""
        (own, best), now, budget = self.search.study.reference_seconds(), time.time(), self.search.budget
        if now > budget.until(own, best):
            raise OutOfTime
        if own is not None and best is not None and not budget.fits(own, share, self.seconds(), now):
            raise TooLong

    def _other_curves(self) -> list[tuple[Curve, int]]:
        curves = []
        for trial in self.search.study.trials():
            curve, cost = trial.user_attrs.get("curve"), trial.user_attrs.get("cost")
            if trial.number != self.trial.number and curve and cost:
                curves.append((curve, cost["parameters"]))
        return curves


def _cost_text(cost: dict[str, Any], search: Search) -> str:
    own = search.costs.of(search.costs.own)
    text = f"{cost['parameters']:,} parameters against {own['parameters']:,}"
    if cost["ratio"] is not None:
        text += f", {cost['ratio']:.2f} times the latency"
    return f"{text}; {search.max_cost:g} times is allowed"
