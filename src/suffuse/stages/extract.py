"""extract: the teacher, once, over training and validation rows -> the knowledge store. Test rows never enter."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import softplus

from ..data import Columns
from ..engine.forward import score
from ..engine.runtime import settle
from ..errors import SuffuseError
from ..files import read_json
from ..knowledge import PART, compact, find, half, part_file, write_part
from ..progress import progress
from ..run import Run
from ..teachers import Question, Teacher
from ..teachers.opening import open_teacher
from ..types import CLASSES, LABELS, Spec

SPOT = 64  # rows that are computed again
TOLERANCE = 5e-3  # of a stored logit, relative to the largest: float16, and other company in the batch
SCORE_TOLERANCE = 5e-3  # of the validation accuracy: float16 may turn a tie


def extract(run: Run) -> None:
    """Write ``knowledge/``: hard labels, logits, fused and per-modality features, gates."""
    settle(run.recipe.compute.threads)
    columns = Columns.open(run.path("data"))
    teacher = open_teacher(run, columns)
    before = teacher.fingerprint()
    rows = np.concatenate([columns.rows("train"), columns.rows("validation")])
    parts, pieces = run.partial("extract") / ".parts", teacher.pieces(rows, PART)
    with progress("extract") as tell:
        for number, piece in enumerate(pieces):
            if not part_file(parts, number).exists():
                write_part(parts, number, compute(teacher, columns, rows[piece]))
            tell((number + 1) / (len(pieces) + 1), f"{sum(map(len, pieces[: number + 1])):,} rows")
        if teacher.fingerprint() != before:
            raise SuffuseError("the teacher changed while it was read", where=run.path("teacher"))
        folder = run.partial("extract") / "knowledge"
        manifest = {"rows": len(rows), "dtype": "float16", "fingerprint": fingerprint(run, columns.spec, before)}
        compact(parts, len(pieces), folder, manifest)
        check(teacher, columns, folder, rows[np.concatenate(pieces)])
        check_score(run, columns, folder)
        tell(1.0, f"{len(rows):,} rows")


def compute(teacher: Teacher, columns: Columns, rows: np.ndarray) -> dict[str, np.ndarray]:
    """One part's arrays. ``error`` holds, per row, the KL divergence that float16 costs."""
    answers = teacher.answer(Question(rows))
    stored = {name: half(tap) for name, tap in answers.items()}
    exact, kept = torch.from_numpy(answers["logits"]), torch.from_numpy(stored["logits"]).float()
    error, same = cost(columns.spec, exact, kept)
    return {
        **stored,
        "key": columns.key[rows],
        "label": columns.target[rows].astype(np.int32 if columns.spec.plain else np.float32),
        "error": error.numpy(),
        "same": same.numpy(),
    }


def cost(spec: Spec, exact: torch.Tensor, kept: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What float16 changes in each row (B,): the divergence, summed over targets, and whether all answers stay."""
    error, same = exact.new_zeros(len(exact)), exact.new_ones(len(exact), dtype=torch.bool)
    for (head, a), (_, b) in zip(spec.parts(exact), spec.parts(kept), strict=True):
        if head.kind == CLASSES:
            p, q = torch.log_softmax(a, 1), torch.log_softmax(b, 1)
            error += (p.exp() * (p - q)).sum(1).clamp(min=0)
            same &= a.argmax(1) == b.argmax(1)
        elif head.kind == LABELS:
            p, there, absent = a.sigmoid(), softplus(-b) - softplus(-a), softplus(b) - softplus(a)
            error += (p * there + (1 - p) * absent).sum(1).clamp(min=0)
            same &= ((a > 0) == (b > 0)).all(1)
        else:
            error += (a - b).square().sum(1)
    return error, same


def fingerprint(run: Run, spec: Spec, weights: str) -> dict:
    """What decides the store's content; a student of other classes or modalities is refused by it."""
    stamp = run.stamp("prepare")
    return {
        "teacher": weights,
        "data": stamp["digest"] if stamp else None,
        "classes": list(spec.classes),
        "modalities": list(spec.names),
        "splits": ["train", "validation"],
        "view": "as prepared, no augmentation",
    }


def check(teacher: Teacher, columns: Columns, folder: Path, rows: np.ndarray) -> None:
    """Compute some rows again, in other company, and compare.

    Raises SuffuseError where they differ by more than the stated tolerance.
    """
    picked = np.random.default_rng(0).choice(len(rows), min(SPOT, len(rows)), replace=False)
    stored = np.load(folder / "logits.npy", mmap_mode="r")[picked].astype(np.float32)
    keys = np.load(folder / "key.npy", mmap_mode="r")[picked]
    fresh = compute(teacher, columns, rows[picked])
    limit = TOLERANCE * max(1.0, float(np.abs(stored).max()))
    worst = float(np.abs(stored - fresh["logits"].astype(np.float32)).max())
    if worst > limit or (keys != fresh["key"]).any():
        raise SuffuseError(
            "the store doesn't hold what the teacher says",
            where=folder,
            got=f"{worst:.2g}",
            expected=f"{limit:.2g} at most",
        )


def check_score(run: Run, columns: Columns, folder: Path) -> None:
    """The stored logits must score on validation as the teacher did when it was trained.

    Raises SuffuseError where they don't: other weights, other preprocessing, or another order of labels.
    """
    rows = columns.labelled("validation")
    place = find(np.load(folder / "key.npy"), columns.key[rows])
    stored = np.load(folder / "logits.npy", mmap_mode="r")[place].astype(np.float32)
    found = next(iter(score(columns.spec, stored, columns.target[rows]).values()))
    recorded = next(iter(read_json(run.path("teacher", "training.json"))["validation"].values()))
    if abs(found - recorded) > SCORE_TOLERANCE:
        raise SuffuseError(
            "the teacher doesn't score as it did",
            where=run.path("teacher"),
            got=f"{found:.4f}",
            expected=f"{recorded:.4f}",
        )
