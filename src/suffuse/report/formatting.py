"""Numbers and texts, as the page says them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .i18n import t

JOIN = "\u00a0"  # between a number and its unit, so that no line breaks there
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def percent(value: float, digits: int = 2) -> str:
    """0.9987 -> ``99.87 %``; the space doesn't break."""
    return f"{100 * value:.{digits}f}{JOIN}%"


def short(value: object, most: int = 60) -> str:
    """A text that may be of any length, cut where it would spoil the page."""
    text = str(value)
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def times(ours: float, theirs: float, less: str, more: str, same: str) -> str:
    """How two sizes compare: ``27.7 times LESS``, or ``1.3 times MORE`` where ours is the larger one."""
    if not ours or not theirs:
        return t("not comparable")
    ratio = theirs / ours
    if 0.995 < ratio < 1.005:
        return t(same)
    said, number = (less, ratio) if ratio > 1 else (more, 1 / ratio)
    return t("%(number)s times " + said, number=f"{number:.3g}")


def kilobytes(size: int) -> str:
    """1957720 -> ``1,957.7 kB``."""
    return f"{size / 1000:,.1f}{JOIN}kB"


def listed(names: Sequence[str], most: int = 20) -> str:
    """``a, b, c and 7 more``."""
    said = ", ".join(short(n, 40) for n in names[:most])
    return t("%(some)s and %(more)s more", some=said, more=f"{len(names) - most:,}") if len(names) > most else said


def count(number: int, one: str, many: str | None = None) -> str:
    """``1 row``, ``2,000 rows``."""
    return f"{number:,} {t(one if number == 1 else many or one + 's')}"


def tiny(value: float) -> str:
    """1.3e-06 -> ``1.3 × 10⁻⁶``."""
    if not value:
        return "0"
    digits, _, power = f"{value:.1e}".partition("e")
    return f"{digits}{JOIN}×{JOIN}10" + str(int(power)).translate(RAISED)


def amount(value: float, digits: int = 4, *, pad: bool = False) -> str:
    """A number of any size, in ASCII: ``4.56``, ``12,346``, ``0.00123``. Whole digits are never rounded away; zeros at
    the end stay where numbers stand below each other (``pad``)."""
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
    """A number to about a hundredth of how much such numbers spread: 1698.8532, 6.1 -> ``1698.85``."""
    decimals = 2 - math.floor(math.log10(spread))
    if abs(value) < 0.5 * 10.0**-decimals:
        return "0"
    size = math.floor(math.log10(abs(value))) if value and math.isfinite(value) else 0
    return amount(value, max(1, size + 1 + decimals))


def minus(text: str) -> str:
    """Numbers in ASCII -> with the minus that belongs to them."""
    return text.replace("-", "−")


def sentence(text: str) -> str:
    """A part of a sentence as one of its own."""
    return text[:1].upper() + text[1:] + t(".")
