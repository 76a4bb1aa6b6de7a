"""Steps per token of an encoder whose tokens keep time: token k stands for the steps from k s on, s a constant.

An entry of L real steps then has ceil(L / s) real tokens. A head over frames, such as one with CTC (Graves et al.
2006), counts on it. s is measured, so it holds for parts of the user's own as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

    from ..registry import PartSettings
    from . import EncoderPart

LONGEST = 2**16  # steps; what has one token for all of them has no stride that is of use


def token_stride(part: EncoderPart, settings: PartSettings, layers: nn.ModuleDict, features: int) -> int:
    """s: an encoder gives one token for every s steps of an entry (U, L, ``features`` + 1).

    The layers are run in eval mode without gradients, and keep their modes. Raises ValueError where the encoder has no
    tokens, or where there is no such s.
    """
    import torch

    if not part.tokens(settings, layers):
        raise ValueError(f"got encoder {settings.kind}, which has no tokens, expected one token for every s steps")
    modes = [(module, module.training) for module in layers.modules()]
    layers.eval()
    try:
        with torch.no_grad():
            return _measured(part, settings, layers, features)
    finally:
        for module, mode in modes:
            module.training = mode


def _measured(part: EncoderPart, settings: PartSettings, layers: nn.ModuleDict, features: int) -> int:
    long = 2
    while _counts(part, settings, layers, features, [long])[0] < 2:
        if long >= LONGEST:
            raise ValueError(f"got one token for {long:,} steps of encoder {settings.kind}, expected more")
        long *= 2
    low, high = long // 2, long - 1  # the longest entry that has one token
    while low < high:
        middle = (low + high + 1) // 2
        one = _counts(part, settings, layers, features, [middle])[0] < 2
        low, high = (middle, high) if one else (low, middle - 1)
    lengths = sorted({1, low, low + 1, 2 * low, 2 * low + 1, 3 * low, 3 * low + 1, 7 * low})
    expected = [-(-length // low) for length in lengths]
    alone = [_counts(part, settings, layers, features, [length])[0] for length in lengths]
    together = _counts(part, settings, layers, features, lengths)
    for counts in (alone, together):
        if counts != expected:
            got = f"got {counts} tokens of encoder {settings.kind} for {lengths} steps"
            raise ValueError(f"{got}, expected {expected}, one for every {low}{_hint(settings)}")
    return low


def _hint(settings: PartSettings) -> str:
    return ": set pad_end" if getattr(settings, "pad_end", None) is False else ""


def _counts(
    part: EncoderPart, settings: PartSettings, layers: nn.ModuleDict, features: int, lengths: list[int]
) -> list[int]:
    """Real tokens of zeros so long, padded to the longest of them."""
    import torch

    tensors = [*layers.parameters(), *layers.buffers()]
    device = tensors[0].device if tensors else None
    x = torch.zeros(len(lengths), max(lengths), features + 1, device=device)
    for row, length in enumerate(lengths):
        x[row, :length, -1] = 1
    mask = part.encode(settings, layers, x).token_mask
    if mask is None:
        raise ValueError(f"got encoder {settings.kind}, whose tokens have no mask, expected one")
    return mask.sum(1).tolist()
