"""Roles that a user gives to columns, instead of the inferred ones: ``init --text title --number price``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from .. import sources
from ..errors import UsageError
from ..modalities.cell import Root
from ..modalities.number_inference import best_format
from .column_types import Column, number_column, raw_cells, sample, short
from .file_facts import audio_facts, picture_side, size_text

IGNORED = "ignored"
ROLES = ("text", "number", "category", "image", "audio", IGNORED)
MOST = 0.5  # of a column's values must be what they are called


def force(columns: list[Column], roles: Mapping[str, str], target: str, rows: sources.Rows, root: Root) -> list[Column]:
    """The columns with the roles that ``roles`` (column -> one of ``ROLES``) gives them; the target has none yet, but
    may be called a number or a category.

    Raises UsageError where there is no such column, or most of its values are something else.
    """
    for name, role in roles.items():
        sources.column(rows, name, flag(role))
        if name == target and role not in ("number", "category"):
            expected = "another column, or --number or --category for the target"
            raise UsageError("the target can't be this", where=flag(role), got=f"'{name}'", expected=expected)
    return [_forced(c, roles[c.name], root) if c.name in roles else c for c in columns]


def flag(role: str) -> str:
    """The option of ``init`` that gives a role."""
    return "--ignore" if role == IGNORED else f"--{role}"


def _forced(column: Column, role: str, root: Root) -> Column:
    if role == IGNORED:
        return replace(column, role=IGNORED, reason="left out, as --ignore says", forced=role)
    if role in ("image", "audio"):
        return replace(_files(column, role, root), forced=role)
    cells = raw_cells(column)
    filled = [cell for cell in cells if cell is not None]
    if not filled:
        raise _mismatch(column, role, column.reason, "a column of texts or numbers")
    if role == "number":
        found = best_format(filled)
        if found.share < MOST:
            got = f"{100 * found.share:.0f} % of its cells are; '{short(filled[0])}' and the like"
            raise _mismatch(column, role, got, "at least half of the cells")
        return replace(number_column(replace(column, cells=cells), found), forced=role)
    count = len(set(filled))
    reason = f"{count:,} different texts" if role == "text" else f"category of {count:,} values"
    return replace(column, role=role, reason=f"{reason}, as {flag(role)} says", cells=cells, facts={}, forced=role)


def _files(column: Column, role: str, root: Root) -> Column:
    """A column of pictures or recordings; those with unusual names are looked into."""
    if column.role == role:
        return column
    examined = sample(list(dict.fromkeys(cell for cell in column.cells if cell is not None)))
    if role == "image":
        sides = [side for cell in examined if (side := picture_side(cell, root))]
        if sides and len(sides) >= MOST * len(examined):
            return replace(column, role=role, reason=size_text(sides), side=int(np.median(sides)), facts={})
    elif found := audio_facts(examined, root):
        return replace(column, role=role, reason=found[0], facts=found[1])
    raise _mismatch(column, role, column.reason, "pictures" if role == "image" else "recordings")


def _mismatch(column: Column, role: str, got: str, expected: str) -> UsageError:
    where = f"{flag(role)}: column '{column.name}'"
    return UsageError("the column can't be read as this", where=where, got=got, expected=expected)
