"""Lines of a recipe's text: entries with a comment beside them, values as YAML."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..recipe.yaml_io import yaml_text

COMMENT_COLUMN = 34  # where a comment beside an entry starts


def scalar(value: Any) -> str:
    """A value as YAML on one line, quoted where it must be."""
    text = yaml_text([value], default_flow_style=True, width=10**9)
    return text.strip()[1:-1]


def line(entry: str, comment: str = "") -> str:
    """An entry, and a comment beside it; in YAML a # must follow a space."""
    return f"{entry:<{COMMENT_COLUMN - 1}} # {folded(comment)}" if comment else entry


def comment_lines(notes: Iterable[str], indent: int) -> list[str]:
    """Notes as comments on lines of their own."""
    return [f"{' ' * indent}# {folded(note)}" for note in notes]


def folded(text: str) -> str:
    """On one line, as a comment must be."""
    return " ".join(text.split())
