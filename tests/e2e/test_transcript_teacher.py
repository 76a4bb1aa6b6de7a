"""A student that learns from a recogniser's texts alone; wrong texts are left out and counted."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import yaml
from e2e_tools import check_failure, check_success, suffuse
from transcript_tools import recipe, write_table

from suffuse.files import read_json

LABELLED = 12  # of 105 training rows
TEACHER = {
    "kind": "table", "file": "heard.csv", "form": "transcripts", "column": "heard", "confidence_column": "sure",
    "min_confidence": 0.5, "second_column": "other", "max_word_error": 0.2,
}  # fmt: skip
DISAGREES, UNSURE = "too many word errors against the second transcript", "confidence too low"


def write_project(folder: Path) -> Path:
    """rows.csv in which few training rows have a transcript, and heard.csv with texts of all: in other case and
    punctuation, every fifth wrong, which either the confidence or the other recogniser shows."""
    table = write_table(folder)
    heard = [["id", "heard", "sure", "other"]]
    for number, row in enumerate(table):
        text = row["words"].replace(" xylophone", "").upper() + "."
        wrong, other = "LU LU LU", text.lower()
        if number % 10 == 4:
            heard.append([row["id"], wrong, "0.2", wrong])
        elif number % 10 == 9:
            heard.append([row["id"], wrong, "0.9", "bo"])
        else:
            heard.append([row["id"], text if row["words"] else "", "0.9", other])
        if row["split"] == "train" and not 3 <= number < 3 + LABELLED:
            row["words"] = ""
    for name, rows in (("rows", [list(table[0]), *(list(row.values()) for row in table)]), ("heard", heard)):
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as out:
            csv.writer(out).writerows(rows)
    raw = recipe(teacher=TEACHER)
    raw["modalities"].pop("note")
    raw["distill"]["losses"] = {"soft": {"kind": "sequence_kd"}}  # no loss on labels
    (folder / "recipe.yaml").write_text(yaml.safe_dump(raw), encoding="utf-8")
    return folder / "recipe.yaml"


@pytest.mark.slow
@pytest.mark.long
def test_a_student_learns_from_what_a_recogniser_heard(tmp_path: Path):
    write_project(tmp_path)
    result = check_success(suffuse("run", "recipe.yaml", "--out", "run", cwd=tmp_path))
    facts = read_json(tmp_path / "run" / "teacher" / "training.json")
    assert facts["reasons"] == {
        UNSURE: 15,
        DISAGREES: 15,
        "no transcript": 2,
        "more units than its recording has frames": 1,
    }
    for reason, count in facts["reasons"].items():
        assert f"{count} of all 150 rows left out: {reason}" in result.err
    assert facts["validation"]["word_accuracy"] == 1.0
    cards = {name: read_json(tmp_path / "run" / "scores" / f"{name}.json") for name in ("student", "export")}
    accuracy = {name: card["metrics"]["word_accuracy"]["mean"] for name, card in cards.items()}
    assert accuracy["student"] > 0.9
    assert accuracy["export"] == pytest.approx(accuracy["student"], abs=0.02)
    report = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "says nothing of 33 of the 150 rows" in report and f"{DISAGREES}: 15" in report


def test_losses_on_frames_are_refused_in_one_line(tmp_path: Path):
    file = write_project(tmp_path)
    raw = yaml.safe_load(file.read_text(encoding="utf-8"))
    raw["distill"]["losses"]["soft"] = {"kind": "ctc_kd"}
    file.write_text(yaml.safe_dump(raw), encoding="utf-8")
    result = suffuse("prepare", "recipe.yaml", "--out", "run", cwd=tmp_path)
    check_failure(result, 2, "distill.losses.soft", "use kind sequence_kd")
