"""Markdown that holds texts from tables and recipes: model cards are written with it."""

from __future__ import annotations

from collections.abc import Iterable

from .errors import visible

MARKS = "\\`*_<>|[]#"


def plain(text: str) -> str:
    """A name from a table or a run as it may stand in Markdown: no line breaks, no markup of its own."""
    kept = visible(text)
    for mark in MARKS:
        kept = kept.replace(mark, f"\\{mark}")
    return kept


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table, every cell of it plain."""
    lines = [list(head), *(list(row) for row in rows)]
    drawn = ["| " + " | ".join(plain(str(cell)) for cell in line) + " |" for line in lines]
    return "\n".join([drawn[0], "|" + "---|" * len(lines[0]), *drawn[1:]])
