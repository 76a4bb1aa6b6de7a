"""Whether distillation helps on real data, once the baseline is trained long enough and every seed has its own teacher.

    python benchmarks/verdicts.py DATA [CASE ...] [--out runs/verdicts] [--write | --toy]

    questions  easy-VQA, all labels, and those of 5 % of the pictures
    tiny       easy-VQA, all labels, a student of at most 7,000 parameters
    orders     six slots of a spoken order from the sound alone; the teacher reads the transcript too
    houses     the price of a house from photos and facts: all labels, and a quarter of them
    photos     fashion9k, photo and title without the article's name: all labels, and a tenth; the recipe is `init`'s

DATA is the folder with the data sets. Five seeds each, ``distill.teachers: each``. Neither side gets a trial: both have
the recipe's settings. The labels-only baseline is trained at 2, 4 and 8 times the epochs where its comparison isn't
settled (``distill.baseline.epochs: auto``). ``--write`` keeps each case in ``results/verdict-CASE.json``. ``--toy`` is
the smoke test of this script, on data as ``toy_data.py`` writes them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from copies import copied
from distillation import HEARD, MOST, done, stored, table
from own_tables import TABLES, run_table
from result_file import write_result
from shipped import add_cases, add_toy, arguments_of
from suffuse import Run
from suffuse.report.verdict_text import sentences

EACH = (
    "teacher.num_seeds=5",
    "teacher.unimodal_baselines=false",
    "distill.num_seeds=5",
    "distill.teachers=each",
    "distill.unimodal_baselines=false",
    "evaluate.controls=false",
    "evaluate.classical_baselines=false",
    "evaluate.probes=[size]",
    "export.int8=off",
    "export.teacher=false",
)
NARROW = (
    "student.encoders.picture.widths=[6,12,20]",
    "student.encoders.question={kind: gru, embedding: 8, width: 16}",
    "student.fusion.width=24",
    "student.hidden=0",
)


def questions(data: Path, out: Path) -> Run:
    """The demo's recipe, with 5 % of the labels."""
    return done("easy-vqa", out / "questions", *EACH, "distill.label_fractions=[0.05]")


def tiny(data: Path, out: Path) -> Run:
    """The same teachers, a student of at most MOST parameters."""
    teachers = stored("easy-vqa", out / "questions", *EACH, "distill.label_fractions=[0.05]")
    run = done("easy-vqa", copied(teachers, out / "tiny"), *EACH, *NARROW, "distill.label_fractions=[]")
    assert table(run)["models"]["student"]["parameters"] <= MOST
    return run


def orders(data: Path, out: Path) -> Run:
    """Fold 0, on whose test rows nothing was chosen."""
    source = f"data.source={data / 'coffee_orders619' / 'manifest.csv'}"
    return done("orders", out / "orders", source, *HEARD, *EACH)


def houses(data: Path, out: Path) -> Run:
    """One network teaches, not the recipe's ensemble, which is one teacher."""
    source = f"data.source={data / 'houses535' / 'manifest.csv'}"
    return done("houses", out / "houses", source, "teacher.ensemble=false", *EACH)


def photos(data: Path, out: Path) -> Run:
    """The recipe that ``init`` writes, with seeds and teachers as in the other cases."""
    run_table(TABLES["fashion"](data), out / "photos", [*EACH, "distill.label_fractions=[0.1]"])
    return Run.open(out / "photos" / "run")


CASES: dict[str, Callable[[Path, Path], Run]] = {
    "questions": questions, "tiny": tiny, "orders": orders, "houses": houses, "photos": photos,
}  # fmt: skip


def main() -> int:
    """Run what is asked for and print its verdicts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    add_cases(parser, "cases", CASES)
    parser.add_argument("--out", type=Path, default=Path("runs/verdicts"))
    parser.add_argument("--write", action="store_true")
    add_toy(parser)
    asked = arguments_of(parser)
    for name in asked.cases:
        run = CASES[name](asked.data.resolve(), asked.out.resolve())
        print(f"\n{name}", *sentences(run), sep="\n", flush=True)
        if asked.write:
            write_result(f"verdict-{name}", table(run))
    return 0


if __name__ == "__main__":
    sys.exit(main())
