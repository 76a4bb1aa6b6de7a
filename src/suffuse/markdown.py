"""Markdown with texts from tables and recipes: the mechanism of both model cards (of a run, of an export)."""

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


def section(title: str, *paragraphs: str) -> str:
    """A heading and its paragraphs, empty ones left out; empty where none is left."""
    kept = [paragraph for paragraph in paragraphs if paragraph]
    return "\n\n".join((f"## {title}", *kept)) if kept else ""


def document(*sections: str) -> str:
    """Sections as a file; empty ones are left out."""
    return "\n\n".join(text for text in sections if text) + "\n"
