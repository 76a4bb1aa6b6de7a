"""Runs beside each other: whether they were scored on the same rows, and by how much their students differ there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from ..answers import main_metric
from ..evaluation_log import evaluations
from ..files import parsing, read_array
from ..probes.quality import draw
from ..probes.targets import judged
from ..probes.verdict import compare
from ..run import Run
from ..types import Spec
from . import metrics
from .language import t
from .prepared import Prepared

WHO = ("export", "student")  # what is compared, as far as both runs have it
SAID = {
    "helps": "%(ours)s is better than %(theirs)s (%(numbers)s)",
    "hurts": "%(ours)s is worse than %(theirs)s (%(numbers)s)",
    "no evidence": "no evidence of a difference between %(ours)s and %(theirs)s (%(numbers)s)",
}


@dataclass(frozen=True)
class Rows:
    """The test rows of a run, by id, as it was scored on them."""

    ids: list[str]  # N
    spec: Spec
    target: np.ndarray
    group: np.ndarray  # (N,)
    answers: dict[str, np.ndarray]  # model -> (N, C)


def rows(run: Run) -> Rows | None:
    """None where the run holds no answers to test rows."""
    file = run.path("scores", "predictions.parquet")
    if not file.exists():
        return None
    prepared = Prepared.open(run)
    with parsing(file):
        there = [who for who in WHO if who in pq.read_schema(file).names]
        table = pq.read_table(file, columns=["row", *there])
    at = np.asarray(table.column("row").combine_chunks())
    with parsing(run.path("data", "rows.parquet")):
        ids = pq.read_table(run.path("data", "rows.parquet"), columns=["id"]).column("id").take(at).to_pylist()
    place = run.path("data", "group.npy")
    group = read_array(place, "r")[at] if place.exists() else np.arange(len(at))
    said = {w: np.asarray(table.column(w).combine_chunks().flatten()).reshape(len(at), -1) for w in there}
    return Rows([str(i) for i in ids], prepared.spec, np.asarray(prepared.target[at]), group, said)


def pairs(runs: dict[str, Run]) -> list[dict[str, Any]]:
    """For every two runs: ``one``, ``other`` and either the paired difference one - other on the test rows that they
    share by id, or ``why`` there is none."""
    found = {name: rows(run) for name, run in runs.items()}
    return [{"one": a, "other": b, **pair(found[a], found[b], runs[a])} for a, b in combinations(runs, 2)]


def pair(ours: Rows | None, theirs: Rows | None, run: Run) -> dict[str, Any]:
    """Verdict of two runs' students, as they are: what is said is of these networks, not of their recipes."""
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
    one = judged(ours.spec, ours.answers[who].astype(float), ours.target, draws)
    other = judged(theirs.spec, theirs.answers[who][order].astype(float), theirs.target[order], draws)
    facts = compare([one], [other], asked.confidence, draws.size, fixed=True)
    return {"who": who, "metric": main_metric(ours.spec.heads), "confidence": asked.confidence, **facts}


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
    gap, low, high = (shown(metrics.difference(metric, facts[k])) for k in ("difference", "low", "high"))
    numbers = t("%(metric)s %(gap)s, %(percent)s interval %(low)s to %(high)s, %(rows)s rows",
                metric=t(metrics.METRICS[metric].name), gap=gap + metrics.points(metric), low=low, high=high,
                percent=f"{100 * facts['confidence']:g} %", rows=f"{facts['rows']:,}")  # fmt: skip
    return t(SAID[facts["verdict"]], ours=one, theirs=other, numbers=numbers)


def warnings(runs: dict[str, Run]) -> list[str]:
    """Where runs are not scored alike: by other metrics, from other tables, or on rows that were looked at often."""
    said = []
    if len({metrics.main_of(run) for run in runs.values()}) > 1:
        said.append(t("the runs are judged by different metrics: their scores can't be compared"))
    sources = {
        str((run.stamp("prepare") or {"inputs": {}})["inputs"].get("content of the source")) for run in runs.values()
    }
    if len(sources) > 1:
        said.append(t("the runs were made from different tables"))
    for name, run in runs.items():
        looks = len(evaluations(run.folder))
        if looks > 1:
            said.append(t("%(run)s: the test rows were looked at %(times)s times", run=name, times=looks))
    if len(runs) > 2:
        said.append(t("of many runs the best one looks better than it is: it was chosen on the test rows"))
    return said
