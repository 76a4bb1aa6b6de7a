"""Columns of numbers, categories and dates -> one float32 row each.

A row's item is one string: its cells in the order of ``column``, cleaned, between unit separators. What a column
is can be said in ``types``; else training cells decide it (:mod:`.tabular_fit`), and the statistics hold it.
Encoded, (U, 2n + c): n numbers, standardised on training rows and 0 where missing; n indicators, 1 where missing;
then a code for each of c categories, 0 missing, 1 unknown, 2 and up as in the statistics' ``names``. A date is five
numbers: days since 1970-01-01, and sine and cosine of month and weekday.
"""

from __future__ import annotations

import hashlib
import math
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, FiniteFloat, model_validator

from ..errors import listed
from ..registry import ModalitySettings, PartDocs
from ..registry import Statistics as BaseStatistics
from .cell import Absent, Unreadable, is_empty, pieces
from .item_synthesis import swapped_cells
from .number_format import NumberFormat, is_number
from .tabular_fit import fit_column
from .value_parsing import PARTS, as_dates

EVERY_ROW = True  # ``fit`` counts: it wants an item for each training row, repeats too
MISSING, UNKNOWN = 0, 1
SEPARATOR, BROKEN = "\x1f", "\x1e"  # between cells; before the reason why a cell can't be read
LONGEST = 1000  # characters of a cell
CONTROLS = frozenset(map(chr, range(32)))
WHOLE_NUMBER = re.compile(
    r"[+-]?(?:0|[1-9]\d*)\.0+", re.ASCII
)  # 1.0 is 1: a column with gaps turns codes into fractions
Kind = Literal["number", "category", "date"]
LAYOUT = "float32 (rows, 2 numbers + categories): numbers, 1 where one is missing, category codes"

DOCS = PartDocs(
    summary=(
        "Columns of numbers, categories and dates to one float32 row. A row in which all of them are empty is absent."
    ),
    example="facts: {kind: tabular, column: [price, colour, bought], types: {colour: category}}",
)
EXAMPLES = (
    {"column": ["price", "colour", "bought", "code"], "clip": 0.1, "least": 1},
    {"column": ["price"], "types": {"price": "number"}},
    {"column": ["price"], "numbers": {"price": {"decimal": ".", "thousands": ",", "unit": "$"}}},
    {"column": ["colour", "bought"], "types": {"bought": "category"}, "least": 1, "max_categories": 10},
)


class Settings(ModalitySettings):
    """Settings of a tabular modality."""

    kind: Literal["tabular"] = "tabular"
    column: str | tuple[str, ...] = Field(description="List of columns.")
    types: dict[str, Kind] = Field(
        default={},
        description=(
            "Column to `number`, `category` or `date`. Default: decided by [the training cells](modalities.md#tabular)."
        ),
    )
    numbers: dict[str, NumberFormat] = Field(
        default={},
        description=(
            "Column of numbers to how they are written: `decimal`, `thousands`, `unit`. `init` writes it. Default: as "
            "programs write them, `1234.5`."
        ),
    )
    clip: float = Field(
        default=0.01,
        ge=0,
        lt=0.5,
        description="Clip numbers at this quantile of the training numbers, at both ends; 0: no clipping.",
    )
    max_categories: int = Field(
        default=100,
        ge=1,
        le=100_000,
        description="Largest number of categories per column, the most frequent first; others are *unknown*.",
    )
    least: int = Field(
        default=2, ge=1, description="Smallest number of training rows of a category; rarer ones are *unknown*."
    )
    day_first: bool | None = Field(
        default=None,
        description=(
            "Whether 03/04/2020 is in April. Default: decided by training cells with a part above 12; without any, "
            "such cells are unreadable."
        ),
    )

    @model_validator(mode="after")
    def _known(self) -> Settings:
        for key, names in (("types", self.types), ("numbers", self.numbers)):
            if lost := sorted(set(names) - set(self.columns)):
                raise ValueError(f"{key}: got '{lost[0]}', expected one of the columns {listed(self.columns)}")
        for name in self.numbers:
            if self.types.get(name, "number") != "number":
                raise ValueError(f"numbers: got '{name}', which types calls a {self.types[name]}")
        return self


