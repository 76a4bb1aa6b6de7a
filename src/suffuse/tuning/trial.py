"""One trial: a point of the space, read as a recipe, its cost measured, its training run on what is stored.

It may end before its training does: where the point is no recipe, where its network costs too much, where the loss
stops being a number, or where it falls behind the others at an equal share of its training. Each is told with its
reason. Out of time, or too long for what is left of it, is none of these: the trial stays open, and goes on from its
checkpoint when the search does.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..engine.checkpoint import State
from ..engine.inference import selection_score
from ..engine.loop import Plan, fit
from ..engine.objective import Objective
from ..engine.student_training import Job, prepared
from ..errors import SuffuseError, UsageError
from ..model import FusionModel
from ..progress import Tell
from ..recipe import Recipe
from ..run import Run
from . import search_space
from .model_cost import Costs
from .options import STUDENT
from .pareto import LATENCY, QUALITY, SIZE
from .pruning import Curve, behind
from .samplers import Narrow, Suggested
from .search_context import Ground
from .study import BEHIND, Study, over
from .time_budget import Budget

SEARCH, FRESH = 1_000, 2_000  # added to the recipe's seed: seeds of the search, and of what is trained again after it


class OutOfTime(Exception):
    """The budget is spent; the trial stays open."""


class TooLong(Exception):
    """The training would end too late to be chosen; the trial stays open."""


class Behind(Exception):
    """The training isn't worth finishing."""


@dataclass(frozen=True)
class Search:
    """What all trials of a search share."""

    run: Run
    who: str  # of :data:`suffuse.tuning.options.STUDENT`, ``BASELINE``
    base: Path  # the recipe that overrides change
    ground: Ground
    study: Study
    costs: Costs
    narrow: Narrow
    largest: float  # times the recipe's student's size and latency that a network may cost
    budget: Budget

    def until(self) -> float:
        """time.time() at which no more is tried."""
        return self.budget.until(*self.study.pace())

    @property
    def folder(self) -> Path:
        """Where trainings keep what they go on from."""
        return self.study.folder / ".work" / self.study.who


def attempt(search: Search, trial: Any, tell: Tell) -> None:
    """Try a point and tell how it came out. Raises OutOfTime, TooLong."""
    texts = overrides(search, trial)
    try:
        recipe = search_space.made(search.base, texts)
        cost = costed(search, trial, recipe)
        if cost["over"] > 0 and not trial.user_attrs.get("as_is"):
            search.study.prune(trial, "costly", _costly(cost, search))
            return
        facts = train(search, trial, recipe, tell)
        search.study.tell(trial, facts)
    except UsageError as error:
        search.study.prune(trial, "invalid", error.line())
    except Behind as error:
        search.study.prune(trial, BEHIND, str(error))
    except SuffuseError as error:
        if "diverged" not in error.what and "exported" not in error.what:
            raise
        search.study.prune(trial, "diverged" if "diverged" in error.what else "invalid", error.line())
    except (RuntimeError, ValueError) as error:  # torch has its own words for a network that can't be
        if trial.user_attrs.get("as_is"):
            raise
        search.study.prune(trial, "invalid", f"{type(error).__name__}: {str(error).splitlines()[0]}")
    shutil.rmtree(scratch(search, texts), ignore_errors=True)


def overrides(search: Search, trial: Any) -> list[str]:
    """What the trial changes; none for the one that stands for the recipe as it is, whose nearest point Optuna gets."""
    known = trial.user_attrs.get("overrides")
    if known is None:
        found = search_space.point(search.who, Suggested(trial, search.narrow), search.ground)
        known = [] if trial.user_attrs.get("as_is") else search_space.texts(found)
        trial.set_user_attr("overrides", known)
    return known


def costed(search: Search, trial: Any, recipe: Recipe) -> dict[str, Any]:
    """Size and latency, and by how much they are over what they may be."""
    cost, own = (search.costs.of(network) for network in (recipe.student, search.costs.own))
    excess = over(cost, own, search.largest)
    teacher = search.ground.teacher
    if teacher is not None and cost["parameters"] >= teacher:
        excess = max(excess, cost["parameters"] / teacher)
    cost = {**cost, "over": excess}
    trial.set_user_attr("cost", cost)
    return cost


