"""Cross-fitting: outputs of classical models for every row, of training rows by models that didn't learn from them.

The training rows are cut into K folds. K models are fitted, each on the rows of the other folds (Stone 1974; stacking:
Wolpert 1992). A training row is answered by the model that wasn't fitted on it, every other row by the mean of all K.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from ..data.columns import Columns
from ..engine.distributed_launch import is_leader
from ..engine.runtime import settle
from ..engine.workers import run_jobs
from ..files import read_array, read_json, temporary_of, write_array, write_json
from ..progress import Tell
from ..registry import optional
from ..run import Run
from ..subsample import evenly_spaced
from ..types import Spec
from .baselines import MAX_ROWS
from .estimators import MEAN, fit
from .features import Features, modality_features
from .members import Member, member_key

BRIEF_SECONDS = 10.0  # of fits that need no processes: starting one takes some seconds


def cross_fit_members(
    run: Run, columns: Columns, fold: np.ndarray, folder: Path, members: Sequence[Member], tell: Tell
) -> dict[str, Path]:
    """Member -> a file in ``folder`` with its outputs (N, C) float32. Files that exist are kept where they are of the
    same rows, folds and settings: each is complete. Beside it ``NAME.json`` has that key and the seconds of the fits.
    ``fold`` (N,): of training rows their fold, of others -1.

    Long fits run in processes, as many as the recipe has threads; the outputs have the same bits. ``columns`` are the
    run's.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = {member.name: folder / f"{member.name}.npy" for member in members}
    keys = {member.name: member_key(run.recipe, columns, fold, member) for member in members}
    missing = [m for m in members if not _is_there(files[m.name], keys[m.name])]
    workers = min(run.recipe.compute.threads, len(missing))
    if workers > 1 and sum(member.seconds for member in missing) > BRIEF_SECONDS and not is_leader():
        missing.sort(key=lambda member: -member.seconds)  # the longest first: processes end at about the same time
        with tempfile.TemporaryDirectory(prefix="suffuse-") as scratch:
            write_array(Path(scratch, "fold.npy"), fold)
            where = {"run": str(run.folder), "fold": scratch}
            orders = [{**where, "member": asdict(m), "key": keys[m.name], "file": str(files[m.name])} for m in missing]
            run_jobs("suffuse.classical.cross_fitting:run_job", orders, workers, tell)
        return files
    features: dict[str, Features] = {}  # of a modality, for all of its members
    for number, member in enumerate(missing):

        def report(share: float, words: str, number: int = number) -> None:
            tell((number + share) / len(missing), words)

        if member.modality not in features:
            features[member.modality] = modality_features(run, columns, member.modality)
        _write(features[member.modality], columns, member, (fold, keys[member.name], files[member.name]), report)
    return files


def _is_there(file: Path, key: str) -> bool:
    return file.exists() and (read_json(file.with_suffix(".json")) or {}).get("key") == key


def run_job(order: dict, tell: Tell) -> None:
    """One member, in a process of its own."""
    run, member = Run.open(order["run"]), Member(**order["member"])
    settle(1, run.recipe.compute)
    fold = read_array(Path(order["fold"], "fold.npy"))
    columns = Columns.open(run.path("data"))
    features = modality_features(run, columns, member.modality)
    _write(features, columns, member, (fold, order["key"], Path(order["file"])), tell)


def _write(
    features: Features, columns: Columns, member: Member, where: tuple[np.ndarray, str, Path], tell: Tell
) -> None:
    fold, key, file = where
    start = time.monotonic()
    outputs = cross_fit(
        features, columns, fold, lambda share, words: tell(share, f"classical: {member.name}, {words}"), member.kind
    )
    facts = {"key": key, "seconds": round(time.monotonic() - start, 1)}
    file.unlink(missing_ok=True)  # of another key: the file that is there is always that of the key beside it
    write_json(file.with_suffix(".json"), facts)
    temporary = temporary_of(file)
    write_array(temporary, outputs)
    temporary.replace(file)


def cross_fit(features: Features, columns: Columns, fold: np.ndarray, tell: Tell, kind: str = MEAN) -> np.ndarray:
    """(N, C) float32 of all rows. ``features`` are fitted again for each fold; what needs no fit is computed once.
    ``kind``: see :func:`suffuse.classical.estimators.fit`."""
    spec: Spec = columns.spec
    labelled = columns.labelled("train")
    labelled = labelled[evenly_spaced(len(labelled), MAX_ROWS)]
    rows = np.arange(len(fold))
    folds = np.unique(fold[labelled])
    outputs = np.zeros((len(fold), spec.outputs), np.float32)
    with optional("threadpoolctl", "train").threadpool_limits(1):
        for number, k in enumerate(folds):
            tell(number / len(folds), f"fold {number + 1} of {len(folds)}")
            fitted = fit(features, spec, labelled[fold[labelled] != k], columns.target, kind)
            held_out, others = rows[fold == k], rows[fold < 0]
            outputs[held_out] = fitted.outputs(held_out)
            if len(others):
                outputs[others] += fitted.outputs(others) / len(folds)
    return outputs
