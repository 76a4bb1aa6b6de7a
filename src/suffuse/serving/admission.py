"""The gate: how many requests, and how many bytes of them, are inside at the same time, and how long each may take."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

from .http_error import Refusal
from .limits import Limits

AGAIN = 1  # second after which a client that found it full may try again


@dataclass(eq=False)
class Pass:
    """What one request inside has."""

    gate: Gate
    bytes: int = 0
    ended: Refusal | None = None  # why it gets no answer, although its time isn't over
    clock: asyncio.Timeout | None = None

    def more(self, count: int) -> None:
        """Room for so many more bytes of its body. Raises Refusal."""
        if self.gate.bytes + count > self.gate.limits.memory:
            raise Refusal(429, "out_of_memory", "the server holds as many bytes as it may", "try again", AGAIN)
        self.bytes += count
        self.gate.bytes += count

    @contextlib.asynccontextmanager
    async def within(self, seconds: float) -> AsyncIterator[None]:
        """So many seconds for what is done in here. Raises TimeoutError after them, Refusal where it ended before."""
        try:
            async with asyncio.timeout(0 if self.ended else seconds) as self.clock:
                yield
        except TimeoutError:
            if self.ended:
                raise self.ended from None
            raise
        finally:
            self.clock = None

    def end(self, why: Refusal) -> None:
        """Cancel it: its rows that aren't prepared yet never are."""
        self.ended = self.ended or why
        if self.clock is not None:
            with contextlib.suppress(RuntimeError):  # its time is just over
                self.clock.reschedule(0)


class Gate:
    """Counts. All of it happens on the loop, so nothing needs a lock."""

    def __init__(self, limits: Limits):
        self.limits, self.bytes = limits, 0
        self.inside: set[Pass] = set()
        self.over: Refusal | None = None

    @property
    def requests(self) -> int:
        """How many are inside."""
        return len(self.inside)

    def end(self, why: Refusal) -> int:
        """Refuse whoever is inside or comes from now on. Returns how many are inside."""
        self.over = why
        for one in self.inside:
            one.end(why)
        return len(self.inside)

    @contextlib.contextmanager
    def enter(self) -> Iterator[Pass]:
        """Raises Refusal where it is full."""
        if self.requests >= self.limits.requests:
            raise Refusal(429, "too_many_requests", "the server answers as many requests as it may", "try again", AGAIN)
        one = Pass(self, ended=self.over)
        self.inside.add(one)
        try:
            yield one
        finally:
            self.inside.discard(one)
            self.bytes -= one.bytes
