"""Cross-fitting: outputs of classical models for every row, of training rows by models that didn't learn from them.

The training rows are cut into K folds. K models are fitted, each on the rows of the other folds (Stone 1974; stacking:
Wolpert 1992). A training row is answered by the model that wasn't fitted on it, every other row by the mean of all K.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..data.columns import Columns
from ..files import temporary_of, write_array
from ..progress import Tell
from ..registry import optional
from ..run import Run
from ..subsample import evenly_spaced
from ..types import Spec
from .baselines import MAX_ROWS
from .estimators import fit
from .features import Features, modality_features


def cross_fit_modalities(run: Run, columns: Columns, fold: np.ndarray, folder: Path, tell: Tell) -> dict[str, Path]:
    """Modality -> a file in ``folder`` with the outputs (N, C) float32 of its classical model. Files that exist are
    kept: each is complete. ``fold`` (N,): of training rows their fold, of others -1."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {name: folder / f"{name}.npy" for name in columns.spec.names}
    missing = [name for name, file in files.items() if not file.exists()]
    for number, name in enumerate(missing):

        def report(share: float, words: str, number: int = number, name: str = name) -> None:
            tell((number + share) / len(missing), f"classical: {name}, {words}")

        outputs = cross_fit(modality_features(run, columns, name), columns, fold, report)
        temporary = temporary_of(files[name])
        write_array(temporary, outputs)
        temporary.replace(files[name])
    return files


def cross_fit(features: Features, columns: Columns, fold: np.ndarray, tell: Tell) -> np.ndarray:
    """(N, C) float32 of all rows. ``features`` are fitted again for each fold; what needs no fit is computed once."""
    spec: Spec = columns.spec
    labelled = columns.labelled("train")
    labelled = labelled[evenly_spaced(len(labelled), MAX_ROWS)]
    rows = np.arange(len(fold))
    folds = np.unique(fold[labelled])
    outputs = np.zeros((len(fold), spec.outputs), np.float32)
    with optional("threadpoolctl", "train").threadpool_limits(1, user_api="blas"):
        for number, k in enumerate(folds):
            tell(number / len(folds), f"fold {number + 1} of {len(folds)}")
            fitted = fit(features, spec, labelled[fold[labelled] != k], columns.target)
            held_out, others = rows[fold == k], rows[fold < 0]
            outputs[held_out] = fitted.outputs(held_out)
            if len(others):
                outputs[others] += fitted.outputs(others) / len(folds)
    return outputs
