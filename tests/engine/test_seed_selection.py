"""Which of several seeds is exported."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from suffuse.engine.seed_selection import SUBSETS, best_seed, late_validation


def write(folder: Path, seed: int, **facts: dict[str, float]) -> None:
    (folder / f"seed-{seed}").mkdir(parents=True)
    (folder / f"seed-{seed}" / "training.json").write_text(json.dumps(facts))


def scores(accuracy: float, loss: float = 1.0, **more: float) -> dict[str, float]:
    return {"accuracy": accuracy, "log_loss": loss, **more}


def test_the_last_quarter_of_the_epochs_counts():
    found = late_validation([scores(1.0)] * 6 + [scores(0.5, 0.2), scores(0.7, 0.4)])
    assert found == pytest.approx(scores(0.6, 0.3))
    assert late_validation([scores(0.9), scores(0.4)]) == scores(0.4)


def test_a_lucky_epoch_does_not_choose_the_seed(tmp_path):
    write(tmp_path, 1, validation=scores(0.99), late_validation=scores(0.7))
    write(tmp_path, 2, validation=scores(0.90), late_validation=scores(0.8))
    assert best_seed(tmp_path) == "seed-2"


def test_the_loss_decides_a_tie_and_subsets_decide_before_the_metric(tmp_path):
    write(tmp_path / "a", 1, validation=scores(0.9), late_validation=scores(0.8, 0.6))
    write(tmp_path / "a", 2, validation=scores(0.9), late_validation=scores(0.8, 0.5))
    assert best_seed(tmp_path / "a") == "seed-2"
    write(tmp_path / "b", 1, validation=scores(0.9), late_validation=scores(0.8, **{SUBSETS: 0.7}))
    write(tmp_path / "b", 2, validation=scores(0.9), late_validation=scores(0.9, **{SUBSETS: 0.6}))
    assert best_seed(tmp_path / "b") == "seed-1"


def test_runs_of_before_have_the_best_epoch_s_score_alone(tmp_path):
    write(tmp_path, 1, validation=scores(0.8))
    write(tmp_path, 2, validation=scores(0.9))
    assert best_seed(tmp_path) == "seed-2"
