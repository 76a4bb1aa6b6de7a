"""Scorecards: what is reported of each model on the test rows, with the fields that probes add.

``label-curve``, ``comparisons`` and leak-free metrics, which need several models or other splits, are put together here
too (:func:`summarise_comparisons`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .. import evaluation_log
from ..activations import main_metric
from ..engine.label_budget import label_budget
from ..files import read_json
from ..predictor import SIGNATURE
from ..recipe.stage_settings import PROBES
from ..run import Run
from . import load_probe
from .calibration import calibration_with_intervals
from .comparisons import CLASSICAL, References, comparisons
from .context import Context, Model
from .convergence import FILE as CONVERGENCE
from .label_curve import label_curve
from .metrics import Metrics, measure, per_class_metrics, summarise
from .models import folders
from .slices import differences_by_value, leak_free_metrics, leaked_rows, metrics_by_value

Cells = Sequence[str | None]


@dataclass(frozen=True)
class ComparisonSummary:
    """``files``: name in ``scores/`` -> content; ``fields``: model -> fields that join its scorecard."""

    files: dict[str, Any]
    fields: dict[str, dict[str, Any]]


def seed_metrics(context: Context, model: Model) -> list[Metrics]:
    """Every metric of every seed, in every resample."""
    predictions = model.predictions(context.spec).values()
    return [measure(context.spec, p, context.target, context.draws) for p in predictions]


def scorecard(run: Run, context: Context, model: Model, cells: Mapping[str, Cells]) -> dict[str, Any]:
    """A model's scorecard without the probes' fields. ``cells``: name of a source column -> its cells of the test rows,
    for metrics per value."""
    spec, target = context.spec, context.target
    predictions = list(model.predictions(spec).values())
    facts = {
        "who": model.name,
        "split": "test",
        "rows": len(context.rows),
        "seeds": [seed.removeprefix("seed-") for seed in model.logits],
        "confidence": context.confidence,
        "main": main_metric(spec.heads),
        "metrics": summarise(context.metrics[model.name], context.draws),
        "per_class": per_class(context, predictions),
        **calibration_with_intervals(spec, predictions, target, context.draws),
    }
    if cells:
        facts["by"] = {
            name: metrics_by_value(spec, predictions, target, context.draws, column) for name, column in cells.items()
        }
    return facts | training_score(run, model.name, facts["main"]) | model_size(run, model)


def training_score(run: Run, model: str, metric: str) -> dict[str, Any]:
    """``training``: the main metric on labelled training rows, its mean and each seed's, from ``training.json``; empty
    for models without such a record."""
    seeds = folders(run).get(model) or ([run.path("teacher")] if model == "teacher" else [])
    records = [(read_json(seed / "training.json") or {}).get("training") or {} for seed in seeds]
    scores = [float(record[metric]) for record in records if metric in record]
    if not scores or len(scores) < len(seeds):
        return {}
    return {"training": {"metric": metric, "mean": float(np.mean(scores)), "per_seed": scores}}


def per_class(context: Context, seeds: list[np.ndarray]) -> dict[str, Any]:
    """Class -> precision, recall, F1, support; with several targets by target; empty for numbers."""
    spec, tables = context.spec, {}
    parts = [spec.parts(predictions) for predictions in seeds]
    for n, (head, labels) in enumerate(spec.targets(context.target)):
        known = head.known(labels)
        tables[head.name] = per_class_metrics(head, [seed[n][1][known] for seed in parts], labels[known])
    return tables[spec.heads[0].name] if len(spec.heads) == 1 else {name: t for name, t in tables.items() if t}


def model_size(run: Run, model: Model) -> dict[str, int]:
    """Parameters, and bytes of the file that holds them."""
    if model.name.startswith("export"):
        folder = run.path("export")
        signature = read_json(folder / SIGNATURE)
        form = (signature.get("forms") or {}).get(model.form) or {}
        file = folder / form.get("file", "model.onnx")
        return {"parameters": signature["parameters"], "bytes": file.stat().st_size}
    if model.name == "majority" or model.name.startswith("classical"):
        return {}
    if model.name == "teacher" and run.recipe.trained is None:
        facts = read_json(run.path("teacher", "training.json"))
        return {key: facts[key] for key in ("parameters", "bytes") if facts.get(key) is not None}
    seeds = folders(run)["teacher"] if model.name == "ensemble" else folders(run)[model.name][:1]
    parameters = sum(read_json(folder / "training.json")["parameters"] for folder in seeds)
    return {"parameters": parameters, "bytes": sum((f / "model.safetensors").stat().st_size for f in seeds)}


def summarise_comparisons(run: Run, context: Context, cells: Mapping[str, Cells]) -> ComparisonSummary:
    """Verdicts, the label curve, and metrics without leaked rows. ``cells``: as :func:`scorecard` takes them, for the
    differences per value."""
    spec, columns, rows, draws = context.spec, context.columns, context.rows, context.draws
    predictions = {name: list(model.predictions(spec).values()) for name, model in context.models.items()}
    known, metric = (spec, context.target), main_metric(spec.heads)
    earlier = evaluation_log.earlier_seeds(run.folder, run.recipe.distill.num_seeds)
    convergence, teachers = read_json(run.path(CONVERGENCE)), run.recipe.num_teachers
    references = References(context.classical, convergence, earlier, teachers)
    verdicts = comparisons(context.metrics, predictions, known, metric, draws, references)
    files: dict[str, Any] = {"comparisons": [facts | sliced(facts, predictions, context, cells) for facts in verdicts]}
    if run.recipe.evaluate.label_curve:
        labelled, seed = columns.labelled("train"), run.recipe.seed
        shares = (*run.recipe.fractions, 1.0)
        labels = {share: int(label_budget(columns, share, seed)[labelled].sum()) for share in shares}
        files["label-curve"] = label_curve(context.metrics, labels, metric, draws, files["comparisons"])
    large = (read_json(run.path("data", "leaks.json")) or {}).get("kept", {})
    leaked = leaked_rows(columns, rows, large)
    fields = {
        name: {"clean": leak_free_metrics(columns, rows, seeds, draws, leaked)}
        for name, seeds in predictions.items()
        if leaked
    }
    return ComparisonSummary(files, fields)


def sliced(
    comparison: Mapping[str, Any],
    predictions: Mapping[str, Sequence[np.ndarray]],
    context: Context,
    cells: Mapping[str, Cells],
) -> dict[str, Any]:
    """``by``: column -> value -> the difference of two trained networks on these rows; empty without columns."""
    if not cells or comparison["about"] == CLASSICAL:  # a classical model has no seeds to pair
        return {}
    pair = (predictions[comparison["who"]], predictions[comparison["against"]])
    spec, target, draws = context.spec, context.target, context.draws
    return {"by": {name: differences_by_value(spec, pair, target, draws, column) for name, column in cells.items()}}


def run_probes(context: Context, selected: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Model -> the fields that the selected probes give it."""
    cards: dict[str, dict[str, Any]] = {name: {} for name in context.models}
    probes = PROBES.selected(selected)
    for number, probe in enumerate(probes):

        def tell(share: float, words: str, number: int = number) -> None:
            context.tell((number + share) / len(probes), words)

        for name, fields in load_probe(probe).probe(replace(context, tell=tell)).items():
            cards[name] = merge_fields(cards[name], fields)
    return cards


def merge_fields(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """The fields of two scorecards; of a field that both have (``metrics``, ``latency``), the entries of both."""
    both = {key: {**first[key], **second[key]} for key in first.keys() & second.keys()}
    return {**first, **second, **both}
