"""A small prepared run, and a maker of a tiny teacher of each kind for it."""

from __future__ import annotations

import csv
import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chat_server import ChatServer, serving
from PIL import Image
from teacher_tools import CLASSES, MAKERS, PROMPT, linear_rule, raw_rows, recipe, said

from suffuse import pipeline, teachers
from suffuse.data.columns import Columns
from suffuse.prepare.raw_cells import RawRows
from suffuse.registry import settings
from suffuse.run import Run
from suffuse.teachers.chat import chat_client, row_answers
from suffuse.teachers.factory import open_external

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (30, 60, 220)}


def write_rows(folder: Path, rows: int = 90) -> Path:
    """Pictures of a colour, words about it, and two numbers; every ninth picture and seventh text is empty."""
    noise, lines = random.Random(5), []
    (folder / "pictures").mkdir(parents=True)
    for number in range(rows):
        colour = CLASSES[number % 3]
        drawn = Image.new("RGB", (8, 8), COLOURS[colour])
        drawn.putpixel((noise.randrange(8), noise.randrange(8)), (number, number, 0))  # no two rows are the same
        drawn.save(folder / "pictures" / f"{number}.png")
        picture = "" if number % 9 == 4 else f"pictures/{number}.png"
        text = "" if number % 7 == 5 else f"a {colour} thing {number // 10} {number % 10}"
        lines.append([f"r{number}", picture, text, CLASSES.index(colour) + noise.random() / 2, noise.random(), colour])
    with (folder / "rows.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["id", "image", "text", "x1", "x2", "answer"], *lines])
    return folder / "rows.csv"


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Read it, don't change it."""
    folder = tmp_path_factory.mktemp("teachers")
    run = Run.of(recipe(write_rows(folder / "table")), folder / "run")
    pipeline.run_stage(run, "prepare")
    return run


@pytest.fixture(scope="session")
def columns(prepared: Run) -> Columns:
    """Of that run."""
    return Columns.open(prepared.path("data"))


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Another run on a table of its own: two modalities, other class names in another order, a finished teacher."""
    folder = tmp_path_factory.mktemp("finished")
    table = write_rows(folder / "table", 60)
    names = {"red": "1 rot", "blue": "2 blau", "green": "3 gruen"}
    rows = list(csv.DictReader(table.open(encoding="utf-8")))
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["id", "image", "wording", "farbe"])
        writer.writeheader()
        for row in rows:
            farbe = names[row["answer"]]
            writer.writerow({"id": row["id"], "image": row["image"], "wording": row["text"], "farbe": farbe})
    encoders = {"photo": {"kind": "conv", "widths": [6]}, "note": {"kind": "gru", "embedding": 4, "width": 6}}
    network = {"encoders": encoders, "fusion": {"kind": "gated", "width": 8}}
    made = {
        "data": {"source": str(table), "target": "farbe", "id": "id"},
        "modalities": {
            "photo": {"kind": "image", "column": "image", "size": 8},
            "note": {"kind": "text", "column": "wording", "tokens": "words", "length": 6},
        },
        "teacher": {**network, "train": {"epochs": 12, "batch": 16, "learning_rate": 0.02}},
        "student": network,
        "compute": {"threads": 1},
    }
    run = Run.of(made, folder / "run")
    for verb in ("prepare", "teach"):
        pipeline.run_stage(run, verb)
    return run


@pytest.fixture
def teach_by(prepared: Run) -> Callable[..., Run]:
    """The prepared run with another teacher."""

    def make(raw: dict, **changes) -> Run:
        chosen = settings(teachers.TABLE, raw)
        return replace(prepared, recipe=prepared.recipe.model_copy(update={"teacher": chosen, **changes}))

    return make


@pytest.fixture
def open_kind(teach_by, columns: Columns, prepared: Run, finished_run: Run, tmp_path: Path) -> Callable:
    """Opens a tiny teacher of a kind whose outputs stand in this order."""

    run = {"kind": "run", "folder": str(finished_run.folder), "columns": {"wording": "text"}}
    run["classes"] = {"1 rot": "red", "2 blau": "blue", "3 gruen": "green"}
    known: dict[tuple, dict] = {}

    def make(kind: str, order: Sequence[str] = CLASSES, **more):
        folder = tmp_path / f"{kind}-{'-'.join(order)}"
        if (kind, order) not in known:
            folder.mkdir()
            known[kind, order] = run if kind == "run" else MAKERS[kind](folder, order, prepared)
        return open_external(teach_by({**known[kind, order], **more}), columns)

    return make


@pytest.fixture
def rows(columns: Columns) -> np.ndarray:
    """All of them."""
    return np.arange(len(columns.split))


@pytest.fixture
def exact(prepared) -> np.ndarray:
    """(N, C) what the linear teacher says of the prepared rows."""
    by_id = {row["id"]: said(row, CLASSES) for row in raw_rows(prepared)}
    return np.array([by_id[name] for name in RawRows(prepared).ids])


@pytest.fixture
def server() -> Iterator[ChatServer]:
    """The linear teacher."""
    with serving(linear_rule) as found:
        yield found


@pytest.fixture
def run(prepared: Run, tmp_path: Path) -> Run:
    """The prepared run, copied: nothing was asked in it."""
    folder = tmp_path / "run"
    shutil.copytree(prepared.folder, folder, ignore=shutil.ignore_patterns(".partial", "answers"))
    return replace(prepared, folder=folder)


@pytest.fixture
def ask(run: Run, columns: Columns, server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Opens the asked teacher with these settings."""
    monkeypatch.setattr(chat_client, "LONGEST_WAIT", 0.001)
    monkeypatch.setattr(row_answers, "Endpoint", partial(chat_client.Endpoint, backoff=0.001))
    plain = {"kind": "asked", "url": server.url, "model": "linear", "prompt": PROMPT, "calibrate": False}

    def open_with(**more: Any) -> Any:
        chosen = settings(teachers.TABLE, {**plain, **more})
        recipe = run.recipe.model_copy(update={"teacher": chosen})
        return open_external(replace(run, recipe=recipe), columns)

    return open_with