class Column(BaseStatistics):
    """How one column is encoded: names of a category; bounds, mean, deviation and standardised quantiles of a number,
    and of each part of a date."""

    name: str
    type: Literal["number", "date", "category"]
    names: list[str] = Field(default_factory=list)
    low: list[FiniteFloat] = Field(default_factory=list)
    high: list[FiniteFloat] = Field(default_factory=list)
    mean: list[FiniteFloat] = Field(default_factory=list)
    std: list[FiniteFloat] = Field(default_factory=list)
    quantiles: list[list[FiniteFloat]] = Field(default_factory=list)  # none: prepared before they were fitted
    day_first: bool | None = None
    format: NumberFormat | None = None  # of a number that isn't written as programs write it

    @model_validator(mode="after")
    def _consistent(self) -> Column:
        expected = {"number": 1, "date": len(PARTS), "category": 0}[self.type]
        if {len(one) for one in (self.low, self.high, self.mean, self.std)} != {expected}:
            raise ValueError(f"expected {expected} of low, high, mean and std for a {self.type}")
        if len(self.quantiles) not in (0, expected) or any(sorted(one) != one or not one for one in self.quantiles):
            raise ValueError(f"expected {expected} ascending lists of quantiles for a {self.type}")
        if not all(one > 0 for one in self.std):
            raise ValueError("a deviation isn't above 0")
        return self


class Statistics(BaseStatistics):
    """Of the training rows, as :func:`fit` has it."""

    numbers: int
    categories: list[int]
    columns: list[Column]

    def check(self, settings: Settings) -> None:
        """Raises ValueError where the columns aren't those of the settings, or their counts don't come out."""
        if [one.name for one in self.columns] != list(settings.columns):
            raise ValueError(f"got the columns {', '.join(c.name for c in self.columns)}")
        sizes = [2 + len(one.names) for one in self.columns if one.type == "category"]
        if (self.numbers, self.categories) != (sum(len(one.mean) for one in self.columns), sizes):
            raise ValueError("numbers and categories aren't those of the columns")


def load(settings: Settings, value: Any, root: Path) -> tuple[str, str]:
    """A cell, or a dictionary of cells -> hash of the cleaned cells and the cells in one string."""
    if is_empty(value):
        raise Absent("empty cell")
    several = not isinstance(settings.column, str)
    if several and not isinstance(value, dict):
        raise Unreadable(f"expected a cell for each of {listed(settings.columns)}, got {type(value).__name__}")
    values = [value.get(name) for name in settings.columns] if several else [value]
    cells = [_cell(v, settings.numbers.get(name)) for name, v in zip(settings.columns, values, strict=True)]
    if not any(cells):
        raise Absent("all its columns are empty" if several else "empty cell")
    if all(not c or c.startswith(BROKEN) for c in cells):
        broken = {name: c[1:] for name, c in zip(settings.columns, cells, strict=True) if c}
        raise Unreadable("; ".join(f"{n}: {r}" if several else r for n, r in broken.items()))
    item = SEPARATOR.join(cells)
    return hashlib.blake2b(item.encode("utf-8"), digest_size=16).hexdigest(), item


def stored(settings: Settings) -> None:
    """Rows become numbers only once the training rows are known."""
    return


def blank(settings: Settings) -> str:
    """What fills an absent slot: every cell is missing."""
    return SEPARATOR * (len(settings.columns) - 1)


def fit(settings: Settings, items: Sequence[str]) -> dict:
    """Each column's kind and what it takes to encode it, from an item per training row.

    Raises SuffuseError where the recipe calls a column a number or a date, and fewer than half of its cells are.
    """
    columns = []
    for place, name in enumerate(settings.columns):
        cells = [row[place] for row in _rows(items) if row[place]]
        columns.append(fit_column(name, settings, cells))
    sizes = [2 + len(c["names"]) for c in columns if c["type"] == "category"]
    return {"numbers": sum(len(c.get("mean", ())) for c in columns), "categories": sizes, "columns": columns}


def encode(settings: Settings, statistics: dict, items: Sequence[str]) -> np.ndarray:
    """Items -> (U, 2n + c) float32, as the head of this file says."""
    blocks = [_block(statistics, rows) for rows in map(_columns, pieces(items))]
    width = 2 * statistics["numbers"] + len(statistics["categories"])
    return np.concatenate(blocks) if blocks else np.zeros((0, width), dtype=np.float32)


