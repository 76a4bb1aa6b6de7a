"""What stands in each column of a table, judged by its cells alone: pictures, texts, numbers, categories, ...

Names and the target play no part here; :mod:`suffuse.tables.roles` looks at them.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from .. import sources
from ..language import UNSPACED
from ..modalities import image
from ..modalities.cell import is_empty

AUDIO = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".aac", ".wma", ".aif", ".aiff")
AUDIO_MAGIC = (b"RIFF", b"fLaC", b"OggS", b"ID3")
NOT_READ = "not read yet in this version"
SAMPLE = 200  # values that are looked at closely
LEAST = 0.05  # of the rows must have a value
FEW = 20  # values: fewer make no free text, and no group


@dataclass(frozen=True)
class Column:
    """A column and what it is.

    ``role`` is one of image, text, number, category, audio, missing (pictures that aren't there), empty,
    constant and other; later also target, id, group, split and give-away.
    """

    name: str
    role: str
    reason: str
    examples: tuple[str, ...]
    coverage: float  # share of the rows that have a value
    cells: list[str | None] = field(default_factory=list, repr=False)  # one a row; none for bytes and lists
    distinct: int = 0  # different values
    side: int = 0  # pixels of a picture's shorter side, the median of a sample


def inspect(rows: sources.Rows, root: Path) -> list[Column]:
    """Every column of a table, in its order. ``root`` is the folder that file paths start from."""
    return [_look(name, rows.table.column(name), root) for name in rows.table.column_names]


def sample(values: Sequence, most: int = SAMPLE) -> list:
    """At most so many of the values, evenly spread."""
    if len(values) <= most:
        return list(values)
    return [values[i] for i in np.linspace(0, len(values) - 1, most).astype(int)]


def words(text: str) -> float:
    """Number of words; two characters count as one in a script without spaces."""
    spaced = UNSPACED.sub(" ", text).split()
    return len(UNSPACED.findall(text)) / 2 + sum(any(c.isalpha() for c in word) for word in spaced)


def is_number(value: str) -> bool:
    """Whether a cell holds a number."""
    try:
        float(value)
    except ValueError:
        return False
    return True


def percent(share: float) -> str:
    """A share for people: ``7 %``, ``0.4 %``, and 100 % only where it is all."""
    number = 100 * share
    if 0.95 <= number <= 99 or number in (0, 100):
        return f"{number:.0f} %"
    return f"{min(number, 99.9):.1f} %"


def short(text: str, most: int = 40) -> str:
    """One line of at most so many characters."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 3] + "..."


def _look(name: str, cells: pa.ChunkedArray, root: Path) -> Column:
    kind = cells.type
    if pa.types.is_struct(kind) and {"bytes", "path"} <= {kind.field(i).name for i in range(kind.num_fields)}:
        return _files(name, cells, root)
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return _files(name, cells, root)
    if pa.types.is_nested(kind):
        coverage = 1 - cells.null_count / len(cells)
        return Column(name, "other", f"lists or records ({kind}): {NOT_READ}", (), coverage)
    values = sources.texts(cells.to_pylist())
    filled = [v for v in values if v is not None]
    distinct = list(dict.fromkeys(filled))
    role, reason, side = _kind(filled, distinct, len(values), root)
    examples = tuple(short(v) for v in distinct[:3])
    return Column(name, role, reason, examples, len(filled) / len(values), values, len(distinct), side)


def _files(name: str, cells: pa.ChunkedArray, root: Path) -> Column:
    """Contents of files in the table: bytes, or the Hugging Face form {bytes, path}."""
    coverage = 1 - cells.null_count / len(cells)
    found = [_content(cell.as_py()) for cell in sample(cells.drop_null())]
    found = [content for content in found if not is_empty(content) and content != b""]
    if not found:
        return Column(name, "empty", "nothing stands in it", (), 0.0)
    examples = tuple(f"{len(c):,} bytes" if isinstance(c, bytes) else short(c) for c in found[:3])
    if coverage < LEAST:
        return Column(name, "empty", f"only {percent(coverage)} of the rows have a value", examples, coverage)
    sides = [side for content in found if (side := _side(content, root))]
    if len(sides) >= len(found) / 2:
        return Column(name, "image", _sizes(sides), examples, coverage, side=int(np.median(sides)))
    if sum(_is_audio(content) for content in found) >= len(found) / 2:
        return Column(name, "audio", f"audio: {NOT_READ}", examples, coverage)
    return Column(name, "other", "contents of files that are no pictures", examples, coverage)


def _kind(filled: list[str], distinct: list[str], rows: int, root: Path) -> tuple[str, str, int]:
    """(role, reason, side) of a column of plain values."""
    if not filled:
        return "empty", "nothing stands in it", 0
    if len(distinct) == 1:
        return "constant", f"always '{short(distinct[0])}'", 0
    if len(filled) < LEAST * rows:
        return "empty", f"only {percent(len(filled) / rows)} of the rows have a value", 0
    part = sample(distinct)
    if _mostly(v.lower().endswith(image.SUFFIXES) for v in part):
        return _pictures(part, root)
    if _mostly(v.lower().endswith(AUDIO) for v in part):
        return "audio", f"audio: {NOT_READ}", 0
    if all(is_number(v) for v in part):
        return "number", f"number, {len(distinct):,} different ones", 0
    length = float(np.mean([words(v) for v in part]))
    several = len(distinct) >= min(FEW, len(filled) / 2)
    if several and (length >= 4 or (length >= 2 and 5 * len(distinct) >= len(filled))):
        return "text", f"{len(distinct):,} different texts of about {length:.0f} words", 0
    if 3 * len(distinct) <= len(filled) and len(distinct) <= 10 * FEW:
        return "category", f"category of {len(distinct):,} values", 0
    return "other", f"{len(distinct):,} different names or codes, no free text", 0


def _mostly(votes: Any) -> bool:
    return float(np.mean(list(votes))) >= 0.8


def _pictures(paths: list[str], root: Path) -> tuple[str, str, int]:
    """Paths that end like pictures: are they there?"""
    if _mostly(path.lower().startswith(("http://", "https://")) for path in paths):
        return "other", "web addresses of pictures: download them and give their paths", 0
    sides = [side for path in paths if (side := _side(path, root))]
    if len(sides) >= len(paths) / 2:
        return "image", _sizes(sides), int(np.median(sides))
    there = float(np.mean([(root / path).is_file() for path in paths]))
    if there < 0.5:
        found = f"{percent(there)} of them" if there else "none"
        return "missing", f"paths of pictures, but {found} found below the root folder", 0
    return "other", "files that end like pictures, but can't be read as such", 0


def _sizes(sides: list[int]) -> str:
    low, high = min(sides), max(sides)
    return f"pictures, shorter side {low} pixels" if low == high else f"pictures, shorter side {low} to {high} pixels"


def _content(value: Any) -> Any:
    return (value.get("bytes") or value.get("path")) if isinstance(value, dict) else value


def _side(content: bytes | str, root: Path) -> int:
    """Pixels of a picture's shorter side, from its header; 0 where it is none."""
    try:
        with Image.open(
            io.BytesIO(content) if isinstance(content, bytes) else root / content, formats=image.FORMATS
        ) as picture:
            return min(picture.size)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):  # Pillow's ways to say no
        return 0


def _is_audio(content: bytes | str) -> bool:
    return content.startswith(AUDIO_MAGIC) if isinstance(content, bytes) else content.lower().endswith(AUDIO)
