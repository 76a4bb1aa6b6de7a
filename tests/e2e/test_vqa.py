"""Question answering on a folder in VQA-RAD's layout, by the recipe that is shipped, with tiny networks."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from e2e_tools import Result, check_success, suffuse

pytestmark = [pytest.mark.slow, pytest.mark.long]  # thirty epochs of a teacher
RECIPE = Path(__file__).parents[2] / "recipes" / "vqa-rad.yaml"
TINY = {
    "modalities.image.size": 24,
    "modalities.question.length": 8,
    "teacher.encoders.image.widths": [8, 16],
    "teacher.encoders.question.width": 16,
    "teacher.encoders.question.embedding": 8,
    "teacher.fusion.width": 24,
    "teacher.hidden": 24,
    "teacher.dropout": 0,
    "teacher.train.epochs": 30,
    "teacher.train.batch": 16,
    "teacher.train.learning_rate": 0.01,
    "teacher.train.patience": 0,
    "student.encoders.image.widths": [4, 8],
    "student.encoders.question.width": 6,
    "student.encoders.question.embedding": 4,
    "student.fusion.width": 8,
    "student.hidden": 8,
    "distill.train.epochs": 3,
    "distill.train.batch": 16,
    "distill.num_seeds": 2,
    "data.tasks.answer.max_classes": 6,
    "data.split.validation": 0.15,
    "evaluate.resamples": 200,
}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, write_questions) -> tuple[Path, Result]:
    """(project, what ``suffuse run`` said); the folder is called as the recipe calls it."""
    project = tmp_path_factory.mktemp("questions")
    write_questions(project / "VQA-RAD", pictures=90)
    (project / "recipe.yaml").write_text(RECIPE.read_text(encoding="utf-8"), encoding="utf-8")
    changes = [word for key, value in TINY.items() for word in ("--set", f"{key}={json.dumps(value)}")]
    check_success(suffuse("check", "recipe.yaml", *changes, cwd=project))
    return project, check_success(suffuse("run", "recipe.yaml", *changes, "--out", "run", "--tables", cwd=project))


def card(project: Path, who: str) -> dict[str, Any]:
    return json.loads((project / "run" / "scores" / f"{who}.json").read_text())


def accuracy(facts: dict[str, Any]) -> float:
    return facts["metrics"]["accuracy"]["mean"]


def test_answers_are_put_into_one_form_and_each_change_is_told(ran: tuple) -> None:
    project, result = ran
    schema = json.loads((project / "run" / "data" / "schema.json").read_text())
    assert len(schema["heads"][0]["classes"]) == 7  # of the seven answers six are kept, and the rarest is other
    assert "other" in schema["heads"][0]["classes"]
    with (project / "run" / "data" / "quarantine.csv").open(encoding="utf-8", newline="") as file:
        notes = list(csv.DictReader(file))
    raw = json.loads((project / "VQA-RAD" / "VQA_RAD Dataset Public.json").read_text())
    changed = [q for q in raw if q["answer"] != q["answer"].strip().strip(".").strip().lower()]
    told = [n for n in notes if n["action"] == "changed" and n["column"] == "answer"]
    assert sorted(int(n["line"]) for n in told) == [q["qid"] for q in changed]
    assert all(n["reason"].startswith("put into one form: '") for n in told)
    assert f"{schema['notes']['changed']['answer: put into one form']:,} changed (" not in result.err  # types are too
    assert " changed (" in result.err


def test_no_picture_stands_in_two_splits(ran: tuple) -> None:
    project, _ = ran
    rows = pq.read_table(project / "run" / "data" / "rows.parquet").to_pylist()
    raw = json.loads((project / "VQA-RAD" / "VQA_RAD Dataset Public.json").read_text())
    places: dict[str, set[str]] = {}
    for row in rows:
        places.setdefault(raw[row["line"] - 1]["image_name"], set()).add(row["split"])
    assert len(places) == 90 and all(len(splits) == 1 for splits in places.values())
    assert {row["by answer_type"] for row in rows} == {"OPEN", "CLOSED"}


def test_scores_by_answer_type_add_up(ran: tuple) -> None:
    project, result = ran
    for who in ("teacher", "student", "baseline", "only-question", "majority", "export", "teacher-only-image"):
        facts = card(project, who)
        by = facts["by"]["answer_type"]
        assert set(by) == {"OPEN", "CLOSED"} and sum(p["rows"] for p in by.values()) == facts["rows"]
        whole = sum(p["rows"] * accuracy(p) for p in by.values()) / facts["rows"]
        assert whole == pytest.approx(accuracy(facts))
    assert "Accuracy by answer type" in result.out
    page = (project / "run" / "report.html").read_text(encoding="utf-8")
    assert "Accuracy by answer type" in page and "What each modality is worth" in page


def test_other_is_never_right(ran: tuple) -> None:
    project, _ = ran
    classes = json.loads((project / "run" / "data" / "schema.json").read_text())["heads"][0]["classes"]
    table = pq.read_table(project / "run" / "scores" / "predictions.parquet")
    target, said = table["target"].to_numpy(), np.array(table["teacher"].to_pylist()).argmax(1)
    assert (target == len(classes)).any()  # a rare answer among the test rows
    assert not (target == classes.index("other")).any()
    assert accuracy(card(project, "teacher")) == pytest.approx((said == target).mean())


def test_controls_of_a_model_that_needs_both(ran: tuple) -> None:
    """The questions tell what is asked, the pictures hold the answer: the teacher needs both."""
    project, result = ran
    for who in ("teacher", "student"):
        found = card(project, who)["controls"]
        assert found["metric"] == "accuracy" and set(found["modalities"]) == {"image", "question"}
        for one in found["modalities"].values():
            assert set(one) == {"blank", "shuffled"}
    teacher = card(project, "teacher")
    assert accuracy(teacher) > accuracy(card(project, "majority")) + 0.25
    for one in teacher["controls"]["modalities"].values():
        cost = one["shuffled"]["cost"]
        assert cost["difference"] == pytest.approx(accuracy(teacher) - one["shuffled"]["mean"])
        assert cost["low"] > 0, teacher["controls"]
    assert "What each modality is worth" in result.out
    assert "WARNING: teacher: shuffling" not in result.out


def test_fusion_is_compared_with_each_modality_alone(ran: tuple) -> None:
    project, result = ran
    compared = json.loads((project / "run" / "scores" / "comparisons.json").read_text())
    pairs = {(c["who"], c["against"]) for c in compared if c["about"] == "fusion"}
    assert pairs == {
        ("teacher", "teacher-only-image"), ("teacher", "teacher-only-question"),
        ("baseline", "only-image"), ("baseline", "only-question"),
    }  # fmt: skip
    worse = [c for c in compared if c["about"] == "fusion" and c["verdict"] != "helps"]
    assert ("WARNING: fusion doesn't pay here" in result.out) == bool(worse)
