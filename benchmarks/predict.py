"""The exported student outside the lab: cold start, one row at a time, and a million rows, against the bare libraries.

    python benchmarks/predict.py [RUN] [--write] [--rows 100000 1000000]

RUN is a finished run on pictures and questions (runs/easy-vqa if not given). Cold start is a new process to its first
answer, from Python and through the command line. One row is a record with a picture's path and a question; bare is
what who knows Pillow, tokenizers and ONNX Runtime would write for this model alone: open, convert, resize, cut into
tokens, run. Both are timed in turn, row by row, and in blocks of 25 rows. The rows of the long tables are the run's
own, over and over. With --write the numbers go to benchmarks/results/predict.json. Fails where they aren't reached.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from PIL import Image
from tokenizers import Tokenizer

from result_file import write_result
from suffuse import Predictor
from suffuse.recipe import read_recipe
from suffuse.sources import stream

COLD, RATIO, FLAT = 0.7, 1.3, 1.2  # seconds, times the bare libraries, times the memory for ten times the rows
STARTS, ROWS, ROUNDS, BLOCK = 15, 200, 10, 25
PYTHON = """
import json, sys
from suffuse import Predictor
print(Predictor.load(sys.argv[1]).predict(json.loads(sys.argv[2]), allowed_dir="/").label)
"""
CHILD = """
import json, sys, time
from pathlib import Path
from suffuse.stages.predict import Options, predict
start = time.perf_counter()
done = predict(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), Options(allowed_dir="/"))
took = time.perf_counter() - start
# not getrusage: what it says of a process starts from its parent's memory at the fork
peak = 1024 * int(open("/proc/self/status", encoding="utf-8").read().split("VmHWM:")[1].split()[0])
print(json.dumps({"rows": done.rows, "seconds": took, "peak": peak}))
"""


def records(run: Path, predictor: Predictor) -> list[dict[str, str]]:
    """Rows of the run's table, paths in full."""
    recipe = read_recipe(run / "recipe.yaml")
    rows = stream(str(recipe.data.source))
    names = [i.settings.columns[0] for i in predictor.inputs]
    block = next(rows.read(names, 0))
    root = Path(recipe.data.root) if recipe.data.root else rows.root
    pictures = {i.settings.columns[0] for i in predictor.inputs if i.field.kind == "image"}
    made = [dict(zip(names, row, strict=True)) for row in zip(*(block.cells(n) for n in names), strict=True)]
    return [{n: str(root / v) if n in pictures else v for n, v in one.items()} for one in made if all(one.values())]


def bare(folder: Path, predictor: Predictor) -> Callable[[dict[str, str]], np.ndarray]:
    """A function record -> logits that knows this model."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession((folder / "model.onnx").read_bytes(), options)
    steps: list[tuple[str, str, Callable[[str], np.ndarray]]] = []
    for one in predictor.inputs:
        settings: Any = one.settings
        if one.field.kind == "image":
            steps.append((one.field.name, settings.columns[0], lambda path, size=settings.size: _picture(path, size)))
        else:
            cut = Tokenizer.from_file(str(folder / f"{one.field.name}.tokenizer.json"))
            cut.enable_truncation(one.field.statistics["length"])
            steps.append((one.field.name, settings.columns[0], lambda text, cut=cut: _tokens(text, cut)))
    present = np.ones((1, len(steps)), dtype=bool)

    def answer(record: dict[str, str]) -> np.ndarray:
        feeds = {name: read(record[column]) for name, column, read in steps}
        return np.asarray(session.run(["logits"], {**feeds, "present": present})[0])

    return answer


def _picture(path: str, size: int) -> np.ndarray:
    with Image.open(path) as opened:
        picture = opened.convert("RGB")
    if picture.size != (size, size):
        picture = picture.resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(picture)[None]


def _tokens(text: str, cut: Tokenizer) -> np.ndarray:
    return np.array([cut.encode(text.lower()).ids], dtype=np.int64)


def cold(export: Path, record: dict[str, str], work: Path) -> dict[str, float]:
    """Seconds from a process's start to its first answer: the median."""
    table = work / "one.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([list(record), list(record.values())])
    command = ["predict", str(export), str(table), "-o", str(work / "one.out.csv"), "--allowed-dir", "/"]
    ways = {
        "python": ["-c", PYTHON, str(export), json.dumps(record)],
        "command_line": ["-m", "suffuse", *command],
    }
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(STARTS):
        for name, arguments in ways.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
            taken[name].append(time.perf_counter() - start)
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


