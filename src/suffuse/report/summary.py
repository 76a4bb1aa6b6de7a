"""What a finished run says, as plain data: for programs that read `suffuse run --json`."""

from __future__ import annotations

from typing import Any

from ..files import read_json
from ..run import Run
from ..tables.quarantine import LeftOut
from . import table, worth


def summary(run: Run) -> dict[str, Any]:
    """Rows, scorecards by model, the comparisons with their verdicts, warnings, and where things are."""
    schema = read_json(run.path("data", "schema.json")) or {}
    return {
        "run": str(run.folder),
        "rows": schema.get("rows", {}),
        "quarantined": LeftOut.of_schema(schema).to_json(),
        "duplicates": schema.get("duplicates"),
        "scores": table.scores(run),
        "comparisons": read_json(run.path("scores", "comparisons.json")) or [],
        "verdicts": table.verdicts(run),
        "warnings": worth.warnings(run),
        "report": str(run.path("report.html")),
        "export": str(run.path("export")),
    }
