"""A local file -> an object of a store, whole or not at all.

It is written under a temporary key, its size is compared with the file's, and the store copies it to its own key. A
reader sees the old object or the new one. The temporary key depends on the content: two writers never share one, and
what a killed one left is replaced by the next attempt.
"""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

from .errors import SuffuseError, UsageError
from .files import file_facts
from .object_store import HINT_CREDENTIALS, attempt, checked, facts, system_of


def publish(file: Path, url: str) -> None:
    """Write a file's bytes to an object. Raises SuffuseError where the store doesn't take it whole, UsageError where
    there is no such bucket."""
    size, digest = file_facts(file)
    temporary = _beside(url, str(digest))
    system, place = system_of(url), _key(url)
    try:
        attempt(url, lambda: system.put_file(str(file), _key(temporary)))
        try:
            _check_size(temporary, int(size), url)
            attempt(url, lambda: system.cp_file(_key(temporary), place))
        finally:
            with contextlib.suppress(FileNotFoundError, PermissionError):  # it may be written, and not removed
                attempt(url, lambda: system.rm_file(_key(temporary)))
        _check_size(url, int(size), url)
    except (FileNotFoundError, PermissionError):
        raise _not_written(url) from None


def check_writable(url: str) -> None:
    """Raise SuffuseError where no object can be written beside this one, so that it is known before the work and not
    after; UsageError where there is no such bucket, or a folder of objects is there."""
    system, probe = system_of(url), _beside(url, "probe")
    try:
        if exists(url) and facts(url).is_folder:
            raise UsageError("this is a folder of objects", where=url, expected="the URL of a file")
        attempt(url, lambda: system.pipe_file(_key(probe), b""))
    except (FileNotFoundError, PermissionError):
        raise _not_written(url) from None
    with contextlib.suppress(FileNotFoundError, PermissionError):
        attempt(url, lambda: system.rm_file(_key(probe)))


def exists(url: str) -> bool:
    """Whether an object, or a folder of them, is there and may be read."""
    try:
        facts(url)
    except (FileNotFoundError, PermissionError):
        return False
    return True


def sibling(url: str, name: str) -> str:
    """The URL of another object in the same folder."""
    return checked(f"{url.rpartition('/')[0]}/{name}")


def staging(url: str) -> Path:
    """The local file in which an object is made before it is published: in the current folder, the same for the same
    URL, so that an interrupted command finds what it had."""
    folder = hashlib.blake2b(url.encode(), digest_size=4).hexdigest()
    name = url.rpartition("/")[2]
    return Path(f".{name}-{folder}") / name


def _beside(url: str, word: str) -> str:
    return sibling(url, f".{url.rpartition('/')[2]}.{word}.tmp")


def _key(url: str) -> str:
    return url.partition("://")[2]


def _check_size(written: str, size: int, url: str) -> None:
    if (there := facts(written).size) != size:
        got, expected = f"{there:,} bytes in the store", f"{size:,}"
        raise SuffuseError("the object wasn't written whole", where=url, got=got, expected=expected, hint="try again")


def _not_written(url: str) -> SuffuseError:
    return SuffuseError("the store doesn't let this object be written", where=url, hint=HINT_CREDENTIALS)
