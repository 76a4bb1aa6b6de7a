"""The textbook recipe: what it builds is what it says, and it trains on a table of one's own."""

from __future__ import annotations

import csv
import random
from pathlib import Path

import pytest

from suffuse import pipeline
from suffuse.files import read_json
from suffuse.model import FusionModel
from suffuse.recipe import Network, read_recipe
from suffuse.run import Run
from suffuse.types import Field, Head, Spec

RECIPE = Path(__file__).parents[1] / "recipes" / "classic.yaml"
COLOURS = {
    "red": (220, 30, 30),
    "green": (30, 200, 40),
    "blue": (30, 60, 220),
    "gold": (220, 180, 40),
    "gray": (90,) * 3,
}


def test_it_is_the_textbook_s_network():
    """Parameters counted by hand, for a vocabulary that is full and ten classes."""
    recipe = read_recipe(RECIPE)
    picture = {"size": 224, "mean": [0.5] * 3, "std": [0.2] * 3}
    fields = (Field("image", "image", picture), Field("text", "text", {"vocabulary": 10_000, "length": 100}))
    spec = Spec(fields, (Head("label", "classes", tuple("abcdefghij")),), (-2.3,) * 10)

    def size(network: Network) -> int:
        return FusionModel(network.bare(), spec).size()

    convolutions = (9 * 3 + 1) * 32 + (9 * 32 + 1) * 64
    dense = (56 * 56 * 64 + 1) * 128
    embedding, lstm = 10_000 * 256, 4 * 128 * (256 + 128 + 2)
    absent, joined, softmax = 128 + 128, (128 + 128 + 2 + 1) * 128, (128 + 1) * 10
    assert size(recipe.teacher) == convolutions + dense + embedding + lstm + absent + joined + softmax == 28_501_962
    assert size(recipe.student) == 337_762
    assert 80 * size(recipe.student) < size(recipe.teacher)


def table(folder: Path, rows: int) -> Path:
    """Ten classes: the picture has the colour, the text the shape."""
    from PIL import Image

    noise, lines = random.Random(0), []
    for number in range(rows):
        colour, shape = list(COLOURS)[number % 5], ("circle", "square")[number // 5 % 2]
        Image.new("RGB", (48, 40), COLOURS[colour]).save(folder / f"{number}.png")
        lines.append([f"{number}.png", f"it is a {shape}, number {noise.randrange(99)}", f"{colour} {shape}"])
    with (folder / "rows.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["image", "text", "label"], *lines])
    return folder / "rows.csv"


@pytest.mark.slow
@pytest.mark.long
def test_it_trains_on_a_table_of_one_s_own(tmp_path):
    changes = (
        "teacher.train.epochs=1",
        "distill.train.epochs=1",
        "distill.num_seeds=1",
        "distill.unimodal_baselines=false",
    )
    recipe = read_recipe(RECIPE, (*changes, f"data.source={table(tmp_path, 80)}"))
    run = Run.of(recipe, tmp_path / "run")
    for stage in ("prepare", "teach", "extract", "distill"):
        pipeline.run_stage(run, stage)
    assert len(read_json(run.path("data", "schema.json"))["heads"][0]["classes"]) == 10
    trained = [read_json(run.path(*p, "training.json")) for p in (["teacher"], ["student", "seed-1"])]
    assert all(facts["epochs"] == 1 for facts in trained)
    assert trained[0]["parameters"] > 50 * trained[1]["parameters"]
