"""Which frames a network gives logits for, where its target is a sequence: those of its first recording, at the rate
that the target states."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import fusions
from .encoders import EncoderPart
from .encoders.token_stride import token_stride
from .errors import UsageError
from .registry import PartSettings
from .types import TIMED, TOKENS, Frames, Spec

if TYPE_CHECKING:
    from torch import nn

    from .recipe import Network


def check_fusion(network: Network, spec: Spec) -> None:
    """Raise UsageError where the network's fusion isn't for its targets."""
    kinds = [head.kind for head in spec.heads]
    if fusions.for_frames(network.fusion) == (kinds == [TOKENS]) and TOKENS not in kinds[1:]:
        return
    raise UsageError(
        "this fusion isn't for these targets",
        where="fusion",
        got=f"{network.fusion.kind} with {', '.join(f'{head.name}: {head.kind}' for head in spec.heads)}",
        expected="frames with one target of kind tokens, another one with any other targets",
    )


def recording(spec: Spec) -> int | None:
    """The place of the modality along which the frames of a sequence lie; None where no target is one.

    Raises UsageError where the network reads no recording.
    """
    if spec.heads[0].kind != TOKENS:
        return None
    for place, field in enumerate(spec.fields):
        if field.kind in TIMED:
            return place
    got = ", ".join(f"{field.name}: {field.kind}" for field in spec.fields)
    raise UsageError("a transcript needs a recording", where="encoders", got=got, expected=" or ".join(TIMED))


def frames_of(spec: Spec, place: int, part: EncoderPart, settings: PartSettings, layers: nn.ModuleDict) -> Frames:
    """The frames of the recording at this place, whose encoder is given.

    Raises ValueError where its tokens are at a rate that doesn't fit.
    """
    head, statistics = spec.heads[0], spec.fields[place].statistics
    token = token_stride(part, settings, layers, statistics["features"]) * statistics.get("step", 1.0)
    ratio = max(head.frame / token, token / head.frame)
    if abs(ratio - round(ratio)) > 1e-6:
        raise ValueError(
            f"got a token for {token:g} seconds (or steps), expected a multiple or a fraction of {head.frame:g}"
        )
    pool, repeat = (round(ratio), 1) if head.frame >= token else (1, round(ratio))
    return Frames(place, head.frames, head.frame_outputs, pool, repeat)
