"""Runs beside each other: whether they were scored on the same rows, and by how much their students differ there.

What is said of two runs is of their recipes: the students of both are compared seed by seed, with the interval over
seeds and rows of :mod:`suffuse.evaluation.verdict`. Where one side has a single seed the interval covers the rows only,
and nothing is claimed about the recipes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from ..activations import main_metric
from ..evaluation.intervals import bounds
from ..evaluation.metrics import draw, main_score
from ..evaluation.predictions_file import matrix, seed_columns
from ..evaluation.verdict import compare
from ..evaluation_log import evaluations
from ..files import parsing, read_array, read_json
from ..run import Run
from ..types import Spec
from . import metric_names
from .dataset_view import Prepared
from .i18n import t
from .verdict_text import rests, settled

WHO = ("student", "export")  # what is compared, as far as both runs have it
SAID = {
    "helps": "%(ours)s is better than %(theirs)s (%(numbers)s)",
    "hurts": "%(ours)s is worse than %(theirs)s (%(numbers)s)",
    "no evidence": "no evidence of a difference between %(ours)s and %(theirs)s (%(numbers)s)",
    "one seed": "%(ours)s and %(theirs)s: %(numbers)s; one seed on a side: the interval covers rows only; no claim "
    "about the recipes",
}


@dataclass(frozen=True)
class Rows:
    """The test rows of a run, by id, as it was scored on them."""

    ids: list[str]  # N
    spec: Spec
    target: np.ndarray
    group: np.ndarray  # (N,)
    answers: dict[str, list[np.ndarray]]  # model -> of each seed (N, C)


def rows(run: Run) -> Rows | None:
    """None where the run holds no predictions of test rows."""
    file = run.path("scores", "predictions.parquet")
    if not file.exists():
        return None
    prepared = Prepared.open(run)
    with parsing(file):
        names = pq.read_schema(file).names
        there = {who: seed_columns(names, who) for who in WHO if who in names}
        table = pq.read_table(file, columns=["row", *(column for some in there.values() for column in some)])
    at = np.asarray(table.column("row").combine_chunks())
    with parsing(run.path("data", "rows.parquet")):
        ids = pq.read_table(run.path("data", "rows.parquet"), columns=["id"]).column("id").take(at).to_pylist()
    place = run.path("data", "group.npy")
    group = read_array(place, "r")[at] if place.exists() else np.arange(len(at))
    said = {who: [matrix(table.column(column)) for column in some] for who, some in there.items()}
    return Rows([str(i) for i in ids], prepared.spec, np.asarray(prepared.target[at]), group, said)


def stored_seeds(run: Run) -> int:
    """Of how many seeds of the student the run holds predictions."""
    file = run.path("scores", "predictions.parquet")
    if not file.exists():
        return 0
    with parsing(file):
        return len(seed_columns(pq.read_schema(file).names, "student"))


def pairs(runs: dict[str, Run]) -> list[dict[str, Any]]:
    """For every two runs: ``one``, ``other`` and either the paired difference one - other on the test rows that they
    share by id, or ``why`` there is none."""
    found = {name: rows(run) for name, run in runs.items()}
    return [{"one": a, "other": b, **pair(found[a], found[b], runs[a])} for a, b in combinations(runs, 2)]


def pair(ours: Rows | None, theirs: Rows | None, run: Run) -> dict[str, Any]:
    """Verdict of two runs' students: of their recipes where both have several seeds, paired in order, as many as both
    have; ``seeds_stored`` says how many each has."""
    if ours is None or theirs is None:
        return {"why": t("there are no answers on test rows")}
    if len(set(ours.ids)) != len(ours.ids) or len(set(theirs.ids)) != len(theirs.ids):
        return {"why": t("ids of test rows stand twice")}
    if set(ours.ids) != set(theirs.ids):
        shared = len(set(ours.ids) & set(theirs.ids))
        many = {"shared": f"{shared:,}", "ours": f"{len(ours.ids):,}", "theirs": f"{len(theirs.ids):,}"}
        return {"why": t("the test rows differ: %(shared)s of %(ours)s and %(theirs)s are the same", **many)}
    if [(h.name, h.kind, h.classes) for h in ours.spec.heads] != [
        (h.name, h.kind, h.classes) for h in theirs.spec.heads
    ]:
        return {"why": t("targets or classes differ")}
    where = {one: at for at, one in enumerate(theirs.ids)}
    order, same = np.array([where[one] for one in ours.ids]), ours.spec.targets(ours.target)
    others = theirs.spec.targets(theirs.target[order])
    who = next((w for w in WHO if w in ours.answers and w in theirs.answers), None)
    if who is None or not all(_equal(head, a, b, other) for (head, a), (other, b) in zip(same, others, strict=True)):
        return {"why": t("the same ids have other labels")}
    asked = run.recipe.evaluate
    draws = draw(ours.group, asked.resamples, asked.confidence)
    stored = [len(ours.answers[who]), len(theirs.answers[who])]
    one = [main_score(ours.spec, z.astype(float), ours.target, draws) for z in ours.answers[who][: min(stored)]]
    other = [
        main_score(theirs.spec, z[order].astype(float), theirs.target[order], draws)
        for z in theirs.answers[who][: min(stored)]
    ]
    metric = main_metric(ours.spec.heads)
    facts = compare(one, other, asked.confidence, bounds(metric), draws.size)
    return {"who": who, "metric": metric, "confidence": asked.confidence, "seeds_stored": stored, **facts}


def _equal(head: Any, ours: np.ndarray, theirs: np.ndarray, other: Any) -> bool:
    """Numbers are compared in their own unit."""
    scaled = (ours * head.std + head.mean, theirs * other.std + other.mean)
    return bool(np.allclose(*scaled, rtol=1e-5, atol=1e-6, equal_nan=True))


def sentence(facts: dict[str, Any], shown: Callable[[str], str] = str) -> str:
    """What is said of two runs. ``shown`` is how numbers with a sign are written."""
    one, other = facts["one"], facts["other"]
    if "why" in facts:
        return t("%(ours)s and %(theirs)s: not paired, %(why)s; only their own intervals can be set side by side",
                 ours=one, theirs=other, why=facts["why"])  # fmt: skip
    metric = facts["metric"]
    gap, low, high = (shown(metric_names.difference(metric, facts[k])) for k in ("difference", "low", "high"))
    numbers = t("%(metric)s %(gap)s, %(percent)s interval %(low)s to %(high)s, %(rests)s",
                metric=t(metric_names.METRICS[metric].name), gap=gap + metric_names.points(metric), low=low, high=high,
                percent=f"{100 * facts['confidence']:g} %", rests=rests(facts))  # fmt: skip
    if facts["seeds"] == 1:
        return t(SAID["one seed"], ours=one, theirs=other, numbers=numbers)
    return t(SAID[facts["verdict"]], ours=one, theirs=other, numbers=numbers + settled(facts))


def warnings(runs: dict[str, Run]) -> list[str]:
    """Where runs are not scored alike: by other metrics, from other tables, on rows that were evaluated often, or with
    the predictions of fewer seeds stored than were scored."""
    said = []
    if len({metric_names.main_of(run) for run in runs.values()}) > 1:
        said.append(t("the runs are judged by different metrics: their scores can't be compared"))
    sources = {
        str((run.stamp("prepare") or {"inputs": {}})["inputs"].get("content of the source")) for run in runs.values()
    }
    if len(sources) > 1:
        said.append(t("the runs were made from different tables"))
    for name, run in runs.items():
        looks = len(evaluations(run.folder))
        if looks > 1:
            said.append(t("%(run)s: the test rows were evaluated %(times)s times", run=name, times=looks))
        missing = len((read_json(run.path("scores", "student.json")) or {}).get("seeds", ())) - stored_seeds(run)
        if missing > 0:
            said.append(
                t("%(run)s: the predictions of %(missing)s of its student's seeds are not stored: earlier versions "
                  "kept those of the first seed alone", run=name, missing=missing)
            )  # fmt: skip
    if len(runs) > 2:
        said.append(t("of many runs the best one looks better than it is: it was chosen on the test rows"))
    return said
