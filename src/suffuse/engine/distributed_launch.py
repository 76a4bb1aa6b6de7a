"""Trainings in processes that ``torchrun`` or ``accelerate launch`` started, on one machine or on several that share
the run's folder. The first process does the stage; for each of its trainings it calls the others."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from importlib import import_module
from typing import Any

_call: ContextVar[Callable[[Any], Any] | None] = ContextVar("call", default=None)


@contextlib.contextmanager
def led(size: int) -> Iterator[None]:
    """The first process: inside, :func:`together` calls the others; at the end, however it comes, they may go."""
    from .process_group import Lost, joined, orders

    with joined(0, size, None):
        call = orders()
        token = _call.set(call)
        try:
            yield
        finally:
            _call.reset(token)
            with contextlib.suppress(Lost):
                call(None)


def follow(rank: int, size: int) -> None:
    """Another process: do what the first one says, until it says no more."""
    from .process_group import joined, orders

    with joined(rank, size, None):
        told = orders()
        while order := told(None):
            named(order["function"])(order["job"], _silent)


def leads() -> bool:
    """Whether this process has others to call."""
    return _call.get() is not None


def together(function: str, jobs: list[dict], tell: Callable[[float, str], None]) -> None:
    """One job after the other, each by all processes."""
    call = _call.get()
    assert call
    one_by_one(function, jobs, tell, lambda job: call({"function": function, "job": job}))


def one_by_one(
    function: str,
    jobs: list[dict],
    tell: Callable[[float, str], None],
    first: Callable[[dict], Any] = lambda job: None,
) -> None:
    """One job after the other, in this process; ``first`` is told of each."""
    for number, job in enumerate(jobs):
        first(job)

        def part(share: float, words: str, done: int = number) -> None:
            tell((done + share) / len(jobs), words)

        named(function)(dict(job), part)


def named(function: str) -> Callable[[dict, Callable[[float, str], None]], None]:
    """``module:name``."""
    module, name = function.split(":")
    return getattr(import_module(module), name)


def _silent(share: float, words: str) -> None:
    """The first process tells."""
