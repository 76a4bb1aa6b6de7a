"""Logits as they are stored: float16 as they are, or of every answer the top k classes and the others' sum.

Top k (C classes): the k largest log p_c, and log sum of all other p_c; decoded, that tail is shared evenly among the
C - k others. Log-probabilities are logits, so losses read both forms alike; a temperature is then applied to a tail
that is flat. Labels and numbers, and classes of which no more than k + 1 are there, are stored as they are. A row
without an answer (NaN) stays one.
"""

# pyright: reportUnknownMemberType=false
# (torch annotates from_numpy, tolist and manual_seed in part)

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import softplus

from ..types import CLASSES, LABELS, TOKENS, Spec

LARGEST_HALF = 65504.0
LOGITS, VALUES, INDEX = "logits", "logits.values", "logits.index"  # names of arrays: dense, or the two of top k


def half(values: np.ndarray) -> np.ndarray:
    """float32 -> float16; values beyond its range are clipped."""
    return torch.from_numpy(values).clamp(-LARGEST_HALF, LARGEST_HALF).half().numpy()


@dataclass(frozen=True)
class Encoding:
    """How taps are stored. ``kept``: of each target its columns C and the k that are kept (0: all)."""

    dtype: str  # float16 or float32
    kept: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, spec: Spec, dtype: str, top_k: int) -> Encoding:
        """For a recipe's settings."""
        short = [h.kind == CLASSES and 0 < top_k < h.outputs - 1 for h in spec.heads]
        return cls(dtype, tuple((h.outputs, top_k if s else 0) for h, s in zip(spec.heads, short, strict=True)))

    @property
    def dense(self) -> bool:
        """Whether logits are stored as they are."""
        return not any(k for _, k in self.kept)

    def rounded(self, values: np.ndarray) -> np.ndarray:
        """float32 -> the stored dtype."""
        return half(values) if self.dtype == "float16" else values.astype(np.float32)

    def encode(self, logits: np.ndarray) -> dict[str, np.ndarray]:
        """(B, C) float32 -> arrays (B, ...) by name."""
        if self.dense:
            return {LOGITS: self.rounded(logits)}
        values: list[Tensor] = []
        index: list[Tensor] = []
        at = 0
        for count, k in self.kept:
            part = torch.from_numpy(logits[:, at : at + count])
            at += count
            if not k:
                values.append(part)
                continue
            log_p = torch.log_softmax(part.double(), 1)
            top = log_p.topk(k, 1)
            rest = log_p.scatter(1, top.indices, -math.inf)
            values += [top.values.float(), rest.logsumexp(1, keepdim=True).float()]
            index.append(top.indices)
        small = np.int16 if max(count for count, _ in self.kept) <= np.iinfo(np.int16).max else np.int32
        return {
            VALUES: self.rounded(torch.cat(values, 1).numpy()),
            INDEX: torch.cat(index, 1).numpy().astype(small),
        }

    def abstained(self, stored: np.ndarray) -> list[np.ndarray]:
        """Stored logits, or the values of top k, (B, ...) -> per target (B,) bool, where the teacher abstained."""
        ends = np.cumsum([0, *(k + 1 if k else count for count, k in self.kept)])
        return [np.asarray(np.isnan(stored[:, a:b]).any(axis=1)) for a, b in pairwise(ends)]

    def decode(self, arrays: Mapping[str, Tensor]) -> Tensor:
        """Arrays (B, ...) by name -> (B, C); of top k float32 log-probabilities."""
        if self.dense:
            return arrays[LOGITS]
        values, index = arrays[VALUES].float(), arrays[INDEX].long()
        parts: list[Tensor] = []
        value_start, index_start = 0, 0
        for count, k in self.kept:
            wide = k + 1 if k else count
            part = values[:, value_start : value_start + wide]
            if k:
                tail = part[:, k:] - math.log(count - k)
                part = tail.expand(-1, count).scatter(1, index[:, index_start : index_start + k], part[:, :k])
            parts.append(part)
            value_start, index_start = value_start + wide, index_start + k
        return torch.cat(parts, 1)


def cost(spec: Spec, exact: Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
    """The error of storing each row (B,): the divergence, summed over targets (of a sequence, over its frames), and
    whether all predicted values are kept.

    A target on which the teacher abstains has no error.
    """
    error, same = exact.new_zeros(len(exact)), exact.new_ones(len(exact), dtype=torch.bool)
    for (head, a), (_, b) in zip(spec.parts(exact), spec.parts(kept), strict=True):
        if head.kind == CLASSES:
            p, q = torch.log_softmax(a, 1), torch.log_softmax(b, 1)
            divergence, unchanged = (p.exp() * (p - q)).sum(1).clamp(min=0), a.argmax(1) == b.argmax(1)
        elif head.kind == TOKENS:
            p, q = (z.unflatten(1, (head.frames, head.frame_outputs)).log_softmax(2) for z in (a, b))
            divergence, unchanged = (p.exp() * (p - q)).sum((1, 2)).clamp(min=0), (p.argmax(2) == q.argmax(2)).all(1)
        elif head.kind == LABELS:
            p, present, absent = a.sigmoid(), softplus(-b) - softplus(-a), softplus(b) - softplus(a)
            divergence, unchanged = (p * present + (1 - p) * absent).sum(1).clamp(min=0), ((a > 0) == (b > 0)).all(1)
        else:
            divergence, unchanged = (a - b).square().sum(1), torch.ones_like(same)
        answered = ~a.isnan().any(1)
        error += torch.where(answered, divergence, 0.0)
        same &= unchanged | ~answered
    return error, same
