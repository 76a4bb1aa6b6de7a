"""Why long training at all labels leaves a teacher nothing to add on fashion9k: one thing changed at a time.

    python benchmarks/causes.py DATA [NAME ...] [--epochs 80] [--seeds 2] [--out runs] [--write | --toy]

Student and labels alone of ``distillation.py``'s ``full-80`` as it was when this was asked, on photos that were also
shifted, zoomed and lit otherwise, with seeds that no other case has, judged on validation rows; test rows aren't
looked at. Log loss is told as it is, and after temperature scaling on the same rows (one number for a model): smoothed
labels and a teacher that learned them make a model unsure, so that log losses of different settings can't be compared
without it. ``--write`` keeps what was found in ``results/causes.json``.

Two of the settings ask the teacher about rows that nobody has a label for, made from the training rows, one for each:
``crossed`` (the photo of one product, title and attributes of another, half of the time of its class) and ``blended``
(two photos laid over each other, or a part of one in the other: mixup, Zhang et al. 2018, and CutMix, Yun et al. 2019;
asking a teacher about such is function matching, Beyer et al. 2022). A photo is seen as often as without them in
``crossed``, half as often in ``blended``.

``--toy`` is the smoke test of this script: DATA as ``toy_data.py`` writes them, one epoch, tiny networks, nothing
pretrained.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.special import log_softmax

from copies import copied
from distillation import LONGER, MIRRORED, SHIFTED, WIDER, lent, stored
from result_file import write_result
from rows import read, write
from shipped import add_cases, add_toy, arguments_of
from suffuse import Run, temperature_scaling
from suffuse.data.columns import Columns
from suffuse.engine import feature_cache
from suffuse.engine.inference import logits
from suffuse.files import read_json, write_json
from suffuse.tuning.trial import SEARCH
from trials import based, digest, learn, order, side_by_side

HERE = Path(__file__).resolve().parent
EPOCHS, SEEDS = 80, 2


@dataclass(frozen=True)
class Cause:
    """One setting: whose training it is, which store it reads, and what is other than it was in ``full-80``."""

    who: str = "student"
    store: str = "plain"
    texts: tuple[str, ...] = ()
    passes: float = 1.0  # over its table, for each pass that the others have


def losses(temperature: float, labels: str = "weight: 0.5") -> str:
    """``kd`` and labels, half each."""
    soft = f"{{kind: kd, temperature: {temperature}, weight: 0.5}}"
    return f"distill.losses={{soft: {soft}, labels: {{kind: task, {labels}}}}}"


CAUSES = {
    "labels alone": Cause("baseline"),
    "labels alone, smoothed": Cause("baseline", texts=("distill.label_smoothing=0.1",)),
    "student": Cause(),
    "temperature 1": Cause(texts=(losses(1),)),
    "smoothed labels": Cause(texts=(losses(4, "weight: 0.5, label_smoothing: 0.1"),)),
    "ends with labels": Cause(texts=("distill.schedules={soft: {weight: 0.05}, labels: {weight: 1}}",)),
    "mirrored photos": Cause(texts=(MIRRORED,)),
    "mirrored photos, labels alone, smoothed": Cause("baseline", texts=(MIRRORED, "distill.label_smoothing=0.1")),
    "rows that the teacher didn't see": Cause(store="folds"),
    "crossed": Cause(store="crossed", texts=("distill.train.batch=256",)),
    "blended": Cause(store="blended", passes=0.5),
}


def store(data: Path, out: Path, name: str, epochs: int) -> Run:
    """The run whose store a training reads."""
    source, how = data / "fashion9k", (*LONGER, SHIFTED, WIDER, f"distill.train.epochs={epochs}")
    plain = stored("products", lent(out, "full-search"), f"data.source={source / 'manifest.csv'}", *how)
    if name == "plain":
        return plain
    if name == "folds":  # five more networks answer what they didn't see
        texts = (f"data.source={source / 'manifest.csv'}", *how, "teacher.folds=5")
        return stored("products", copied(plain, out / "causes-folds"), *texts)
    root = MADE[name](source, out / f"{name}-rows")
    where = (f"data.source={out / f'{name}-rows' / 'manifest.csv'}", f"data.root={root}")
    return stored("products", copied(plain, out / f"causes-{name}"), *where, *how)


def crossed(source: Path, folder: Path) -> Path:
    """Rows with one's photo and another one's title and attributes; where their files lie."""
    rows = read(source / "manifest.csv")
    train, random = [row for row in rows if row["split"] == "train"], np.random.default_rng(0)
    alike = {name: [row for row in train if row["label"] == name] for name in {row["label"] for row in train}}
    made = []
    for number, row in enumerate(train):
        pool = alike[row["label"]] if random.random() < 0.5 else train
        other = pool[random.integers(len(pool))]
        made.append({**other, "id": f"crossed-{number}", "image": row["image"], "group": row["group"], "label": ""})
    write(folder / "manifest.csv", [*rows, *made])
    return source


def blended(source: Path, folder: Path) -> Path:
    """Rows with a photo made of two, title and attributes of the one that has more of it; where their files lie."""
    rows = read(source / "manifest.csv")
    if not (folder / "manifest.csv").exists():
        shutil.copytree(source / "images", folder / "images", dirs_exist_ok=True)
        (folder / "blended").mkdir(exist_ok=True)
        train, random, made = [row for row in rows if row["split"] == "train"], np.random.default_rng(0), []
        for number, row in enumerate(train):
            other, file = train[random.integers(len(train))], f"blended/{number}.jpg"
            first = Image.open(source / row["image"]).convert("RGB")
            second = Image.open(source / other["image"]).convert("RGB").resize(first.size)
            photo = blend(np.asarray(first, float), np.asarray(second, float), random)
            Image.fromarray(photo.round().astype(np.uint8)).save(folder / file, quality=92)
            made.append({**row, "id": f"blended-{number}", "image": file, "label": ""})
        write(folder / "manifest.csv", [*rows, *made])
    return folder


def blend(one: np.ndarray, other: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Two photos (H, W, 3) -> half of the time half to nine tenths of the first over the second, else a tenth to half
    of the second in the first."""
    if random.random() < 0.5:
        share = random.uniform(0.5, 0.9)
        return share * one + (1 - share) * other
    made, side = one.copy(), np.sqrt(random.uniform(0.1, 0.5))
    height, width = (int(n * side) for n in one.shape[:2])
    top, left = random.integers(one.shape[0] - height + 1), random.integers(one.shape[1] - width + 1)
    made[top : top + height, left : left + width] = other[top : top + height, left : left + width]
    return made


