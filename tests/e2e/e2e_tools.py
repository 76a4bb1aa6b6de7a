"""Builders of small tables and recipes; the command line in this process, or in one of its own."""

from __future__ import annotations

import copy
import csv
import hashlib
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import traceback
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import yaml
from PIL import Image, ImageDraw

from suffuse import cli
from suffuse.evaluation import size
from suffuse.stages import STAGES

HEADER: tuple[str, ...] = ("id", "picture", "question", "answer", "number")
COLOURS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (30, 60, 220)}
SHAPES = ("circle", "square")
QUESTIONS = {
    "colour": ("what colour is the thing", "which colour does it have"),
    "shape": ("what shape is the thing", "which shape does it have"),
}


def draw(file: Path, colour: str, shape: str, side: int, noise: random.Random) -> None:
    """One coloured shape, somewhere on a light ground."""
    ground = noise.randrange(200, 256)
    picture = Image.new("RGB", (side, side), (ground, ground, ground))
    pen, size = ImageDraw.Draw(picture), side // 2
    left, top = noise.randrange(side - size), noise.randrange(side - size)
    box = (left, top, left + size, top + size)
    (pen.ellipse if shape == "circle" else pen.rectangle)(box, fill=COLOURS[colour])
    file.parent.mkdir(parents=True, exist_ok=True)
    picture.save(file)


def make_rows(folder: Path, pictures: int = 48, side: int = 16, seed: int = 0) -> list[dict[str, str]]:
    """Two questions on each picture: picture and question together decide the answer. Draws the pictures."""
    noise, rows = random.Random(seed), []
    for number in range(pictures):
        colour, shape = noise.choice(list(COLOURS)), noise.choice(SHAPES)
        draw(folder / "images" / f"{number}.png", colour, shape, side, noise)
        for kind, answer in (("colour", colour), ("shape", shape)):
            question, name = noise.choice(QUESTIONS[kind]), f"images/{number}.png"
            row = (f"r{len(rows)}", name, question, answer, str(number))
            rows.append(dict(zip(HEADER, row, strict=True)))
    return rows


def write_csv(file: Path, rows: Iterable[dict[str, str]]) -> Path:
    """Rows -> a CSV file with a header."""
    with file.open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, HEADER)
        writer.writeheader()
        writer.writerows(rows)
    return file


def network(widths: list[int], embedding: int, width: int, fusion: str) -> dict[str, Any]:
    """Encoders, fusion and head of one model."""
    return {
        "encoders": {
            "picture": {"kind": "conv", "widths": widths},
            "question": {"kind": "gru", "embedding": embedding, "width": width},
        },
        "fusion": {"kind": fusion, "width": width},
        "hidden": width,
    }


def make_recipe(source: str = "rows.csv", **changes: Any) -> dict[str, Any]:
    """A recipe that takes seconds. ``changes`` are keys with ``__`` for a dot; None takes the key away."""
    recipe = {
        "version": 1,
        "data": {
            "source": source,
            "target": "answer",
            "id": "id",
            "group": "number",
            "split": {"validation": 0.2, "test": 0.2},
        },
        "modalities": {
            "picture": {"kind": "image", "column": "picture", "size": 16},
            "question": {"kind": "text", "column": "question", "tokens": "words", "length": 8},
        },
        "teacher": {**network([8, 16], 8, 16, "gated"), "train": {"epochs": 2, "batch": 16}},
        "student": network([4, 8], 4, 8, "concat"),
        "distill": {"train": {"epochs": 2, "batch": 16}, "num_seeds": 2, "label_fractions": [0.5]},
        "export": {"int8": "off", "teacher": False},
        "evaluate": {
            "resamples": 100,
            "probes": [],
            "classical_baselines": False,
        },  # what takes longest; the finished run of all tests has them
    }
    for key, value in changes.items():
        *way, last = key.split("__")
        place = recipe
        for step in way:
            place = place.setdefault(step, {})
        place[last] = copy.deepcopy(value)
        if value is None:
            del place[last]
    return recipe


def make_project(folder: Path, pictures: int = 48, side: int = 16, **changes: Any) -> Path:
    """A folder with a table, pictures and a recipe; returns the recipe's path."""
    folder.mkdir(parents=True, exist_ok=True)
    write_csv(folder / "rows.csv", make_rows(folder, pictures, side))
    return write_recipe(folder / "recipe.yaml", make_recipe(**changes))


def write_recipe(file: Path, recipe: dict[str, Any]) -> Path:
    """A recipe -> YAML."""
    file.write_text(yaml.safe_dump(recipe, sort_keys=False), encoding="utf-8")
    return file


@dataclass(frozen=True)
class Result:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def errors(self) -> list[str]:
        """Its error lines."""
        return [line for line in self.err.splitlines() if line.startswith("error:")]

    @property
    def hints(self) -> list[str]:
        """Its hint lines."""
        return [line for line in self.err.splitlines() if line.startswith("hint:")]


@dataclass(frozen=True)
class Finished:
    """A project folder, its recipe, the run, and what ``suffuse run`` said."""

    project: Path
    recipe: Path
    run: Path
    result: Result


def environment(**more: str) -> dict[str, str]:
    """This process's environment, without what would change what the command line says."""
    kept = {k: v for k, v in os.environ.items() if k not in ("SUFFUSE_DEBUG", "PYTHONSTARTUP")}
    return {**kept, "PYTHONHASHSEED": "random", **more}


