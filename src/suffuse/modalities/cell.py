"""Cells: why one gives nothing, items in pieces, and the one place where files that a cell names are read.

A path in a table is data, not trust: it may lie in one folder only (and what lies below it), however it is written.
"""

from __future__ import annotations

import base64
import errno
import functools
import json
import math
import operator
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..object_store import READERS, facts, is_url, joined, local_path
from ..object_store import checked as checked_url
from ..object_store import read as read_object

PIECE = 4096  # items that are Python objects at the same time
LARGEST_FILE = 2**28  # bytes that are read of one cell at the most
MAX_PIXELS = 64_000_000  # a larger picture is refused before it is decoded
MAX_FOLDERS = 4096  # that are remembered
POSIX = ("O_NONBLOCK", "O_NOFOLLOW", "O_CLOEXEC", "O_BINARY")  # flags that not every system has
PLAIN = functools.reduce(operator.or_, (getattr(os, name, 0) for name in POSIX), os.O_RDONLY)
BASE64 = re.compile(r"[A-Za-z0-9+/\s]+={0,2}\s*")
SHORTEST_BASE64 = 60  # characters: no picture and no sound takes fewer
# PNG, JPEG, GIF, RIFF (WebP, WAV), TIFF, Ogg, FLAC, MP3
BASE64_STARTS = ("iVBO", "/9j/", "R0lG", "UklG", "SUkq", "TU0A", "T2dn", "Zkxh", "SUQz")
WEB_ADDRESS = "a web address"  # how the reason begins why such a cell isn't read
WEB = ("http://", "https://", "ftp://", "s3://", "gs://", "az://", "memory://")
OUTSIDE = "outside the data root"


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
    cell_bytes: int = LARGEST_FILE  # of a file or of bytes


UNLIMITED = Limits()  # as far as a table to learn from goes


@dataclass(frozen=True)
class Root:
    """Where relative paths start, the folder that no file may lie outside of, by links or otherwise, and how large a
    cell may be. Both folders may be URLs of a store."""

    folder: str
    allowed_dir: str  # resolved, with a slash at its end
    limits: Limits = UNLIMITED
    strict: bool = False  # a cell of which some part can't be read is unreadable, and not used without it
    folders: dict[str, str] = field(default_factory=dict, compare=False, repr=False)  # as cells name them -> resolved

    @classmethod
    def of(cls, folder: str | Path, allowed_dir: str | Path | None = None, limits: Limits = UNLIMITED) -> Root:
        """``allowed_dir`` is the folder itself where nothing else is said."""
        name = _folder(os.fspath(folder))
        allowed = name if allowed_dir is None else _folder(os.fspath(allowed_dir))
        return cls(name, (allowed if is_url(allowed) else _real(allowed)).rstrip("/") + "/", limits)

    @property
    def is_remote(self) -> bool:
        """Whether cells name objects of a store, which are read many at a time."""
        return is_url(self.folder) or is_url(self.allowed_dir)

    def readers(self) -> int:
        """How many cells are read at the same time: as many as processors, or as a store answers well."""
        return READERS if self.is_remote else os.cpu_count() or 1


def _folder(name: str) -> str:
    """A folder's path, or its URL as :func:`.object_store.checked` has it."""
    return checked_url(name) if is_url(name) else local_path(name)


def limits_of(root: Path | Root) -> Limits:
    """How large a cell may be."""
    return root.limits if isinstance(root, Root) else UNLIMITED


def is_empty(value: Any) -> bool:
    """Whether a cell holds nothing: None, NaN (of any library), no bytes, no items, or white space only."""
    if isinstance(value, str):
        return not value or value.isspace()
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    if isinstance(value, (float, np.floating)):
        return bool(value != value)
    return isinstance(value, (bytes, bytearray, memoryview, list, tuple, dict)) and not len(value)


