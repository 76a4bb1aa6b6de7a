"""report: everything that was found, on one page that opens offline."""

from __future__ import annotations

from ..files import write_text
from ..progress import progress
from ..report.page import render
from ..run import Run


def report(run: Run) -> None:
    """Write ``report.html``."""
    with progress("report") as tell:
        page = render(run)
        write_text(run.partial("report") / "report.html", page)
        tell(1.0, f"{len(page) / 1000:,.0f} kB")
