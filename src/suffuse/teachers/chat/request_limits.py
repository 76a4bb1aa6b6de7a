"""Limits of what is asked of an endpoint: requests and tokens in all, and requests a minute."""

from __future__ import annotations

import time
from threading import Event, Lock


class BudgetSpent(Exception):
    """The next request would go beyond the budget."""


class Budget:
    """Requests and tokens that may be used, by several threads. What is under way counts with its estimate."""

    def __init__(self, max_requests: int | None, max_tokens: int | None, requests: int = 0, tokens: int = 0):
        """``requests``, ``tokens``: what was used before."""
        self.max_requests, self.max_tokens = max_requests, max_tokens
        self.requests, self.tokens = requests, tokens
        self.lock = Lock()

    def reserve(self, tokens: int) -> None:
        """Count a request of so many tokens. Raises BudgetSpent where there is no room for it."""
        with self.lock:
            if self.max_requests is not None and self.requests + 1 > self.max_requests:
                raise BudgetSpent(f"max_requests: {self.max_requests:,}")
            if self.max_tokens is not None and self.tokens + tokens > self.max_tokens:
                raise BudgetSpent(f"max_tokens: {self.max_tokens:,}, {self.tokens:,} of them used or under way")
            self.requests += 1
            self.tokens += tokens

    def settle(self, reserved: int, used: int) -> None:
        """Replace the estimate of a request by what it used."""
        with self.lock:
            self.tokens += used - reserved


class RateLimit:
    """Lets requests of several threads through one after the other, evenly spread."""

    def __init__(self, requests_per_minute: float | None):
        self.interval = 60 / requests_per_minute if requests_per_minute else 0.0
        self.next = 0.0  # when the next request may start, by the monotonic clock
        self.lock = Lock()

    def hold(self, seconds: float) -> None:
        """No request starts before these seconds have passed: the endpoint asks for it."""
        with self.lock:
            self.next = max(self.next, time.monotonic() + seconds)

    def wait(self, stopped: Event) -> None:
        """Until the next request may start, or ``stopped`` is set."""
        with self.lock:
            now = time.monotonic()
            start = max(self.next, now)
            self.next = max(self.next, start + self.interval) if self.interval else self.next
        if start > now:
            stopped.wait(start - now)
