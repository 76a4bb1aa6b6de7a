"""Which difference the sentence of a verdict states."""

from __future__ import annotations

from typing import Any

import pytest

from suffuse.report.verdict_text import stated


def comparison(verdict: str, *longer: float) -> dict[str, Any]:
    """A student that is 0.17 ahead of the baseline of equal length."""
    lengths = [
        {"against": f"baseline-x{2**n}", "difference": gap, "low": gap - 0.01, "high": gap + 0.01, "p": 0.01}
        for n, gap in enumerate(longer, 1)
    ]
    return {"verdict": verdict, "who": "student", "against": "baseline", "difference": 0.17, "low": 0.15, "high": 0.19,
            "p_adjusted": 0.001, "p_every_length": 0.02, "longer": lengths}  # fmt: skip


@pytest.mark.parametrize(
    ("verdict", "longer", "against", "difference", "p"),
    [
        ("helps", (), "baseline", 0.17, 0.001),
        ("helps", (0.12, 0.14), "baseline-x2", 0.12, 0.02),
        ("helps", (0.18,), "baseline", 0.17, 0.02),
        ("faster", (-0.01,), "baseline", 0.17, 0.001),
        ("no evidence", (0.01,), "baseline", 0.17, 0.001),
    ],
)
def test_a_gain_is_over_the_baseline_that_comes_closest(verdict, longer, against, difference, p):
    facts = stated(comparison(verdict, *longer))
    assert (facts["against"], facts["difference"], facts["p_adjusted"]) == (against, difference, p)
    assert facts["low"] < difference < facts["high"]
