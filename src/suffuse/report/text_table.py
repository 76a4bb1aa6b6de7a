"""A small table of the report."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Block:
    """Its heading, its head and its rows, as text."""

    title: str
    headings: tuple[str, ...]
    rows: list[tuple[str, ...]]
