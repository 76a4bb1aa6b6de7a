"""What all tests share."""

from __future__ import annotations

import gc
import hashlib
import importlib.util
import json
import os
import shutil
import sys
from collections.abc import Callable, Generator
from functools import cache, cached_property
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command line does, before torch is loaded
if workers := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):
    # otherwise every worker, and every process that it starts, has a thread for each core, and they wait for each other
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // int(workers))))


def pytest_configure() -> None:
    """Wait for no disk: a file that was written outlives the process that wrote it, and no test cuts the power."""
    os.fsync = lambda descriptor: None


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with the real data sets: ``$SUFFUSE_DATA``, or ``../shared/data`` beside the checkout.

    A test is skipped where there is none, and fails where SUFFUSE_DATA announces one that isn't there.
    """
    announced = os.environ.get("SUFFUSE_DATA")
    folder = Path(announced or Path(__file__).parents[2] / "shared" / "data")
    if folder.is_dir():
        return folder
    if announced:
        pytest.fail(f"SUFFUSE_DATA names no folder: {folder}")
    pytest.skip(f"{NO_DATA} at {folder}: set SUFFUSE_DATA")


@pytest.fixture(scope="session")
def load_tool() -> Callable[[str], ModuleType]:
    """``load_tool(name)``: tools/NAME.py as a module."""

    def load(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).parents[1] / "tools" / f"{name}.py")
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all workers of a test run have."""
    own = tmp_path_factory.getbasetemp()
    shared = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "shared"
    shared.mkdir(exist_ok=True)
    return shared