def latency(export: Path, predictor: Predictor, rows: list[dict[str, str]]) -> dict[str, Any]:
    """Milliseconds of one row, the median, each way; and how many times as long the predictor takes."""
    ask = bare(export, predictor)
    ways: dict[str, Callable] = {"bare": ask, "predict": lambda record: predictor.predict(record, allowed_dir="/")}
    for record in rows:
        label = predictor.heads[0].classes[int(ask(record)[0].argmax())]
        assert ways["predict"](record).label == label, "the bare libraries say something else"
    found: dict[str, Any] = {}
    for how, size in (("in_turn", 1), ("in_blocks", BLOCK)):
        taken: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(ROUNDS * len(rows) // size):
            some = [rows[(number * size + n) % len(rows)] for n in range(size)]
            for name in sorted(ways, reverse=number % 2 == 1):
                taken[name] += [_once(ways[name], record) for record in some]
        middle = {f"{name}_ms": 1000 * statistics.median(seconds) for name, seconds in taken.items()}
        found[how] = {**middle, "ratio": middle["predict_ms"] / middle["bare_ms"]}
    return found


def _once(ask: Callable, record: dict[str, str]) -> float:
    start = time.perf_counter()
    ask(record)
    return time.perf_counter() - start


def write_table(file: Path, rows: list[dict[str, str]], count: int) -> None:
    """These rows, over and over."""
    with file.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(rows[0])
        writer.writerows(list(row.values()) for row in islice(cycle(rows), count))


def bulk(export: Path, rows: list[dict[str, str]], count: int, work: Path, form: str = "parquet") -> dict[str, Any]:
    """``suffuse predict`` on so many rows in a process of its own: rows a second, and peak bytes."""
    write_table(work / "rows.csv", rows, count)
    run = [sys.executable, "-c", CHILD, str(export), str(work / "rows.csv"), str(work / f"out.{form}")]
    done = subprocess.run(run, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["rows"] == count
    return {**found, "rows_a_second": count / found["seconds"]}


def main() -> None:
    """Print, write where it is asked for, and fail with what isn't reached."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", nargs="?", default="runs/easy-vqa", type=Path)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--rows", nargs=2, type=int, default=(100_000, 1_000_000))
    asked = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    export = (asked.run / "export").resolve()
    predictor = Predictor.load(export)
    rows = records(asked.run, predictor)[:ROWS]
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        starts = cold(export, rows[0], work)
        print("cold start: " + ", ".join(f"{name} {seconds:.3f} s" for name, seconds in starts.items()), flush=True)
        single = latency(export, predictor, rows)
        for how, one in single.items():
            times = f"bare {one['bare_ms']:.3f} ms, predict {one['predict_ms']:.3f} ms, ratio {one['ratio']:.2f}"
            print(f"one row, {how}: {times}", flush=True)
        tables = [bulk(export, rows, count, work) for count in asked.rows]
    for one in tables:
        print(
            f"{one['rows']:>9,} rows: {one['rows_a_second']:,.0f} rows a second, {one['peak'] / 1e6:.0f} MB at the most"
        )
    flat = tables[1]["peak"] / tables[0]["peak"]
    print(f"memory of the longer table: {flat:.2f} times the shorter one's")
    facts = {"cold_start_s": starts, "one_row": single, "tables": tables, "memory_ratio": flat}
    if asked.write:
        write_result("predict", facts)
    assert max(starts.values()) <= COLD, f"cold start takes longer than {COLD} s"
    assert single["in_turn"]["ratio"] <= RATIO, f"one row takes more than {RATIO} times the bare libraries"
    assert flat <= FLAT, "memory grows with the rows"


if __name__ == "__main__":
    main()
