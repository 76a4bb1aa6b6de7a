"""What an answer costs against how good it is, drawn for the models that have a score."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from suffuse.recipe import make_recipe
from suffuse.report import scores_table
from suffuse.report.cost_section import cost
from suffuse.run import Run


def card(mean: float, bytes_: int) -> dict:
    score = {"mean": mean, "low": mean, "high": mean, "per_seed": [mean]}
    return {"metrics": {"r2": score}, "bytes": bytes_, "latency_ms": {"p50": bytes_ / 1000}}


@pytest.mark.parametrize(("lost", "charts"), [((), 2), (("teacher",), 2), (("teacher", "student", "export"), 0)])
def test_a_score_that_is_no_number_is_not_drawn(
    lost: tuple[str, ...], charts: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = {"encoders": {"t": {"kind": "bag"}}, "hidden": 8}
    raw = {
        "data": {"source": "x.csv", "target": "y", "tasks": {"y": {"kind": "number"}}},
        "modalities": {"t": {"kind": "text", "column": "t"}},
        "teacher": network,
        "student": {**network, "hidden": 4},
    }
    cards = {who: card(0.5, size) for who, size in (("teacher", 9000), ("student", 4000), ("export", 2000))}
    cards |= {who: card(math.nan, 9000) for who in lost}
    monkeypatch.setattr(scores_table, "scores", lambda run: cards)
    found = cost(Run(tmp_path, make_recipe(raw)))
    assert len(found["charts"] if found else []) == charts
