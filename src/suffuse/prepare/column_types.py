"""What stands in each column of a table, judged by its cells alone: pictures, texts, numbers, categories, ...

Names and the target play no part here; :mod:`suffuse.prepare.column_roles` looks at them.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from .. import sources
from ..errors import visible
from ..modalities import audio, image, sequence
from ..modalities.cell import Root, is_empty
from ..modalities.value_parsing import as_dates, as_number, day_comes_first
from ..subsample import evenly_spaced
from ..word_patterns import UNSPACED
from . import sequence_types

AUDIO = (*audio.SUFFIXES, ".m4a", ".aac", ".wma", ".aif", ".aiff")
READ = ("image", "text", "audio", "sequence")  # roles that a modality reads
NOT_READ = "not read yet in this version"
SAMPLE = 200  # values that are examined closely
LEAST = 0.05  # of the rows must have a value
SURE = 0.99  # of the values must be dates
FEW = 20  # values: fewer make no free text, and no group


@dataclass(frozen=True)
class Column:
    """A column and what it is.

    ``role`` is one of image, text, audio, sequence, number, category, date, missing (files that aren't there),
    empty, constant and other; later also target, id, group, split and give-away.
    """

    name: str
    role: str
    reason: str
    examples: tuple[str, ...]
    coverage: float  # share of the rows that have a value
    cells: list[str | None] = field(default_factory=list, repr=False)  # one a row; none for bytes and lists
    distinct: int = 0  # different values
    side: int = 0  # pixels of a picture's shorter side, the median of a sample
    facts: dict = field(default_factory=dict)  # settings of the modality that would read it
    leaks: bool = False  # a number or category that gives the label away


def inspect(rows: sources.Rows, root: Root) -> list[Column]:
    """Every column of a table, in its order. ``root`` says where file paths start, and where they may lead."""
    return [_look(name, rows.table.column(name), root) for name in rows.table.column_names]


def sample(values: Sequence, most: int = SAMPLE) -> list:
    """At most so many of the values, evenly spread."""
    return [values[i] for i in evenly_spaced(len(values), most)]


def words(text: str) -> float:
    """Number of words; two characters count as one in a script without spaces."""
    spaced = UNSPACED.sub(" ", text).split()
    return len(UNSPACED.findall(text)) / 2 + sum(any(c.isalpha() for c in word) for word in spaced)


def is_number(value: str) -> bool:
    """Whether a cell holds a number."""
    return as_number(value) == as_number(value)


def percent(share: float) -> str:
    """A share for people: ``7 %``, ``0.4 %``, and 100 % only where it is all."""
    number = 100 * share
    if 0.95 <= number <= 99 or number in (0, 100):
        return f"{number:.0f} %"
    return f"{min(number, 99.9):.1f} %"


def short(text: str, most: int = 40) -> str:
    """One line of at most so many characters, as a terminal may show it."""
    line = visible(" ".join(text.split()))
    return line if len(line) <= most else line[: most - 3] + "..."


def _look(name: str, cells: pa.ChunkedArray, root: Root) -> Column:
    kind = cells.type
    if pa.types.is_struct(kind) and {"bytes", "path"} <= {kind.field(i).name for i in range(kind.num_fields)}:
        return _files(name, cells, root)
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return _files(name, cells, root)
    if pa.types.is_nested(kind):
        return _nested(name, cells, root)
    values = sources.texts(cells.to_pylist())
    filled = [v for v in values if v is not None]
    distinct = list(dict.fromkeys(filled))
    role, reason, facts = _kind(filled, distinct, len(values), root)
    examples, side = tuple(short(v) for v in distinct[:3]), facts.pop("side", 0)
    return Column(name, role, reason, examples, len(filled) / len(values), values, len(distinct), side, facts)


def _nested(name: str, cells: pa.ChunkedArray, root: Root) -> Column:
    """Lists of numbers, or of pictures; what else is nested isn't read."""
    coverage, kind = 1 - cells.null_count / len(cells), cells.type
    found = [cell.as_py() for cell in sample(cells.drop_null())]
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        if shapes := sequence_types.numbers_in(found, root):
            reason, facts = sequence_types.sequence_facts(shapes)
            return Column(name, "sequence", reason, tuple(short(str(c)) for c in found[:3]), coverage, facts=facts)
        inner = [_content(one) for cell in found for one in cell]
        sides = [side for one in sample(inner) if isinstance(one, (str, bytes)) and (side := _side(one, root))]
        if sides and 2 * len(sides) >= min(len(inner), SAMPLE):
            most = max(len(cell) for cell in found)
            reason = f"up to {most} {_sizes(sides)}"
            side = int(np.median(sides))
            return Column(name, "image", reason, (), coverage, side=side, facts={"most": most} if most > 1 else {})
        if inner and all(isinstance(one, str) for one in inner):
            texts = [None if cell is None else json.dumps(cell, ensure_ascii=False) for cell in cells.to_pylist()]
            examples = tuple(short(", ".join(cell)) for cell in found[:3])
            return Column(name, "other", f"lists of texts: {NOT_READ}", examples, coverage, texts)
    return Column(name, "other", f"lists or records ({kind}): {NOT_READ}", (), coverage)


def _files(name: str, cells: pa.ChunkedArray, root: Root) -> Column:
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
    if sounds := sequence_types.mostly((sequence_types.recording(content, root) for content in found), len(found)):
        reason, facts = sequence_types.audio_facts(sounds)
        return Column(name, "audio", reason, examples, coverage, facts=facts)
    if shapes := sequence_types.numbers_in(found, root):
        reason, facts = sequence_types.sequence_facts(shapes)
        return Column(name, "sequence", reason, examples, coverage, facts=facts)
    return Column(name, "other", "contents of files that aren't read", examples, coverage)


def _kind(filled: list[str], distinct: list[str], rows: int, root: Root) -> tuple[str, str, dict]:
    """(role, reason, facts) of a column of plain values."""
    if not filled:
        return "empty", "nothing stands in it", {}
    if len(distinct) == 1:
        return "constant", f"always '{short(distinct[0])}'", {}
    if len(filled) < LEAST * rows:
        return "empty", f"only {percent(len(filled) / rows)} of the rows have a value", {}
    part = sample(distinct)
    for suffixes, look in ((image.SUFFIXES, _pictures), (AUDIO, _sounds), (sequence.SUFFIXES, _steps)):
        if _mostly(v.lower().endswith(suffixes) for v in part):
            return look(part, root)
    if _mostly(v.startswith("[") for v in part) and (shapes := sequence_types.numbers_in(part, root)):
        return "sequence", *sequence_types.sequence_facts(shapes)
    if all(is_number(v) for v in part):
        return "number", f"number, {len(distinct):,} different ones", {}
    order = day_comes_first(part)
    if np.mean(~np.isnan(as_dates([" ".join(v.split()) for v in part], order)[:, 0])) >= SURE:
        return "date", f"date, {len(distinct):,} different ones", {}
    length = float(np.mean([words(v) for v in part]))
    several = len(distinct) >= min(FEW, len(filled) / 2)
    if several and (length >= 4 or (length >= 2 and 5 * len(distinct) >= len(filled))):
        return "text", f"{len(distinct):,} different texts of about {length:.0f} words", {}
    if 3 * len(distinct) <= len(filled) and len(distinct) <= 10 * FEW:
        return "category", f"category of {len(distinct):,} values", {}
    return "other", f"{len(distinct):,} different names or codes, no free text", {}


def _mostly(votes: Any) -> bool:
    return float(np.mean(list(votes))) >= 0.8


def _pictures(paths: list[str], root: Root) -> tuple[str, str, dict]:
    """Paths that end like pictures: are they there?"""
    sides = [side for path in paths if (side := _side(path, root))]
    if len(sides) >= len(paths) / 2:
        return "image", _sizes(sides), {"side": int(np.median(sides))}
    return _not_there(paths, root, "pictures")


def _sounds(paths: list[str], root: Root) -> tuple[str, str, dict]:
    """Paths that end like sound: is it there?"""
    if found := sequence_types.mostly((sequence_types.recording(path, root) for path in paths), len(paths)):
        return "audio", *sequence_types.audio_facts(found)
    return _not_there(paths, root, "recordings")


def _steps(paths: list[str], root: Root) -> tuple[str, str, dict]:
    """Paths that end like arrays: are they there?"""
    if shapes := sequence_types.numbers_in(paths, root):
        return "sequence", *sequence_types.sequence_facts(shapes)
    return _not_there(paths, root, "arrays")


def _not_there(paths: list[str], root: Root, what: str) -> tuple[str, str, dict]:
    """What to say of files that can't be read."""
    if _mostly(path.lower().startswith(("http://", "https://")) for path in paths):
        return "other", f"web addresses of {what}: download them and give their paths", {}
    there = float(np.mean([sequence_types.path(path, root) is not None for path in paths]))
    if there < 0.5:
        if _mostly(sequence_types.path(path, Root.of(root.folder, Path("/"))) is not None for path in paths):
            reason = f"paths of {what} outside the root folder: `within` names a folder that may be read"
            return "missing", reason, {"what": what, "outside": True}
        found = f"{percent(there)} of them" if there else "none"
        return "missing", f"paths of {what}, but {found} found below the root folder", {"what": what}
    return "other", f"files that end like {what}, but can't be read as such", {}


def _sizes(sides: list[int]) -> str:
    low, high = min(sides), max(sides)
    return f"pictures, shorter side {low} pixels" if low == high else f"pictures, shorter side {low} to {high} pixels"


def _content(value: Any) -> Any:
    return (value.get("bytes") or value.get("path")) if isinstance(value, dict) else value


def _side(content: bytes | str, root: Root) -> int:
    """Pixels of a picture's shorter side, from its header; 0 where it is none."""
    place = io.BytesIO(content) if isinstance(content, bytes) else sequence_types.path(content, root)
    try:
        if place is not None:
            with Image.open(place, formats=image.FORMATS) as picture:
                return min(picture.size)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):  # Pillow's ways to say no
        pass
    return 0
