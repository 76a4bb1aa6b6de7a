"""Objects in a store, by URL: ``s3://BUCKET/KEY``, ``gs://``, ``az://`` and ``memory://``, through fsspec.

Credentials come from the environment and the configuration files of the store's SDK, and from nowhere else: a URL that
holds some is refused. Which requests are repeated, how often and after how long is the SDK's own account (of S3
``AWS_MAX_ATTEMPTS`` and ``AWS_RETRY_MODE``). Repeated here is what an SDK takes for whole or waits for without an end:
a body that is shorter than the store's metadata say, and one that trickles.

An object that isn't there raises FileNotFoundError, one that may not be read PermissionError, as a local file does. All
else (an outage, an expired credential, a bucket that isn't there) is a SuffuseError: it isn't about one object.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import posixpath
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from .errors import SuffuseError, UsageError

REMOTE = "suffuse[remote]"
LIBRARIES = {  # scheme -> the library that reads it, and what pip calls it
    "s3": ("s3fs", REMOTE), "gs": ("gcsfs", "gcsfs"), "az": ("adlfs", "adlfs"), "memory": ("fsspec", REMOTE),
}  # fmt: skip
URL = re.compile(rf"({'|'.join(LIBRARIES)})://", re.IGNORECASE)
LOCAL = "file://"
FORM = "SCHEME://BUCKET/KEY"
READERS = 16  # objects that are read at the same time
RANGE = 2**23  # bytes of one request
ATTEMPTS = 4  # at what no SDK repeats
BACKOFF = 0.5  # seconds before the second attempt, doubled each time
DEADLINE = 60.0  # seconds that one request may take
# what tells that an object changed: the first that a store has
VERSION_KEYS = ("md5Hash", "ETag", "etag", "generation", "LastModified", "last_modified", "mtime", "updated", "created")
# codes of an S3 answer, and names of the SDKs' exceptions
CREDENTIALS = {
    "ExpiredToken", "ExpiredTokenException", "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken",
    "InvalidClientTokenId", "TokenRefreshRequired", "RequestTimeTooSkewed", "InvalidSecurity", "NoCredentialsError",
    "PartialCredentialsError", "CredentialRetrievalError", "TokenRetrievalError", "SSOTokenLoadError",
    "UnauthorizedSSOTokenError", "ProfileNotFound", "DefaultCredentialsError", "RefreshError",
    "ClientAuthenticationError",
}  # fmt: skip
# of errors that an SDK raises once it has repeated the request itself
REPEATED = {
    "EndpointConnectionError", "ConnectionClosedError", "ConnectTimeoutError", "ReadTimeoutError", "HTTPClientError",
    "ProxyConnectionError", "SSLError", "ClientPayloadError",
}  # fmt: skip
HINT_CREDENTIALS = "the store's SDK reads them from its environment variables and configuration files"
HINT_OUTAGE = "call it again once the store answers: it goes on from here"
Result = TypeVar("Result")


class _Cut(Exception):
    """A body is shorter than it should be."""


@dataclass(frozen=True)
class ObjectFacts:
    """What a store's metadata say of an object."""

    size: int  # bytes
    version: str  # changes with the content
    is_folder: bool = False  # a prefix of other keys, and no object

    @property
    def st_size(self) -> int:
        """The size by the name that a local file's facts give it."""
        return self.size


def is_url(text: str) -> bool:
    """Whether a text is the URL of an object or of a folder of objects."""
    return "://" in text and URL.match(text) is not None


def local_path(text: str) -> str:
    """The path of a ``file://`` URL; any other text as it is. Raises UsageError where it names another machine."""
    if not text.lower().startswith(LOCAL):
        return text
    parts = urlsplit(text)
    if parts.netloc not in ("", "localhost"):
        raise UsageError("this is no file of this machine", where="file://", expected="file:///PATH")
    return unquote(text[len(LOCAL) + len(parts.netloc) :])


def checked(url: str) -> str:
    """The URL with ``..`` resolved and no slash at its end. Raises UsageError where it holds credentials or a query, or
    names no bucket; the message holds no part of it that may be a secret."""
    scheme, _, place = url.partition("://")
    if "@" in place.partition("/")[0]:
        raise UsageError(
            "a URL holds credentials", where=f"{scheme}://", got="USER@ in it", expected=FORM, hint=HINT_CREDENTIALS
        )
    if "?" in place:
        raise UsageError(
            "a URL has a query", where=f"{scheme}://{place.partition('?')[0]}", got="?...", expected=FORM,
            hint=f"a signed URL holds a credential; {HINT_CREDENTIALS}",
        )  # fmt: skip
    bucket, _, key = place.partition("/")
    if not bucket and scheme.lower() != "memory":
        raise UsageError("this URL names no bucket", where=url, expected=FORM)
    inner = _resolved(key)
    if inner is None:
        raise UsageError("this URL leads out of its bucket", where=url, expected=FORM)
    return f"{scheme.lower()}://{bucket}{'/' if inner else ''}{inner}"


