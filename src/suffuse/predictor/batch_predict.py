"""Predicts all rows of a table, block by block: from its columns to the cells of each modality, and on to the chunks of
the output file.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import UsageError, listed, nearest
from ..modalities.cell import Root
from ..progress import Tell, say
from ..sources.row_stream import Block, Stream
from .input_encoding import Input
from .output_chunks import OutputChunks
from .output_table import Layout, encode_rows
from .prediction import Prediction
from .predictor import Predictor

PART = 16  # blocks that are kept, or lost when the process is killed, together
COUNTED = ("rows", "lacking", "unreadable", "unknown", "abstained", "broken", "problems")


@dataclass
class ChunkRows:
    """The rows of one chunk of the output, with counts and problems."""

    rows: list[list[Any]] = field(default_factory=lambda: [])  # as the layout has them
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTED, 0))
    problems: list[tuple[int, str, str]] = field(default_factory=lambda: [])  # line, modality ("": the row), reason
    example: str = ""  # of a row that lacks something
    unreadable: str = ""  # of a row in which something can't be read
    unknown: str = ""  # of a row with a category that the model doesn't know

    def add(self, line: int, prediction: Prediction, row: list[Any], absent: str) -> None:
        """Add one predicted row."""
        self.rows.append(row)
        unreadable = [(name, prediction.absent[name]) for name in prediction.unreadable]
        unreadable += prediction.partly.items()
        self.problems += [(line, name, reason) for name, reason in unreadable]
        self.counts["rows"] += 1
        self.counts["lacking"] += bool(absent)
        self.counts["unreadable"] += bool(unreadable)
        self.counts["abstained"] += any(a.abstained for a in prediction.answers.values())
        self.counts["unknown"] += bool(prediction.unknown)
        if prediction.unknown and not self.unknown:
            self.unknown = f"line {line}: {prediction.unknown[0]}"
        if absent and not self.example:
            self.example = f"line {line}: {absent}"
        if unreadable and not self.unreadable:
            self.unreadable = f"line {line}: {unreadable[0][0]}: {unreadable[0][1]}"

    def facts(self) -> dict[str, Any]:
        """Everything but the rows."""
        self.counts["problems"] = len(self.problems)
        examples = {"example": self.example, "unreadable": self.unreadable, "unknown": self.unknown}
        return {"counts": self.counts, **examples, "problems": self.problems}


@dataclass(frozen=True)
class BatchPredictor:
    """A model, and the rows to predict."""

    predictor: Predictor
    source: Stream
    reader: TableReader
    layout: Layout
    root: Root

    def answer(self, chunks: OutputChunks, tell: Tell) -> None:
        """Predict all blocks that ``chunks`` doesn't hold yet."""
        table_reader = self.reader
        copied: set[str] = {*self.layout.keep, *([] if self.layout.id is None else [self.layout.id])}
        done = sum(facts["counts"]["rows"] for facts in chunks.facts)
        part, blocks = ChunkRows(), 0
        for block in self.source.read(table_reader.columns_read | copied, PART * len(chunks.facts)):
            self._block(block, table_reader.cells(block), part)
            done, blocks = done + len(block.line), blocks + 1
            tell(block.share, f"{done:,} rows")
            if blocks == PART:
                self._keep(part, chunks)
                part, blocks = ChunkRows(), 0
        if blocks:
            self._keep(part, chunks)

    def _block(self, block: Block, cells: list[list[Any]], part: ChunkRows) -> None:
        part.problems += [(line, "", reason) for line, reason in block.broken]
        part.counts["broken"] += len(block.broken)
        if block.line:
            answers = self.predictor.predict_cells(cells, self.root, self.layout.threshold)
            ids: list[Any] = [None] * len(block.line) if self.layout.id is None else block.cells(self.layout.id)
            kept = [block.cells(name) for name in self.layout.keep]
            cells_of_row = zip(*kept, strict=True) if kept else [()] * len(block.line)
            for line, prediction, id_, copies in zip(block.line, answers, ids, cells_of_row, strict=True):
                row = self.layout.row(line, prediction, id_, copies)
                part.add(line, prediction, row, row[self.layout.absent])

    def _keep(self, part: ChunkRows, chunks: OutputChunks) -> None:
        chunks.write(encode_rows(self.layout, part.rows, chunks.out.suffix.lower()), part.facts())


