"""The Pareto front: the trials that no other trial dominates in quality, latency and size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

QUALITY, LATENCY, SIZE = "quality", "latency", "size"
OBJECTIVES = (QUALITY, LATENCY, SIZE)
MAX_CHARACTERS = 160  # of the overrides in a line of the table


def dominates(a: Mapping, b: Mapping) -> bool:
    """Whether ``a`` is no worse than ``b`` in quality, latency and size, and better in one of them; an unknown latency
    is no advantage for either."""
    pairs = [(-a[QUALITY], -b[QUALITY]), (a[SIZE], b[SIZE])]
    if a[LATENCY] is not None and b[LATENCY] is not None:
        pairs.append((a[LATENCY], b[LATENCY]))
    return all(x <= y for x, y in pairs) and any(x < y for x, y in pairs)


def front(points: Sequence[Mapping]) -> list[Mapping]:
    """The points that none dominates, the best quality first; of equal points the first."""
    kept: list[Mapping] = []
    for point in points:
        if any(dominates(p, point) for p in points):
            continue
        if not any(all(point[goal] == p[goal] for goal in OBJECTIVES) for p in kept):
            kept.append(point)
    return sorted(kept, key=lambda p: (-p[QUALITY], p[SIZE]))


def front_table(points: Sequence[Mapping], metric: str, own: Mapping) -> list[str]:
    """Lines of a table for the terminal, with each point relative to the recipe's student."""
    rows = [("trial", f"validation {metric}", "latency", "parameters", "what it changes")]
    for p in points:
        latency = "-" if p[LATENCY] is None else f"{p[LATENCY]:.3f} ms ({p[LATENCY] / own[LATENCY]:.2f} x)"
        size = f"{p[SIZE]:,} ({p[SIZE] / own[SIZE]:.2f} x)"
        rows.append((p["name"], f"{p[QUALITY]:.4f}", latency, size, _overrides_text(p["overrides"])))
    widths = [max(len(row[n]) for row in rows) for n in range(4)]
    return ["  ".join([*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[4]]) for row in rows]


def _overrides_text(overrides: Sequence[str]) -> str:
    if not overrides:
        return "nothing: the recipe as it is"
    text = "; ".join(overrides)
    return text if len(text) <= MAX_CHARACTERS else text[: MAX_CHARACTERS - 3] + "..."