def suffix(url: str) -> str:
    """How the name of an object ends: ``.csv``, in lower case."""
    return posixpath.splitext(url.rpartition("/")[2])[1].lower()


def placed(text: str, base: Path) -> str:
    """A path made absolute from ``base``; the URL of a store as :func:`checked` has it."""
    return checked(text) if is_url(text) else str((base / local_path(text)).resolve())


def joined(folder: str, name: str) -> str | None:
    """The URL of a path that starts from a folder of objects; None where it leads out of the bucket."""
    scheme, _, place = folder.partition("://")
    bucket, _, key = place.partition("/")
    inner = None if name.startswith("/") else _resolved(f"{key}/{name}")
    return None if inner is None else f"{scheme}://{bucket}/{inner}"


def _resolved(key: str) -> str | None:
    """A key without ``.``, ``..`` and empty parts; None where it leads out of the bucket."""
    inner = posixpath.normpath(key.strip("/") or ".")
    return None if inner == ".." or inner.startswith("../") else "" if inner == "." else inner


def facts(url: str) -> ObjectFacts:
    """Size and version of an object, from the store's metadata."""
    system, path = system_of(url), url.partition("://")[2]

    def request() -> dict[str, Any]:
        try:
            return system.info(path, **_deadline(system))
        except Exception as error:
            if _code(error)[:1] == "4" or isinstance(error, (FileNotFoundError, PermissionError)):
                # the answer to a HEAD has no body, so that it can't say why
                system.cat_file(path, start=0, end=1, **_deadline(system))
            raise

    return _facts_of(attempt(url, request))


def _facts_of(found: dict[str, Any]) -> ObjectFacts:
    version = next((str(found[key]) for key in VERSION_KEYS if found.get(key)), "")
    digest = hashlib.blake2b(f"{found['size']} {version}".encode(), digest_size=16).hexdigest()
    return ObjectFacts(int(found["size"] or 0), digest, found.get("type") == "directory")


def listing(url: str) -> dict[str, ObjectFacts]:
    """Path from a folder of objects -> facts, of all objects below it, in the order of their keys; empty where there
    are none."""
    system, place = system_of(url), url.partition("://")[2].strip("/")
    try:
        found = attempt(url, lambda: system.find(place, detail=True))
    except FileNotFoundError:
        return {}
    below = {key.strip("/").removeprefix(f"{place}/"): info for key, info in found.items() if not key.endswith("/")}
    return {path: _facts_of(below[path]) for path in sorted(below) if below[path].get("type") == "file"}


def read(url: str, size: int) -> bytes:
    """An object of a known size, whole."""
    parts = [read_range(url, start, min(start + RANGE, size)) for start in range(0, size, RANGE)]
    return parts[0] if len(parts) == 1 else b"".join(parts)


def read_range(url: str, start: int, end: int) -> bytes:
    """The bytes of an object from ``start`` to ``end``, all of them."""
    system, path = system_of(url), url.partition("://")[2]

    def request() -> bytes:
        content = system.cat_file(path, start=start, end=end, **_deadline(system))
        if len(content) != end - start:
            raise _Cut(f"{len(content):,} of {end - start:,} bytes")
        return content

    return attempt(url, request)


class ObjectPath:
    """An object as readers of tables use a local path. What is read of it is of one version: one that is replaced
    meanwhile is an error."""

    def __init__(self, url: str, sheet: str = ""):
        self.url = url
        self.name = url.rpartition("/")[2]
        self.suffix = suffix(url)
        self.parent = url.rpartition("/")[0]
        self.sheet = sheet  # of a spreadsheet; none: its first one
        self.facts = facts(url)
        if self.facts.is_folder:
            raise UsageError("this is a folder of objects", where=url, expected="the URL of a table")

    def __str__(self) -> str:
        return self.url

    def open(self, mode: str = "rb", buffering: int = RANGE) -> io.BufferedReader:
        """The object as a file that can be read and sought in; at least ``buffering`` bytes are read at once."""
        self.check()
        return io.BufferedReader(_ObjectFile(self), buffering)

    def read_bytes(self) -> bytes:
        """All of it."""
        with self.open() as file:
            return file.read()

    def stat(self) -> ObjectFacts:
        """What the store's metadata say."""
        return self.facts

    def check(self) -> None:
        """Raise SuffuseError where another object has been written in its place."""
        if facts(self.url) != self.facts:
            raise SuffuseError("the object was replaced while it was read", where=self.url, hint="call it again")


