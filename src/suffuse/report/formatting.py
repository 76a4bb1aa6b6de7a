"""Numbers, texts and tables of text as the report writes them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from .i18n import t

NBSP = "\u00a0"  # between a number and its unit: no line break
SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
DASH = "–"  # an undefined value in a table of precision and recall


@dataclass(frozen=True)
class TextTable:
    """A table of text: title, headings, rows. The page and the terminal show the same ones."""

    title: str
    headings: tuple[str, ...]
    rows: list[tuple[str, ...]]

    def lines(self) -> list[str]:
        """Lines for the terminal."""
        return [self.title, *align_columns([self.headings, *self.rows])]


def align_columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Cells -> lines of text: the first column left-aligned, the others right-aligned; a column without a heading is
    left out."""
    rows = [[cell for cell, heading in zip(row, rows[0], strict=True) if heading] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(c.rjust(w) if n else c.ljust(w) for n, (c, w) in enumerate(zip(row, widths, strict=True))).rstrip()
        for row in rows
    ]


def percent(value: float, digits: int = 2) -> str:
    """0.9987 -> ``99.87 %``, with a no-break space."""
    return f"{100 * value:.{digits}f}{NBSP}%"


def two_decimals(value: float | None) -> str:
    """``0.83``; a dash where it is undefined."""
    return DASH if value is None or math.isnan(value) else f"{value:.2f}"


def short(value: object, limit: int = 60) -> str:
    """A text of any length, cut to ``limit`` characters."""
    text = str(value)
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def ratio_text(value: float, reference: float, smaller: str, larger: str, equal: str) -> str:
    """How two sizes compare: ``27.7 times SMALLER``, or ``1.3 times LARGER`` where ``value`` exceeds ``reference``."""
    if not value or not reference:
        return t("not comparable")
    ratio = reference / value
    if 0.995 < ratio < 1.005:
        return t(equal)
    word, number = (smaller, ratio) if ratio > 1 else (larger, 1 / ratio)
    return t("%(number)s times " + word, number=f"{number:.3g}")


def kilobytes(size: int) -> str:
    """1957720 -> ``1,957.7 kB``."""
    return f"{size / 1000:,.1f}{NBSP}kB"


def separator() -> str:
    """What stands between the items of a list."""
    return t("%(item)s, %(next)s", item="", next="")


def join_names(names: Sequence[str], limit: int = 20) -> str:
    """``a, b, c and 7 more``."""
    text = separator().join(short(name, 40) for name in names[:limit])
    return (
        t("%(part)s and %(further)s more", part=text, further=f"{len(names) - limit:,}") if len(names) > limit else text
    )


def count(number: int, singular: str, plural: str | None = None) -> str:
    """``1 row``, ``2,000 rows``."""
    return f"{number:,} {t(singular if number == 1 else plural or singular + 's')}"


def scientific(value: float) -> str:
    """1.3e-06 -> ``1.3 × 10⁻⁶``."""
    if not value:
        return "0"
    digits, _, power = f"{value:.1e}".partition("e")
    return f"{digits}{NBSP}×{NBSP}10" + str(int(power)).translate(SUPERSCRIPT)


def amount(value: float, digits: int = 4, *, pad: bool = False) -> str:
    """A number of any size, in ASCII: ``4.56``, ``12,346``, ``0.00123``. Digits before the point are never rounded;
    ``pad`` keeps trailing zeros, for columns of numbers."""
    if not math.isfinite(value):
        return "-"
    if value and abs(value) < 1e-4:
        return f"{value:.{digits - 1}g}"
    size = math.floor(math.log10(abs(value))) if value else 0
    text = f"{value:,.{max(0, digits - 1 - size)}f}"
    if "." in text and not pad:
        text = text.rstrip("0").rstrip(".")
    return text if abs(value) >= 10_000 else text.replace(",", "")


def rounded(value: float, spread: float) -> str:
    """A number to about a hundredth of the spread of such numbers: 1698.8532, 6.1 -> ``1698.85``."""
    decimals = 2 - math.floor(math.log10(spread))
    if abs(value) < 0.5 * 10.0**-decimals:
        return "0"
    size = math.floor(math.log10(abs(value))) if value and math.isfinite(value) else 0
    return amount(value, max(1, size + 1 + decimals))


def minus(text: str) -> str:
    """A text with numbers in ASCII -> with the typographic minus; the hyphen of a word stays."""
    return re.sub(r"-(?=[\d.]|inf|nan|$)", "−", text)


def sentence_space() -> str:
    """What stands between two sentences: nothing in Chinese, whose full stop is full-width."""
    return " " if t(". ").endswith(" ") else ""


def typographic(text: str) -> str:
    """A text in ASCII as the page writes it: the minus of numbers, no line break before a percent sign."""
    return minus(text).replace(" %", f"{NBSP}%")


def sentence(text: str) -> str:
    """A clause as a sentence of its own."""
    return text[:1].upper() + text[1:] + t(".")
