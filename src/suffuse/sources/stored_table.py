"""Tables in an object store, by URL: ``s3://BUCKET/KEY.parquet`` and the like, read as a local file of the same suffix
is. Relative paths in their cells start from the table's own folder in the store. Any other URL is a folder of pictures
or recordings by class.
"""

from __future__ import annotations

import hashlib
import json
import math
import posixpath
import time
from pathlib import Path

from .. import object_store
from ..errors import SuffuseError, UsageError
from ..object_store import ObjectPath
from . import SUFFIXES, class_folder, load_reader
from .row_stream import Rows, Stream
from .table_format import SHEET, TableFormat

FORGOTTEN = 300.0  # seconds after which a store that couldn't be asked is asked again: each attempt waits for it
_FAILED: dict[str, float] = {}  # URL -> when it couldn't be asked


def read(source: str, table_format: TableFormat) -> Rows | Stream:
    """The rows. Raises UsageError where the URL can't be used or is no table's, SuffuseError where the store doesn't
    give the object."""
    url, sheet = split(source)
    suffix = object_store.suffix(url)
    try:
        if suffix not in SUFFIXES:
            return _class_folder(url)
        path = ObjectPath(url, sheet)
    except FileNotFoundError:
        raise UsageError("no such object", where=url) from None
    except PermissionError:
        hint = object_store.HINT_CREDENTIALS
        raise SuffuseError("the store doesn't let this object be read", where=url, hint=hint) from None
    return load_reader(SUFFIXES[suffix]).read(path, table_format)


def _class_folder(url: str) -> Rows:
    paths = list(object_store.listing(url))
    if not paths:
        expected = f"a table ({' '.join(SUFFIXES)}), or a folder of pictures or recordings by class"
        raise UsageError("nothing is there that is a table", where=url, expected=expected)
    return class_folder.rows_of([path for path in paths if class_folder.is_row(path)], url)


def split(source: str) -> tuple[str, str]:
    """(URL, the name of a sheet in it or nothing). Raises UsageError where the URL can't be used."""
    parts = SHEET.fullmatch(source)
    return (object_store.checked(parts[1]), parts[2]) if parts else (object_store.checked(source), "")


def folder(source: str) -> Path | None:
    """None: it lies elsewhere."""
    return None


def identity(source: str) -> str | None:
    """Size and version by the store's metadata, of a folder those of all objects with their names; None where the store
    can't be asked now."""
    url, _ = split(source)
    if time.monotonic() - _FAILED.get(url, -math.inf) < FORGOTTEN:
        return None
    try:
        if object_store.suffix(url) in SUFFIXES:
            return f"{url} {object_store.facts(url).version}"
        listed = [[path, facts.version] for path, facts in object_store.listing(url).items()]
        return f"{url} {hashlib.blake2b(json.dumps(listed).encode(), digest_size=16).hexdigest()}"
    except (SuffuseError, OSError):
        _FAILED[url] = time.monotonic()
        return None


def placed(source: str, base: Path) -> str:
    """The URL without ``..``."""
    url, sheet = split(source)
    return f"{url}#{sheet}" if sheet else url


def relative(source: str, place: Path) -> str:
    """The URL: it has no place on this machine."""
    return placed(source, place)


def pinned(source: str) -> str:
    """The URL: what it names may be replaced, and is prepared again then."""
    return placed(source, Path())


def short_name(source: str) -> str:
    """The object's name without its suffix, or the folder's."""
    return posixpath.splitext(split(source)[0].rpartition("/")[2])[0]
