"""Answers of an export with several targets, or one that isn't of classes: from Python, and as files."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from prediction_files import read_predictions

from suffuse import pipeline
from suffuse.activations import activate
from suffuse.data.columns import Columns
from suffuse.engine.inference import logits
from suffuse.exporters import export_folder as exporter
from suffuse.model import FusionModel
from suffuse.predictor import Predictor
from suffuse.run import Run
from suffuse.stages.predict import predict

COLOURS, SIZES = ('red, "dark"', "蓝色", "green"), ("small", "large")
TASKS = {"tags": {"kind": "labels"}, "price": {"kind": "number"}}
ALL = ["colour", "tags", "price"]


def write_rows(file: Path, rows: int = 60) -> Path:
    """Two texts decide everything; some are empty, in one row both."""
    lines = []
    for n in range(rows):
        colour, size = COLOURS[n % 3], SIZES[n // 3 % 2]
        tags = ";".join(t for t, there in (("warm", n % 3 == 0), ("big", n // 3 % 2)) if there)
        first, second = f"a {colour} thing {n}", f"it is {size}"
        first, second = "" if n % 7 in (2, 3) else first, "" if n % 7 in (3, 4) else second
        lines.append([n, first, second, colour, tags or "plain", 1900 + 10 * (n % 3) + n / 100])
    with file.open("w", newline="", encoding="utf-8") as out:
        csv.writer(out).writerows([["id", "first", "second", "colour", "tags", "price"], *lines])
    return file


def prepared(folder: Path, targets: str | list[str]) -> tuple[Run, FusionModel, Path]:
    """Columns, a student with weights drawn by chance, and its export."""
    encoder = {"kind": "gru", "embedding": 4, "width": 4}
    network = {"encoders": {"first": encoder, "second": encoder}, "fusion": {"kind": "concat", "width": 6}}
    text = {"kind": "text", "tokens": "words", "length": 8}
    names = [targets] if isinstance(targets, str) else targets
    made = {
        "data": {
            "source": str(write_rows(folder / "rows.csv")),
            "target": targets,
            "tasks": {n: TASKS[n] for n in names if n in TASKS},
            "split": {"stratify": False},
        },
        "modalities": {name: {**text, "column": name} for name in ("first", "second")},
        "teacher": network,
        "student": network,
    }
    run = Run.of(made, folder / "run")
    pipeline.run_stage(run, "prepare")
    torch.manual_seed(3)
    model = FusionModel(run.recipe.student, Columns.open(run.path("data")).spec)
    with torch.no_grad():
        model.head[-1].weight.mul_(9)  # type: ignore[operator]  # answers that differ
    exporter.write(model.eval(), run.recipe, folder / "export")
    return run, model, folder / "export"


@pytest.fixture(scope="module")
def mixed(tmp_path_factory) -> tuple[Run, FusionModel, Path]:
    return prepared(tmp_path_factory.mktemp("mixed"), ALL)


@pytest.fixture(scope="module", params=[pytest.param("tags", marks=[pytest.mark.slow, pytest.mark.long]), "price"])
def single(request, tmp_path_factory) -> tuple[str, Run, Path]:
    """The only target, the run and the export."""
    run, _, export = prepared(tmp_path_factory.mktemp(request.param), request.param)
    return request.param, run, export


def read(file: Path) -> list[dict]:
    """Answers of a file, numbers as numbers."""
    return read_predictions(file, _number)


def _number(key: str, text: str) -> object:
    if key in ("price", "confidence") or key.startswith(("p(", "confidence(")):
        return float(text)
    return int(text) if key == "line" else text


def records(run: Run) -> list[dict]:
    with Path(run.recipe.data.source).open(encoding="utf-8", newline="") as lines:
        return [{"first": r["first"], "second": r["second"]} for r in csv.DictReader(lines)]


def test_every_target_is_answered_as_the_model_does(mixed):
    run, model, export = mixed
    columns = Columns.open(run.path("data"))
    lines = pq.read_table(run.path("data", "rows.parquet"))["line"].to_pylist()
    exact = activate(columns.spec.heads, logits(model, columns, np.arange(len(lines))))
    found = Predictor.load(export).predict([records(run)[line - 2] for line in lines])
    for answer, row in zip(found, exact, strict=True):
        assert list(answer.answers) == ALL
        colour, tags, price = answer.answers.values()
        assert list(colour.probabilities.values()) == pytest.approx(row[:3], abs=1e-5)
        assert colour.value == sorted(COLOURS)[row[:3].argmax()]
        assert list(tags.probabilities.values()) == pytest.approx(row[3:6], abs=1e-5)
        assert tags.value == tuple(n for n, p in zip(tags.probabilities, row[3:6], strict=True) if p > 0.5)
        assert tags.confidence == pytest.approx(np.maximum(row[3:6], 1 - row[3:6]).min(), abs=1e-5)
        assert price.value == pytest.approx(row[6], abs=1e-3)
        assert (price.confidence, price.probabilities) == (None, {})
        assert (answer.label, answer.confidence) == (colour.value, colour.confidence)
    assert len({a.answers["price"].value for a in found}) > 5
    assert len({a.answers["tags"].value for a in found}) > 1


def test_nothing_at_all_is_answered_by_what_is_usual(mixed):
    run, _, export = mixed
    heads = Columns.open(run.path("data")).spec.heads
    answer = Predictor.load(export).predict({"first": None})
    assert set(answer.absent) == {"first", "second"}
    assert answer.answers["price"].value == pytest.approx(heads[2].mean, abs=1e-3)
    assert sum(answer.answers["colour"].probabilities.values()) == pytest.approx(1, abs=1e-5)
    assert answer.answers["tags"].value == tuple(n for n, p in answer.answers["tags"].probabilities.items() if p > 0.5)


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_files_hold_a_column_per_target_and_all_that_was_said(mixed, tmp_path, form: str):
    run, _, export = mixed
    assert predict(export, run.recipe.data.source, tmp_path / f"said.{form}").rows == 60
    found, wanted = read(tmp_path / f"said.{form}"), Predictor.load(export).predict(records(run))
    plain = ["line", "colour", "confidence(colour)", "tags", "confidence(tags)", "price"]
    spoken = [f"p(colour={c})" for c in sorted(COLOURS)] + [f"p(tags={t})" for t in ("big", "plain", "warm")]
    for number, (line, answer) in enumerate(zip(found, wanted, strict=True)):
        assert list(line) == [*plain, *spoken, "absent", "used"]
        assert line["line"] == number + 2
        colour, tags, price = answer.answers.values()
        assert (line["colour"], line["tags"]) == (colour.value, "; ".join(tags.value))
        assert line["price"] == pytest.approx(price.value)
        assert line["confidence(colour)"] == pytest.approx(colour.confidence)
        assert [line[k] for k in spoken] == pytest.approx(
            [*colour.probabilities.values(), *tags.probabilities.values()]
        )
        assert ("first: empty" in line["absent"]) == (number % 7 in (2, 3))
        assert ("second: empty" in line["absent"]) == (number % 7 in (3, 4))


def test_numbers_and_texts_keep_their_types_in_parquet(mixed, tmp_path):
    run, _, export = mixed
    predict(export, run.recipe.data.source, tmp_path / "said.parquet")
    kinds = {f.name: str(f.type) for f in pq.read_schema(tmp_path / "said.parquet")}
    assert (kinds["line"], kinds["price"], kinds["tags"], kinds["colour"]) == ("int64", "double", "string", "string")
    assert {k for n, k in kinds.items() if n.startswith(("p(", "confidence("))} == {"double"}


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_the_only_target_is_called_by_its_name_whatever_its_kind(single, tmp_path, form: str):
    target, run, export = single
    predict(export, run.recipe.data.source, tmp_path / f"said.{form}")
    wanted = Predictor.load(export).predict(records(run))
    for line, answer in zip(read(tmp_path / f"said.{form}"), wanted, strict=True):
        if target == "price":
            assert list(line) == ["line", target, "absent", "used"]
            assert float(line[target]) == pytest.approx(answer.first.value)
            assert math.isfinite(answer.first.value) and answer.label == str(answer.first.value)
        else:
            assert list(line) == ["line", target, "confidence", "p(big)", "p(plain)", "p(warm)", "absent", "used"]
            assert line[target] == "; ".join(answer.first.value) == answer.label
            assert line["p(big)"] == pytest.approx(answer.probabilities["big"])


def test_targets_named_as_other_columns_of_the_answers_are_kept_apart(tmp_path):
    source = write_rows(tmp_path / "rows.csv")
    source.write_text(source.read_text(encoding="utf-8").replace("colour,tags", "line,absent", 1), encoding="utf-8")
    encoder = {"kind": "gru", "embedding": 2, "width": 2}
    network = {"encoders": {"first": encoder}, "fusion": {"kind": "concat", "width": 2}}
    made = {
        "data": {"source": str(source), "target": ["line", "absent"], "max_quarantined": 0.5},
        "modalities": {"first": {"kind": "text", "column": "first"}},
        "teacher": network,
        "student": network,
    }
    run = Run.of(made, tmp_path / "run")
    pipeline.run_stage(run, "prepare")
    model = FusionModel(run.recipe.student, Columns.open(run.path("data")).spec).eval()
    exporter.write(model, run.recipe, tmp_path / "export")
    predict(tmp_path / "export", str(source), tmp_path / "said.jsonl")
    found = read(tmp_path / "said.jsonl")
    assert [one["line"] for one in found] == list(range(2, 62))
    assert {one["answer(line)"] for one in found} <= set(COLOURS)
    assert {one["answer(absent)"] for one in found} <= {"big", "warm", "plain", "warm;big"}
    assert {one["absent"] for one in found} == {"", "first: empty text"}
