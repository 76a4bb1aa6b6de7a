"""A made-up data set and its recipe: small enough that a script runs on it in seconds. Its numbers say nothing."""

from __future__ import annotations

import csv
import random
from pathlib import Path
from typing import Any

from PIL import Image

from suffuse import Run

COLOURS = {"blue": (30, 60, 220), "green": (30, 200, 40), "red": (220, 30, 30)}
ROWS = 90


def write_toy(folder: Path, rows: int = ROWS) -> Path:
    """``rows.csv`` with ids, pictures of one colour, a question about each, and the colour's name."""
    noise, lines = random.Random(0), []
    (folder / "pictures").mkdir(parents=True)
    for number in range(rows):
        colour = noise.choice(sorted(COLOURS))
        picture = Image.new("RGB", (16, 16), COLOURS[colour])
        picture.putpixel((noise.randrange(16), noise.randrange(16)), (number, 0, 0))
        picture.save(folder / "pictures" / f"{number}.png")
        lines.append([f"r{number}", f"pictures/{number}.png", f"what colour has thing {noise.randrange(9)}", colour])
    with (folder / "rows.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["id", "picture", "question", "answer"], *lines])
    return folder / "rows.csv"


def toy_recipe(source: Path) -> dict[str, Any]:
    """Two modalities, two seeds, one epoch."""

    def network(width: int) -> dict[str, Any]:
        encoders = {
            "picture": {"kind": "conv", "widths": [width]},
            "question": {"kind": "gru", "embedding": 4, "width": width},
        }
        return {"encoders": encoders, "fusion": {"kind": "gated", "width": width}}

    losses = {
        "soft": {"kind": "kd", "temperature": 2, "weight": 0.8},
        "labels": {"kind": "task", "weight": 0.1},
        "hint": {"kind": "hint", "tap": "fused", "weight": 0.1},
    }
    return {
        "data": {"source": str(source), "target": "answer", "id": "id"},
        "modalities": {
            "picture": {"kind": "image", "column": "picture", "size": 16},
            "question": {"kind": "text", "column": "question", "tokens": "words", "length": 8},
        },
        "teacher": {**network(8), "train": {"epochs": 1, "batch": 16}},
        "student": network(4),
        "distill": {
            "train": {"epochs": 1, "batch": 16},
            "losses": losses,
            "num_seeds": 2,
            "unimodal_baselines": False,
            "label_fractions": [0.05],
        },
        "evaluate": {"resamples": 100, "probes": ["latency"]},
    }


def toy_run(folder: Path) -> Run:
    """A run on the made-up data set, of which no stage is done."""
    return Run.of(toy_recipe(write_toy(folder / "data")), folder / "run")
