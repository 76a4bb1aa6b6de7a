"""Problems of rows and what was done about them: every change is noted."""

from __future__ import annotations

import heapq
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..csv_output import csv_lines
from ..modalities.cell import WEB_ADDRESS
from ..recipe import Data
from .column_types import percent

ACTIONS = {
    "quarantined": "the row is left out",
    "absent": "the row is kept, without this modality",
    "partly": "the row is kept, with a part of this modality",
    "underived": "the row is kept; its derived column is empty",
    "changed": "the cell was put into one form, by the rule that the source states",
    "other": "its label never occurs in training: counted, and scored as an error",
    "unlabelled": "no label: it learns from the teacher alone, and is never scored",
}
LEFT_OUT = "quarantined"
LINES = 3  # of the source, named for each reason
REASONS = 5  # named in one sentence
HIGH_SHARE: float = Data.model_fields["max_quarantined"].default  # where more are, table or recipe is likely wrong


@dataclass(frozen=True)
class Reason:
    """Why rows were noted: the column, the reason without its details, how many rows, and the first lines of them."""

    column: str  # empty where the reason is not in one column
    reason: str
    rows: int
    lines: tuple[int, ...]

    @property
    def name(self) -> str:
        """``column: reason``, or the reason alone."""
        return f"{self.column}: {self.reason}" if self.column else self.reason

    def examples(self) -> str:
        """``line 4``, or ``lines 4, 7, 9``."""
        return f"line{'s' * (len(self.lines) > 1)} {', '.join(map(str, self.lines))}"


@dataclass(frozen=True)
class LeftOut:
    """How many rows of a table are quarantined, of how many, and why: reason -> rows, the commonest first."""

    rows: int
    total: int
    reasons: Mapping[str, int]

    @classmethod
    def of_schema(cls, schema: Mapping[str, Any]) -> LeftOut:
        """As ``data/schema.json`` holds it."""
        reasons = (schema.get("notes") or {}).get(LEFT_OUT) or {}
        rows = sum(reasons.values())
        return cls(rows, rows + sum((schema.get("rows") or {}).values()), reasons)

    @property
    def share(self) -> float:
        """0..1."""
        return self.rows / max(self.total, 1)

    def sentence(self, examples: Mapping[str, str] | None = None) -> str:
        """``855 of 891 rows (96 %): duplicate row: 855``. ``examples``: reason -> what follows its count."""
        if not self.rows:
            return f"none of {self.total:,} rows"
        examples_text = {name: f" ({text})" for name, text in (examples or {}).items()}
        reasons = [
            f"{name}: {rows:,}{examples_text.get(name, '')}" for name, rows in list(self.reasons.items())[:REASONS]
        ]
        suffix = f"; {len(self.reasons) - REASONS} more reasons" if len(self.reasons) > REASONS else ""
        return f"{self.rows:,} of {self.total:,} rows ({percent(self.share)}): {'; '.join(reasons)}{suffix}"

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"rows": self.rows, "of": self.total, "share": self.share, "reasons": dict(self.reasons)}


@dataclass
class Quarantine:
    """Notes in the order in which they were made."""

    notes: list[tuple[int, str, str, str, str]] = field(default_factory=list)

    def note(self, line: int, id_: object, column: str, action: str, reason: str) -> None:
        """One thing about one row: its line in the source, id, column, action (of ``ACTIONS``) and reason."""
        assert action in ACTIONS, action
        self.notes.append((line, "" if id_ is None else str(id_), column, action, reason))

    def reasons(self, action: str = LEFT_OUT) -> list[Reason]:
        """Reasons for an action, the commonest first, each with its first lines."""
        lines: dict[tuple[str, str], list[int]] = {}
        for line, _, column, note_action, reason in self.notes:
            if note_action == action:
                lines.setdefault((column, reason.split(":")[0]), []).append(line)
        reasons = [Reason(*key, len(noted), tuple(heapq.nsmallest(LINES, noted))) for key, noted in lines.items()]
        return sorted(reasons, key=lambda reason: -reason.rows)

    def counts(self) -> dict[str, dict[str, int]]:
        """action -> reason (without its details), behind its column where it has one -> number of rows."""
        actions = dict.fromkeys(action for _, _, _, action, _ in self.notes)
        return {action: {reason.name: reason.rows for reason in self.reasons(action)} for action in actions}

    def to_csv(self) -> str:
        """The contents of ``quarantine.csv``; cells that a rule changed come last. Formulas and control characters are
        escaped: the line number leads to the original cells."""
        rows: list[tuple[object, ...]] = [("line", "id", "column", "action", "reason")]
        for changed in (False, True):
            rows += sorted(note for note in self.notes if (note[3] == "changed") is changed)
        return "".join(csv_lines(rows))

    def fetch_hint(self, source: str) -> str:
        """What may be done about cells that are web addresses; nothing where there are none."""
        count = sum(reason.startswith(WEB_ADDRESS) for *_, reason in self.notes)
        cells = f"{count:,} cell{'s hold web addresses' if count > 1 else ' holds a web address'}"
        return f"{cells}: `suffuse fetch {shlex.quote(source)}` downloads the files" if count else ""

    def lines(self, *actions: str) -> list[str]:
        """A few lines for the screen, of these actions or of all."""
        return [
            f"{sum(reasons.values()):,} {action} ({'; '.join(f'{r}: {n:,}' for r, n in list(reasons.items())[:3])})"
            for action, reasons in self.counts().items()
            if not actions or action in actions
        ]
