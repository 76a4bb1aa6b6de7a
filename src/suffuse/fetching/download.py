"""One address -> the bytes of a picture or recording that can be decoded, or why there are none.

Sizes, times and redirections are bounded, and what fails for a while is tried again, later each time (urllib3's
``Retry`` keeps the account). A body is judged by the modality's own decoder, as ``prepare`` will.
"""

from __future__ import annotations

import io
import time
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException
from threading import Event
from typing import Any
from urllib.parse import urljoin

from PIL import Image
from urllib3.exceptions import (
    HTTPError,
    IncompleteRead,
    LocationValueError,
    MaxRetryError,
    NewConnectionError,
    SSLError,
)
from urllib3.exceptions import TimeoutError as TimedOut
from urllib3.util import Retry, Timeout, parse_url

from .. import __version__
from ..modalities import audio_ops, load_modality
from ..modalities.cell import Unreadable
from .public_addresses import Refused, pool_manager

IMAGE, AUDIO = "image", "audio"
FOR_A_WHILE = (408, 425, 429, 500, 502, 503, 504)  # statuses that may be another one later
PAGES = ("text/html", "application/xhtml+xml", "application/json", "application/pdf")  # neither picture nor sound
PIECE = 2**16  # bytes that are read at once
LONGEST_WAIT = 60.0  # seconds before another attempt, whatever the server asks for
SUFFIXES = {
    "JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "GIF": ".gif", "BMP": ".bmp", "TIFF": ".tif",
    "WAV": ".wav", "WAVEX": ".wav", "RF64": ".wav", "FLAC": ".flac", "OGG": ".ogg", "MP3": ".mp3",
}  # fmt: skip  # of a file's format, by its content
HEADERS = {"User-Agent": f"suffuse/{__version__}", "Accept-Encoding": "identity"}


KINDS = (  # the first that an error is of; urllib3 calls a refused connection a timeout too
    (NewConnectionError, "no connection"),
    (TimedOut, "timed out"),
    (SSLError, "no valid certificate"),
    (LocationValueError, "not an address"),
)


class Rejected(Exception):
    """Why an address gives no file; what stands behind a colon is a detail."""


@dataclass(frozen=True)
class Limits:
    """How far a download may go."""

    file_bytes: int = 64 * 2**20
    timeout: float = 30.0  # seconds to connect, and between two pieces
    seconds: float = 300.0  # of one attempt
    retries: int = 3
    redirects: int = 5
    backoff: float = 1.0  # seconds before the second attempt that follows another, doubled each time
    allow_private: bool = False


@dataclass(frozen=True)
class Download:
    """A file as it came."""

    content: bytes
    suffix: str  # of its format
    content_type: str  # as the server calls it


