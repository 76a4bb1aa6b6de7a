"""A student's pass over a batch that several processes share, exactly as one process would make it.

    distinct entries --encoders--> gathered --fusion, head--> answers gathered --> losses
      each its own                            each its own rows                     all of them, of the whole batch

So losses that compare rows with each other see all rows, an entry that rows share is encoded once in all processes,
and batch statistics are those of all entries. What is gathered is the same everywhere, and so is its gradient: of a
gathered tensor each process passes on its own part of the gradient, and where each process uses all of it for rows of
its own, those gradients are summed first (Shoeybi et al. 2019 split models like this). Only dropout differs: each
process draws its own.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..data.entry_gather import spread
from ..encoders.sync_batch_norm import synchronised
from ..model import FusionModel
from ..types import LOOK, Batch, Encoded, Output, Split
from .process_group import each, highest, summed


def forward(model: FusionModel, batch: Batch, maps: Collection[str]) -> Output:
    """As :meth:`suffuse.model.FusionModel.forward`, of all rows (B), for a batch with a split."""
    split, names, rows = batch.split, model.spec.names, len(batch.present)
    assert split
    entries = encoded(model, batch, maps, split)
    mine, tokens = split.own(rows), getattr(model.part, "TOKENS", False)
    part = [
        model.nothing(n, mine.stop - mine.start, False) if e is None else spread(e, batch.index[n][mine], tokens)
        for n, e in zip(names, used(entries), strict=True)
    ]
    with synchronised(None if split.few(rows) else summed):
        found = model.fuse(part, batch.present[mine], maps)
        learned = model.fuse(part, batch.whole[mine]).logits if batch.learned and batch.whole is not None else None
        halves = [model.fuse(part, half[mine]).logits for half in (() if batch.halves is None else batch.halves)]
    whole = model.answer(part, batch.whole[mine]) if batch.whole is not None and learned is None else learned
    looked = {name: look for name, look in found.maps.items() if name.endswith(LOOK)}
    own = (found.logits, found.fused, found.gates, whole, *halves, *looked.values())
    logits, fused, gates, whole, *more = gathered(own, split, rows)
    halves, looks = tuple(z for z in more[: len(halves)] if z is not None), more[len(halves) :]
    assert logits is not None
    seen = [
        model.nothing(n, rows, n in maps) if e is None else spread(e, batch.index[n], False)
        for n, e in zip(names, entries, strict=True)
    ]
    features = {n: e.vector for n, e in zip(names, seen, strict=True)}
    shown = {n: e.map for n, e in zip(names, seen, strict=True) if e.map is not None}
    shown |= {n: look for n, look in zip(looked, looks, strict=True) if look is not None}
    output = Output(logits, fused, features, gates, head=model.only_head, maps=shown, halves=halves)
    if batch.whole is not None:
        output = replace(output, whole=whole, fewer=(batch.whole != batch.present).any(1))
    if not batch.complete:
        output.present.update(zip(names, batch.present.unbind(1), strict=True))
    return output


def encoded(model: FusionModel, batch: Batch, maps: Collection[str], split: Split) -> list[Encoded | None]:
    """Every modality's distinct entries (U, D_m), of all processes; None where the batch has none of it."""
    found: list[Encoded | None] = []
    for name in model.spec.names:
        if not split.entries.get(name, len(batch.inputs[name])):
            found.append(None)
            continue
        shared = name in split.entries and not split.few(split.entries[name])
        with synchronised(summed if shared else None):
            found.append(model.entries(name, batch, name in maps))
    places = [m for m, name in enumerate(model.spec.names) if name in split.entries and found[m] is not None]
    if not places:
        return found
    tokens = getattr(model.part, "TOKENS", False)
    local = _even([found[m] for m in places], tokens)  # pyright: ignore
    counts = [split.entries[model.spec.names[m]] for m in places]
    flat = [t for e in local for t in (e.vector, e.tokens, e.token_mask, e.map)]
    whole = _gather(flat, [n for n in counts for _ in range(4)], split)
    for at, m in enumerate(places):
        vector, states, mask, strong = whole[4 * at : 4 * at + 4]
        assert vector is not None
        found[m] = Encoded(vector, states, None if mask is None else mask > 0, strong)
    return found


def answers(model: FusionModel, vectors: Tensor, there: Tensor, split: Split | None) -> Tensor:
    """The head's logits (B, C) of joint vectors (B, D) that all processes have; the prior where nothing is there."""
    if split is None:
        return torch.where(there.unsqueeze(1), model.head(vectors), model.log_prior)
    mine = split.own(len(vectors))
    (copied,) = _Used.apply(vectors)
    logits = torch.where(there[mine].unsqueeze(1), model.head(copied[mine]), model.log_prior)
    (found,) = gathered((logits,), split, len(vectors))
    assert found is not None
    return found