class _ObjectFile(io.RawIOBase):
    """An object's bytes, by range requests. The version is compared once more when its end is read."""

    def __init__(self, path: ObjectPath):
        self.path, self.position, self.size = path, 0, path.facts.size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self.position = max(0, offset + {os.SEEK_SET: 0, os.SEEK_CUR: self.position, os.SEEK_END: self.size}[whence])
        return self.position

    def readinto(self, buffer: Any) -> int:
        start, end = self.position, min(self.position + len(buffer), self.size)
        for place in range(start, end, RANGE):
            part = read_range(self.path.url, place, min(place + RANGE, end))
            buffer[place - start : place - start + len(part)] = part
        if start < end == self.size:
            self.path.check()
        self.position = max(start, end)
        return max(0, end - start)


def attempt(url: str, request: Callable[[], Result]) -> Result:
    """A request's result. What an SDK doesn't repeat is tried again, after a wait that doubles."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return request()
        except Exception as error:  # the SDKs' exceptions share no base class
            final = _final(error, url)
            if final is None and attempt == ATTEMPTS:
                final = _outage(error, url)
            if final is not None:
                raise final from None
            time.sleep(BACKOFF * 2 ** (attempt - 1))
    raise AssertionError("unreachable")


def _final(error: Exception, url: str) -> Exception | None:
    """What an error means where another attempt wouldn't help; None where it may."""
    names = set(_names(error))
    if refused := sorted(names & CREDENTIALS):
        return SuffuseError("the store refuses the credentials", where=url, got=refused[0], hint=HINT_CREDENTIALS)
    if "NoSuchBucket" in names:
        return UsageError("no such bucket", where=_bucket(url))
    if isinstance(error, FileNotFoundError):
        return FileNotFoundError(errno.ENOENT, "no such object", url)
    if isinstance(error, PermissionError):
        return PermissionError(errno.EACCES, os.strerror(errno.EACCES), url)
    if isinstance(error, (ValueError, NotImplementedError)):  # e.g. a name that no bucket has
        return UsageError("the store can't take this name", where=url, got=_scrubbed(error))
    return _outage(error, url) if _is_repeated(error) else None


def _is_repeated(error: Exception) -> bool:
    """Whether an SDK has repeated the request already: it has an answer with a code, or a connection that failed."""
    is_deadline = isinstance(error, TimeoutError)
    return not is_deadline and (bool(_code(error)) or not REPEATED.isdisjoint(_names(error)))


def _outage(error: Exception, url: str) -> SuffuseError:
    got = f"cut off: {error}" if isinstance(error, _Cut) else _code(error) or _scrubbed(error)
    got = f"no answer in {DEADLINE:g} seconds" if isinstance(error, TimeoutError) else got
    return SuffuseError("the store failed", where=url, got=got, hint=HINT_OUTAGE)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and those that led to it."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def _names(error: Exception) -> Iterator[str]:
    for part in _chain(error):
        yield type(part).__name__
        response = getattr(part, "response", None)
        if isinstance(response, dict):
            yield str(response.get("Error", {}).get("Code", ""))


def _code(error: Exception) -> str:
    """The code of a store's answer; nothing where it gave none."""
    responses = (getattr(part, "response", None) for part in _chain(error))
    codes = (str(r.get("Error", {}).get("Code", "")) for r in responses if isinstance(r, dict))
    return next((code for code in codes if code), "")


def _scrubbed(error: Exception) -> str:
    """An error's first line without what may be a secret: the user of a URL, and its query."""
    line = next(iter(str(error).splitlines()), "")[:200]
    return re.sub(r"\?\S*", "", re.sub(r"://[^/\s@]*@", "://", line)) or type(error).__name__


def _bucket(url: str) -> str:
    scheme, _, place = url.partition("://")
    return f"{scheme}://{place.partition('/')[0]}"


def _deadline(system: Any) -> dict[str, float]:
    return {"timeout": DEADLINE} if getattr(system, "async_impl", False) else {}


def system_of(url: str) -> Any:
    """fsspec's file system of a URL's scheme. Raises UsageError where its library isn't installed."""
    with _OPENING:  # threads that ask at the same time share one
        return _opened(url.partition("://")[0], os.getpid())


_OPENING = Lock()


@lru_cache(maxsize=16)
def _opened(scheme: str, process: int) -> Any:
    """fsspec's file system, one for each process: its threads don't outlive a fork. Raises UsageError where its library
    isn't installed."""
    library, package = LIBRARIES[scheme]
    try:
        import fsspec
        from fsspec.config import conf

        options: dict[str, Any] = {}
        if scheme == "s3":  # beside what the user's own configuration says
            own = conf.get("s3", {}).get("config_kwargs", {})
            options["config_kwargs"] = {"max_pool_connections": READERS, **own}
        return fsspec.filesystem(scheme, use_listings_cache=False, skip_instance_cache=True, **options)
    except ImportError:
        hint = f"pip install '{package}'"
        raise UsageError(f"{library} isn't installed", where=f"{scheme}://", hint=hint) from None
    except Exception as error:  # of the SDK, about its configuration or credentials
        raise _final(error, f"{scheme}://") or _outage(error, f"{scheme}://") from None
