"""Tables and recipes with targets of every kind, as small as they can be."""

from __future__ import annotations

import csv
import random
from pathlib import Path
from typing import Any

from PIL import Image

COLOURS = {"<b>red</b>": (220, 30, 30), "green & blue": (30, 160, 190), "black": (10, 10, 10)}
CLASSES, LABELS, NUMBER = "colour <of>", "tags & more", 'price "net"'  # columns with names that need escaping
LONG = "a_long_name_without_a_space_" * 4
OTHERS = ("shape", LONG, "place")  # further targets of classes
HEADER = ("id", "image", "text", CLASSES, LABELS, NUMBER, *OTHERS, "split")


def write_table(folder: Path, rows: int = 72) -> Path:
    """Every kind of target; each lacks some, and has something in the test rows that training never saw."""
    noise, lines = random.Random(7), []
    (folder / "pictures").mkdir(parents=True)
    for number in range(rows):
        colour = noise.choice(list(COLOURS))
        picture, name = Image.new("RGB", (16, 16), COLOURS[colour]), f"pictures/{number}.png"
        picture.putpixel((noise.randrange(16), noise.randrange(16)), (number, 0, 0))
        picture.save(folder / name)
        size, split = noise.choice(["small", "large"]), ("train", "train", "validation", "test")[number % 4]
        tags = [t for t, there in (("big", size == "large"), ("<i>warm</i>", "red" in colour)) if there]
        price = round(1500 + 40 * len(size) + noise.gauss(0, 9), 2)
        line = [f"r<{number}>", "" if number % 9 == 4 else name, f"a {size} thing {number}, 请问"]
        line += ["" if number == 11 else "never seen" if number == 7 else colour]
        line += ["" if number == 15 else ";".join([*tags, "odd"] if number == 19 else tags) or "plain"]
        line += ["" if number in (11, 23) else price]
        lines.append([*line, noise.choice(["disc", "cube"]), size, f"{LONG}{number % 3}", split])
    with (folder / "rows.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([HEADER, *lines])
    return folder / "rows.csv"


def recipe(source: Path, targets: str | list[str]) -> dict[str, Any]:
    """One epoch on the text alone: seconds."""
    network = {"encoders": {"question": {"kind": "gru", "embedding": 4, "width": 4}}}
    training = {"epochs": 1, "batch": 16, "learning_rate": 0.05}
    names = [targets] if isinstance(targets, str) else targets
    kinds = {LABELS: {"kind": "labels"}, NUMBER: {"kind": "number"}}
    return {
        "name": "kinds",
        "data": {
            "source": str(source),
            "target": targets,
            "id": "id",
            "split": {"column": "split"},
            "tasks": {n: k for n, k in kinds.items() if n in names},
        },
        "modalities": {"question": {"kind": "text", "column": "text", "tokens": "words", "length": 8}},
        "teacher": {**network, "fusion": {"kind": "concat", "width": 8}, "train": training},
        "student": {**network, "fusion": {"kind": "concat", "width": 4}},
        "distill": {"train": training, "num_seeds": 1, "unimodal_baselines": False},
        "export": {"int8": "off"},
        "evaluate": {"resamples": 100},
        "compute": {"threads": 1},
    }


def mixed(source: Path) -> dict[str, Any]:
    """All three kinds, a teacher of two seeds with floors, a student that reads a smaller picture, fewer labels."""
    settings = recipe(source, [CLASSES, LABELS, NUMBER])
    for name, size in (("picture", 16), ("thumb", 8)):
        settings["modalities"][name] = {"kind": "image", "column": "image", "size": size}
    settings["teacher"]["encoders"] = {**settings["teacher"]["encoders"], "picture": {"kind": "conv", "widths": [6]}}
    settings["student"]["encoders"] = {**settings["student"]["encoders"], "thumb": {"kind": "conv", "widths": [3]}}
    settings["teacher"] |= {
        "num_seeds": 2,
        "unimodal_baselines": True,
        "train": {**settings["teacher"]["train"], "epochs": 3},
    }
    settings["distill"] |= {"label_fractions": [0.5], "train": {**settings["distill"]["train"], "epochs": 2}}
    settings["export"] = {}
    return settings
