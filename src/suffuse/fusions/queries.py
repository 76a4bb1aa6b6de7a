"""A query for every target: each looks for its own answer among the tokens of all modalities.

    a_tl = softmax over the real tokens l of q_t . x_l        o_c = w_c . sum_l a_t(c),l x_l + b_c

One attention map per target t, and a linear detector of each output c under it: where a row holds several answers (the
drink, its size, the sugar), each stands at a place of its own, which one pooled vector can't say. It is the query per
label of Query2Label (Liu et al. 2021) with one target's outputs sharing a query, without its decoder. Queries and
detectors are each modality's own. ``joint``: one softmax over the tokens of all modalities. ``each``: one per
modality, and the mean of their outputs over what is present. A modality without tokens is one token, its vector. The
gates are the attention that a modality gets, the mean over targets. The tap ``fused`` is the outputs.
Parameters: W C + M C with W the sum of the widths of what is read (tokens, or a vector), Q the number of targets and
C of outputs, W Q more if joint, T Q more if each (T the sum of the widths of tokens: a vector needs no query there).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field as Setting

from ..registry import PartSettings
from ..types import Encoded, Fused, Look, Sizes
from . import FusionDocs
from .attention import masked_softmax, tokens_of

if TYPE_CHECKING:
    from torch import Tensor, nn

TAKES = (1, 64)
GATES = True
TOKENS = True
HEADLESS = True
LOOKS = True
QUERIES = ("ask",)

DOCS = FusionDocs(
    summary=(
        "One query per target, which attends to the tokens, and a linear classifier on what it reads: a_tl = softmax "
        "over l of q_t . x_l, o_c = w_c . sum_l a_t(c),l x_l + b_c (the query per label of Query2Label, Liu et al. "
        "2021, without its decoder). `hidden` and `dropout` of the network are refused beside it, and the tap `fused` "
        "is the logits."
    ),
    example="fusion: {kind: queries, attention: joint, dropout: 0.1}",
    use="several targets, each in its own place (an order's drink, its size)",
    absent="is masked",
)
EXAMPLES = ({}, {"attention": "each"})


class Settings(PartSettings):
    """Over what one query's attention adds up to one."""

    kind: Literal["queries"] = "queries"
    attention: Literal["joint", "each"] = Setting(
        default="joint",
        description="`joint`: over the tokens of all modalities. `each`: over one modality's tokens, then the mean.",
    )
    dropout: float = Setting(default=0.0, ge=0, lt=1, description="Dropout of the tokens.")


def gates(settings: Settings) -> bool:
    """With attention within each modality, shares are even."""
    return settings.attention == "joint"


def width(settings: Settings, sizes: Sizes) -> int:
    """C."""
    return sizes.outputs


def layers(settings: Settings, sizes: Sizes) -> nn.ModuleDict:
    """Per modality its queries, and the detectors of each target."""
    from torch import nn

    wide = [tokens or vector for vector, tokens in zip(sizes.vectors, sizes.tokens, strict=True)]
    targets = sizes.heads or (sizes.outputs,)
    asked = [w if tokens or settings.attention == "joint" else 0 for w, tokens in zip(wide, sizes.tokens, strict=True)]
    return nn.ModuleDict(
        {
            # without a bias: it adds the same to all scores of one query, so the softmax takes it out again
            "ask": nn.ModuleList([nn.Linear(w, len(targets), bias=False) if w else nn.Identity() for w in asked]),
            "say": nn.ModuleList([nn.ModuleList([nn.Linear(w, outputs) for outputs in targets]) for w in wide]),
        }
    )


def fuse(settings: Settings, layers: nn.ModuleDict, encoded: list[Encoded], present: Tensor) -> Fused:
    """M x (B, L_m, W_m), present (B, M) bool -> vector and logits (B, C); gates (B, M)."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    xs, scores, reals = [], [], []
    for m, e in enumerate(encoded):
        x, real = tokens_of(e, present[:, m])
        xs.append(F.dropout(x, settings.dropout, layers.training) if settings.dropout else x)
        ask, even = layers["ask"][m], xs[m].new_zeros(1, len(layers["say"][m]), 1)  # pyright: ignore
        scores.append(ask(xs[m]).transpose(1, 2) if isinstance(ask, nn.Linear) else even)  # (B, Q, L_m)
        reals.append(real)
    there = torch.stack([real.any(1) for real in reals], dim=1)  # (B, M), which have a token
    if settings.attention == "joint":
        weights = masked_softmax(torch.cat(scores, dim=2), torch.cat(reals, dim=1).unsqueeze(1))
        looks = weights.split([s.shape[2] for s in scores], dim=2)
    else:
        share = there / there.sum(1, keepdim=True).clamp(min=1)
        alone = [masked_softmax(s, real.unsqueeze(1)) for s, real in zip(scores, reals, strict=True)]
        looks = [w * share[:, m, None, None] for m, w in enumerate(alone)]
    head_logits = [_head_logits(layers["say"][m], look, x) for m, (look, x) in enumerate(zip(looks, xs, strict=True))]  # pyright: ignore
    logits = torch.stack(head_logits).sum(0)
    gates = torch.stack([look.sum(2).mean(1) for look in looks], dim=1)
    even = present / present.sum(1, keepdim=True).clamp(min=1)  # without any token, no modality is attended to
    gates = torch.where(there.any(1, keepdim=True), gates, even.to(gates.dtype))
    return Fused(logits, gates, logits, tuple(map(Look, looks, reals)))


def _head_logits(detectors: nn.ModuleList, look: Tensor, x: Tensor) -> Tensor:
    """(B, Q, L) attention, (B, L, W) tokens -> (B, C). A bias is weighed by the attention on its modality."""
    import torch
    from torch.nn import functional as F

    seen, mass = look @ x, look.sum(2)
    return torch.cat([F.linear(seen[:, q], d.weight) + mass[:, q, None] * d.bias for q, d in enumerate(detectors)], 1)  # pyright: ignore
