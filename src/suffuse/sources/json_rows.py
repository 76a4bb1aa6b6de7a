"""The rows of JSON lines as dictionaries; a line that isn't an object is noted as broken."""

from __future__ import annotations

import json
from collections.abc import Iterator
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
        row = json.loads(line)
        if b"\\ud" in line.lower():
            check_text(row)
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
