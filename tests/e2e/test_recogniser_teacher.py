"""Whole runs with a recogniser as the teacher, by the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from e2e_tools import check_failure, check_success, suffuse
from recogniser_tools import raw_recipe, write_ctc, write_rows

from suffuse.files import read_json


def write_project(folder: Path, name: str = "letters") -> None:
    """recipe.yaml beside its table and, in ``letters``, a recogniser."""
    write_rows(folder)
    (folder / "recipe.yaml").write_text(yaml.safe_dump(raw_recipe(Path("rows.csv"), name=name)), encoding="utf-8")


@pytest.mark.slow
@pytest.mark.long
def test_a_student_learns_from_a_recogniser_that_the_run_asks(tmp_path: Path):
    write_project(tmp_path)
    write_ctc(tmp_path / "letters")
    result = check_success(suffuse("run", "recipe.yaml", "--out", "run", cwd=tmp_path))
    assert "18 distinct recordings by letters, 18 of them left to recognise" in result.err
    facts = read_json(tmp_path / "run" / "teacher" / "training.json")
    assert facts["reasons"]["no recording"] == 1 and facts["answered"] + sum(facts["reasons"].values()) == 20
    for reason, count in facts["reasons"].items():
        assert f"{count} of all 20 rows left out: {reason}" in result.err
    lines = (tmp_path / "run" / "teacher" / "transcripts.jsonl").read_text(encoding="utf-8").splitlines()
    assert len([json.loads(line)["heard"] for line in lines]) == 19
    report = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "the teacher letters says nothing of" in report and "no recording: 1" in report
    assert (tmp_path / "run" / "export" / "model.onnx").is_file()
    again = check_success(suffuse("run", "recipe.yaml", "--out", "run", "--from", "teach", cwd=tmp_path))
    assert "18 distinct recordings by letters, all recognised before" in again.err


def test_a_folder_without_a_recogniser_is_one_line(tmp_path: Path):
    write_project(tmp_path, name="nothing")
    (tmp_path / "nothing").mkdir()
    (tmp_path / "nothing" / "config.json").write_text("{}")
    check_success(suffuse("prepare", "recipe.yaml", "--out", "run", cwd=tmp_path))
    result = suffuse("teach", "recipe.yaml", "--out", "run", cwd=tmp_path)
    check_failure(result, 2, "this folder holds no recogniser", "teacher.name")
