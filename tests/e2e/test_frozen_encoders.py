"""A whole run with pretrained, frozen encoders in teacher and student."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from suffuse import pipeline
from suffuse.files import read_json
from suffuse.model import open_model
from suffuse.run import Run

BERT = {
    "model_type": "bert", "vocab_size": 400, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
    "intermediate_size": 16, "max_position_embeddings": 16,
}  # fmt: skip


@pytest.fixture
def recipe(tmp_path, write_table, tiny_recipe, timm_folder, hugging_folder) -> dict:
    """Names of folders are relative to the recipe's own."""
    made = tiny_recipe(write_table(tmp_path / "table"))
    timm_folder("test_resnet"), hugging_folder(BERT, name="bert")
    made["modalities"]["picture"]["size"] = 32
    made["teacher"]["encoders"]["picture"] = {"kind": "timm", "name": "test_resnet", "frozen": True}
    made["student"]["encoders"]["question"] = {"kind": "huggingface", "name": "bert", "frozen": True}
    made["distill"]["unimodal_baselines"] = True
    return made


@pytest.mark.slow
@pytest.mark.long
def test_frozen_encoders_all_the_way(recipe, tmp_path):
    recipe["export"] = {"teacher": False}
    run = Run.of(recipe, tmp_path / "run", base=tmp_path)
    pipeline.run_all(run)
    kept = {p.name.partition("-")[0]: p for p in run.path("features", "1").glob("*.npy")}
    assert set(kept) == {"picture", "question"}
    pictures = np.load(run.path("data", "entry.npy"))[:, 0].max() + 1
    assert np.load(kept["picture"]).shape[0] == pictures
    teacher, student = open_model(run.path("teacher")), open_model(run.path("student", "seed-1"))
    assert teacher.encoder("picture").frozen and student.encoder("question").frozen
    assert read_json(run.path("export", "parity.json"))["subsets"]
    scores = read_json(run.path("scores", "student.json"))
    assert {p.name for p in run.path("scores").glob("only-*.json")} == {"only-picture.json", "only-question.json"}

    times = {p: p.stat().st_mtime_ns for p in kept.values()}
    other = Run.of({**recipe, "teacher": {**recipe["teacher"], "hidden": 4}}, tmp_path / "run", base=tmp_path)
    pipeline.run_all(other)
    assert {p: p.stat().st_mtime_ns for p in run.path("features", "1").glob("*.npy")} == times  # found again

    shutil.rmtree(run.path("features"))
    shutil.rmtree(tmp_path / "bert")
    shutil.rmtree(tmp_path / "test_resnet")
    run.put_aside(run.path("stamps", "evaluate.json"), "evaluate.stamp.json")
    pipeline.run_stage(other, "evaluate")  # from what the models hold themselves
    assert read_json(run.path("scores", "student.json"))["rows"] == scores["rows"]
    again = {p.name.partition("-")[0]: p for p in run.path("features", "1").glob("*.npy")}
    assert {n: p.name for n, p in again.items()} == {n: p.name for n, p in kept.items()}


@pytest.mark.slow
@pytest.mark.long
def test_a_teacher_that_can_t_be_exported_still_teaches(recipe, tmp_path, monkeypatch, capsys):
    from suffuse.encoders import timm

    monkeypatch.setattr(timm, "hindrance", lambda settings, layers: "it is made of paper", raising=False)
    recipe["distill"]["unimodal_baselines"] = False
    recipe["export"] = {"teacher": True}
    run = Run.of(recipe, tmp_path / "run", base=tmp_path)
    pipeline.run_all(run)
    assert "no export to compare with: it is made of paper" in capsys.readouterr().err
    assert not run.path("export-teacher").exists() and run.path("export", "model.onnx").exists()
    assert "latency_ms" not in read_json(run.path("scores", "teacher.json"))
    assert "latency_ms" in read_json(run.path("scores", "export.json"))
