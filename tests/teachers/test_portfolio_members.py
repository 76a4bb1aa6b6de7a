"""The members of a teacher's portfolio on tables: kinds, leaderboard, budget, resuming, few rows."""

from __future__ import annotations

import csv
import json
import random
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from suffuse import pipeline
from suffuse.classical.cross_fitting import cross_fit_members
from suffuse.classical.members import member_key, modality_of, portfolio_members, weighted
from suffuse.data.columns import Columns
from suffuse.files import read_json
from suffuse.opinion_pool import NETWORK
from suffuse.report.pool_members import leaderboard_table, portfolio_entries
from suffuse.run import Run
from suffuse.stages import teach
from suffuse.stages.teach import remove_unweighted
from suffuse.teachers import Question
from suffuse.teachers.factory import open_teacher
from suffuse.teachers.leaderboard import LEADERBOARD
from suffuse.teachers.out_of_fold import fold_of
from suffuse.teachers.portfolio import FOLDER, WEIGHTS, Portfolio

KINDS = ["boosting", "trees", "linear", "kernel"]


def table(folder: Path, rows: int, portfolio: dict[str, Any], **tasks: Any) -> Run:
    """Three numbers, a category, a column of one value, some cells empty; classes, labels and a number depend on them;
    rows come in groups of two. One class has two rows."""
    draw = random.Random(0)
    with (folder / "rows.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "a", "b", "c", "kind", "same", "word", "group", "class", "price", "tags"])
        for number in range(rows):
            a, b, c = (draw.gauss(0, 1) for _ in range(3))
            kind = draw.choice("xyz")
            label = "rare" if number < 2 else "high" if a + b > 0 else "low"
            tags = ";".join(tag for tag, on in (("p", a > 0), ("q", c > 0.5)) if on)
            cells = ["" if draw.random() < 0.1 else round(value, 4) for value in (a, b, c)]
            word = "" if number % 7 == 3 else f"{label[0]} {kind}"
            price = round(2 * a - b + (kind == "x") + draw.gauss(0, 0.2), 4)
            writer.writerow([f"r{number}", *cells, kind, 1, word, f"g{number // 2}", label, price, tags])
    types = {**dict.fromkeys(("a", "b", "c", "same"), "number"), "kind": "category"}
    facts = {"kind": "tabular", "column": list(types), "types": types}
    word = {"kind": "text", "column": "word", "tokens": "words", "vocabulary": 400, "length": 4}
    network = {"encoders": {"facts": {"kind": "mlp", "widths": [8]}, "word": {"kind": "bag", "embedding": 4}}}
    recipe = {
        "data": {
            "source": str(folder / "rows.csv"), "id": "id", "group": "group", "target": list(tasks) or "class",
            "split": {"validation": 0.3, "test": 0.2}, **({"tasks": tasks} if tasks else {}),
        },
        "modalities": {"facts": facts, "word": word},
        "teacher": {**network, "portfolio": portfolio, "train": {"epochs": 2}},
        "student": network,
        "compute": {"threads": 1},
    }  # fmt: skip
    run = Run.of(recipe, folder / "run")
    for stage in ("prepare", "teach"):
        pipeline.run_stage(run, stage)
    return run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    tasks = {"class": {}, "price": {"kind": "number"}, "tags": {"kind": "labels"}}
    return table(tmp_path_factory.mktemp("members"), 160, {"folds": 3}, **tasks)


@pytest.fixture(scope="module")
def columns(run: Run) -> Columns:
    return Columns.open(run.path("data"))


def test_the_leaderboard_lists_every_member(run, columns):
    entries = portfolio_entries(run) or []
    assert entries and entries == read_json(run.path("teacher", FOLDER, LEADERBOARD))
    assert {e["member"] for e in entries} == {NETWORK, "word", *(f"facts.{kind}" for kind in KINDS)}
    scores = [next(iter(e["validation"].values())) for e in entries]
    assert scores == sorted(scores, reverse=True)
    assert all(e["standard_error"] > 0 and set(e["weights"]) == {"class", "price", "tags"} for e in entries)
    assert all(e["seconds"] >= 0 for e in entries if e["member"] != NETWORK)
    shown = leaderboard_table(entries).rows
    assert len(shown) == len(entries) and all("+-" in row[1] for row in shown)


def test_a_hidden_table_has_no_member(run, columns):
    teacher = open_teacher(run, columns)
    assert isinstance(teacher, Portfolio)
    members = [NETWORK, *teacher.outputs]
    for place, name in enumerate(members):
        if name != NETWORK and modality_of(name) == "facts":
            assert not teacher.weights["word"][:, place].any()
    rows = columns.labelled("test")[:10]
    garbage = {n: np.full_like(np.asarray(v), 9.0) if n != "word" else v for n, v in teacher.outputs.items()}
    other = Portfolio(teacher.network, garbage, teacher.weights, columns)
    question = Question(rows, ("word",))
    assert np.array_equal(other.answer(question)["logits"], teacher.answer(question)["logits"])


def test_members_of_other_folds_are_fitted_again(run, columns, tmp_path):
    fold, members = fold_of(columns, 3, 0), portfolio_members(run.recipe, columns)[0]
    one = [m for m in members if m.kind == "linear" and m.modality == "facts"]
    (file,) = cross_fit_members(run, columns, fold, tmp_path, one, lambda share, words: None).values()
    before, stamp = file.read_bytes(), file.stat().st_mtime_ns
    cross_fit_members(run, columns, fold, tmp_path, one, lambda share, words: None)
    assert file.stat().st_mtime_ns == stamp
    other = fold_of(columns, 3, 1)
    assert member_key(run.recipe, columns, other, one[0]) != member_key(run.recipe, columns, fold, one[0])
    cross_fit_members(run, columns, other, tmp_path, one, lambda share, words: None)
    assert file.read_bytes() != before
    cross_fit_members(run, columns, fold, tmp_path, one, lambda share, words: None)
    assert file.read_bytes() == before


def test_a_budget_skips_the_dearest_and_keeps_one_of_each_modality(run, columns):
    def members(seconds: float) -> tuple[list[str], list[str]]:
        teacher = run.recipe.teacher.model_copy(
            update={"portfolio": run.recipe.teacher.portfolio.model_copy(update={"seconds": seconds})}
        )
        kept, skipped = portfolio_members(run.recipe.model_copy(update={"teacher": teacher}), columns)
        return [m.name for m in kept], [m.name for m in skipped]

    assert members(1e9)[1] == []
    assert members(0) == (["word", "facts.linear"], ["facts.kernel", "facts.trees", "facts.boosting"])
    every = sorted(portfolio_members(run.recipe, columns)[0], key=lambda m: m.seconds)
    kept, skipped = members(sum(m.seconds for m in every[:3]) + 1e-9)
    assert kept == [m.name for m in every[:3]] and skipped == [m.name for m in every[3:]]


def test_skipped_members_are_named(tmp_path):
    run = table(tmp_path, 40, {"folds": 2, "seconds": 0})
    skipped = [e for e in portfolio_entries(run) or [] if "skipped" in e]
    assert [e["member"] for e in skipped] == ["facts.kernel", "facts.trees", "facts.boosting"]
    assert {e["skipped"] for e in skipped} == {"budget"}
    assert any("skipped: budget" in line for line in leaderboard_table(skipped).lines())


def test_twelve_rows_and_a_class_that_a_fold_lacks(tmp_path):
    run = table(tmp_path, 12, {"folds": 2})
    columns = Columns.open(run.path("data"))
    answers = open_teacher(run, columns).answer(Question(np.arange(len(columns.split))))["logits"]
    assert np.isfinite(answers).all()


def test_outputs_without_weight_are_removed(tmp_path):
    folder = tmp_path
    for name in ("facts.linear", "facts.trees"):
        np.save(folder / f"{name}.npy", np.zeros((3, 2), np.float32))
        (folder / f"{name}.json").write_text("{}")
    weights = {"facts": {"class": {NETWORK: 1.0, "facts.linear": 0.0, "facts.trees": 0.5}}}
    (folder / WEIGHTS).write_text(json.dumps(weights))
    assert weighted(weights, "facts.trees") and not weighted(weights, "facts.linear")
    remove_unweighted(folder)
    assert {file.name for file in folder.iterdir()} == {"facts.trees.npy", WEIGHTS}


def test_teach_that_was_killed_after_the_weights_fits_nothing_again(run, columns, monkeypatch, tmp_path):
    place = tmp_path / "teacher"
    shutil.copytree(run.path("teacher"), place)
    monkeypatch.setattr(teach, "cross_fit_members", None)
    network = SimpleNamespace(fingerprint=lambda: "n")
    opened = teach.fit_portfolio(run, (place, 0), network, lambda share, words: None)  # pyright: ignore
    before = open_teacher(run, columns)
    assert isinstance(before, Portfolio)
    assert list(opened.outputs) == list(before.outputs)
    assert all(np.array_equal(opened.weights[subset], before.weights[subset]) for subset in before.weights)
