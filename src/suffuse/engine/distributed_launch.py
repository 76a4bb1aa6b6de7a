"""Trainings in processes that ``torchrun`` or ``accelerate launch`` started, on one machine or on several that share
the run's folder. The first process runs the stage and sends each training to the others."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from contextvars import ContextVar
from importlib import import_module
from typing import Any

_call: ContextVar[Callable[[Any], Any] | None] = ContextVar("call", default=None)


@contextlib.contextmanager
def leader(size: int) -> Generator[None]:
    """The first process: inside, :func:`run_together` sends jobs to the others. They end when it exits."""
    from .process_group import Lost, join_group, order_channel

    with join_group(0, size, None):
        call = order_channel()
        token = _call.set(call)
        try:
            yield
        finally:
            _call.reset(token)
            with contextlib.suppress(Lost):
                call(None)


def follow(rank: int, size: int) -> None:
    """Another process: do the first one's jobs until it ends."""
    from .process_group import join_group, order_channel

    with join_group(rank, size, None):
        next_order = order_channel()
        while order := next_order(None):
            import_function(order["function"])(order["job"], _ignore_progress)


def is_leader() -> bool:
    """Whether this process leads a group."""
    return _call.get() is not None


def run_together(function: str, jobs: list[dict[str, Any]], tell: Callable[[float, str], None]) -> None:
    """One job after the other, each by all processes."""
    call = _call.get()
    assert call
    run_sequentially(function, jobs, tell, lambda job: call({"function": function, "job": job}))


def run_sequentially(
    function: str,
    jobs: list[dict[str, Any]],
    tell: Callable[[float, str], None],
    first: Callable[[dict[str, Any]], Any] = lambda job: None,
) -> None:
    """One job after the other, in this process; ``first`` is called with each before."""
    for number, job in enumerate(jobs):
        first(job)

        def part(share: float, words: str, done: int = number) -> None:
            tell((done + share) / len(jobs), words)

        import_function(function)(dict(job), part)


def import_function(function: str) -> Callable[[dict[str, Any], Callable[[float, str], None]], None]:
    """The function that ``module:name`` names."""
    module, name = function.split(":")
    return getattr(import_module(module), name)


def _ignore_progress(share: float, words: str) -> None:
    """The first process reports."""
