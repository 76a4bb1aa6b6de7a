"""A teacher from outside on its way through teach, extract, distill, export and evaluate; and a weak one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from teacher_tools import CLASSES, MAKERS, raw_rows, recipe, said, softmax, write_answers
from typer.testing import CliRunner

from suffuse import pipeline
from suffuse.audit import audit
from suffuse.audit.items import KEPT, UNCHECKED
from suffuse.cli import app
from suffuse.data.columns import Columns
from suffuse.errors import SuffuseError, UsageError
from suffuse.files import read_json, write_json
from suffuse.prepare.raw_cells import RawRows
from suffuse.recipe import make_recipe, to_yaml
from suffuse.run import Run
from suffuse.stages import distill as stage
from suffuse.stages.distill import Job
from suffuse.teachers.factory import open_teacher


@pytest.fixture
def taught(prepared, tmp_path):
    """A maker of runs of the small table with a teacher from outside, taught."""

    def make(teacher: dict, **changes) -> Run:
        run = Run.of(recipe(prepared.recipe.data.source, teacher=teacher, **changes), tmp_path / "run")
        for verb in ("prepare", "teach"):
            pipeline.run_stage(run, verb)
        return run

    return make


def test_it_is_measured_on_validation_before_it_is_used(taught, prepared, tmp_path, capsys):
    columns, ids = Columns.open(prepared.path("data")), RawRows(prepared).ids
    rows = columns.labelled("validation")
    silent = [ids[rows[1]], ids[rows[3]], ids[columns.labelled("train")[0]]]
    file = write_answers(tmp_path / "a.csv", raw_rows(prepared), CLASSES, silent=silent)
    run = taught({"kind": "table", "file": str(file)})
    facts = read_json(run.path("teacher", "training.json"))
    assert RawRows(run).ids == ids
    by_id = {row["id"]: said(row, CLASSES) for row in raw_rows(run)}
    judged = [r for r in rows if ids[r] not in silent]
    p = softmax(np.array([by_id[ids[r]] for r in judged], dtype=np.float64))
    target = columns.target[judged]
    assert facts["validation"]["accuracy"] == pytest.approx((p.argmax(1) == target).mean())
    assert facts["validation"]["log_loss"] == pytest.approx(-np.log(p[np.arange(len(p)), target]).mean(), rel=1e-4)
    assert facts["rows"] == len(rows)
    assert facts["abstained"] == len(rows) - len(judged) == 2
    assert facts["kind"] == "table"
    assert facts["parameters"] is None
    assert facts["fingerprint"] == open_teacher(run, columns).fingerprint()
    assert not pipeline.run_stage(run, "teach")  # up to date


def test_a_changed_teacher_is_measured_anew_and_refused_until_then(taught, prepared, tmp_path):
    file = write_answers(tmp_path / "a.csv", raw_rows(prepared), CLASSES)
    run = taught({"kind": "table", "file": str(file)})
    write_answers(file, raw_rows(prepared)[:-1], CLASSES)
    with pytest.raises(SuffuseError, match="isn't the one that was measured"):
        open_teacher(run, Columns.open(run.path("data")))
    with pytest.raises(SuffuseError, match=r"what teacher\.file names has changed"):
        pipeline.run_stage(run, "extract")
    assert pipeline.run_stage(run, "teach")
    open_teacher(run, Columns.open(run.path("data")))


def test_a_teacher_that_answers_nothing_or_changes_meanwhile_is_refused(taught, prepared, tmp_path):
    train_alone = raw_rows(prepared)
    prepared_ids, columns = RawRows(prepared).ids, Columns.open(prepared.path("data"))
    kept = {prepared_ids[r] for r in columns.rows("train")}
    silent = [row["id"] for row in train_alone if row["id"] not in kept]
    file = write_answers(tmp_path / "a.csv", train_alone, CLASSES, silent=silent)
    with pytest.raises(SuffuseError, match="no validation row"):
        taught({"kind": "table", "file": str(file)})
    code = "import torch\ndef teacher():\n    module = torch.nn.Linear(2, 3)\n    torch.manual_seed(0)\n"
    code += "    return module, answer, ['blue', 'green', 'red']\ndef answer(module, records):\n"
    code += "    with torch.inference_mode(False):\n        module.bias.data.add_(1)\n"
    code += "    return torch.zeros(len(records), 3)\n"
    (tmp_path / "own.py").write_text(code, encoding="utf-8")
    with pytest.raises(SuffuseError, match="changed while it was asked"):
        taught({"kind": "torch", "adapter": f"{tmp_path / 'own.py'}:teacher", "columns": ["x1", "x2"]})


def test_a_function_that_makes_another_teacher_each_time_is_refused(taught, tmp_path):
    code = (
        "import torch\ndef teacher():\n    return torch.nn.Linear(2, 3), lambda m, r: torch.zeros(len(r), 3), 'abc'\n"
    )
    code = code.replace("'abc'", "['blue', 'green', 'red']")
    (tmp_path / "own.py").write_text(code, encoding="utf-8")
    run = taught({"kind": "torch", "adapter": f"{tmp_path / 'own.py'}:teacher", "columns": ["x1", "x2"]})
    with pytest.raises(SuffuseError) as caught:
        open_teacher(run, Columns.open(run.path("data")))
    assert "the same each time" in caught.value.hint


def test_a_run_of_the_student_s_own_network_is_born_again(taught, finished_run):
    raw = {"kind": "run", "folder": str(finished_run.folder), "columns": {"wording": "text"}}
    raw["classes"] = {"1 rot": "red", "2 blau": "blue", "3 gruen": "green"}
    assert read_json(taught(raw).path("teacher", "training.json"))["born_again"] is False
    network = finished_run.recipe.trained.bare().model_dump(mode="json")
    modalities = {
        "photo": {"kind": "image", "column": "image", "size": 8},
        "note": {"kind": "text", "column": "text", "tokens": "words", "length": 6},
    }
    run = taught(raw, student=network, modalities=modalities)
    assert read_json(run.path("teacher", "training.json"))["born_again"] is True
    stage._smaller(run)  # of the same size, and not refused


def test_a_recipe_of_each_kind_equals_its_yaml(prepared, tmp_path):
    import yaml

    for kind, maker in MAKERS.items():
        if kind in ("keras", "onnx", "huggingface", "zero_shot"):
            continue
        raw = prepared.recipe.model_dump(mode="json") | {"teacher": maker(tmp_path, CLASSES, prepared)}
        made = make_recipe(raw)
        assert make_recipe(yaml.safe_load(to_yaml(made))) == made
        assert made.trained is None
    network = prepared.recipe.student.bare().model_dump(mode="json")
    assert make_recipe(raw | {"teacher": {**network, "kind": "trained"}}).trained


@pytest.mark.parametrize(
    ("teacher", "words"),
    [
        ({"kind": "tabel"}, ("got kind 'tabel'", "did you mean 'table'?")),
        ({"kind": "table", "file": "x", "fold": 5}, ("unknown key", "'fold'", "there is:")),
        ({"kind": "table"}, ("a key is missing", "'file'")),
        ({"kind": "table", "file": "x", "covers": ["smell"]}, ("teacher.covers", "'smell'", "picture, words")),
        ({"kind": "table", "file": "x", "form": "labels"}, ("expected the column",)),
        ({"kind": "ensemble", "members": {"a": {"kind": "trained"}}}, ("got kind 'trained'",)),
        ({"kind": "keras", "file": "x", "labels": ["a"], "inputs": {"x": {"read": "tokens", "column": "c"}}},
         ("teacher.inputs.x", "tokenizer.json")),
    ],
)  # fmt: skip
def test_a_recipe_s_mistakes_are_told_by_their_keys(prepared, teacher, words):
    with pytest.raises(UsageError) as caught:
        make_recipe({**prepared.recipe.model_dump(mode="json"), "teacher": teacher})
    assert "\n" not in caught.value.line()
    for word in words:
        assert word in caught.value.text()


def test_one_student_on_labels_comes_before_any_distilling():
    jobs = [Job("student", 1, True, 1.0, None), Job("baseline", 1, False, 1.0, None)]
    jobs += [Job("student-0.5", 1, True, 0.5, None), Job("baseline-0.5", 1, False, 0.5, None)]
    first, rest = stage.in_order(jobs, 1)
    assert [job.model for job in first] == ["baseline"]
    assert sorted(job.model for job in rest) == ["baseline-0.5", "student", "student-0.5"]
    first, rest = stage.in_order(jobs, 2)
    assert [job.model for job in first] == ["baseline", "baseline-0.5"]  # no process waits
    assert all(job.distilled for job in rest)
    assert stage.in_order(rest, 2) == ([], rest)  # that one is there already
    floors = [Job("only-words", 1, False, 1.0, "words"), *rest]
    assert stage.in_order(floors, 2) == ([], floors)


@pytest.fixture
def weak(prepared, tmp_path, monkeypatch):
    """A run whose teacher is weaker than its student on labels; the trainings are made up, in the order asked for."""

    def make(teacher: float, student: float, **distill) -> tuple[Run, list[str]]:
        made = recipe(prepared.recipe.data.source)
        made["distill"] |= distill
        run, asked = Run.of(made, tmp_path / "run"), []
        write_json(run.path("teacher", "training.json"), {"validation": {"accuracy": teacher, "log_loss": 1.0}})
        (run.folder / "data").symlink_to(prepared.path("data"))

        def train(function: str, orders: list[dict], *_) -> None:
            for order in orders:
                asked.append(order["model"])
                place = run.partial("distill") / order["model"] / f"seed-{order['seed']}" / "training.json"
                made_up = {"accuracy": student, "log_loss": 1.0}
                write_json(place, {"validation": made_up, "training": made_up})

        monkeypatch.setattr(stage, "run_jobs", train)
        return run, asked

    return make


def test_a_weak_teacher_is_told_before_any_distilling(weak, capsys):
    run, asked = weak(0.7, 0.8)
    stage.distill(run)
    said = capsys.readouterr().err
    assert "notice: the teacher is weaker than its student: accuracy 0.7000" in said
    assert asked == ["baseline", "student"]
    found = json.loads((run.partial("distill") / "judged.json").read_text())
    assert found == {"metric": "accuracy", "teacher": 0.7, "label_only": 0.8, "weak": True}


def test_a_weak_teacher_stops_the_run_where_the_recipe_says_so(weak):
    run, asked = weak(0.7, 0.8, weak_teacher="stop")
    with pytest.raises(SuffuseError, match="weaker than its student"):
        stage.distill(run)
    assert asked == ["baseline"]
    with pytest.raises(SuffuseError):  # called again, it says so again and trains nothing
        stage.distill(run)
    assert asked == ["baseline"]


def test_a_strong_teacher_is_not_told_of(weak, capsys):
    run, _ = weak(0.8, 0.8, weak_teacher="stop")
    stage.distill(run)
    assert "notice" not in capsys.readouterr().err
    assert json.loads((run.partial("distill") / "judged.json").read_text())["weak"] is False


def test_check_says_what_is_known_without_asking_the_teacher(prepared, tmp_path):
    """Neither its files nor its code are opened."""
    from suffuse.prepare.check.table_check import check

    made = recipe(prepared.recipe.data.source)
    made["teacher"] = {"kind": "torch", "adapter": str(tmp_path / "none.py") + ":f", "columns": "x1"}
    found = check(Run.of(made, tmp_path / "run"), False)
    assert [t["who"] for t in found.costs["time"]["trainings"]] == ["student"]
    assert not found.runs
    (tmp_path / "none.py").write_text("raise SystemExit(9)", encoding="utf-8")
    assert check(Run.of(made, tmp_path / "run"), False).runs


def test_the_time_of_a_student_is_measured_without_the_teacher(prepared, tmp_path):
    """Losses that ask for what only the teacher could tell are left out of it."""
    from suffuse.evaluation.training_time import estimate_training
    from suffuse.prepare.check.table_check import check

    made = recipe(prepared.recipe.data.source, teacher={"kind": "run", "folder": str(tmp_path)})
    made["distill"]["losses"] = {"soft": {"kind": "kd"}, "inner": {"kind": "hint", "tap": "fused"}}
    run = Run.of(made, tmp_path / "run")
    found = check(run, False)
    assert [f.code for f in found.findings if f.code == "no_teacher"] == ["no_teacher", "no_teacher"]
    teacher = prepared.recipe.student.bare().model_dump(mode="json")
    sample = check(Run.of({**made, "teacher": teacher}, tmp_path), False).sample
    facts = estimate_training(run.recipe, sample)
    assert facts["teacher"] == {"parameters": None, "frozen": {}, "kept": 3}
    assert facts["student"]["step"] > 0


def test_students_learn_from_the_labels_where_the_teacher_abstains(prepared, tmp_path):
    """A third of the training rows has no answer: what is stored of them is NaN, and no weight becomes it."""
    from suffuse.model import open_model

    columns, ids = Columns.open(prepared.path("data")), RawRows(prepared).ids
    silent = [ids[r] for r in columns.rows("train")[::3]]
    file = write_answers(tmp_path / "a.csv", raw_rows(prepared), CLASSES, silent=silent)
    made = recipe(prepared.recipe.data.source, teacher={"kind": "table", "file": str(file)})
    run = Run.of(made, tmp_path / "run")
    for verb in ("prepare", "teach", "extract", "distill"):
        pipeline.run_stage(run, verb)
    facts = read_json(run.path("knowledge", "manifest.json"))
    assert facts["blocks"][0]["abstentions"] == {"answer": len(silent)}
    model = open_model(run.path("student", "seed-1"))
    assert all(bool(tensor.isfinite().all()) for tensor in model.state_dict().values())


@pytest.mark.parametrize("kind", ["torch", "sklearn", "ensemble"])
def test_an_audit_runs_no_code_of_the_recipe_unless_asked(taught, prepared, tmp_path, kind):
    teacher = MAKERS["sklearn" if kind == "sklearn" else "torch"](tmp_path, CLASSES, prepared)
    code, opened = Path(teacher["adapter"].rpartition(":")[0]), tmp_path / "opened"
    lines = f"from pathlib import Path\nPath({str(opened)!r}).touch()\n"
    code.write_text(lines + code.read_text(encoding="utf-8"), encoding="utf-8")
    run = taught({"kind": "ensemble", "members": {"one": teacher}} if kind == "ensemble" else teacher)
    pipeline.run_stage(run, "extract")
    opened.unlink()
    found = {one.item.check: one for one in audit(run)}
    assert found["frozen"].state == UNCHECKED and "--run-code" in found["frozen"].fact
    shown = CliRunner().invoke(app, ["doctor", str(run.folder)])
    assert "unchecked" in shown.stdout.splitlines()[-1]
    assert not opened.exists()
    found = {one.item.check: one for one in audit(run, run_code=True)}
    assert found["frozen"].state == KEPT
    assert opened.exists()
    assert "unchecked" not in CliRunner().invoke(app, ["doctor", str(run.folder), "--run-code"]).output


def test_an_audit_opens_a_teacher_that_runs_no_code(taught, prepared, tmp_path):
    file = write_answers(tmp_path / "a.csv", raw_rows(prepared), CLASSES)
    run = taught({"kind": "table", "file": str(file)})
    pipeline.run_stage(run, "extract")
    assert {one.item.check: one.state for one in audit(run)}["frozen"] == KEPT


def test_a_run_as_a_teacher_names_no_files_outside_of_the_data(taught, finished_run, tmp_path, monkeypatch):
    """Its recipe may be somebody else's: an acoustic model of its own must lie where this run's data may."""
    folder = shutil.copytree(finished_run.folder, tmp_path / "other")
    schema = read_json(folder / "data" / "schema.json")
    write_json(folder / "data" / "schema.json", {**schema, "derive": {"heard": {"facts": {}}}})
    raw = finished_run.recipe.model_dump(mode="json")
    raw["data"]["derive"] = {"heard": {"kind": "transcribe", "column": "image", "model": str(tmp_path / "model")}}
    (folder / "recipe.yaml").write_text(to_yaml(make_recipe(raw)), encoding="utf-8")
    monkeypatch.setattr("suffuse.teachers.run.require", lambda *_: None)  # hashes are no seal
    with pytest.raises(UsageError, match="names a file that may not be opened"):
        taught({"kind": "run", "folder": str(folder), "columns": {"wording": "text"}})
