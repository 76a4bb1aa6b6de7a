"""Which models are compared."""

from __future__ import annotations

from suffuse.evaluation.comparisons import CLASSICAL, pairs

MODELS = ["teacher", "student", "baseline", "export", "classical", "classical-only-words"]


def test_with_a_classical_baseline_the_teacher_that_teaches_is_compared():
    def compared(models: list[str]) -> list[str]:
        return [candidate for about, candidate, _ in pairs(models, "classical") if about == CLASSICAL]

    assert compared(MODELS) == ["teacher", "student", "export"]
    assert compared([*MODELS, "ensemble"]) == ["ensemble", "student", "export"]
    assert pairs(MODELS) == [("distillation", "student", "baseline")]
