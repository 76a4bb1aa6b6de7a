"""A network with all of its widths scaled by one factor, to fit a budget."""

from __future__ import annotations

from typing import Any

from ..recipe import Network
from ..types import Spec
from .architecture_space import MIN_WIDTH, WIDTH_KEYS, WIDTH_MULTIPLE, scale_all, scale_width

SCALES = (0.75, 0.5, 0.35, 0.25, 0.18, 0.125)
MIN_BUCKETS = 64  # ids that an n-gram's embedding is found by


def narrowed(network: Network, spec: Spec, scale: float) -> Network:
    """The network whose widths are ``scale`` times as large: of encoders that are trained, the fusion and the head.
    Of hashed n-grams width and number of embeddings share the factor."""
    raw, statistics = network.bare().model_dump(mode="json"), {field.name: field.statistics for field in spec.fields}
    for name, encoder in raw["encoders"].items():
        if not encoder.get("frozen"):
            raw["encoders"][name] = _narrowed_encoder(encoder, statistics[name], scale)
    if raw["fusion"].get("width"):
        raw["fusion"]["width"] = scale_width(raw["fusion"]["width"], scale, raw["fusion"].get("heads", WIDTH_MULTIPLE))
    if raw["hidden"]:
        raw["hidden"] = scale_width(raw["hidden"], scale)
    return Network.model_validate(raw)


def _narrowed_encoder(raw: dict[str, Any], statistics: dict[str, Any], scale: float) -> dict[str, Any]:
    multiple = int(raw.get("heads", WIDTH_MULTIPLE))
    if raw["kind"] == "ngrams":
        share = scale**0.5
        buckets = max(round(share * (raw["buckets"] or statistics["vocabulary"])), MIN_BUCKETS)
        return {**raw, "embedding": max(MIN_WIDTH, round(share * raw["embedding"])), "buckets": buckets}
    changed = dict(raw)
    for key in (key for key in WIDTH_KEYS if raw.get(key) and not raw.get("vectors")):
        changed[key] = scale_all(raw[key], scale, multiple)
    return changed
