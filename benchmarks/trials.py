"""The labels-only baseline gets as many validation trials as the student: learning rate, epochs, smoothing, dropout.

Both get the same list, on the same rows, with a seed that nothing else has; the best on validation is taken, the recipe
as it is where nothing is better. The teacher isn't asked, the test rows aren't looked at. And students of several
runs at one share of the labels (:func:`schooled`), where a recipe would train more than is wanted.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shipped import toys
from suffuse import Run
from suffuse.engine.checkpoint import State
from suffuse.engine.loop import Plan, fit
from suffuse.engine.objective import Objective
from suffuse.engine.student_training import Job, prepared
from suffuse.engine.training_record import save_trained
from suffuse.files import read_json, write_json, write_text
from suffuse.fusions import headless
from suffuse.recipe import read_recipe, to_yaml
from suffuse.tuning.trial import SEARCH

WHO = ("student", "baseline")
SIDE_BY_SIDE = 2


@dataclass(frozen=True)
class Trial:
    """One setting, told from the recipe's: the learning rate times ``rate``, ``epochs`` times as many, labels smoothed
    by ``smoothing``, and ``dropout`` added."""

    rate: float = 1.0
    epochs: int = 1
    smoothing: float | None = None
    dropout: float = 0.0


TRIALS = (
    Trial(), Trial(rate=0.5), Trial(rate=2), Trial(smoothing=0.1), Trial(dropout=0.2),
    Trial(rate=2, smoothing=0.1), Trial(rate=2, dropout=0.2), Trial(smoothing=0.1, dropout=0.2),
    Trial(epochs=2), Trial(rate=0.5, epochs=2), Trial(rate=2, epochs=2),
)  # fmt: skip

SINGLE = (*TRIALS[:5], Trial(epochs=2))  # one thing at a time, where a training takes long


def tried(run: Run, trials: Sequence[Trial] = TRIALS, fraction: float = 1.0) -> tuple[list[str], list[dict[str, Any]]]:
    """A run with its store -> what its recipe is overridden with, and how every trial came out. Each is done once: call
    it again to go on."""
    base, classes = based(run), all(task.kind != "number" for task in run.recipe.data.tasks.values())
    able = [one for one in trials if classes or one.smoothing is None]
    orders = [
        order(run, base, who, setting(run, who, one), fraction, run.recipe.seed + SEARCH) for one in able for who in WHO
    ]
    told = side_by_side(attempt, orders)
    chosen: list[str] = []
    for who in WHO:
        chosen += max((one for one in told if one["who"] == who), key=lambda one: one["best"])["texts"]
    return chosen, told


def setting(run: Run, who: str, trial: Trial) -> list[str]:
    """A trial as overrides of the recipe; the baseline's are its own, whatever the student's become. Its epochs are set
    only where they are more than the recipe's, so that it never has fewer than the student."""
    recipe = run.recipe
    network = recipe.student.bare()
    within = [name for name, one in network.encoders.items() if getattr(one, "dropout", None) is not None]
    in_encoders = headless(network.fusion)
    now = getattr(network.encoders[within[0]], "dropout") if in_encoders else network.dropout  # noqa: B009
    dropout, rate = round(now + trial.dropout, 3), trial.rate * recipe.distill.train.learning_rate
    longer = trial.epochs * recipe.distill.train.epochs
    if who == "baseline":
        found = [f"distill.baseline.train.epochs={longer}"] if trial.epochs > 1 else []
        found += [f"distill.baseline.train.learning_rate={rate:g}", f"distill.baseline.dropout={dropout:g}"]
        return found if trial.smoothing is None else [*found, f"distill.label_smoothing={trial.smoothing:g}"]
    places = [f"student.encoders.{name}.dropout" for name in within] if in_encoders else ["student.dropout"]
    found = [f"distill.train.epochs={longer}"] if trial.epochs > 1 else []
    found += [f"distill.train.learning_rate={rate:g}", *(f"{place}={dropout:g}" for place in places)]
    return found if trial.smoothing is None else [*found, f"distill.losses.labels.label_smoothing={trial.smoothing:g}"]


def schooled(runs: Sequence[Run], texts: list[str], fraction: float) -> Callable[[Run, str], list[Path]]:
    """Students and baselines of every run, trained as the recipe with these overrides says, each done once; returns
    where those of a run are, as :func:`seeds.seed_folders` does."""
    orders = []
    for run in runs:
        base = based(run)
        for number in range(run.recipe.distill.num_seeds):
            for who in WHO:
                one = order(run, base, who, texts, fraction, run.recipe.seed + number + 1)
                orders.append(one | {"place": str(_place(run, texts, who, fraction) / f"seed-{one['seed']}")})
    side_by_side(taught, orders)
    return lambda run, who: sorted(_place(run, texts, who, fraction).glob("seed-*"))


def order(run: Run, base: Path, who: str, texts: list[str], fraction: float, seed: int) -> dict[str, Any]:
    """One training, for a process of its own."""
    return {
        "folder": str(run.folder), "base": str(base), "who": who, "texts": texts, "fraction": fraction, "seed": seed,
    }  # fmt: skip


def based(run: Run) -> Path:
    """The run's recipe in a file beside it, for overrides to change."""
    text = to_yaml(run.recipe)
    file = _kept(run) / f"base-{digest(text)}.yaml"
    write_text(file, text)
    return file


def side_by_side(work: Callable[[dict[str, Any]], Any], orders: Sequence[dict[str, Any]]) -> list[Any]:
    """What became of each, in their order."""
    with ProcessPoolExecutor(1 if toys() else SIDE_BY_SIDE, multiprocessing.get_context("spawn")) as pool:
        return list(pool.map(work, orders))


def attempt(order: dict[str, Any]) -> dict[str, Any]:
    """One training, judged on validation; what it came to is kept."""
    file = Path(order["base"]).with_name(f"{digest(json.dumps(order))}.json")
    known = read_json(file)
    if known is None:
        state, *_ = learn(order)
        best = next(line for line in state.history if line["epoch"] == state.best_epoch)
        known = {"who": order["who"], "texts": order["texts"], "best": state.best, "validation": best["validation"]}
        write_json(file, known)
    return known


def taught(order: dict[str, Any]) -> None:
    """One training, whose network is kept."""
    place = Path(order["place"])
    if not (place / "training.json").exists():
        state, objective, plan = learn(order)
        save_trained(objective.model, state, plan, place)


def learn(order: dict[str, Any]) -> tuple[State, Objective, Plan]:
    """The training itself; killed, it goes on."""
    base = Path(order["base"])
    recipe, scratch = read_recipe(base, order["texts"]), base.with_name(f".{digest(json.dumps(order))}")
    what = Job(order["who"], order["seed"], order["who"] == "student", order["fraction"], None)
    objective, plan = prepared(Run(Path(order["folder"]), recipe), what, scratch, lambda *_: None)
    state = fit(objective, plan)
    shutil.rmtree(scratch, ignore_errors=True)
    return state, objective, plan


def digest(text: str) -> str:
    """A short name for a text."""
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


def _kept(run: Run) -> Path:
    return run.folder.with_name(f"{run.folder.name}-trials")


def _place(run: Run, texts: list[str], who: str, fraction: float) -> Path:
    return _kept(run) / digest(json.dumps([to_yaml(run.recipe), texts])) / f"{who}-{fraction:g}"
