"""How often models say what the teacher says, and who is right where they differ."""

from __future__ import annotations

from typing import Any

from ..run import Run
from ..types import Head
from . import metric_names, score_format, scores_table
from .formatting import percent

PARTS = ("both_right", "only_model", "only_teacher", "both_wrong")


def agreement(run: Run) -> list[dict[str, Any]]:
    """A table for each target; nothing where nothing was measured."""
    found = {w: a for w, a in score_format.of(scores_table.scores(run), "agreement").items() if shown(w)}
    if not found:
        return []
    several = len(run.recipe.data.targets) > 1
    made = []
    for head in metric_names.kinds(run):
        name = head.name
        each = {who: facts.get(name) if several else facts for who, facts in found.items()}
        lines = [_line(who, facts, head) for who, facts in each.items() if facts and facts.get("same")]
        if lines:
            made.append({"name": name, "lines": lines, "kl": any(x["kl"] for x in lines),
                         "rows": next(f["rows"] for f in each.values() if f)})  # fmt: skip
    return made


def shown(who: str) -> bool:
    """The networks of the run and the exported forms; the floors and those with fewer labels stand in ``scores/``."""
    return who in ("majority", "student", "baseline", "rival") or who.startswith("export")


def _line(who: str, facts: dict, head: Head) -> dict[str, Any]:
    counts = facts.get("counts") or {}
    whole = sum(counts.values())
    shares = {part: counts[part] / whole for part in PARTS} if whole else {}
    return {
        "who": scores_table.name(who, [head]),
        "same": percent(facts["same"]["mean"]),
        "span": score_format.span("accuracy", facts["same"]),
        "kl": f"{facts['kl']['mean']:.4f}" if facts.get("kl") else "",
        **{
            key: percent(facts[key]["mean"]) if facts.get(key) else ""
            for key in ("right_where_wrong", "wrong_where_right")
        },
        "parts": [{"part": part, "share": f"{100 * s:.2f}%", "says": percent(s)} for part, s in shares.items()],
    }