@pytest.fixture(scope="session")
def build_once(shared_folder: Path) -> Callable[..., Path]:
    """``build_once(name, facts, make) -> folder``: what ``make(folder)`` wrote, once in a test run for all its workers.

    ``facts`` are what the content depends on besides the source, as JSON. Read the folder, never change it.
    """
    from suffuse.file_lock import lock

    def build(name: str, facts: Any, make: Callable[[Path], object]) -> Path:
        digest = hashlib.sha256((json.dumps(facts, sort_keys=True) + source_digest()).encode()).hexdigest()[:16]
        folder, complete = shared_folder / f"{name}-{digest}", shared_folder / f"{name}-{digest}.complete"
        with (shared_folder / f"{name}-{digest}.lock").open("w") as file:
            lock(file, folder, wait=True)
            if not complete.exists():
                shutil.rmtree(folder, ignore_errors=True)  # of a worker that died
                folder.mkdir()
                make(folder)
                complete.touch()
        return folder

    return build


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, Any, Any]:
    """Keep what is imported by then out of every garbage collection, and collect less often: a seventh of the time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()
        gc.set_threshold(50_000, 20, 10)


def pytest_runtest_setup() -> None:
    """Let onnxscript read the source of its 500 functions once, and not again for every export."""
    functions = getattr(sys.modules.get("onnxscript._internal.values"), "TracedOnnxFunction", None)
    if isinstance(read := vars(functions or object).get("function_ir"), property) and read.fget:
        functions.function_ir = kept = cached_property(read.fget)
        kept.__set_name__(functions, "function_ir")


@cache
def source_digest() -> str:
    """Digest of the package's files."""
    digest, source = hashlib.sha256(), Path(__file__).parents[1] / "src" / "suffuse"
    for file in sorted(f for f in source.rglob("*") if f.is_file() and f.suffix != ".pyc"):
        digest.update(str(file.relative_to(source)).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


# What a test may be skipped for where CI is set. Every other skip fails there, so that no check goes missing unnoticed.
NO_DATA, NO_GPU = "no real data", "no GPU"
ALLOWED_SKIPS = (NO_DATA, NO_GPU, "make test-tensorflow", "make test-loops", "mount", "Linux", "/proc")


def skip_failure(reason: str) -> str | None:
    """Why a skip fails under CI, or None where it is allowed."""
    if not os.environ.get("CI") or any(allowed in reason for allowed in ALLOWED_SKIPS):
        return None
    return (
        f"skipped under CI: {reason}. Install what the test needs (`make test` does), or add the reason to conftest.py"
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo) -> Generator[None, Any, Any]:
    """Turn a skipped test into a failure where :func:`skip_failure` says so."""
    return _failed_skip((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, Any, Any]:
    """The same for a file that is skipped as a whole."""
    return _failed_skip((yield))


def _failed_skip(report: Any) -> Any:
    if report.skipped and not hasattr(report, "wasxfail") and isinstance(report.longrepr, tuple):
        failure = skip_failure(report.longrepr[2])
        if failure:
            report.outcome, report.longrepr = "failed", failure
    return report


COLOURS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (30, 60, 220)}


@pytest.fixture(scope="session")
def make_columns():
    """A maker of prepared columns in memory: pictures that rows share, questions, and some of each absent."""
    from dataclasses import replace

    import numpy as np

    from suffuse.data.columns import Columns
    from suffuse.types import Field, Head, Spec

    fields = (
        Field("picture", "image", {"size": 16, "mean": [0.5, 0.4, 0.6], "std": [0.25, 0.3, 0.2]}),
        Field("question", "text", {"vocabulary": 12, "length": 6}),
    )
    spec = Spec(fields, (Head("answer", "classes", ("a", "b", "c")),), tuple(np.log([0.5, 0.3, 0.2]).tolist()))

    mixed = (
        Head("answer", "classes", ("a", "b", "c")),
        Head("tags", "labels", ("x", "y"), weight=2.0),
        Head("price", "number", (), 10.0, 4.0, weight=0.5),
    )

    def make(rows: int = 40, seed: int = 0, absent: float = 0.25, targets: str = "plain") -> Columns:
        random = np.random.default_rng(seed)
        count = max(2, rows // 2)
        pictures = random.integers(0, 256, (count, 16, 16, 3), dtype=np.uint8)
        words = random.integers(2, 12, (count, 6), dtype=np.int32)
        words[np.arange(6)[None] >= random.integers(1, 7, count)[:, None]] = 0
        present = random.random((rows, 2)) >= absent
        present[~present.any(1), 1] = True
        entry = np.where(present, random.integers(0, count, (rows, 2)), 0)
        target, of = random.integers(0, 3, rows), spec
        if targets == "mixed":  # and of each target some are missing
            known = random.random((rows, 3)) >= 0.2
            tags = np.where(known[:, 1:2], random.random((rows, 2)) < 0.4, -1)
            price = np.where(known[:, 2:], random.normal(size=(rows, 1)), np.nan)
            target = np.concatenate([np.where(known[:, :1], target[:, None], -1), tags, price], 1).astype(np.float32)
            of = replace(spec, heads=mixed, log_prior=(*spec.log_prior, -0.5, 0.5, 0.0))
        return Columns(
            of,
            {"picture": pictures, "question": words},
            entry,
            present,
            target,
            split=(np.arange(rows) % 4 == 3).astype(np.int8),
            group=np.arange(rows) // 2,
            key=np.arange(1, rows + 1, dtype=np.uint64) * np.uint64(977),
        )

    return make


@pytest.fixture(scope="session")
def make_network():
    """A maker of tiny networks for those columns."""
    from suffuse import fusions
    from suffuse.recipe import Network
    from suffuse.registry import load

    def make(fusion: str = "gated", text: str = "gru", norm: str = "batch", **more) -> Network:
        width = {"width": 8} if "width" in load(fusions.TABLE, fusion).Settings.model_fields else {}
        return Network.model_validate(
            {
                "encoders": {
                    "picture": {"kind": "conv", "widths": [4, 6], "norm": norm},
                    "question": {"kind": text, "embedding": 4, "width": 5},
                },
                "fusion": {"kind": fusion, **width},
                **more,
            }
        )

    return make


@pytest.fixture(scope="session")
def write_table():
    """A writer of a folder with small pictures and a CSV of questions about them; some cells are empty or broken."""
    import csv
    import random

    from PIL import Image

    def write(folder: Path, rows: int = 72) -> Path:
        noise = random.Random(3)
        (folder / "pictures").mkdir(parents=True)
        lines, kept = [], ""
        for number in range(rows):
            colour = noise.choice(sorted(COLOURS))
            name, side = f"pictures/{number // 2}.png", noise.choice([8, 11, 16])
            if number % 2 == 0:
                picture = Image.new("RGB", (side, 8), COLOURS[colour])
                picture.putpixel((noise.randrange(side), noise.randrange(8)), (number, 0, 0))
                picture.save(folder / name)
                kept = colour
            question = f"what colour has thing {noise.randrange(50)}, 请问"
            lines.append([f"r{number}", "" if number % 9 == 4 else name, "" if number % 7 == 5 else question, kept])
        (folder / "pictures" / "3.png").write_bytes(b"no picture")
        with (folder / "rows.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([["id", "image", "text", "answer"], *lines])
        return folder / "rows.csv"

    return write


@pytest.fixture(scope="session")
def write_questions():
    """A writer of a folder in VQA-RAD's layout: drawn pictures, and three questions about each. Returns the folder.

    A picture holds one coloured shape at the left or the right. Which colour and which shape are open questions,
    whether it is at the left is a closed one; answers are written in several ways.
    """
    import json
    import random

    from PIL import Image, ImageDraw

    def draw(file: Path, colour: str, shape: str, left: bool, noise: random.Random) -> None:
        ground = noise.randrange(200, 256)
        picture = Image.new("RGB", (24, 16), (ground, ground, ground))
        corner = (1 if left else 14) + noise.randrange(-1, 2)
        box = (corner, 3 + noise.randrange(3), corner + 7, 10 + noise.randrange(3))
        pen = ImageDraw.Draw(picture)
        (pen.ellipse if shape == "circle" else pen.rectangle)(box, fill=COLOURS[colour])
        file.parent.mkdir(parents=True, exist_ok=True)
        picture.save(file)

    def write(folder: Path, pictures: int = 30, images: str = "VQA_RAD Image Folder", test: float = 0.25) -> Path:
        noise, rows = random.Random(4), []
        for number in range(pictures):
            colour, shape = noise.choice(sorted(COLOURS)), noise.choice(("circle", "square"))
            left = noise.random() < 0.5
            draw(folder / images / f"synpic{number}.png", colour, shape, left, noise)
            asked = (
                ("what colour is the thing", colour, "OPEN"),
                ("which shape is seen here", shape, "OPEN"),
                ("is it at the left", "yes" if left else "no", "CLOSED "),
            )
            for question, answer, kind in asked:
                written = noise.choice((answer, answer.title(), f" {answer}.", f"{answer} "))
                phrase = ("test_" if number >= (1 - test) * pictures else "") + noise.choice(("freeform", "para"))
                row = {"qid": len(rows) + 1, "phrase_type": phrase, "image_name": f"synpic{number}.png"}
                rows.append({**row, "question": f"{question}?", "answer": written, "answer_type": kind})
        file = folder / "VQA_RAD Dataset Public.json"
        file.write_text(json.dumps(rows, indent=1), encoding="utf-8")
        return folder

    return write


@pytest.fixture(scope="session")
def tiny_recipe():
    """The recipe for such a table, as a dictionary."""

    def make(source: Path) -> dict:
        def network(width: int) -> dict:
            picture, question = {"kind": "conv", "widths": [width]}, {"kind": "gru", "embedding": 4, "width": width}
            return {"encoders": {"picture": picture, "question": question}, "fusion": {"kind": "gated", "width": width}}

        return {
            "data": {"source": str(source), "target": "answer", "id": "id", "group": "image"},
            "modalities": {
                "picture": {"kind": "image", "column": "image", "size": 8},
                "question": {"kind": "text", "column": "text", "vocabulary": 300, "length": 12},
            },
            "teacher": {**network(8), "train": {"epochs": 1, "batch": 16}},
            "student": network(4),
            "distill": {"train": {"epochs": 1, "batch": 16}, "num_seeds": 1, "unimodal_baselines": False},
            "export": {"int8": "off", "teacher": False},
            "compute": {"threads": 1},
        }

    return make


@pytest.fixture(scope="session")
def prepared_run(build_once, write_table, tiny_recipe):
    """A run of that table, prepared; read it, don't change it."""
    from suffuse import pipeline
    from suffuse.run import Run

    def run_of(folder: Path) -> Run:
        return Run.of(tiny_recipe(folder / "table" / "rows.csv"), folder / "run")

    def make(folder: Path) -> None:
        write_table(folder / "table")
        pipeline.run_stage(run_of(folder), "prepare")

    return run_of(build_once("prepared", {}, make))


@pytest.fixture
def killed_at_rename(monkeypatch):
    """``killed_at_rename(nth, call)``: whether ``call()`` came to its nth rename, where it is killed."""

    def run(nth: int, call: Callable[[], object]) -> bool:
        replace, renames = Path.replace, count(1)

        def kill(self: Path, target: Path) -> Path:
            if next(renames) == nth:
                raise KeyboardInterrupt
            return replace(self, target)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", kill)
            try:
                call()
            except KeyboardInterrupt:
                return True
        return False

    return run


@pytest.fixture
def hugging_folder(tmp_path):
    """A maker of folders as transformers writes them: random weights, and what stands beside them."""

    def make(facts: dict, preprocessor: dict | None = None, name: str = "model") -> Path:
        import json

        import torch
        from transformers import AutoConfig, AutoModel

        torch.manual_seed(11)
        kind = dict(facts)
        folder = tmp_path / name
        AutoModel.from_config(AutoConfig.for_model(kind.pop("model_type"), **kind)).save_pretrained(folder)
        if preprocessor:
            (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor))
        return folder

    return make


@pytest.fixture
def timm_folder(tmp_path):
    """A maker of folders as timm writes them."""

    def make(architecture: str, classes: int = 5, **options) -> Path:
        import timm
        import torch
        from timm.models import save_for_hf

        torch.manual_seed(12)
        model = timm.create_model(architecture, num_classes=classes, **options)
        folder = tmp_path / architecture
        save_for_hf(model, folder, safe_serialization=True, model_args=options or None)
        return folder

    return make
