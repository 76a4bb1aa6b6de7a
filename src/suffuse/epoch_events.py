"""Epochs of the trainings, told to callbacks: in the process that called the pipeline, wherever a training runs.

A callback is an object with ``on_epoch_end(epoch)``. An exception of its own stops the run, which can be continued.
After a kill an epoch may be told again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Epoch:
    """One epoch of one training."""

    training: str  # teacher, student/seed-1, baseline/seed-1, only-NAME/seed-1, ...
    number: int  # from 1
    epochs: int  # of the whole training, if it doesn't stop early
    loss: float  # the weighted sum of the losses, a mean over the epoch
    losses: Mapping[str, float]  # each loss's share of that
    validation: Mapping[str, float]  # the main metric first, and ``log_loss``

    @property
    def score(self) -> float:
        """The main metric on validation rows."""
        return next(iter(self.validation.values()))


class Callback(Protocol):
    """What is told of epochs."""

    def on_epoch_end(self, epoch: Epoch) -> None:
        """An epoch of a training ended, and was validated."""
        ...


_callbacks: ContextVar[tuple[Callback, ...]] = ContextVar("callbacks", default=())
_forward: list[Callable[[dict[str, Any]], None]] = []  # of a worker: to the process that has the callbacks


@contextlib.contextmanager
def listening(callbacks: Sequence[Callback]) -> Iterator[None]:
    """Inside, these callbacks are told of epochs, beside those of the contexts around it."""
    token = _callbacks.set((*_callbacks.get(), *callbacks))
    try:
        yield
    finally:
        _callbacks.reset(token)


def forward(send: Callable[[dict[str, Any]], None]) -> None:
    """From now on epochs of this process are sent elsewhere, as JSON holds them."""
    _forward[:] = [send]


def tell_epoch(epoch: Epoch) -> None:
    """Tell the callbacks, or send it to them."""
    for send in _forward:
        send(asdict(epoch))
    for callback in _callbacks.get():
        callback.on_epoch_end(epoch)


def received(facts: dict[str, Any]) -> None:
    """Tell the callbacks what a worker sent."""
    tell_epoch(Epoch(**facts))
