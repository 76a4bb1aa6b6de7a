"""Reruns: the best trials and the unchanged recipe, trained again with seeds that the search never used; the selection.

The best of many trials is partly the luckiest (the winner's curse), so the scores of the search itself select nothing.
Reruns keep their logits on validation rows, so candidates are compared pair by pair on the same rows and seeds. The
unchanged recipe stays unless a candidate beats it by more than one standard error of the difference.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
from ..evaluation.metrics import Draws, draw, measure
from ..files import file_facts, read_array, write_bytes
from ..model import FusionModel
from ..progress import Tell
from ..recipe import Training
from ..run import Run
from .options import SMALL
from .search_space import read_point
from .study import excess_cost
from .trial import FRESH, Search, train_student, training_job

RESAMPLES = 1000
LOGITS = "logits.npy"
Candidate = dict[str, Any]  # name, overrides, and facts from the search


def candidates(search: Search, limit: int) -> list[Candidate]:
    """The unchanged recipe, then at most ``limit`` best trials that don't exceed their allowed cost, each point once;
    of equal quality the lower log loss first."""
    own = search.costs.of(search.costs.own)
    selected: list[Candidate] = [{"name": "recipe", "overrides": [], "number": None, "parameters": own["parameters"]}]
    ranked = sorted(search.study.completed(), key=lambda t: (-t.user_attrs["facts"]["quality"], _log_loss(t), t.number))
    for trial in ranked:
        texts, cost = trial.user_attrs["overrides"], trial.user_attrs["cost"]
        known = any(texts == candidate["overrides"] for candidate in selected)
        allowed = excess_cost(cost, own, search.max_cost) <= 0 and cost["over"] <= 0
        if len(selected) <= limit and not known and allowed:
            facts = {"name": f"trial {trial.number}", "overrides": texts, "number": trial.number}
            searched = trial.user_attrs["facts"]["quality"]
            selected.append({**facts, "parameters": cost["parameters"], "searched": searched})
    return selected


def training_seconds(search: Search, selected: Sequence[Candidate]) -> list[float]:
    """How long each candidate took in the search; the median where that isn't known."""
    known = {tuple(t.user_attrs["overrides"]): t.user_attrs["facts"]["seconds"] for t in search.study.completed()}
    usual = median(known.values())
    return [known.get(tuple(candidate["overrides"]), usual) for candidate in selected]


def rerun_orders(search: Search, selected: Sequence[Candidate], seeds: int, folder: Path) -> list[dict[str, Any]]:
    """A training for each candidate and seed without a result yet; the longest first, so that all end together."""
    orders, seconds = [], training_seconds(search, selected)
    for number in sorted(range(len(selected)), key=lambda n: -seconds[n]):
        candidate = selected[number]
        for seed in range(seeds):
            place = folder / _folder_name(candidate["overrides"]) / f"seed-{seed}"
            if not (place / "facts.json").exists():
                orders.append({
                    "folder": str(search.run.folder), "base": str(search.base), "who": search.role, "seed": seed,
                    "place": str(place), "name": candidate["name"], "overrides": candidate["overrides"],
                })  # fmt: skip
    return orders


def work(order: dict[str, Any], tell: Tell) -> None:
    """One training, in a process of its own: writes facts, and logits of the labelled validation rows."""
    recipe, place = read_point(Path(order["base"]), order["overrides"]), Path(order["place"])
    run, job = Run(Path(order["folder"]), recipe), training_job(order["who"], recipe.seed + FRESH + order["seed"])
    words = f"{order['who']}, {order['name']} again, seed {order['seed'] + 1}"
    state, objective = train_student(run, recipe, job, (place / ".work", lambda share, _: tell(share, words)))
    columns, model = Columns.open(run.path("data")), objective.model
    rows, content = columns.labelled("validation"), io.BytesIO()
    own = feature_cache.ready(columns, model, feature_cache.place(run)).of(model.spec.names)
    np.save(content, validation_logits(model, own, rows, recipe.distill.train))
    write_bytes(place / LOGITS, content.getvalue())
    best = next(line for line in state.history if line["epoch"] == state.best_epoch)
    facts = {"validation": best["validation"], "best_epoch": state.best_epoch, "logits": file_facts(place / LOGITS)}
    write_checked(place / "facts.json", facts)
    shutil.rmtree(place / ".work", ignore_errors=True)


def validation_logits(model: FusionModel, columns: Columns, rows: np.ndarray, training: Training) -> np.ndarray:
    """(K, N, C): the logits on each of the K subsets that the training is validated on, or on all modalities."""
    if not training.by_subsets:
        return logits(model, columns, rows)[None]
    return subset_logits(model, columns, rows, subsets_of(columns, rows)[0])


