"""From raw rows to the report with a teacher that the run doesn't train."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from e2e_tools import check_failure, check_success, make_project, make_recipe, make_rows, suffuse, write_recipe


def sure(row: dict[str, str], classes: list[str]) -> list[float]:
    """Right and not quite sure."""
    return [0.9 if name == row["answer"] else 0.1 / (len(classes) - 1) for name in classes]


def read(run: Path, name: str) -> dict:
    return json.loads((run / name).read_text(encoding="utf-8"))


@pytest.mark.slow
@pytest.mark.long  # quicker: tests/teachers/test_stages.py
def test_a_table_of_answers_teaches(tmp_path: Path) -> None:
    rows = make_rows(tmp_path, 48)
    classes = sorted({row["answer"] for row in rows}, reverse=True)
    recipe = make_project(tmp_path / "project", teacher={"kind": "table", "file": "../answers.csv"})
    check_success(suffuse("prepare", recipe.name, "--out", "run", cwd=recipe.parent))
    told = pq.read_table(recipe.parent / "run" / "data" / "rows.parquet").to_pylist()
    silent = [row["id"] for split in ("train", "validation", "test") for row in told if row["split"] == split][::7]
    per_split = {s: sum(r["split"] == s and r["id"] in silent for r in told) for s in ("train", "validation", "test")}
    with (tmp_path / "answers.csv").open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(["id", *classes])
        for row in rows:
            out.writerow([row["id"], *(sure(row, classes) if row["id"] not in silent else [""] * len(classes))])
    result = check_success(suffuse("run", recipe.name, "--out", "run", cwd=recipe.parent))
    run = recipe.parent / "run"
    assert all(per_split.values())
    assert f"accuracy 1.0000 on validation, says nothing of {per_split['validation']} of" in result.err
    facts = read(run, "teacher/training.json")
    assert facts["validation"]["accuracy"] == 1.0
    assert facts["abstained"] == per_split["validation"]
    stored = read(run, "knowledge/manifest.json")["blocks"][0]["abstentions"]
    assert stored == {"answer": per_split["train"] + per_split["validation"]}
    card = read(run, "scores/teacher.json")
    assert card["answered"]["accuracy"] == 1.0
    assert card["abstained"] == per_split["test"]
    assert (
        card["metrics"]["accuracy"]["mean"] >= 1 - per_split["test"] / card["rows"]
    )  # where it is silent, the prior answers
    assert "parameters" not in card
    assert not (run / "export-teacher").exists()
    assert (run / "export" / "model.onnx").exists()
    assert (run / "report.html").exists()
    assert read(run, "judged.json")["weak"] is False
    told = pq.read_table(run / "scores" / "predictions.parquet")
    assert "teacher" in told.column_names
    again = check_success(suffuse("run", "run", cwd=recipe.parent))
    assert "everything is up to date" in again.err
    with (tmp_path / "answers.csv").open("a", encoding="utf-8") as file:
        file.write("r0," + ",".join(["0.2"] * len(classes)) + "\n")
    status = check_success(suffuse("status", "run", cwd=recipe.parent))
    assert "what teacher.file names has changed" in status.out
    check_failure(suffuse("run", "run", cwd=recipe.parent), 2, "a row is answered twice", "answers.csv:98", "'r0'")


@pytest.mark.slow
@pytest.mark.long
def test_another_run_teaches_with_other_modalities_and_labels_in_another_order(tmp_path: Path) -> None:
    """The first run reads the picture alone and calls its classes otherwise; its classes stand in another order."""
    names = {"blue": "z blau", "circle": "y kreis", "green": "x gruen", "red": "w rot", "square": "v quadrat"}
    first = make_project(tmp_path / "first", student={"encoders": {"question": {"kind": "gru", "width": 4}}})
    rows = list(csv.DictReader((first.parent / "rows.csv").open(encoding="utf-8")))
    with (first.parent / "rows.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["id", "picture", "asked", "antwort", "number"])
        writer.writeheader()
        for row in rows:
            antwort = names[row["answer"]]
            writer.writerow({"id": row["id"], "picture": row["picture"], "asked": row["question"], "antwort": antwort,
                             "number": row["number"]})  # fmt: skip
    made = make_recipe(data__target="antwort")
    made["modalities"] = {
        "image": {"kind": "image", "column": "picture", "size": 8},
        "words": {"kind": "text", "column": "asked", "tokens": "words", "length": 5},
    }
    encoders = {"image": {"kind": "conv", "widths": [8]}, "words": {"kind": "gru", "width": 12}}
    made["teacher"] = {"encoders": encoders, "train": {"epochs": 3, "batch": 16, "learning_rate": 0.01}}
    made["student"] = {"encoders": {"words": {"kind": "gru", "width": 4}}}
    write_recipe(first, made)
    check_success(suffuse("prepare", first.name, "--out", "run", cwd=first.parent))
    check_success(suffuse("teach", first.name, "--out", "run", cwd=first.parent))

    teacher = {"kind": "run", "folder": "../first/run", "columns": {"asked": "question"}}
    second = make_project(tmp_path / "second", teacher={**teacher, "classes": {v: k for k, v in names.items()}})
    result = check_success(suffuse("run", second.name, "--out", "run", cwd=second.parent))
    run, facts = second.parent / "run", read(second.parent / "run", "teacher/training.json")
    own = read(first.parent / "run", "teacher/config.json")["spec"]["heads"][0]["classes"]
    assert own == sorted(names.values())
    assert facts["kind"] == "run"
    assert facts["parameters"] == read(first.parent / "run", "teacher/training.json")["parameters"]
    assert facts["validation"]["accuracy"] > 0.2  # by chance a fifth; in their order it would be far below
    assert read(run, "knowledge/manifest.json")["rows"] > 0
    assert "teacher" in result.out
    assert yaml.safe_load((run / "recipe.yaml").read_text())["teacher"]["folder"] == str(first.parent / "run")


def test_a_teacher_s_mistakes_end_in_one_line(tmp_path: Path) -> None:
    recipe = make_project(tmp_path / "project", teacher={"kind": "table", "file": "answers.csv"})
    check_failure(suffuse("run", recipe.name, cwd=recipe.parent), 2, "no such file", "teacher.file", "answers.csv")
    (recipe.parent / "answers.csv").write_text("id,red,green\nr0,1,0\n", encoding="utf-8")
    check_failure(
        suffuse("run", recipe.name, cwd=recipe.parent), 2, "not all of this run's classes", "blue, circle, square"
    )
    (recipe.parent / "answers.csv").write_text(
        "id,red,green,blue,circle,square,oval\nr0,1,0,0,0,0,0\n", encoding="utf-8"
    )
    check_failure(suffuse("run", recipe.name, cwd=recipe.parent), 2, "classes that this run doesn't have", "oval")
