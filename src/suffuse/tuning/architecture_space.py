"""The student's architecture: width and depth of its encoders, the fusion, the head.

Widths are scaled from the recipe's. A frozen encoder stays unchanged, for its vectors are computed already.
"""

from __future__ import annotations

from typing import Any

from .. import fusions
from ..registry import PartSettings, settings
from .samplers import Sampler, SearchContext

SCALES = (0.5, 0.75, 1.0, 1.25, 1.5)
WIDTH_KEYS = ("widths", "width", "embedding", "dense")  # of an encoder's settings
TOKEN_FUSIONS = ("queries",)  # need tokens of the encoders: kept where the recipe has them, otherwise not proposed
WIDTH_MULTIPLE = 4  # widths are rounded to it, or to the number of heads
MIN_WIDTH = 4


def network_overrides(sampler: Sampler, context: SearchContext) -> dict[str, Any]:
    """Overrides of the student's network."""
    overrides: dict[str, Any] = {}
    for name, encoder in context.recipe.student.encoders.items():
        if not encoder.get("frozen"):
            overrides |= encoder_overrides(sampler, name, encoder)
    fusion = fusion_overrides(sampler, context)
    overrides |= fusion
    chosen = settings(fusions.TABLE, fusion.get("student.fusion", context.recipe.student.fusion))
    hidden = context.recipe.student.hidden
    if fusions.headless(chosen):
        overrides |= {"student.hidden": 0} if hidden else {}
    elif hidden:
        scale = sampler.choice("hidden", SCALES, 1.0)
        overrides |= {"student.hidden": scale_width(hidden, scale)} if scale != 1 else {}
    return overrides


def encoder_overrides(sampler: Sampler, name: str, encoder: PartSettings) -> dict[str, Any]:
    """Overrides of one encoder: all its widths by one factor, and one layer more or fewer."""
    raw, overrides = encoder.model_dump(mode="json"), {}
    prefix, multiple, scale = f"student.encoders.{name}", int(raw.get("heads", WIDTH_MULTIPLE)), 1.0
    if any(key in raw for key in WIDTH_KEYS) and not raw.get("vectors"):  # word vectors have a width of their own
        scale = sampler.choice(f"{name}.width", SCALES, 1.0)
        for key in (k for k in WIDTH_KEYS if k in raw and scale != 1):
            if key != "embedding" or raw[key]:  # 0: it follows from the column
                overrides[f"{prefix}.{key}"] = scale_all(raw[key], scale, multiple)
    if depth := changed_depth(raw, sampler, name):
        key, value = depth
        if key == "widths":
            value = scale_all(value, scale, multiple) if f"{prefix}.widths" in overrides else value
        overrides[f"{prefix}.{key}"] = value
    return overrides


def changed_depth(raw: dict[str, Any], sampler: Sampler, name: str) -> tuple[str, Any] | None:
    """The key that sets an encoder's depth, and its new value; None where it stays."""
    key = next((k for k in ("depth", "blocks", "widths") if k in raw), None)
    if key is None:
        return None
    change = sampler.choice(f"{name}.depth", (-1, 0, 1), 0)
    if change == 0:
        return None
    if key != "widths":
        minimum = 0 if raw.get("kind") == "tcn" else 1
        return (key, raw[key] + change) if raw[key] + change >= minimum else None
    widths = list(raw[key])
    if change < 0:
        return (key, widths[1:]) if len(widths) > 1 else None
    return key, [*widths, widths[-1]]


def fusion_overrides(sampler: Sampler, context: SearchContext) -> dict[str, Any]:
    """Overrides of the fusion: another kind for the same number of modalities, and its width."""
    current = context.recipe.student.fusion
    kind = sampler.choice("fusion", fusion_kinds(context), current.kind) if len(context.names) > 1 else current.kind
    raw = current.model_dump(mode="json") if kind == current.kind else {"kind": kind}
    if "width" in fusions.load_fusion(kind).Settings.model_fields:
        # a fusion without a width in the recipe is as wide as the head's hidden layer, or 64
        width = raw.get("width") or context.recipe.student.hidden or 64
        scale = sampler.choice("fusion.width", SCALES, 1.0)
        if scale != 1 or "width" not in raw:
            raw["width"] = scale_width(width, scale, int(raw.get("heads", WIDTH_MULTIPLE)))
        else:
            raw["width"] = width
    return {"student.fusion": raw} if raw != current.model_dump(mode="json") else {}


def fusion_kinds(context: SearchContext) -> list[str]:
    """Kinds of fusions that take the student's number of modalities, the recipe's own first."""
    current, count, kinds = context.recipe.student.fusion.kind, len(context.names), []
    for kind in fusions.TABLE:
        fewest, most = fusions.load_fusion(kind).TAKES
        if kind != current and fewest <= count <= most and kind not in TOKEN_FUSIONS:
            kinds.append(kind)
    return [current, *kinds]


def scale_width(width: int, scale: float, multiple: int = WIDTH_MULTIPLE) -> int:
    """A width by a factor, rounded."""
    return max(MIN_WIDTH, multiple, round(width * scale / multiple) * multiple)


def scale_all(value: Any, scale: float, multiple: int) -> Any:
    """One width, or a list of them, by a factor."""
    if isinstance(value, list):
        return [scale_width(v, scale, multiple) for v in value]
    return scale_width(value, scale, multiple)
