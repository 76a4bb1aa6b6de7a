"""Robustness: the score with one modality corrupted, at five severities, and on a group that training never saw.

After Hendrycks and Dietterich 2019: each entry gets one random kind of corruption (``corrupt`` of its modality), the
same for every model. Encoded entries are corrupted, so a frozen encoder has to encode them again.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ..activations import activate, main_metric
from ..data.columns import Columns
from ..modalities import load_modality
from ..registry import ModalitySettings
from . import ProbeDocs
from .context import MIN_ROWS, SEED, Context, Model
from .intervals import bounds, difference_bounds, summary
from .metrics import Draws, draw, main_score
from .models import prior_logits
from .size import affordable_rows

FIELDS = ("robustness",)
DOCS = ProbeDocs(models="main", cost="five passes per modality")
SEVERITIES = (1, 2, 3, 4, 5)
MAX_ROWS = 1000
NOT_MEASURED = "it reads raw rows its own way, and entries are damaged once they are encoded"
Scores = list[list[np.ndarray]]  # by severity, 0 first, and seed


def probe(context: Context) -> dict[str, dict]:
    """``robustness`` of every main model that can be run on changed entries."""
    positions, main_models = robustness_rows(context), list(context.main_models())
    by_model: dict[str, dict[str, Scores]] = {model.name: {} for model in main_models}
    for number, name in enumerate(context.spec.names):
        readers = [model for model in main_models if name in next(iter(model.members.values())).names]
        for severity in (0, *SEVERITIES):
            columns = corrupt_columns(context, name, positions, severity)  # one severity in memory at a time
            context.tell(number / len(context.spec.names), f"{name}: damage of severity {severity}")
            for model in readers:
                scores = corrupted_scores(context, model, name, columns if severity else None, positions)
                if scores:
                    by_model[model.name].setdefault(name, []).append(scores)
    cards = {}
    for model in main_models:
        scores = {name: s for name, s in by_model[model.name].items() if len(s) == 1 + len(SEVERITIES)}
        facts = robustness_facts(context, scores, positions) if scores else {}
        held_out = held_out_scores(context, model)
        facts |= {"held_out": held_out} if held_out else {}
        cards[model.name] = {"robustness": facts} if facts else {"not_measured": {"robustness": NOT_MEASURED}}
    return cards


def robustness_rows(context: Context) -> np.ndarray:
    """Positions in the test rows: as many as the budget of MACs and memory allow."""
    room = min((context.columns.of([n]).fitting(MAX_ROWS) for n in context.spec.names), default=MAX_ROWS)
    limit = min(MAX_ROWS, context.recipe.evaluate.probe_rows, max(room, MIN_ROWS))
    passes = len(SEVERITIES)
    return context.sample(affordable_rows(context, lambda m, macs: macs.total * len(m.names) * passes, limit))


def corrupt_columns(context: Context, name: str, positions: np.ndarray, severity: int) -> Columns:
    """The columns with these rows' entries of a modality corrupted; severity 0 changes nothing."""
    columns, rows = context.columns, context.rows[positions]
    m, settings = columns.spec.names.index(name), context.recipe.modalities[name]
    present = columns.present[rows, m]
    if not severity or not present.any():
        return columns
    distinct, index = np.unique(columns.entry[rows[present], m], return_inverse=True)
    entry = columns.entry.copy()
    entry[:, m] = 0
    entry[rows[present], m] = index
    corrupted = corrupt(settings, columns.spec.fields[m].statistics, columns.entries[name][distinct], severity)
    return replace(columns, entries={**columns.entries, name: corrupted}, entry=entry)


def corrupt(settings: ModalitySettings, statistics: dict, entries: np.ndarray, severity: int) -> np.ndarray:
    """Encoded entries (U, ...) corrupted with severity 0 (none) to 5."""
    if not severity:
        return entries
    return load_modality(settings.kind).corrupt(settings, statistics, entries, severity, SEED)


def corrupted_scores(
    context: Context, model: Model, name: str, columns: Columns | None, positions: np.ndarray
) -> list[np.ndarray]:
    """The main metric (R + 1,) of each seed on columns with modality ``name`` corrupted (None: unchanged); empty where
    the model can't be run on changed entries."""
    rows, draws = context.rows[positions], context.draws.of(positions)
    if columns is None:
        seeds = [logits[positions] for logits in model.logits.values()]
    else:
        seeds = [member.logits_on(columns, name, rows) for member in model.members.values()]
    return [_score(context, logits, rows, draws) for logits in seeds if logits is not None]


def robustness_facts(context: Context, by_modality: dict[str, Scores], positions: np.ndarray) -> dict[str, Any]:
    """Scores with intervals, and the share of the gain over the prior that is retained under corruption."""
    rows, draws = context.rows[positions], context.draws.of(positions)
    prior = float(_score(context, np.tile(prior_logits(context.spec), (len(rows), 1)), rows, draws)[0])
    retained, metric = {}, main_metric(context.spec.heads)
    for name, scores in by_modality.items():
        clean, *corrupted = (float(np.mean([v[0] for v in seeds])) for seeds in scores)
        if clean > prior:
            retained[name] = (float(np.mean(corrupted)) - prior) / (clean - prior)
    return {
        "metric": metric,
        "rows": len(rows),
        "of": len(context.rows),
        "seed": SEED,
        "modalities": {
            name: [
                {"severity": s, **summary(seeds, context.confidence, bounds(metric))} for s, seeds in enumerate(scores)
            ]
            for name, scores in by_modality.items()
        },
        "retained": retained,
    }


def held_out_scores(context: Context, model: Model) -> dict[str, Any]:
    """The score on the group that the recipe holds out, beside that on validation rows; empty without such a group.

    The rows of both differ, so the interval of the difference uses independent draws: the test rows' are those of every
    other value, the validation rows' are the same for every model."""
    group = context.recipe.data.split.hold_out
    if group is None:
        return {}
    rows = context.columns.labelled("validation")
    draws = draw(context.columns.group[rows], len(context.draws.weight) - 1, context.confidence, seed=1)
    validation = [_score(context, member.logits(rows), rows, draws) for member in model.members.values()]
    test = [_score(context, logits, context.rows, context.draws) for logits in model.logits.values()]
    within = bounds(main_metric(context.spec.heads))
    gaps = [a - b for a, b in zip(test, validation, strict=True)]
    fewer_groups = min(context.draws.size, draws.size, key=lambda size: size.groups)
    return {
        "column": group.column,
        "values": list(group.values),
        "test": summary(test, context.confidence, within, context.draws.size),
        "validation": summary(validation, context.confidence, within, draws.size),
        "difference": summary(gaps, context.confidence, difference_bounds(within), fewer_groups),
    }


def _score(context: Context, logits: np.ndarray, rows: np.ndarray, draws: Draws) -> np.ndarray:
    return main_score(context.spec, activate(context.spec.heads, logits), context.columns.target[rows], draws)
