"""Paired comparison of runs: whether they were scored on the same rows, and the difference of their students there.

A verdict on two runs is about their recipes: the students of both are compared seed by seed, with the interval over
seeds and rows of :mod:`suffuse.evaluation.verdict`. With a single seed on a side the interval covers the rows only,
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
from ..data.columns import Columns
from ..evaluation.intervals import bounds
from ..evaluation.metrics import draw, main_score
from ..evaluation.predictions_file import matrix, seed_columns
from ..evaluation.verdict import compare
from ..evaluation_log import evaluations
from ..files import parsing, read_json
from ..run import Run
from ..types import Head, Spec
from . import metric_format, verdict_text
from .i18n import t

MODELS = ("student", "export")  # the first that both runs have is compared
SENTENCES = {
    "helps": "%(first)s is better than %(second)s (%(numbers)s)",
    "hurts": "%(first)s is worse than %(second)s (%(numbers)s)",
    "no evidence": "no evidence of a difference between %(first)s and %(second)s (%(numbers)s)",
    "one seed": "%(first)s and %(second)s: %(numbers)s; one seed on a side: the interval covers rows only; no claim "
    "about the recipes",
}


@dataclass(frozen=True)
class TestRows:
    """The test rows of a run on which it was scored: N."""

    __test__ = False  # no class of tests

    ids: list[str]  # N
    spec: Spec
    target: np.ndarray
    group: np.ndarray  # (N,)
    outputs: dict[str, list[np.ndarray]]  # model -> of each seed (N, C)

    def reordered(self, order: np.ndarray) -> TestRows:
        """The same rows in another order."""
        outputs = {model: [output[order] for output in seeds] for model, seeds in self.outputs.items()}
        ids = [self.ids[at] for at in order]
        return TestRows(ids, self.spec, self.target[order], self.group[order], outputs)


def read_test_rows(run: Run) -> TestRows | None:
    """None where the run holds no predictions of test rows."""
    file = run.path("scores", "predictions.parquet")
    if not file.exists():
        return None
    columns = Columns.open(run.path("data"))
    with parsing(file):
        names = pq.read_schema(file).names
        seeds = {model: seed_columns(names, model) for model in MODELS if model in names}
        table = pq.read_table(file, columns=["row", *(name for of_model in seeds.values() for name in of_model)])
    rows = np.asarray(table.column("row").combine_chunks())
    with parsing(run.path("data", "rows.parquet")):
        ids = pq.read_table(run.path("data", "rows.parquet"), columns=["id"]).column("id").take(rows).to_pylist()
    outputs = {model: [matrix(table.column(name)) for name in of_model] for model, of_model in seeds.items()}
    ids = [str(id_) for id_ in ids]
    return TestRows(ids, columns.spec, np.asarray(columns.target[rows]), np.asarray(columns.group[rows]), outputs)


def stored_seeds(run: Run) -> int:
    """Seeds of the student with stored predictions."""
    file = run.path("scores", "predictions.parquet")
    if not file.exists():
        return 0
    with parsing(file):
        return len(seed_columns(pq.read_schema(file).names, "student"))


def paired_differences(runs: dict[str, Run]) -> list[dict[str, Any]]:
    """For every two runs: their names ``one`` and ``other``, and either the paired difference one - other on the test
    rows that they share by id, or ``why`` there is none."""
    rows = {name: read_test_rows(run) for name, run in runs.items()}
    return [{"one": a, "other": b, **paired_difference(rows[a], rows[b], runs[a])} for a, b in combinations(runs, 2)]


def paired_difference(a: TestRows | None, b: TestRows | None, run: Run) -> dict[str, Any]:
    """Verdict on two runs' students, paired in order, as many seeds as both have; ``seeds_stored``: of each."""
    if a is None or b is None:
        return {"why": t("there are no answers on test rows")}
    why = _mismatch(a, b)
    if why:
        return {"why": why}
    position = {id_: at for at, id_ in enumerate(b.ids)}
    b = b.reordered(np.array([position[id_] for id_ in a.ids]))
    model = next((m for m in MODELS if m in a.outputs and m in b.outputs), None)
    if model is None or not _same_targets(a, b):
        return {"why": t("the same ids have other labels")}
    settings, metric = run.recipe.evaluate, main_metric(a.spec.heads)
    draws = draw(a.group, settings.resamples, settings.confidence)
    stored = [len(rows.outputs[model]) for rows in (a, b)]

    def scores(rows: TestRows) -> list:
        return [main_score(rows.spec, z.astype(float), rows.target, draws) for z in rows.outputs[model][: min(stored)]]

    facts = compare(scores(a), scores(b), settings.confidence, bounds(metric), draws.size)
    return {"who": model, "metric": metric, "confidence": settings.confidence, "seeds_stored": stored, **facts}


