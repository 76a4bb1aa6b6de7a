"""What stands in every scorecard: who, on which rows, the metrics, each class, calibration, size, parts of the rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..activations import main_metric
from ..files import read_json
from ..predictor import SIGNATURE
from ..run import Run
from . import class_metrics
from .calibration import with_intervals
from .context import Context, Model
from .intervals import bounds, summary
from .models import folders
from .slices import by
from .target_metrics import Measured, measure

Cells = Sequence[str | None]


def measured(context: Context, model: Model) -> list[Measured]:
    """Every metric of every seed, in every resample."""
    return [measure(context.spec, said, context.target, context.draws) for said in model.answers(context.spec).values()]


def card(run: Run, context: Context, model: Model, columns: Mapping[str, Cells]) -> dict[str, Any]:
    """One model's scorecard, as far as its answers to the test rows tell it. ``columns``: name -> cells of the test
    rows, where scores are told apart by some."""
    spec, target, found = context.spec, context.target, context.measured[model.who]
    answers = list(model.answers(spec).values())
    facts = {
        "who": model.who,
        "split": "test",
        "rows": len(context.rows),
        "seeds": [seed.removeprefix("seed-") for seed in model.logits],
        "confidence": context.confidence,
        "main": main_metric(spec.heads),
        "metrics": {
            name: summary([m[name] for m in found], context.confidence, bounds(name), context.draws.size)
            for name in found[0]
        },
        "per_class": per_class(context, answers),
        **with_intervals(spec, answers, target, context.draws),
    }
    if columns:
        facts["by"] = {name: by(spec, answers, target, context.draws, cells) for name, cells in columns.items()}
    return facts | size(run, model)


def per_class(context: Context, answers: list[np.ndarray]) -> dict[str, Any]:
    """Class -> precision, recall, F1, support; of several targets by target; nothing of numbers."""
    spec, found = context.spec, {}
    parts = [spec.parts(said) for said in answers]
    for at, (head, wanted) in enumerate(spec.targets(context.target)):
        known = head.known(wanted)
        found[head.name] = class_metrics.each(head, [seed[at][1][known] for seed in parts], wanted[known])
    return found[spec.heads[0].name] if len(spec.heads) == 1 else {name: one for name, one in found.items() if one}


def size(run: Run, model: Model) -> dict[str, int]:
    """Parameters and bytes of the file that holds them."""
    if model.who.startswith("export"):
        folder = run.path("export")
        signature = read_json(folder / SIGNATURE)
        form = (signature.get("forms") or {}).get(model.form) or {}
        file = folder / form.get("file", "model.onnx")
        return {"parameters": signature["parameters"], "bytes": file.stat().st_size}
    if model.who == "majority":
        return {}
    if model.who == "teacher" and run.recipe.trained is None:
        facts = read_json(run.path("teacher", "training.json"))
        return {key: facts[key] for key in ("parameters", "bytes") if facts.get(key) is not None}
    places = folders(run)["teacher"] if model.who == "ensemble" else folders(run)[model.who][:1]
    parameters = sum(read_json(place / "training.json")["parameters"] for place in places)
    return {"parameters": parameters, "bytes": sum((p / "model.safetensors").stat().st_size for p in places)}
