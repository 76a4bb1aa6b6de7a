"""A recurrent net over token ids (U, L) or frames (U, L, F + 1): -> (U, D), D the width, twice it in both directions.

GRU (Cho et al. 2014) or LSTM (Hochreiter & Schmidhuber 1997). The vector is the state at the last real token, so
padding, and how long the batch was padded, changes nothing; the backward direction (Schuster & Paliwal 1997) reads
each entry from its own last token, never from padding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field as Setting

from ..files import package_file
from ..registry import PartDocs, PartSettings
from ..types import Encoded, Field

if TYPE_CHECKING:
    from torch import Tensor, nn

MODALITIES = ("text", "audio", "sequence")

DOCS = PartDocs(
    summary=(
        "A recurrent network over tokens or frames: (U, L) or (U, L, F + 1) to (U, D), D the width, twice that if "
        "bidirectional. Padding is never read, in either direction."
    ),
    example="question: {kind: gru, embedding: 16, width: 24}",
)
EXAMPLES = (
    ("text", {"embedding": 4, "width": 5}),
    ("text", {"kind": "gru", "embedding": 4, "width": 5, "bidirectional": True, "depth": 2}),
    ("audio", {"kind": "gru", "width": 5, "bidirectional": True}),
    ("text", {"kind": "lstm", "embedding": 4, "width": 5, "bidirectional": True}),
    ("sequence", {"kind": "lstm", "width": 5, "depth": 2}),
)


class Settings(PartSettings):
    """Sizes of the embedding and of the state."""

    kind: Literal["gru", "lstm"] = "gru"
    embedding: int = Setting(default=64, ge=1, description="Width of the token embeddings; unused for frames.")
    width: int = Setting(default=128, ge=1, description="Width of the state, per direction.")
    depth: int = Setting(default=1, ge=1, le=16, description="Number of layers.")
    bidirectional: bool = Setting(default=False, description="Also read backwards.")
    dropout: float = Setting(default=0.0, ge=0, lt=1, description="Dropout of the states that leave a layer.")
    embedding_dropout: float = Setting(default=0.0, ge=0, lt=1, description="Dropout of the embeddings or frames.")
    FILES: ClassVar = ("vectors",)
    vectors: str | None = Setting(
        default=None, description="Pretrained word vectors: a word2vec or GloVe file, or `package:NAME/PATH`."
    )


def width(settings: Settings, layers: nn.ModuleDict) -> int:
    """D: the state, of both directions if there are two."""
    return settings.width * (2 if settings.bidirectional else 1)


def tokens(settings: Settings, layers: nn.ModuleDict) -> int:
    """Width of a token: the state."""
    return width(settings, layers)


def layers(settings: Settings, field: Field) -> nn.ModuleDict:
    """Embedding with a zero row for padding, and a cell per layer and direction: each exports as one operator."""
    from torch import nn

    if settings.vectors and field.kind != "text":
        raise ValueError(f"got vectors for {field.kind}, expected a text: only words have them")
    made = nn.ModuleDict()
    if field.kind == "text":
        made["embedding"] = nn.Embedding(field.statistics["vocabulary"], settings.embedding, padding_idx=0)
    before = settings.embedding if field.kind == "text" else field.statistics["features"]
    cell = nn.GRU if settings.kind == "gru" else nn.LSTM
    for number in range(settings.depth):
        made[f"cell{number}"] = cell(before, settings.width, batch_first=True)
        if settings.bidirectional:
            made[f"back{number}"] = cell(before, settings.width, batch_first=True)
        before = width(settings, made)
    made["dropout"] = nn.Dropout(settings.dropout)
    made["embedding_dropout"] = nn.Dropout(settings.embedding_dropout)
    return made


def initialise(settings: Settings, layers: nn.ModuleDict, field: Field) -> str:
    """Pretrained vectors of the words that have one; says how many."""
    from .word_vectors import load_embedding

    if settings.vectors is None:
        return ""
    return load_embedding(package_file(settings.vectors), field.statistics, layers["embedding"])


def encode(settings: Settings, layers: nn.ModuleDict, x: Tensor) -> Encoded:
    """(U, L) int64, 0 is padding, or (U, L, F + 1) -> vector (U, D), tokens (U, L, D), token_mask (U, L)."""
    import torch
    from torch.nn import functional as F

    mask = x != 0 if x.ndim == 2 else x[:, :, -1] > 0
    states = layers["embedding"](x) if x.ndim == 2 else x[:, :, :-1] * mask.unsqueeze(2)
    states = layers["embedding_dropout"](states)
    order = _reversed(mask).unsqueeze(2) if settings.bidirectional else None
    for number in range(settings.depth):
        found, _ = layers[f"cell{number}"](states)
        if order is not None:
            back, _ = layers[f"back{number}"](states.gather(1, order.expand_as(states)))
            found = torch.cat([found, back.gather(1, order.expand_as(back))], dim=2)
        states = layers["dropout"](found)
    last = mask & ~F.pad(mask[:, 1:], (0, 1))  # the real token that no real token follows
    # products instead of gathers: the same values, and their gradients add up in a fixed order
    vector = (states * last.unsqueeze(2)).sum(1)
    if order is not None:  # the backward direction has read the whole entry where it reaches the first token
        vector = torch.cat([vector[:, : settings.width], states[:, 0, settings.width :] * mask[:, :1]], dim=1)
    return Encoded(vector, states, mask)


def _reversed(mask: Tensor) -> Tensor:
    """(U, L) -> (U, L): which token comes when each entry is read from its end; padding stays where it is."""
    import torch

    places = torch.arange(mask.shape[1], device=mask.device)
    lengths = mask.sum(1, keepdim=True)
    return torch.where(places < lengths, lengths - 1 - places, places)
