"""Where distillation pays, on real data: each student against the same student on labels alone.

    python benchmarks/distillation.py DATA [CASE ...] [--out runs] [--write]

    few     products, 10 % of the rows labelled for teacher, student and validation alike; all other rows unlabelled
    full-N  products, all labels, N epochs (25 or 80) on mirrored and shifted photos
    any     products, photo and title: one student for any subset against students of the photo and of the title alone
    same    easy-VQA, the labels of 5 % of the pictures, the same for everybody; all other rows unlabelled
    tiny    easy-VQA at full labels, a student of at most 7,000 parameters, ten seeds
    houses  a number (the price of a house): full labels, and a quarter of them
    folds   the same, cross-validated: each house is a test row once

DATA is the folder with the data sets. Student and baseline have the same budget and the recipe's settings; neither got
trials of its own here. ``--write`` keeps the table, with date and hardware, in ``results/``.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Callable
from datetime import date
from functools import partial
from pathlib import Path

import numpy as np

from anywhere import anywhere
from copies import copied
from pooled import pairs
from suffuse import Run, run_all, scores
from suffuse.files import read_json
from suffuse.machine import surroundings
from suffuse.report.settled import settled
from suffuse.sources import easy_vqa

HERE = Path(__file__).resolve().parent
RECIPES = HERE.parent / "recipes"
SHARE, SAME, MOST, FOLDS = 0.1, 0.05, 7000, 5
TOGETHER = (
    "modalities.picture.augment={flip: true, shift: 0.1, zoom: 0.1}",
    "teacher.seeds=3",
    "teacher.ensemble=true",
    "teacher.dropout=0.3",
    "teacher.train={epochs: 100, batch: 128, learning_rate: 3.0e-3, augment: true}",
    "distill.train.augment=true",
    "distill.label_fractions=[]",
    "distill.floors=false",
)  # chosen on training pictures whose labels were hidden from everybody
LONGER = (
    "modalities.photo.augment={flip: true, shift: 0.06, zoom: 0.1, brightness: 0.1, contrast: 0.1}",
    "student.encoders.title.dropout=0.2",
    "distill.train.augment=true",
    "distill.train.precision=bf16",
    "distill.losses={soft: {kind: kd, temperature: 4, weight: 0.5}, labels: {kind: task, weight: 0.5}}",
    "distill.label_fractions=[]",
    "distill.floors=false",
    "teacher.floors=false",
    "evaluate.probes=[size]",
)  # chosen on validation rows
EPOCHS = (25, 80)
ANY = (
    "distill.train.epochs=60",
    "student.encoders.photo.widths=[32, 64, 128]",
    "student.fusion.width=128",
    "student.hidden=96",
)
SHARED = (*(f"full-{n}" for n in EPOCHS), "any", "any-photo", "any-title")  # runs with one teacher


def few(data: Path, out: Path) -> Run:
    """The labels of a tenth of the training and validation rows, the same for everybody."""
    source = data / "fashion9k" / "manifest.csv"
    table = out / "few.csv"
    out.mkdir(parents=True, exist_ok=True)
    with source.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    keep = labelled([(r["split"], r["label"]) for r in rows])
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows({**r, "label": r["label"] if kept else ""} for r, kept in zip(rows, keep, strict=True))
    changes = (
        "distill.label_fractions=[]",
        "distill.floors=false",
        "teacher.floors=false",
        f"data.root={source.parent}",
    )
    return done("products", out / "few", f"data.source={table}", *changes)


def same(data: Path, out: Path) -> Run:
    """A teacher that knows no more labels than its student: three seeds together, on mirrored and shifted pictures."""
    source = easy_vqa.read()
    rows, table = source.table.to_pylist(), out / "same.csv"
    pictures = sorted({row["number"] for row in rows if row["split"] == "train"})
    some = np.random.default_rng(0).permutation(len(pictures))[: round(SAME * len(pictures))]
    kept = {pictures[n] for n in some}
    out.mkdir(parents=True, exist_ok=True)
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        for row in rows:
            known = row["split"] == "test" or row["number"] in kept
            writer.writerow({**row, "answer": row["answer"] if known else ""})
    return done("easy-vqa", out / "same", f"data.source={table}", f"data.root={source.root}", *TOGETHER)


def longer(data: Path, out: Path, name: str, *changes: str) -> Run:
    """All labels; the first of these runs lends the others its teacher and store."""
    folder = out / name
    there = [other for one in SHARED if (other := out / one).exists()]
    if there and not folder.exists():
        copied(Run.open(there[0]), folder)
    return done("products", folder, f"data.source={data / 'fashion9k' / 'manifest.csv'}", *LONGER, *changes)


def full(data: Path, out: Path, epochs: int) -> Run:
    """Photo, title and attributes."""
    return longer(data, out, f"full-{epochs}", f"distill.train.epochs={epochs}")


def subsets(data: Path, out: Path) -> dict:
    """Photo and title, one student for both and either, and a student of each."""
    whole = longer(data, out, "any", *ANY, "student.modalities=[photo, title]", "distill.train.modality_dropout=halves")
    how = {n: (*ANY, f"student.modalities=[{n}]", "distill.train.modality_dropout=0") for n in ("photo", "title")}
    alone = {name: longer(data, out, f"any-{name}", *changes) for name, changes in how.items()}
    found, judged = anywhere(whole, alone), table(whole)
    models = {who: judged["models"][who] for who in ("teacher", "student", "baseline")} | found["models"]
    return found | {"models": models, "pairs": [*found["pairs"], *judged["pairs"]], "judged": judged["judged"]}


def labelled(rows: list[tuple[str, str]]) -> list[bool]:
    """(split, label) of each row -> whether its label stays: of each label a tenth, one at least; all of test."""
    random, keep = np.random.default_rng(0), np.array([split == "test" for split, _ in rows])
    for pair in sorted(set(rows)):
        places = np.array([n for n, row in enumerate(rows) if row == pair])
        keep[random.permutation(places)[: max(1, round(SHARE * len(places)))]] = True
    return keep.tolist()


def tiny(data: Path, out: Path) -> Run:
    """easy-VQA, from its package."""
    changes = (
        "student.encoders.picture.widths=[6,12,20]",
        "student.encoders.question={kind: gru, embedding: 8, width: 16}",
        "student.fusion.width=24",
        "student.hidden=0",
        "distill.seeds=10",
        "distill.label_fractions=[]",
        "distill.floors=false",
    )
    run = done("easy-vqa", out / "tiny", *changes)
    assert scores(run)["student"]["parameters"] <= MOST
    return run


def houses(data: Path, out: Path) -> Run:
    """Four photos and a few facts -> the price."""
    return done("houses", out / "houses", f"data.source={data / 'houses535' / 'manifest.csv'}")


def folds(data: Path, out: Path) -> dict:
    """The houses in five folds, students and baselines over all of them."""
    source = f"data.source={data / 'houses535' / 'manifest.csv'}"
    cut = [f"data.split={{folds: {FOLDS}, fold: {k}}}" for k in range(FOLDS)]
    runs = [done("houses", out / f"houses-{k}", source, how, "evaluate.probes=[size]") for k, how in enumerate(cut)]
    found = pairs(runs, (("student", "baseline"), ("student-0.25", "baseline-0.25")))
    teachers = [scores(run)["teacher"] for run in runs]
    metric = found["pairs"][0]["metric"]
    return found | {"teachers": [card["metrics"][metric]["mean"] for card in teachers]}


def done(recipe: str, folder: Path, *overrides: str) -> Run:
    """The recipe's run, every stage up to date."""
    run = Run.open(RECIPES / f"{recipe}.yaml", overrides, folder)
    run_all(run)
    return run


