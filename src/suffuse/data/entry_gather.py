"""Moves entries to their places: among others of their row, or to the rows that have them; zeros elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ..types import Batch, Encoded


def put(encoded: Encoded, places: Tensor, count: int) -> Encoded:
    """Entries (n, ...) at their places among (count, ...) zeros."""

    def placed(rows: Tensor) -> Tensor:
        return rows.new_zeros(count, *rows.shape[1:]).index_copy(0, places, rows)

    if encoded.tokens is None or encoded.token_mask is None:
        return Encoded(placed(encoded.vector))
    return Encoded(placed(encoded.vector), placed(encoded.tokens), placed(encoded.token_mask))


def only(rows: Tensor, real: Tensor) -> Tensor:
    """(U * P, ...) -> (U, P, ...), zeros where ``real`` (U, P) says so."""
    rows = rows.unflatten(0, real.shape)
    real = real.reshape(*real.shape, *[1] * (rows.dim() - 2))
    if rows.dtype == torch.bool:  # ONNX Runtime chooses between booleans nowhere
        return rows & real
    return torch.where(real, rows, torch.zeros_like(rows))


def blanked(batch: Batch, names: Sequence[str]) -> Batch:
    """Zeros in the slots where a row lacks a modality, of modalities (``names``, as ``present`` has them) whose entries
    stand row by row: whatever is there, an id beyond the vocabulary or NaN, reaches no encoder."""
    present = batch.present if batch.full_present is None else batch.full_present
    inputs = dict(batch.inputs)
    for at, name in enumerate(names):
        if name not in batch.index:
            x, is_present = (
                inputs[name],
                present[:, at : at + 1],
            )  # the slice that fusions take, too: one node of a graph
            is_present = is_present.reshape(-1, *[1] * (x.dim() - 1)) if x.dim() != 2 else is_present
            zero = torch.zeros((), dtype=x.dtype, device=x.device)  # a scalar: zeros_like costs three nodes in a graph
            inputs[name] = torch.where(is_present, x, zero)
    return replace(batch, inputs=inputs)


def spread(encoded: Encoded, index: Tensor, tokens: bool) -> Encoded:
    """Entries (U, D) to rows by index (B,). ``index_select`` adds gradients up in one order, on every run."""
    vector = encoded.vector.index_select(0, index)
    where = None if encoded.map is None else encoded.map.index_select(0, index)
    if not tokens or encoded.tokens is None or encoded.token_mask is None:
        return Encoded(vector, map=where)
    return Encoded(vector, encoded.tokens.index_select(0, index), encoded.token_mask.index_select(0, index), where)
