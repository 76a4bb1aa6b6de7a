"""The audit of what trainings recorded: a record that isn't the run's is found, whoever wrote it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from e2e_tools import make_project

from suffuse import pipeline
from suffuse.audit import ITEMS as ALL
from suffuse.audit.auditor import check_item
from suffuse.audit.evidence import Evidence
from suffuse.data.columns import Columns
from suffuse.engine import student_training
from suffuse.engine.loop import fit
from suffuse.engine.training_record import save_trained
from suffuse.prepare.row_keys import summarise
from suffuse.run import Run

TRAIN = {"epochs": 1, "batch": 16}
ITEMS = (31, 32, 33, 34)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run as far as its students, with all labels and with half of them."""
    project = tmp_path_factory.mktemp("audited")
    distill = {"train": TRAIN, "num_seeds": 1, "label_fractions": [0.5], "unimodal_baselines": False}
    recipe = make_project(project, teacher__train=TRAIN, teacher__unimodal_baselines=False, distill=distill)
    run = Run.open(recipe, ["compute.threads=1"], project / "run")
    for verb in ("prepare", "teach", "extract", "distill"):
        pipeline.run_stage(run, verb)
    return run


@pytest.fixture
def run(finished: Run, tmp_path: Path) -> Run:
    return Run.open(shutil.copytree(finished.folder, tmp_path / "run"))


def states(run: Run) -> dict[int, tuple[str, str]]:
    evidence = Evidence(run)
    found = [check_item(evidence, item) for item in ALL if item.number in ITEMS]
    return {one.item.number: (one.state, one.fact) for one in found}


def test_a_run_as_it_should_be_is_kept(finished: Run) -> None:
    found = states(finished)
    assert {state for state, _ in found.values()} == {"kept"}, found
    assert found[31][1] == "5 trainings: epoch chosen on validation rows alone"
    assert found[33][1] == "2 pairs: same labels, same budget of steps"


def edit(run: Run, who: str, change: Callable[[dict[str, Any]], object]) -> None:
    file = run.path(*who.split("/"), "training.json")
    facts = json.loads(file.read_text(encoding="utf-8"))
    change(facts)
    file.write_text(json.dumps(facts), encoding="utf-8")


def of(run: Run, split: str, every: int = 1) -> dict[str, Any]:
    """The summary of a split's labelled rows."""
    columns = Columns.open(run.path("data"))
    return dict(summarise(columns.labelled(split)[::every], columns.split, columns.group, columns.key))


STUDENT, HALF = "student/seed-1", "student-0.5/seed-1"


@pytest.mark.parametrize(
    ("who", "change", "broken", "words"),
    [
        (STUDENT, lambda run, f: f["rows"].update(epoch=of(run, "test")), {31, 33}, "test rows"),
        ("teacher", lambda run, f: f["rows"].update(epoch=of(run, "train")), {31}, "train rows"),
        (STUDENT, lambda run, f: f["rows"].update(epoch=of(run, "validation", 2)), {31, 33}, "aren't the run's"),
        (STUDENT, lambda run, f: f["rows"].update(epoch={}), {31, 33}, "no row"),
        (HALF, lambda run, f: f["rows"].update(labels=of(run, "train")), {32, 33}, "0.5 of them"),
        (HALF, lambda run, f: f["rows"].update(epoch=of(run, "validation")), {31, 32, 33}, "0.5 of them"),
        (STUDENT, lambda run, f: f["rows"].update(labels=of(run, "test")), {32, 33}, "labels of"),
        ("teacher", lambda run, f: f["rows"].update(standardised=of(run, "test")), {34}, "test rows"),
        (STUDENT, lambda run, f: f["steps"].update(budget=99), {33}, "99 batches"),
        (STUDENT, lambda run, f: f["steps"].update(taken=f["steps"]["taken"] - 1), {33}, "took"),
        (STUDENT, lambda run, f: f["steps"].update(optimizer_steps=1), {33}, "steps of the optimiser"),
        (STUDENT, lambda run, f: f.pop("rows"), {31, 32, 33, 34}, "no record"),
        ("baseline/seed-1", lambda run, f: f.pop("steps"), set(ITEMS), "no record"),
        (STUDENT, lambda run, f: f.clear() or f.update(version=2), {31, 32, 33, 34}, "no record"),
        (STUDENT, lambda run, f: f.update(rows={"epoch": 3, "labels": [], "standardised": 1}), set(ITEMS), "record"),
        (STUDENT, lambda run, f: f.update(rows=7, steps=[]), set(ITEMS), "record"),
    ],
)
def test_a_record_that_isn_t_the_run_s_is_broken(run: Run, who, change, broken, words) -> None:
    edit(run, who, lambda facts: change(run, facts))
    found = states(run)
    assert {number for number, (state, _) in found.items() if state == "broken"} == broken, found
    assert any(who in fact and words in fact for _, fact in found.values())


