"""Columns of recordings and of steps of numbers: what stands in them, from a sample, and settings to read it with."""

from __future__ import annotations

import io
import math
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ..modalities import sequence
from ..modalities.cell import Absent, Root, Unreadable, is_empty, locate

RATE = 16_000  # samples a second that are kept at the most: speech needs no more
LONGEST = (10.0, 512)  # seconds, steps
WIDEST = 4096  # numbers that a plain vector may have; a longer flat list is a series


def path(value: Any, root: Root) -> Path | None:
    """The file that a cell names; None where there is none or it may not be read."""
    try:
        place = Path(locate(value, root))
        return place if place.is_file() else None
    except (Unreadable, OSError):
        return None


def recording(content: bytes | str, root: Root) -> tuple[float, int] | None:
    """(seconds, rate) of sound, from its header; None where it is none."""
    import soundfile

    place = io.BytesIO(content) if isinstance(content, bytes) else path(content, root)
    try:
        if place is not None:
            with soundfile.SoundFile(place) as file:
                return file.frames / file.samplerate, file.samplerate
    except (soundfile.LibsndfileError, TypeError, ValueError):  # the last two: a raw file would need more facts
        pass
    return None


def steps(value: Any, root: Root) -> tuple[int, ...] | None:
    """The shape of a cell of numbers, (L, F), or (N,) where it is flat; None where it holds none."""
    try:
        shape = sequence.numbers(value, root).shape
    except (Absent, Unreadable):
        return None
    return shape if 0 < len(shape) <= 2 and all(shape) else None


def audio_facts(found: list[tuple[float, int]]) -> tuple[str, dict]:
    """Seconds and rates of a sample -> (what people read, settings)."""
    seconds, rates = zip(*found, strict=True)
    low, high = min(seconds), max(seconds)
    longest = math.ceil(2.5 * float(np.percentile(seconds, 99))) / 2  # a quarter more, in halves of a second
    settings = {
        "rate": int(min(Counter(rates).most_common(1)[0][0], RATE)),
        "seconds": min(max(longest, 0.5), LONGEST[0]),
    }
    length = f"{low:.1f} s" if high - low < 0.05 else f"{low:.1f} to {high:.1f} s"
    return f"recordings of {length}, {max(rates):,} Hz", settings


def sequence_facts(found: list[tuple[int, ...]]) -> tuple[str, dict]:
    """Shapes of a sample -> (what people read, settings)."""
    wide = Counter(shape[1] for shape in found if len(shape) == 2)
    sizes = {shape[0] for shape in found}
    if wide:
        features, lengths = wide.most_common(1)[0][0], [s[0] for s in found if len(s) == 2]
    elif len(sizes) == 1 and len(found) > 1 and max(sizes) <= WIDEST:
        size = max(sizes)
        return f"vectors of {size:,} numbers", {"features": size, "length": 1}
    else:
        features, lengths = 1, [s[0] for s in found]
    wanted = math.ceil(1.25 * float(np.percentile(lengths, 99)) / 8) * 8
    said = f"{min(lengths):,}" if min(lengths) == max(lengths) else f"{min(lengths):,} to {max(lengths):,}"
    reason = f"{said} steps of {features:,} number{'s' * (features > 1)}"
    return reason, {"features": features, "length": min(wanted, LONGEST[1])}


def mostly(found: Iterable, of: int) -> list:
    """What was found, where it was in half of the cells or more; else nothing."""
    there = [one for one in found if one is not None]
    return there if there and len(there) >= of / 2 else []


def numbers_in(cells: list, root: Root) -> list[tuple[int, ...]]:
    """The shapes of the cells, where half of them or more hold numbers."""
    filled = [cell for cell in cells if not is_empty(cell)]
    return mostly((steps(cell, root) for cell in filled), len(filled))
