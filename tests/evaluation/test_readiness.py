"""Readiness from scorecards: every check, met, missed, unknown and without a target."""

from __future__ import annotations

import math
from typing import Any

import pytest

from suffuse.evaluation.readiness import best_classical, judge, share_kept
from suffuse.recipe import Goal
from suffuse.types import Head

ANSWER, PRICE = Head("answer", "classes"), Head("price", "number")


def value(mean: float) -> dict[str, Any]:
    return {"mean": mean, "low": mean - 0.01, "high": mean + 0.01, "per_seed": [mean]}


def card(metric: str, mean: float, **fields: Any) -> dict[str, Any]:
    return {"main": metric, "metrics": {metric: value(mean)}, **fields}


def retention(target: str, score: float, teacher: float, margin: float) -> dict[str, Any]:
    gap = score - teacher
    entry = {"target": target, "metric": "accuracy", "score": score, "teacher": teacher, "difference": gap}
    return {"against": "teacher", "rows": 100, "of": 100,
            "targets": [{**entry, "low": gap - margin, "high": gap + margin}]}  # fmt: skip


@pytest.fixture
def cards() -> dict[str, dict[str, Any]]:
    """A student that keeps 0.98 / 0.99 of its teacher, at 1/20 of the size and a quarter of the time."""
    subsets = {"picture+question": 0.98, "picture": 0.97, "question": 0.6, "nothing": 0.4}
    missing = {name: {"mean": mean, "cost": {"difference": mean - 0.98, "low": mean - 1, "high": mean - 0.96}}
               for name, mean in subsets.items()}  # fmt: skip
    return {
        "majority": card("accuracy", 0.4),
        "classical": card("accuracy", 0.85, classical={"validation": {"accuracy": 0.8}}),
        "classical-only-picture": card("accuracy", 0.99, classical={"validation": {"accuracy": 0.7}}),
        "classical-0.05": card("accuracy", 0.999, classical={"validation": {"accuracy": 0.99}}),
        "teacher": card("accuracy", 0.99, bytes=2_000_000, latency_ms={"p50": 0.4}),
        "student": card("accuracy", 0.97),
        "export": card("accuracy", 0.98, bytes=100_000, latency_ms={"p50": 0.1},
                       retention=retention("answer", 0.98, 0.99, 0.005),
                       missing={"metric": "accuracy", "subsets": missing}),
    }  # fmt: skip


def states(facts: dict[str, Any] | None) -> dict[str, str]:
    assert facts is not None
    return {reason["check"]: reason["state"] for reason in facts["reasons"]}


def judged(cards: dict[str, Any], *heads: Head, **goal: Any) -> dict[str, Any]:
    facts = judge(cards, heads or (ANSWER,), Goal(**goal))
    assert facts is not None
    assert facts["ready"] == (not {"missed", "unknown"} & {reason["state"] for reason in facts["reasons"]})
    return facts


def test_ready_with_measured_and_wanted_values(cards):
    facts = judged(cards, size="1MB", latency_ms=5)
    assert facts["ready"] and facts["model"] == "export"
    assert set(states(facts).values()) == {"met"}
    keep, chance, floor, exported, size, latency = facts["reasons"]
    assert keep["measured"] == pytest.approx(0.98 / 0.99) and keep["wanted"] == 0.98 and keep["settled"] is True
    assert (chance["measured"], chance["wanted"]) == (0.98, 0.4)
    assert (floor["against"], floor["wanted"]) == ("classical", 0.85)
    assert exported["measured"] is True
    assert (size["measured"], size["wanted"]) == (100_000, 1_000_000)
    assert (latency["measured"], latency["wanted"]) == (0.1, 5)
    assert facts["costs"]["teacher_bytes"] == 2_000_000


def test_size_and_time_without_a_target_are_measured_and_not_judged(cards):
    facts = judged(cards)
    assert facts["ready"] and states(facts)["size"] == states(facts)["latency_ms"] == "skipped"
    assert facts["reasons"][-1]["measured"] == 0.1


@pytest.mark.parametrize(
    ("goal", "check"), [({"size": "99kB"}, "size"), ({"latency_ms": 0.09}, "latency_ms"), ({"keep": 0.995}, "keep")]
)
def test_too_large_too_slow_too_low(cards, goal, check):
    facts = judged(cards, **goal)
    assert not facts["ready"]
    assert [name for name, state in states(facts).items() if state == "missed"] == [check]


def test_a_limit_itself_is_met(cards):
    assert judged(cards, size=100_000, latency_ms=0.1, keep=0.98 / 0.99)["ready"]


def test_below_the_best_classical_baseline_is_never_ready(cards):
    """The one that is best on validation rows counts, not the one that happens to be best on test rows."""
    assert best_classical(cards) == "classical"
    cards["classical"]["metrics"]["accuracy"] = value(0.9801)
    facts = judged(cards, keep=0.5)
    assert not facts["ready"] and states(facts)["floor"] == "missed"


def test_no_better_than_the_constant_prediction(cards):
    cards["majority"]["metrics"]["accuracy"] = value(0.98)
    facts = judged(cards)
    assert not facts["ready"] and states(facts)["chance"] == "missed" and states(facts)["keep"] == "met"


