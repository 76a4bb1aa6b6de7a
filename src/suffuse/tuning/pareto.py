"""The Pareto front: what no other trial beats in everything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

QUALITY, LATENCY, SIZE = "quality", "latency", "size"
OBJECTIVES = (QUALITY, LATENCY, SIZE)


def dominates(one: Mapping, other: Mapping) -> bool:
    """Whether one is no worse in quality, latency and size, and better in one of them; an unknown latency is nobody's
    advantage."""
    pairs = [(-one[QUALITY], -other[QUALITY]), (one[SIZE], other[SIZE])]
    if one[LATENCY] is not None and other[LATENCY] is not None:
        pairs.append((one[LATENCY], other[LATENCY]))
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


def front(points: Sequence[Mapping]) -> list[Mapping]:
    """The points that none dominates, the best quality first; of equal ones the first."""
    left = [p for p in points if not any(dominates(other, p) for other in points)]
    found: list[Mapping] = []
    for point in left:
        if not any(all(point[goal] == other[goal] for goal in OBJECTIVES) for other in found):
            found.append(point)
    return sorted(found, key=lambda p: (-p[QUALITY], p[SIZE]))


def lines(points: Sequence[Mapping], metric: str, own: Mapping) -> list[str]:
    """A table for the terminal: each against the recipe's student."""
    rows = [("trial", f"validation {metric}", "latency", "parameters", "what it changes")]
    for p in points:
        speed = "-" if p[LATENCY] is None else f"{p[LATENCY]:.3f} ms ({p[LATENCY] / own[LATENCY]:.2f} x)"
        size = f"{p[SIZE]:,} ({p[SIZE] / own[SIZE]:.2f} x)"
        rows.append((p["name"], f"{p[QUALITY]:.4f}", speed, size, _few(p["overrides"])))
    widths = [max(len(row[n]) for row in rows) for n in range(4)]
    return ["  ".join([*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[4]]) for row in rows]


def _few(overrides: Sequence[str]) -> str:
    if not overrides:
        return "nothing: the recipe as it is"
    text = "; ".join(overrides)
    return text if len(text) <= 160 else text[:157] + "..."
