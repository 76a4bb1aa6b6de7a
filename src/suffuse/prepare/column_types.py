"""Types of columns, inferred from their cells: pictures, recordings, sequences, texts, numbers, categories, ...

Names and the target are considered in :mod:`suffuse.prepare.column_roles`.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa

from .. import sources
from ..errors import visible
from ..modalities import audio, image, sequence
from ..modalities.cell import Root, is_empty
from ..modalities.number_format import PLAIN, NumberFormat
from ..modalities.number_inference import Inferred, infer
from ..modalities.value_parsing import as_dates, as_number, day_comes_first
from ..object_store import is_url
from ..subsample import evenly_spaced
from ..word_patterns import UNSPACED
from .file_facts import (
    array_shapes,
    audio_facts,
    file_content,
    has_file,
    is_embedded,
    picture_side,
    sequence_facts,
    size_text,
)

AUDIO = (*audio.SUFFIXES, *audio.UNREAD_SUFFIXES)
READ = ("image", "text", "audio", "sequence")  # roles that a modality reads
NOT_READ = "not read yet in this version"
NAMES, ORIGIN = "names of files", "where files were fetched from, and whether they could be"
SAMPLE = 200  # values that are examined closely
MIN_COVERAGE = 0.05  # of the rows must have a value
SURE = 0.99  # of the values must be dates
MAJORITY = 0.8  # of examined cells say what a column is
NEW = 0.05  # of further rows have a value of their own: short texts, and no categories
FEW = 20  # values: fewer make no free text, and no group
ADDRESS = re.compile(r"(?i)https?://\S+")
WEB = "web"  # among a column's facts: its cells are web addresses
# names of columns whose numbers are names
CODE = re.compile(r"(?i)(?:^|[\W_])(?:zip|plz|(?:zip|post|postal)?[\W_]?codes?)$")


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
    # one a row; none for bytes and lists; numbers as programs write them
    cells: list[str | None] = field(default_factory=list, repr=False)
    distinct: int = 0  # different values
    side: int = 0  # pixels of a picture's shorter side, the median of a sample
    facts: dict = field(default_factory=dict, repr=False)  # settings of the modality that would read it
    forced: str = ""  # the role that the user gave it
    leaks: bool = False  # a number or category that gives the label away


def inspect(rows: sources.Rows, root: Root) -> list[Column]:
    """Every column of a table, in its order. ``root`` says where file paths start, and where they may lead."""
    names = {name: NAMES for name in (rows.known.id,) if name} | dict.fromkeys(rows.known.origin, ORIGIN)
    columns = ((name, rows.table.column(name)) for name in rows.table.column_names)
    return [
        _known_column(name, cells, names[name]) if name in names else _inspect_column(name, cells, root)
        for name, cells in columns
    ]


def _known_column(name: str, cells: pa.ChunkedArray, reason: str) -> Column:
    """A column that its source says the use of: names of files, or where they came from."""
    values = sources.texts(cells.to_pylist())
    distinct = list(dict.fromkeys(value for value in values if value is not None))
    role, examples = ("ignored" if reason == ORIGIN else "other"), tuple(short(value) for value in distinct[:3])
    forced = role if role == "ignored" else ""
    return Column(name, role, reason, examples, 1.0, values, len(distinct), forced=forced)


def number_format(column: Column) -> NumberFormat:
    """How a column's numbers are written in the table."""
    return column.facts.get("format", PLAIN)


def raw_cells(column: Column) -> list[str | None]:
    """A column's cells as they stand in the table."""
    return column.facts.get("raw", column.cells)


def sample(values: Sequence, count: int = SAMPLE) -> list:
    """At most so many of the values, evenly spread."""
    return [values[i] for i in evenly_spaced(len(values), count)]


def words(text: str) -> float:
    """Number of words; two characters count as one in a script without spaces."""
    spaced = UNSPACED.sub(" ", text).split()
    return len(UNSPACED.findall(text)) / 2 + sum(any(c.isalpha() for c in word) for word in spaced)


def is_number(value: str) -> bool:
    """Whether a cell holds a number."""
    return as_number(value) == as_number(value)


def percent(share: float) -> str:
    """A share as text: ``7 %``, ``0.4 %``, and 100 % only where it is all."""
    number = 100 * share
    if 0.95 <= number <= 99 or number in (0, 100):
        return f"{number:.0f} %"
    return f"{min(number, 99.9):.1f} %"