class Downloader:
    """Downloads from several threads."""

    def __init__(self, limits: Limits, parallel: int):
        self.limits, self.stopped = limits, Event()
        self.pools = pool_manager(parallel, limits.allow_private)

    def download(self, address: str, kind: str) -> Download:
        """The file of an address, ``image`` or ``audio``. Raises Rejected."""
        retries, place = self._retries(), address
        while True:
            response: Any = None
            try:
                _check_address(place)
                response = self._open(place)
                if target := response.get_redirect_location():
                    retries, place = retries.increment("GET", place, response=response), urljoin(place, target)
                    continue
                if response.status in FOR_A_WHILE:
                    retries = retries.increment("GET", place, response=response)
                    self._wait(retries, response)
                    continue
                return _checked(self._read(response), kind, response.headers.get("Content-Type", ""))
            except Refused as error:
                raise Rejected(f"not a public address: {error}") from None
            except (MaxRetryError, SSLError, LocationValueError) as error:
                raise Rejected(_reason(error, response, self.limits)) from None
            except HTTPError as error:
                try:
                    retries = retries.increment("GET", place, error=error)
                except HTTPError:
                    raise Rejected(_reason(error, None, self.limits)) from None
                self._wait(retries)
            except (OSError, ValueError, HTTPException) as error:  # an answer that is no HTTP, a name that is no name
                raise Rejected(f"no answer that can be read: {error}"[:200]) from None
            finally:
                if response is not None:
                    response.close()  # what is left of a body isn't waited for

    def _retries(self) -> Retry:
        most, limits = self.limits.retries, self.limits
        return Retry(
            None, connect=most, read=most, status=most, other=most, redirect=limits.redirects,
            backoff_factor=limits.backoff, backoff_max=int(LONGEST_WAIT),
        )  # fmt: skip

    def _open(self, address: str) -> Any:
        timeout = Timeout(connect=self.limits.timeout, read=self.limits.timeout)
        return self.pools.request(
            "GET", address, headers=HEADERS, timeout=timeout, preload_content=False, redirect=False, retries=False
        )

    def _read(self, response: Any) -> bytes:
        """The body, piece by piece. Raises Rejected where it is none, or too much of it."""
        most, end = self.limits.file_bytes, time.monotonic() + self.limits.seconds
        if response.status != HTTPStatus.OK:
            raise Rejected(f"{response.status} {response.reason or ''}".strip())
        if (named := _content_type(response.headers.get("Content-Type", ""))) in PAGES:
            raise Rejected(f"neither picture nor recording: {named}")
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise Rejected(f"compressed, which wasn't asked for: {response.headers['Content-Encoding'][:40]}")
        if (announced := response.length_remaining) is not None and announced > most:
            raise Rejected(f"too large: {announced:,} bytes, expected at most {most:,}")
        content = bytearray()
        while piece := response.read1(PIECE, decode_content=False):
            content += piece
            if len(content) > most:
                raise Rejected(f"too large: more than {most:,} bytes")
            if self.stopped.is_set() or time.monotonic() > end:
                raise Rejected(f"too slow: {len(content):,} bytes in {self.limits.seconds:g} seconds")
        if announced is not None and len(content) < announced:
            raise IncompleteRead(len(content), announced - len(content))
        return bytes(content)

    def _wait(self, retries: Retry, response: Any = None) -> None:
        """Until the next attempt: as long as the server asks for, or longer each time."""
        asked = retries.get_retry_after(response) if response is not None else None
        self.stopped.wait(min(retries.get_backoff_time() if asked is None else asked, LONGEST_WAIT))
        if self.stopped.is_set():
            raise Rejected("stopped")


def _check_address(address: str) -> None:
    """Raise Rejected where this is no address in the web."""
    try:
        parsed = parse_url(address)
    except HTTPError:
        raise Rejected(f"not an address: {address[:80]}") from None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise Rejected(f"not an address in the web: {address[:80]}")


def _checked(content: bytes, kind: str, content_type: str) -> Download:
    """A body that is what it should be. Raises Rejected with the decoder's reason."""
    if not content:
        raise Rejected("the file is empty")
    try:
        file_format = _image_format(content) if kind == IMAGE else _audio_format(content)
    except (Unreadable, ValueError) as error:
        raise Rejected(str(error)) from None
    return Download(content, SUFFIXES[file_format], _content_type(content_type))


def _image_format(content: bytes) -> str:
    part: Any = load_modality(IMAGE)
    part.decode(part.Settings(column=IMAGE, size=8), content)
    with Image.open(io.BytesIO(content), formats=part.FORMATS) as picture:
        return str(picture.format)


def _audio_format(content: bytes) -> str:
    import soundfile

    audio_ops.read(content)
    with soundfile.SoundFile(io.BytesIO(content)) as file:
        return str(file.format)


def _content_type(header: str) -> str:
    return header.partition(";")[0].strip().lower()[:80]


def _reason(error: Exception, response: Any, limits: Limits) -> str:
    """What went wrong, in few words, the same ones for the same cause."""
    if isinstance(error, MaxRetryError):
        is_redirect = response is not None and response.get_redirect_location()
        if is_redirect:
            return f"too many redirections: more than {limits.redirects}"
        return f"{response.status} {response.reason or ''}".strip() if response is not None else "no answer"
    if isinstance(error, IncompleteRead) or any(isinstance(part, IncompleteRead) for part in error.args):
        return "cut off: the body ended before its announced length"
    cause = next(iter(str(error).splitlines()), "").rpartition("): ")[2][:120] or type(error).__name__
    return f"{next((text for kind, text in KINDS if isinstance(error, kind)), 'no connection')}: {cause}"