def content(value: Any, root: Path | Root) -> bytes:
    """Bytes of a cell that holds them, a path, or the Hugging Face form {bytes, path}.

    Raises Absent where the cell is empty, Unreadable where there is no such file or it may not be read.
    """
    if isinstance(value, dict):
        value = value.get("path") if is_empty(value.get("bytes")) else value["bytes"]
    if isinstance(value, str) and (inner := embedded(value)) is not None:
        value = inner
    if is_empty(value):
        raise Absent("empty cell")
    if isinstance(value, (bytes, bytearray, memoryview)):
        if len(value) > (most := min(limits_of(root).cell_bytes, LARGEST_FILE)):
            raise Unreadable(f"{len(value):,} bytes: too large, expected at most {most:,}")
        return bytes(value)
    if isinstance(value, (list, tuple, dict, np.ndarray)):
        raise Unreadable(f"expected a path or bytes, got {type(value).__name__}")
    return read_file(value, root)


def embedded(text: str) -> bytes | None:
    """The bytes of a file that stands in a text as a ``data:`` address, or as Base64 that begins like a picture or a
    sound; None where it is neither. Raises Unreadable where a ``data:`` address is broken."""
    if text[:5].lower() == "data:":
        head, comma, body = text.partition(",")
        if comma and head.lower().endswith(";base64"):
            return _from_base64(body)
        raise Unreadable("a data: address without Base64")
    if len(text) < SHORTEST_BASE64 or text.lstrip()[:4] not in BASE64_STARTS or not BASE64.fullmatch(text):
        return None
    return _from_base64(text)


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except ValueError as error:
        raise Unreadable(f"broken Base64: {error}") from None


def read_file(value: Any, root: Path | Root, limit: int | None = None) -> bytes:
    """The bytes of the file that a cell names; at most so many. Raises Unreadable."""
    root = root if isinstance(root, Root) else Root.of(root)
    most = min(root.limits.cell_bytes, LARGEST_FILE) if limit is None else limit
    try:
        if url := object_url(value, root):
            return _read_object(url, most)
        number = _opened(value, root)
    except FileNotFoundError:
        raise Unreadable("no such file") from None
    except (OSError, ValueError) as error:
        raise Unreadable(f"can't read the file: {getattr(error, 'strerror', None) or error}") from None
    try:
        return _read(number, most)
    except OSError as error:
        raise Unreadable(f"can't read the file: {error.strerror}") from None
    finally:
        os.close(number)


def object_url(value: Any, root: Root) -> str | None:
    """The URL of the object that a cell names, itself or from a root in a store; None where it names a local file.
    Raises Unreadable where it leads out of the folder."""
    text = value if isinstance(value, str) else os.fspath(value) if isinstance(value, os.PathLike) else str(value)
    is_own = is_url(text) and is_url(root.allowed_dir)
    if not is_own and (not is_url(root.folder) or text.lower().startswith(WEB)):
        return None
    url = joined(*_parts(text)) if is_own else joined(root.folder, text)
    if url is None or not url.startswith(root.allowed_dir):
        raise Unreadable(OUTSIDE)
    return url


def _parts(url: str) -> tuple[str, str]:
    """The bucket of an object's URL, and its key."""
    scheme, _, place = url.partition("://")
    bucket, _, key = place.partition("/")
    return f"{scheme.lower()}://{bucket}", key


def _read_object(url: str, limit: int) -> bytes:
    """An object's bytes. An outage of the store is no matter of one cell: it passes as a SuffuseError."""
    there = facts(url)
    if there.is_folder:
        raise Unreadable("not a file: a directory")
    _check_size(there.size, limit)
    return read_object(url, there.size)


def _check_size(size: int, limit: int) -> None:
    if not size:
        raise Unreadable("the file is empty")
    if size > limit:
        raise Unreadable(f"more than {limit:,} bytes: too large")


