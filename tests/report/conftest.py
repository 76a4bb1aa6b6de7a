"""A finished run, as small as one can be, with everything in it that a page could stumble over."""

from __future__ import annotations

import csv
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import targets_tools as kinds
from PIL import Image

from suffuse import pipeline
from suffuse.evaluation import size
from suffuse.report.page import render
from suffuse.run import Run

COLOURS = {"<b>red</b>": (220, 30, 30), "green & blue": (30, 160, 190)}
HEADER = ("id", "image", "text", "answer", "split")
MARKUP = "<script>alert('boo')</script>"
Settings = Callable[[Path], dict[str, Any]]
CONTROL = "\x1b[7m"  # a terminal would turn its colours round


def write_table(folder: Path, rows: int = 72) -> Path:
    """Pictures and texts; some cells are empty, one picture is broken, labels are missing or new in the test rows."""
    noise, lines = random.Random(5), []
    (folder / "pictures").mkdir(parents=True)
    for number in range(rows):
        answer = noise.choice(list(COLOURS))
        name, split = f"pictures/{number}.png", ("train", "train", "validation", "test")[number % 4]
        picture = Image.new("RGB", (16, 16), COLOURS[answer])
        picture.putpixel((noise.randrange(16), noise.randrange(16)), (number, 0, 0))
        picture.save(folder / name)
        text = f"{MARKUP} {CONTROL} what colour is thing {number}, 请问"
        answer = {7: "never seen", 8: ""}.get(number, answer)
        lines.append([f"r<{number}>", "" if number % 9 == 4 else name, "" if number % 7 == 5 else text, answer, split])
    (folder / "pictures" / "3.png").write_bytes(b"<i>no picture</i>")
    with (folder / "rows.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([HEADER, *lines])
    return folder / "rows.csv"


def recipe(source: Path, *names: str) -> dict[str, Any]:
    """A recipe for that table with these modalities, which takes seconds."""
    modalities = {
        "picture": {"kind": "image", "column": "image", "size": 16},
        "question": {"kind": "text", "column": "text", "vocabulary": 300, "length": 24},
    }

    def network(width: int) -> dict:
        parts = {
            "picture": {"kind": "conv", "widths": [width]},
            "question": {"kind": "gru", "embedding": 4, "width": width},
        }
        return {"encoders": {n: parts[n] for n in names}, "fusion": {"kind": "concat", "width": width}}

    return {
        "data": {"source": str(source), "target": "answer", "id": "id", "split": {"column": "split"}},
        "modalities": {n: modalities[n] for n in names},
        "teacher": {**network(8), "train": {"epochs": 2, "batch": 16}},
        "student": network(4),
        "distill": {"train": {"epochs": 2, "batch": 16}, "num_seeds": 1, "unimodal_baselines": False},
        "export": {"int8": "off", "teacher": False},
        "evaluate": {"resamples": 100},
    }


def run_once(build: Callable[..., Path], name: str, write: Callable[[Path], Path], settings: Settings) -> Run:
    """The finished run of ``settings(table)`` on the table that ``write(folder)`` makes, built once in a test run."""

    def run_of(folder: Path) -> Run:
        return Run.of(settings(folder / "table" / "rows.csv"), folder / "run")

    def make(folder: Path) -> None:
        write(folder / "table")
        with mock.patch.object(size, "STARTS", 1):
            pipeline.run_all(run_of(folder))

    return run_of(build(f"report-{name}", settings(Path("rows.csv")), make))


def tiny(source: Path) -> dict[str, Any]:
    """Picture and question, two seeds, fewer labels, every kind of loss."""
    settings = {**recipe(source, "picture", "question"), "name": "tiny"}
    losses = {
        "soft": {"kind": "kd", "temperature": 2, "weight": 0.8},
        "labels": {"kind": "task", "weight": 0.1},
        "hint": {"kind": "hint", "tap": "fused", "weight": 0.1},
    }
    settings["distill"] |= {"num_seeds": 2, "label_fractions": [0.5], "losses": losses}
    settings["evaluate"]["label_curve"], settings["export"] = [0.5], {}
    return settings


def least(source: Path) -> dict[str, Any]:
    """The least that a run can be: one modality, one seed, one epoch, nothing beside."""
    settings = recipe(source, "question")
    settings["modalities"]["question"]["tokens"] = "words"
    settings["teacher"]["train"]["epochs"] = settings["distill"]["train"]["epochs"] = 1
    return settings


@pytest.fixture(scope="session")
def finished_run(build_once) -> Run:
    """The run of :func:`tiny`; read it, don't change it."""
    return run_once(build_once, "tiny", write_table, tiny)


@pytest.fixture(scope="session")
def finished_page(finished_run: Run) -> str:
    """Its page in all languages."""
    return render(finished_run)


@pytest.fixture(scope="session")
def english_page(finished_run: Run) -> str:
    """The same in English alone."""
    return render(finished_run, ("en",))


@pytest.fixture(scope="session")
def plain_run(build_once) -> Run:
    """The run of :func:`least`; read it, don't change it."""
    return run_once(build_once, "least", write_table, least)


@pytest.fixture(scope="session")
def mixed_run(build_once) -> Run:
    """Targets of all three kinds, and all that can stand beside them; read it, don't change it."""
    return run_once(build_once, "mixed", kinds.write_table, kinds.mixed)


@pytest.fixture(scope="session")
def classes_run(build_once) -> Run:
    """Four targets of classes."""
    targets = [kinds.CLASSES, *kinds.OTHERS]
    return run_once(build_once, "classes", kinds.write_table, lambda source: kinds.recipe(source, targets))


@pytest.fixture(scope="session")
def labels_run(build_once) -> Run:
    """One target of labels."""
    return run_once(build_once, "labels", kinds.write_table, lambda source: kinds.recipe(source, kinds.LABELS))


@pytest.fixture(scope="session")
def number_run(build_once) -> Run:
    """One number."""
    return run_once(build_once, "number", kinds.write_table, lambda source: kinds.recipe(source, kinds.NUMBER))


@pytest.fixture(scope="session")
def chromium() -> str:
    """A browser; where CI is set its lack is a failure."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("no chromium: apt-get install chromium")
        pytest.skip("no chromium")
    return found
