"""A bag of token embeddings: (U, L) -> (U, D), the mean over the tokens and, beside it, their maximum.

As fast as a text encoder gets (fastText, Joulin et al. 2017). With ``pairs`` every two neighbours have an embedding
too, by their hash among that many, so that "not good" is more than its words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field as Setting

from ..files import package_file
from ..registry import PartDocs, PartSettings
from ..types import Encoded, Field

if TYPE_CHECKING:
    from torch import Tensor, nn

MODALITIES = ("text",)
PRIME = 1_000_003  # of the hash of two neighbours

DOCS = PartDocs(
    summary=(
        "Mean and maximum of a text's token embeddings: (U, L) to (U, D) (fastText, Joulin et al. 2017). The cheapest "
        "text encoder."
    ),
    example="title: {kind: bag, embedding: 32, pairs: 20000}",
)
EXAMPLES = (("text", {"embedding": 4, "pool": "mean"}), ("text", {"embedding": 4, "pool": "meanmax", "pairs": 7}))


class Settings(PartSettings):
    """Size of the embedding, and what is taken of it."""

    kind: Literal["bag"] = "bag"
    embedding: int = Setting(default=64, ge=1, description="Width of the token embeddings.")
    pool: Literal["mean", "meanmax"] = Setting(
        default="meanmax", description="`mean`, or `meanmax` (mean and maximum)."
    )
    pairs: int = Setting(
        default=0,
        ge=0,
        le=10_000_000,
        description="Number of hashed embeddings for pairs of neighbouring tokens; 0: none.",
    )
    dropout: float = Setting(default=0.0, ge=0, lt=1, description="Dropout of the embeddings.")
    FILES: ClassVar = ("vectors",)
    vectors: str | None = Setting(
        default=None, description="Pretrained word vectors: a word2vec or GloVe file, or `package:NAME/PATH`."
    )


def width(settings: Settings, layers: nn.ModuleDict) -> int:
    """D: the embedding, once or twice."""
    return settings.embedding * (2 if settings.pool == "meanmax" else 1)


def tokens(settings: Settings, layers: nn.ModuleDict) -> int:
    """Width of a token: the embedding."""
    return settings.embedding


def layers(settings: Settings, field: Field) -> nn.ModuleDict:
    """Embeddings with a zero row for padding."""
    from torch import nn

    made = nn.ModuleDict(
        {
            "embedding": nn.Embedding(field.statistics["vocabulary"], settings.embedding, padding_idx=0),
            "dropout": nn.Dropout(settings.dropout),
        }
    )
    if settings.pairs:
        made["pairs"] = nn.Embedding(settings.pairs + 1, settings.embedding, padding_idx=0)
    return made


def initialise(settings: Settings, layers: nn.ModuleDict, field: Field) -> str:
    """Pretrained vectors of the words that have one; says how many."""
    from .word_vectors import load_embedding

    if settings.vectors is None:
        return ""
    return load_embedding(package_file(settings.vectors), field.statistics, layers["embedding"])


def encode(settings: Settings, layers: nn.ModuleDict, x: Tensor) -> Encoded:
    """(U, L) int64, 0 is padding -> vector (U, D), tokens (U, L, embedding), token_mask (U, L)."""
    import torch
    from torch.nn import functional as F

    mask = x != 0
    states = layers["embedding"](x)
    if settings.pairs:
        after = F.pad(x[:, 1:], (0, 1))
        pair = torch.where(after != 0, (x * PRIME + after) % settings.pairs + 1, 0)
        states = states + layers["pairs"](pair)
    states = layers["dropout"](states)  # zero at padding
    vector = states.sum(1) / mask.sum(1, keepdim=True).clamp(min=1)
    if settings.pool == "meanmax":
        top = states.masked_fill(~mask.unsqueeze(2), -torch.inf).amax(1)
        vector = torch.cat([vector, top.where(mask.any(1, keepdim=True), 0.0)], dim=1)
    return Encoded(vector, states, mask)
