"""The best trials, and the recipe as it is, trained again with seeds that the search never used.

The best of many trials is partly the luckiest (the winner's curse), so the search's own scores choose nobody. What is
trained here keeps its answers to validation rows, so that candidates are compared on the same rows and seeds.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from ..activations import activate, main_metric
from ..checked_json import read_checked, write_checked
from ..data.columns import Columns
from ..engine import feature_cache
from ..engine.inference import logits, subset_logits, subsets_of
from ..errors import SuffuseError
from ..evaluation.metrics import Draws, draw
from ..evaluation.target_metrics import measure
from ..files import file_facts, read_array, write_bytes
from ..model import FusionModel
from ..progress import Tell
from ..recipe import Training
from ..run import Run
from .search_space import made
from .study import over
from .trial import FRESH, Search, job, trained

RESAMPLES = 1000
LOGITS = "logits.npy"
Candidate = dict[str, Any]  # name, overrides, and the search's facts about it


def candidates(search: Search, most: int) -> list[Candidate]:
    """The recipe as it is, then the best trials that cost no more than they may; of equal quality the lower log loss
    first. One point once."""
    own = search.costs.of(search.costs.own)
    found: list[Candidate] = [{"name": "recipe", "overrides": [], "number": None, "parameters": own["parameters"]}]
    ranked = sorted(search.study.done(), key=lambda t: (-t.user_attrs["facts"]["quality"], _loss(t), t.number))
    for trial in ranked:
        texts, cost = trial.user_attrs["overrides"], trial.user_attrs["cost"]
        known = any(texts == one["overrides"] for one in found)
        if len(found) <= most and not known and over(cost, own, search.largest) <= 0 and cost["over"] <= 0:
            facts = {"name": f"trial {trial.number}", "overrides": texts, "number": trial.number}
            searched = trial.user_attrs["facts"]["quality"]
            found.append({**facts, "parameters": cost["parameters"], "searched": searched})
    return found


def seconds(search: Search, some: Sequence[Candidate]) -> list[float]:
    """How long each took in the search; the usual time where that isn't known."""
    took = {tuple(t.user_attrs["overrides"]): t.user_attrs["facts"]["seconds"] for t in search.study.done()}
    usual = median(took.values())
    return [took.get(tuple(one["overrides"]), usual) for one in some]


def orders(search: Search, some: Sequence[Candidate], seeds: int, folder: Path) -> list[dict[str, Any]]:
    """A training for each candidate and seed that isn't there yet; the longest first, so that all end together."""
    found, took = [], seconds(search, some)
    for number in sorted(range(len(some)), key=lambda n: -took[n]):
        one = some[number]
        for seed in range(seeds):
            place = folder / _name(one["overrides"]) / f"seed-{seed}"
            if not (place / "facts.json").exists():
                facts = {"folder": str(search.run.folder), "base": str(search.base), "who": search.who, "seed": seed}
                found.append({**facts, "place": str(place), "name": one["name"], "overrides": one["overrides"]})
    return found


def work(order: dict[str, Any], tell: Tell) -> None:
    """One training, in a process of its own: facts, and logits of the labelled validation rows."""
    recipe, place = made(Path(order["base"]), order["overrides"]), Path(order["place"])
    run, what = Run(Path(order["folder"]), recipe), job(order["who"], recipe.seed + FRESH + order["seed"])
    said = f"{order['who']}, {order['name']} again, seed {order['seed'] + 1}"
    state, objective = trained(run, recipe, what, (place / ".work", lambda share, _: tell(share, said)))
    columns, model = Columns.open(run.path("data")), objective.model
    seen, content = feature_cache.ready(columns, model, feature_cache.place(run)), io.BytesIO()
    np.save(content, answered(model, seen.of(model.spec.names), columns.labelled("validation"), recipe.distill.train))
    write_bytes(place / LOGITS, content.getvalue())
    best = next(line for line in state.history if line["epoch"] == state.best_epoch)
    facts = {"validation": best["validation"], "best_epoch": state.best_epoch, "logits": file_facts(place / LOGITS)}
    write_checked(place / "facts.json", facts)
    shutil.rmtree(place / ".work", ignore_errors=True)


def answered(model: FusionModel, columns: Columns, rows: np.ndarray, training: Training) -> np.ndarray:
    """(K, N, C): the logits on each subset that is judged by, or on the rows as they are."""
    if not training.by_subsets:
        return logits(model, columns, rows)[None]
    return subset_logits(model, columns, rows, subsets_of(columns, rows)[0])


def measured(run: Run, some: Sequence[Candidate], seeds: int, folder: Path) -> list[np.ndarray]:
    """The main metric on validation of each candidate, or its mean over subsets: (S, R + 1), the first column on the
    rows themselves, the others on resamples of their groups; the same resamples for all."""
    columns = Columns.open(run.path("data"))
    rows = columns.labelled("validation")
    draws, found = draw(columns.group[rows], RESAMPLES, 0.95), []
    judged = np.ones((1, len(rows)), dtype=bool)
    if run.recipe.distill.train.by_subsets:
        judged = subsets_of(columns.of(run.recipe.student.bare().encoders), rows)[1]
    for one in some:
        place, scores = folder / _name(one["overrides"]), []
        for seed in range(seeds):
            several = zip(_logits(place / f"seed-{seed}"), judged, strict=True)
            scores.append(np.mean([_metric(columns, z[part], rows[part], draws.of(part)) for z, part in several], 0))
        found.append(np.stack(scores))
    return found


def _logits(place: Path) -> np.ndarray:
    """What a training answered. Raises SuffuseError where it isn't what was written."""
    file, facts = place / LOGITS, read_checked(place / "facts.json") or {}
    if facts.get("logits", file_facts(file)) != file_facts(file):
        hint = f"remove {place}: it is trained again"
        raise SuffuseError("a file was changed after it was written", where=file, hint=hint)
    return read_array(file)


def _metric(columns: Columns, z: np.ndarray, rows: np.ndarray, draws: Draws) -> np.ndarray:
    answers = activate(columns.spec.heads, z)
    return measure(columns.spec, answers, columns.target[rows], draws)[main_metric(columns.spec.heads)]


def losses(some: Sequence[Mapping[str, Any]], seeds: int, folder: Path) -> list[float]:
    """Mean log loss of each candidate."""
    places = [[folder / _name(one["overrides"]) / f"seed-{s}" / "facts.json" for s in range(seeds)] for one in some]
    return [float(np.mean([(read_checked(p) or {})["validation"]["log_loss"] for p in each])) for each in places]


def _name(texts: Sequence[str]) -> str:
    return hashlib.blake2b(json.dumps(list(texts)).encode(), digest_size=8).hexdigest()


def _loss(trial: Any) -> float:
    return trial.user_attrs["facts"]["validation"]["log_loss"]
