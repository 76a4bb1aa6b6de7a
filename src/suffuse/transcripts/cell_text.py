"""A cell's transcript, for the tables of a run and the records of a predictor alike."""

from __future__ import annotations

from typing import Any

from .units import normalise


def cell_text(value: Any, empty: str | None, lowercase: bool) -> str | None:
    """Normalised text; None where there is none. With ``empty`` '' an empty cell is a transcript without a word."""
    if value is None or value != value:
        return empty
    return normalise(str(value), lowercase) or empty
