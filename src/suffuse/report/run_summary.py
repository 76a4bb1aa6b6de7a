"""What a finished run says, as plain data: for programs that read `suffuse run --json`."""

from __future__ import annotations

from typing import Any

from ..files import read_json
from ..prepare.quarantine import LeftOut
from ..run import Run
from . import modality_ablation, scores_table


def summary(run: Run) -> dict[str, Any]:
    """Rows, scorecards by model, the comparisons with their verdicts, warnings, and where things are."""
    schema = read_json(run.path("data", "schema.json")) or {}
    return {
        "run": str(run.folder),
        "rows": schema.get("rows", {}),
        "quarantined": LeftOut.of_schema(schema).to_json(),
        "duplicates": schema.get("duplicates"),
        "scores": scores_table.scores(run),
        "comparisons": read_json(run.path("scores", "comparisons.json")) or [],
        "verdicts": scores_table.verdicts(run),
        "warnings": modality_ablation.warnings(run),
        "report": str(run.path("report.html")),
        "export": str(run.path("export")),
    }
