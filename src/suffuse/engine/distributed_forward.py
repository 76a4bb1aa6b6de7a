"""The forward pass of a student over a batch that several processes share. It equals the pass of one process.

    distinct entries --encoders--> gathered --fusion, head--> logits gathered --> losses
      each its own                            each its own rows                    all of them, of the whole batch

So losses that compare rows with each other see all rows, an entry that rows share is encoded once in all processes,
and batch statistics are those of all entries. A gathered tensor is the same in every process, and so is its gradient:
each process passes on its own part of it. Where each process uses the whole tensor for rows of its own, the gradients
are summed first (Shoeybi et al. 2019 split models like this). Only dropout differs: each process draws its own.
"""

# pyright: reportUnknownMemberType=false
# (torch annotates from_numpy, tolist and manual_seed in part)

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..data.entry_gather import spread
from ..model import FusionModel
from ..sync_batch_norm import synchronised
from ..types import LOOK, Batch, Encoded, Output, Split
from .process_group import gather_ragged, highest, summed


def forward(model: FusionModel, batch: Batch, maps: Collection[str]) -> Output:
    """:meth:`suffuse.model.FusionModel.forward` of all rows (B), for a batch that is split over processes."""
    split, names, rows = batch.split, model.spec.names, len(batch.present)
    assert split
    entries = encode_entries(model, batch, maps, split)
    own_rows, tokens = split.own(rows), model.part.TOKENS
    count = own_rows.stop - own_rows.start
    encodings = [
        model.nothing(n, count, False) if e is None else spread(e, batch.index[n][own_rows], tokens)
        for n, e in zip(names, with_summed_gradients(entries), strict=True)
    ]
    with synchronised(None if split.few(rows) else summed):
        own = model.fuse(encodings, batch.present[own_rows], maps)
        full_logits = None
        if batch.train_full and batch.full_present is not None:
            full_logits = model.fuse(encodings, batch.full_present[own_rows]).logits
        masks = () if batch.complementary_masks is None else batch.complementary_masks
        subset_logits = [model.fuse(encodings, mask[own_rows]).logits for mask in masks]
    if batch.full_present is not None and full_logits is None:
        full_logits = model.inference_logits(encodings, batch.full_present[own_rows])
    own_looks = {name: look for name, look in own.maps.items() if name.endswith(LOOK)}
    own_logits = [*subset_logits, *own.unimodal_logits]
    own_tensors = (own.logits, own.fused, own.gates, full_logits, *own_logits, *own_looks.values())
    logits, fused, gates, full_logits, *rest = gather_rows(own_tensors, split, rows)
    more_logits, looks = tuple(z for z in rest[: len(own_logits)] if z is not None), rest[len(own_logits) :]
    subset_logits, unimodal_logits = more_logits[: len(masks)], more_logits[len(masks) :]
    assert logits is not None
    gathered_entries = [
        model.nothing(n, rows, n in maps) if e is None else spread(e, batch.index[n], False)
        for n, e in zip(names, entries, strict=True)
    ]
    features = {n: e.vector for n, e in zip(names, gathered_entries, strict=True)}
    gathered_maps = {n: e.map for n, e in zip(names, gathered_entries, strict=True) if e.map is not None}
    gathered_maps |= {n: look for n, look in zip(own_looks, looks, strict=True) if look is not None}
    output = Output(
        logits, fused, features, gates, head=model.only_head, maps=gathered_maps, complementary_logits=subset_logits,
        unimodal_logits=unimodal_logits,
    )  # fmt: skip
    if batch.full_present is not None:
        output = replace(output, full_logits=full_logits, is_partial=(batch.full_present != batch.present).any(1))
    if not batch.complete:
        output.present.update(zip(names, batch.present.unbind(1), strict=True))
    return output


def encode_entries(model: FusionModel, batch: Batch, maps: Collection[str], split: Split) -> list[Encoded | None]:
    """Every modality's distinct entries (U, D_m), of all processes; None where the batch has none."""
    entries: list[Encoded | None] = []
    for name in model.spec.names:
        if not split.entries.get(name, len(batch.inputs[name])):
            entries.append(None)
            continue
        shared = name in split.entries and not split.few(split.entries[name])
        with synchronised(summed if shared else None):
            entries.append(model.entries(name, batch, name in maps))
    shared_modalities = [
        m for m, name in enumerate(model.spec.names) if name in split.entries and entries[m] is not None
    ]
    if not shared_modalities:
        return entries
    tokens = model.part.TOKENS
    local = _pad_tokens([entries[m] for m in shared_modalities], tokens)  # pyright: ignore
    counts = [split.entries[model.spec.names[m]] for m in shared_modalities]
    flat = [t for e in local for t in (e.vector, e.tokens, e.token_mask, e.map)]
    gathered_tensors = _all_gather(flat, [n for n in counts for _ in range(4)], split)
    for at, m in enumerate(shared_modalities):
        vector, states, mask, strong = gathered_tensors[4 * at : 4 * at + 4]
        assert vector is not None
        entries[m] = Encoded(vector, states, None if mask is None else mask > 0, strong)
    return entries


