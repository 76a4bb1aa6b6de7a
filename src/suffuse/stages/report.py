"""report: all results on one page that opens offline, the trust audit, and a model card."""

from __future__ import annotations

from ..audit import audit
from ..audit.auditor import to_json
from ..files import write_json, write_text
from ..progress import progress
from ..report.model_card import model_card
from ..report.page import render
from ..run import Run


def report(run: Run) -> None:
    """Write ``report.html``, ``audit.json`` and ``model-card.md``."""
    folder = run.partial("report")
    with progress("report") as tell:
        items = to_json(audit(run))
        write_json(folder / "audit.json", items)
        tell(0.3, "audit")
        write_text(folder / "model-card.md", model_card(run))
        page = render(run, audit=items)
        write_text(folder / "report.html", page)
        tell(1.0, f"{len(page) / 1000:,.0f} kB")