def test_an_earlier_version_s_trainings_are_not_recorded(run: Run) -> None:
    def older(facts: dict[str, Any]) -> None:
        for key in ("version", "rows", "steps"):
            del facts[key]

    for who in (STUDENT, HALF, "baseline/seed-1", "baseline-0.5/seed-1", "teacher"):
        edit(run, who, older)
    schema = json.loads(run.path("data", "schema.json").read_text(encoding="utf-8"))
    del schema["fitted_on"]
    run.path("data", "schema.json").write_text(json.dumps(schema), encoding="utf-8")
    found = states(run)
    assert {state for state, _ in found.values()} == {"warning"}
    assert all("not recorded" in fact for _, fact in found.values())


def test_a_file_that_can_t_be_read_is_no_earlier_version(run: Run) -> None:
    run.path("student", "seed-1", "training.json").write_bytes(b"")
    assert {state for state, _ in states(run).values()} == {"broken"}


def test_inputs_that_were_fitted_on_other_rows_are_found(run: Run) -> None:
    schema = json.loads(run.path("data", "schema.json").read_text(encoding="utf-8"))
    schema["fitted_on"] = {**schema["fitted_on"], **of(run, "test")}
    run.path("data", "schema.json").write_text(json.dumps(schema), encoding="utf-8")
    state, fact = states(run)[34]
    assert state == "broken" and "rows of train and test" in fact


def test_a_prior_of_other_rows_is_found(run: Run) -> None:
    schema = json.loads(run.path("data", "schema.json").read_text(encoding="utf-8"))
    schema["log_prior"] = (np.array(schema["log_prior"]) + np.linspace(0, 0.1, len(schema["log_prior"]))).tolist()
    run.path("data", "schema.json").write_text(json.dumps(schema), encoding="utf-8")
    state, fact = states(run)[34]
    assert state == "broken" and "prior of answer" in fact


def test_splits_that_moved_after_the_training_are_found(run: Run) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(run.path("data", "rows.parquet"))
    split = ["test" if one == "validation" else one for one in table["split"].to_pylist()]
    at = table.schema.get_field_index("split")
    pq.write_table(table.set_column(at, "split", pa.array(split)), run.path("data", "rows.parquet"))
    assert states(run)[31][0] == "broken"


LEAKS = {
    "epoch chosen on test rows": ('columns.labelled("validation")', 'columns.labelled("test")', 1.0, 31),
    "a share that sees all labels": ("columns.hidden(allowed)", "columns.hidden(allowed | True)", 0.5, 32),
    "a share whose validation sees all labels": ("judged[allowed[judged]]", "judged", 0.5, 32),
    "vectors standardised by all rows": ('ing(columns.rows("train"))', "ing(columns.split >= 0)", 1.0, 34),
}


@pytest.mark.parametrize("leak", LEAKS)
def test_a_leak_in_the_code_of_the_training_shows_in_its_record(run: Run, tmp_path: Path, leak: str) -> None:
    """What is recorded is what was read: a training whose code is wrong tells it."""
    before, after, fraction, item = LEAKS[leak]
    source, wrong = Path(student_training.__file__).read_text(encoding="utf-8"), dict(vars(student_training))
    assert source.count(before) == 1
    exec(compile(source.replace(before, after), student_training.__file__, "exec"), wrong)
    who = "student" if fraction == 1 else f"student-{fraction:g}"
    made = wrong["Job"](who, 1, True, fraction, None)
    objective, plan = wrong["prepared"](run, made, tmp_path / "work", lambda share, words: None)
    save_trained(objective.model, fit(objective, plan), plan, run.path(who, "seed-1"))
    assert states(run)[item][0] == "broken", states(run)
