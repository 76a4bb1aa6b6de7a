"""The export folder of a finished run, through the command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from e2e_tools import Finished, check_failure, check_success, suffuse, undo

from suffuse import FusionModel, Predictor
from suffuse.export_integrity import forms, read, read_signature


def test_the_folder_says_all_of_itself(finished: Finished) -> None:
    export = finished.run / "export"
    signature, contents, _ = read(export)
    assert {"README.md", "parity.json", "question.tokenizer.json"} <= contents.keys()
    assert list(signature["temperatures"]) == ["picture+question", "picture", "question", "nothing"]
    assert signature["temperatures"]["nothing"] == {"answer": 1.0}
    assert signature["limits"]["records"] == 1000 and signature["form"] == "fp32"
    parity = json.loads(contents["parity.json"])
    tried = parity["int8"]
    assert tried["asked"] == "auto" and tried["tried"]["static"]["groups"]
    if tried["ships"]:
        assert forms(export) == ["fp32", "int8"] and signature["forms"]["int8"]["how"] == tried["ships"]
    else:
        assert forms(export) == ["fp32"] and signature["refused"]["int8"] == tried["why"]
    card = contents["README.md"].decode()
    assert f"{signature['forms']['fp32']['bytes']:,}" in card and "temperatures" in card.lower()
    assert str(finished.project) not in card + json.dumps(signature)


@pytest.mark.slow
@pytest.mark.long
def test_the_teacher_is_exported_where_it_is_wanted(copied: Path) -> None:
    student = (copied / "export" / "model.onnx").read_bytes()
    assert (copied / "export-teacher" / "model.onnx").exists()
    check_success(suffuse("export", copied, "--set", "export.teacher=false"))
    assert not (copied / "export-teacher").exists() and (copied / "export" / "model.onnx").read_bytes() == student
    assert list(copied.glob("previous/*/export-teacher/model.onnx"))  # nothing that was made is lost


@pytest.mark.slow
@pytest.mark.long
def test_exporting_again_gives_the_same_bytes(copied: Path) -> None:
    """Times are measured once in a run: what is chosen by them doesn't change."""
    before = {p.name: p.read_bytes() for p in (copied / "export").iterdir()}
    undo(copied, "export")
    check_success(suffuse("export", copied))
    assert {p.name: p.read_bytes() for p in (copied / "export").iterdir()} == before


@pytest.mark.slow
@pytest.mark.long
def test_a_form_by_name_that_isn_t_worth_it_fails_and_with_the_network_it_opens(copied: Path) -> None:
    lost = check_failure(
        suffuse("export", copied, "--set", "export.int8=static"), 1, "static int8 form can't be shipped"
    )
    assert "export.int8: auto" in lost.hints[0]
    check_success(suffuse("export", copied, "--set", "export.int8=off", "--set", "export.torch=true"))
    export = copied / "export"
    assert read_signature(export)["refused"] == {"int8": "switched off"}
    assert FusionModel.from_pretrained(export).size() == read_signature(export)["parameters"]
    best = json.loads((export / "parity.json").read_text())["source"]
    assert FusionModel.from_pretrained(copied / best).size() == FusionModel.from_pretrained(export).size()


def test_a_folder_with_another_file_answers_nothing(finished: Finished, tmp_path: Path) -> None:
    export = Path(shutil.copytree(finished.run / "export", tmp_path / "export"))
    assert Predictor.load(export)
    (export / "custom_ops.so").write_bytes(b"\x7fELF")
    said = suffuse("predict", export, finished.project / "rows.csv", "-o", tmp_path / "out.csv")
    check_failure(said, 1, "can't read the export", "custom_ops.so was not exported")
    assert not (tmp_path / "out.csv").exists()
