"""A teacher that is asked, from a table without a training label to the report; killed, and with a budget."""

from __future__ import annotations

import copy
import csv
import json
import os
import random
import signal
import time
from pathlib import Path
from threading import Event
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from chat_server import ChatServer, Said, serving
from e2e_tools import check_failure, check_success, environment, start, suffuse, suffuse_process, write_recipe

CLASSES = ("blue", "green", "red")
KEY = "sk-e2e-secret-9876543210"


def colour_rule(text: str, before: int) -> Said:
    """The colour in the title, quite surely; nothing of one title in eleven."""
    title = text.rpartition("Title: ")[2]
    if int(title.split()[-1]) % 11 == 5:
        return Said("purple")
    name = next(name for name in CLASSES if name in title)
    return Said(name, {other: 0.8 if other == name else 0.1 for other in CLASSES})


def make_project(folder: Path, server: ChatServer, rows: int = 150, **teacher: Any) -> Path:
    """Titles with a colour in them. Training rows have no label."""
    chance, lines = random.Random(0), []
    for number in range(rows):
        split = "train" if number < 0.6 * rows else "validation" if number < 0.8 * rows else "test"
        name = CLASSES[number % 3]
        title = f"{chance.choice(['a', 'one', 'some'])} {name} {chance.choice(['ball', 'box', 'car'])} {number}"
        lines.append((f"r{number}", title, chance.choice("xy"), "" if split == "train" else name, split))
    with (folder / "rows.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("id", "title", "shop", "colour", "split"), *lines])
    asked = {"kind": "asked", "url": server.url, "model": "rules", "prompt": "Which colour?\nTitle: {title}"}
    encoders = {"title": {"kind": "gru", "embedding": 8, "width": 8}, "shop": {"kind": "mlp", "widths": [4]}}
    recipe = {
        "data": {
            "source": "rows.csv", "target": "colour", "id": "id", "split": {"column": "split"},
            "tasks": {"colour": {"classes": [*CLASSES]}},
        },
        "modalities": {
            "title": {"kind": "text", "column": "title", "tokens": "words", "length": 8},
            "shop": {"kind": "tabular", "column": ["shop"]},
        },
        "teacher": {**asked, **teacher},
        "student": {"encoders": encoders, "fusion": {"kind": "gated", "width": 8}},
        "distill": {"train": {"epochs": 12, "batch": 16, "learning_rate": 0.01}, "num_seeds": 2},
        "export": {"int8": "off"},
        "evaluate": {"resamples": 100, "probes": ["agreement", "missing", "temperature", "contribution"]},
        "compute": {"threads": 1},
    }  # fmt: skip
    return write_recipe(folder / "recipe.yaml", recipe)


def read(run: Path, name: str) -> Any:
    return json.loads((run / name).read_text(encoding="utf-8"))


@pytest.mark.slow
@pytest.mark.long
def test_a_student_learns_from_it_without_a_label_on_any_training_row(tmp_path: Path) -> None:
    with serving(colour_rule) as server:
        recipe = make_project(tmp_path, server, api_key_env="MY_KEY")
        check_failure(suffuse("run", recipe.name, "--out", "run", cwd=tmp_path), 2, "MY_KEY", "no such variable")
        assert not server.bodies
        keyed = environment(MY_KEY=KEY)
        result = check_success(suffuse_process("run", recipe.name, "--out", "run", cwd=tmp_path, env=keyed))
        run = tmp_path / "run"
        assert (len(server.bodies), server.twice) == (150, [])
        assert {headers["Authorization"] for headers in server.headers} == {f"Bearer {KEY}"}
        assert "150 questions to rules" in result.err
        assert "14 abstentions (unknown class: 14)" in result.err
        facts = read(run, "teacher/training.json")
        assert facts["validation"]["accuracy"] == 1.0
        assert facts["methods"] == {"log-probabilities": 136}
        assert facts["temperature"] < 1  # it is right more often than it says
        assert read(run, "data/schema.json")["labelled"]["train"] == 0
        assert read(run, "scores/student.json")["metrics"]["accuracy"]["mean"] > 0.9
        assert {file.stem for file in (run / "scores").glob("*.json")} >= {"student", "teacher", "export"}
        assert not (run / "baseline").exists()
        said_so = "says nothing of 14 of the 150 rows that it was asked about (unknown class: 14)"
        assert said_so in result.out + result.err
        assert said_so in (run / "report.html").read_text(encoding="utf-8")
        assert "up to date" in check_success(suffuse("run", "run", cwd=tmp_path)).err
        check_success(suffuse("run", "run", "--from", "teach", cwd=tmp_path))
        check_success(suffuse("run", "run", "--set", "teacher.confidence=0.7", cwd=tmp_path))
        assert len(server.bodies) == 150
        check_success(suffuse("doctor", "run", cwd=tmp_path))
        assert len(server.bodies) == 150
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert not [file for file in files if KEY.encode() in file.read_bytes()]
    assert KEY not in result.out + result.err


@pytest.mark.slow
@pytest.mark.long
def test_killed_in_the_middle_it_goes_on_without_asking_twice(tmp_path: Path) -> None:
    stuck, wait = Event(), Event()

    def rule(text: str, before: int) -> Said:
        if len(server.bodies) == 20:
            stuck.set()
            wait.wait(60)
        return colour_rule(text, before)

    with serving(rule) as server:
        recipe = make_project(tmp_path, server, 60, concurrency=1)
        first = start("run", recipe.name, "--out", "run", cwd=tmp_path)
        assert stuck.wait(120)
        time.sleep(0.2)
        os.killpg(first.pid, signal.SIGKILL)
        first.communicate()
        wait.set()
        check_success(suffuse("teach", "run", cwd=tmp_path))
        assert len(server.counts) == 60
        assert len(server.bodies) == 61  # the one that was under way gave no answer to anybody
        assert len(server.twice) == 1
    table = pq.read_table(tmp_path / "run" / "teacher" / "answers.parquet")
    assert table.num_rows == 60
    assert table["reason"].to_pylist().count("unknown class") == 5


def test_only_a_teacher_that_the_run_trains_needs_training_labels(tmp_path: Path) -> None:
    with serving(colour_rule) as server:
        recipe = make_project(tmp_path, server, 60)
        assert "it can run" in check_success(suffuse("check", recipe.name, cwd=tmp_path)).out
        assert not server.bodies
    raw = yaml.safe_load(recipe.read_text(encoding="utf-8"))
    raw["teacher"] = copy.deepcopy(raw["student"])
    write_recipe(recipe, raw)
    check_failure(suffuse("prepare", recipe.name, cwd=tmp_path), 1, "train split has no labelled row")
    assert "the train split has no labelled row" in suffuse("check", recipe.name, cwd=tmp_path).out


def test_a_spent_budget_is_one_clear_line_and_a_larger_one_goes_on(tmp_path: Path) -> None:
    with serving(colour_rule) as server:
        recipe = make_project(tmp_path, server, 60, max_requests=25)
        check_success(suffuse("prepare", recipe.name, "--out", "run", cwd=tmp_path))
        spent = suffuse("teach", "run", cwd=tmp_path)
        check_failure(spent, 1, "budget of the asked teacher is spent", "25 of 60 questions", "max_requests: 25")
        assert len(server.bodies) == 25
        result = check_success(suffuse("teach", "run", "--set", "teacher.max_requests=60", cwd=tmp_path))
        assert "35 requests to make" in result.err
        assert (len(server.bodies), server.twice) == (60, [])
