"""What pretrained encoders add to the teacher that ``suffuse init`` proposes: ``--teacher small`` and ``pretrained``.

    python benchmarks/teacher_gains.py DATA RATED [TABLE ...] [--out runs/gains] [--write]

DATA is the folder with fashion9k, RATED the file that ``finetuning.py`` reads. Of each table 700 rows are for training
and 1,300 for validation, drawn at random; the recipe of ``init`` is run up to ``teach``, otherwise unedited. The score
is that of all the teacher's members together on the validation rows, which also chose the epoch and the members'
weights, for both teachers alike. ``--write`` keeps the numbers in ``benchmarks/results/teacher-gains.json``.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path
from typing import Any

import numpy as np

from finetuning import read as read_rated
from own_tables import call, fashion
from result_file import write_result
from suffuse import Run, pipeline
from suffuse.files import read_json

TEACHERS = ("small", "pretrained")
TABLES = {
    "photos": lambda data, rated: [
        {key: row[key] for key in ("id", "photo", "label")} for row in fashion(data, "text") if row["split"] != "test"
    ],
    "reviews": lambda data, rated: read_rated(rated),
}


def write_table(file: Path, rows: list[dict[str, str]], train: int, validation: int) -> None:
    """So many rows of each split, and two test rows, which nothing reads: a table needs some."""
    order = np.random.default_rng(0).permutation(len(rows))[: train + validation + 2]
    splits = ["train"] * train + ["validation"] * validation + ["test"] * 2
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, [*(key for key in rows[0] if key != "split"), "split"])
        writer.writeheader()
        for place, split in zip(order, splits, strict=True):
            writer.writerow({**rows[place], "split": split})


def taught(table: Path, teacher: str) -> dict[str, Any]:
    """The validation of the proposed teacher, all its members together, and of each."""
    recipe = table.with_name(f"{teacher}.yaml")
    if not recipe.exists():
        options = ("--target", "label", "--root", "/", "--teacher", teacher)
        call("init", str(table), *options, "--out", str(recipe))
    run = Run.open(recipe, folder=table.with_name(teacher))
    for stage in ("prepare", "teach"):
        pipeline.run_stage(run, stage)
    facts = read_json(run.path("teacher", "training.json")) or {}
    return {
        "accuracy": facts["validation"]["accuracy"],
        "log_loss": facts["validation"]["log_loss"],
        "members": {name: member["validation"] for name, member in facts["portfolio"].items()},
        "seconds": round((run.stamp("teach") or {})["seconds"]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("rated", type=Path)
    parser.add_argument("tables", nargs="*", default=[*TABLES], metavar="TABLE")
    parser.add_argument("--train", type=int, default=700)
    parser.add_argument("--validation", type=int, default=1300)
    parser.add_argument("--out", type=Path, default=Path("runs/gains"))
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    if unknown := set(options.tables) - set(TABLES):
        parser.error(f"no such table: {', '.join(sorted(unknown))}; there are: {', '.join(TABLES)}")
    results: dict[str, Any] = {}
    for name in options.tables:
        table = (options.out / name / "rows.csv").resolve()
        if not table.exists():
            write_table(table, TABLES[name](options.data.resolve(), options.rated), options.train, options.validation)
        results[name] = {teacher: taught(table, teacher) for teacher in TEACHERS}
        for teacher, result in results[name].items():
            print(f"{name:8} {teacher:10} {result}", flush=True)
    if options.write:
        write_result("teacher-gains", {"train": options.train, "validation": options.validation, "tables": results})


if __name__ == "__main__":
    main()
