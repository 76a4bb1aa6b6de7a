"""The rows of JSON lines as dictionaries; a line that isn't an object is noted as broken."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path


def pieces(path: Path, lines: list[int], broken: list[tuple[int, str]], most: tuple[int, int]) -> Iterator[list[dict]]:
    """Objects, at ``most`` so many, or fewer beyond so many bytes; ``lines`` and ``broken`` are filled on the way."""
    rows: list[dict] = []
    size = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            row = _row(line)
            if isinstance(row, str):
                broken.append((number, row))
                continue
            rows.append(row)
            lines.append(number)
            size += len(line)
            if len(rows) == most[0] or size > most[1]:
                yield rows
                rows, size = [], 0
    if rows:
        yield rows


def _row(line: bytes) -> dict | str:
    """An object, or why it is none."""
    try:
        row = json.loads(line.decode("utf-8-sig"))  # of bytes alone the encoding would be guessed
        if b"\\ud" in line.lower():
            check_text(row)
    except UnicodeDecodeError as error:
        return f"broken row: not UTF-8: byte 0x{error.object[error.start]:02x}"
    except (json.JSONDecodeError, UnicodeError) as error:
        return f"broken row: {error}"
    except RecursionError:
        return "broken row: nested too deep"
    except ValueError as error:  # an integer of more digits than Python reads
        return f"broken row: {str(error).split(';')[0]}"
    return row if isinstance(row, dict) else f"broken row: expected an object, got {type(row).__name__}"


def check_text(row: object) -> None:
    """Raise UnicodeError where a text in it is none: half a surrogate pair is JSON, and no text."""
    json.dumps(row, ensure_ascii=False).encode()


class RecordColumns:
    """The columns in which most filled cells are records. A row that has another cell there is broken: a network reads
    such a column as records, and one stray cell must not make texts of all the others."""

    def __init__(self) -> None:
        self.records: Counter[str] = Counter()
        self.others: Counter[str] = Counter()

    def add(self, rows: Iterable[dict]) -> None:
        """Count the cells of some rows."""
        for row in rows:
            for name, cell in row.items():
                if isinstance(cell, dict):
                    self.records[name] += 1
                elif cell is not None:
                    self.others[name] += 1

    def parted(self, rows: list[dict], lines: list[int]) -> tuple[list[dict], list[int], list[tuple[int, str]]]:
        """(the rows that aren't broken, their lines, what is broken). Ask once all rows are counted."""
        names = [name for name in self.records & self.others if self.records[name] > self.others[name]]
        kept: list[tuple[dict, int]] = []
        broken: list[tuple[int, str]] = []
        for row, line in zip(rows, lines, strict=True):
            strays = [name for name in names if not isinstance(row.get(name), (dict, type(None)))]
            if strays:
                broken.append((line, f"broken row: '{strays[0]}' is no record, as it is in other rows"))
            else:
                kept.append((row, line))
        return [row for row, _ in kept], [line for _, line in kept], broken
