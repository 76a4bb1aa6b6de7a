"""What a finished run says in the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from ..run import Run
from . import missing, table, worth


def lines(run: Run) -> Iterator[str]:
    """The verdicts, the tables of results, the warnings, and where report and student are."""
    yield from table.verdicts(run)
    yield ""
    for block in (*table.blocks(run), *worth.blocks(run), *missing.blocks(run)):
        yield from block
        yield ""
    yield from (f"WARNING: {sentence}" for sentence in worth.warnings(run))
    yield ""
    yield f"report: {run.path('report.html')}"
    yield f"student: {run.path('export')}"
