"""Embeddings of hashed n-grams, weighted by inverse document frequency: (U, L) -> (U, D).

The vector of a text with the set of n-grams G is sum_{g in G} w_g e_g / sqrt(sum_{g in G} w_g^2), with embeddings
e (V, D) and w the inverse document frequency on the training texts (Spärck Jones 1972). With a linear head this is a
logistic regression of rank D on TF-IDF features, as in fastText (Joulin et al. 2017). ``drop`` drops n-grams in
training, as word dropout does (Iyyer et al. 2015). The modality needs ``tokens: ngrams``
(:mod:`suffuse.modalities.text_ngrams`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field as Setting

from ..registry import PartDocs, PartSettings
from ..types import Encoded, Field

if TYPE_CHECKING:
    from torch import Tensor, nn

MODALITIES = ("text",)
SPARSE = ("embedding",)

DOCS = PartDocs(
    summary=(
        "Weighted mean of the embeddings of a text's hashed n-grams: (U, L) to (U, D), weighted by inverse document "
        "frequency (Joulin et al. 2017). With a linear head it is a logistic regression of rank D on TF-IDF features, "
        "for short texts and few rows. The modality needs `tokens: ngrams`."
    ),
    example="title: {kind: ngrams, embedding: 16}",
)
EXAMPLES = (("text", {"embedding": 4, "drop": 0.0}),)
INITIAL_SCALE = 0.3  # standard deviation of a vector's initial numbers, times sqrt(D)


class Settings(PartSettings):
    """Size of the embeddings."""

    kind: Literal["ngrams"] = "ngrams"
    embedding: int = Setting(default=8, ge=1, description="Width of the embeddings.")
    drop: float = Setting(default=0.5, ge=0, lt=1, description="Share of the n-grams that are dropped in training.")


def width(settings: Settings, layers: nn.ModuleDict) -> int:
    """D: the embedding."""
    return settings.embedding


def layers(settings: Settings, field: Field) -> nn.ModuleDict:
    """Embeddings with a zero row for padding, and the weight of each id as a constant.

    Raises ValueError where the texts aren't hashed n-grams.
    """
    import torch
    from torch import nn

    if not field.statistics.get("idf"):
        raise ValueError("got texts as a sequence of tokens, expected `tokens: ngrams` of the modality")
    embedding = nn.Embedding(field.statistics["vocabulary"], settings.embedding, padding_idx=0)
    with torch.no_grad():
        embedding.weight.mul_(INITIAL_SCALE / settings.embedding**0.5)
    weight = nn.Embedding.from_pretrained(torch.tensor(field.statistics["idf"]).unsqueeze(1), padding_idx=0)
    return nn.ModuleDict({"embedding": embedding, "idf": weight})


def encode(settings: Settings, layers: nn.ModuleDict, x: Tensor) -> Encoded:
    """(U, L) int64, 0 is padding -> vector (U, D)."""
    from torch.nn import functional as F

    weights = layers["idf"](x).squeeze(2)  # 0 at padding
    if settings.drop and layers.training:
        weights = F.dropout(weights, settings.drop)
    norm = weights.square().sum(1, keepdim=True).clamp(min=1e-12).sqrt()
    return Encoded((weights.unsqueeze(2) * layers["embedding"](x)).sum(1) / norm)
