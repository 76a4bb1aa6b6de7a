"""Texts as numbers and dates. What isn't plainly one is NaN, and nothing is guessed.

"1,5", "$3", "1_000", "nan" and "inf" are no numbers. Dates are ISO ones (2024-03-05, 2024/3/5, with a time and an
offset or without), 5.3.2024 (the day first), "5 March 2024" and "Mar 5, 2024", and 5/3/2024 or 5-3-2024, where
somebody says whether the day comes first.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from datetime import date
from functools import lru_cache

import numpy as np

NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
PARTS = ("days", "month_sin", "month_cos", "weekday_sin", "weekday_cos")  # of a date, as numbers
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
NAMES = ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october")
NAMES += ("november", "december")
EPOCH = date(1970, 1, 1).toordinal()
TIME = r"(?:[T ](\d{1,2}):(\d{2})(?::(\d{2}(?:\.\d+)?))? ?(Z|[+-]\d{2}:?\d{2})?)?"
ISO = re.compile(rf"(\d{{4}})([-/])(\d{{1,2}})\2(\d{{1,2}}){TIME}", re.ASCII)
DOTS = re.compile(rf"(\d{{1,2}})\.(\d{{1,2}})\.(\d{{4}}){TIME}", re.ASCII)
SLASHES = re.compile(rf"(\d{{1,2}})([-/])(\d{{1,2}})\2(\d{{4}}){TIME}", re.ASCII)
DAY_MONTH = re.compile(rf"(\d{{1,2}})[ -]([A-Za-z]{{3,9}})\.?[ -](\d{{4}}){TIME}", re.ASCII)
MONTH_DAY = re.compile(rf"([A-Za-z]{{3,9}})\.? (\d{{1,2}}),? (\d{{4}}){TIME}", re.ASCII)


def as_number(text: str) -> float:
    """A decimal number, or NaN."""
    if not NUMBER.fullmatch(text):
        return math.nan
    value = float(text)
    return value if math.isfinite(value) else math.nan


def as_numbers(texts: Iterable[str]) -> np.ndarray:
    """Texts -> (N,) float64."""
    return np.array([as_number(t) for t in texts], dtype=np.float64)


def day_comes_first(texts: Iterable[str]) -> bool | None:
    """Of dates such as 13/2/2024: whether the day stands first; None where no text, or not every one, tells."""
    said = set()
    for text in texts:
        found = SLASHES.fullmatch(text)
        if found:
            one, other = int(found[1]), int(found[3])
            said |= {True} if one > 12 else {False} if other > 12 else set()
    return said.pop() if len(said) == 1 else None


def as_dates(texts: Sequence[str], day_first: bool | None) -> np.ndarray:
    """Texts -> (N, 5) float64: days since 1970-01-01 (with a fraction; an offset is taken off), sine and cosine of
    month and weekday; a row of NaN where the text is no date."""
    days = np.array([_days(t, day_first) for t in texts], dtype=np.float64).reshape(-1)
    found = np.full((len(days), len(PARTS)), np.nan)
    here = ~np.isnan(days)
    whole = np.floor(days[here]).astype(np.int64)
    months = whole.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64) % 12
    turns = (2 * np.pi * months / 12, 2 * np.pi * ((whole + 3) % 7) / 7)  # January, and Monday, are at 0
    found[here] = np.stack([days[here], *(f(t) for t in turns for f in (np.sin, np.cos))], axis=1)
    return found


@lru_cache(maxsize=65_536)
def _days(text: str, day_first: bool | None) -> float:
    """Days since 1970-01-01, or NaN."""
    if len(text) > 40:
        return math.nan
    if found := ISO.fullmatch(text):
        return _count(found[1], int(found[3]), found[4], found.groups()[4:])
    if found := DOTS.fullmatch(text):
        return _count(found[3], int(found[2]), found[1], found.groups()[3:])
    if found := DAY_MONTH.fullmatch(text):
        return _count(found[3], _month(found[2]), found[1], found.groups()[3:])
    if found := MONTH_DAY.fullmatch(text):
        return _count(found[3], _month(found[1]), found[2], found.groups()[3:])
    found = SLASHES.fullmatch(text)
    if not found or day_first is None:
        return math.nan
    day, month = (found[1], found[3]) if day_first else (found[3], found[1])
    return _count(found[4], int(month), day, found.groups()[4:])


def _count(year: str, month: int, day: str, time: tuple[str | None, ...]) -> float:
    hour, minute, second, zone = time
    try:
        days = float(date(int(year), month, int(day)).toordinal() - EPOCH)
    except ValueError:
        return math.nan
    if hour is None:
        return days
    hours, minutes, seconds = int(hour), int(minute or 0), float(second or 0)
    if hours > 23 or minutes > 59 or seconds >= 61:
        return math.nan
    away = 0 if zone in (None, "Z") else (60 * int(zone[1:3]) + int(zone[-2:])) * (-1 if zone[0] == "-" else 1)
    return days + (hours * 60 + minutes - away + seconds / 60) / 1440


def _month(name: str) -> int:
    """1 to 12; 0, which is no month, for another word."""
    plain = name.lower()
    plain = "sep" if plain == "sept" else plain
    return MONTHS.index(plain) + 1 if plain in MONTHS else NAMES.index(plain) + 1 if plain in NAMES else 0
