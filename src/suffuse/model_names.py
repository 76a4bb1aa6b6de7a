"""Names of a run's models: ``student``, ``baseline-0.05``, ``baseline-0.05-x2``, ``only-picture``.

``-FRACTION`` is the share of the labels, ``-xFACTOR`` stands for a baseline with FACTOR times the epochs.
"""

from __future__ import annotations

import re

_TRAINED = re.compile(r"(student|baseline)(?:-([0-9.e-]*[0-9]))?(?:-x([0-9]+))?")


def with_fraction(model: str, fraction: float) -> str:
    """The name of a model that sees this share of the labels."""
    return model if fraction == 1 else f"{model}-{fraction:g}"


def longer_name(model: str, factor: int) -> str:
    """The name of a baseline with ``factor`` times the epochs."""
    return f"{model}-x{factor}"


def parse_trained(name: str) -> tuple[str, str, int] | None:
    """``baseline-0.05-x2`` -> kind, share of the labels as text ("" for all), factor of the epochs; None for models
    that are neither students nor their baselines."""
    match = _TRAINED.fullmatch(name)
    return (match[1], match[2] or "", int(match[3] or 1)) if match else None
