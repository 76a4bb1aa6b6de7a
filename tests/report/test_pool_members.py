"""The table of what answers are pooled from."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from suffuse.report.pool_members import members_table


@pytest.fixture
def run(tmp_path: Path) -> SimpleNamespace:
    return SimpleNamespace(path=lambda *parts: tmp_path.joinpath(*parts))


def write(run: SimpleNamespace, facts: dict, *place: str) -> None:
    file = run.path(*place, "training.json")
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(facts))


def test_members_have_their_score_and_the_mean_weight_of_the_targets(run):
    member = {"validation": {"accuracy": 0.75, "log_loss": 0.9}}
    heads = {"all modalities": {"a": 0.5, "b": 1.0}, "words": {"a": 0.0, "b": 0.25}}
    portfolio = {
        "network": {**member, "weights": {"a": 0.2, "b": 0.4}},
        "words": {**member, "weights": {"a": 1.0, "b": 1.5}},
    }
    write(run, {"portfolio": portfolio, "heads": heads}, "teacher")
    scores = {"validation": {"accuracy": 0.5, "log_loss": 1.0}}
    write(run, {**scores, "heads": {"all modalities": {"a": 0.9}}}, "student", "seed-1")
    write(run, {**scores, "validation": {"accuracy": 0.6, "log_loss": 1.0}, "heads": {"all modalities": {"a": 0.8}}},
          "student", "seed-2")  # fmt: skip
    table = members_table(run)
    assert table is not None
    assert table.rows == [
        ("teacher", "its network", "75.00 %", "", "0.30"),
        ("teacher", "scikit-learn, words", "75.00 %", "", "1.25"),
        ("the teacher's network", "all modalities", "", "", "0.75"),
        ("the teacher's network", "words", "", "", "0.12"),
        ("exported student", "all modalities", "", "", "0.80"),  # of the exported seed
    ]
    assert len(table.lines()) == 2 + len(table.rows)


def test_without_a_pool_there_is_no_table(run):
    assert members_table(run) is None
    write(run, {"validation": {"accuracy": 0.5, "log_loss": 1.0}}, "teacher")
    assert members_table(run) is None
