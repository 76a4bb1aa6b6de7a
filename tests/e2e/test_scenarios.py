"""The shipped recipes on a slice of their real data, all the way: few rows, one epoch; no number is looked at. Each
student is exported, predicts a table, and answers over HTTP what it answers there."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from serving_tools import as_json, client

from suffuse import Predictor, Run, run_all, scores, sources
from suffuse.stages.predict import Options, predict

RECIPES = Path(__file__).parents[2] / "recipes"
SHORT = ("teacher.train.epochs=1", "distill.train.epochs=1", "distill.num_seeds=1", "distill.unimodal_baselines=false")
CHEAP = ["ranking", "agreement", "missing", "temperature", "explained", "size"]  # of a large teacher


def a_slice(source: Path, folder: Path, each: dict[str, int]) -> Path:
    """The first rows of each split, as a table of their own."""
    left, kept = dict(each), []
    with source.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        for row in reader:
            if left.get(row["split"], 0):
                left[row["split"]] -= 1
                kept.append(row)
        names = list(reader.fieldnames or ())
    with (folder / "rows.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(kept)
    return folder / "rows.csv"


def questions(folder: Path) -> tuple[Path, Path]:
    """Some questions of easy-VQA as a table of their own, and where its pictures are."""
    rows = sources.read("easy-vqa")
    kept = [rows.table.filter(pc.equal(rows.table["split"], s)).slice(0, n) for s, n in (("train", 400), ("test", 60))]
    pq.write_table(pa.concat_tables(kept), folder / "rows.parquet")
    return folder / "rows.parquet", rows.root


def served(run: Run, source: Path, root: Path, folder: Path) -> None:
    """The table is predicted, and rows of it get the same answers from a server."""
    predictor, out = Predictor.load(run.path("export")), folder / "answers.parquet"
    table = sources.read(str(source)).table
    assert predict(run.path("export"), str(source), out, Options(root=str(root))).rows == table.num_rows
    answered = pq.read_table(out).to_pylist()
    with client({"scenario": predictor}) as server:
        for at in (0, 1, table.num_rows - 1):
            made = record(predictor, table.slice(at, 1).to_pylist()[0], root)
            said = server.post("/v1/models/scenario/predict", json={"records": [as_json(made), dict.fromkeys(made)]})
            assert said.status_code == 200, said.text
            full, empty = said.json()["predictions"]
            assert set(full["used"]) | set(full["absent"]) == set(predictor.names) == set(empty["absent"])
            for name, answer in full["answers"].items():
                column = "confidence" if len(full["answers"]) == 1 else f"confidence({name})"
                assert answer["confidence"] == pytest.approx(answered[at][column], abs=1e-5)


def record(predictor: Predictor, row: dict[str, Any], root: Path) -> dict[str, Any]:
    """A row's cells as a client sends them: files by their content."""
    made: dict[str, Any] = {}
    for one in predictor.describe()["inputs"]:
        for column in one["columns"]:
            value = row.get(column["name"])
            if value not in (None, ""):
                file = column["type"] in ("image", "audio") and isinstance(value, str)
                made[column["name"]] = (root / value).read_bytes() if file else value
    return made


@pytest.mark.slow
@pytest.mark.long
def test_questions_on_a_slice(tmp_path):
    source, root = questions(tmp_path)
    overrides = (f"data.source={source}", f"data.root={root}", *SHORT, "distill.label_fractions=[]")
    run = Run.open(RECIPES / "easy-vqa.yaml", overrides, tmp_path / "run")
    assert run_all(run)
    served(run, source, root, tmp_path)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.real
@pytest.mark.parametrize(
    ("recipe", "data", "each", "more", "smaller"),
    [
        (
            "products",
            "fashion9k",
            {"train": 150, "val": 40, "test": 40},
            # torch needs most of a minute to trace the teacher; its encoders' exports have tests of their own
            (
                "teacher.num_seeds=1",
                "teacher.unimodal_baselines=false",
                f"evaluate.probes={CHEAP}",
                "export.teacher=false",
            ),
            100,
        ),
        ("orders", "coffee_orders619", {"train": 90, "val": 20, "test": 20}, (), 2),
    ],
)
def test_a_scenario_on_a_slice(recipe, data, each, more, smaller, shared_data, tmp_path):
    source = a_slice(shared_data / data / "manifest.csv", tmp_path, each)
    overrides = (f"data.source={source}", f"data.root={shared_data / data}", *SHORT, *more)
    run = Run.open(RECIPES / f"{recipe}.yaml", overrides, tmp_path / "run")
    assert run_all(run)
    cards = scores(run)
    assert {"majority", "teacher", "student", "baseline", "export"} <= set(cards)
    assert cards["teacher"]["parameters"] > smaller * cards["student"]["parameters"]
    assert all(0 <= card["metrics"]["accuracy"]["mean"] <= 1 for card in cards.values())
    assert run.path("report.html").stat().st_size < 3_000_000
    predictor = Predictor.load(run.path("export"))
    answer = predictor.predict([{i.field.name: None for i in predictor.inputs}])[0]  # nothing is there: the prior
    assert len(answer.absent) == len(predictor.inputs)
    assert len(answer.answers) == len(run.recipe.data.targets)
    served(run, source, shared_data / data, tmp_path)
    if recipe == "orders":
        assert {"teacher-only-speech", "teacher-only-transcript"} <= set(cards)
        assert run.recipe.student.encoders.keys() == {"sound"}
