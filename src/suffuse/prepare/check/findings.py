"""The result of a check as plain values: facts of columns, findings, and whether a run can start."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from ...types import Field, Head

STOPS, WARNS, NOTES = "stops", "warning", "note"  # a run would stop; it would run, and mislead; good to know


@dataclass(frozen=True)
class Finding:
    """A problem, a warning or a note."""

    weight: str  # STOPS, WARNS or NOTES
    code: str  # a plain word for machines
    where: str  # a column, a modality or a key of the recipe
    says: str


@dataclass(frozen=True)
class Column:
    """A column of the table. ``use`` is empty where the recipe leaves it out."""

    name: str
    use: tuple[str, ...]  # the recipe's keys that name it
    type: str  # as the table stores it
    looks: str  # what stands in it, judged by its cells
    coverage: float | None  # share of rows that have a value; None where it isn't made yet
    distinct: int | None  # different values; None where they can't be told apart cheaply
    examples: tuple[str, ...]  # shortened, control characters shown as escapes


@dataclass(frozen=True)
class Modality:
    """Facts about a modality's cells."""

    name: str
    kind: str
    columns: tuple[str, ...]
    cells: int  # different cells
    read: int  # of them that were read
    whole: bool  # all were, so counts are of rows; else of the cells that were read
    absent: dict[str, int]  # reason -> how many
    unreadable: dict[str, int]
    partly: dict[str, int]  # what was left out of cells that are used
    first: dict[str, str]  # reason -> the first line that it holds for, and details
    done: list[str]  # what is done to a cell, for people
    seconds: float  # to read one cell
    bytes: float  # of one cell as it is stored


@dataclass(frozen=True)
class Sample:
    """Fields, heads and some entries, to build networks for and time them on."""

    fields: tuple[Field, ...]
    entries: dict[str, np.ndarray]  # modality -> (U, ...), as prepare would store them
    cells: dict[str, float]  # modality -> different cells per row
    heads: tuple[Head, ...]


@dataclass
class Check:
    """The result of a check."""

    source: str
    rows: int
    broken: int
    columns: list[Column]
    reading: list[str] = field(default_factory=list)  # encoding, delimiter, and cells that are missing values
    modalities: list[Modality] = field(default_factory=list)
    derived: list[dict[str, Any]] = field(default_factory=list)  # columns that are made, from what, how long it takes
    targets: list[dict[str, Any]] = field(default_factory=list)
    splits: dict[str, Any] = field(default_factory=dict)
    rules: dict[str, str] = field(default_factory=dict)  # column -> how the source changed its cells
    costs: dict[str, Any] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    sampled: list[str] = field(default_factory=list)  # what was read in a sample only
    sample: Sample | None = None  # None where nothing can be learned

    def add(self, weight: str, code: str, where: str, says: str) -> None:
        """Note a finding."""
        self.findings.append(Finding(weight, code, where, says))

    @property
    def runs(self) -> bool:
        """Whether nothing was found that would stop a run."""
        return all(f.weight != STOPS for f in self.findings)

    def to_json(self) -> dict[str, Any]:
        """As plain lists and dictionaries."""
        facts = asdict(replace(self, sample=None))
        return {"runs": self.runs, **{key: value for key, value in facts.items() if key != "sample"}}
