"""Frames of a recording, and what they find in the other modalities: logits of each frame, for CTC (Graves et al.
2006).

    x_t = W h_t                                            h: the recording's tokens, at the rate of the frames
    x_t <- x_t + attention(from LayerNorm(x_t), to the tokens of all other modalities)      where some are there
    x_t <- x_t + dropout(GELU(conv(LayerNorm(x))))         ``depth`` times, along time (Bai et al. 2018)
    logits_t = V LayerNorm(x_t)

For targets of kind ``tokens`` only. The recording is the first modality of kind ``audio`` or ``sequence``. Frames
attend to the others' tokens, as speech recognition with context does (Pundak et al. 2018); a modality without tokens is
one token.
What is absent or masked changes no bit, and where a row has nothing but its recording the attention adds exactly 0.
Frames after the recording's end, and all frames of a row without it, are blank. The joint vector is the mean over
the real frames.
Parameters: F H + 3 H + H V + V with F the width of the recording's tokens, H the width and V the outputs of a frame;
G H + N H + 4 H^2 + 5 H more if context, G the widths of the N other modalities' tokens (of the vector where one has
none); Z (K H^2 + 3 H) more if depth, Z convolutions with kernel K.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field as Setting
from pydantic import model_validator

from ..registry import PartSettings
from ..temporal_conv import residual, through
from ..types import BLANK, BLANK_GAP, Encoded, Frames, Fused, Sizes
from . import FusionDocs
from .attention import attend, attention, tokens_of

if TYPE_CHECKING:
    from torch import Tensor, nn

TAKES = (1, 64)
TOKENS = True
HEADLESS = True
FRAMES = True

DOCS = FusionDocs(
    summary=(
        "For transcripts (targets of kind `tokens`): a vector and logits of each frame of the recording. Frames attend "
        "to the tokens of the other modalities. `hidden` and `dropout` of the network are refused beside it."
    ),
    example="fusion: {kind: frames, width: 96, depth: 1}",
    use="speech recognition, with or without context",
    absent="context: exactly nothing is added; the recording: all frames are blank",
)
EXAMPLES = ({"heads": 2}, {"heads": 2, "depth": 1, "kernel": 3, "dropout": 0.1})


class Settings(PartSettings):
    """Width of a frame, and what comes after the attention."""

    kind: Literal["frames"] = "frames"
    width: int = Setting(default=96, ge=1, description="Width of a frame; a multiple of `heads`.")
    heads: int = Setting(default=4, ge=1, description="Attention heads.")
    depth: int = Setting(default=1, ge=0, le=64, description="Convolutions along time after the attention; 0: none.")
    kernel: int = Setting(default=5, ge=1, le=255, description="Kernel size in frames, odd.")
    dropout: float = Setting(
        default=0.1, ge=0, lt=1, description="Dropout of the attention and after each convolution."
    )

    @model_validator(mode="after")
    def _divides(self) -> Settings:
        if self.width % self.heads:
            raise ValueError(f"got width {self.width} and heads {self.heads}, expected a width that heads divide")
        if self.kernel % 2 == 0:
            raise ValueError(f"got kernel {self.kernel}, expected an odd number of frames")
        return self


def width(settings: Settings, sizes: Sizes) -> int:
    """H."""
    return settings.width


def layers(settings: Settings, sizes: Sizes) -> nn.ModuleDict:
    """Maps of the tokens, the attention, convolutions, and the frames' head."""
    from torch import nn

    frames, size = sizes.frames, settings.width
    if frames is None:
        raise ValueError("got no transcript, expected a target of kind tokens")
    wide = [tokens or vector for tokens, vector in zip(sizes.tokens, sizes.vectors, strict=True)]
    if not sizes.tokens[frames.modality]:
        raise ValueError("got an encoder without tokens for the recording, expected one that keeps time")
    others = [w for m, w in enumerate(wide) if m != frames.modality]
    made = nn.ModuleDict({"project": nn.Linear(wide[frames.modality], size)})
    if others:
        made["context"] = nn.ModuleList([nn.Linear(w, size) for w in others])
        made["look"] = nn.ModuleDict({**attention(size), "norm": nn.LayerNorm(size)})
    made.update(residual(settings.width, settings.depth, settings.kernel, dilated=False))
    made["norm"], made["head"] = nn.LayerNorm(size), nn.Linear(size, frames.outputs)
    made["dropout"] = nn.Dropout(settings.dropout)
    made["shape"] = nn.Identity()  # no layer: where `fuse` finds which frames there are
    made["shape"].frames = frames  # pyright: ignore
    return made


def fuse(settings: Settings, layers: nn.ModuleDict, encoded: list[Encoded], present: Tensor) -> Fused:
    """M x (B, D_m) with tokens (B, L_m, T_m), present (B, M) bool -> vector (B, H) and logits (B, T V)."""
    import torch

    frames: Frames = layers["shape"].frames  # pyright: ignore
    tokens, real = tokens_of(encoded[frames.modality], present[:, frames.modality])
    x, real = at_frame_rate(layers["project"](tokens), real, frames)
    if "look" in layers:
        keys, there = [], []
        others = [m for m in range(len(encoded)) if m != frames.modality]
        for m, project in zip(others, layers["context"], strict=True):  # pyright: ignore
            own, mask = tokens_of(encoded[m], present[:, m])
            keys.append(project(own))
            there.append(mask)
        found, any_there = torch.cat(keys, 1), torch.cat(there, 1)
        look: nn.ModuleDict = layers["look"]  # pyright: ignore
        seen = attend(look, look["norm"](x), found, any_there, settings.heads)[0]
        x = x + layers["dropout"](seen.where(any_there.any(1)[:, None, None], 0.0))
    x = through(layers, settings.depth, x, real)
    mean = x.sum(1) / real.sum(1, keepdim=True).clamp(min=1)
    logits = layers["head"](layers["norm"](x))
    is_blank = torch.arange(frames.outputs, device=x.device) == BLANK
    blank = torch.where(is_blank, 0.0, -BLANK_GAP).to(logits.dtype)
    logits = torch.where(real.unsqueeze(2), logits, blank)
    return Fused(mean, None, _padded(logits, blank, frames.count).flatten(1))


def at_frame_rate(x: Tensor, real: Tensor, frames: Frames) -> tuple[Tensor, Tensor]:
    """Tokens (B, L, H) and which are real (B, L) -> frames (B, L', H), the mean of their real tokens, 0 where none is,
    and which are real."""
    from torch.nn import functional as F

    x = x * real.unsqueeze(2)
    if frames.pool > 1:
        more = (-x.shape[1]) % frames.pool
        x, real = F.pad(x, (0, 0, 0, more)), F.pad(real, (0, more))
        count = real.unflatten(1, (-1, frames.pool)).sum(2)
        x = x.unflatten(1, (-1, frames.pool)).sum(2) / count.clamp(min=1).unsqueeze(2)
        return x, count > 0
    if frames.repeat > 1:
        return x.repeat_interleave(frames.repeat, 1), real.repeat_interleave(frames.repeat, 1)
    return x, real


def _padded(logits: Tensor, blank: Tensor, count: int) -> Tensor:
    """(B, L', V) -> (B, T, V): blank after the end; what is beyond T is padding of the batch."""
    import torch

    rest = blank.expand(logits.shape[0], count, -1)
    return torch.cat([logits, rest], 1)[:, :count]