Read = Callable[[Block], list[Any]]  # a block -> a cell for each of its rows
SHOWN = 10  # columns in a message


@dataclass(frozen=True)
class TableReader:
    """How each modality's cells are read from a block, and the columns that this needs."""

    reads: list[Read]
    columns_read: set[str]
    missing: tuple[str, ...]  # columns of the model that the table lacks, and that nothing in it stands for

    def cells(self, block: Block) -> list[list[Any]]:
        """M lists of B cells."""
        return [read(block) for read in self.reads]


def make_reader(predictor: Predictor, names: Sequence[str], place: Root, where: str = "") -> TableReader:
    """The reader of a table (``where``) with these columns. One warning names the columns that the table lacks, and
    those that are derived in their place.

    Raises UsageError where the table has none of the model's columns.
    """
    columns_read: set[str] = set()
    missing: dict[str, list[str]] = {}  # modality -> its columns that the table lacks
    reads: list[Read] = []
    for model_input in predictor.inputs:
        column, lost = model_input.settings.column, missing.setdefault(model_input.field.name, [])
        if isinstance(column, str):
            reads.append(_column(predictor, names, (column, model_input.field.name), place, (columns_read, lost)))
        else:
            parts = {c: _column(predictor, names, (c, c), place, (columns_read, lost)) for c in column}
            reads.append(_read_together(parts))
    columns = tuple(dict.fromkeys(column for lost in missing.values() for column in lost))
    if not columns_read:
        got, expected = listed(map(repr, names), SHOWN), listed(map(repr, columns), SHOWN)
        hint = _suggest_columns(columns, names)
        raise UsageError(
            "the table has none of the model's columns", where=where, got=got, expected=expected, hint=hint
        )
    if columns:
        effects = "; ".join(_effects(predictor.inputs, missing))
        meant = _suggest_columns(columns, [name for name in names if name not in columns_read])
        say(f"WARNING: no column {listed(map(repr, columns), SHOWN)}: {effects}{'; ' if meant else ''}{meant}")
    return TableReader(reads, columns_read, columns)


def _effects(inputs: Sequence[Input], missing: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """The effect of missing columns on each modality."""
    names = {model_input.field.name: model_input.settings.columns for model_input in inputs}
    missing_counts = {name: (len(missing[name]), len(columns)) for name, columns in names.items()}
    absent = [name for name, (count, total) in missing_counts.items() if count == total]
    if absent:
        yield f"{listed(absent, SHOWN)} {'is' if len(absent) == 1 else 'are'} absent in every row"
    for name, (count, total) in missing_counts.items():
        if 0 < count < total:
            yield f"{name} has {total - count} of its {total} columns, the others count as empty"


def _suggest_columns(columns: Sequence[str], names: Sequence[str]) -> str:
    """Columns of the table with names similar to the missing ones."""
    spelt = {name.casefold(): name for name in names}
    near = [(column, nearest(column.casefold(), list(spelt), 1, cutoff=0.6)) for column in columns[:SHOWN]]
    pairs = [f"'{column}' by '{spelt[matches[0]]}'" for column, matches in near if matches and matches[0] in spelt]
    return f"did you mean {', '.join(pairs)}?" if pairs else ""


def _read_together(parts: dict[str, Read]) -> Read:
    """Dictionaries of several columns."""

    def read(block: Block) -> list[Any]:
        rows: Iterator[Any] = zip(*(part(block) for part in parts.values()), strict=True)
        return [dict(zip(parts, row, strict=True)) for row in rows]

    return read


def _column(
    predictor: Predictor,
    names: Collection[str],
    names_of_column: tuple[str, str],
    place: Root,
    record: tuple[set[str], list[str]],
) -> Read:
    """Reads the model's column by its name in training or by its modality's (``names_of_column``), derives it where it
    can be, or returns None for every row. ``record``: columns of the table that are read, columns of the model that it
    lacks."""
    column, name = names_of_column
    columns_read, lacking = record
    source = predictor.source(column, names) or (name if name in names else None)
    if source is None:
        lacking.append(column)
        return lambda block: [None] * len(block.line)
    columns_read.add(source)
    if column == source or column not in predictor.derived or predictor.source(column, names) is None:
        return lambda block: list(map(predictor.filled, block.cells(source)))
    say(f"          no column '{column}': it is made from '{source}'")
    return lambda block: [predictor.value(column, {source: cell}, place) for cell in block.cells(source)]
