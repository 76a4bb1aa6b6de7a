"""All rows of a source -> the parts of a file of answers, block by block."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import UsageError, listed, nearest
from ..modalities.cell import Root
from ..progress import Tell, say
from ..sources.row_stream import Block, Stream
from .input_encoding import Input
from .output_chunks import Parts
from .output_table import Layout, encoded
from .prediction import Prediction
from .predictor import Predictor

PART = 16  # blocks that are kept, or lost when the process is killed, together
COUNTED = ("rows", "lacking", "unreadable", "abstained", "broken", "problems")


@dataclass
class Part:
    """What is known of some blocks of rows."""

    rows: list[list[Any]] = field(default_factory=list)  # as the layout has them
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTED, 0))
    problems: list[tuple[int, str, str]] = field(default_factory=list)  # line, modality ("": the row), reason
    example: str = ""  # of a row that lacks something
    unreadable: str = ""  # of a row in which something can't be read

    def add(self, line: int, found: Prediction, row: list[Any], absent: str) -> None:
        """One answered row."""
        self.rows.append(row)
        bad = [(name, found.absent[name]) for name in found.unreadable] + list(found.partly.items())
        self.problems += [(line, name, reason) for name, reason in bad]
        self.counts["rows"] += 1
        self.counts["lacking"] += bool(absent)
        self.counts["unreadable"] += bool(bad)
        self.counts["abstained"] += any(a.abstained for a in found.answers.values())
        if absent and not self.example:
            self.example = f"line {line}: {absent}"
        if bad and not self.unreadable:
            self.unreadable = f"line {line}: {bad[0][0]}: {bad[0][1]}"

    def facts(self) -> dict[str, Any]:
        """All but the rows."""
        self.counts["problems"] = len(self.problems)
        examples = {"example": self.example, "unreadable": self.unreadable}
        return {"counts": self.counts, **examples, "problems": self.problems}


@dataclass(frozen=True)
class Bulk:
    """A model and the rows that it is to answer."""

    predictor: Predictor
    source: Stream
    read: Reader
    layout: Layout
    place: Root

    def answer(self, made: Parts, tell: Tell) -> None:
        """All blocks that ``made`` doesn't hold yet."""
        read, kept = self.read, set() if self.layout.id is None else {self.layout.id}
        done = sum(facts["counts"]["rows"] for facts in made.facts)
        part, blocks = Part(), 0
        for block in self.source.read(read.wanted | kept, PART * len(made.facts)):
            self._block(block, read.cells(block), part)
            done, blocks = done + len(block.line), blocks + 1
            tell(block.share, f"{done:,} rows")
            if blocks == PART:
                self._keep(part, made)
                part, blocks = Part(), 0
        if blocks:
            self._keep(part, made)

    def _block(self, block: Block, cells: list[list], part: Part) -> None:
        part.problems += [(line, "", reason) for line, reason in block.broken]
        part.counts["broken"] += len(block.broken)
        if block.line:
            answers = self.predictor.predict_cells(cells, self.place, self.layout.threshold)
            ids = [None] * len(block.line) if self.layout.id is None else block.cells[self.layout.id]
            for line, found, id_ in zip(block.line, answers, ids, strict=True):
                row = self.layout.row(line, found, id_)
                part.add(line, found, row, row[self.layout.absent])

    def _keep(self, part: Part, made: Parts) -> None:
        made.write(encoded(self.layout, part.rows, made.out.suffix.lower()), part.facts())


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
        return lambda block: block.cells[source]
    say(f"          no column '{column}': it is made from '{source}'")
    return lambda block: [predictor.value(column, {source: cell}, place) for cell in block.cells[source]]
