"""The gate: how many requests, and how many bytes of them, are inside at the same time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from .limits import Limits
from .refusal import Refusal

AGAIN = 1  # second after which a client that found it full may try again


@dataclass
class Pass:
    """What one request inside has."""

    gate: Gate
    bytes: int = 0

    def more(self, count: int) -> None:
        """Room for so many more bytes of its body. Raises Refusal."""
        if self.gate.bytes + count > self.gate.limits.memory:
            raise Refusal(429, "out_of_memory", "the server holds as many bytes as it may", "try again", AGAIN)
        self.bytes += count
        self.gate.bytes += count


class Gate:
    """Counts. All of it happens on the loop, so nothing needs a lock."""

    def __init__(self, limits: Limits):
        self.limits, self.requests, self.bytes = limits, 0, 0

    @contextlib.contextmanager
    def enter(self) -> Iterator[Pass]:
        """Raises Refusal where it is full."""
        if self.requests >= self.limits.requests:
            raise Refusal(429, "too_many_requests", "the server answers as many requests as it may", "try again", AGAIN)
        self.requests += 1
        one = Pass(self)
        try:
            yield one
        finally:
            self.requests -= 1
            self.bytes -= one.bytes
