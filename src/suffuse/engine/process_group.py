"""Several processes that share one training, over gloo, and what they exchange.

Every process holds the whole student and takes its part of the work on every batch
(:mod:`suffuse.engine.distributed_forward`); their gradients are summed, so each makes the same step. The first process
leads: it validates, decides, writes and reports.

torch's DistributedDataParallel is not used: it averages gradients of losses on parts of the batch, which is another
loss wherever rows are compared with each other.
"""

# pyright: reportUnknownMemberType=false
# (torch annotates from_numpy, tolist and manual_seed in part)

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Generator, Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch._C._distributed_c10d import FileStore

from ..errors import SuffuseError
from ..types import Split

PATIENCE = timedelta(minutes=30)  # that a process waits for what another one computes; one that died is seen at once
FOR_ORDERS = timedelta(days=30)  # while the first process does what it does alone


class Lost(SuffuseError):
    """Another process of the group is gone."""

    lost = True  # that one is the cause


@dataclass(frozen=True)
class Group:
    """This process among those that share a training; with one process every method is free."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this one leads."""
        return self.rank == 0

    @property
    def split(self) -> Split | None:
        """How batches are split over the group; None with one process."""
        return Split(self.rank, self.size) if self.size > 1 else None

    def broadcast(self, value: Any) -> Any:
        """The first process's value in all of them: numbers, text, lists, dictionaries of them."""
        return _broadcast_json(value, None) if self.size > 1 else value

    def start(self) -> None:
        """Seed each process for the dropout of its own part; the first one's random state is unchanged."""
        if self.rank:
            torch.manual_seed((torch.initial_seed() * 1_000_003 + self.rank) % 2**63)

    def random_states(self) -> Tensor:
        """The random state of every process: (S,) alone, (N, S) of several."""
        own_state = torch.get_rng_state()
        return torch.stack(_all_gather(own_state)) if self.size > 1 else own_state

    def set_random_state(self, states: Tensor) -> None:
        """Restore this process's state from :meth:`random_states`."""
        torch.set_rng_state(states[self.rank].clone() if self.size > 1 else states)

    def sum_gradients(self, partial: Iterable[nn.Parameter], replicated: Iterable[nn.Parameter], due: bool) -> bool:
        """Sum the gradients of ``partial`` parameters over the processes; those of ``replicated`` ones, which all
        processes computed, become the first one's. A parameter without a gradient in every process gets none.

        Returns the first process's ``due``, which is sent along.
        """
        if self.size == 1:
            return due
        counted = [(p, True) for p in partial if p.requires_grad]
        counted += [(p, self.first) for p in replicated if p.requires_grad]
        dtype = counted[0][0].dtype
        has_grad = [float(p.grad is not None and counts) for p, counts in counted]
        flags = torch.tensor([*has_grad, float(due and self.first)], dtype=dtype)
        grads = [
            cast(Tensor, p.grad).flatten().to(dtype) if own_grad else p.new_zeros(p.numel(), dtype=dtype)
            for (p, _), own_grad in zip(counted, has_grad, strict=True)
        ]
        sums = summed(torch.cat([flags, *grads]))
        flags, values = sums[: len(flags)], sums[len(flags) :]
        parts = torch.split(values, [p.numel() for p, _ in counted])
        any_grad = cast("list[float]", flags.tolist())
        for (parameter, _), flag, part in zip(counted, any_grad, parts, strict=False):
            parameter.grad = part.reshape(parameter.shape).to(parameter.dtype).clone() if flag else None
        return bool(flags[-1])


_current: ContextVar[Group] = ContextVar("current", default=Group())  # noqa: B039 - frozen


def current() -> Group:
    """The group that this process is in."""
    return _current.get()


@contextlib.contextmanager
def join_group(rank: int, size: int, file: Path | None, patience: timedelta = PATIENCE) -> Generator[Group]:
    """Puts this process into a group: of those that name the same new file, or (None) of those that a launcher started
    with ``MASTER_ADDR`` and related variables."""
    if file is not None:  # on this machine alone: nothing listens to a network
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo0" if os.uname().sysname == "Darwin" else "lo")
    store = FileStore(str(file), size) if file is not None else None
    with _raise_lost():
        dist.init_process_group("gloo", rank=rank, world_size=size, timeout=patience, store=store)
    token = _current.set(Group(rank, size))
    try:
        yield _current.get()
    finally:
        _current.reset(token)
        dist.destroy_process_group()


def order_channel(say: Any = None) -> Callable[[Any], Any]:
    """A channel by which the first process sends the others their next order; they wait for it without a time-out."""
    with _raise_lost():
        channel = dist.new_group(timeout=FOR_ORDERS)
    return lambda value: _broadcast_json(value, channel)


def summed(x: Tensor) -> Tensor:
    """The sum over the processes, bit-identical in all of them. ``x`` is overwritten."""
    with _raise_lost():
        dist.all_reduce(x)
    return x


def highest(x: Tensor) -> Tensor:
    """The elementwise maximum over the processes. ``x`` is overwritten."""
    with _raise_lost():
        dist.all_reduce(x, dist.ReduceOp.MAX)
    return x


def _all_gather(x: Tensor) -> list[Tensor]:
    """Every process's tensor, all of one shape."""
    tensors = [torch.empty_like(x) for _ in range(dist.get_world_size())]
    with _raise_lost():
        dist.all_gather(tensors, x.contiguous())
    return tensors


def gather_ragged(x: Tensor, sizes: list[int]) -> list[Tensor]:
    """Every process's values (n_r,), whose counts all processes know."""
    longest = max(sizes)
    padded = torch.cat([x, x.new_zeros(longest - len(x))]) if len(x) < longest else x
    return [gathered[:size] for gathered, size in zip(_all_gather(padded), sizes, strict=True)]


def _broadcast_json(value: Any, channel: Any) -> Any:
    """The first process's value, as JSON: nothing is unpickled."""
    import json

    content = json.dumps(value).encode() if dist.get_rank() == 0 else b""
    with _raise_lost():
        length = torch.tensor([len(content)])
        dist.broadcast(length, 0, group=channel)
        buffer = torch.zeros(int(length.item()), dtype=torch.uint8)
        if content:
            buffer.copy_(torch.frombuffer(bytearray(content), dtype=torch.uint8))
        dist.broadcast(buffer, 0, group=channel)
    return json.loads(buffer.numpy().tobytes())


@contextlib.contextmanager
def _raise_lost() -> Generator[None]:
    """Raise :class:`Lost`, in one line, where gloo reports that a process is gone."""
    try:
        yield
    except RuntimeError as error:
        raise Lost(
            "another process of this training ended, or didn't answer in time",
            got=str(error).splitlines()[0],
            hint="call it again: it goes on from here",
        ) from None
