"""A finished run in the terminal, as text and as plain data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..files import read_json
from ..prepare import duplicates
from ..prepare.quarantine import LeftOut
from ..run import Run
from . import modality_ablation, run_warnings, scores_table, verdict_text
from .contribution_section import contribution_table
from .pool_members import members_table
from .robustness_section import subsets_table
from .seed_scores import seed_table


def terminal_lines(run: Run) -> Iterator[str]:
    """The verdicts, the tables of results, the rows, the warnings, and the paths of report and student."""
    yield from verdict_text.sentences(run)
    yield from modality_ablation.equivalences(run)
    yield ""
    seeds = seed_table(run)
    tables = [*scores_table.text_tables(run), *([seeds.lines()] if seeds else [])]
    for lines in (*tables, *modality_ablation.text_tables(run), *modality_tables(run)):
        yield from lines
        yield ""
    yield from row_counts(run)
    yield from (f"WARNING: {sentence}" for sentence in run_warnings.warnings(run))
    yield ""
    yield f"report: {run.path('report.html')}"
    yield f"student: {run.path('export')}"


def summary(run: Run) -> dict[str, Any]:
    """A finished run as plain data, for ``suffuse run --json``."""
    schema = read_json(run.path("data", "schema.json")) or {}
    return {
        "run": str(run.folder),
        "rows": schema.get("rows", {}),
        "quarantined": LeftOut.of_schema(schema).to_json(),
        "duplicates": schema.get("duplicates"),
        "scores": scores_table.scores(run),
        "comparisons": read_json(run.path("scores", "comparisons.json")) or [],
        "verdicts": verdict_text.sentences(run),
        "label_curve": read_json(run.path("scores", "label-curve.json")),
        "warnings": run_warnings.warnings(run),
        "report": str(run.path("report.html")),
        "export": str(run.path("export")),
    }


def modality_tables(run: Run) -> list[list[str]]:
    """Scores with modalities missing, the contribution of each, and the weights of what is pooled."""
    tables = (subsets_table(run), contribution_table(run), members_table(run))
    return [table.lines() for table in tables if table]


def row_counts(run: Run) -> Iterator[str]:
    """Rows of each split, and quarantined rows by reason."""
    schema = read_json(run.path("data", "schema.json")) or {}
    splits = ", ".join(f"{count:,} {name}" for name, count in schema.get("rows", {}).items())
    yield f"rows: {splits}; quarantined: {LeftOut.of_schema(schema).sentence()}"
    yield from duplicates.lines(schema.get("duplicates"))
