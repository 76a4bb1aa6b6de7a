"""Where distillation pays, on real data: each student against the same student on labels alone.

    python benchmarks/distillation.py DATA [CASE ...] [--out runs] [--write | --toy]

    few     products, 10 % of the rows labelled for teacher, student and validation alike; all other rows unlabelled
    full-N  products, all labels, N epochs (25 or 80), five seeds, trials of 25 epochs; each on the photos that suit it
            best at N epochs: mirrored, but for labels alone at 80, which are shifted, zoomed and lit otherwise too
    any     products, photo and title: one student for any subset against students of the photo and of the title alone
    same    easy-VQA, the labels of 5 % of the pictures, the same for everybody; all other rows unlabelled
    tiny    easy-VQA at full labels, a student of at most 7,000 parameters, ten seeds
    orders  six slots of a spoken order from the sound alone, cross-validated: each order is a test row once
    houses  a number (the price of a house): full labels, and a quarter of them
    folds   the same, cross-validated: each house is a test row once
    priced  the same with all labels alone, each with the best of its trials
    quarter the same with a quarter of the labels

DATA is the folder with the data sets. Student and baseline have the same budget, and each got the same trials of
learning rate, smoothing and dropout on validation rows (``trials.py``); in ``any``, ``houses`` and ``folds`` neither
got any.
``--write`` keeps the table, with date and hardware, in ``results/``. ``--toy`` is the smoke test of this script: DATA
as ``toy_data.py`` writes them, one epoch, two folds, tiny networks, nothing pretrained.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from anywhere import anywhere
from copies import copied
from pooled import pairs
from result_file import write_result
from rows import read, write
from shipped import add_cases, add_toy, arguments_of, folds_run, opened
from suffuse import Run, run_all, run_stage, scores
from suffuse.files import read_json
from suffuse.report.verdict_text import to_settle
from suffuse.sources import easy_vqa
from trials import SINGLE, TRIALS, WHO, Trial, schooled, tried

SHARE, SAME, QUARTER, MOST, FOLDS = 0.1, 0.05, 0.25, 7000, 5
STORED = ("prepare", "teach", "extract")
TOGETHER = (
    "modalities.picture.augment={flip: true, shift: 0.1, zoom: 0.1}",
    "teacher.num_seeds=3",
    "teacher.ensemble=true",
    "teacher.dropout=0.3",
    "teacher.label_smoothing=0.1",
    "teacher.train={epochs: 300, batch: 128, learning_rate: 3.0e-3, augment: true, ema: 0.99}",
    "distill.train.augment=true",
    "distill.train.modality_dropout=0",
    "distill.num_seeds=5",
    "distill.label_fractions=[]",
    "distill.unimodal_baselines=false",
)  # chosen on training pictures whose labels were hidden from everybody
SHIFTED = "modalities.photo.augment={flip: true, shift: 0.06, zoom: 0.1, brightness: 0.1, contrast: 0.1}"
MIRRORED = "modalities.photo.augment={flip: true}"  # the teacher's vectors are those of a photo and its mirror image
LONGER = (
    "student.encoders.title.dropout=0.2",
    "student.fusion.width=128",
    "student.hidden=96",
    "distill.train.augment=true",
    "distill.train.precision=bf16",
    "distill.losses={soft: {kind: kd, temperature: 4, weight: 0.5}, labels: {kind: task, weight: 0.5}}",
    "distill.label_fractions=[]",
    "distill.unimodal_baselines=false",
    "teacher.unimodal_baselines=false",
    "evaluate.probes=[size]",
)  # chosen on validation rows
EACH = (
    "{soft: {kind: kd, temperature: 2, weight: 0.9}, labels: {kind: task, weight: 0.1}, "
    "hints: {kind: modality_hints, weight: 2}}"
)  # chosen on validation rows, four seeds
WIDER = "student.encoders.photo.widths=[40, 80, 160]"  # chosen on validation rows, two seeds
EPOCHS: dict[int, tuple[str, ...]] = {
    25: (),
    80: (SHIFTED.replace("modalities.photo.augment", "distill.baseline.augment.photo"),),
}  # -> what labels alone see otherwise: chosen on validation rows, two seeds (causes.py), as is what the student sees
FULL = (*LONGER, MIRRORED, WIDER, "distill.num_seeds=5")  # chosen on validation rows, two seeds (causes.py)
ANY = (SHIFTED, "student.encoders.photo.widths=[32, 64, 128]", "distill.train.epochs=60")
HEARD = (
    "student.encoders.sound.width=64",
    "distill.train.epochs=60",
    "distill.label_fractions=[]",
    "distill.unimodal_baselines=false",
    "teacher.unimodal_baselines=false",
    "evaluate.probes=[size]",
)
LISTENER = 150_000  # parameters that a student of the orders may have
SHARED = ("full-search", *(f"full-{n}" for n in EPOCHS), "any", "any-photo", "any-title")  # runs with one teacher


def few(data: Path, out: Path) -> dict:
    """The labels of a tenth of the training and validation rows, the same for everybody."""
    source, table = data / "fashion9k" / "manifest.csv", out / "few.csv"
    rows = read(source)
    keep = labelled([(r["split"], r["label"]) for r in rows])
    write(table, [{**r, "label": r["label"] if kept else ""} for r, kept in zip(rows, keep, strict=True)])
    changes = (
        "teacher.train.epochs=60",
        "teacher.ensemble=true",
        "distill.label_fractions=[]",
        "distill.unimodal_baselines=false",
        "teacher.unimodal_baselines=false",
        f"data.root={source.parent}",
    )  # chosen on training rows whose labels were hidden from everybody
    return fair("products", encoded(out, "few"), f"data.source={table}", *changes, trials=SINGLE)


def same(data: Path, out: Path) -> dict:
    """A teacher that knows no more labels than its student: three seeds together, on mirrored and shifted pictures."""
    source = easy_vqa.read()
    rows, table = source.table.to_pylist(), out / "same.csv"
    pictures = sorted({row["number"] for row in rows if row["split"] == "train"})
    some = np.random.default_rng(0).permutation(len(pictures))[: round(SAME * len(pictures))]
    kept = {pictures[n] for n in some}
    known = [row["split"] == "test" or row["number"] in kept for row in rows]
    write(table, [{**row, "answer": row["answer"] if one else ""} for row, one in zip(rows, known, strict=True)])
    return fair("easy-vqa", out / "same", f"data.source={table}", f"data.root={source.root}", *TOGETHER)


def lent(out: Path, name: str) -> Path:
    """The folder of one of the runs with all labels; the first that there is lends the others its teacher and store."""
    there = [other for one in SHARED if ((other := out / one) / "recipe.yaml").exists()]
    return copied(Run.open(there[0]), out / name) if there else encoded(out, name)


def encoded(out: Path, name: str) -> Path:
    """The folder of a run of the products, with the vectors of the pretrained encoders where another run has them."""
    there = [vectors for one in ("few", *SHARED) if (vectors := out / one / "features").exists()]
    if there and there[0].parent != out / name:
        shutil.copytree(there[0], out / name / "features", dirs_exist_ok=True)
    return out / name


def full(data: Path, out: Path, epochs: int) -> dict:
    """Photo, title and attributes; the trials are short, of the same network and on the same photos."""
    changes = (f"data.source={data / 'fashion9k' / 'manifest.csv'}", *FULL, *EPOCHS[epochs])
    search = stored("products", lent(out, "full-search"), *changes, f"distill.train.epochs={min(EPOCHS)}")
    chosen, told = tried(search, SINGLE)
    run = done("products", lent(out, f"full-{epochs}"), *changes, f"distill.train.epochs={epochs}", *chosen)
    return table(run) | {"trials": told}


def longer(data: Path, out: Path, name: str, *changes: str) -> Run:
    """Photo and title, or one of them."""
    return done("products", lent(out, name), f"data.source={data / 'fashion9k' / 'manifest.csv'}", *LONGER, *changes)


def subsets(data: Path, out: Path) -> dict:
    """Photo and title, one student for both and either, and a student of each."""
    whole = longer(
        data,
        out,
        "any",
        *ANY,
        "student.modalities=[photo, title]",
        "distill.train.modality_dropout=complementary_subsets",
    )
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


def tiny(data: Path, out: Path) -> dict:
    """easy-VQA, from its package."""
    changes = (
        "student.encoders.picture.widths=[6,12,20]",
        "student.encoders.question={kind: gru, embedding: 8, width: 16}",
        "student.fusion.width=24",
        "student.hidden=0",
        f"distill.losses={EACH}",
        "distill.train.modality_dropout=0",
        "distill.num_seeds=10",
        "distill.label_fractions=[]",
        "distill.unimodal_baselines=false",
    )
    found = fair("easy-vqa", out / "tiny", *changes)
    assert found["models"]["student"]["parameters"] <= MOST
    return found


def orders(data: Path, out: Path) -> dict:
    """One setting for all five folds; the trials have more validation rows of fold 0 to choose by than the recipe."""
    source = f"data.source={data / 'coffee_orders619' / 'manifest.csv'}"
    search = stored("orders", out / "orders-search", source, *HEARD, "data.split.validation=0.15")
    chosen, told = tried(search)
    runs = [
        done("orders", out / f"orders-{k}", source, *HEARD, f"data.split.fold={k}", *chosen) for k in folds_run(FOLDS)
    ]
    found, cards = pairs(runs, [WHO]), [scores(run) for run in runs]
    most = max(card["student"]["parameters"] for card in cards)
    assert most <= LISTENER
    for card in found["models"].values():
        card["parameters"] = most
    return found | {"teachers": [card["teacher"]["metrics"]["accuracy"]["mean"] for card in cards], "trials": told}


def houses(data: Path, out: Path) -> Run:
    """Four photos and a few facts -> the price."""
    return done("houses", out / "houses", f"data.source={data / 'houses535' / 'manifest.csv'}")


def cut(fold: int) -> tuple[str, str]:
    """How the houses are split for one fold, and what of it is probed."""
    return f"data.split={{folds: {FOLDS}, fold: {fold}}}", "evaluate.probes=[size]"


def folds(data: Path, out: Path) -> dict:
    """The houses in five folds, students and baselines over all of them."""
    source = f"data.source={data / 'houses535' / 'manifest.csv'}"
    runs = [done("houses", out / f"houses-{k}", source, *cut(k)) for k in folds_run(FOLDS)]
    found = pairs(runs, (("student", "baseline"), ("student-0.25", "baseline-0.25")))
    teachers = [scores(run)["teacher"] for run in runs]
    metric = found["pairs"][0]["metric"]
    return found | {"teachers": [card["metrics"][metric]["mean"] for card in teachers]}


def priced(data: Path, out: Path, fraction: float) -> dict:
    """The houses in five folds, this share of the labels for the student and its validation; the teacher saw all."""
    source = f"data.source={data / 'houses535' / 'manifest.csv'}"
    runs = [stored("houses", out / f"houses-{k}", source, *cut(k)) for k in folds_run(FOLDS)]
    chosen, told = tried(runs[0], fraction=fraction)
    teachers = [next(iter(read_json(run.path("teacher", "training.json"))["validation"].values())) for run in runs]
    return pairs(runs, [WHO], schooled(runs, chosen, fraction)) | {"trials": told, "teachers on validation": teachers}


def done(recipe: str, folder: Path, *overrides: str) -> Run:
    """The recipe's run, every stage up to date."""
    run = opened(recipe, folder, overrides)
    run_all(run)
    return run


