"""A network and cross-fitted classical models as one teacher."""

from __future__ import annotations

import csv
import dataclasses
import random
import shutil
from pathlib import Path

import numpy as np
import pytest

from suffuse import pipeline
from suffuse.classical.cross_fitting import cross_fit, cross_fit_members
from suffuse.classical.features import modality_features
from suffuse.classical.members import portfolio_members
from suffuse.data.columns import Columns
from suffuse.engine.inference import score
from suffuse.errors import SuffuseError
from suffuse.files import read_array, read_json
from suffuse.knowledge.row_reuse import find_keys
from suffuse.knowledge.teacher_logits import stored_logits
from suffuse.opinion_pool import NETWORK
from suffuse.run import Run
from suffuse.teachers import Question, batch_query
from suffuse.teachers.factory import open_teacher
from suffuse.teachers.out_of_fold import fold_of
from suffuse.teachers.portfolio import FOLDER, Portfolio, subsets

WORDS = {"red": ("cherry", "fire"), "blue": ("sky", "ocean"), "green": ("grass", "moss")}
ROWS = 200


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Each of two texts tells the colour in four of five rows; some are empty, and one word is of its row alone."""
    folder = tmp_path_factory.mktemp("portfolio")
    draw = random.Random(0)
    with (folder / "rows.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "title", "notes", "colour"])
        for number in range(ROWS):
            colour = draw.choice(list(WORDS))
            texts = []
            for _ in range(2):
                shown = colour if draw.random() < 0.8 else draw.choice(list(WORDS))
                texts.append("" if draw.random() < 0.05 else f"{draw.choice(WORDS[shown])} w{number}")
            writer.writerow([f"r{number}", *texts, colour])
    text = {"kind": "text", "tokens": "words", "vocabulary": 400, "length": 4}
    network = {"encoders": {name: {"kind": "bag", "embedding": 4} for name in ("title", "notes")}}
    recipe = {
        "data": {
            "source": str(folder / "rows.csv"),
            "target": "colour",
            "id": "id",
            "split": {"validation": 0.25, "test": 0.2},
        },
        "modalities": {"title": {**text, "column": "title"}, "notes": {**text, "column": "notes"}},
        "teacher": {**network, "portfolio": {"folds": 4}, "train": {"epochs": 3}},
        "student": network,
        "compute": {"threads": 1},
    }
    run = Run.of(recipe, folder / "run")
    for stage in ("prepare", "teach"):
        pipeline.run_stage(run, stage)
    return run


@pytest.fixture(scope="module")
def columns(run: Run) -> Columns:
    return Columns.open(run.path("data"))


@pytest.fixture(scope="module")
def teacher(run: Run, columns: Columns) -> Portfolio:
    opened = open_teacher(run, columns)
    assert isinstance(opened, Portfolio)
    return opened


def test_training_rows_are_answered_by_models_that_did_not_see_them(run, columns):
    """Labels that nothing can predict: what was fitted on a row knows it, by the word that no other row has."""
    rows = columns.labelled("train")
    chance = columns.target.copy()
    chance[rows] = np.random.default_rng(0).integers(0, 3, len(rows))
    unrelated = dataclasses.replace(columns, target=chance)
    fold = fold_of(columns, 4, 0)
    outputs = cross_fit(modality_features(run, unrelated, "title"), unrelated, fold, lambda share, words: None)
    assert np.mean(outputs[rows].argmax(1) == chance[rows]) < 0.5
    flipped = chance.copy()
    held_out = np.flatnonzero(fold == 2)
    flipped[held_out] = 2 - flipped[held_out]
    unrelated = dataclasses.replace(columns, target=flipped)
    again = cross_fit(modality_features(run, unrelated, "title"), unrelated, fold, lambda share, words: None)
    assert np.array_equal(again[held_out], outputs[held_out])
    assert not np.array_equal(again[fold == 1], outputs[fold == 1])


def test_labels_of_validation_and_test_rows_are_not_fitted(run, columns):
    changed = columns.target.copy()
    changed[columns.split > 0] = 0
    fold = fold_of(columns, 4, 0)
    outputs = [
        cross_fit(modality_features(run, c, "title"), c, fold, lambda share, words: None)
        for c in (columns, dataclasses.replace(columns, target=changed))
    ]
    assert np.array_equal(*outputs)


def test_it_is_at_least_as_good_as_its_members_on_validation(run, columns, teacher):
    facts = read_json(run.path("teacher", "training.json"))
    members = facts["portfolio"]
    assert set(members) == {NETWORK, "title", "notes"}
    rows = columns.labelled("validation")
    own = score(columns.spec, batch_query.logits(teacher, rows), columns.target[rows])
    assert own == facts["validation"]
    assert own["log_loss"] <= min(member["validation"]["log_loss"] for member in members.values()) + 0.02
    assert all(min(member["weights"].values()) >= 0 for member in members.values())


def test_a_hidden_modality_changes_nothing(columns, teacher):
    rows = columns.labelled("test")[:20]
    alone = teacher.answer(Question(rows, ("title",)))["logits"]
    garbage = {**teacher.outputs, "notes": np.full_like(np.asarray(teacher.outputs["notes"]), 7.0)}
    other = dataclasses.replace(teacher, outputs=garbage)
    assert np.array_equal(other.answer(Question(rows, ("title",)))["logits"], alone)
    both = columns.present[rows].all(1)
    full = teacher.answer(Question(rows))["logits"]
    assert not np.allclose(full[both], alone[both])
    assert np.array_equal(full[~columns.present[rows, 1]], alone[~columns.present[rows, 1]])


def test_rows_are_answered_alike_in_any_company(columns, teacher):
    rows = columns.labelled("test")[:12]
    together = teacher.answer(Question(rows))["logits"]
    single = np.concatenate([teacher.answer(Question(rows[i : i + 1]))["logits"] for i in range(len(rows))])
    np.testing.assert_allclose(together, single, atol=1e-5)


def test_the_fingerprint_is_of_network_outputs_and_weights(teacher):
    outputs = {**teacher.outputs, "title": np.asarray(teacher.outputs["title"]) + 1}
    weights = {name: 2 * matrix for name, matrix in teacher.weights.items()}
    changed = [dataclasses.replace(teacher, outputs=outputs), dataclasses.replace(teacher, weights=weights)]
    assert len({t.fingerprint() for t in (teacher, *changed)}) == 3


def test_members_that_are_there_are_not_fitted_again(run, columns, tmp_path, monkeypatch):
    fold = fold_of(columns, 4, run.recipe.seed)
    before = cross_fit_members(
        run, columns, fold, tmp_path, portfolio_members(run.recipe, columns)[0], lambda share, words: None
    )
    content = {name: file.read_bytes() for name, file in before.items()}
    before["notes"].unlink()  # killed before it was written
    fitted = []
    monkeypatch.setattr(
        "suffuse.classical.cross_fitting.modality_features",
        lambda run, columns, name: (fitted.append(name), modality_features(run, columns, name))[1],
    )
    again = cross_fit_members(
        run, columns, fold, tmp_path, portfolio_members(run.recipe, columns)[0], lambda share, words: None
    )
    assert fitted == ["notes"]
    assert {name: file.read_bytes() for name, file in again.items()} == content


@pytest.mark.slow
@pytest.mark.long
def test_fits_in_processes_have_the_same_bits(run, columns, tmp_path, monkeypatch):
    fold = fold_of(columns, 4, run.recipe.seed)
    files = cross_fit_members(
        run, columns, fold, tmp_path / "here", portfolio_members(run.recipe, columns)[0], lambda share, words: None
    )
    two = dataclasses.replace(
        run, recipe=run.recipe.model_copy(update={"compute": run.recipe.compute.model_copy(update={"threads": 2})})
    )
    monkeypatch.setattr("suffuse.classical.cross_fitting.BRIEF_SECONDS", 0.0)
    monkeypatch.setattr("suffuse.classical.cross_fitting._write", None)  # nothing is fitted in this process
    told: list[str] = []
    again = cross_fit_members(
        two,
        columns,
        fold,
        tmp_path / "beside",
        portfolio_members(two.recipe, columns)[0],
        lambda share, words: told.append(words),
    )
    assert {n: file.read_bytes() for n, file in again.items()} == {n: file.read_bytes() for n, file in files.items()}
    assert any(words.startswith("classical: notes, fold") for words in told)


def test_a_damaged_file_is_named(run, columns, teacher, tmp_path):
    folder = Path(shutil.copytree(run.path("teacher", FOLDER), tmp_path / FOLDER))
    (folder / "title.npy").write_bytes(b"no array")
    with pytest.raises(SuffuseError, match=r"a file can't be read .*title\.npy"):
        Portfolio.open(teacher.network, columns, folder)


def test_sets_of_modalities():
    assert subsets(("a", "b")) == [("a",), ("b",), ("a", "b")]
    many = subsets(("a", "b", "c", "d", "e"))
    assert {len(subset) for subset in many} == {1, 4, 5} and len(many) == 11


def test_the_store_holds_the_fused_logits(run, columns, teacher):
    pipeline.run_stage(run, "extract")
    store = run.path("knowledge")
    rows = columns.labelled("train")
    stored = np.asarray(stored_logits(store, columns.spec))[find_keys(read_array(store / "key.npy"), columns.key[rows])]
    np.testing.assert_allclose(stored, batch_query.logits(teacher, rows), atol=2e-2)  # stored as float16
