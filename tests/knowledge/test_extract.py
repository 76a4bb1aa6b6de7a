"""The stage itself: what it says before it starts, what it refuses, and that it finds what is wrong at the end."""

from __future__ import annotations

import dataclasses
import json
import shutil
import types
from pathlib import Path

import numpy as np
import pytest
import torch

from suffuse import pipeline
from suffuse.checked_json import write_checked
from suffuse.data.columns import Columns
from suffuse.data.training_views import Viewer
from suffuse.engine.feature_cache import ready
from suffuse.errors import SuffuseError, UsageError
from suffuse.files import file_facts, read_json, write_json
from suffuse.knowledge import manifest
from suffuse.knowledge.chunks import Block
from suffuse.model import FusionModel
from suffuse.recipe import Network
from suffuse.run import Run
from suffuse.stages import extract as stage
from suffuse.teachers import Question
from suffuse.teachers.trained import Trained

BERT = {
    "model_type": "bert", "vocab_size": 12, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
    "intermediate_size": 16, "max_position_embeddings": 16,
}  # fmt: skip


@pytest.fixture(scope="module")
def taught(tmp_path_factory, write_table, tiny_recipe) -> Run:
    folder = tmp_path_factory.mktemp("taught")
    recipe = tiny_recipe(write_table(folder / "table"))
    recipe["modalities"]["picture"]["augment"] = {"shift": 0.3, "brightness": 0.4}
    recipe["distill"]["train"]["augment"] = True
    run = Run.of(recipe, folder / "run")
    for verb in ("prepare", "teach"):
        pipeline.run_stage(run, verb)
    return run


@pytest.fixture
def run(taught, tmp_path) -> Run:
    """A copy that may be changed."""
    return Run.open(shutil.copytree(taught.folder, tmp_path / "run"))


def edited(run: Run, *overrides: str) -> Run:
    return Run.open(run.folder, overrides)


def test_size_and_time_are_said_before_it_starts(run, capsys, monkeypatch):
    said: list[str] = []
    monkeypatch.setattr(stage.work, "work", lambda *_: said.append(capsys.readouterr().err) or iter(()))
    monkeypatch.setattr(stage.Compaction, "finish", lambda *_: None)
    monkeypatch.setattr(stage, "check", lambda *_: 0.0)
    monkeypatch.setattr(stage, "check_score", lambda *_: None)
    viewed = edited(run, "extract.subsets=each", "extract.views=2")
    viewed.begin("extract", pipeline.inputs(viewed, pipeline.STAGES["extract"]))
    stage.extract(viewed)
    columns = Columns.open(run.path("data"))
    train, both = len(columns.rows("train")), int((columns.split < 2).sum())
    assert f"{3 * (both + 2 * train):,} answers, 9 of subset and view, about " in said[0] and " MB, about " in said[0]


def test_the_forecast_of_the_size_is_near(run, capsys):
    viewed = edited(run, "extract.subsets=each", "extract.views=2")
    pipeline.run_stage(viewed, "extract")
    said = float(capsys.readouterr().err.split(" MB, about ")[0].split("about ")[-1])
    assert said == pytest.approx(manifest.size(manifest.read(run.path("knowledge"))) / 1e6, rel=0.15, abs=0.05)


def test_a_disk_that_is_too_small_stops_it_before_it_starts(run, monkeypatch):
    monkeypatch.setattr(stage.shutil, "disk_usage", lambda _: types.SimpleNamespace(free=1000))
    with pytest.raises(SuffuseError, match="the disk is too small for the knowledge store") as caught:
        pipeline.run_stage(run, "extract")
    assert "top_k" in caught.value.hint
    assert not list(run.partial("extract").glob(".parts/*/*"))


def test_views_that_change_no_answer_are_refused(run, monkeypatch):
    answer = Trained.answer
    monkeypatch.setattr(Trained, "answer", lambda self, q: answer(self, dataclasses.replace(q, view=None)))
    with pytest.raises(UsageError, match=r"answers alike in every view.*got 2, expected 0"):
        pipeline.run_stage(edited(run, "extract.views=2"), "extract")


def test_an_augmentation_matters_where_views_are_stored_and_only_there(run):
    def why(*overrides: str) -> list[str]:
        return pipeline.reasons(edited(run, *overrides), pipeline.STAGES["extract"])

    pipeline.run_stage(run, "extract")
    other = "modalities.picture.augment.shift=0.1"
    assert why(other) == []
    assert "extract.views: 0 -> 1" in why("extract.views=1")
    pipeline.run_stage(edited(run, "extract.views=1"), "extract")
    assert why("extract.views=1", other) == ["modalities.picture.augment.shift: 0.3 -> 0.1"]