def validation_scores(run: Run, selected: Sequence[Candidate], seeds: int, folder: Path) -> list[np.ndarray]:
    """The main metric on validation of each candidate, or its mean over subsets: (S, R + 1), the first column on the
    rows themselves, the others on resamples of their groups; the same resamples for all."""
    columns = Columns.open(run.path("data"))
    rows = columns.labelled("validation")
    draws, scores = draw(columns.group[rows], RESAMPLES, 0.95), []
    scored = np.ones((1, len(rows)), dtype=bool)  # (K, N), the rows that each subset is scored on
    if run.recipe.distill.train.by_subsets:
        scored = subsets_of(columns.of(run.recipe.student.bare().encoders), rows)[1]
    for candidate in selected:
        place, by_seed = folder / _folder_name(candidate["overrides"]), []
        for seed in range(seeds):
            subsets = zip(_read_logits(place / f"seed-{seed}"), scored, strict=True)
            by_seed.append(np.mean([main_scores(columns, z[m], rows[m], draws.of(m)) for z, m in subsets], 0))
        scores.append(np.stack(by_seed))
    return scores


def _read_logits(place: Path) -> np.ndarray:
    """The logits of a training. Raises SuffuseError where the file was changed."""
    file, facts = place / LOGITS, read_checked(place / "facts.json") or {}
    if facts.get("logits", file_facts(file)) != file_facts(file):
        hint = f"remove {place}: it is trained again"
        raise SuffuseError("a file was changed after it was written", where=file, hint=hint)
    return read_array(file)


def main_scores(columns: Columns, z: np.ndarray, rows: np.ndarray, draws: Draws) -> np.ndarray:
    """The main metric of logits (N, C) of these rows: (R + 1,), on the rows themselves and on each resample."""
    predictions = activate(columns.spec.heads, z)
    return measure(columns.spec, predictions, columns.target[rows], draws)[main_metric(columns.spec.heads)]


def log_losses(selected: Sequence[Mapping[str, Any]], seeds: int, folder: Path) -> list[float]:
    """Mean log loss of each candidate."""
    means = []
    for candidate in selected:
        place = folder / _folder_name(candidate["overrides"])
        facts = [read_checked(place / f"seed-{seed}" / "facts.json") or {} for seed in range(seeds)]
        means.append(float(np.mean([f["validation"]["log_loss"] for f in facts])))
    return means


def _folder_name(texts: Sequence[str]) -> str:
    return hashlib.blake2b(json.dumps(list(texts)).encode(), digest_size=8).hexdigest()


def _log_loss(trial: Any) -> float:
    return trial.user_attrs["facts"]["validation"]["log_loss"]


@dataclass(frozen=True)
class Choice:
    """The position of the selected candidate, and the reason."""

    number: int
    words: str


def choose(names: Sequence[str], scores: Sequence[np.ndarray], sizes: Sequence[int], prefer: str) -> Choice:
    """Select a candidate; the first one is the unchanged recipe. ``scores``: (S, R + 1) of each candidate, as
    :func:`validation_scores` gives them; ``prefer``: one of :data:`suffuse.tuning.options.PREFER`."""
    means = [float(score[:, 0].mean()) for score in scores]
    best = max(range(len(means)), key=lambda n: (means[n], -sizes[n], -n))
    if prefer == SMALL:
        return _choose_small(names, scores, sizes, best)
    gain, error = paired_difference(scores[best], scores[0])
    if best == 0:
        return Choice(0, f"the recipe as it is stays: none of {len(names) - 1} candidates is better with fresh seeds")
    if gain <= error:
        why = f"the best candidate, {names[best]}, is better by {gain:+.4f}, within one standard error ({error:.4f})"
        return Choice(0, f"the recipe as it is stays: {why}")
    facts = f"{means[best]:.4f} on validation against {means[0]:.4f}, {len(scores[0])} fresh seeds"
    return Choice(best, f"{names[best]}: {facts}; the gain {gain:+.4f} is more than one standard error ({error:.4f})")


def _choose_small(names: Sequence[str], scores: Sequence[np.ndarray], sizes: Sequence[int], best: int) -> Choice:
    """The smallest candidate that is not worse than the best, nor than the unchanged recipe, by more than one standard
    error (Breiman et al. 1984)."""
    close = []
    for number, score in enumerate(scores):
        pairs = [paired_difference(reference, score) for reference in (scores[best], scores[0])]
        if all(gap <= error for gap, error in pairs):
            close.append(number)
    pick = min(close or [0], key=lambda n: (sizes[n], -float(scores[n][:, 0].mean()), n))
    if sizes[pick] >= sizes[0]:
        return Choice(0, "the recipe as it is stays: no smaller candidate is within one standard error of the best")
    lost = float(scores[best][:, 0].mean() - scores[pick][:, 0].mean())
    facts = f"{sizes[pick]:,} parameters against {sizes[0]:,}, {lost:.4f} below the best on validation"
    return Choice(pick, f"{names[pick]}: the smallest within one standard error ({facts})")


def paired_difference(candidate: np.ndarray, reference: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """Mean difference of (S, R + 1) arrays, seed by seed on the same resamples, and its standard error: over groups of
    rows and, with several seeds, over the seeds."""
    gap = candidate - reference
    seeds, resamples = gap.shape[0], gap.shape[1] - 1
    times = np.random.default_rng(seed).multinomial(seeds, np.full(seeds, 1 / seeds), size=resamples)
    drawn = (gap[:, 1:] * times.T).sum(0) / seeds
    return float(gap[:, 0].mean()), float(np.nanstd(drawn, ddof=1)) if resamples > 1 else 0.0
