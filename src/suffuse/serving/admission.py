"""Admission control: how many requests, and how many bytes of them, are inside at the same time, and for how long."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

from .http_error import Refusal
from .limits import Limits

RETRY_AFTER = 1  # seconds after which a refused client may try again


@dataclass(eq=False)
class Admission:
    """One admitted request."""

    control: AdmissionControl
    bytes: int = 0
    refusal: Refusal | None = None  # why it gets no answer, although its time isn't over
    timeout: asyncio.Timeout | None = None

    def reserve(self, count: int) -> None:
        """Count so many more bytes of its body. Raises Refusal."""
        if self.control.bytes + count > self.control.limits.memory:
            raise Refusal(429, "out_of_memory", "the server holds as many bytes as it may", "try again", RETRY_AFTER)
        self.bytes += count
        self.control.bytes += count

    @contextlib.asynccontextmanager
    async def time_limit(self, seconds: float) -> AsyncIterator[None]:
        """Raises TimeoutError after so many seconds, Refusal where the request was cancelled before."""
        try:
            async with asyncio.timeout(0 if self.refusal else seconds) as self.timeout:
                yield
        except TimeoutError:
            if self.refusal:
                raise self.refusal from None
            raise
        finally:
            self.timeout = None

    def cancel(self, refusal: Refusal) -> None:
        """End it now: rows that aren't encoded yet never are."""
        self.refusal = self.refusal or refusal
        if self.timeout is not None:
            with contextlib.suppress(RuntimeError):  # its time is just over
                self.timeout.reschedule(0)


class AdmissionControl:
    """Counts the requests inside. It is used on the event loop alone, so it needs no lock."""

    def __init__(self, limits: Limits):
        self.limits, self.bytes = limits, 0
        self.admitted: set[Admission] = set()
        self.refusal: Refusal | None = None  # of every request, once the server stops

    @property
    def requests(self) -> int:
        """How many are inside."""
        return len(self.admitted)

    def cancel_all(self, refusal: Refusal) -> int:
        """Refuse the requests inside and all later ones. Returns how many are inside."""
        self.refusal = refusal
        for admission in self.admitted:
            admission.cancel(refusal)
        return len(self.admitted)

    @contextlib.contextmanager
    def admit(self) -> Iterator[Admission]:
        """Raises Refusal where as many requests are inside as may be."""
        if self.requests >= self.limits.requests:
            message = "the server answers as many requests as it may"
            raise Refusal(429, "too_many_requests", message, "try again", RETRY_AFTER)
        admission = Admission(self, refusal=self.refusal)
        self.admitted.add(admission)
        try:
            yield admission
        finally:
            self.admitted.discard(admission)
            self.bytes -= admission.bytes
