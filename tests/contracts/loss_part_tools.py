"""Every loss as a recipe's part, with every choice of its settings, and the rows of the checks."""

from __future__ import annotations

import pytest

from suffuse import losses
from suffuse.testing.loss_checks import COUNT, Built, output_tensors, repeated_rows, rows
from suffuse.types import CLASSES

__all__ = ["ANSWERS", "CASES", "COUNT", "RELATIONS", "Built", "output_tensors", "repeated_rows", "rows"]

RELATIONS = [kind for kind in losses.TABLE if losses.load_loss(kind).MIN_ROWS > 1]  # compare rows
CASES = [
    pytest.param({"kind": kind, **choice}, id="-".join([kind, *(str(v) for v in choice.values())]))
    for kind in losses.TABLE
    for choice in losses.load_loss(kind).EXAMPLES
]
ANSWERS = [  # every loss on answers, with every kind of target that it is valid for
    pytest.param(*case.values, kind, id=f"{case.id}-{kind}")
    for case in CASES
    for kind in (losses.load_loss(case.values[0]["kind"]).HEADS or (CLASSES,))  # type: ignore[index]
]
