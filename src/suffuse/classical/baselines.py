"""The classical baselines of a run: a model for each modality alone, and their late fusion, per label fraction."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..activations import in_units
from ..data.columns import Columns
from ..engine.inference import score
from ..engine.label_budget import label_budget, visible
from ..opinion_pool import pool, pool_weights
from ..progress import Tell
from ..registry import optional
from ..run import Run
from ..subsample import evenly_spaced
from .estimators import Fitted, fit
from .features import Features, modality_features

CLASSICAL = "classical"  # name of the late fusion of all modalities
MAX_ROWS = 20_000  # training rows that a model is fitted on, evenly spaced


@dataclass(frozen=True)
class Baseline:
    """Outputs (N, C) of one baseline on the rows that were asked for, in the units of the run's targets."""

    outputs: np.ndarray
    facts: dict[str, Any]  # training rows, score on validation rows, and of a late fusion the weights for each target


def classical_baselines(
    run: Run, columns: Columns, rows: np.ndarray, fractions: Iterable[float], tell: Tell
) -> dict[str, Baseline]:
    """Name -> baseline: ``classical`` of all modalities and, with several, ``classical-only-NAME`` of each; with a
    fraction of the labels ``classical-FRACTION``. ``rows`` (N,): those to predict; no label of theirs is read."""
    names = columns.spec.names
    features = {name: modality_features(run, columns, name) for name in names}
    shares = (1.0, *fractions)
    baselines: dict[str, Baseline] = {}
    for number, share in enumerate(shares):

        def report(done: float, name: str, number: int = number) -> None:
            tell((number + done) / len(shares), f"{CLASSICAL}: {name}")

        # The matrices are small: several threads wait for each other most of the time, and a fit takes 10 to 30
        # times as long where other processes use the cores too.
        with optional("threadpoolctl", "train").threadpool_limits(1):
            made = _with_share(run, columns, rows, share, features, report)
        if share == 1.0:
            baselines |= made
        else:
            baselines[f"{CLASSICAL}-{share:g}"] = made[CLASSICAL]
    return baselines


def _with_share(
    run: Run, columns: Columns, rows: np.ndarray, share: float, features: dict[str, Features], tell: Tell
) -> dict[str, Baseline]:
    """The baselines with a share of the labels."""
    allowed = label_budget(columns, share, run.recipe.seed)
    own = visible(columns, allowed)
    train = own.labelled("train")
    train = train[allowed[train]]
    train = train[evenly_spaced(len(train), MAX_ROWS)]
    validation = own.labelled("validation")
    validation = validation[allowed[validation]]
    fitted: dict[str, Fitted] = {}
    for number, (name, modality) in enumerate(features.items()):
        tell(number / len(features), name)
        fitted[name] = fit(modality, own.spec, train, own.target)
    tell(1.0, "late fusion")
    outputs = {name: model.outputs(rows) for name, model in fitted.items()}
    facts: dict[str, Any] = {"training_rows": len(train)}

    def baseline(values: np.ndarray, **more: Any) -> Baseline:
        return Baseline(in_units(values, own.spec.heads, columns.spec.heads), facts | more)

    judged = [model.outputs(validation) for model in fitted.values()]
    target = own.target[validation]
    if len(fitted) == 1:
        return {CLASSICAL: baseline(next(iter(outputs.values())), validation=score(own.spec, judged[0], target))}
    weights = pool_weights(own.spec, judged, target)
    named = {h.name: dict(zip(fitted, w.tolist(), strict=True)) for h, w in zip(own.spec.heads, weights, strict=True)}
    fused = pool(own.spec, weights, list(outputs.values()))
    alone = {
        f"{CLASSICAL}-only-{name}": baseline(values, validation=score(own.spec, said, target))
        for (name, values), said in zip(outputs.items(), judged, strict=True)
    }
    together = score(own.spec, pool(own.spec, weights, judged), target)
    return {CLASSICAL: baseline(fused, weights=named, validation=together), **alone}
