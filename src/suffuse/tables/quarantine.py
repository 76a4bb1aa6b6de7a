"""What was wrong with which row, and what was done about it: nothing is repaired in silence."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from ..csv_output import csv_lines

ACTIONS = {
    "quarantined": "the row is left out",
    "absent": "the row is kept, without this modality",
    "partly": "the row is kept, with a part of this modality",
    "underived": "the row is kept; its derived column is empty",
    "changed": "the cell was put into one form, by the rule that the source states",
    "other": "its label never occurs in training: counted, and scored as an error",
    "unlabelled": "no label: it learns from the teacher alone, and is never scored",
}


@dataclass
class Quarantine:
    """Notes in the order in which they were made."""

    notes: list[tuple[int, str, str, str, str]] = field(default_factory=list)

    def note(self, line: int, name: object, column: str, action: str, reason: str) -> None:
        """One thing about one row: its line in the source, id, column, action (of ``ACTIONS``) and reason."""
        assert action in ACTIONS, action
        self.notes.append((line, "" if name is None else str(name), column, action, reason))

    def counts(self) -> dict[str, dict[str, int]]:
        """action -> reason (without its details) -> number of rows."""
        found: dict[str, Counter] = {}
        for _, _, column, action, reason in self.notes:
            found.setdefault(action, Counter())[f"{column}: {reason.split(':')[0]}"] += 1
        return {action: dict(reasons.most_common()) for action, reasons in found.items()}

    def to_csv(self) -> str:
        """The file that people read; cells that a rule changed come last. Formulas and control characters are escaped:
        the line number leads to the cells as they are."""
        rows: list[tuple[object, ...]] = [("line", "id", "column", "action", "reason")]
        for changed in (False, True):
            rows += sorted(note for note in self.notes if (note[3] == "changed") is changed)
        return "".join(csv_lines(rows))

    def lines(self) -> list[str]:
        """A few lines for the screen."""
        return [
            f"{sum(reasons.values()):,} {action} ({'; '.join(f'{r}: {n:,}' for r, n in list(reasons.items())[:3])})"
            for action, reasons in self.counts().items()
        ]