def suffuse(*args: object, cwd: Path | None = None) -> Result:
    """``suffuse ARGS`` in this process: what the entry point prints, and its exit code.

    Restores all that a command changes in the process. ``SUFFUSE_DEBUG`` is not passed on; memory and start-up time of
    exports are measured in one process instead of three. A test of what only a new process shows (signals, imports,
    environment variables, limits) takes :func:`suffuse_process`.
    """
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    code = 0
    with _restored(), mock.patch.object(size, "STARTS", 1), redirect_stdout(out), redirect_stderr(err):
        os.environ.clear()
        os.environ.update(environment())
        os.chdir(cwd or Path.cwd())
        sys.argv = ["suffuse", *map(str, args)]
        try:
            cli.main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        except Exception:
            traceback.print_exc()
            code = 1
    if code == 130:  # Ctrl-C, which is for the tests
        raise KeyboardInterrupt
    printed, told = (stream.buffer.getvalue().decode("utf-8") for stream in (out, err))  # type: ignore[attr-defined]
    return Result(code, printed, told)


@contextmanager
def _restored() -> Iterator[None]:
    """Restore arguments, working folder, environment, random state and torch's settings at the end."""
    import torch

    from suffuse.engine.runtime import restored

    arguments, folder, variables = sys.argv, Path.cwd(), dict(os.environ)
    chance, deterministic = random.getstate(), torch.get_deterministic_debug_mode()
    fills = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    try:
        with restored(), warnings.catch_warnings():
            yield
    finally:
        sys.argv = arguments
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(variables)
        random.setstate(chance)
        torch.set_deterministic_debug_mode(deterministic)
        torch.utils.deterministic.fill_uninitialized_memory = fills  # type: ignore[attr-defined]


def suffuse_process(*args: object, cwd: Path | None = None, flags: tuple[str, ...] = (), **options: Any) -> Result:
    """``suffuse ARGS`` in a process of its own, until it ends."""
    command = [sys.executable, *flags, "-m", "suffuse", *map(str, args)]
    options = {"env": environment(), "timeout": 300, **options}
    ended = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, **options)
    return Result(ended.returncode, ended.stdout, ended.stderr)


def start(*args: object, cwd: Path | None = None, **options: Any) -> subprocess.Popen[str]:
    """``suffuse ARGS`` in a process and a process group of its own; doesn't wait."""
    command = [sys.executable, "-m", "suffuse", *map(str, args)]
    options = {"env": environment(), "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    # tests that a shell runs in the background ignore SIGINT, and so would what they start
    hears = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    return subprocess.Popen(command, cwd=cwd, text=True, start_new_session=True, preexec_fn=hears, **options)


def check_success(result: Result) -> Result:
    """The result of a process that had to end well."""
    assert result.code == 0, f"exit code {result.code}\n{result.out}\n{result.err}"
    assert "Traceback" not in result.err
    return result


def check_failure(result: Result, code: int, *words: str) -> Result:
    """The result of a process that had to fail, in one line that holds all these words (or its hint does)."""
    assert result.code == code, f"exit code {result.code}\n{result.out}\n{result.err}"
    assert len(result.errors) == 1, result.err
    assert len(result.hints) <= 1, result.err
    assert "Traceback" not in result.err + result.out
    assert "defect" not in result.err
    said = " ".join([*result.errors, *result.hints])
    for word in words:
        assert word in said, f"'{word}' isn't in: {said}"
    return result


def stamp(run: Path, stage: str) -> dict[str, Any]:
    """What a stage's stamp says."""
    return json.loads((run / "stamps" / f"{stage}.json").read_text(encoding="utf-8"))


def undo(run: Path, stage: str) -> Path:
    """Take away what this stage and all after it made, as if they had never been called."""
    for verb in [*STAGES][[*STAGES].index(stage) :]:
        if (run / "stamps" / f"{verb}.json").exists():
            for name in {Path(f).parts[0] for f in stamp(run, verb)["outputs"]}:
                shutil.rmtree(run / name) if (run / name).is_dir() else (run / name).unlink()
            (run / "stamps" / f"{verb}.json").unlink()
    return run


def without(run: Path, place: Path, stage: str) -> Path:
    """A copy of the run in which this stage, and what follows, was never called."""
    return undo(Path(shutil.copytree(run, place)), stage)


def hashes(run: Path, stages: Iterable[str] = ("prepare", "teach", "extract", "distill", "export")) -> dict[str, str]:
    """Hash of every file that these stages made, as it is now."""
    names = [name for stage in stages for name in stamp(run, stage)["outputs"]]
    return {name: hashlib.sha256((run / name).read_bytes()).hexdigest() for name in names}


def scores(run: Path) -> dict[str, Any]:
    """All of scores/ but the times and the memory, which no two runs share."""
    found = {}
    for file in sorted((run / "scores").glob("*.json")):
        facts = json.loads(file.read_text(encoding="utf-8"))
        if isinstance(facts, dict):
            for key in ("latency_ms", "latency", "memory", "costs"):
                facts.pop(key, None)
            if "reasons" in facts:
                facts["reasons"] = [reason for reason in facts["reasons"] if reason["check"] != "latency_ms"]
        found[file.name] = facts
    found["predictions.parquet"] = (run / "scores" / "predictions.parquet").read_bytes()
    return found


CHANGED_MODULES = """
import sys
from importlib.machinery import PathFinder


class Changed:
    def find_spec(self, name, path=None, target=None):
        if name not in CHANGES:
            return None
        spec = PathFinder.find_spec(name, path)
        original = spec.loader.exec_module

        def exec_module(module):
            original(module)
            vars(module).update(CHANGES[name])

        spec.loader.exec_module = exec_module
        return spec


sys.meta_path.insert(0, Changed())
"""


def change_modules(folder: Path, changes: dict[str, dict[str, float]]) -> Path:
    """Write into a folder for PYTHONPATH what sets these names of modules in every Python process."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sitecustomize.py").write_text(f"CHANGES = {changes!r}\n{CHANGED_MODULES}", encoding="utf-8")
    return folder
