"""The export stage: which rows it reads, and that it exports nothing where the graph isn't the model."""

from __future__ import annotations

import copy
import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from e2e_tools import make_project

from suffuse import pipeline
from suffuse.data.columns import Columns
from suffuse.engine.inference import logits
from suffuse.errors import SuffuseError
from suffuse.exporters import export_folder, parity
from suffuse.files import read_json, write_bytes
from suffuse.model import FusionModel, open_model
from suffuse.predictor import Predictor
from suffuse.run import Run
from suffuse.stages import export as stage

TRAIN = {"epochs": 1, "batch": 32}


@pytest.fixture(scope="module")
def distilled(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run with a student, and validation rows that suffice for temperatures."""
    project = tmp_path_factory.mktemp("distilled")
    distill = {"train": TRAIN, "num_seeds": 1, "label_fractions": [], "unimodal_baselines": False}
    recipe = make_project(project, 90, teacher__train=TRAIN, teacher__unimodal_baselines=False, distill=distill)
    run = Run.open(recipe, ["compute.threads=1"], project / "run")
    for verb in ("prepare", "teach", "extract", "distill"):
        pipeline.run_stage(run, verb)
    return run


EXPORT = export_folder.export
EXPORTED: dict[str, bytes] = {}  # digest of a model's weights -> its graph


@pytest.fixture(autouse=True)
def exported_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that was exported before isn't traced again: tests share the run's student, and tracing takes seconds."""

    def export(model: FusionModel, file: Path) -> None:
        digest = hashlib.sha256(b"".join(t.numpy().tobytes() for t in model.state_dict().values())).hexdigest()
        if digest not in EXPORTED:
            EXPORT(model, file)
            EXPORTED[digest] = file.read_bytes()
        write_bytes(file, EXPORTED[digest])

    monkeypatch.setattr(export_folder, "export", export)


def opened(run: Run, tmp_path: Path, *overrides: str) -> Run:
    return Run.open(shutil.copytree(run.folder, tmp_path / "run"), list(overrides))


class RecordedArray(np.ndarray):
    """An array of rows that remembers which of them were taken."""

    taken: list[np.ndarray] | None = None

    def __array_finalize__(self, source: Any) -> None:
        self.taken = getattr(source, "taken", None)

    def __getitem__(self, key: Any) -> Any:
        first = key[0] if isinstance(key, tuple) else key
        if self.taken is not None and isinstance(first, np.ndarray) and first.dtype.kind == "i":
            self.taken.append(np.asarray(first))
        found = super().__getitem__(key)
        if isinstance(found, RecordedArray) and not isinstance(first, slice):
            found.taken = None  # its positions aren't rows any more
        return found


def test_example_rows_are_in_the_export_where_the_recipe_wants_some(distilled, tmp_path, capsys) -> None:
    run = opened(distilled, tmp_path, "export.examples=2", "export.int8=off")
    pipeline.run_stage(run, "export")
    assert "examples.json: 2 validation rows are part of the export" in capsys.readouterr().err
    predictor = Predictor.load(run.path("export"))
    assert [set(example.targets) for example in predictor.facts.examples] == [set(run.recipe.data.targets)] * 2
    assert "Example rows" in run.path("export", "README.md").read_text(encoding="utf-8")
    assert not (distilled.folder / "export" / "examples.json").exists()


@pytest.mark.parametrize("int8", ["off", "auto"])
def test_it_reads_no_test_row_and_temperatures_come_from_validation(distilled, tmp_path, monkeypatch, int8) -> None:
    run = opened(distilled, tmp_path, f"export.int8={int8}")
    columns, taken, fitted = Columns.open(run.path("data")), [], []
    recorded = columns.entry.view(RecordedArray)
    recorded.taken = taken
    monkeypatch.setattr(stage.Columns, "open", lambda _: replace(columns, entry=recorded))
    temperatures = stage.temperatures

    def seen(ask: Any, given: Columns, rows: np.ndarray, kept: Any) -> dict:
        fitted.append(rows)
        return temperatures(ask, given, rows, kept)

    monkeypatch.setattr(stage, "temperatures", seen)
    pipeline.run_stage(run, "export")
    (rows,) = fitted
    assert rows.tolist() == columns.labelled("validation").tolist() and len(rows) >= 20
    read = np.unique(np.concatenate(taken))
    assert np.isin(rows, read).all() and not np.isin(read, columns.rows("test")).any()
    assert int8 == "off" or np.isin(read, columns.rows("train")).any()  # ranges of activations


@pytest.mark.parametrize("most", [pytest.param(stage.ROWS, marks=[pytest.mark.slow, pytest.mark.long]), 5])
def test_it_tells_how_many_rows_were_compared(distilled, tmp_path, monkeypatch, most: int) -> None:
    run, given = opened(distilled, tmp_path, "export.int8=off"), []
    compare = parity.compare

    def recorded(model: FusionModel, predictor: Any, columns: Columns, rows: np.ndarray, every: bool) -> dict:
        given.append(rows)
        return compare(model, predictor, columns, rows, every)

    monkeypatch.setattr(stage, "ROWS", most)
    monkeypatch.setattr(parity, "compare", recorded)
    pipeline.run_stage(run, "export")
    available = len(Columns.open(run.path("data")).labelled("validation"))
    assert 5 < available < 512
    assert (read_json(run.path("export", "parity.json")) or {})["rows"] == len(given[0]) == min(available, most)


def other_model(model: FusionModel, file: Path) -> None:
    """A graph of another network of the same shape."""
    other = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    EXPORT(other, file)


def test_a_graph_that_is_not_the_model_exports_nothing(distilled, tmp_path, monkeypatch) -> None:
    run = opened(distilled, tmp_path)
    torch.manual_seed(0)
    sound = export_folder.export
    monkeypatch.setattr(export_folder, "export", other_model)
    with pytest.raises(SuffuseError, match="the export is not the model") as caught:
        pipeline.run_stage(run, "export")
    assert "export, picture+question" in caught.value.line()
    assert not run.path("export").exists() and run.stamp("export") is None
    monkeypatch.setattr(export_folder, "export", sound)
    pipeline.run_stage(run, "export")
    assert run.path("export", "model.onnx").exists() and run.stamp("export") is not None


class Leaky:
    """A model's own answers, moved a little by what stands in absent slots."""

    def __init__(self, model: FusionModel, columns: Columns, more: float):
        self.model, self.columns, self.more = model, columns, more

    def logits(self, entries: Mapping[str, np.ndarray], present: np.ndarray) -> np.ndarray:
        rows = np.arange(len(present))
        here = replace(
            self.columns, entries=dict(entries), entry=np.stack([rows] * present.shape[1], 1), present=present,
            target=self.columns.target[rows], split=self.columns.split[rows],
            group=self.columns.group[rows], key=self.columns.key[rows],
        )  # fmt: skip
        absent = sum(e[~present[:, m]].sum() for m, e in enumerate(entries.values()))
        return logits(self.model, here, rows) + self.more * float(absent)


def test_what_stands_in_an_absent_slot_must_change_no_bit(distilled) -> None:
    columns = Columns.open(distilled.path("data"))
    model, rows = open_model(distilled.path("student", "seed-1")), columns.labelled("validation")[:12]
    sound = parity.compare(model, Leaky(model, columns, 0.0), columns, rows, True)
    parity.check(sound, 1e-4, "export")
    leaky = parity.compare(model, Leaky(model, columns, 1e-9), columns, rows, True)
    assert all(facts["difference"] < 1e-4 for facts in leaky.values())
    with pytest.raises(SuffuseError, match="the export is not the model"):
        parity.check(leaky, 1e-4, "export")


@pytest.mark.parametrize("difference", [1.1e-4, 0.5, float("nan")])
def test_a_difference_beyond_the_tolerance_is_refused(difference: float) -> None:
    facts = {"same_answer": 1.0, "absent_changes_nothing": True}
    parity.check({"all": {**facts, "difference": 1e-4}}, 1e-4, "export")
    with pytest.raises(SuffuseError, match="the export is not the model"):
        parity.check({"all": {**facts, "difference": difference}}, 1e-4, "export")
