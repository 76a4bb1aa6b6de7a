"""report: everything that was found, on one page that opens offline; the audit that it shows, and a model card."""

from __future__ import annotations

from ..audit import audit
from ..audit.audit_text import to_json
from ..files import write_json, write_text
from ..progress import progress
from ..report.model_card import model_card
from ..report.page import render
from ..run import Run


def report(run: Run) -> None:
    """Write ``report.html``, ``audit.json`` and ``model-card.md``."""
    place = run.partial("report")
    with progress("report") as tell:
        found = to_json(audit(run))
        write_json(place / "audit.json", found)
        tell(0.3, "audit")
        write_text(place / "model-card.md", model_card(run))
        page = render(run, found=found)
        write_text(place / "report.html", page)
        tell(1.0, f"{len(page) / 1000:,.0f} kB")
