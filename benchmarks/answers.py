"""What a teacher's answers on its training rows say beyond the labels, and whether what the student sees changes them.

    python benchmarks/answers.py RUN [--rows 600] [--views 3] [--write]

RUN is a finished run. Of its training rows, drawn at random: how often the teacher gives the label, how sure it is, and
how evenly the other classes share what is left, against the most even there is (answers like these are smoothed labels:
Müller et al. 2019, "When Does Label Smoothing Help?"). Then in views, augmented as the student's trainings do: how
often its answer stays, and the Kullback-Leibler divergence of the answer in the view from the one to the row as
prepared, at temperatures 1 and 4.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import torch

from result_file import write_result
from suffuse import Run
from suffuse.data.columns import Columns
from suffuse.data.training_views import Viewer
from suffuse.engine.runtime import settle
from suffuse.recipe import Recipe
from suffuse.teachers import Question
from suffuse.teachers.factory import open_teacher
from suffuse.types import CLASSES

HERE = Path(__file__).resolve().parent
TEMPERATURES = (1.0, 4.0)


def seen(recipe: Recipe) -> Viewer:
    """Views as the student has them, also of what the teacher reads in another form (the same columns, larger)."""
    forms = {(m.kind, str(m.columns)): a for m in recipe.modalities.values() if (a := getattr(m, "augment", None))}
    found = {
        name: one.model_copy(update={"augment": forms[one.kind, str(one.columns)]})
        for name, one in recipe.modalities.items()
        if (one.kind, str(one.columns)) in forms
    }
    return Viewer(recipe.seed, 0.0, found)


def log_shares(logits: np.ndarray, temperature: float) -> torch.Tensor:
    """Logits (N, C) -> log-probabilities (N, C) float64 at a temperature."""
    return torch.log_softmax(torch.from_numpy(logits).double() / temperature, 1)


def rest(logits: np.ndarray) -> float:
    """Logits (N, C) -> how evenly the classes other than the first choice share what is left: 1 is all alike."""
    p = log_shares(logits, 1).exp()
    left = p.scatter(1, p.argmax(1, keepdim=True), 0.0)
    left = left / left.sum(1, keepdim=True)
    return float(torch.special.entr(left).sum(1).mean() / np.log(p.shape[1] - 1))


def apart(view: np.ndarray, plain: np.ndarray, temperature: float) -> float:
    """Logits (N, C) of both -> KL(view, plain), a mean over rows."""
    p, q = log_shares(view, temperature), log_shares(plain, temperature)
    return float(torch.nn.functional.kl_div(q, p, reduction="batchmean", log_target=True))


def told(run: Run, count: int, views: int) -> dict:
    """What the teacher of a run with one target of classes says of so many of its training rows."""
    settle(run.recipe.compute.threads)
    columns = Columns.open(run.path("data"))
    if [head.kind for head in columns.spec.heads] != [CLASSES]:
        raise SystemExit(f"{run.folder}: got targets {[h.kind for h in columns.spec.heads]}, expected one of classes")
    teacher, viewer = open_teacher(run, columns), seen(run.recipe)
    known = columns.labelled("train")
    rows = np.sort(np.random.default_rng(0).permutation(known)[:count])
    plain, target = teacher.answer(Question(rows))["logits"], columns.target[rows]
    found = {
        "rows": len(rows),
        "accuracy": float((plain.argmax(1) == target).mean()),
        "confidence": float(log_shares(plain, 1).exp().max(1).values.mean()),
        "evenness of the rest": rest(plain),
        "views": [],
    }
    for number in range(views if viewer.augmented else 0):
        view = teacher.answer(Question(rows, None, (viewer, number)))["logits"]
        stays = float((view.argmax(1) == plain.argmax(1)).mean())
        found["views"].append({"stays": stays, **{f"KL at {t:g}": apart(view, plain, t) for t in TEMPERATURES}})
    return found


def main() -> int:
    """Print what was found, and keep it where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--rows", type=int, default=600)
    parser.add_argument("--views", type=int, default=3)
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    found = told(Run.open(asked.run), asked.rows, asked.views)
    print(json.dumps(found, indent=1))
    if asked.write:
        write_result("answers", found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
