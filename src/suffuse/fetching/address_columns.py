"""Columns of a table whose cells are addresses of pictures or recordings in the web."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
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


def addresses(column: pa.ChunkedArray) -> list[str | None]:
    """The address in each cell; None where there is none."""
    cells = sources.texts(column.to_pylist())
    return [cell if cell and ADDRESS.fullmatch(cell) else None for cell in cells]


def chosen_columns(rows: Rows, kinds: Mapping[str, str]) -> dict[str, str]:
    """Column -> image or audio: the named ones, or those whose addresses end like pictures or recordings.

    Raises UsageError where there are none, or a named column has no address.
    """
    for name, kind in kinds.items():
        if not any(addresses(_texts(sources.column(rows, name, f"--{kind}"), name))):
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
    found, filled = addresses(column), sum(cell is not None for cell in sources.texts(column.to_pylist()))
    named = [address for address in found if address]
    if not named or len(named) < MOST * filled:
        return None
    suffixes = [PurePosixPath(_path(address)).suffix.lower() for address in named]
    for kind, endings in ENDINGS.items():
        if sum(suffix in endings for suffix in suffixes) >= MOST * len(named):
            return kind
    return ""


def _texts(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    if not _is_text(column):
        raise UsageError(
            "can't fetch these cells", where=f"column '{name}'", got=column.type, expected="an address each"
        )
    return column


def _is_text(column: pa.ChunkedArray) -> bool:
    return pa.types.is_string(column.type) or pa.types.is_large_string(column.type)


def _path(address: str) -> str:
    try:
        return urlsplit(address).path
    except ValueError:
        return ""