def short(text: str, length: int = 40) -> str:
    """One line of at most so many characters, as a terminal may show it."""
    line = visible(" ".join(text.split()))
    return line if len(line) <= length else line[: length - 3] + "..."


def _inspect_column(name: str, cells: pa.ChunkedArray, root: Root) -> Column:
    kind = cells.type
    if pa.types.is_struct(kind) and {"bytes", "path"} <= {kind.field(i).name for i in range(kind.num_fields)}:
        return _file_column(name, cells, root)
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return _file_column(name, cells, root)
    if pa.types.is_nested(kind):
        return _nested_column(name, cells, root)
    values = sources.texts(cells.to_pylist())
    filled = [v for v in values if v is not None]
    distinct = list(dict.fromkeys(filled))
    role, reason, facts = _plain_role(filled, distinct, len(values), root)
    if role == "number" and CODE.search(name) and _repeats(filled, distinct):
        role, reason = "category", f"codes, by its name: {len(distinct):,} different ones"
    examples, side = tuple(short(v) for v in distinct[:3]), facts.pop("side", 0)
    if role == "number" and facts.get("format", PLAIN) != PLAIN:
        facts = {**facts, "raw": values}
        values = _plain_numbers(values, facts["format"])
    return Column(name, role, reason, examples, len(filled) / len(values), values, len(distinct), side, facts)


def _nested_column(name: str, cells: pa.ChunkedArray, root: Root) -> Column:
    """Lists of numbers or pictures; other nested columns aren't read."""
    coverage, kind = 1 - cells.null_count / len(cells), cells.type
    sampled = [cell.as_py() for cell in sample(cells.drop_null())]
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        if shapes := array_shapes(sampled, root):
            reason, facts = sequence_facts(shapes)
            return Column(name, "sequence", reason, tuple(short(str(c)) for c in sampled[:3]), coverage, facts=facts)
        if pictures := _picture_lists(sampled, root):
            reason, facts = pictures
            side = facts.pop("side")
            return Column(name, "image", reason, (), coverage, side=side, facts=facts)
        items = [item for cell in sampled for item in cell]
        web = {WEB: True} if items and _is_majority(_is_address(item) for item in items) else {}
        if items and all(isinstance(item, str) for item in items):
            texts = [None if cell is None else json.dumps(cell, ensure_ascii=False) for cell in cells.to_pylist()]
            examples = tuple(short(", ".join(cell)) for cell in sampled[:3])
            reason = _address_reason(items) if web else f"lists of texts: {NOT_READ}"
            return Column(name, "other", reason, examples, coverage, texts, facts=web)
    return Column(name, "other", f"lists or records ({kind}): {NOT_READ}", (), coverage)


def _picture_lists(cells: Sequence[Sequence], root: Root) -> tuple[str, dict[str, Any]] | None:
    """(reason, facts) of lists of pictures; None where most elements are none."""
    items = [file_content(item) for cell in cells for item in cell]
    examined = [item for item in sample(items) if isinstance(item, (str, bytes))]
    sides = [side for item in examined if (side := picture_side(item, root))]
    if not sides or 2 * len(sides) < min(len(items), SAMPLE):
        return None
    count, side = max(len(cell) for cell in cells), int(np.median(sides))
    facts = {"max_images": count} if count > 1 else {}
    return f"up to {count} {size_text(sides)}", {"side": side, **facts}


def _json_lists(cells: Sequence[str]) -> list[list]:
    """The cells that are JSON lists of texts."""
    found: list[list] = []
    for cell in cells:
        try:
            value = json.loads(cell) if cell.startswith("[") else None
        except (json.JSONDecodeError, RecursionError):
            continue
        if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
            found.append(value)
    return found


def _is_address(item: Any) -> bool:
    return isinstance(item, str) and ADDRESS.fullmatch(item) is not None


