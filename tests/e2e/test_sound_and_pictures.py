"""From real recordings and pictures to a trained and exported network, and back from raw rows to its answers."""

from __future__ import annotations

import csv
import random
from pathlib import Path

import numpy as np
import pytest

from suffuse import pipeline
from suffuse.activations import softmax
from suffuse.data.columns import Columns
from suffuse.engine.inference import logits
from suffuse.exporters import export_folder as exporter
from suffuse.files import read_json
from suffuse.model import open_model
from suffuse.predictor import Predictor
from suffuse.run import Run

AUDIO = {"kind": "audio", "column": "audio", "rate": 8000, "mels": 24, "seconds": 1, "trim": 40}
PICTURE = {"kind": "image", "column": "image", "size": 16}


def some(manifest: Path, folder: Path, count: int) -> tuple[Path, list[dict]]:
    """A table of some rows of a real set."""
    with manifest.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    rows = random.Random(0).sample(rows, count)
    with (folder / "rows.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder / "rows.csv", rows


def recipe(source: Path, modalities: dict, encoders: dict, epochs: int, **data) -> dict:
    network = {"encoders": encoders, "fusion": {"kind": "gated" if len(encoders) > 1 else "concat", "width": 32}}
    augmented = any("augment" in one for one in modalities.values())
    train = {"epochs": epochs, "batch": 32, "learning_rate": 0.01, "augment": augmented}
    return {
        "data": {"source": str(source), "target": "label", "id": "id", "split": {"column": "split"}, **data},
        "modalities": modalities,
        "teacher": {**network, "train": train},
        "student": network,
        "compute": {"threads": 1},
    }


def taught(made: dict, folder: Path) -> Run:
    run = Run.of(made, folder)
    for stage in ("prepare", "teach"):
        pipeline.run_stage(run, stage)
    return run


def answers_from_raw_rows(run: Run, rows: list[dict], place: Path, root: Path, within: Path) -> None:
    """The exported network says of the raw rows what the trained one says of the prepared ones."""
    model = open_model(run.path("teacher"))
    exporter.write(model, run.recipe, place)
    columns = Columns.open(run.path("data"))
    exact = softmax(logits(model, columns, np.arange(len(columns.entry))))
    kept = {row["id"]: row for row in rows}
    import pyarrow.parquet as pq

    ids = pq.read_table(run.path("data", "rows.parquet"))["id"].to_pylist()
    used = [name for settings in run.recipe.modalities.values() for name in settings.columns]
    records = [{name: kept[i][name] for name in used} for i in ids[:60]]
    found = Predictor.load(place).predict(records, root, within)
    got = np.array([list(p.probabilities.values()) for p in found])
    np.testing.assert_allclose(got, exact[:60], atol=1e-4)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.real
def test_spoken_and_written_digits(shared_data, tmp_path):
    """AV-MNIST's recordings lie beside its folder: `within` lets them be read."""
    root = shared_data / "avmnist10k"
    source, rows = some(root / "manifest.csv", tmp_path, 400)
    modalities = {"picture": {**PICTURE, "augment": {"shift": 0.1}}, "sound": {**AUDIO, "augment": {}}}
    encoders = {"picture": {"kind": "conv", "widths": [8, 16]}, "sound": {"kind": "conv1d", "widths": [24, 24]}}
    made = recipe(source, modalities, encoders, 12, root=str(root), allowed_dir=str(shared_data))
    run = taught(made, tmp_path / "run")
    assert read_json(run.path("teacher", "training.json"))["validation"]["accuracy"] > 0.5
    assert set(read_json(run.path("data", "schema.json"))["notes"]) == {"partly"}  # a clip is longer than a second
    answers_from_raw_rows(run, rows, tmp_path / "export", root, shared_data)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.real
def test_spoken_digits_as_a_gru_hears_them(shared_data, tmp_path):
    root = shared_data / "fsdd"
    source, rows = some(root / "manifest.csv", tmp_path, 300)
    made = recipe(source, {"sound": AUDIO}, {"sound": {"kind": "gru", "width": 32}}, 15, root=str(root))
    run = taught(made, tmp_path / "run")
    assert read_json(run.path("teacher", "training.json"))["validation"]["accuracy"] > 0.4
    answers_from_raw_rows(run, rows, tmp_path / "export", root, root)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.real
def test_four_photos_of_a_house(shared_data, tmp_path):
    root = shared_data / "houses535"
    source, rows = some(root / "manifest.csv", tmp_path, 200)
    photos = {**PICTURE, "column": ["image", "image_bedroom", "image_bathroom", "image_kitchen"], "size": 32}
    made = recipe(source, {"photos": photos}, {"photos": {"kind": "conv", "widths": [8, 16]}}, 3, root=str(root))
    run = taught(made, tmp_path / "run")
    assert Columns.open(run.path("data")).entries["photos"].shape[1:] == (4, 32, 32, 4)
    answers_from_raw_rows(run, rows, tmp_path / "export", root, root)
