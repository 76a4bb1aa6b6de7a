"""Cells: why one gives nothing, items in pieces, and the one place where files that a cell names are read.

A path in a table is data, not trust: it may lie in one folder only (and what lies below it), however it is written.
"""

from __future__ import annotations

import json
import math
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

PIECE = 4096  # items that are Python objects at the same time
LARGEST_FILE = 2**28  # bytes that are read of one cell at the most
MAX_PIXELS = 64_000_000  # a larger picture is refused before it is decoded
WEB = ("http://", "https://", "ftp://", "s3://", "gs://")


class Absent(Exception):
    """There is nothing in this cell; the modality is absent in its row."""


class Unreadable(Exception):
    """There is something in this cell that can't be read; says why."""


@dataclass(frozen=True)
class Limits:
    """How large one cell may be. What is larger is unreadable, and is refused before it is decoded."""

    pixels: int = MAX_PIXELS  # of a picture as it is stored
    seconds: float = math.inf  # of a sound; a modality may keep fewer of them
    characters: float = math.inf  # of a text
    cell_bytes: int = LARGEST_FILE  # of a file, of bytes, or of an array


@dataclass(frozen=True)
class Root:
    """Where relative paths start, the folder that no file may lie outside of, by links or otherwise, and how large a
    cell may be."""

    folder: Path
    within: str  # resolved, with a slash at its end
    limits: Limits = Limits()
    folders: dict[str, str] = field(default_factory=dict, compare=False, repr=False)  # as cells name them -> resolved

    @classmethod
    def of(cls, folder: Path, within: Path | None = None, limits: Limits = Limits()) -> Root:
        """``within`` is the folder itself where nothing else is said."""
        return cls(folder, os.path.realpath(folder if within is None else within).rstrip("/") + "/", limits)


def limits_of(root: Path | Root) -> Limits:
    """How large a cell may be."""
    return root.limits if isinstance(root, Root) else Limits()


def is_empty(value: Any) -> bool:
    """Whether a cell holds nothing: None, NaN (of any library), no bytes, no items, or white space only."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    if isinstance(value, (float, np.floating)):
        return bool(value != value)
    if isinstance(value, str):
        return not value.strip()
    return isinstance(value, (bytes, bytearray, memoryview, list, tuple, dict)) and not len(value)


def content(value: Any, root: Path | Root) -> bytes:
    """Bytes of a cell that holds them, a path, or the Hugging Face form {bytes, path}.

    Raises Absent where the cell is empty, Unreadable where there is no such file or it may not be read.
    """
    if isinstance(value, dict):
        value = value.get("path") if is_empty(value.get("bytes")) else value["bytes"]
    if is_empty(value):
        raise Absent("empty cell")
    if isinstance(value, (bytes, bytearray, memoryview)):
        if len(value) > (most := min(limits_of(root).cell_bytes, LARGEST_FILE)):
            raise Unreadable(f"{len(value):,} bytes: too large, expected at most {most:,}")
        return bytes(value)
    if isinstance(value, (list, tuple, dict, np.ndarray)):
        raise Unreadable(f"expected a path or bytes, got {type(value).__name__}")
    return read_file(value, root)


def read_file(value: Any, root: Path | Root, limit: int | None = None) -> bytes:
    """The bytes of the file that a cell names; at most so many. Raises Unreadable."""
    place = locate(value, root)
    limit = min(limits_of(root).cell_bytes, LARGEST_FILE) if limit is None else limit
    try:
        # the path is resolved: a link in its place now was put there since. A pipe is not waited for.
        number = os.open(place, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        raise Unreadable("no such file") from None
    except (OSError, ValueError) as error:
        raise Unreadable(f"can't read the file: {getattr(error, 'strerror', None) or error}") from None
    try:
        return _read(number, limit)
    except OSError as error:
        raise Unreadable(f"can't read the file: {error.strerror}") from None
    finally:
        os.close(number)


def _read(number: int, limit: int) -> bytes:
    """An open file, if it is a plain one."""
    facts = os.fstat(number)
    if stat.S_ISDIR(facts.st_mode):
        raise Unreadable("not a file: a directory")
    if not stat.S_ISREG(facts.st_mode):  # a device may never end
        raise Unreadable("not a plain file")
    if not facts.st_size:
        raise Unreadable("the file is empty")
    if facts.st_size > limit:
        raise Unreadable(f"more than {limit:,} bytes: too large")
    found = os.read(number, facts.st_size)
    while len(found) < facts.st_size and (more := os.read(number, facts.st_size - len(found))):
        found += more
    return found


def locate(value: Any, root: Path | Root) -> str:
    """A cell's path with every ``..`` and link followed. Raises Unreadable where it leads out of the folder."""
    root = root if isinstance(root, Root) else Root.of(root)
    name = str(os.fspath(value)) if isinstance(value, os.PathLike) else str(value)
    if name.lower().startswith(WEB):
        raise Unreadable("a web address: nothing is downloaded")
    try:
        place = _resolved(name, root)
    except (OSError, ValueError) as error:
        raise Unreadable(f"can't read the file: {getattr(error, 'strerror', None) or error}") from None
    if not place.startswith(root.within) and place != root.within.rstrip("/"):
        raise Unreadable("outside the data root")
    return place


def _resolved(name: str, root: Root) -> str:
    """Without links; those above a file are followed once for all files beside it."""
    folder, slash, file = name.rpartition("/")
    folder = folder or slash
    if folder not in root.folders:
        root.folders[folder] = os.path.realpath(root.folder / folder)
    place = f"{root.folders[folder].rstrip('/')}/{file}"
    try:
        linked = file in ("", ".", "..") or stat.S_ISLNK(os.lstat(place).st_mode)
    except FileNotFoundError:
        return place
    return os.path.realpath(place) if linked else place


def from_json(value: Any) -> Any:
    """A list, where a cell spells one in JSON; else the cell as it is. Raises Unreadable where it only begins so."""
    if not isinstance(value, str) or not value.lstrip().startswith("["):
        return value
    try:
        return json.loads(value)
    except (json.JSONDecodeError, RecursionError) as error:
        raise Unreadable(f"not a JSON list: {error}") from None


def as_array(value: Any) -> np.ndarray | None:
    """An array, or a tensor of any library that can be seen as one, as NumPy; None where it is neither.

    Raises Unreadable where a tensor has a type that NumPy lacks.
    """
    if isinstance(value, np.ndarray):
        return value
    try:
        if hasattr(value, "detach") and hasattr(value, "numpy"):  # torch, without importing it
            return value.detach().cpu().numpy()
        if hasattr(value, "__array__") and not isinstance(value, np.generic):
            return np.asarray(value)
    except (TypeError, RuntimeError, ValueError) as error:
        raise Unreadable(f"can't be seen as an array: {error}") from None
    return None


def pieces(items: Any) -> Iterator[list]:
    """A list, or a column of an Arrow table, as lists of some thousand items."""
    for start in range(0, len(items), PIECE):
        piece = items[start : start + PIECE]
        yield piece.to_pylist() if hasattr(piece, "to_pylist") else list(piece)
