"""Embedding and a recurrent net over token ids: (U, L) -> (U, D), D the width.

GRU (Cho et al. 2014) or LSTM (Hochreiter & Schmidhuber 1997), one layer, one direction. The vector is the
state at the last real token, so padding, and how long the batch was padded, changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field as Setting

from ..parts import PartSettings
from ..types import Encoded, Field

if TYPE_CHECKING:
    from torch import Tensor, nn

MODALITIES = ("text",)


class Settings(PartSettings):
    """Sizes of the embedding and of the state."""

    kind: Literal["gru", "lstm"] = "gru"
    embedding: int = Setting(64, ge=1)
    width: int = Setting(128, ge=1)


def width(settings: Settings, layers: nn.ModuleDict) -> int:
    """D: the state."""
    return settings.width


def tokens(settings: Settings, layers: nn.ModuleDict) -> int:
    """Width of a token: the state."""
    return settings.width


def layers(settings: Settings, field: Field) -> nn.ModuleDict:
    """Embedding with a zero row for padding, and the recurrent cell."""
    from torch import nn

    cell = nn.GRU if settings.kind == "gru" else nn.LSTM
    return nn.ModuleDict(
        {
            "embedding": nn.Embedding(field.statistics["vocabulary"], settings.embedding, padding_idx=0),
            "cell": cell(settings.embedding, settings.width, batch_first=True),
        }
    )


def encode(settings: Settings, layers: nn.ModuleDict, x: Tensor) -> Encoded:
    """(U, L) int64, 0 is padding -> vector (U, D), tokens (U, L, D), token_mask (U, L)."""
    from torch.nn import functional as F

    mask = x != 0
    states, _ = layers["cell"](layers["embedding"](x))
    last = mask & ~F.pad(mask[:, 1:], (0, 1))  # the real token that no real token follows
    # a product instead of a gather: the same value, and its gradient adds up in a fixed order
    vector = (states * last.unsqueeze(2)).sum(1)
    return Encoded(vector, states, mask)