def synthesise(
    settings: Settings, items: Sequence[str], copies: int, random: np.random.Generator
) -> Iterator[list[str]]:
    """``copies`` times each row with some cells of near rows: near in numbers, dates and categories."""
    statistics = fit(settings, items)
    encoded, numbers = encode(settings, statistics, items), 2 * statistics["numbers"]
    codes = [encoded[:, numbers + n, None] == np.arange(size) for n, size in enumerate(statistics["categories"])]
    distances = np.concatenate([encoded[:, :numbers], *(code / math.sqrt(2) for code in codes)], axis=1)
    return swapped_cells(items, distances, SEPARATOR, copies, random)


def as_cells(settings: Settings, item: str) -> dict[str, str]:
    """The row's cells; one that can't be read is empty."""
    cells = ("" if cell.startswith(BROKEN) else cell for cell in item.split(SEPARATOR))
    return dict(zip(settings.columns, cells, strict=True))


def problems(settings: Settings, statistics: dict, items: Sequence[str]) -> list[tuple[int, str, str]]:
    """Cells that stand there and count as missing, for they can't be read as their column's kind.

    (item's position, column, reason) of each.
    """
    found, start = [], 0
    for piece in pieces(items):
        for column, cells in zip(statistics["columns"], _columns(piece), strict=True):
            read = column["type"] == "category" or ~np.isnan(_values(column, cells)[:, 0])
            bad = [
                bool(c) and (c[0] == BROKEN or not r)
                for c, r in zip(cells, np.broadcast_to(read, len(cells)), strict=True)
            ]
            for row in np.flatnonzero(bad):
                cell, kind = cells[row], column["type"]
                reason = cell[1:] if cell[0] == BROKEN else f"not a {kind}: '{_short(cell)}'"
                found.append((start + int(row), column["name"], reason))
        start += len(piece)
    return sorted(found)


def unknown(settings: Settings, statistics: dict, items: Sequence[str]) -> list[tuple[int, str, str]]:
    """Categories that aren't among the known ones: (item's position, column, value) of each."""
    positions = [
        (n, c["name"], frozenset(c["names"])) for n, c in enumerate(statistics["columns"]) if c["type"] == "category"
    ]
    found: list[tuple[int, str, str]] = []
    for row, item in enumerate(items if positions else ()):
        cells = item.split(SEPARATOR)
        for position, name, known in positions:
            if (cell := cells[position]) and cell not in known and cell[0] != BROKEN:
                found.append((row, name, _short(cell)))
    return found


def corrupt(settings: Settings, statistics: dict, entries: np.ndarray, severity: int, seed: int) -> np.ndarray:
    """Noise of 0.1 to 1.2 standard deviations on numbers, categories swapped or unknown, and cells lost.

    Of the categories and of the cells 4 to 32 % are hit; a date is lost whole.
    """
    random = np.random.default_rng([seed, severity])
    share = (0.04, 0.08, 0.14, 0.22, 0.32)[severity - 1]
    noise = (0.1, 0.25, 0.5, 0.8, 1.2)[severity - 1]
    made, n = entries.copy(), statistics["numbers"]
    here = made[:, n : 2 * n] == 0
    made[:, :n] += here * (noise * random.standard_normal((len(made), n))).astype(np.float32)
    lost = random.random((len(made), len(statistics["columns"]))) < share
    swapped = random.random((len(made), len(statistics["categories"]))) < share
    number, category = 0, 0
    for place, column in enumerate(statistics["columns"]):
        gone = lost[:, place]
        if column["type"] == "category":
            codes = made[:, 2 * n + category]
            other = random.integers(UNKNOWN, statistics["categories"][category], len(made))
            codes[swapped[:, category] & (codes != MISSING)] = other[swapped[:, category] & (codes != MISSING)]
            codes[gone] = MISSING
            category += 1
        else:
            width = len(column["mean"])
            made[gone, number : number + width] = 0
            made[gone, n + number : n + number + width] = 1
            number += width
    return made


def axes(statistics: dict) -> tuple[int | None, ...]:
    """Of an entry: (2n + c,)."""
    return (2 * statistics["numbers"] + len(statistics["categories"]),)


def examples(settings: Settings) -> list[Any]:
    """Rows of a price, a colour, a date in several notations, and a code."""
    days = ("2024-01-31", "5.3.2023", "2024-03-05T10:00Z", date(2020, 2, 29), "1 Mar 1999")
    colours = ("red", "blue", "绿", "rot", "red")
    return [
        {"price": f"{3 * n + 0.5}", "colour": colours[n] + "x" * n, "bought": days[n], "code": n % 2} for n in range(5)
    ]


