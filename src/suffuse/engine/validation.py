"""The validation of a training: scores on labelled validation rows, after every epoch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..activations import main_metric
from ..data.columns import Columns
from ..model import FusionModel
from ..recipe import Training
from .inference import logits, score, subset_logits, subsets_of
from .pool_fitting import fit_pool
from .seed_selection import SUBSETS

PLAIN = Training()


def scorer(columns: Columns, rows: np.ndarray, training: Training = PLAIN) -> Callable[[FusionModel], dict[str, float]]:
    """The main metric (first) and the loss on labelled rows, means over the targets: the validation of
    :func:`suffuse.engine.loop.fit`. Where the training asks for it, also the mean of the metric over subsets of the
    modalities (:data:`.seed_selection.SUBSETS`), by which the epoch is chosen. The weights of unimodal heads are fitted
    on the same rows first."""
    target = columns.target[rows]
    by_subsets = training.by_subsets and len(columns.spec.names) > 1

    def full(model: FusionModel) -> dict[str, float]:
        if model.unimodal:
            return score(columns.spec, fit_pool(model, columns, rows, all_sets=False), target)
        return score(columns.spec, logits(model, columns, rows), target)

    if not by_subsets:
        return full
    kept, is_judged = subsets_of(columns, rows)

    def scored(model: FusionModel) -> dict[str, float]:
        if model.unimodal:
            fit_pool(model, columns, rows, all_sets=True)
        pairs = zip(subset_logits(model, columns, rows, kept), is_judged, strict=True)
        subset_scores = [score(columns.spec, z[judged], target[judged]) for z, judged in pairs]
        metric = main_metric(columns.spec.heads)
        return {**subset_scores[-1], SUBSETS: float(np.mean([scores[metric] for scores in subset_scores]))}

    return scored


def score_rows(model: FusionModel, columns: Columns, rows: np.ndarray) -> dict[str, float]:
    """The main metric (first) and the loss of a trained model on labelled rows, in eval mode."""
    return score(columns.spec, logits(model, columns, rows), columns.target[rows])


def finisher(columns: Columns, rows: np.ndarray) -> Callable[[FusionModel], None]:
    """What a training does with the best weights: it fits the weights of unimodal heads for every set of
    modalities."""

    def finish(model: FusionModel) -> None:
        if model.unimodal:
            fit_pool(model, columns, rows, all_sets=True)

    return finish
