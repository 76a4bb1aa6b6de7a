"""What a finished run says in the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from ..files import read_json
from ..prepare import duplicates
from ..prepare.quarantine import LeftOut
from ..run import Run
from . import missing_text, modality_ablation, scores_table


def lines(run: Run) -> Iterator[str]:
    """The verdicts, the tables of results, the rows, the warnings, and where report and student are."""
    yield from scores_table.verdicts(run)
    yield ""
    for block in (*scores_table.blocks(run), *modality_ablation.blocks(run), *missing_text.blocks(run)):
        yield from block
        yield ""
    yield from rows(run)
    yield from (f"WARNING: {sentence}" for sentence in modality_ablation.warnings(run))
    yield ""
    yield f"report: {run.path('report.html')}"
    yield f"student: {run.path('export')}"


def rows(run: Run) -> Iterator[str]:
    """How many rows each split has, and how many were quarantined, by reason."""
    schema = read_json(run.path("data", "schema.json")) or {}
    splits = ", ".join(f"{count:,} {name}" for name, count in schema.get("rows", {}).items())
    yield f"rows: {splits}; quarantined: {LeftOut.of_schema(schema).sentence()}"
    yield from duplicates.lines(schema.get("duplicates"))
