"""The shipped recipes on a slice of their real data, all the way: few rows, one epoch; no number is looked at."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from suffuse import Predictor, Run, run_all, scores

RECIPES = Path(__file__).parents[2] / "recipes"
SHORT = ("teacher.train.epochs=1", "distill.train.epochs=1", "distill.seeds=1", "distill.floors=false")


def a_slice(source: Path, folder: Path, each: dict[str, int]) -> Path:
    """The first rows of each split, as a table of their own."""
    left, kept = dict(each), []
    with source.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        for row in reader:
            if left.get(row["split"], 0):
                left[row["split"]] -= 1
                kept.append(row)
        names = list(reader.fieldnames or ())
    with (folder / "rows.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(kept)
    return folder / "rows.csv"


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.parametrize(
    ("recipe", "data", "each", "more"),
    [
        ("products", "fashion9k", {"train": 150, "val": 40, "test": 40}, ("teacher.seeds=1", "teacher.floors=false")),
        ("orders", "coffee_orders619", {"train": 90, "val": 20, "test": 20}, ()),
    ],
)
def test_a_scenario_on_a_slice(recipe, data, each, more, shared_data, tmp_path):
    source = a_slice(shared_data / data / "manifest.csv", tmp_path, each)
    overrides = (f"data.source={source}", f"data.root={shared_data / data}", *SHORT, *more)
    run = Run.open(RECIPES / f"{recipe}.yaml", overrides, tmp_path / "run")
    assert run_all(run)
    cards = scores(run)
    assert {"majority", "teacher", "student", "baseline", "export"} <= set(cards)
    assert cards["teacher"]["parameters"] > 2 * cards["student"]["parameters"]
    assert all(0 <= card["metrics"]["accuracy"]["mean"] <= 1 for card in cards.values())
    assert run.path("report.html").stat().st_size < 3_000_000
    predictor = Predictor.load(run.path("export"))
    answer = predictor.predict([{i.field.name: None for i in predictor.inputs}])[0]  # nothing is there: the prior
    assert len(answer.absent) == len(predictor.inputs)
    assert len(answer.answers) == len(run.recipe.data.targets)
    if recipe == "orders":
        assert {"teacher-only-speech", "teacher-only-transcript"} <= set(cards)
        assert run.recipe.student.encoders.keys() == {"sound"}
