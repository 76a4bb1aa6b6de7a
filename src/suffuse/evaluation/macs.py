"""Multiplications ("MACs") of networks, and how many rows a costly probe may look at for them.

They are counted operator by operator by PyTorch's flop counter (a multiplication with the addition that follows is two
flops) on one row that has every modality, as it comes alone, without padding: convolutions, matrix products, attention,
recurrent cells. Biases, norms, activations, embeddings and softmax are not counted. A number of rows that comes from
them depends on recipe and data, and never on how fast the machine was that day.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from ..data.columns import Columns
from ..model import FusionModel
from .context import LEAST, Context, Member, Model
from .model_adapters import Exported, Network
from .single_row_feeds import feed

BUDGET = 2e11  # multiplications that one probe may spend on all models


@dataclass(frozen=True)
class Work:
    """Multiplications of one row."""

    whole: int = 0
    fusion: int = 0  # of them, those after the encoders


def affordable(context: Context, cost: Callable[[Member, Work], float], most: int) -> int:
    """Rows, at most so many and 64 at least, that fit the budget, where one costs ``cost`` of each member of the main
    models."""
    members = [member for model in context.main() for member in model.members.values()]
    total = sum(cost(member, of(context, member)) for member in members)
    return max(min(most, int(BUDGET / max(total, 1))), LEAST)


def of(context: Context, member: Member) -> Work:
    """One row's; an exported form has its student's, a teacher from outside nothing that is known."""
    if isinstance(member, Exported):
        member = (
            next(iter(context.models["student"].members.values()), member) if "student" in context.models else member
        )
    if not isinstance(member, Network):
        return Work()
    key = ("work", member.folder)
    if key not in context.memory:
        model, _ = member.opened
        context.memory[key] = counted(model, member.columns.of(model.spec.names))
    return context.memory[key]


def of_model(context: Context, model: Model) -> Work:
    """Of its first seed."""
    return of(context, next(iter(model.members.values())))


def counted(model: FusionModel, columns: Columns) -> Work:
    """Multiplications of the first row that has most; all entries are read as they are stored."""
    row = int(columns.present.sum(1).argmax())
    entries, present = feed(columns, row)
    alone = replace(
        columns,
        entries=entries,
        entry=np.zeros((1, len(entries)), dtype=np.int64),
        present=np.ones_like(present),
        target=columns.target[row : row + 1],
        ready=frozenset(),
    )
    batch = alone.batch(np.zeros(1, dtype=np.int64))
    with counting() as counter:
        encoded = model.encode(batch)
    before = counter.get_total_flops() // 2
    with counting() as counter:
        model.fuse(encoded, batch.present)
    after = counter.get_total_flops() // 2
    return Work(before + after, after)


@contextlib.contextmanager
def counting() -> Iterator[Any]:
    """A flop counter; without oneDNN a recurrent cell is the matrix products that it is made of."""
    from torch.utils.flop_counter import FlopCounterMode

    with warnings.catch_warnings(), torch.no_grad(), FlopCounterMode(display=False) as counter:
        warnings.simplefilter("ignore")
        with torch.backends.mkldnn.flags(enabled=False):
            yield counter