def _file_column(name: str, cells: pa.ChunkedArray, root: Root) -> Column:
    """Contents of files in the table: bytes, or the Hugging Face form {bytes, path}."""
    coverage = 1 - cells.null_count / len(cells)
    contents = [file_content(cell.as_py()) for cell in sample(cells.drop_null())]
    contents = [content for content in contents if not is_empty(content) and content != b""]
    if not contents:
        return Column(name, "empty", "nothing stands in it", (), 0.0)
    examples = tuple(f"{len(c):,} bytes" if isinstance(c, bytes) else short(c) for c in contents[:3])
    if coverage < MIN_COVERAGE:
        return Column(name, "empty", f"only {percent(coverage)} of the rows have a value", examples, coverage)
    sides = [side for content in contents if (side := picture_side(content, root))]
    if len(sides) >= len(contents) / 2:
        return Column(name, "image", size_text(sides), examples, coverage, side=int(np.median(sides)))
    if found := audio_facts(contents, root):
        reason, facts = found
        return Column(name, "audio", reason, examples, coverage, facts=facts)
    if shapes := array_shapes(contents, root):
        reason, facts = sequence_facts(shapes)
        return Column(name, "sequence", reason, examples, coverage, facts=facts)
    return Column(name, "other", "contents of files that aren't read", examples, coverage)


def _plain_role(filled: list[str], distinct: list[str], rows: int, root: Root) -> tuple[str, str, dict]:
    """(role, reason, facts) of a column of plain values."""
    if not filled:
        return "empty", "nothing stands in it", {}
    if len(distinct) == 1:
        return "constant", f"always '{short(distinct[0])}'", {}
    if len(filled) < MIN_COVERAGE * rows:
        return "empty", f"only {percent(len(filled) / rows)} of the rows have a value", {}
    examined = sample(distinct)
    if _is_majority(ADDRESS.fullmatch(v) for v in examined):
        return "other", _address_reason(examined), {WEB: True}
    for suffixes, role_of in ((image.SUFFIXES, _picture_role), (AUDIO, _audio_role), (sequence.SUFFIXES, _array_role)):
        if _is_majority(v.lower().endswith(suffixes) for v in examined):
            return role_of(examined, root)
    if embedded_role := _embedded_role(examined, root):
        return embedded_role
    lists = _json_lists(examined)
    if len(lists) >= MAJORITY * len(examined):
        if pictures := _picture_lists(lists, root):
            return "image", *pictures
        if _is_majority(_is_address(item) for cell in lists for item in cell):
            return "other", _address_reason([item for cell in lists for item in cell]), {WEB: True}
    if _is_majority(v.startswith("[") for v in examined) and (shapes := array_shapes(examined, root)):
        return "sequence", *sequence_facts(shapes)
    if numbers := _number_role(filled, distinct):
        return numbers
    order = day_comes_first(examined)
    if np.mean(~np.isnan(as_dates([" ".join(v.split()) for v in examined], order)[:, 0])) >= SURE:
        return "date", f"date, {len(distinct):,} different ones", {}
    length = float(np.mean([words(v) for v in examined]))
    many = len(distinct) >= min(FEW, len(filled) / 2)
    if many and (length >= 4 or (length >= 2 and (5 * len(distinct) >= len(filled) or _new_values(filled) >= NEW))):
        return "text", f"{len(distinct):,} different texts of about {length:.0f} words", {}
    if _repeats(filled, distinct):
        return "category", f"category of {len(distinct):,} values", {}
    return "other", f"{len(distinct):,} different names or codes, no free text", {}


def _number_role(filled: list[str], distinct: list[str]) -> tuple[str, str, dict] | None:
    """The role of numbers, however they are written; few different values of which some are none are categories."""
    inferred = infer(filled)
    if inferred is None or (inferred.share < 1 and len(distinct) <= FEW):
        return None
    return "number", _number_reason(filled, distinct, inferred), {"format": inferred.format}


def number_column(column: Column, inferred: Inferred) -> Column:
    """A column as one of numbers that are written so."""
    cells = column.cells
    filled = [value for value in cells if value is not None]
    reason = _number_reason(filled, list(dict.fromkeys(filled)), inferred)
    facts: dict[str, Any] = {"format": inferred.format}
    if inferred.format != PLAIN:
        facts["raw"], cells = cells, _plain_numbers(cells, inferred.format)
    return replace(column, role="number", reason=reason, cells=cells, facts=facts)


