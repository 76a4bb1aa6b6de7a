"""Recipes of all kinds, their ground without data, and searches that train in this process."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from e2e_tools import make_recipe as raw_recipe

from suffuse.recipe import make_recipe, to_yaml
from suffuse.tuning.samplers import SearchContext

AUDIO = {"kind": "audio", "column": "sound", "mels": 20, "seconds": 2, "augment": {"time_masks": 1, "time": 0.1}}
TABLE = {"kind": "tabular", "column": ["a", "b"]}


def raw(kind: str) -> tuple[dict[str, Any], tuple[tuple[str, int], ...]]:
    """A recipe as YAML holds it, and its targets."""
    if kind == "two classes":
        return raw_recipe(), (("classes", 2),)
    if kind == "three modalities":
        made = raw_recipe(modalities__facts=TABLE, student__encoders__facts={"kind": "mlp", "widths": [8]})
        made["student"]["fusion"] = {"kind": "transformer", "width": 8, "heads": 4}
        made["distill"]["train"]["modality_dropout"] = {"facts": 0.5}
        return made, (("classes", 7),)
    if kind == "queries":
        made = raw_recipe(modalities__sound=AUDIO, distill__train__augment=True)
        made["student"] = {
            "encoders": {"sound": {"kind": "tcn", "width": 16, "depth": 2, "dropout": 0.2}},
            "fusion": {"kind": "queries"},
        }
        return made, (("classes", 4), ("classes", 2))
    if kind == "numbers":
        made = raw_recipe(data__tasks={"answer": {"kind": "number"}}, distill__baseline={"dropout": 0.1})
        made["distill"]["losses"] = {"n": {"kind": "regression_kd"}, "y": {"kind": "task"}, "h": {"kind": "hint"}}
        made["distill"]["schedules"] = {"h": {"weight": 0.5}}
        return made, (("number", 0),)
    if kind == "whole":
        made = raw_recipe()
        made["distill"]["train"] |= {"modality_dropout": 0.3, "also_full_input": True}
        return made, (("classes", 6),)
    if kind == "subsets":
        made = raw_recipe()
        made["distill"]["train"] |= {"checkpoint_metric": "subsets"}
        return made, (("classes", 6),)
    if kind == "complementary_subsets":
        made = raw_recipe()
        made["distill"]["train"] |= {"modality_dropout": "complementary_subsets"}
        return made, (("classes", 6),)
    if kind == "labels":
        return raw_recipe(data__tasks={"answer": {"kind": "labels"}}), (("labels", 5),)
    made = raw_recipe(student__fusion={"kind": "gated", "width": 8}, student__dropout=0.15)
    made["distill"]["losses"] = {
        "gate_transfer": {"kind": "gate_transfer"},
        "soft": {"kind": "dkd", "temperature": 12, "confidence": 0.5},
        "labels": {"kind": "task", "label_smoothing": 0.02},
        "whole": {"kind": "subset_consistency"},
    }
    made["distill"]["train"] |= {"modality_dropout": "uniform", "mixup": 0.7, "ema": 0.5, "weight_decay": 0.0}
    return made, (("classes", 9),)


KINDS = (
    "two classes",
    "three modalities",
    "queries",
    "numbers",
    "labels",
    "whole",
    "subsets",
    "complementary_subsets",
    "everything",
)


def ground(folder: Path, kind: str, **changes: Any) -> tuple[SearchContext, Path]:
    """The ground of a recipe without its data, and the recipe's file."""
    made, heads = raw(kind)
    recipe = make_recipe(made)
    file = folder / "shipped.yaml"
    file.write_text(to_yaml(recipe), encoding="utf-8")
    taps = {"logits": 9, "fused": 16, "gates": 2, **dict.fromkeys(recipe.student.encoders, 16)}
    return dataclasses.replace(SearchContext(recipe, heads, taps, None), **changes), file
