"""An export of five modalities and three targets with weights drawn by chance, its cells, and a server in memory."""

from __future__ import annotations

import base64
import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from starlette.testclient import TestClient

from suffuse import pipeline
from suffuse.modalities import audio_ops
from suffuse.run import Run
from suffuse.serving.app import application
from suffuse.serving.limits import Limits

MODEL = "things"
COLOURS = ((220, 30, 30), (30, 200, 40), (30, 60, 220))
MODALITIES = {
    "look": {"kind": "image", "column": "photo", "size": 16},
    "words": {"kind": "text", "column": "note", "tokens": "words", "length": 12},
    "noise": {"kind": "audio", "column": "clip", "rate": 8000, "mels": 16, "seconds": 1},
    "facts": {"kind": "tabular", "column": ["weight", "shop"], "types": {"weight": "number", "shop": "category"}},
    "path": {"kind": "sequence", "column": "steps", "features": 2, "length": 10},
}
TASKS = {"tags": {"kind": "labels"}, "price": {"kind": "number"}}


def picture(number: int = 0, side: int = 16, form: str = "PNG") -> bytes:
    """A picture file of one colour with one pixel that tells its number."""
    made = Image.new("RGB", (side, side), COLOURS[number % 3])
    made.putpixel((number % side, 0), (number % 256, 0, 0))
    file = io.BytesIO()
    made.save(file, form)
    return file.getvalue()


def clip(number: int = 0, seconds: float = 0.2, rate: int = 8000) -> bytes:
    """A WAV file of a tone."""
    times = np.arange(int(seconds * rate)) / rate
    return audio_ops.as_wav((0.5 * np.sin(2 * np.pi * (200 + 50 * (number % 9)) * times)).astype(np.float32), rate)


def steps(number: int = 0) -> list[list[float]]:
    """One to six steps of two numbers."""
    return [[float(number % 5), i / 2] for i in range(1 + number % 6)]


def record(number: int) -> dict[str, Any]:
    """As Python gives it to a predictor; every seventh thing lacks something."""
    made = {
        "photo": picture(number),
        "note": f"a thing {number % 11} of the shop " + "and more " * (number % 4),
        "clip": clip(number),
        "weight": 1.5 * (number % 13),
        "shop": ("north", "south", "west")[number % 3],
        "steps": steps(number),
    }
    lacks = ("photo", "note", "clip", "weight", "steps", "shop")[number // 7 % 6] if number % 7 == 3 else None
    return {name: value for name, value in made.items() if name != lacks}


def as_json(made: dict[str, Any]) -> dict[str, Any]:
    """The same as JSON holds it."""
    return {k: {"base64": base64.b64encode(v).decode()} if isinstance(v, bytes) else v for k, v in made.items()}


def write_export(folder: Path, rows: int = 60) -> Path:
    """Prepares a table of such things, and exports a network that nobody trained."""
    import torch

    from suffuse.data.columns import Columns
    from suffuse.exporters import export_folder as exporter
    from suffuse.model import FusionModel

    columns: dict[str, list] = {name: [record(n).get(name) for n in range(rows)] for name in record(0)}
    columns |= {"kind": [f"kind {n % 3}" for n in range(rows)], "price": [10.0 + n % 17 for n in range(rows)]}
    columns["tags"] = [";".join(t for t, there in (("big", n % 2), ("old", n % 3 == 0)) if there) for n in range(rows)]
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), folder / "rows.parquet")
    recurrent = {"kind": "gru", "width": 6}
    encoders = {
        "look": {"kind": "conv", "widths": [4, 6]},
        "words": {**recurrent, "embedding": 4},
        "noise": {"kind": "conv1d", "widths": [6]},
        "facts": {"kind": "mlp", "widths": [6]},
        "path": recurrent,
    }
    network = {"encoders": encoders, "fusion": {"kind": "gated", "width": 8}}
    targets = {"source": str(folder / "rows.parquet"), "target": ["kind", "tags", "price"], "tasks": TASKS}
    data = {**targets, "split": {"stratify": False}}
    run = Run.of({"data": data, "modalities": MODALITIES, "teacher": network, "student": network}, folder / "run")
    pipeline.run_stage(run, "prepare")
    torch.manual_seed(5)
    model = FusionModel(run.recipe.student, Columns.open(run.path("data")).spec)
    with torch.no_grad():
        model.head[-1].weight.mul_(9)  # type: ignore[operator]  # answers that differ
    exporter.write(model.eval(), run.recipe, folder / "export")
    return folder / "export"


@contextlib.contextmanager
def client(predictors: dict[str, Any], threads: int = 2, **limits: Any) -> Iterator[TestClient]:
    """A client of an application in this process."""
    app = application(predictors, Limits(**limits), threads)
    with TestClient(app, raise_server_exceptions=False) as made:
        yield made


def ask(to: TestClient, *records: dict[str, Any], model: str = MODEL, **options: Any) -> Any:
    """Answers to records of Python."""
    found = to.post(f"/v1/models/{model}/predict", json={"records": [as_json(r) for r in records], **options})
    assert found.status_code == 200, found.text
    return found.json()["predictions"]
