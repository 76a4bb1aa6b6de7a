"""Embeddings of hashed n-grams, weighted by inverse document frequency: (U, L) -> (U, D).

The vector of a text with the set of n-grams G is sum_{g in G} w_g e_g / sqrt(sum_{g in G} w_g^2), with embeddings
e (V, D) and w the inverse document frequency on the training texts (Spärck Jones 1972). With a linear head this is a
logistic regression of rank D on TF-IDF features, as in fastText (Joulin et al. 2017). ``drop`` drops n-grams in
training, as word dropout does (Iyyer et al. 2015). The modality needs ``tokens: ngrams``
(:mod:`suffuse.modalities.text_ngrams`).

With ``buckets`` the ids are hashed once more, into fewer embeddings (Weinberger et al. 2009). The weight of a bucket is
the mean of its n-grams' weights, each counted as often as it occurs.
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
EXAMPLES = (("text", {"embedding": 4, "drop": 0.0}), ("text", {"embedding": 4, "drop": 0.0, "buckets": 16}))
INITIAL_SCALE = 0.3  # standard deviation of a vector's initial numbers, times sqrt(D)


class Settings(PartSettings):
    """Size of the embeddings."""

    kind: Literal["ngrams"] = "ngrams"
    embedding: int = Setting(default=8, ge=1, description="Width of the embeddings.")
    buckets: int | None = Setting(
        default=None, ge=2, description="Number of embeddings, at most the modality's `vocabulary`. Default: as many."
    )
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
    idf = torch.tensor(field.statistics["idf"])
    if settings.buckets is not None:
        idf = _folded_weights(idf, settings.buckets)
    embedding = nn.Embedding(len(idf), settings.embedding, padding_idx=0)
    with torch.no_grad():
        embedding.weight.mul_(INITIAL_SCALE / settings.embedding**0.5)
    weight = nn.Embedding.from_pretrained(idf.unsqueeze(1), padding_idx=0)
    return nn.ModuleDict({"embedding": embedding, "idf": weight})


def encode(settings: Settings, layers: nn.ModuleDict, x: Tensor) -> Encoded:
    """(U, L) int64, 0 is padding -> vector (U, D)."""
    from torch.nn import functional as F

    if settings.buckets is not None:
        x = _folded(x, len(layers["embedding"].get_parameter("weight")))
    weights = layers["idf"](x).squeeze(2)  # 0 at padding
    if settings.drop and layers.training:
        weights = F.dropout(weights, settings.drop)
    norm = weights.square().sum(1, keepdim=True).clamp(min=1e-12).sqrt()
    return Encoded(_weighted_sum(layers["embedding"], x, weights) / norm)


def _weighted_sum(embedding: nn.Module, x: Tensor, weights: Tensor) -> Tensor:
    """Sum of the embeddings of ``x`` (U, L), each times its weight (U, L): (U, D).

    Nothing of the size (U, L, D) is made, but in an export: ONNX has no such operator. On a processor padding and
    dropped n-grams are left out first; elsewhere their number would have to be waited for.
    """
    import torch
    from torch.nn import functional as F

    if torch.compiler.is_exporting():
        return (weights.unsqueeze(2) * embedding(x)).sum(1)
    matrix = embedding.get_parameter("weight")
    if x.device.type != "cpu":
        return F.embedding_bag(x, matrix, per_sample_weights=weights, mode="sum")
    kept = weights != 0
    starts = F.pad(kept.sum(1).cumsum(0), (1, 0))
    return F.embedding_bag(
        x[kept], matrix, starts, per_sample_weights=weights[kept], mode="sum", include_last_offset=True
    )


def _folded(ids: Tensor, buckets: int) -> Tensor:
    """Ids of buckets, from 1; 0 stays padding."""
    return (ids > 0) * ((ids - 1) % (buckets - 1) + 1)


def _folded_weights(idf: Tensor, buckets: int) -> Tensor:
    """The weight of each bucket (B,), from that of each n-gram (V,). An n-gram occurs about exp(-idf) times as often as
    one that every text has."""
    import torch

    ids = _folded(torch.arange(len(idf)), min(buckets, len(idf)))
    frequency = torch.exp(-idf.double())
    frequency[0] = 0.0
    zero = torch.zeros(min(buckets, len(idf)), dtype=torch.float64)
    total = zero.index_add(0, ids, frequency)
    return (zero.index_add(0, ids, frequency * idf) / total.clamp(min=1e-300)).to(idf.dtype)
