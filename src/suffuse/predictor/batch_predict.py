"""All rows of a source -> the parts of a file of answers, block by block."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..modalities.cell import Root
from ..progress import Tell
from ..sources.row_stream import Block, Stream
from .input_table import Reader
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
            ids = [None] * len(block.line) if self.layout.id is None else block.cells(self.layout.id)
            for line, found, id_ in zip(block.line, answers, ids, strict=True):
                row = self.layout.row(line, found, id_)
                part.add(line, found, row, row[self.layout.absent])

    def _keep(self, part: Part, made: Parts) -> None:
        made.write(encoded(self.layout, part.rows, made.out.suffix.lower()), part.facts())