def head_logits(model: FusionModel, vectors: Tensor, any_present: Tensor, split: Split | None) -> Tensor:
    """The head's logits (B, C) of joint vectors (B, D) that all processes have; the prior where no modality is
    present."""
    if split is None:
        return torch.where(any_present.unsqueeze(1), model.head(vectors), model.log_prior)
    own_rows = split.own(len(vectors))
    (summing_vectors,) = _SumGradients.apply(vectors)
    logits = torch.where(any_present[own_rows].unsqueeze(1), model.head(summing_vectors[own_rows]), model.log_prior)
    (all_logits,) = gather_rows((logits,), split, len(vectors))
    assert all_logits is not None
    return all_logits


def with_summed_gradients(entries: list[Encoded | None]) -> list[Encoded | None]:
    """Gathered entries as this process uses them for its own rows: their gradient is summed over the processes."""
    flat = [t for e in entries if e is not None for t in (e.vector, e.tokens) if t is not None]
    tensors = iter(_SumGradients.apply(*flat) if any(t.requires_grad for t in flat) else flat)
    return [
        e if e is None else replace(e, vector=next(tensors), tokens=None if e.tokens is None else next(tensors))
        for e in entries
    ]


def gather_rows(tensors: tuple[Tensor | None, ...], split: Split, row_count: int) -> list[Tensor | None]:
    """Each process's own rows (b, ...) -> all rows (B, ...)."""
    return _all_gather(list(tensors), [row_count] * len(tensors), split)


def _all_gather(tensors: list[Tensor | None], totals: list[int], split: Split) -> list[Tensor | None]:
    """This process's part of each tensor, whose totals are given -> the whole tensors, in one exchange."""
    counts = [split.counts(n) for n, t in zip(totals, tensors, strict=True) if t is not None]
    own_parts = [t for t in tensors if t is not None]
    own_parts = [t[: c[split.rank]] for t, c in zip(own_parts, counts, strict=True)]
    wholes = iter(_AllGather.apply(split.rank, counts, *own_parts))
    return [None if t is None else next(wholes) for t in tensors]


def _pad_tokens(entries: list[Encoded], tokens: bool) -> list[Encoded]:
    """Encodings without tokens where the fusion reads none; else padded, with a mask, to the same length in all
    processes."""
    if not tokens:
        return [replace(e, tokens=None, token_mask=None) for e in entries]
    own_lengths = torch.tensor([0 if e.tokens is None else e.tokens.shape[1] for e in entries])
    lengths = cast("list[int]", highest(own_lengths).tolist())
    padded: list[Encoded] = []
    for e, longest in zip(entries, lengths, strict=True):
        if e.tokens is not None and e.token_mask is not None:
            padding = longest - e.tokens.shape[1]
            states = torch.nn.functional.pad(e.tokens, (0, 0, 0, padding))
            mask = torch.nn.functional.pad(e.token_mask, (0, padding))
            e = replace(e, tokens=states, token_mask=mask)
        padded.append(e)
    return padded


class _AllGather(torch.autograd.Function):
    """Parts -> wholes, the same in every process. Backward, each process takes its part of the gradient."""

    @staticmethod
    def forward(ctx: Any, rank: int, counts: list[tuple[int, ...]], *own: Tensor) -> tuple[Tensor, ...]:
        ctx.rank, ctx.counts = rank, counts
        dtype = _common_dtype(own)
        widths = [t[0:1].numel() if len(t) else t.new_zeros(1, *t.shape[1:]).numel() for t in own]
        sizes = [sum(c[r] * w for c, w in zip(counts, widths, strict=True)) for r in range(len(counts[0]))]
        pieces = gather_ragged(torch.cat([t.detach().to(dtype).flatten() for t in own]), sizes)
        sections = [[c[r] * w for c, w in zip(counts, widths, strict=True)] for r in range(len(pieces))]
        parts = [torch.split(piece, lengths) for piece, lengths in zip(pieces, sections, strict=True)]
        return tuple(
            torch.cat([part[n] for part in parts]).reshape(-1, *t.shape[1:]).to(t.dtype) for n, t in enumerate(own)
        )

    @staticmethod
    @once_differentiable  # a second derivative would lack the other processes' part
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        starts = [sum(c[: ctx.rank]) for c in ctx.counts]
        own_grads = (g[s : s + c[ctx.rank]] for g, s, c in zip(grads, starts, ctx.counts, strict=True))
        return (None, None, *own_grads)


class _SumGradients(torch.autograd.Function):
    """The identity on tensors that each process uses for its own rows. Backward, gradients are summed over the
    processes."""

    @staticmethod
    def forward(ctx: Any, *tensors: Tensor) -> tuple[Tensor, ...]:
        return tuple(t.view_as(t) for t in tensors)

    @staticmethod
    @once_differentiable  # a second derivative would lack the other processes' part
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        dtype = _common_dtype(grads)
        total = summed(torch.cat([g.to(dtype).flatten() for g in grads]))
        sums = torch.split(total, [g.numel() for g in grads])
        return tuple(f.reshape(g.shape).to(g.dtype) for f, g in zip(sums, grads, strict=True))


def _common_dtype(tensors: tuple[Tensor, ...]) -> torch.dtype:
    """The dtype that holds all of them."""
    return torch.float64 if any(t.dtype == torch.float64 for t in tensors) else torch.float32
