"""The export folder: the model, and its preprocessing as data. It needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from ..environment import readers
from ..export_integrity import FIRST, VERSION, forms, seal
from ..files import write_text
from ..modalities import load_modality
from ..model import FusionModel
from ..recipe import Data, Recipe
from ..registry import ModalitySettings
from .onnx_export import export

CELL_KEYS = {"empty", "separator", "format", "lowercase"}  # of a target's task

__all__ = ["forms", "write"]


def write(model: FusionModel, recipe: Recipe, folder: Path, derived: Mapping[str, dict] | None = None) -> None:
    """Write model.onnx, a tokenizer per text, and signature.json with sizes, settings, classes and hashes.

    ``derived``: settings and facts of the columns that can be derived where a table lacks them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    export(model, folder / "model.onnx")
    described = []
    for field in model.spec.fields:
        statistics = dict(field.statistics)
        facts = {
            "name": field.name,
            "kind": field.kind,
            "settings": _reading(recipe.modalities[field.name]),
        }
        if "tokenizer" in statistics:
            facts["tokenizer"] = f"{field.name}.tokenizer.json"
            write_text(folder / facts["tokenizer"], statistics.pop("tokenizer"))
        statistics.pop("idf", None)  # in the model's weights
        described.append({**facts, "statistics": statistics})
    seal(
        folder,
        {
            "version": VERSION,
            **({"name": recipe.name} if recipe.name else {}),
            **({"id": recipe.data.id} if recipe.data.id else {}),
            "table": _table(recipe.data),
            "parameters": model.size(),
            "classes": list(model.spec.classes),
            "heads": [asdict(head) for head in model.spec.heads],
            "modalities": described,
            "inputs": {
                **{f.name: load_modality(f.kind).layout(f.statistics) for f in model.spec.fields},
                "present": "bool (rows, modalities)",
            },
            "output": "logits float32 (rows, outputs), head after head: softmax of classes, sigmoid of labels, "
            "mean + std * z of a number; of a transcript frame after frame, softmax of blank and its units",
            "limits": recipe.export.limits.model_dump(mode="json"),
            "form": FIRST,
            "forms": {FIRST: {"file": "model.onnx", "bytes": (folder / "model.onnx").stat().st_size}},
            "libraries": readers(field.kind for field in model.spec.fields),
            **_derive(model, recipe, derived or {}),
        },
    )


def _reading(modality: ModalitySettings) -> dict:
    """How a modality's cells are read. Views are for training alone, and may name files of the trainer's machine."""
    fields = type(modality).model_fields
    plain = modality.model_copy(update={"augment": fields["augment"].default}) if "augment" in fields else modality
    return plain.model_dump(mode="json")


def _table(data: Data) -> dict:
    """How the recipe's table and the cells of its targets are written."""
    tasks = {name: data.task(name).model_dump(mode="json", include=CELL_KEYS) for name in data.targets}
    return {**data.model_dump(mode="json", include={"encoding", "delimiter", "missing_values"}), "tasks": tasks}


def _derive(model: FusionModel, recipe: Recipe, derived: Mapping[str, dict]) -> dict:
    """The derived columns that this model's modalities read, and those that they are made from."""
    columns = [column for field in model.spec.fields for column in recipe.modalities[field.name].columns]
    needed = []
    for column in columns:
        if column in derived and column not in needed:
            needed.append(column)
            columns.append(derived[column]["settings"]["column"])
    return {"derive": {name: derived[name] for name in derived if name in needed}} if needed else {}