def stored(recipe: str, folder: Path, *overrides: str) -> Run:
    """A run of the recipe as far as its store."""
    run = opened(recipe, folder, overrides)
    for verb in STORED:
        run_stage(run, verb)
    return run


def fair(recipe: str, folder: Path, *overrides: str, trials: Sequence[Trial] = TRIALS) -> dict:
    """The recipe's table, student and baseline each with the best of as many trials on validation rows."""
    chosen, told = tried(stored(recipe, folder, *overrides), trials)
    return table(done(recipe, folder, *overrides, *chosen)) | {"trials": told}


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
    "priced": partial(priced, fraction=1.0), "quarter": partial(priced, fraction=QUARTER),
    "orders": orders, "any": subsets, **{f"full-{n}": partial(full, epochs=n) for n in EPOCHS},
}  # fmt: skip


def main() -> int:
    """Run what is asked for and print its pairs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    add_cases(parser, "cases", CASES)
    parser.add_argument("--out", type=Path, default=Path("runs"))
    parser.add_argument("--write", action="store_true")
    add_toy(parser)
    asked = arguments_of(parser)
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
                  f"{pair['high']:+.4f}] {pair['verdict']}{to_settle(pair)}")  # fmt: skip
        if asked.write:
            write_result(f"distillation-{name}", facts)
    return 0


if __name__ == "__main__":
    sys.exit(main())
