"""Robustness: the score where one modality is damaged, at five severities, and on a group that training never saw.

In the manner of Hendrycks and Dietterich 2019: each entry gets one kind of damage by chance (``corrupt`` of its
modality), the same for every model. Encoded entries are damaged, so a frozen encoder reads the damaged ones again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from .. import modalities
from ..activations import activate, main_metric
from ..data.columns import Columns
from ..registry import ModalitySettings, load
from .context import LEAST, SEED, Context, Model
from .intervals import bounds, difference_bounds, summary
from .macs import affordable
from .metrics import Draws, draw
from .modality_subsets import prior
from .target_metrics import judged

SEVERITIES = (1, 2, 3, 4, 5)
MOST = 1000  # rows
RAW = "it reads raw rows its own way, and entries are damaged once they are encoded"
Scores = list[list[np.ndarray]]  # by severity, 0 first, and seed


def probe(context: Context) -> dict[str, dict]:
    """``robustness`` of every main model that can be asked about other entries than the table's."""
    where = rows_of(context)
    found: dict[str, dict[str, Scores]] = {model.who: {} for model in context.main()}
    for number, name in enumerate(context.spec.names):
        for severity in (0, *SEVERITIES):
            columns = damaged(context, name, where, severity)  # of one severity at a time: entries may be large
            context.tell(number / len(context.spec.names), f"{name}: damage of severity {severity}")
            for model in readers(context, name):
                scores = measured(context, model, name, columns if severity else None, where)
                if scores:
                    found[model.who].setdefault(name, []).append(scores)
    cards = {}
    for model in context.main():
        scores = {name: s for name, s in found[model.who].items() if len(s) == 1 + len(SEVERITIES)}
        facts = told(context, scores, where) if scores else {}
        held = held_out(context, model)
        facts |= {"held_out": held} if held else {}
        cards[model.who] = {"robustness": facts} if facts else {"not_measured": {"robustness": RAW}}
    return cards


def readers(context: Context, name: str) -> Iterator[Model]:
    """The main models that read a modality."""
    return (model for model in context.main() if name in next(iter(model.members.values())).names)


def rows_of(context: Context) -> np.ndarray:
    """Positions in the test rows: as many as the budget of multiplications and memory allow."""
    room = min((context.columns.of([n]).fitting(MOST) for n in context.spec.names), default=MOST)
    most = min(MOST, context.recipe.evaluate.probe_rows, max(room, LEAST))
    return context.few(affordable(context, lambda member, work: work.whole * len(member.names) * len(SEVERITIES), most))


def damaged(context: Context, name: str, where: np.ndarray, severity: int) -> Columns:
    """The columns in which the entries that these rows have of a modality are damaged; severity 0 changes nothing."""
    columns, rows = context.columns, context.rows[where]
    m, settings = columns.spec.names.index(name), context.recipe.modalities[name]
    here = columns.present[rows, m]
    if not severity or not here.any():
        return columns
    distinct, index = np.unique(columns.entry[rows[here], m], return_inverse=True)
    entry = columns.entry.copy()
    entry[:, m] = 0
    entry[rows[here], m] = index
    statistics = columns.spec.fields[m].statistics
    return replace(
        columns,
        entries={**columns.entries, name: corrupt(settings, statistics, columns.entries[name][distinct], severity)},
        entry=entry,
    )


def corrupt(settings: ModalitySettings, statistics: dict, entries: np.ndarray, severity: int) -> np.ndarray:
    """Encoded entries (U, ...) with damage of severity 0 (none) to 5."""
    if not severity:
        return entries
    part: Any = load(modalities.TABLE, settings.kind)
    return part.corrupt(settings, statistics, entries, severity, SEED)


def measured(context: Context, model: Model, name: str, columns: Columns | None, where: np.ndarray) -> list[np.ndarray]:
    """The main metric (R + 1,), a seed each, on columns whose modality ``name`` is damaged (None: as it is); nothing
    where the model can't be asked so."""
    if columns is None:
        return [_judged(context, said[where], where) for said in model.logits.values()]
    said = [member.on(columns, name, context.rows[where]) for member in model.members.values()]
    return [_judged(context, one, where) for one in said if one is not None]


def told(context: Context, found: dict[str, Scores], where: np.ndarray) -> dict[str, Any]:
    """Scores with intervals, and how much of what a model knows beyond the prior damage leaves."""
    base = float(_judged(context, np.tile(prior(context.spec), (len(where), 1)), where)[0])
    kept, metric = {}, main_metric(context.spec.heads)
    for name, scores in found.items():
        whole, *rest = (float(np.mean([v[0] for v in seeds])) for seeds in scores)
        if whole > base:
            kept[name] = (float(np.mean(rest)) - base) / (whole - base)
    return {
        "metric": metric,
        "rows": len(where),
        "of": len(context.rows),
        "seed": SEED,
        "modalities": {
            name: [
                {"severity": s, **summary(seeds, context.confidence, bounds(metric))} for s, seeds in enumerate(scores)
            ]
            for name, scores in found.items()
        },
        "retained": kept,
    }


def held_out(context: Context, model: Model) -> dict[str, Any]:
    """The score on the group that the recipe holds out, beside that on validation rows; nothing where there is none.

    The rows of both are different, so the interval of the difference is from independent draws: those of the test rows
    are every other value's, those of the validation rows the same ones for every model."""
    held = context.recipe.data.split.hold_out
    if held is None:
        return {}
    rows = context.columns.labelled("validation")
    draws = draw(context.columns.group[rows], len(context.draws.weight) - 1, context.confidence, seed=1)
    known = [_score(context, member.logits(rows), rows, draws) for member in model.members.values()]
    new = [_score(context, said, context.rows, context.draws) for said in model.logits.values()]
    within = bounds(main_metric(context.spec.heads))
    gaps = [a - b for a, b in zip(new, known, strict=True)]
    fewer = min(context.draws.size, draws.size, key=lambda size: size.groups)
    return {
        "column": held.column,
        "values": list(held.values),
        "test": summary(new, context.confidence, within, context.draws.size),
        "validation": summary(known, context.confidence, within, draws.size),
        "difference": summary(gaps, context.confidence, difference_bounds(within), fewer),
    }


def _judged(context: Context, logits: np.ndarray, where: np.ndarray) -> np.ndarray:
    return _score(context, logits, context.rows[where], context.drawn(where))


def _score(context: Context, logits: np.ndarray, rows: np.ndarray, draws: Draws) -> np.ndarray:
    return judged(context.spec, activate(context.spec.heads, logits), context.columns.target[rows], draws)
