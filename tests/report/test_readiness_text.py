"""The sentence that answers whether a student can be shipped, for every verdict, in both languages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from suffuse.files import write_json
from suffuse.report.i18n import use_language
from suffuse.report.model_card import model_card
from suffuse.report.readiness_text import bytes_text, ratio_phrase, readiness
from suffuse.report.terminal import MAX_LINES, summary_lines
from suffuse.run import Run


def value(mean: float) -> dict[str, Any]:
    return {"mean": mean, "low": mean - 0.01, "high": mean + 0.01, "per_seed": [mean]}


def card(who: str, mean: float, metric: str = "accuracy", **fields: Any) -> dict[str, Any]:
    return {"who": who, "main": metric, "seeds": ["1"], "metrics": {metric: value(mean)}, **fields}


def missing(**without: float) -> dict[str, Any]:
    """Scores on all inputs, 0.98, and without each."""
    subsets = {"+".join(without): 0.98, "nothing": 0.3}
    subsets |= {"+".join(other for other in without if other != name): mean for name, mean in without.items()}
    cost = {name: {"difference": mean - 0.98, "low": mean - 1, "high": mean - 0.97} for name, mean in subsets.items()}
    return {"metric": "accuracy", "rows": 100, "of": 100, "rates": [],
            "subsets": {name: {**value(mean), "cost": cost[name]} for name, mean in subsets.items()}}  # fmt: skip


def retention(score: float, teacher: float, margin: float, target: str = "answer") -> dict[str, Any]:
    gap = score - teacher
    entry = {"target": target, "metric": "accuracy", "score": score, "teacher": teacher, "difference": gap}
    return {"against": "teacher", "rows": 100, "of": 100,
            "targets": [{**entry, "low": gap - margin, "high": gap + margin}]}  # fmt: skip


@pytest.fixture
def cards() -> list[dict[str, Any]]:
    return [
        card("majority", 0.4),
        card("teacher", 0.99, bytes=2_000_000, latency_ms={"p50": 0.7}),
        card("student", 0.975),
        card("export", 0.98, bytes=100_000, latency_ms={"p50": 0.1}, retention=retention(0.98, 0.99, 0.005),
             missing=missing(picture=0.66, question=0.36)),
    ]  # fmt: skip


@pytest.fixture
def make(tmp_path: Path, tiny_recipe):
    def made(cards: list[dict[str, Any]], **sections: Any) -> Run:
        run = Run.of({**tiny_recipe(tmp_path / "rows.csv"), **sections}, tmp_path / "run")
        for facts in cards:
            write_json(run.path("scores", f"{facts['who']}.json"), facts)
        return run

    return made


def sentence(run: Run, language: str = "en") -> str:
    with use_language(language):
        verdict = readiness(run)
    assert verdict is not None
    return verdict.sentence


def test_ready_says_what_is_kept_at_which_cost_and_what_is_needed(make, cards):
    run = make(cards)
    assert sentence(run) == (
        "Ready: keeps 99 % of the teacher's accuracy (-1.00 points, 95 % interval -1.50 to -0.50) at 1/20 of the size "
        "and 1/7 of the time; needs both modalities: falls to 36.0 % without question, 66.0 % without picture"
    )
    assert sentence(run, "zh") == (
        "可以上线：准确率保留了教师的 99 %（-1.00 个百分点，95 % 区间 -1.50 至 -0.50），"
        "体积约为教师的 1/20，单行耗时约为教师的 1/7；"
        "两种模态缺一不可：缺少 question 时降至 36.0 %，缺少 picture 时降至 66.0 %"
    )
    assert "Ready: keeps 99 % of the teacher's accuracy" in model_card(run)


def test_of_many_modalities_those_that_matter_are_named(make, cards):
    cards[-1]["missing"] = missing(a=0.5, b=0.98, c=0.7)
    assert sentence(make(cards)).endswith("; needs a, c: falls to 50.0 % without a, 70.0 % without c")
    cards[-1]["missing"] = missing(a=0.5, b=0.6, c=0.7)
    assert "needs all 3 modalities: falls to 50.0 % without a" in sentence(make(cards))
    cards[-1]["missing"] = missing(a=0.98, b=0.98)
    assert sentence(make(cards)).endswith("; no single modality is indispensable")


def test_not_ready_gives_every_reason_with_measured_and_wanted(make, cards):
    cards[-1]["retention"] = retention(0.8, 0.99, 0.01)
    cards[-1]["metrics"]["accuracy"] = value(0.8)
    cards.append(card("classical", 0.85, classical={"validation": {"accuracy": 0.9}}))
    run = make(cards, goal={"size": "50kB", "latency_ms": 0.05})
    assert sentence(run) == (
        "Not ready: accuracy 80.0 % against the teacher's 99.0 % (80.8 % kept, 98 % wanted); accuracy 80.00 % is lower "
        "than that of scikit-learn (85.00 %); the file is 100 kB, over the limit of 50 kB; one row takes 0.1 ms, over "
        "the limit of 0.05 ms"
    )
    assert sentence(run, "zh").startswith("还不能上线：准确率为 80.0 %，教师为 99.0 %（保留 80.8 %，目标 98 %）；")


def test_a_number_below_its_teacher(make, tiny_recipe, tmp_path):
    recipe = tiny_recipe(tmp_path / "rows.csv")
    data = {**recipe["data"], "target": "price", "tasks": {"price": {"kind": "number"}}}
    cards = [card(who, mean, "r2") for who, mean in (("majority", 0.0), ("teacher", 0.66), ("export", 0.13))]
    cards[-1]["bytes"] = 1000
    run = make(cards, data=data, distill={})
    assert sentence(run) == "Not ready: R2 0.13 against the teacher's 0.66 (19.7 % kept, 98 % wanted)"


def test_without_an_export_or_a_student(make, cards):
    assert readiness(make(cards[:2])) is None
    assert sentence(make(cards[:3])) == "Not ready: nothing is exported"


def test_without_a_teacher_the_score_stands_alone(make, cards, tmp_path):
    del cards[-1]["retention"]
    run = make([cards[0], cards[-1]])
    assert sentence(run).startswith("Ready: accuracy 98.0 %; needs both modalities")


def test_a_student_above_its_teacher_and_one_that_is_not_certain(make, cards):
    cards[-1]["retention"] = retention(0.995, 0.99, 0.003)
    assert sentence(make(cards)).startswith("Ready: exceeds the teacher's accuracy (+0.50 points, ")
    cards[-1]["retention"] = retention(0.98, 0.99, 0.04)
    assert "; not certain: the interval reaches below the goal" in sentence(make(cards))


def test_what_falls_just_short_does_not_read_as_enough(make, cards):
    cards[-1]["retention"] = retention(0.97, 0.99, 0.0005)
    assert "(97.980 % kept, 98 % wanted)" in sentence(make(cards))
    cards[-1]["retention"] = retention(0.9996, 0.9999, 0.00001)
    assert sentence(make(cards)).startswith("Ready: keeps 99.97 % of the teacher's accuracy")
    cards[-1]["retention"] = retention(0.96, 0.99, 0.02)
    assert sentence(make(cards)).endswith(
        "; not certain: the interval reaches the goal, more test rows would narrow it"
    )


def test_a_lead_that_is_lost_is_told(make, cards):
    cards[0]["metrics"]["accuracy"] = value(0.97)
    assert "; of the teacher's lead over the constant prediction it keeps 50 %" in sentence(make(cards))


def test_several_targets_name_theirs(make, tiny_recipe, tmp_path):
    recipe = tiny_recipe(tmp_path / "rows.csv")
    data = {**recipe["data"], "target": ["answer", "price"], "tasks": {"price": {"kind": "number"}}}

    def both(who: str, answer: float, price: float) -> dict[str, Any]:
        facts = card(who, (answer + price) / 2, "score", bytes=1000)
        return {**facts, "metrics": facts["metrics"] | {"answer:accuracy": value(answer), "price:r2": value(price)}}

    run = make(
        [both("majority", 0.4, 0.0), both("teacher", 0.9, 0.8), both("export", 0.95, 0.5)], data=data, distill={}
    )
    assert sentence(run) == "Not ready: price: R2 0.50 against the teacher's 0.80 (62.5 % kept, 98 % wanted)"
    verdict = readiness(run)
    assert verdict is not None and [row[0] for row in verdict.rows][:2] == [
        "share of the teacher's score, answer", "above the constant prediction, answer",
    ]  # fmt: skip


def test_the_summary_has_at_most_15_lines_whatever_the_run_holds(make, cards, monkeypatch):
    many = [card(f"baseline-x{n}", 0.9) for n in (2, 4, 8)] + [card(f"only-{n}", 0.5) for n in "abcdefgh"]
    run = make([*cards, *many, card("baseline", 0.9), card("export-int8", 0.97)])
    monkeypatch.setattr("suffuse.report.run_warnings.warnings", lambda run: [f"warning {n}" for n in range(9)])
    monkeypatch.setattr("suffuse.report.verdict_text.sentences", lambda run: [f"verdict {n}" for n in range(9)])
    lines = list(summary_lines(run))
    assert len(lines) <= MAX_LINES == 15
    assert lines[0].startswith("Ready: ") and lines[1:4] == [
        "WARNING: warning 0",
        "WARNING: warning 1",
        "and 7 more warnings in the report",
    ]
    assert lines[4].startswith("rows: ") and lines[5:8] == [
        "verdict 0",
        "verdict 1",
        "and 7 more verdicts in the report",
    ]
    assert lines[-2].startswith("report: ") and lines[-1].startswith("student: ")
    assert [line.split("  ")[0] for line in lines[9:-2]] == [
        "teacher",
        "student",
        "student, labels only",
        "exported student",
    ]


@pytest.mark.parametrize(
    ("size", "text"), [(1, "1 B"), (999, "999 B"), (70_293, "70.3 kB"), (1_000_000, "1 MB"), (2.5e9, "2.5 GB")]
)
def test_sizes_have_the_unit_that_fits(size, text):
    assert bytes_text(size) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(5, "1/20 of the time"), (54, "1/2 of the time"), (70, "70 % of the time"), (96, "the same time"),
     (104, "the same time"), (130, "1.3 times the time")],
)  # fmt: skip
def test_a_cost_beside_another(value, text):
    assert ratio_phrase(value, 100, "time") == text