def table(run: Run) -> dict:
    """The scores of teacher, students and baselines, and what is said of each pair."""
    kept = ("mean", "low", "high", "per_seed")
    cards = {w: c for w, c in scores(run).items() if w.split("-")[0] in ("teacher", "ensemble", "student", "baseline")}
    return {
        "models": {
            who: {
                "parameters": card["parameters"],
                **{name: {k: m[k] for k in kept} for name, m in card["metrics"].items()},
            }
            for who, card in cards.items()
        },
        "pairs": [c for c in read_json(run.path("scores", "comparisons.json")) or [] if c["about"] == "distillation"],
        "judged": read_json(run.path("judged.json")),
        "seconds": {
            s: (run.stamp(s) or {}).get("seconds") for s in ("prepare", "teach", "extract", "distill", "evaluate")
        },
    }


CASES: dict[str, Callable[[Path, Path], Run | dict]] = {
    "few": few, "same": same, "tiny": tiny, "houses": houses, "folds": folds,
    "any": subsets, **{f"full-{n}": partial(full, epochs=n) for n in EPOCHS},
}  # fmt: skip


def main() -> int:
    """Run what is asked for and print its pairs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("cases", nargs="*", choices=[*CASES, []], default=list(CASES))
    parser.add_argument("--out", type=Path, default=Path("runs"))
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    for name in asked.cases:
        made = CASES[name](asked.data.resolve(), asked.out.resolve())
        facts = table(made) if isinstance(made, Run) else made
        print(f"\n{name}")
        for who, card in facts["models"].items():
            metric = next(m for m in card if m != "parameters")
            size = f"  {card['parameters']:,} parameters" if "parameters" in card else ""
            print(f"  {who:<16} {metric} {card[metric]['mean']:.4f}{size}")
        for pair in facts["pairs"]:
            print(f"  {pair['who']} less {pair['against']}: {pair['difference']:+.4f} [{pair['low']:+.4f}, "
                  f"{pair['high']:+.4f}] {pair['verdict']}{settled(pair)}")  # fmt: skip
        if asked.write:
            kept = {"date": date.today().isoformat(), "machine": surroundings(0), **facts}
            file = HERE / "results" / f"distillation-{name}.json"
            file.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
