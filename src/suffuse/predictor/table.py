"""A table's columns -> the cells that a model's modalities read, block by block."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from ..modalities.cell import Root
from ..progress import say
from ..sources.stream import Block
from .whole import Predictor

Read = Callable[[Block], list]  # a block -> a cell for each of its rows


@dataclass(frozen=True)
class Reader:
    """How each modality's cells are taken from a block, and the table's columns that this needs."""

    reads: list[Read]
    wanted: set[str]

    def cells(self, block: Block) -> list[list]:
        """M lists of B cells."""
        return [read(block) for read in self.reads]


def reader(predictor: Predictor, names: Collection[str], place: Root) -> Reader:
    """Says what the table lacks, and what is made in its place."""
    wanted: set[str] = set()
    reads = []
    for one in predictor.inputs:
        column = one.settings.column
        if isinstance(column, str):
            reads.append(_column(predictor, names, (column, one.field.name), place, wanted))
        else:
            reads.append(_together({c: _column(predictor, names, (c, c), place, wanted) for c in column}))
    return Reader(reads, wanted)


def _together(parts: dict[str, Read]) -> Read:
    """Dictionaries of several columns."""

    def read(block: Block) -> list:
        rows: Iterator = zip(*(part(block) for part in parts.values()), strict=True)
        return [dict(zip(parts, row, strict=True)) for row in rows]

    return read


def _column(
    predictor: Predictor, names: Collection[str], called: tuple[str, str], place: Root, wanted: set[str]
) -> Read:
    """The model's column, by the name it had in training or by its modality's (``called``); made where it can be; else
    absent in every row."""
    column, name = called
    source = predictor.source(column, names) or (name if name in names else None)
    if source is None:
        say(f"          no column '{column}': {name} is absent in every row")
        return lambda block: [None] * len(block.line)
    wanted.add(source)
    if column == source or column not in predictor.derived or predictor.source(column, names) is None:
        return lambda block: block.cells[source]
    say(f"          no column '{column}': it is made from '{source}'")
    return lambda block: [predictor.value(column, {source: cell}, place) for cell in block.cells[source]]
