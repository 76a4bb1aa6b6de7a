"""The probes, in the order in which they run: name -> module. Each has ``probe(context) -> {who: fields}``.

Where two give fields of one name (``metrics``, ``latency``), the parts stand side by side.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from ..registry import load
from .context import Context

TABLE = {
    "ranking": "suffuse.evaluation.ranking_metrics",
    "agreement": "suffuse.evaluation.agreement",
    "missing": "suffuse.evaluation.missing_modalities",
    "temperature": "suffuse.evaluation.temperature_calibration",
    "contribution": "suffuse.evaluation.contribution",
    "robustness": "suffuse.evaluation.robustness",
    "explained": "suffuse.evaluation.explained_rows",
    "size": "suffuse.evaluation.size",
    "latency": "suffuse.evaluation.latency",
}


def run(context: Context, wanted: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Who -> what the wanted probes found."""
    found: dict[str, dict[str, Any]] = {who: {} for who in context.models}
    names = [name for name in TABLE if name in set(wanted)]
    for number, name in enumerate(names):

        def tell(share: float, words: str, number: int = number) -> None:
            context.tell((number + share) / len(names), words)

        part: Any = load(TABLE, name)
        for who, fields in part.probe(replace(context, tell=tell)).items():
            found[who] = merged(found[who], fields)
    return found


def merged(ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, Any]:
    """Two scorecards' fields; of a field that both have, the parts of both."""
    both = {key: {**ours[key], **theirs[key]} for key in ours.keys() & theirs.keys()}
    return {**ours, **theirs, **both}