def _number_reason(filled: list[str], distinct: list[str], inferred: Inferred) -> str:
    """What the numbers of a column are like."""
    parts = [f"number, {len(distinct):,} different ones"]
    if inferred.format != PLAIN:
        parts.append(f"written with {inferred.format}")
    if inferred.note:
        parts.append(inferred.note)
    if inferred.share < 1:
        bad = [v for v, number in zip(filled, inferred.format.parse(filled), strict=True) if math.isnan(number)]
        share = percent(len(bad) / len(filled))
        parts.append(f"WARNING: {len(bad):,} cells ({share}) are none and count as missing, e.g. '{short(bad[0])}'")
    return "; ".join(parts)


def _plain_numbers(values: list[str | None], form: NumberFormat) -> list[str | None]:
    """Cells of numbers as programs write them; one that is none stays as it is."""
    filled = [value for value in values if value is not None]
    numbers = iter(zip(filled, form.parse(filled).tolist(), strict=True))
    pairs = ((None, math.nan) if value is None else next(numbers) for value in values)
    return [text if math.isnan(number) else repr(number).removesuffix(".0") for text, number in pairs]


def _new_values(filled: list[str]) -> float:
    """The chance that another row has a value that none of these has: the share of those that stand there once (Good
    1953)."""
    return sum(count == 1 for count in Counter(filled).values()) / len(filled)


def _repeats(filled: list[str], distinct: list[str]) -> bool:
    """Whether values are few enough, and each often enough, for categories."""
    return 3 * len(distinct) <= len(filled) and len(distinct) <= 10 * FEW


def _is_majority(votes: Any) -> bool:
    return float(np.mean([bool(vote) for vote in votes])) >= MAJORITY


def _embedded_role(examined: list[str], root: Root) -> tuple[str, str, dict] | None:
    """The role of files that stand in the cells themselves: ``data:`` addresses, or Base64."""
    if not _is_majority(is_embedded(v) for v in examined):
        return None
    role = _picture_role(examined, root)
    role = role if role[0] == "image" else _audio_role(examined, root)
    return role if role[0] in ("image", "audio") else ("other", "contents of files that aren't read", {})


def _picture_role(paths: list[str], root: Root) -> tuple[str, str, dict]:
    """The role of paths with a picture's suffix."""
    sides = [side for path in paths if (side := picture_side(path, root))]
    if len(sides) >= len(paths) / 2:
        return "image", size_text(sides), {"side": int(np.median(sides))}
    return _missing_role(paths, root, "pictures")


def _audio_role(paths: list[str], root: Root) -> tuple[str, str, dict]:
    """The role of paths with a recording's suffix."""
    if facts := audio_facts(paths, root):
        return "audio", *facts
    return _missing_role(paths, root, "recordings")


def _array_role(paths: list[str], root: Root) -> tuple[str, str, dict]:
    """The role of paths with an array's suffix."""
    if shapes := array_shapes(paths, root):
        return "sequence", *sequence_facts(shapes)
    return _missing_role(paths, root, "arrays")


def _address_reason(examined: list[str]) -> str:
    """What web addresses are of, by their endings, and what may be done about them."""
    paths = [v.partition("?")[0].lower() for v in examined]
    kinds = ((image.SUFFIXES, "pictures"), (AUDIO, "recordings"))
    kind = next((kind for ends, kind in kinds if _is_majority(path.endswith(ends) for path in paths)), "")
    flag = "" if kind else " --image or --audio COLUMN"
    return f"web addresses{f' of {kind}' if kind else ''}: `suffuse fetch TABLE{flag}` downloads them"


def _widest(root: Root) -> str:
    """All of the machine, or all of the bucket."""
    return "/".join(root.folder.split("/")[:3]) if is_url(root.folder) else "/"


def _missing_role(paths: list[str], root: Root, kind: str) -> tuple[str, str, dict]:
    """The role of paths to files that can't be read."""
    share = float(np.mean([has_file(path, root) for path in paths]))
    if share < 0.5:
        if _is_majority(has_file(path, Root.of(root.folder, _widest(root))) for path in paths):
            reason = f"paths of {kind} outside the root folder: `allowed_dir` names a folder that may be read"
            return "missing", reason, {"what": kind, "outside": True}
        count = f"{percent(share)} of them" if share else "none"
        return "missing", f"paths of {kind}, but {count} found below the root folder", {"what": kind}
    return "other", f"files that end like {kind}, but can't be read as such", {}
