"""What each modality is worth, scores of parts, and the warnings: from scorecards, in the words that people read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from suffuse.files import write_json
from suffuse.report import modality_ablation, run_warnings, verdict_text
from suffuse.run import Run


def fact(mean: float) -> dict[str, float]:
    return {"mean": mean, "low": mean - 0.02, "high": mean + 0.02}


def control(mean: float, full: float, low: float, high: float) -> dict[str, Any]:
    verdict = "helps" if low > 0 else "no evidence"
    return {**fact(mean), "cost": {"difference": full - mean, "low": low, "high": high, "verdict": verdict}}


def card(who: str, mean: float, **more: Any) -> dict[str, Any]:
    metrics = {"accuracy": fact(mean), "macro_f1": fact(mean)}
    return {"who": who, "main": "accuracy", "seeds": ["1"], "metrics": metrics, **more}


@pytest.fixture
def make(tmp_path: Path, tiny_recipe):
    """A run of which only the scores are there."""

    def made(cards: list[dict], comparisons: list[dict] = [], **evaluate: Any) -> Run:  # noqa: B006
        run = Run.of({**tiny_recipe(tmp_path / "rows.csv"), "evaluate": evaluate}, tmp_path / "run")
        for one in cards:
            write_json(run.path("scores", f"{one['who']}.json"), one)
        write_json(run.path("scores", "comparisons.json"), comparisons)
        return run

    return made


def fusion(who: str, against: str, low: float, high: float) -> dict[str, Any]:
    verdict = "helps" if low > 0 else "hurts" if high < 0 else "no evidence"
    return {"about": "fusion", "who": who, "against": against, "metric": "accuracy", "difference": (low + high) / 2,
            "low": low, "high": high, "verdict": verdict}  # fmt: skip


def test_fusion_that_beats_the_best_alone_is_no_matter(make):
    cards = [card("only-picture", 0.5), card("only-question", 0.7), card("baseline", 0.9)]
    run = make(cards, [fusion("baseline", "only-picture", 0.3, 0.5), fusion("baseline", "only-question", 0.1, 0.3)])
    assert run_warnings.warnings(run) == []
    assert verdict_text.sentences(run) == []  # it is no comparison of distillation


@pytest.mark.parametrize(
    ("low", "high", "said"), [(-0.02, 0.05, "shows no evidence of beating"), (-0.2, -0.1, "is worse than")]
)
def test_fusion_that_does_not_is_told(make, low, high, said):
    """It is measured against the best one alone, however well it does against the other."""
    cards = [card("only-picture", 0.4), card("only-question", 0.7), card("baseline", 0.71)]
    compared = [fusion("baseline", "only-picture", 0.3, 0.5), fusion("baseline", "only-question", low, high)]
    warnings = run_warnings.warnings(make(cards, compared))
    assert len(warnings) == 1
    assert f"student, labels only, with all modalities, {said} question alone" in warnings[0]
    assert "71.00 % against 70.00 %" in warnings[0] and f"{100 * low:+.2f} to {100 * high:+.2f}" in warnings[0]


def test_the_teacher_s_floors_too(make):
    cards = [card("teacher-only-picture", 0.8), card("teacher", 0.8)]
    warnings = run_warnings.warnings(make(cards, [fusion("teacher", "teacher-only-picture", -0.01, 0.01)]))
    assert "teacher, with all modalities, shows no evidence of beating teacher, picture alone" in warnings[0]


def test_controls_in_a_table_and_what_is_not_used(make):
    found = {
        "metric": "accuracy",
        "modalities": {
            "picture": {"blank": control(0.88, 0.9, 0.01, 0.03), "shuffled": control(0.9, 0.9, -0.004, 0.004)},
            "question": {"blank": control(0.4, 0.9, 0.4, 0.6), "shuffled": control(0.35, 0.9, 0.5, 0.6)},
            "sound": {"blank": control(0.88, 0.9, -0.1, 0.1), "shuffled": control(0.88, 0.9, -0.03, 0.07)},
        },
    }
    run = make([card("teacher", 0.9, controls=found), card("student", 0.9)])
    block = modality_ablation.controls(run)
    assert block and block.headings == ("model", "modality", "accuracy as it is", "blank", "shuffled")
    assert block.rows[0] == ("teacher", "picture", "90.00 %", "88.00 %  (-2.00)", "90.00 %  (+0.00)")
    page = modality_ablation.controls(run, intervals=True)
    assert page and page.rows[0][3:] == ("88.00 %  (-2.00; -3.00 to -1.00)", "90.00 %  (+0.00; -0.40 to +0.40)")
    assert [row[:2] for row in block.rows] == [("teacher", m) for m in ("picture", "question", "sound")]
    warnings = run_warnings.warnings(run)
    assert len(warnings) == 2
    assert "shuffling picture among the test rows costs nothing" in warnings[0]
    assert warnings[0].endswith("the model doesn't use picture")
    assert warnings[1].endswith("there is no evidence that the model uses sound")


def test_nothing_to_say_without_controls(make):
    run = make([card("teacher", 0.9), card("student", 0.9, controls={})])
    assert (
        modality_ablation.controls(run) is None
        and modality_ablation.slices(run) == []
        and run_warnings.warnings(run) == []
    )


def test_scores_by_the_values_of_a_column(make):
    def part(rows: int, mean: float | None) -> dict[str, Any]:
        return {"rows": rows, "metrics": {} if mean is None else {"accuracy": fact(mean)}}

    by = {"answer_type": {"CLOSED": part(1200, 0.8), "OPEN": part(30, 0.5), "(empty)": part(2, None)}}
    run = make([card("teacher", 0.75, by=by), card("student", 0.7, by=by)], slice_by="answer_type")
    (block,) = modality_ablation.slices(run)
    assert block.title == "Accuracy by answer type"
    assert block.headings == ("model", "CLOSED (1,200)", "OPEN (30)", "(empty) (2)")
    assert block.rows == [(who, "80.00 %", "50.00 %", "") for who in ("teacher", "student")]


def test_a_student_s_gain_by_the_values_of_a_column(make):
    by = {"snr": {"0 dB": {"rows": 90, "metrics": {"accuracy": fact(0.7)}}, "-5 dB": {"rows": 1, "metrics": {}}}}
    gains = {"snr": {"0 dB": {"rows": 90, "difference": 0.05, "low": -0.01, "high": 0.11}}}
    pair = {"about": "distillation", "who": "student", "against": "baseline", "by": gains}
    cards = [card("student", 0.7, by=by), card("baseline", 0.65, by=by)]
    (block,) = modality_ablation.slices(make(cards, [pair], slice_by="snr"))
    assert block.rows[-1] == ("student - student, labels only", "+5.00; -1.00 to +11.00", "")
    assert len(modality_ablation.slices(make(cards, [], slice_by="snr"))[0].rows) == 2
