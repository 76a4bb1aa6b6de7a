"""Cross-fitting: outputs of classical models for every row, of training rows by models that didn't learn from them.

The training rows are cut into K folds. K models are fitted, each on the rows of the other folds (Stone 1974; stacking:
Wolpert 1992). A training row is answered by the model that wasn't fitted on it, every other row by the mean of all K.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from ..data.columns import Columns
from ..engine.distributed_launch import is_leader
from ..engine.runtime import settle
from ..engine.workers import run_jobs
from ..files import read_array, temporary_of, write_array
from ..progress import Tell
from ..registry import optional
from ..run import Run
from ..subsample import evenly_spaced
from ..types import Spec
from .baselines import MAX_ROWS
from .estimators import fit
from .features import Features, modality_features
from .fit_seconds import cross_fit_seconds

BRIEF_SECONDS = 10.0  # of fits that need no processes: starting one takes some seconds


def cross_fit_modalities(run: Run, columns: Columns, fold: np.ndarray, folder: Path, tell: Tell) -> dict[str, Path]:
    """Modality -> a file in ``folder`` with the outputs (N, C) float32 of its classical model. Files that exist are
    kept: each is complete. ``fold`` (N,): of training rows their fold, of others -1.

    Long fits run in processes, as many as the recipe has threads; the outputs have the same bits. ``columns`` are the
    run's.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = {name: folder / f"{name}.npy" for name in columns.spec.names}
    missing = [name for name, file in files.items() if not file.exists()]
    entries = {name: len(columns.entries[name]) for name in missing}
    labelled, folds = len(columns.labelled("train")), len(np.unique(fold[fold >= 0]))
    seconds = cross_fit_seconds(run.recipe, entries, labelled, columns.spec.outputs, folds)
    missing.sort(key=lambda name: -seconds[name])  # the longest first: processes end at about the same time
    workers = min(run.recipe.compute.threads, len(missing))
    if workers > 1 and sum(seconds.values()) > BRIEF_SECONDS and not is_leader():
        with tempfile.TemporaryDirectory(prefix="suffuse-") as scratch:
            write_array(Path(scratch, "fold.npy"), fold)
            orders = [{"run": str(run.folder), "name": n, "fold": scratch, "file": str(files[n])} for n in missing]
            run_jobs("suffuse.classical.cross_fitting:run_job", orders, workers, tell)
        return files
    for number, name in enumerate(missing):

        def report(share: float, words: str, number: int = number) -> None:
            tell((number + share) / len(missing), words)

        _write(run, columns, name, (fold, files[name]), report)
    return files


def run_job(order: dict, tell: Tell) -> None:
    """The classical model of one modality, in a process of its own."""
    run = Run.open(order["run"])
    settle(1, run.recipe.compute)
    fold = read_array(Path(order["fold"], "fold.npy"))
    _write(run, Columns.open(run.path("data")), order["name"], (fold, Path(order["file"])), tell)


def _write(run: Run, columns: Columns, name: str, where: tuple[np.ndarray, Path], tell: Tell) -> None:
    fold, file = where
    features = modality_features(run, columns, name)
    outputs = cross_fit(features, columns, fold, lambda share, words: tell(share, f"classical: {name}, {words}"))
    temporary = temporary_of(file)
    write_array(temporary, outputs)
    temporary.replace(file)


def cross_fit(features: Features, columns: Columns, fold: np.ndarray, tell: Tell) -> np.ndarray:
    """(N, C) float32 of all rows. ``features`` are fitted again for each fold; what needs no fit is computed once."""
    spec: Spec = columns.spec
    labelled = columns.labelled("train")
    labelled = labelled[evenly_spaced(len(labelled), MAX_ROWS)]
    rows = np.arange(len(fold))
    folds = np.unique(fold[labelled])
    outputs = np.zeros((len(fold), spec.outputs), np.float32)
    with optional("threadpoolctl", "train").threadpool_limits(1):
        for number, k in enumerate(folds):
            tell(number / len(folds), f"fold {number + 1} of {len(folds)}")
            fitted = fit(features, spec, labelled[fold[labelled] != k], columns.target)
            held_out, others = rows[fold == k], rows[fold < 0]
            outputs[held_out] = fitted.outputs(held_out)
            if len(others):
                outputs[others] += fitted.outputs(others) / len(folds)
    return outputs
