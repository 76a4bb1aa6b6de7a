"""Google's speech embedding (Lin et al. 2020) for sound: 16 kHz samples (U, L, 2) -> (U, D).

96 numbers for every 80 ms, each from 775 ms of sound; the vector is their mean and, beside it, their maximum. The
network and its TensorFlow Lite runtime come from the package ``pyopen-wakeword`` (Apache-2.0), of which nothing else
is used. It runs outside torch: always frozen, on the CPU, one entry after the other, and it can't be exported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field as Setting

from ..errors import SuffuseError
from ..modalities.speech_model import NUMBERS, RATE, embed, fingerprint
from ..registry import PartDocs, PartSettings
from ..types import Encoded, Field

if TYPE_CHECKING:
    from torch import Tensor, nn

MODALITIES = ("audio",)

DOCS = PartDocs(
    summary=(
        "Google's speech embedding: 96 numbers per 80 ms of audio at 16 kHz (`form: wave`), pooled over time. Extra "
        "`speech`. It is always frozen and can't be exported: for teachers only."
    ),
    example="speech: {kind: speech_embedding}",
)
EXAMPLES = (("wave", {}), ("wave", {"pool": "mean"}))


class Settings(PartSettings):
    """What is taken of the embeddings of an entry."""

    kind: Literal["speech_embedding"] = "speech_embedding"
    pool: Literal["mean", "meanmax"] = Setting(
        default="meanmax", description="`mean`, or `meanmax` (mean and maximum over time)."
    )
    keep_tokens: bool = Setting(
        default=False, description="Keep its tokens beside its vectors, for fusions that read tokens."
    )
    frozen: Literal[True] = Setting(default=True, description="Always true.")


def width(settings: Settings, layers: nn.ModuleDict) -> int:
    """D: 96 or twice that."""
    return NUMBERS * (2 if settings.pool == "meanmax" else 1)


def tokens(settings: Settings, layers: nn.ModuleDict) -> int:
    """Width of a token: 96."""
    return NUMBERS


def normalised(settings: Settings, layers: nn.ModuleDict) -> tuple[list[float], list[float]]:
    """Samples come as they are."""
    return [0.0], [1.0]


def hindrance(settings: Settings, layers: nn.ModuleDict) -> str:
    """Why it can't be exported."""
    return "speech_embedding runs in TensorFlow Lite, outside torch"


def layers(settings: Settings, field: Field) -> nn.ModuleDict:
    """The hash of the network's files, so that a saved model knows whether it meets the same ones."""
    import torch
    from torch import nn

    if field.statistics["features"] != 1 or field.statistics.get("rate") != RATE:
        got = f"{field.statistics['features']} numbers a frame at a rate of {field.statistics.get('rate', 'unknown')}"
        raise ValueError(f"got {got}, expected the samples themselves (form: wave) at {RATE:,}")
    made = nn.ModuleDict()
    made.register_buffer("files", torch.from_numpy(np.frombuffer(fingerprint(), dtype=np.uint8).copy()))
    return made


def encode(settings: Settings, layers: nn.ModuleDict, x: Tensor) -> Encoded:
    """(U, L, 2): samples in -1..1, and 1 where they are real -> vector (U, D), tokens (U, T, 96), token_mask (U, T).

    Raises SuffuseError where the installed network isn't the one that a saved model was trained with.
    """
    import torch

    if bytes(layers.get_buffer("files").cpu().numpy()) != fingerprint():
        raise SuffuseError("the installed speech embedding isn't the one that this model was trained with")
    lengths = (x[:, :, 1] > 0).sum(1).tolist()
    sounds = x[:, :, 0].float().cpu().numpy()
    found = embed([sound[:n] for sound, n in zip(sounds, lengths, strict=True)])
    longest = max((len(f) for f in found), default=1)
    states = np.zeros((len(x), longest, NUMBERS), dtype=np.float32)
    mask = np.zeros((len(x), longest), dtype=bool)
    for row, embeddings in enumerate(found):
        states[row, : len(embeddings)], mask[row, : len(embeddings)] = embeddings, True
    mean = np.stack([f.mean(0) for f in found]) if found else states[:, 0]
    top = np.stack([f.max(0) for f in found]) if found else states[:, 0]
    vector = np.concatenate([mean, top], axis=1) if settings.pool == "meanmax" else mean
    return Encoded(*(torch.from_numpy(a).to(x.device) for a in (vector, states, mask)))