def explain(settings: Settings, statistics: dict) -> list[str]:
    """What is done to each column."""
    said = []
    for column in statistics["columns"]:
        name, why = column["name"], column["why"]
        if column["type"] == "category":
            known = len(column["names"])
            said.append(f"{name} is a category ({why}): {known:,} known values; others count as unknown.")
        elif column["type"] == "date":
            said.append(f"{name} is a date ({why}): days, month and weekday, as numbers; unreadable ones are missing.")
        else:
            low, high = column["low"][0], column["high"][0]
            form = f", {NumberFormat(**column['format'])}" if column.get("format") else ""
            said.append(f"{name} is a number ({why}){form}: pulled into {low:g} to {high:g}, then standardised.")
    return [*said, "An empty cell counts as missing, and the model is told so."]


def describe(statistics: dict, entry: np.ndarray) -> str:
    """An encoded row (2n + c,) as the model reads it: numbers within their bounds, known categories."""
    n, said = statistics["numbers"], []
    number, category = 0, 2 * n
    for column in statistics["columns"]:
        if column["type"] == "category":
            code = int(entry[category])
            value = ("missing", "unknown", *column["names"])[code]
            category += 1
        else:
            value, width = "missing", len(column["mean"])
            if not entry[n + number]:
                first = float(entry[number]) * column["std"][0] + column["mean"][0]
                dated = column["type"] == "date"
                value = str(np.datetime64(int(first + 1e-3), "D")) if dated else f"{first:.6g}"
            number += width
        said.append(f"{column['name']}: {value}")
    return ", ".join(said)


def _cell(value: Any, form: NumberFormat | None) -> str:
    """One column's value as text: "" where there is none, ``BROKEN`` and a reason where it can't be read. ``form``: how
    the column's numbers are written; a value that is a number already is written so."""
    if is_empty(value):
        return ""
    if form is not None and is_number(value):
        return form.write(value)
    if isinstance(value, (bytes, bytearray)):
        try:
            value = value.decode("utf-8")
        except UnicodeDecodeError as error:
            return f"{BROKEN}not UTF-8: {error.reason} at byte {error.start}"
    if isinstance(value, (dict, list, tuple, set, np.ndarray)):
        return f"{BROKEN}expected one value, got {type(value).__name__}"
    text = str(value)
    if len(text) > LONGEST:
        return f"{BROKEN}longer than {LONGEST:,} characters"
    if not (text.isascii() and text.isprintable()):  # nearly every cell is, and needs none of this
        text = unicodedata.normalize("NFC", "".join(" " if c in CONTROLS else c for c in text))
        text = text.encode("utf-8", "replace").decode("utf-8")
    text = " ".join(text.split())
    return text.partition(".")[0] if form is None and text.endswith("0") and WHOLE_NUMBER.fullmatch(text) else text


def _rows(items: Iterable[str]) -> Iterable[list[str]]:
    for piece in pieces(items):
        yield from (["" if c[:1] == BROKEN else c for c in item.split(SEPARATOR)] for item in piece)


def _columns(piece: list[str]) -> list[tuple[str, ...]]:
    return list(zip(*(item.split(SEPARATOR) for item in piece), strict=True))


def _values(column: dict, cells: Sequence[str]) -> np.ndarray:
    """Cells of a number or date -> (N, P) float64, NaN where missing or unreadable."""
    if column["type"] == "date":
        return as_dates(cells, column["day_first"])
    return NumberFormat(**column.get("format") or {}).parse(cells)[:, None]


def _block(statistics: dict, cells: list[tuple[str, ...]]) -> np.ndarray:
    numbers, codes = [], []
    for column, own in zip(statistics["columns"], cells, strict=True):
        if column["type"] == "category":
            known = {name: code for code, name in enumerate(column["names"], UNKNOWN + 1)}
            lost = (MISSING, UNKNOWN)
            codes.append([known.get(c, lost[bool(c) and c[0] != BROKEN]) for c in own])
        else:
            mean, std = np.array(column["mean"]), np.array(column["std"])
            values = np.clip(_values(column, own), column["low"], column["high"])
            numbers.append(values / std - mean / std)
    found = np.concatenate(numbers, axis=1) if numbers else np.zeros((len(cells[0]), 0))
    missing = np.isnan(found)
    parts = [np.where(missing, 0, found), missing, *(np.array(c)[:, None] for c in codes)]
    return np.concatenate(parts, axis=1).astype(np.float32)


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:37] + "..."
