"""How the numbers of a column are written: decimal sign, thousands separator and unit, as ``1.234,50 €``.

A cell is a number only where all of it fits the column's format; nothing is guessed cell by cell. The unit may stand
before or behind the digits, or be left out; a number in parentheses, or with a minus behind it, is negative.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from pydantic import Field, model_validator

from ..registry import Settings
from .value_parsing import as_numbers

MINUS = str.maketrans({"−": "-", "’": "'", "＋": "+", "－": "-"})


class NumberFormat(Settings):
    """How numbers are written."""

    decimal: Literal[".", ","] = Field(default=".", description="Decimal sign.")
    thousands: Literal["", ".", ",", " ", "'"] = Field(default="", description="Separator of thousands.")
    unit: str = Field(default="", max_length=20, description="Currency, percent sign or unit, which is left out.")

    @model_validator(mode="after")
    def _distinct(self) -> NumberFormat:
        if self.decimal == self.thousands:
            raise ValueError(f"got '{self.decimal}' as decimal sign and thousands separator, expected two signs")
        return self

    def __str__(self) -> str:
        signs = f"decimal '{self.decimal}'" + (f", thousands '{self.thousands}'" if self.thousands else "")
        return signs + (f", unit '{self.unit}'" if self.unit else "")

    def short(self) -> dict[str, str]:
        """The keys that differ from their defaults, as a recipe has them."""
        return self.model_dump(exclude_defaults=True)

    def parse(self, texts: Iterable[str]) -> np.ndarray:
        """Texts -> (N,) float64, NaN where one is no number in this format."""
        if self == PLAIN:
            return as_numbers(texts)
        pattern = _pattern(self.decimal, self.thousands, self.unit)
        return np.array([_number(text, pattern, self) for text in texts], dtype=np.float64)

    def write(self, value: float) -> str:
        """A number as a text of this format, without its unit."""
        return repr(value.item() if isinstance(value, np.generic) else value).replace(".", self.decimal)


PLAIN = NumberFormat()


def is_number(value: Any) -> bool:
    """Whether a cell is a number already, and no text."""
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


def _number(text: str, pattern: re.Pattern[str], form: NumberFormat) -> float:
    parts = pattern.fullmatch(" ".join(text.translate(MINUS).split()))
    if not parts or (form.unit and text.count(form.unit) > 1):
        return math.nan
    signs = [sign for sign in parts.group("sign", "inner", "behind") if sign]
    parentheses = bool(parts["open"]), bool(parts["close"])
    if len(signs) + any(parentheses) > 1 or parentheses[0] != parentheses[1]:
        return math.nan
    digits = parts["digits"].replace(form.thousands, "") if form.thousands else parts["digits"]
    value = float(digits.replace(form.decimal, "."))
    value = -value if signs == ["-"] or parentheses[0] else value
    return value if math.isfinite(value) else math.nan


@lru_cache(maxsize=256)
def _pattern(decimal: str, thousands: str, unit: str) -> re.Pattern[str]:
    point, sign, name = re.escape(decimal), re.escape(thousands), re.escape(" ".join(unit.split()))
    inner = r"\d{2,3}" if thousands == "," else r"\d{3}"  # 12,34,567 as in India
    grouped = rf"[1-9]\d{{0,2}}(?:{sign}{inner})*{sign}\d{{3}}|" if thousands else ""
    digits = rf"(?P<digits>(?:(?:{grouped}\d+)(?:{point}\d*)?|{point}\d+)(?:[eE][+-]?\d+)?)"
    before, behind = (rf"(?:{name} ?)?", rf"(?: ?{name})?") if unit else ("", "")
    start = rf"(?P<open>\()?(?P<sign>[+-])? ?{before}(?P<inner>[+-])? ?"
    return re.compile(rf"{start}{digits}{behind}(?P<behind>-)?(?P<close>\))?{behind}", re.ASCII)
