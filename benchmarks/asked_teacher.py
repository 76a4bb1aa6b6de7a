"""A language model on a local server labels product titles; a student learns from its answers, without a human label.

    python benchmarks/asked_teacher.py DATA --url http://127.0.0.1:8099/v1 [--rows 1000] [--out runs/asked] [--write]

DATA is the folder with the data sets (``benchmarks/README.md`` says where they come from); ``--rows`` training rows are
drawn, and a fifth as many validation and test rows each. ``benchmarks/gguf_server.py`` starts a server.

The teacher is asked about the whole title. The student sees the photo, and the title without the words that name the
article: what the teacher reads is privileged. Two runs: in the first no training row has a label, and the student
learns from the teacher's answers alone; in the second all have their human label, and the same answers are a table.
Validation rows have labels in both: they choose epochs, and calibrate the teacher. The examples in the prompt are made
up. ``--write`` keeps the numbers in ``benchmarks/results/asked-teacher.json``.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from own_tables import Rows, read
from result_file import write_result
from suffuse import Run, pipeline
from suffuse.teachers.chat.answer_table import PATTERN

EXAMPLES = (
    ("Nike Women Running Pink Sports Shoes", "Sports Shoes"),
    ("Fabindia Women Printed Yellow Kurta", "Kurtas"),
    ("Titan Men Black Dial Watch", "Watches"),
    ("Puma Men Striped Grey Tshirt", "Tshirts"),
    ("Baggit Women Brown Handbag", "Handbags"),
    ("Levis Men Blue Slim Jeans", "Jeans"),
)  # made up
FACTS = ("methods", "reasons", "temperature", "calibrated_on", "requests", "tokens")  # of the teacher
SEED = 0  # of the rows that are drawn


def prompt() -> str:
    """The classes, some examples, and the title in question, in a form that a base model continues."""
    shown = "".join(f"Product: {title}\nType: {label}\n\n" for title, label in EXAMPLES)
    return "The types of products in a fashion shop are: {classes}.\n\n" + shown + "Product: {title}\nType:"


def draw(rows: Rows, count: int) -> Rows:
    """``count`` training rows, and a fifth as many of the other splits."""
    kept: Rows = []
    for split, size in (("train", count), ("validation", count // 5), ("test", count // 5)):
        own = [row for row in rows if row["split"] == split]
        kept += [own[i] for i in np.random.default_rng(SEED).permutation(len(own))[:size]]
    return kept


def recipe(table: Path, classes: list[str], teacher: dict[str, Any]) -> dict[str, Any]:
    """The student and how it is trained, of both runs."""
    encoders = {"photo": {"kind": "hog"}, "masked": {"kind": "bag", "embedding": 48}}
    return {
        "data": {
            "source": str(table), "target": "label", "id": "id", "split": {"column": "split"}, "allowed_dir": "/",
            "tasks": {"label": {"classes": classes}},
        },
        "modalities": {
            "photo": {"kind": "image", "column": "photo", "size": 64},
            "masked": {"kind": "text", "column": "masked", "tokens": "words", "vocabulary": 4000, "length": 16},
        },
        "teacher": teacher,
        "student": {"encoders": encoders, "fusion": {"kind": "concat", "width": 96}, "hidden": 64},
        "distill": {
            "train": {"epochs": 30, "batch": 64, "learning_rate": 0.004, "modality_dropout": 0.2},
            "unimodal_baselines": False,
        },
        "export": {"int8": "off"},
        "evaluate": {"probes": [], "controls": False, "classical_baselines": False},
        "compute": {"threads": 1},
    }  # fmt: skip


def write_table(file: Path, rows: Rows, labelled: bool) -> Path:
    """The rows; training rows without a label on request."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, [*rows[0]])
        writer.writeheader()
        for row in rows:
            writer.writerow(row if labelled or row["split"] != "train" else {**row, "label": ""})
    return file


def distilled(folder: Path, made: dict[str, Any]) -> Run:
    """The finished run."""
    run = Run.of(made, folder)
    pipeline.run_all(run)
    return run


def answered(run: Run, rows: Rows, split: str) -> dict[str, Any]:
    """How often the teacher's answers on a split are the human labels; an abstention counts as wrong."""
    table = pq.read_table(run.path("teacher", "answers.parquet")).to_pylist()
    labels = {row["id"]: row["label"] for row in rows if row["split"] == split}
    names = [name for name in table[0] if name.startswith("p(")]
    given = [row for row in table if row["id"] in labels and row[names[0]] is not None]
    right = [row for row in given if max(names, key=row.__getitem__) == PATTERN.format(**{"class": labels[row["id"]]})]
    return {"rows": len(labels), "answered": len(given), "accuracy": len(right) / len(labels)}


def test_score(run: Run, model: str) -> dict[str, Any]:
    """Accuracy on test rows, with its interval."""
    card = json.loads(run.path("scores", f"{model}.json").read_text(encoding="utf-8"))
    facts = card["metrics"]["accuracy"]
    return {key: facts[key] for key in ("mean", "low", "high")} | {"rows": card["rows"]}


def main() -> None:
    parser = argparse.ArgumentParser(description="A language model labels titles; a student learns from it.")
    parser.add_argument("data", type=Path)
    parser.add_argument("--url", default="http://127.0.0.1:8099/v1")
    parser.add_argument("--model", default="gemma-3-270m-q4_k_m")
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=Path("runs/asked"))
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    columns = {"id": "id", "photo": "image", "title": "text", "masked": "text_masked", "label": "label"}
    everything = read(options.data, "fashion9k", columns)
    classes = sorted({row["label"] for row in everything})
    rows = draw(everything, options.rows)
    grammar = "root ::= " + " | ".join(json.dumps(f" {name}") for name in classes)  # llama.cpp's own constraint
    asked = {
        "kind": "asked", "url": options.url, "model": options.model, "prompt": prompt(), "json_schema": False,
        "answer_tokens": 12, "options": {"grammar": grammar}, "concurrency": 1, "timeout": 600,
    }  # fmt: skip
    began = time.perf_counter()
    table = write_table(options.out / "unlabelled.csv", rows, labelled=False)
    first = distilled(options.out / "unlabelled", recipe(table, classes, asked))
    seconds = time.perf_counter() - began
    stored = {"kind": "table", "file": str(first.path("teacher", "answers.parquet")), "pattern": PATTERN}
    table = write_table(options.out / "labelled.csv", rows, labelled=True)
    second = distilled(options.out / "labelled", recipe(table, classes, stored))
    training = json.loads(first.path("teacher", "training.json").read_text(encoding="utf-8"))
    facts = {
        "model": options.model,
        "rows": {split: sum(row["split"] == split for row in rows) for split in ("train", "validation", "test")},
        "teacher": {
            **{key: training[key] for key in FACTS},
            **{split: answered(first, rows, split) for split in ("train", "validation", "test")},
        },
        "test": {
            "teacher": test_score(first, "teacher"),
            "student, no human label": test_score(first, "student"),
            "labels-only baseline, human labels": test_score(second, "baseline"),
            "student, human labels and the teacher": test_score(second, "student"),
        },
        "seconds of the first run": round(seconds),
    }  # fmt: skip
    print(json.dumps(facts, indent=1))
    if options.write:
        write_result("asked-teacher", facts)


if __name__ == "__main__":
    main()
