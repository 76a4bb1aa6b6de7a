"""Out-of-fold answers: no network answers a row that it was trained on, nor one of that row's group."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from teacher_tools import recipe

from suffuse import pipeline
from suffuse.data.columns import Columns
from suffuse.engine.inference import logits
from suffuse.files import read_json
from suffuse.knowledge import Knowledge
from suffuse.model import open_model
from suffuse.run import Run
from suffuse.stages.teach import is_memorised
from suffuse.subsample import training_sample
from suffuse.teachers import Question
from suffuse.teachers.factory import open_teacher
from suffuse.teachers.out_of_fold import OutOfFold, fold_of
from suffuse.types import CLASSES, LABELS, NUMBER, Head


@pytest.fixture(scope="module")
def folded(prepared, tmp_path_factory) -> Run:
    """The small table, taught with three folds; rows of one x2 tenth belong together."""
    encoders = {"picture": {"kind": "conv", "widths": [6]}, "words": {"kind": "gru", "embedding": 4, "width": 6}}
    train = {"epochs": 30, "batch": 16, "learning_rate": 0.02}
    made = recipe(prepared.recipe.data.source)
    made["teacher"] = {"encoders": encoders, "fusion": {"kind": "gated", "width": 8}, "train": train, "folds": 3}
    run = Run.of(made, tmp_path_factory.mktemp("folded") / "run")
    for verb in ("prepare", "teach"):
        pipeline.run_stage(run, verb)
    return run


def test_folds_cut_the_training_rows_by_their_groups(make_columns):
    columns = make_columns(80)
    fold = fold_of(columns, 4, 0)
    train = columns.rows("train")
    np.testing.assert_array_equal(np.flatnonzero(fold >= 0), train)
    for group in np.unique(columns.group[train]):
        assert len(set(fold[train][columns.group[train] == group])) == 1
    counts = [len(np.unique(columns.group[fold == k])) for k in range(4)]
    assert max(counts) - min(counts) <= 1
    np.testing.assert_array_equal(fold, fold_of(columns, 4, 0))
    assert (fold != fold_of(columns, 4, 1)).any()


def test_each_training_row_is_answered_by_the_network_that_did_not_see_it(folded):
    columns = Columns.open(folded.path("data"))
    teacher = open_teacher(folded, columns)
    assert isinstance(teacher, OutOfFold)
    rows, fold = np.arange(len(columns.split)), fold_of(columns, 3, folded.recipe.seed)
    found = teacher.answer(Question(rows))
    for k, name in ((-1, ("teacher",)), (0, ("folds", "fold-0")), (1, ("folds", "fold-1")), (2, ("folds", "fold-2"))):
        theirs = logits(open_model(folded.path(*name)), columns, rows)
        np.testing.assert_allclose(found["logits"][fold == k], theirs[fold == k], atol=1e-5)
        assert not np.allclose(found["logits"][fold != k], theirs[fold != k], atol=1e-3)
    assert set(found) == {"logits", "gates"}  # features of different networks have nothing in common
    pieces = teacher.pieces(rows, 8)
    np.testing.assert_array_equal(np.sort(np.concatenate(pieces)), rows)
    assert all(len(set(fold[piece])) == 1 for piece in pieces)


def test_a_fold_s_network_was_trained_without_it(folded, monkeypatch):
    """Its rows are what the sampler draws from."""
    from suffuse.stages import teach

    drawn = {}
    monkeypatch.setattr(teach, "fit", lambda objective, plan: drawn.setdefault("rows", plan.sampler.rows))
    monkeypatch.setattr(teach, "save_trained", lambda *_: None)
    columns = Columns.open(folded.path("data"))
    teach.train(folded, teach.Job("folds/fold-1", 0, None, 1), 1, lambda *_: None)
    fold = fold_of(columns, 3, folded.recipe.seed)
    labelled = columns.labelled("train")
    np.testing.assert_array_equal(np.sort(drawn["rows"]), labelled[fold[labelled] != 1])


def test_all_of_it_is_in_the_fingerprint(folded):
    columns = Columns.open(folded.path("data"))
    teacher = open_teacher(folded, columns)
    assert isinstance(teacher, OutOfFold)
    before = teacher.fingerprint()
    assert open_teacher(folded, columns).fingerprint() == before
    assert replace(teacher, fold=fold_of(columns, 3, 99)).fingerprint() != before
    assert replace(teacher, parts=teacher.parts[::-1]).fingerprint() != before


def test_the_store_holds_out_of_fold_answers(folded):
    pipeline.run_stage(folded, "extract")
    columns = Columns.open(folded.path("data"))
    rows = columns.rows("train")
    stored = Knowledge.open(folded.path("knowledge"), columns).gather(torch.from_numpy(rows), ["logits"])["logits"]
    wanted = open_teacher(folded, columns).answer(Question(rows))["logits"]
    np.testing.assert_allclose(stored.float().numpy(), wanted, atol=0.02)


def test_killed_in_the_middle_the_networks_that_are_there_stay(folded, tmp_path, monkeypatch):
    """Only what lacks is trained again."""
    from suffuse.stages import teach

    run = replace(folded, folder=tmp_path / "run")
    asked = []
    monkeypatch.setattr(teach, "run_jobs", lambda name, orders, *_: asked.extend(order["folder"] for order in orders))
    monkeypatch.setattr(teach.feature_cache, "foresee", lambda *_: None)
    monkeypatch.setattr(teach, "score_trained", lambda *_: {"by_heart": False})
    for done in ("teacher", "folds/fold-1"):
        (run.partial("teach") / done).mkdir(parents=True)
        (run.partial("teach") / done / "training.json").write_text("{}")
    (tmp_path / "run" / "data").symlink_to(folded.path("data"))
    teach.teach(run)
    assert asked == ["folds/fold-0", "folds/fold-2"]


def test_a_teacher_that_knows_its_rows_by_heart_is_told_and_folds_are_offered(folded, capsys, tmp_path):
    facts = read_json(folded.path("teacher", "training.json"))
    assert facts["training"]["accuracy"] >= 0.98
    assert facts["by_heart"] is True
    raw = copy.deepcopy(folded.recipe.model_dump(mode="json"))
    raw["teacher"]["folds"] = None
    run = Run.of(raw, tmp_path / "run")
    pipeline.run_stage(run, "prepare")
    capsys.readouterr()
    pipeline.run_stage(run, "teach")
    said = capsys.readouterr().err
    assert "notice: the teacher has accuracy" in said
    assert "teacher: {folds: 5}" in said
    raw["teacher"]["train"] |= {"epochs": 1, "learning_rate": 1e-5}
    run = Run.of(raw, tmp_path / "run")
    pipeline.run_stage(run, "teach")
    assert "notice" not in capsys.readouterr().err
    assert read_json(run.path("teacher", "training.json"))["by_heart"] is False


def test_what_by_heart_means():
    one, tags, price = Head("a", CLASSES, ("x", "y")), Head("t", LABELS, ("x", "y")), Head("p", NUMBER)
    assert is_memorised((one,), {"accuracy": 0.98, "log_loss": 0.3})
    assert is_memorised((one,), {"accuracy": 0.97, "log_loss": 0.049})
    assert not is_memorised((one,), {"accuracy": 0.979, "log_loss": 0.051})
    assert not is_memorised((tags,), {"micro_f1": 0.5, "log_loss": 0.01})  # many labels that nobody has
    assert is_memorised((price,), {"r2": 0.99, "log_loss": 0.01})
    assert not is_memorised((one,), {})


def test_no_more_training_rows_are_looked_at_than_are_needed():
    assert 1_000 < len(training_sample(np.arange(25_000))) <= 2_000
    np.testing.assert_array_equal(training_sample(np.arange(7)), np.arange(7))
