"""Pictures, recordings and arrays in cells: what their headers say, and settings of the modality."""

from __future__ import annotations

import io
import math
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..modalities import image, sequence
from ..modalities.cell import Absent, Root, Unreadable, embedded, is_empty, locate, object_url, read_file
from ..object_store import facts

RATE = 16_000  # samples a second that are kept at the most: speech needs no more
LONGEST = (10.0, 512)  # seconds, steps
WIDEST = 4096  # numbers that a plain vector may have; a longer flat list is a series


def audio_facts(contents: list, root: Root) -> tuple[str, dict] | None:
    """(reason, settings) of files or contents of recordings; None where fewer than half of them are any."""
    recordings = _if_half((_recording(content, root) for content in contents), len(contents))
    return _describe_audio(recordings) if recordings else None


def size_text(sides: list[int]) -> str:
    low, high = min(sides), max(sides)
    return f"pictures, shorter side {low} pixels" if low == high else f"pictures, shorter side {low} to {high} pixels"


def file_content(value: Any) -> Any:
    return (value.get("bytes") or value.get("path")) if isinstance(value, dict) else value


def picture_side(content: bytes | str, root: Root) -> int:
    """Pixels of a picture's shorter side, from its header; 0 where it is none."""
    source = _opened(content, root)
    try:
        if source is not None:
            with Image.open(source, formats=image.FORMATS) as picture:
                return min(picture.size)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):  # what Pillow raises for other files
        pass
    return 0


def _opened(content: bytes | str, root: Root) -> io.BytesIO | Path | None:
    """What a library may open: contents, also those that stand in a text, or a file."""
    try:
        inner = content if isinstance(content, bytes) else embedded(content)
        if inner is None and object_url(content, root):
            inner = read_file(content, root)
    except Unreadable:
        return None
    return file_path(content, root) if inner is None else io.BytesIO(inner)


def has_file(value: Any, root: Root) -> bool:
    """Whether the file, or the object of a store, that a cell names is there and may be read."""
    try:
        if url := object_url(value, root):
            return not facts(url).is_folder
    except (Unreadable, OSError):
        return False
    return file_path(value, root) is not None


def is_embedded(text: str) -> bool:
    """Whether a file stands in a text, broken or not."""
    try:
        return embedded(text) is not None
    except Unreadable:
        return True


def file_path(value: Any, root: Root) -> Path | None:
    """The file that a cell names; None where there is none or it may not be read."""
    try:
        file = Path(locate(value, root))
        return file if file.is_file() else None
    except (Unreadable, OSError):
        return None


def _recording(content: bytes | str, root: Root) -> tuple[float, int] | None:
    """(seconds, rate) of sound, from its header; None where it is none."""
    import soundfile

    source = _opened(content, root)
    try:
        if source is not None:
            with soundfile.SoundFile(source) as file:
                return file.frames / file.samplerate, file.samplerate
    except (soundfile.LibsndfileError, TypeError, ValueError):  # the last two: a raw file would need more facts
        pass
    return None


def _shape(value: Any, root: Root) -> tuple[int, ...] | None:
    """The shape of a cell of numbers, (L, F), or (N,) where it is flat; None where it holds none."""
    try:
        shape = sequence.numbers(value, root).shape
    except (Absent, Unreadable):
        return None
    return shape if 0 < len(shape) <= 2 and all(shape) else None


def _describe_audio(recordings: list[tuple[float, int]]) -> tuple[str, dict]:
    """Seconds and rates of a sample -> (description, settings)."""
    seconds, rates = zip(*recordings, strict=True)
    low, high = min(seconds), max(seconds)
    longest = math.ceil(2.5 * float(np.percentile(seconds, 99))) / 2  # a quarter more, in halves of a second
    settings = {
        "rate": int(min(Counter(rates).most_common(1)[0][0], RATE)),
        "seconds": min(max(longest, 0.5), LONGEST[0]),
    }
    length = f"{low:.1f} s" if high - low < 0.05 else f"{low:.1f} to {high:.1f} s"
    return f"recordings of {length}, {max(rates):,} Hz", settings


def sequence_facts(shapes: list[tuple[int, ...]]) -> tuple[str, dict]:
    """Shapes of a sample -> (description, settings)."""
    widths = Counter(shape[1] for shape in shapes if len(shape) == 2)
    sizes = {shape[0] for shape in shapes}
    if widths:
        features, lengths = widths.most_common(1)[0][0], [s[0] for s in shapes if len(s) == 2]
    elif len(sizes) == 1 and len(shapes) > 1 and max(sizes) <= WIDEST:
        size = max(sizes)
        return f"vectors of {size:,} numbers", {"features": size, "length": 1}
    else:
        features, lengths = 1, [s[0] for s in shapes]
    rounded = math.ceil(1.25 * float(np.percentile(lengths, 99)) / 8) * 8
    lengths_text = f"{min(lengths):,}" if min(lengths) == max(lengths) else f"{min(lengths):,} to {max(lengths):,}"
    reason = f"{lengths_text} steps of {features:,} number{'s' * (features > 1)}"
    return reason, {"features": features, "length": min(rounded, LONGEST[1])}


def _if_half(candidates: Iterable, count: int) -> list:
    """What was found, where it was in half of the cells or more; else nothing."""
    usable = [candidate for candidate in candidates if candidate is not None]
    return usable if usable and len(usable) >= count / 2 else []


def array_shapes(cells: list, root: Root) -> list[tuple[int, ...]]:
    """The shapes of the cells, where half of them or more hold numbers."""
    filled = [cell for cell in cells if not is_empty(cell)]
    return _if_half((_shape(cell, root) for cell in filled), len(filled))