def test_views_that_are_added_leave_the_old_answers_as_they_were(run):
    pipeline.run_stage(run, "extract")
    before = {n: np.load(run.path("knowledge", f"{n}.npy")) for n in ("key", "logits")}
    pipeline.run_stage(edited(run, "extract.views=2"), "extract")
    facts = manifest.read(run.path("knowledge"))
    assert facts["reused"] == len(before["key"])
    assert (np.load(run.path("knowledge", "key.npy")) == before["key"]).all()
    assert (np.load(run.path("knowledge", "logits.npy"))[: len(before["key"])] == before["logits"]).all()


def test_a_teacher_that_changes_while_it_is_read_stops_it(run, monkeypatch):
    hashes = iter("ab")
    monkeypatch.setattr(Trained, "fingerprint", lambda self: next(hashes))
    with pytest.raises(SuffuseError, match="the teacher changed while it was read"):
        pipeline.run_stage(run, "extract")
    assert not run.path("knowledge").exists()


def test_a_teacher_that_doesn_t_score_as_it_did_stops_it(run):
    file = run.path("teacher", "training.json")
    facts = read_json(file)
    facts["validation"]["accuracy"] += 0.2
    write_json(file, facts)
    stamp = run.stamp("teach")
    stamp["outputs"]["teacher/training.json"] = file_facts(file)
    write_checked(run.path("stamps", "teach.json"), stamp)
    with pytest.raises(SuffuseError, match="the teacher doesn't score as it did"):
        pipeline.run_stage(run, "extract")


@pytest.mark.parametrize("settings", [(), ("extract.top_k=1", "extract.subsets=each")])
@pytest.mark.parametrize("spoil", [lambda a: a + np.float16(0.5), lambda a: np.roll(a, 1, axis=0)])
def test_answers_that_are_not_the_teacher_s_are_found(run, monkeypatch, settings, spoil):
    """Parts that hold something else, or another row's, as a defect or another library would write them."""
    write = stage.work.chunks.write_part

    def wrong(file: Path, arrays: dict) -> None:
        name = "logits" if "logits" in arrays else "logits.values"
        write(file, {**arrays, name: spoil(arrays[name])})

    monkeypatch.setattr(stage.work.chunks, "write_part", wrong)
    with pytest.raises(SuffuseError, match="the store doesn't hold what the teacher says"):
        pipeline.run_stage(edited(run, *settings), "extract")
    assert not run.path("knowledge").exists()


def test_verify_asks_the_teacher_again(run):
    pipeline.run_stage(run, "extract")
    assert stage.verify(run)["worst"] <= 1
    model = run.path("teacher", "model.safetensors")
    content = bytearray(model.read_bytes())
    content[-1] ^= 0x40
    model.write_bytes(bytes(content))
    with pytest.raises(SuffuseError, match="made with other weights of the teacher"):
        stage.verify(run)


def test_the_manifest_says_nothing_of_the_moment(run):
    """The same store twice is the same bytes: no times, no paths, no hosts."""
    pipeline.run_stage(run, "extract")
    text = run.path("knowledge", "manifest.json").read_text()
    assert str(run.folder) not in text and json.loads(text)["digest"]


def test_a_frozen_encoder_s_vectors_are_made_anew_for_a_view(make_columns, hugging_folder, tmp_path):
    """What is kept of it are the vectors of rows as prepared; a view of what it reads is encoded."""
    columns = make_columns(rows=40, absent=0.2)
    network = Network.model_validate(
        {
            "encoders": {
                "picture": {"kind": "conv", "widths": [4]},
                "question": {"kind": "huggingface", "name": str(hugging_folder(BERT)), "frozen": True},
            },
            "fusion": {"kind": "concat", "width": 6},
        }
    )
    torch.manual_seed(0)
    model = FusionModel(network, columns.spec).initialise().eval()
    teacher = Trained(model, ready(columns, model, tmp_path), raw=columns)
    from suffuse import modalities
    from suffuse.registry import settings

    hiding = settings(modalities.TABLE, {"kind": "text", "column": "q", "augment": True})
    viewer, rows = Viewer(1, 0.0, {"question": hiding}), np.arange(40)  # type: ignore[dict-item]
    assert teacher.columns.ready == {"question"}
    seen = teacher.answer(Question(rows, None, (viewer, 0)))
    with torch.no_grad():
        wanted = model(columns.batch(rows, None, (viewer, 0)))
    np.testing.assert_allclose(seen["logits"], wanted.logits.numpy(), atol=1e-5)
    plain = teacher.answer(Question(rows))
    assert np.abs(plain["logits"] - seen["logits"]).max() > 1e-3
    assert Block(("question",)).name == "question, as prepared"
