"""Requests to an OpenAI-compatible ``/chat/completions``: with a time limit, retries and a key that goes nowhere else.

The key is a header of requests to the one address that the recipe names. Redirects aren't followed. The key is removed
from every body before anything reads it, so that an endpoint which repeats it puts it into no log and no error.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException
from threading import Event
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from urllib3 import PoolManager
from urllib3.exceptions import HTTPError
from urllib3.util import Retry, Timeout

from ... import __version__
from ...errors import SuffuseError, UsageError
from .request_limits import Budget, RateLimit

FOR_A_WHILE = (408, 409, 425, 429, 500, 502, 503, 504, 529)  # statuses that may be another one later
KEY = (401, 403)
LONGEST_WAIT = 120.0  # seconds before another attempt, whatever the endpoint asks for
MAX_BYTES = 16 * 2**20  # of an answer
PIECE = 2**16
HIDDEN = b"[key]"  # what stands for the key in a body that repeats it
FILTERED = ("content_filter", "content_policy", "ResponsibleAIPolicyViolation")  # error codes of refused content


class Rejected(Exception):
    """The endpoint takes this request not at all; another may do."""

    def __init__(self, status: int, message: str):
        super().__init__(f"{status} {message}".strip())
        self.filtered = any(code in message for code in FILTERED)


class NoAnswer(Exception):
    """All attempts failed."""


class Stopped(Exception):
    """The session ends: nothing is asked any more."""


@dataclass(frozen=True)
class Endpoint:
    """Where questions go, and how patiently."""

    url: str  # base, without /chat/completions
    timeout: float = 120.0  # seconds of an attempt
    retries: int = 5
    backoff: float = 1.0  # seconds before the second attempt, doubled each time
    parallel: int = 4
    where: str = "teacher"  # the recipe's key, for errors

    @property
    def address(self) -> str:
        """Of the requests."""
        parts = urlsplit(self.url)
        return urlunsplit(parts._replace(path=parts.path.rstrip("/") + "/chat/completions"))

    @property
    def host(self) -> str:
        """Name and port, for messages."""
        return urlsplit(self.url).netloc


@dataclass(frozen=True)
class Reply:
    """A body as it came, and what it took."""

    body: Any  # parsed JSON; None where it is none
    tokens: int  # of prompt and answer, as the endpoint counts; else the estimate
    attempts: int


class ChatClient:
    """Asks from several threads."""

    def __init__(self, endpoint: Endpoint, budget: Budget, rate: RateLimit):
        self.endpoint, self.budget, self.rate = endpoint, budget, rate
        self.stopped = Event()
        self.pool = PoolManager(maxsize=endpoint.parallel, retries=False)
        self.headers = {"User-Agent": f"suffuse/{__version__}", "Content-Type": "application/json"}
        self.key = ""

    def authorise(self, key: str) -> None:
        """Send this key with every request; none where it is empty."""
        self.key = key
        if key:
            self.headers["Authorization"] = f"Bearer {key}"

    def complete(self, body: dict[str, Any], tokens: int) -> Reply:
        """The reply to a request of about so many tokens.

        Raises Rejected, NoAnswer, BudgetSpent and Stopped; SuffuseError or UsageError where no other request would be
        answered either.
        """
        content = json.dumps(body).encode()
        retries = Retry(self.endpoint.retries, backoff_factor=self.endpoint.backoff, backoff_max=int(LONGEST_WAIT))
        attempts = 0
        while True:
            self.rate.wait(self.stopped)
            if self.stopped.is_set():
                raise Stopped
            self.budget.reserve(tokens)
            used, attempts, response = 0, attempts + 1, None
            try:
                response = self._open(content)
                raw = self._read(response)
                if response.status == HTTPStatus.OK:
                    parsed = _parsed(raw)
                    used = _used(parsed, tokens)
                    return Reply(parsed, used, attempts)
                reason = f"{response.status} {_message(raw)}".strip()
                if response.status not in FOR_A_WHILE:
                    raise self._refusal(response, _message(raw))
            except (HTTPError, HTTPException, OSError) as error:
                reason = _cause(error)
            finally:
                self.budget.settle(tokens, used)
                if response is not None:
                    response.close()
            try:
                retries = retries.increment("POST", self.endpoint.address)
            except HTTPError:
                raise NoAnswer(reason) from None
            self._wait(retries, response)

    def _open(self, content: bytes) -> Any:
        timeout = Timeout(connect=min(self.endpoint.timeout, 30.0), read=self.endpoint.timeout)
        return self.pool.request(
            "POST", self.endpoint.address, body=content, headers=self.headers, timeout=timeout,
            preload_content=False, redirect=False, retries=False,
        )  # fmt: skip

    def _read(self, response: Any) -> bytes:
        """The body, without the key. Raises OSError where it is too large or too slow."""
        end, content = time.monotonic() + self.endpoint.timeout, bytearray()
        while piece := response.read1(PIECE):
            content += piece
            if len(content) > MAX_BYTES:
                raise OSError(f"an answer of more than {MAX_BYTES:,} bytes")
            if time.monotonic() > end:
                raise OSError(f"no whole answer in {self.endpoint.timeout:g} seconds")
        key = self.key.encode()
        return bytes(content).replace(key, HIDDEN) if key else bytes(content)

    def _wait(self, retries: Retry, response: Any) -> None:
        """Until the next attempt: as long as the endpoint asks for, and then for all threads, or longer each time."""
        asked = None
        if response is not None:
            try:
                asked = retries.get_retry_after(response)
            except HTTPError:  # neither seconds nor a date
                asked = None
        if asked is not None:
            self.rate.hold(min(asked, LONGEST_WAIT))
        else:
            self.stopped.wait(max(retries.get_backoff_time(), self.endpoint.backoff))

    def _refusal(self, response: Any, message: str) -> Exception:
        """What a status means that stays the same however often it is asked."""
        where, status = self.endpoint.where, response.status
        got = f"{status} {message}".strip()
        if status in KEY:
            state = "refuses the key" if self.key else "asks for a key"
            hint = "api_key_env names the environment variable that holds the key"
            return UsageError(f"the endpoint {state}", where=f"{where}.api_key_env", got=got, hint=hint)
        if 300 <= status < 400:
            place = urlsplit(response.headers.get("Location", ""))
            target = urlunsplit((place.scheme, place.hostname or "", "", "", ""))
            hint = "redirects aren't followed, so that the key goes nowhere else: name the address that it leads to"
            return UsageError("the endpoint redirects", where=f"{where}.url", got=f"{status} to {target}", hint=hint)
        if status in (404, 405):
            hint = "the url ends as the endpoint's base does, mostly in /v1"
            return UsageError("the endpoint has no such address or model", where=f"{where}.url", got=got, hint=hint)
        if status == HTTPStatus.PAYMENT_REQUIRED:
            return SuffuseError("the endpoint wants to be paid", where=f"{where}.url", got=got)
        return Rejected(status, message)


def _parsed(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None


def _used(body: Any, estimate: int) -> int:
    usage = body.get("usage") if isinstance(body, dict) else None
    total = usage.get("total_tokens") if isinstance(usage, dict) else None
    return total if isinstance(total, int) and total >= 0 else estimate


def _message(raw: bytes) -> str:
    """What an endpoint says of an error, in at most 200 characters."""
    body = _parsed(raw)
    error = body.get("error", body) if isinstance(body, dict) else None
    if isinstance(error, dict):
        code = error.get("code")
        text = str(error.get("message") or error.get("detail") or "") + (f" ({code})" if code else "")
    else:
        text = str(error) if error else raw.decode(errors="replace")
    return " ".join(text.split())[:200]


def _cause(error: Exception) -> str:
    """What went wrong with a connection, in few words."""
    text = next(iter(str(error).splitlines()), "").rpartition("): ")[2]
    return text[:120] or type(error).__name__