def test_the_lead_over_the_constant_prediction_is_reported(cards):
    """With 97 % of the rows in one class, a ratio of accuracies hides what the student has lost."""
    cards["majority"]["metrics"]["accuracy"] = value(0.97)
    facts = judged(cards)
    assert facts["ready"] and facts["reasons"][0]["lead"] == pytest.approx(0.5)


def test_without_an_export_the_student_is_judged_and_not_ready(cards):
    del cards["export"]
    facts = judged(cards, size="1MB", latency_ms=5)
    assert facts["model"] == "student" and not facts["ready"]
    assert [states(facts)[check] for check in ("export", "size", "latency_ms")] == ["unknown"] * 3
    assert facts["score"]["score"] == 0.97 and states(facts)["floor"] == "met"


def test_a_time_that_was_not_measured_is_unknown_where_it_is_wanted(cards):
    del cards["export"]["latency_ms"]
    assert judged(cards)["ready"]
    facts = judged(cards, latency_ms=5)
    assert not facts["ready"] and states(facts)["latency_ms"] == "unknown"


def test_without_a_teacher_the_floors_decide(cards):
    del cards["teacher"], cards["export"]["retention"]
    facts = judged(cards)
    assert facts["ready"] and states(facts)["keep"] == "skipped" and facts["score"]["kept"] is None
    cards["classical"]["metrics"]["accuracy"] = value(0.99)
    assert not judged(cards)["ready"]


def test_without_a_share_to_keep_the_teacher_may_be_far_better(cards):
    assert judged(cards, keep=None)["ready"]


def test_an_interval_across_the_goal_is_not_settled(cards):
    cards["export"]["retention"] = retention("answer", 0.98, 0.99, 0.02)
    facts = judged(cards)
    assert facts["ready"] and facts["settled"] is False
    cards["export"]["retention"] = retention("answer", 0.96, 0.99, 0.02)
    facts = judged(cards)
    assert not facts["ready"] and facts["settled"] is False
    cards["export"]["retention"] = retention("answer", 0.90, 0.99, 0.02)
    assert judged(cards)["settled"] is True


def test_scores_without_a_paired_interval_are_judged_by_the_means(cards):
    del cards["export"]["retention"]
    facts = judged(cards)
    assert facts["ready"] and facts["settled"] is None and "low" not in facts["score"]


def test_of_several_members_all_that_teach_together_are_the_teacher(cards):
    del cards["export"]["retention"]
    cards["ensemble"] = card("accuracy", 1.0)
    assert judged(cards)["score"]["against"] == "ensemble"
    assert judged(cards)["reasons"][0]["measured"] == 0.98


def test_a_number_is_judged_by_r2_which_may_be_below_0():
    def numbers(export: float, teacher: float) -> dict[str, Any]:
        cards = {"majority": -0.01, "teacher": teacher, "export": export}
        return {who: card("r2", r2) for who, r2 in cards.items()}

    low = judged(numbers(0.13, 0.66), PRICE)
    assert states(low)["keep"] == "missed" and states(low)["chance"] == "met"
    assert low["score"]["kept"] == pytest.approx(0.13 / 0.66)
    weak = judged(numbers(0.3, -0.1), PRICE)
    assert states(weak)["keep"] == "met" and weak["score"]["kept"] is None
    assert states(judged(numbers(-0.101, -0.1), PRICE))["keep"] == "missed"  # a teacher below 0 must be reached
    worse = judged(numbers(-0.2, -0.1), PRICE)
    assert states(worse)["keep"] == states(worse)["chance"] == "missed"
    assert share_kept(0.1, 0.0) is None and share_kept(math.nan, 0.5) is None


def test_an_undefined_score_is_unknown(cards):
    cards["export"]["metrics"]["accuracy"] = value(math.nan)
    del cards["export"]["retention"]
    facts = judged(cards)
    assert not facts["ready"] and states(facts)["keep"] == states(facts)["floor"] == "unknown"


def test_each_of_several_targets_must_keep_its_share():
    def both(answer: float, price: float) -> dict[str, Any]:
        means = {"score": (answer + price) / 2, "answer:accuracy": answer, "price:r2": price}
        return {"main": "score", "metrics": {metric: value(mean) for metric, mean in means.items()}}

    cards = {"majority": both(0.5, 0.0), "teacher": both(0.9, 0.8), "export": both(0.95, 0.7)}
    facts = judged(cards, ANSWER, PRICE, keep=0.95)
    failed = [(r["check"], r["target"]) for r in facts["reasons"] if r["state"] == "missed"]
    assert not facts["ready"] and failed == [("keep", "price")]
    assert facts["score"]["metric"] == "score" and facts["score"]["kept"] == pytest.approx(0.825 / 0.85)
    assert judged(cards, ANSWER, PRICE, keep=0.87)["ready"]


def test_needed_inputs_are_those_whose_absence_costs(cards):
    inputs = judged(cards)["inputs"]
    assert inputs["without"] == {"picture": 0.6, "question": 0.97} and inputs["all"] == 0.98
    assert inputs["needed"] == ["picture"]
    del cards["export"]["missing"]
    assert judged(cards)["inputs"] is None


def test_nothing_is_judged_where_no_student_was_scored():
    assert judge({"teacher": card("accuracy", 0.9)}, (ANSWER,), Goal()) is None
