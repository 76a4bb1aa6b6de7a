"""A table's columns -> the cells that a model's modalities read, block by block."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..errors import UsageError, listed, nearest
from ..modalities.cell import Root
from ..progress import say
from ..sources.row_stream import Block
from .input_encoding import Input
from .predictor import Predictor

Read = Callable[[Block], list]  # a block -> a cell for each of its rows
SHOWN = 10  # columns in a message


@dataclass(frozen=True)
class Reader:
    """How each modality's cells are taken from a block, and the table's columns that this needs."""

    reads: list[Read]
    wanted: set[str]
    missing: tuple[str, ...]  # columns of the model that the table lacks, and that nothing in it stands for

    def cells(self, block: Block) -> list[list]:
        """M lists of B cells."""
        return [read(block) for read in self.reads]


def reader(predictor: Predictor, names: Sequence[str], place: Root, where: str = "") -> Reader:
    """Of a table (``where``) with these columns. What the table lacks is said in one warning; what is made in its place
    too. Raises UsageError where the table has none of the model's columns."""
    wanted: set[str] = set()
    missing: dict[str, list[str]] = {}  # modality -> its columns that the table lacks
    reads = []
    for one in predictor.inputs:
        column, lost = one.settings.column, missing.setdefault(one.field.name, [])
        if isinstance(column, str):
            reads.append(_column(predictor, names, (column, one.field.name), place, (wanted, lost)))
        else:
            parts = {c: _column(predictor, names, (c, c), place, (wanted, lost)) for c in column}
            reads.append(_together(parts))
    columns = tuple(dict.fromkeys(column for lost in missing.values() for column in lost))
    if not wanted:
        got, expected = listed(map(repr, names), SHOWN), listed(map(repr, columns), SHOWN)
        hint = _meant(columns, names)
        raise UsageError(
            "the table has none of the model's columns", where=where, got=got, expected=expected, hint=hint
        )
    if columns:
        effects = "; ".join(_effects(predictor.inputs, missing))
        meant = _meant(columns, [name for name in names if name not in wanted])
        say(f"WARNING: no column {listed(map(repr, columns), SHOWN)}: {effects}{'; ' if meant else ''}{meant}")
    return Reader(reads, wanted, columns)


def _effects(inputs: Sequence[Input], missing: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """What becomes of modalities without some of their columns."""
    lost = {one.field.name: (len(missing[one.field.name]), len(one.settings.columns)) for one in inputs}
    absent = [name for name, (count, most) in lost.items() if count == most]
    if absent:
        yield f"{listed(absent, SHOWN)} {'is' if len(absent) == 1 else 'are'} absent in every row"
    for name, (count, most) in lost.items():
        if 0 < count < most:
            yield f"{name} has {most - count} of its {most} columns, the others count as empty"


def _meant(columns: Sequence[str], names: Sequence[str]) -> str:
    """Which of the table's columns may be the ones that it lacks, by their names."""
    spelt = {name.casefold(): name for name in names}
    near = [(column, nearest(column.casefold(), list(spelt), 1, cutoff=0.6)) for column in columns[:SHOWN]]
    pairs = [f"'{column}' by '{spelt[found[0]]}'" for column, found in near if found and found[0] in spelt]
    return f"did you mean {', '.join(pairs)}?" if pairs else ""


def _together(parts: dict[str, Read]) -> Read:
    """Dictionaries of several columns."""

    def read(block: Block) -> list:
        rows: Iterator = zip(*(part(block) for part in parts.values()), strict=True)
        return [dict(zip(parts, row, strict=True)) for row in rows]

    return read


def _column(
    predictor: Predictor,
    names: Collection[str],
    called: tuple[str, str],
    place: Root,
    notes: tuple[set[str], list[str]],
) -> Read:
    """The model's column, by the name it had in training or by its modality's (``called``); made where it can be; else
    absent in every row. ``notes``: columns of the table that are read, columns of the model that it lacks."""
    column, name = called
    wanted, lost = notes
    source = predictor.source(column, names) or (name if name in names else None)
    if source is None:
        lost.append(column)
        return lambda block: [None] * len(block.line)
    wanted.add(source)
    if column == source or column not in predictor.derived or predictor.source(column, names) is None:
        return lambda block: block.cells(source)
    say(f"          no column '{column}': it is made from '{source}'")
    return lambda block: [predictor.value(column, {source: cell}, place) for cell in block.cells(source)]
