"""The page."""

from __future__ import annotations

from ..run import Run


def render(run: Run) -> str:
    """HTML."""
    return "<p></p>"
