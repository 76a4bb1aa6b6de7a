"""Numbers and texts, as the page says them."""

from __future__ import annotations

from collections.abc import Sequence

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
        return "not comparable"
    ratio = theirs / ours
    if 0.995 < ratio < 1.005:
        return same
    return f"{ratio:.3g} times {less}" if ratio > 1 else f"{1 / ratio:.3g} times {more}"


def kilobytes(size: int) -> str:
    """1957720 -> ``1,957.7 kB``."""
    return f"{size / 1000:,.1f}{JOIN}kB"


def listed(names: Sequence[str], most: int = 20) -> str:
    """``a, b, c and 7 more``."""
    said = ", ".join(short(n, 40) for n in names[:most])
    return f"{said} and {len(names) - most:,} more" if len(names) > most else said


def count(number: int, one: str, many: str | None = None) -> str:
    """``1 row``, ``2,000 rows``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def tiny(value: float) -> str:
    """1.3e-06 -> ``1.3 × 10⁻⁶``."""
    if not value:
        return "0"
    digits, _, power = f"{value:.1e}".partition("e")
    return f"{digits}{JOIN}×{JOIN}10" + str(int(power)).translate(RAISED)