def _opened(value: Any, root: Root) -> int:
    """The number of the opened file. A pipe is not waited for."""
    name = _name(value)
    folder, slash, file = name.rpartition("/")
    if file not in ("", ".", ".."):
        place = _inside(f"{_above(folder or slash, root)}/{file}", root)
        try:
            return os.open(place, PLAIN)
        except OSError as error:
            if error.errno != errno.ELOOP:  # a link: it must be followed before it is known where it leads
                raise
    # the path is resolved: a link in its place now was put there since
    return os.open(locate(value, root), PLAIN)


def _read(number: int, limit: int) -> bytes:
    """An open file, if it is a plain one."""
    there = os.fstat(number)
    if stat.S_ISDIR(there.st_mode):
        raise Unreadable("not a file: a directory")
    if not stat.S_ISREG(there.st_mode):  # a device may never end
        raise Unreadable("not a plain file")
    _check_size(there.st_size, limit)
    found = os.read(number, there.st_size)
    while len(found) < there.st_size and (more := os.read(number, there.st_size - len(found))):
        found += more
    return found


def locate(value: Any, root: Path | Root) -> str:
    """A cell's path with every ``..`` and link followed. Raises Unreadable where it leads out of the folder."""
    root = root if isinstance(root, Root) else Root.of(root)
    name = _name(value)
    try:
        place = _resolved(name, root)
    except (OSError, ValueError) as error:
        raise Unreadable(f"can't read the file: {getattr(error, 'strerror', None) or error}") from None
    return _inside(place, root)


def _name(value: Any) -> str:
    """A cell's path as it is written; an address in the web is none."""
    name = value if isinstance(value, str) else str(os.fspath(value) if isinstance(value, os.PathLike) else value)
    if is_url(name):
        raise Unreadable("a store's URL: nothing is downloaded unless data.root or data.allowed_dir is a URL above it")
    if name.lower().startswith(WEB):
        raise Unreadable(f"{WEB_ADDRESS}: nothing is downloaded; `suffuse fetch` does that for a table")
    return name


def _inside(place: str, root: Root) -> str:
    """A path without links, if it lies where files may."""
    if not place.startswith(root.allowed_dir) and place != root.allowed_dir.rstrip("/"):
        raise Unreadable(OUTSIDE)
    return place


def _resolved(name: str, root: Root) -> str:
    """Without links; those above a file are followed once for all files beside it."""
    folder, slash, file = name.rpartition("/")
    place = f"{_above(folder or slash, root)}/{file}"
    try:
        linked = file in ("", ".", "..") or stat.S_ISLNK(os.lstat(place).st_mode)
    except FileNotFoundError:
        return place
    return os.path.realpath(place) if linked else place


def _above(folder: str, root: Root) -> str:
    """The folder of a cell's path without links, and without a slash at its end."""
    found = root.folders.get(folder)
    if found is None:
        found = _real(os.path.join(root.folder, folder)).rstrip("/")  # noqa: PTH118 (a microsecond counts)
        if len(root.folders) >= MAX_FOLDERS:
            root.folders.clear()
        root.folders[folder] = found
    return found


_REAL: dict[str, tuple[int, int, str]] = {}  # a folder's name -> device and number of the folder, and its real name


def _real(name: str) -> str:
    """A folder's name with every link followed. It is remembered for as long as the name leads to the same folder, so
    that a single record's file costs one call of the system and not one for every folder above it."""
    try:
        there = os.stat(name)  # noqa: PTH116
    except (OSError, ValueError):
        return os.path.realpath(name)
    key = name if os.path.isabs(name) else os.path.join(os.getcwd(), name)  # noqa: PTH117, PTH109, PTH118
    known = _REAL.get(key)
    if known and known[:2] == (there.st_dev, there.st_ino):
        return known[2]
    found = os.path.realpath(name)
    if len(_REAL) >= MAX_FOLDERS:
        _REAL.clear()
    _REAL[key] = (there.st_dev, there.st_ino, found)
    return found


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
