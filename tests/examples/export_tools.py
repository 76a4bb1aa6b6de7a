"""Exports of networks drawn by chance, and records for them: what the examples in other languages are compared on."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from suffuse import pipeline
from suffuse.data.columns import Columns
from suffuse.exporters import export_folder as exporter
from suffuse.model import FusionModel
from suffuse.run import Run


def exported(made: dict, folder: Path) -> Path:
    """An export of a network drawn by chance whose answers differ from row to row."""
    run = Run.of(made, folder / "run")
    pipeline.run_stage(run, "prepare")
    torch.manual_seed(1)
    model = FusionModel(run.recipe.student, Columns.open(run.path("data")).spec)
    with torch.no_grad():
        model.head[-1].weight.mul_(9)  # type: ignore[operator]
    exporter.write(model.eval(), run.recipe, folder / "export")
    return folder / "export"


def recipe(source: Path, modalities: dict, encoders: dict, **data) -> dict:
    network = {"encoders": encoders, "fusion": {"kind": "gated" if len(encoders) < 3 else "transformer", "width": 16}}
    made = {"data": {"source": str(source), "id": "id", **data}, "modalities": modalities}
    return {**made, "teacher": network, "student": network, "compute": {"threads": 1}}


def written(rows: list[dict], file: Path) -> Path:
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return file


def without(records: list[dict], names: list[str]) -> list[dict]:
    """Of every two records one lacks something, and a few lack everything."""
    noise = random.Random(7)
    kept = [{k: v for k, v in r.items() if n % 2 or noise.random() < 0.5} for n, r in enumerate(records)]
    return [{} if n % 40 == 0 else {k: v for k, v in r.items() if k in names} for n, r in enumerate(kept)]


def questions_export(folder: Path) -> tuple[Path, Path, list[dict]]:
    """An export, the folder that its pictures are in, and real rows about real pictures."""
    easy_vqa = pytest.importorskip("easy_vqa")
    data = Path(easy_vqa.__file__).parent / "data" / "train"
    asked = random.Random(2).sample(json.loads((data / "questions.json").read_text()), 400)
    rows = [{"picture": f"images/{image}.png", "question": question, "answer": a} for question, a, image in asked]
    with (folder / "rows.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["id", *rows[0]])
        writer.writeheader()
        writer.writerows({"id": n, **row} for n, row in enumerate(rows))
    modalities = {
        "picture": {"kind": "image", "column": "picture", "size": 64},
        "question": {"kind": "text", "column": "question", "tokens": "words", "length": 12},
    }
    encoders = {"picture": {"kind": "conv", "widths": [8, 8]}, "question": {"kind": "gru", "embedding": 8, "width": 8}}
    made = recipe(folder / "rows.csv", modalities, encoders, target="answer", root=str(data))
    records = [{k: row[k] for k in ("picture", "question")} for row in rows[:200]]
    return exported(made, folder), data, records


def mixed_export(folder: Path) -> tuple[Path, list[dict]]:
    """An export that reads pictures, texts, columns and series and has targets of every kind, and 200 records."""
    noise, rows = random.Random(5), []
    (folder / "pictures").mkdir()
    for number in range(200):
        side = (noise.randrange(4, 60), noise.randrange(4, 60))
        Image.fromarray(np.random.default_rng(number).integers(0, 256, (*side, 4), dtype=np.uint8)).save(
            folder / "pictures" / f"{number}.png"
        )
        rows.append(
            {
                "id": f"r{number}",
                "image": f"pictures/{number}.png",
                "title": noise.choice(["Red shoe", "蓝色 鞋子", "Don't know, sir!", "1,234 ½"]) * noise.randrange(3),
                "more": noise.choice(["", "über alles", "x" * 80]),
                "price": noise.choice(["", "12.5", "1e3", "-3", "much"]),
                "colour": noise.choice(["red", "green", "blue", "pink 7"]),
                "steps": json.dumps([[noise.random(), noise.random()] for _ in range(noise.randrange(1, 9))]),
                "answer": noise.choice("abc"),
                "tags": noise.choice(["x", "y", "x;y", ""]),
                "amount": noise.gauss(10, 4),
            }
        )
    with (folder / "rows.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    modalities = {
        "picture": {"kind": "image", "column": "image", "size": 24, "fit": "pad"},
        "words": {"kind": "text", "column": ["title", "more"], "tokens": "bpe", "vocabulary": 400, "length": 20},
        "order": {"kind": "tabular", "column": ["price", "colour"], "types": {"price": "number"}},
        "sensor": {"kind": "sequence", "column": "steps", "features": 2, "length": 6},
    }
    encoders = {
        "picture": {"kind": "conv", "widths": [8]},
        "words": {"kind": "gru", "embedding": 8, "width": 8},
        "order": {"kind": "mlp", "widths": [8]},
        "sensor": {"kind": "conv1d", "widths": [8]},
    }
    tasks = {"answer": {"kind": "classes"}, "tags": {"kind": "labels"}, "amount": {"kind": "number"}}
    export = exported(recipe(folder / "rows.csv", modalities, encoders, target=list(tasks), tasks=tasks), folder)
    records = [
        {k: r[k] for k in ("image", "title", "more", "price", "colour")} | {"steps": json.loads(r["steps"])}
        for r in rows
    ]
    return export, records
