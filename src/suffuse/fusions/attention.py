"""Multi-head attention over tokens of which some are masked, and the block made of it (Vaswani et al. 2017).

Written out instead of ``nn.MultiheadAttention``, so that masking is exact: a masked key gets the weight 0 and holds
no data, whatever stands there, in torch and in an export alike; a query without any real key gets a number.

Keys have no bias: it adds the same to all scores of a query, so the softmax takes it out again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..types import Encoded

if TYPE_CHECKING:
    from torch import Tensor, nn


def tokens_of(encoded: Encoded, present: Tensor) -> tuple[Tensor, Tensor]:
    """One modality and where it is present (B,) -> tokens (B, L, D), zeros where not real, and real (B, L) bool.

    A vector is one token. What is absent, and what is masked, leaves nothing behind.
    """
    present = present.unsqueeze(1)
    if encoded.tokens is None:
        x, real = encoded.vector.unsqueeze(1), present
    else:
        x = encoded.tokens
        real = present.expand(x.shape[:2]) if encoded.token_mask is None else encoded.token_mask & present
    return x.where(real.unsqueeze(2), 0.0), real


def masked_softmax(scores: Tensor, real: Tensor) -> Tensor:
    """Softmax over the last dimension, exactly 0 where not ``real``; all zeros where nothing is."""
    import torch

    lowest = torch.finfo(scores.dtype).min  # finite: where nothing is real the softmax is even, and not NaN
    return scores.masked_fill(~real, lowest).softmax(-1) * real


def attention(width: int) -> nn.ModuleDict:
    """The four maps; 4 H^2 + 3 H parameters, H the width."""
    from torch import nn

    biases = {"query": True, "key": False, "value": True, "out": True}
    return nn.ModuleDict({name: nn.Linear(width, width, bias=bias) for name, bias in biases.items()})


def attend(layers: nn.ModuleDict, queries: Tensor, keys: Tensor, real: Tensor, heads: int) -> tuple[Tensor, Tensor]:
    """(B, Q, H) look at (B, K, H), of which ``real`` (B, K) -> (B, Q, H) and the weights (B, heads, Q, K)."""
    size = queries.shape[2] // heads
    q, k, v = (
        layers[name](x).unflatten(2, (heads, size)).transpose(1, 2)  # (B, heads, L, H / heads)
        for name, x in (("query", queries), ("key", keys), ("value", keys))
    )
    weights = masked_softmax(q @ k.transpose(2, 3) * size**-0.5, real[:, None, None])
    return layers["out"]((weights @ v).transpose(1, 2).flatten(2)), weights


def block(width: int) -> nn.ModuleDict:
    """Attention and two linear maps, each normalised before it; 12 H^2 + 12 H parameters."""
    from torch import nn

    more = {
        "before": nn.LayerNorm(width),
        "between": nn.LayerNorm(width),
        "up": nn.Linear(width, 4 * width),
        "down": nn.Linear(4 * width, width),
    }
    return nn.ModuleDict({**attention(width), **more})


def transform(
    layers: nn.ModuleDict, x: Tensor, real: Tensor, heads: int, first: int | None = None, dropout: float = 0.0
) -> tuple[Tensor, Tensor]:
    """(B, L, H), of which ``real`` (B, L) -> (B, L, H) and the attention's weights (B, heads, L, L).

    Where only the first few tokens are wanted, only they are computed.
    """
    from torch.nn import functional as F

    def drop(y: Tensor) -> Tensor:
        return F.dropout(y, dropout, layers.training) if dropout else y

    keys = layers["before"](x)
    seen, weights = attend(layers, keys[:, :first], keys, real, heads)
    x = x[:, :first] + drop(seen)
    return x + drop(layers["down"](F.gelu(layers["up"](layers["between"](x))))), weights
