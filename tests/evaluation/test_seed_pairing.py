"""A student's seed is compared with its baseline's same seed, from the folders on disk to the verdict."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from suffuse.evaluation.comparisons import References, comparisons
from suffuse.evaluation.context import Context, Model
from suffuse.evaluation.metrics import draw
from suffuse.evaluation.models import folders
from suffuse.evaluation.scorecard import seed_metrics
from suffuse.files import write_json
from suffuse.run import Run

LEVELS = {"seed-1": 0.9, "seed-10": 0.5, "seed-2": 0.7}  # how often the baseline of a seed is right
GAIN = 0.04
TRAINED = {"settled": True, "why": "trained", "doubts": [], "claimed": GAIN, "training_gap": 0.0, "lengths": []}
SETTLED = References(convergence={"comparisons": {"student": {**TRAINED, "deviations": {}}}})


def logits(target: np.ndarray, right: np.ndarray) -> np.ndarray:
    """(N, 3): sure of the target, or of the next class."""
    return 5.0 * np.eye(3, dtype=np.float32)[np.where(right, target, (target + 1) % 3)]


@pytest.fixture
def context(make_columns, prepared_run: Run) -> Context:
    """Two models of three seeds that differ widely; in each, the student is right a little more often."""
    columns = make_columns(rows=4000, absent=0.0)
    rows = np.arange(len(columns.target))
    place = (rows * 389 % len(rows)) / len(rows)  # even over the rows
    models = {
        who: Model(who, {s: logits(columns.target, place < level + gain) for s, level in LEVELS.items()})
        for who, gain in (("student", GAIN), ("baseline", 0.0))
    }
    bare = Context(prepared_run.recipe, columns, rows, draw(columns.group, 200, 0.95), models)
    return replace(bare, metrics={who: seed_metrics(bare, model) for who, model in models.items()})


def test_a_gain_of_every_seed_is_seen_although_seeds_differ(context: Context) -> None:
    columns = context.columns
    answers = {who: list(model.predictions(columns.spec).values()) for who, model in context.models.items()}
    (facts,) = comparisons(context.metrics, answers, (columns.spec, columns.target), "accuracy", context.draws, SETTLED)
    assert facts["difference"] == pytest.approx(GAIN, abs=0.002)
    assert facts["high"] - facts["low"] < 0.03 and facts["verdict"] == "helps"


def test_each_seed_has_its_own_scores(context: Context) -> None:
    for who, gain in (("student", GAIN), ("baseline", 0.0)):
        scores = [m["accuracy"][0] for m in context.metrics[who]]
        assert scores == pytest.approx([level + gain for level in LEVELS.values()], abs=0.002)


def test_folders_of_student_and_baseline_are_in_the_same_order(tmp_path, tiny_recipe) -> None:
    run = Run.of(tiny_recipe(tmp_path / "rows.csv"), tmp_path)
    outputs = {f"{who}/{seed}/model.safetensors": [1, ""] for who in ("student", "baseline") for seed in LEVELS}
    outputs = dict(sorted(outputs.items(), key=lambda item: item[0][::-1]))
    write_json(run.path("stamps", "distill.json"), {"digest": "", "inputs": {}, "outputs": outputs})
    listed = folders(run)
    assert [p.name for p in listed["student"]] == [p.name for p in listed["baseline"]] == sorted(LEVELS)
