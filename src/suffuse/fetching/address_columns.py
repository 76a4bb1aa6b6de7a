"""Columns of a table whose cells are addresses of pictures or recordings in the web. A cell holds one, or a list of
them: a list of the table's, or a text that is a JSON list."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa

from .. import sources
from ..errors import UsageError, listed
from ..modalities import audio, image
from ..progress import say
from ..sources.row_stream import Rows
from .download import AUDIO, IMAGE

ADDRESS = re.compile(r"https?://\S+", re.IGNORECASE)
MOST = 0.5  # of the filled cells of a column are addresses
ENDINGS = {IMAGE: image.SUFFIXES, AUDIO: (*audio.SUFFIXES, *audio.UNREAD_SUFFIXES)}


def addresses(column: pa.ChunkedArray) -> list[list[str | None]]:
    """For each cell an entry per part, one unless it is a list: its address; None where it is no address."""
    found = (sources.texts(parts(cell)) for cell in column.to_pylist())
    return [[part if part and ADDRESS.fullmatch(part) else None for part in cell] for cell in found]


def parts(cell: Any) -> list[Any]:
    """The elements of a list; of another cell itself."""
    listed_texts = _json_list(cell)
    return list(cell) if isinstance(cell, list) else [cell] if listed_texts is None else listed_texts


def joined(cell: Any, values: Sequence[str | None]) -> Any:
    """A value for each of :func:`parts`, laid out as the cell is."""
    if isinstance(cell, list):
        return list(values)
    if _json_list(cell) is not None:
        return None if all(value is None for value in values) else json.dumps(values, ensure_ascii=False)
    return values[0]


def _json_list(cell: Any) -> list[Any] | None:
    if not isinstance(cell, str) or not cell.lstrip().startswith("["):
        return None
    try:
        found = json.loads(cell)
    except ValueError:
        return None
    return found if isinstance(found, list) else None


def chosen_columns(rows: Rows, kinds: Mapping[str, str]) -> dict[str, str]:
    """Column -> image or audio: the named ones, or those whose addresses end like pictures or recordings.

    Raises UsageError where there are none, or a named column has no address.
    """
    for name, kind in kinds.items():
        if not _named(_texts(sources.column(rows, name, f"--{kind}"), name)):
            raise UsageError("the column holds no addresses", where=f"--{kind}", got=f"'{name}'", expected="http(s)://")
    if kinds:
        return dict(kinds)
    found = {name: _kind(rows.table.column(name)) for name in rows.table.column_names if name not in rows.known.origin}
    chosen = {name: kind for name, kind in found.items() if kind}
    unclear = [name for name, kind in found.items() if kind == ""]
    if unclear and chosen:
        say(f"left alone: addresses in {listed(unclear)}, which end neither like pictures nor like recordings")
    if not chosen:
        got = f"addresses of other or unknown kinds in {listed(unclear)}" if unclear else "no column of addresses"
        hint = "--image COLUMN or --audio COLUMN says what a column's addresses are"
        raise UsageError("there is nothing to fetch", got=got, expected="http(s) addresses", hint=hint)
    return chosen


def _kind(column: pa.ChunkedArray) -> str | None:
    """Image or audio; empty where the addresses' endings don't tell; None where most cells are no addresses."""
    if not _is_text(column):
        return None
    cells = [sources.texts(parts(cell)) for cell in column.to_pylist()]
    named, filled = _named(column), sum(part is not None for cell in cells for part in cell)
    if not named or len(named) < MOST * filled:
        return None
    suffixes = [PurePosixPath(_path(address)).suffix.lower() for address in named]
    for kind, endings in ENDINGS.items():
        if sum(suffix in endings for suffix in suffixes) >= MOST * len(named):
            return kind
    return ""


def _named(column: pa.ChunkedArray) -> list[str]:
    return [address for cell in addresses(column) for address in cell if address]


def _texts(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    if not _is_text(column):
        raise UsageError(
            "can't fetch these cells", where=f"column '{name}'", got=column.type, expected="addresses, or lists of them"
        )
    return column


def _is_text(column: pa.ChunkedArray) -> bool:
    kind = column.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        kind = kind.value_type
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _path(address: str) -> str:
    try:
        return urlsplit(address).path
    except ValueError:
        return ""
