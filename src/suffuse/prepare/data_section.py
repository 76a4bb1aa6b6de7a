"""The data section of a model card, from ``data/schema.json``: rows by split, what is quarantined, equal contents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..markdown import plain, section, table
from . import duplicates
from .column_types import percent
from .quarantine import LeftOut


def data_section(schema: Mapping[str, Any], *paragraphs: str) -> str:
    """Markdown; nothing where there is no schema. ``more``: paragraphs for its end."""
    if not schema:
        return ""
    rows = [(split, f"{count:,}", f"{schema['labelled'][split]:,}") for split, count in schema["rows"].items()]
    left = LeftOut.of_schema(schema)
    share = f" ({percent(left.share)})" if left.rows else ""
    synthetic = schema.get("synthetic", 0)
    made = f"Synthetic training rows without a label, made of training rows: {synthetic:,}." if synthetic else ""
    why = table(("reason", "rows"), [(name, f"{count:,}") for name, count in left.reasons.items()])
    return section(
        "Data",
        table(("split", "rows", "with a label"), rows),
        made,
        f"Quarantined, and in no split: {left.rows:,} of {left.total:,} rows{share}.",
        why if left.rows else "",
        *(plain(f"{line}.") for line in duplicates.lines(schema.get("duplicates"))),
        *paragraphs,
    )
