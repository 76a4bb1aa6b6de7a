"""An export with weights drawn by chance, of a small table of pictures and questions."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from suffuse.data.columns import Columns
from suffuse.exporters import export_folder as exporter
from suffuse.model import FusionModel
from suffuse.predictor import SIGNATURE, Predictor, digest


@pytest.fixture(scope="session")
def columns(prepared_run) -> Columns:
    return Columns.open(prepared_run.path("data"))


@pytest.fixture(scope="session")
def model(prepared_run, columns) -> FusionModel:
    torch.manual_seed(1)
    model = FusionModel(prepared_run.recipe.student, columns.spec)
    with torch.no_grad():
        model.head[-1].weight.mul_(9)  # type: ignore[operator]  # answers that differ
    return model.eval()


@pytest.fixture(scope="session")
def export(build_once, model, prepared_run) -> Path:
    return build_once("export", {}, lambda folder: exporter.write(model, prepared_run.recipe, folder))


@pytest.fixture(scope="session")
def predictor(export) -> Predictor:
    return Predictor.load(export)


@pytest.fixture(scope="session")
def table(prepared_run) -> list[dict]:
    """The raw rows that prepare kept, in the order of its columns."""
    with Path(prepared_run.recipe.data.source).open(encoding="utf-8", newline="") as file:
        lines = dict(enumerate(csv.DictReader(file), 2))
    kept = pq.read_table(prepared_run.path("data", "rows.parquet"))["line"].to_pylist()
    return [lines[line] for line in kept]


@pytest.fixture(scope="session")
def records(table) -> list[dict]:
    return [{"image": row["image"], "text": row["text"]} for row in table]


@pytest.fixture(scope="session")
def root(prepared_run) -> Path:
    return Path(prepared_run.recipe.data.source).parent


@pytest.fixture
def signed(export, tmp_path) -> Callable[..., Path]:
    """A maker of copies whose signature says more (None: it no longer says it)."""

    def make(**said) -> Path:
        folder = shutil.copytree(export, tmp_path / f"copy{len(list(tmp_path.iterdir()))}")
        facts = json.loads((folder / SIGNATURE).read_text())
        facts = {k: v for k, v in {**facts, **said}.items() if v is not None}
        (folder / SIGNATURE).write_text(json.dumps({**facts, "digest": digest(facts)}))
        return folder

    return make
