"""Convolutions over few bands are numbers in bfloat16, whatever the memory held before."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from suffuse.temporal_conv import over_bands

SIZES = [2**n for n in range(4, 14)]


def leave_behind(value: float) -> None:
    """Memory that is free again holds this value."""
    for kind in (torch.bfloat16, torch.float32):
        filled = [torch.full((size,), value, dtype=kind) for size in SIZES]
        del filled


@pytest.mark.parametrize("bands", [1, 2, 3, 8])
def test_no_memory_beyond_the_entries_is_read(bands: int) -> None:
    torch.manual_seed(0)
    conv, x = nn.Conv2d(4, 4, 3, (1, 2), padding=(0, 1)), torch.randn(6, 4, 7, bands)
    exact = over_bands(conv, x)
    for _ in range(40):
        leave_behind(torch.nan)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rough = over_bands(conv, x).float()
        torch.testing.assert_close(rough, exact, atol=0.05, rtol=0.05)