MADE: dict[str, Callable[[Path, Path], Path]] = {"crossed": crossed, "blended": blended}


def judged(order: dict[str, Any]) -> dict[str, Any]:
    """One training; what it comes to on validation rows, which is kept."""
    file = Path(order["base"]).with_name(f"cause-{digest(json.dumps(order))}.json")
    known = read_json(file)
    if known is None:
        state, objective, _ = learn(order)
        run, model = Run.open(Path(order["folder"])), objective.model
        columns = Columns.open(run.path("data"))
        rows = columns.labelled("validation")
        said = logits(model, feature_cache.ready(columns, model, feature_cache.place(run)).of(model.spec.names), rows)
        target, at = columns.target[rows], temperature_scaling.fit(columns.spec, said, columns.target[rows])
        known = {
            "seed": order["seed"],
            "best epoch": state.best_epoch,
            "accuracy": float((said.argmax(1) == target).mean()),
            "log loss": surprise(said, target),
            "scaled": surprise(temperature_scaling.scaled(columns.spec.heads, said, at), target),
        }
        write_json(file, known)
    return known


def surprise(said: np.ndarray, target: np.ndarray) -> float:
    """Logits (N, C) and classes (N,) -> the mean log loss in nats."""
    return float(-log_softmax(said.astype(np.float64), 1)[np.arange(len(target)), target].mean())


def found(data: Path, out: Path, cause: Cause, epochs: int, seeds: int) -> list[dict[str, Any]]:
    """A setting's trainings, side by side."""
    run = store(data, out, cause.store, epochs)
    own = [] if cause.passes == 1 else [f"distill.train.epochs={round(cause.passes * epochs)}"]
    numbers = [run.recipe.seed + SEARCH + number + 1 for number in range(seeds)]
    return side_by_side(judged, [order(run, based(run), cause.who, [*cause.texts, *own], 1.0, n) for n in numbers])


def main() -> int:
    """Train what is asked for, and print what became of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    add_cases(parser, "causes", CAUSES)
    parser.add_argument("--out", type=Path, default=Path("runs"))
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--write", action="store_true")
    add_toy(parser)
    asked = arguments_of(parser)
    file = HERE / "results" / "causes.json"
    for name in asked.causes:
        trained = found(asked.data.resolve(), asked.out.resolve(), CAUSES[name], asked.epochs, asked.seeds)
        for one in trained:
            said = ", ".join(f"{what} {one[what]:.4f}" for what in ("accuracy", "log loss", "scaled"))
            print(f"{name}, {asked.epochs} epochs, seed {one['seed']}: {said}", flush=True)
        if asked.write:
            known = (read_json(file) or {}).get("causes", {})
            write_result("causes", {"causes": {**known, f"{name}, {asked.epochs} epochs": trained}})
    return 0


if __name__ == "__main__":
    sys.exit(main())
