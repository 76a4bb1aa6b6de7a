"""Some answers explained, teacher and student side by side, as the probe ``explained`` left them in the scorecards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..run import Run
from ..types import NUMBER
from . import score_format, scores_table
from .dataset_view import Prepared
from .explanation_view import fragment
from .i18n import t
from .row_predictions import truth
from .test_predictions import Told

SECONDS = 6.0  # of a clip that can be heard
LEVEL = 4  # of the headings in an explanation
WHY = {
    "agreed": ("Both are right", "of the rows that both get right, the one whose less sure answer is surest"),
    "lost": (
        "The teacher is right, the student wrong",
        "of such rows, the one in which the student is surest",
    ),
    "unsure": ("The student is unsure", "of all other rows, the one in which the student is least sure"),
    "close": ("Both are near the truth", "the row in which the larger of both errors is smallest"),
    "further": ("The student is further off", "the row in which the student's error exceeds the teacher's by most"),
    "apart": ("They differ most", "of all other rows, the one in which the two numbers lie furthest apart"),
}


def reasons(run: Run, prepared: Prepared, told: Sequence[Told]) -> dict[str, Any] | None:
    """Title, rule and explanation of each row; None where there is none to show."""
    found = score_format.of(scores_table.scores(run), "explained")
    rows = next(iter(found.values()), [])
    if not rows or not told:
        return None
    seconds = SECONDS if prepared.originals else 0.0
    made = []
    for at, one in enumerate(rows):
        title, rule = WHY[one["why"]]
        row, models = one["number"] - 1, {who: some[at] for who, some in found.items()}
        facts = {
            "row": {"id": prepared.id(row), "number": one["number"], "split": "test"},
            "target": one["target"],
            "label": _label(prepared, told, row),
            "models": models,
        }
        html = fragment(run, facts, prepared, LEVEL, seconds)
        made.append({"title": t(title), "rule": t(rule), "html": html})
    return {
        "rows": made,
        "number": rows[0]["number"],
        "numeric": told[0].head.kind == NUMBER,
        "target": told[0].head.name if len(told) > 1 else "",
        "heard": int(SECONDS) if any("<audio" in one["html"] for one in made) else 0,
    }


def _label(prepared: Prepared, told: Sequence[Told], row: int) -> str | None:
    position = int((told[0].row == row).argmax())
    return truth(told[0], position, prepared.label(row) if len(told) == 1 else "") or None