def train(search: Search, trial: Any, recipe: Recipe, tell: Tell) -> dict[str, Any]:
    """The training, watched; what became of it. Raises Behind, OutOfTime, TooLong."""
    start, before = time.monotonic(), trial.user_attrs.get("seconds", 0.0)
    watch = Watch(search, trial, tell, lambda: before + time.monotonic() - start)
    state, _ = trained(
        search.run, recipe, job(search.who, recipe.seed + SEARCH),
        (scratch(search, trial.user_attrs["overrides"]), watch.told), watch.judging,
    )  # fmt: skip
    best = next(line for line in state.history if line["epoch"] == state.best_epoch)
    cost = trial.user_attrs["cost"]
    return {
        QUALITY: selection_score(
            best["validation"]
        ),  # on whole rows, or over subsets: of all trials of a search the same
        LATENCY: cost["latency_ms"] if cost["latency_ms"] is not None else 0.0,
        SIZE: cost["parameters"],
        "over": cost["over"],
        "validation": best["validation"],
        "best_epoch": state.best_epoch,
        "epochs": len(state.history),
        "seconds": watch.seconds(),
    }


def trained(
    run: Run, recipe: Recipe, what: Job, where: tuple[Path, Tell], judging: Callable[[Plan], Plan] = lambda plan: plan
) -> tuple[State, Objective]:
    """A student of this recipe from the run's store; ``judging`` may change how it is watched."""
    objective, plan = prepared(Run(run.folder, recipe), what, *where)
    return fit(objective, judging(plan)), objective


def job(who: str, seed: int) -> Job:
    """The training of a student, or of its baseline."""
    return Job(who, seed, who == STUDENT, 1.0, None)


def scratch(search: Search, texts: list[str]) -> Path:
    """Where a point's training keeps its checkpoint: a kill finds it again by what it changes."""
    made = hashlib.blake2b(json.dumps(texts).encode(), digest_size=8).hexdigest()
    return search.folder / made


class Watch:
    """Follows a training epoch by epoch: keeps its curve in the study, and says when to stop."""

    def __init__(self, search: Search, trial: Any, tell: Tell, seconds: Callable[[], float]):
        self.search, self.trial, self.tell, self.seconds = search, trial, tell, seconds
        self.curve: list[list[float]] = [list(one) for one in trial.user_attrs.get("curve", ())]
        self.size: int = trial.user_attrs["cost"]["parameters"]
        self.latest = 0.0

    def judging(self, plan: Plan) -> Plan:
        """The plan, whose validation is heard."""

        def validate(model: FusionModel) -> dict[str, float]:
            scores = plan.validate(model)
            self.latest = selection_score(scores)
            return scores

        return dataclasses.replace(plan, validate=validate)

    def told(self, share: float, words: str) -> None:
        """After every epoch."""
        self.curve = [one for one in self.curve if one[0] < share - 1e-9]  # epochs that a kill made to be done again
        best = max([self.latest, *(score for _, score in self.curve[-1:])])
        self.curve.append([share, best])
        self.tell(share, f"trial {self.trial.number}: {words}")
        self.trial.set_user_attr("curve", self.curve)
        self.trial.set_user_attr("seconds", self.seconds())
        if share < 1 and not self.trial.user_attrs.get("as_is"):
            why = behind(self.curve, self.size, self._others())
            if why:
                raise Behind(why)
        if share < 1:
            self._in_time(share)

    def _in_time(self, share: float) -> None:
        """Raises OutOfTime; and TooLong where another trial is there to be chosen, and this one would end too late."""
        (own, best), now, budget = self.search.study.pace(), time.time(), self.search.budget
        if now > budget.until(own, best):
            raise OutOfTime
        if own is not None and best is not None and not budget.fits(own, share, self.seconds(), now):
            raise TooLong

    def _others(self) -> list[tuple[Curve, int]]:
        found = []
        for one in self.search.study.trials():
            curve, cost = one.user_attrs.get("curve"), one.user_attrs.get("cost")
            if one.number != self.trial.number and curve and cost:
                found.append((curve, cost["parameters"]))
        return found


def _costly(cost: dict[str, Any], search: Search) -> str:
    own = search.costs.of(search.costs.own)
    said = f"{cost['parameters']:,} parameters against {own['parameters']:,}"
    if cost["ratio"] is not None:
        said += f", {cost['ratio']:.2f} times the latency"
    return f"{said}; {search.largest:g} times is allowed"
