"""A multilayer perceptron over a row's numbers and categories: (U, K) -> (U, D), D the last width.

Columns come as ``statistics`` says ({"numbers": n, "categories": [size, ...]}): n standardised numbers, n missing
indicators, then category codes (0 missing, 1 unknown). Each category has an embedding (Guo & Berkhahn 2016), also
for missing and unknown; all go side by side through the hidden layers. With ``bins`` each number is also encoded
piecewise linearly between quantiles of the training rows (:mod:`.piecewise_linear`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field as Setting

from ..modalities.tabular_fit import INTERVALS
from ..registry import PartDocs, PartSettings
from ..types import Encoded, Field

if TYPE_CHECKING:
    from torch import Tensor, nn

MODALITIES = ("tabular",)
WIDEST = 50  # numbers that stand for a category, where the recipe leaves it to us

DOCS = PartDocs(
    summary=(
        "Numbers, missing indicators and an embedding per category through hidden layers: (U, K) to (U, D). `bins` "
        "adds a piecewise linear encoding of each number (Gorishniy et al. 2022)."
    ),
    example="facts: {kind: mlp, widths: [32, 32], dropout: 0.1}",
)
EXAMPLES = (("tabular", {"widths": [6, 5]}), ("tabular", {"widths": [5], "embedding": 3, "bins": 4}))


class Settings(PartSettings):
    """Widths of the hidden layers and of a category's embedding, and intervals of a number."""

    kind: Literal["mlp"] = "mlp"
    widths: tuple[int, ...] = Setting(default=(64, 64), min_length=1, description="Widths of the hidden layers.")
    embedding: int = Setting(
        default=0, ge=0, description="Width of a category's embedding; 0: 1.6 size^0.56, at most 50."
    )
    bins: int = Setting(
        default=0,
        ge=0,
        le=INTERVALS,
        description="Intervals between quantiles of the training rows, in which each number is encoded too; 0: none.",
    )
    dropout: float = Setting(default=0.0, ge=0, lt=1, description="Dropout after each hidden layer.")


def width(settings: Settings, layers: nn.ModuleDict) -> int:
    """D: the last hidden layer."""
    return settings.widths[-1]


def layers(settings: Settings, field: Field) -> nn.ModuleDict:
    """An embedding per category, the encoding of numbers, and the hidden layers."""
    from torch import nn

    from .piecewise_linear import PiecewiseLinear, quantiles_of

    sizes, numbers = field.statistics["categories"], field.statistics["numbers"]
    wide = [settings.embedding or min(WIDEST, round(1.6 * size**0.56)) for size in sizes]
    before = 2 * numbers + sum(wide)
    if not before:
        raise ValueError("got neither numbers nor categories, expected some of either")
    embeddings = nn.ModuleList([nn.Embedding(size, w) for size, w in zip(sizes, wide, strict=True)])
    parts: dict[str, nn.Module] = {"categories": embeddings}
    if settings.bins and numbers:
        parts["bins"] = encoding = PiecewiseLinear(quantiles_of(field.statistics), settings.bins)
        before += encoding.width
    hidden = nn.ModuleList()
    for after in settings.widths:
        hidden.append(nn.Linear(before, after))
        before = after
    return nn.ModuleDict({**parts, "hidden": hidden, "dropout": nn.Dropout(settings.dropout)})


def encode(settings: Settings, layers: nn.ModuleDict, x: Tensor) -> Encoded:
    """(U, K) float -> vector (U, D); no tokens."""
    import torch

    embeddings: nn.ModuleList = layers["categories"]  # pyright: ignore
    first = x.shape[1] - len(embeddings)  # of the codes
    codes = x[:, first:].long()
    encoded = [x[:, :first], *(e(codes[:, n]) for n, e in enumerate(embeddings))]
    if "bins" in layers:
        encoded.append(layers["bins"](x[:, : first // 2], x[:, first // 2 : first]))
    x = torch.cat(encoded, dim=1)
    for linear in layers["hidden"]:  # pyright: ignore
        x = layers["dropout"](linear(x).relu())
    return Encoded(x)
