"""The student's shape: width and depth of its encoders, the fusion, the head.

Widths are scaled from what the recipe has; a frozen encoder stays as it is, for its vectors are computed already.
"""

from __future__ import annotations

from typing import Any

from .. import fusions
from ..registry import PartSettings, load, settings
from .samplers import Ask
from .search_context import Ground

SCALES = (0.5, 0.75, 1.0, 1.25, 1.5)
WIDE = ("widths", "width", "embedding", "dense")  # keys of an encoder that hold its widths
TOKENS = ("queries",)  # fusions that want the encoders' tokens: kept where the recipe has them, else not proposed
MULTIPLE = 4  # widths are rounded to it, or to the number of heads
LEAST = 4


def shape(ask: Ask, ground: Ground) -> dict[str, Any]:
    """Overrides of the student's network."""
    found: dict[str, Any] = {}
    for name, one in ground.recipe.student.encoders.items():
        if not getattr(one, "frozen", False):
            found |= encoder(ask, name, one)
    fusion = fused(ask, ground)
    found |= fusion
    chosen = settings(fusions.TABLE, fusion.get("student.fusion", ground.recipe.student.fusion))
    hidden = ground.recipe.student.hidden
    if fusions.headless(chosen):
        found |= {"student.hidden": 0} if hidden else {}
    elif hidden:
        scale = ask.choice("hidden", SCALES, 1.0)
        found |= {"student.hidden": scaled(hidden, scale)} if scale != 1 else {}
    return found


def encoder(ask: Ask, name: str, one: PartSettings) -> dict[str, Any]:
    """Overrides of one encoder: all its widths by one factor, and one layer more or less."""
    raw, found = one.model_dump(mode="json"), {}
    where, multiple, scale = f"student.encoders.{name}", int(raw.get("heads", MULTIPLE)), 1.0
    if any(key in raw for key in WIDE) and not raw.get("vectors"):  # word vectors have a width of their own
        scale = ask.choice(f"{name}.width", SCALES, 1.0)
        for key in (k for k in WIDE if k in raw and scale != 1):
            if key != "embedding" or raw[key]:  # 0: it follows from the column
                found[f"{where}.{key}"] = _all(raw[key], scale, multiple)
    if deep := deepened(raw, ask, name):
        key, value = deep
        if key == "widths":
            value = _all(value, scale, multiple) if f"{where}.widths" in found else value
        found[f"{where}.{key}"] = value
    return found


def deepened(raw: dict[str, Any], ask: Ask, name: str) -> tuple[str, Any] | None:
    """The key that says how deep an encoder is, and its new value; None where it stays."""
    key = next((k for k in ("depth", "blocks", "widths") if k in raw), None)
    if key is None:
        return None
    more = ask.choice(f"{name}.depth", (-1, 0, 1), 0)
    if more == 0:
        return None
    if key != "widths":
        least = 0 if raw.get("kind") == "tcn" else 1
        return (key, raw[key] + more) if raw[key] + more >= least else None
    widths = list(raw[key])
    if more < 0:
        return (key, widths[1:]) if len(widths) > 1 else None
    return key, [*widths, widths[-1]]


def fused(ask: Ask, ground: Ground) -> dict[str, Any]:
    """Overrides of the fusion: another kind that takes as many modalities, and its width."""
    now, found = ground.recipe.student.fusion, {}
    kind = ask.choice("fusion", kinds(ground), now.kind) if len(ground.names) > 1 else now.kind
    raw = now.model_dump(mode="json") if kind == now.kind else {"kind": kind}
    part: Any = load(fusions.TABLE, kind)
    if "width" in part.Settings.model_fields:
        width, multiple = raw.get("width") or _width(ground), int(raw.get("heads", MULTIPLE))
        scale = ask.choice("fusion.width", SCALES, 1.0)
        raw["width"] = width if scale == 1 and "width" in raw else scaled(width, scale, multiple)
    if raw != now.model_dump(mode="json"):
        found["student.fusion"] = raw
    return found


def kinds(ground: Ground) -> list[str]:
    """Kinds of fusions that take the student's modalities, the recipe's own first."""
    now, count, found = ground.recipe.student.fusion.kind, len(ground.names), []
    for kind in fusions.TABLE:
        fewest, most = load(fusions.TABLE, kind).TAKES
        if kind != now and fewest <= count <= most and kind not in TOKENS:
            found.append(kind)
    return [now, *found]


def scaled(width: int, scale: float, multiple: int = MULTIPLE) -> int:
    """A width by a factor, rounded."""
    return max(LEAST, multiple, round(width * scale / multiple) * multiple)


def _width(ground: Ground) -> int:
    """Of a fusion whose recipe names none: as wide as the head's hidden layer, or 64."""
    return ground.recipe.student.hidden or 64


def _all(value: Any, scale: float, multiple: int) -> Any:
    return [scaled(v, scale, multiple) for v in value] if isinstance(value, list) else scaled(value, scale, multiple)
