"""JSON lines: one object a line; a line that isn't one is noted as broken."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa

from ..errors import SuffuseError
from . import Rows


def read(path: Path) -> Rows:
    """Rows of all objects; a key that a row lacks is empty there."""
    rows: list[dict] = []
    lines: list[int] = []
    broken: list[tuple[int, str]] = []
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                if b"\\ud" in line.lower():  # half a surrogate pair is JSON, and no text
                    json.dumps(row, ensure_ascii=False).encode()
            except (json.JSONDecodeError, UnicodeError) as error:
                broken.append((number, f"broken row: {error}"))
                continue
            if not isinstance(row, dict):
                broken.append((number, f"broken row: expected an object, got {type(row).__name__}"))
                continue
            rows.append(row)
            lines.append(number)
    names = list(dict.fromkeys(key for row in rows for key in row))
    try:
        columns = [pa.array([row.get(name) for row in rows]) for name in names]
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        columns = [_as_texts([row.get(name) for row in rows]) for name in names]
    except pa.ArrowException as error:
        raise SuffuseError("can't read the table", where=path, got=error) from None
    return Rows(pa.Table.from_arrays(columns, names=names), lines, path.parent, broken)


def _as_texts(values: list) -> pa.Array:
    """A column whose rows disagree about its type, as texts."""
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.array([v if v is None or isinstance(v, str) else json.dumps(v, ensure_ascii=False) for v in values])