def _mismatch(a: TestRows, b: TestRows) -> str:
    """Why two runs can't be paired; empty where they can."""
    if len(set(a.ids)) != len(a.ids) or len(set(b.ids)) != len(b.ids):
        return t("ids of test rows stand twice")
    if set(a.ids) != set(b.ids):
        numbers = {"shared": len(set(a.ids) & set(b.ids)), "first": len(a.ids), "second": len(b.ids)}
        texts = {key: f"{number:,}" for key, number in numbers.items()}
        return t("the test rows differ: %(shared)s of %(first)s and %(second)s are the same", **texts)
    names = ([(head.name, head.kind, head.classes) for head in rows.spec.heads] for rows in (a, b))
    return "" if next(names) == next(names) else t("targets or classes differ")


def _same_targets(a: TestRows, b: TestRows) -> bool:
    """Whether all targets are equal; numbers in their own unit."""

    def unscaled(head: Head, target: np.ndarray) -> np.ndarray:
        return target * head.std + head.mean

    pairs = zip(a.spec.targets(a.target), b.spec.targets(b.target), strict=True)
    return all(
        np.allclose(unscaled(*of_a), unscaled(*of_b), rtol=1e-5, atol=1e-6, equal_nan=True) for of_a, of_b in pairs
    )


def sentence(facts: dict[str, Any], number: Callable[[str], str] = str) -> str:
    """A paired difference as a sentence. ``number``: how signed numbers are written."""
    names = {"first": facts["one"], "second": facts["other"]}
    if "why" in facts:
        return t("%(first)s and %(second)s: not paired, %(why)s; only their own intervals can be set side by side",
                 **names, why=facts["why"])  # fmt: skip
    metric = facts["metric"]
    gap, low, high = (number(metric_format.ascii_difference(metric, facts[k])) for k in ("difference", "low", "high"))
    numbers = t(
        "%(metric)s %(gap)s, %(percent)s interval %(low)s to %(high)s, %(sample)s",
        metric=t(metric_format.METRICS[metric].name),
        gap=gap + metric_format.difference_unit(metric),
        percent=f"{100 * facts['confidence']:g} %",
        low=low,
        high=high,
        sample=verdict_text.sample_size(facts),
    )
    if facts["seeds"] == 1:
        return t(SENTENCES["one seed"], **names, numbers=numbers)
    return t(SENTENCES[facts["verdict"]], **names, numbers=numbers + verdict_text.to_settle(facts))


def warnings(runs: dict[str, Run]) -> list[str]:
    """Where scores aren't comparable: other metrics, other tables, rows that were evaluated often, or fewer stored than
    scored seeds."""
    texts = []
    if len({metric_format.main_metric_of(run) for run in runs.values()}) > 1:
        texts.append(t("the runs are judged by different metrics: their scores can't be compared"))
    inputs = [(run.stamp("prepare") or {"inputs": {}})["inputs"] for run in runs.values()]
    if len({str(of_run.get("content of the source")) for of_run in inputs}) > 1:
        texts.append(t("the runs were made from different tables"))
    for name, run in runs.items():
        times = len(evaluations(run.folder))
        if times > 1:
            texts.append(t("%(run)s: the test rows were evaluated %(times)s times", run=name, times=times))
        missing = len((read_json(run.path("scores", "student.json")) or {}).get("seeds", ())) - stored_seeds(run)
        if missing > 0:
            texts.append(
                t("%(run)s: the predictions of %(missing)s of its student's seeds are not stored: earlier versions "
                  "kept those of the first seed alone", run=name, missing=missing)
            )  # fmt: skip
    if len(runs) > 2:
        texts.append(t("of many runs the best one looks better than it is: it was chosen on the test rows"))
    return texts
