"""Agreement of models with the teacher, and which of the two is right where they differ."""

from __future__ import annotations

from typing import Any

from ..run import Run
from ..types import Head
from . import metric_format, scores_table
from .formatting import percent

OUTCOMES = ("both_right", "only_model", "only_teacher", "both_wrong")


def agreement(run: Run) -> list[dict[str, Any]]:
    """A table for each target; empty where nothing was measured."""
    results = metric_format.probe_results(scores_table.scores(run), "agreement")
    results = {model: facts for model, facts in results.items() if _is_shown(model)}
    several, tables = len(run.recipe.data.targets) > 1, []
    for head in metric_format.target_kinds(run):
        by_model = {model: facts.get(head.name) if several else facts for model, facts in results.items()}
        lines = [_line(model, facts, head) for model, facts in by_model.items() if facts and facts.get("same")]
        if lines:
            rows = next(facts["rows"] for facts in by_model.values() if facts)
            has_kl = any(line["kl"] for line in lines)
            tables.append({"name": head.name, "lines": lines, "kl": has_kl, "rows": rows})
    return tables


def _is_shown(model: str) -> bool:
    return model == "majority" or (model != "teacher" and scores_table.is_main_model(model))


def _line(model: str, facts: dict, head: Head) -> dict[str, Any]:
    counts = facts.get("counts") or {}
    total = sum(counts.values())
    shares = {outcome: counts[outcome] / total for outcome in OUTCOMES} if total else {}
    return {
        "model": scores_table.model_name(model, [head]),
        "same": percent(facts["same"]["mean"]),
        "interval": metric_format.interval_text("accuracy", facts["same"]),
        "kl": f"{facts['kl']['mean']:.4f}" if facts.get("kl") else "",
        **{
            key: percent(facts[key]["mean"]) if facts.get(key) else ""
            for key in ("right_where_wrong", "wrong_where_right")
        },
        "parts": [{"name": name, "width": f"{100 * s:.2f}%", "text": percent(s)} for name, s in shares.items()],
    }