def used(entries: list[Encoded | None]) -> list[Encoded | None]:
    """Gathered entries, for this process's rows: what it finds of their gradient is a part of it."""
    flat = [t for e in entries if e is not None for t in (e.vector, e.tokens) if t is not None]
    there = iter(_Used.apply(*flat) if any(t.requires_grad for t in flat) else flat)
    return [
        e if e is None else replace(e, vector=next(there), tokens=None if e.tokens is None else next(there))
        for e in entries
    ]


def gathered(tensors: tuple[Tensor | None, ...], split: Split, rows: int) -> list[Tensor | None]:
    """Each process's own rows (b, ...) -> all rows (B, ...)."""
    return _gather(list(tensors), [rows] * len(tensors), split)


def _gather(tensors: list[Tensor | None], totals: list[int], split: Split) -> list[Tensor | None]:
    """Own things of each tensor, of so many -> all of them, in one exchange."""
    counts = [split.counts(n) for n, t in zip(totals, tensors, strict=True) if t is not None]
    own = [t for t in tensors if t is not None]
    own = [t[: c[split.rank]] for t, c in zip(own, counts, strict=True)]
    there = iter(_Gathered.apply(split.rank, counts, *own))
    return [None if t is None else next(there) for t in tensors]


def _even(found: list[Encoded], tokens: bool) -> list[Encoded]:
    """Without tokens where the fusion reads none; else as many for each process, what is added being masked."""
    if not tokens:
        return [replace(e, tokens=None, token_mask=None) for e in found]
    lengths = highest(torch.tensor([0 if e.tokens is None else e.tokens.shape[1] for e in found])).tolist()
    made = []
    for e, longest in zip(found, lengths, strict=True):
        if e.tokens is not None and e.token_mask is not None:
            more = longest - e.tokens.shape[1]
            states = torch.nn.functional.pad(e.tokens, (0, 0, 0, more))
            mask = torch.nn.functional.pad(e.token_mask, (0, more))
            e = replace(e, tokens=states, token_mask=mask)
        made.append(e)
    return made


class _Gathered(torch.autograd.Function):
    """Own parts -> wholes, the same in every process, as their gradients are: each keeps its part of them."""

    @staticmethod
    def forward(ctx: Any, rank: int, counts: list[tuple[int, ...]], *own: Tensor) -> tuple[Tensor, ...]:
        ctx.rank, ctx.counts = rank, counts
        kind = _kind(own)
        wide = [t[0:1].numel() if len(t) else t.new_zeros(1, *t.shape[1:]).numel() for t in own]
        sizes = [sum(c[r] * w for c, w in zip(counts, wide, strict=True)) for r in range(len(counts[0]))]
        found = each(torch.cat([t.detach().to(kind).flatten() for t in own]), sizes)
        parts = [piece.split([c[r] * w for c, w in zip(counts, wide, strict=True)]) for r, piece in enumerate(found)]
        return tuple(
            torch.cat([part[n] for part in parts]).reshape(-1, *t.shape[1:]).to(t.dtype) for n, t in enumerate(own)
        )

    @staticmethod
    @once_differentiable  # a second derivative would lack the other processes' part
    def backward(ctx: Any, *grads: Tensor) -> tuple:  # pyright: ignore[reportIncompatibleMethodOverride]
        starts = [sum(c[: ctx.rank]) for c in ctx.counts]
        own = (g[s : s + c[ctx.rank]] for g, s, c in zip(grads, starts, ctx.counts, strict=True))
        return (None, None, *own)


class _Used(torch.autograd.Function):
    """Wholes that each process uses for its own rows: their gradients are summed over the processes."""

    @staticmethod
    def forward(ctx: Any, *whole: Tensor) -> tuple[Tensor, ...]:
        return tuple(t.view_as(t) for t in whole)

    @staticmethod
    @once_differentiable  # a second derivative would lack the other processes' part
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        kind = _kind(grads)
        found = summed(torch.cat([g.to(kind).flatten() for g in grads])).split([g.numel() for g in grads])
        return tuple(f.reshape(g.shape).to(g.dtype) for f, g in zip(found, grads, strict=True))


def _kind(tensors: tuple[Tensor, ...]) -> torch.dtype:
    """One that holds them all."""
    return torch.float64 if any(t.dtype == torch.float64 for t in tensors) else torch.float32
