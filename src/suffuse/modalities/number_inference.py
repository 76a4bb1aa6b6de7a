"""The format of a column of numbers, inferred from all of its cells: they decide what 1,234 and 1.234 mean."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ..subsample import evenly_spaced
from .number_format import MINUS, PLAIN, NumberFormat
from .value_parsing import as_numbers

SURE = 0.95  # of a column's cells must be numbers
SHARED = 0.99  # of the cells must share a unit that is no currency and no percent
MAX_DISTINCT = 5000  # different cells that decide
CODES = frozenset(
    (
        *("EUR", "USD", "GBP", "CHF", "JPY", "CNY", "RMB", "SEK", "NOK", "DKK", "PLN", "CZK", "HUF", "RON", "BGN"),
        *("RUB", "UAH", "TRY", "INR", "BRL", "KRW", "AUD", "CAD", "NZD", "HKD", "SGD", "TWD", "MXN", "ZAR", "ILS"),
        *("THB", "EURO", "Kč", "zł", "kr", "kr.", "Ft", "lei", "лв", "руб", "руб.", "Fr.", "R$", "US$", "A$", "C$"),
        *("HK$", "NT$", "S$", "元", "圆", "円", "원", "%", "％", "‰"),
    )
)
PARTS = re.compile(
    r"\(?[+-]? ?(?P<before>[^\d\s.,'()+-][^\d\s,'()+-]{0,5})? ?[+-]?(?P<digits>\.?,?\d[\d.,' ]*?)(?:[eE][+-]?\d+)?"
    r" ?(?P<behind>[^\d\s.,'()+-][^\d,'()+-]{0,9})?-?\)?"
)
# decimal and thousands, the likelier ones first where cells fit several
CANDIDATES = ((".", ""), (".", ","), (",", "."), (",", " "), (".", " "), (",", "'"), (".", "'"), (",", ""))
COMPANION = {".": ",", ",": "."}  # the thousands separator of a decimal sign, where no cell has any


@dataclass(frozen=True)
class Inferred:
    """A column's format, the share of its cells that are numbers in it, and what no cell decides."""

    format: NumberFormat
    share: float
    note: str = ""


def infer(cells: Sequence[str]) -> Inferred | None:
    """The format of a column's cells (none of them empty); None where fewer than ``SURE`` are numbers in any."""
    inferred = best_format(cells)
    return inferred if inferred.share >= SURE else None


def best_format(cells: Sequence[str]) -> Inferred:
    """The format in which most of the cells are numbers."""
    counts = Counter(" ".join(cell.translate(MINUS).split()) for cell in cells)
    texts = [list(counts)[position] for position in evenly_spaced(len(counts), MAX_DISTINCT)]
    weights = np.array([counts[text] for text in texts], dtype=np.int64)
    unit = _unit(texts, weights)
    if not unit and not any(set(text) & set(",' ()") for text in texts) and not _are_grouped(texts, "."):
        return _plain(texts, weights)
    formats = [NumberFormat.model_validate({"decimal": d, "thousands": t, "unit": unit}) for d, t in CANDIDATES]
    shares = [_share(form.parse(texts), weights) for form in formats]
    best = max(shares)
    fitting = [form for form, share in zip(formats, shares, strict=True) if share == best]
    return Inferred(*_chosen(fitting, texts, best))


def _share(values: np.ndarray, weights: np.ndarray) -> float:
    """Of the cells that values (N,) stand for how many they are: exactly 1 where none is NaN."""
    return int(weights[~np.isnan(values)].sum()) / max(int(weights.sum()), 1)


def _plain(texts: Sequence[str], weights: np.ndarray) -> Inferred:
    """Numbers as programs write them; a note where 1.234 might have been 1234."""
    share = _share(as_numbers(texts), weights)
    dotted = [text for text in texts if "." in text]
    doubt = len(dotted) > 1 and all(_groups(text, ".") for text in dotted) and len(dotted) == len(texts)
    return Inferred(PLAIN, share, f"'{dotted[0]}' is read as {float(dotted[0]):g}: no cell decides" if doubt else "")


def _chosen(fitting: Sequence[NumberFormat], texts: Sequence[str], share: float) -> tuple[NumberFormat, float, str]:
    """Of formats that fit the same cells the one that the signs of all cells speak for."""
    cores = [parts["digits"] for text in texts if (parts := PARTS.fullmatch(text))]
    has_dot, has_comma = (any(sign in core for core in cores) for sign in ".,")
    dotted = _are_grouped(cores, ".") and not has_comma
    candidates = [form for form in fitting if (form.decimal, form.thousands) == (",", ".")] if dotted else []
    form = (candidates or list(fitting))[0]
    note = ""
    if has_comma and not has_dot and form.thousands == "," and not _grouping_is_certain(cores, ","):
        example = next(core for core in cores if "," in core)
        note = f"'{example}' is read as {example.replace(',', '')}: no cell decides"
    if form.thousands == "" and form != PLAIN:
        form = form.model_copy(update={"thousands": COMPANION[form.decimal]})
    return form, share, note


def _are_grouped(texts: Sequence[str], sign: str) -> bool:
    """Whether ``sign`` separates thousands: each cell that has it ends in groups of three digits, there are cells
    without it, and these are below 1000; or it stands in a cell twice."""
    having = [text for text in texts if sign in text]
    twice = any(text.count(sign) > 1 for text in having)
    return bool(having) and all(_groups(t, sign) for t in having) and (twice or (len(having) > 1 and _are_small(texts)))


def _grouping_is_certain(texts: Iterable[str], sign: str) -> bool:
    texts = list(texts)
    return any(text.count(sign) > 1 for text in texts) or _are_small(texts)


def _are_small(texts: Iterable[str]) -> bool:
    """Whether there are cells of digits alone, and these are below 1000."""
    whole = [text for text in texts if text.isdigit()]
    return bool(whole) and all(len(text) <= 3 for text in whole)


def _groups(text: str, sign: str) -> bool:
    return re.fullmatch(rf"[+-]?[1-9]\d{{0,2}}(?:{re.escape(sign)}\d{{3}})+", text, re.ASCII) is not None


def _unit(texts: Sequence[str], weights: np.ndarray) -> str:
    """The commonest unit of the cells; none where it is neither a currency, a percent sign nor shared by all."""
    shares: defaultdict[str, float] = defaultdict(float)
    behind: defaultdict[str, float] = defaultdict(float)
    total = max(int(weights.sum()), 1)
    for text, weight in zip(texts, weights, strict=True):
        if parts := PARTS.fullmatch(text):
            before, after = parts["before"] or "", (parts["behind"] or "").strip()
            shares[before or after] += float(weight) / total
            behind[after] += float(weight) / total
    shares.pop("", None)
    if not shares:
        return ""
    unit, share = max(shares.items(), key=lambda pair: pair[1])
    is_money = unit in CODES or unit.upper() in CODES or all(unicodedata.category(c) == "Sc" for c in unit)
    return unit if is_money or (share >= SHARED and behind[unit] == shares[unit]) else ""
