"""Metrics and their intervals, as text and as bars."""

from __future__ import annotations

import math

import pytest

from suffuse.activations import MAIN, main_metric
from suffuse.report import charts, formatting, metric_format, results_section, training_curves
from suffuse.types import CLASSES, LABELS, NUMBER, Head

NAN = math.nan


def heads(*kinds: str) -> list[Head]:
    return [Head(f"t{n}", kind) for n, kind in enumerate(kinds)]


@pytest.mark.parametrize(
    ("value", "digits", "expected"),
    [
        (4.5678, 4, "4.568"),
        (20.000000041, 6, "20"),
        (12345.6, 4, "12,346"),
        (1987.0, 3, "1987"),
        (0.00123456, 4, "0.001235"),
        (-0.5, 4, "-0.5"),
        (0.0, 4, "0"),
        (9999.96, 4, "10000"),
        (1.5e-9, 4, "1.5e-09"),
        (NAN, 4, "-"),
        (math.inf, 4, "-"),
    ],
)
def test_an_amount_keeps_its_whole_digits(value: float, digits: int, expected: str):
    assert formatting.amount(value, digits) == expected


def test_amounts_below_each_other_have_the_same_digits():
    assert [formatting.amount(v, pad=True) for v in (5.12, 4.997, 12)] == ["5.120", "4.997", "12.00"]


@pytest.mark.parametrize(
    ("value", "spread", "expected"),
    [
        (1698.8532, 6.1, "1698.85"),
        (-3.14159, 100, "-3"),
        (0, 1, "0"),
        (0.004, 50, "0"),
        (12345678.9, 1e6, "12,345,679"),
        (2e-7, 1e-7, "2e-07"),
    ],
)
def test_a_number_is_rounded_by_how_much_such_numbers_spread(value: float, spread: float, expected: str):
    assert formatting.rounded(value, spread) == expected


@pytest.mark.parametrize(
    ("metric", "expected", "gap"),
    [
        ("accuracy", "12.35 %", "+12.35"),
        ("micro_f1", "12.35 %", "+12.35"),
        ("r2", "0.1235", "+0.1235"),
        ("score", "0.1235", "+0.1235"),
        ("macro_f1", "0.1235", "+0.1235"),
        ("rmse", "0.1235", "+0.1235"),
    ],
)
def test_a_metric_is_written_in_its_own_form(metric: str, expected: str, gap: str):
    assert metric_format.ascii_value(metric, 0.12345678) == expected
    assert metric_format.ascii_difference(metric, 0.12345678) == gap
    assert metric_format.difference_unit(metric) == (" points" if "%" in expected else "")
    assert metric_format.ascii_value(metric, NAN) == metric_format.ascii_difference(metric, NAN) == "-"


def test_the_page_keeps_numbers_and_units_together_and_minus_a_minus():
    assert metric_format.value_text("accuracy", 0.5) == "50.00\u00a0%"
    assert metric_format.value_text("r2", -0.25) == "−0.2500"


def test_every_kind_of_target_has_its_metrics_and_an_axis():
    for kinds in ((CLASSES,), (LABELS,), (NUMBER,), (CLASSES, CLASSES), (CLASSES, NUMBER)):
        metric = main_metric(heads(*kinds))
        assert metric in metric_format.METRICS
        assert metric in training_curves.AXIS
    assert {k: names[0] for k, names in metric_format.OF_KIND.items()} == MAIN
    assert set(metric_format.SECOND) <= set(metric_format.METRICS)


def test_a_meaning_speaks_of_what_there_is():
    assert "each class is found" in metric_format.meaning("macro_f1", heads(CLASSES, NUMBER))
    assert "each label is found" in metric_format.meaning("macro_f1", heads(LABELS))
    assert "class" not in metric_format.meaning("macro_f1", heads(LABELS))
    assert "each class or label" in metric_format.meaning("macro_f1", heads(LABELS, CLASSES))


def test_abbreviations_stay_as_they_are_in_a_sentence():
    assert [metric_format.title_in_sentence(m) for m in ("accuracy", "r2", "mae", "micro_f1")] == [
        "accuracy",
        "R²",
        "MAE",
        "micro-F1",
    ]


def measured(mean: float, low: float, high: float) -> dict:
    return {"mean": mean, "low": low, "high": high}


def test_bars_begin_a_little_below_the_lowest_and_end_at_the_best():
    floor = results_section.bar_start([measured(0.5, 0.44, 0.6), measured(0.9, 0.8, 1.0)])
    assert floor == 0.4
    assert results_section.bar_heading("accuracy", floor) == "40\u00a0% to 100 %"
    found = results_section.score_cell("accuracy", measured(0.7, 0.4, 1.0), floor)
    assert found["bar"] == {"mean": "50.00%", "low": "0.00%", "high": "100.00%"}
    assert found["interval"] == "40.00 to 100.00"


def test_a_score_far_below_nothing_leaves_the_others_room():
    floor = results_section.bar_start([measured(-30, -50, -10), measured(0.5, 0.4, 0.6)])
    assert floor == results_section.LOWEST
    assert results_section.bar_heading("r2", floor) == "−1 to 1"
    assert results_section.bar_heading("r2", results_section.bar_start([measured(0, -0.25, 0.1)])) == "−0.3 to 1"
    assert results_section.score_cell("r2", measured(-30, -50, 0.5), floor)["bar"] == {
        "mean": "0.00%",
        "low": "0.00%",
        "high": "75.00%",
    }


def test_what_could_not_be_measured_has_no_bar_and_stops_nothing():
    assert results_section.bar_start([measured(NAN, NAN, NAN)]) == 0
    found = results_section.score_cell("r2", measured(NAN, NAN, NAN), 0.0)
    assert (found["mean"], found["bar"]) == ("−", None)
    assert results_section.bar_position(1.0, 1.0) == "100.00%"


def test_a_column_without_a_heading_is_left_out_and_numbers_stand_to_the_right():
    assert formatting.align_columns([("model", "", "seeds"), ("teacher", "", "1"), ("a", "x", "10")]) == [
        "model    seeds",
        "teacher      1",
        "a           10",
    ]


def test_the_axis_of_a_score_is_cut_only_where_an_early_epoch_would_flatten_the_rest():
    def curve(*values: float) -> charts.Series:
        history = [{"validation": {"r2": v}} for v in values]
        return training_curves.validation_curve([history], "student")

    assert charts.axis_start([curve(0.1, 0.5)]) is None
    assert charts.axis_start([curve(-0.5, 0.5)]) is None
    assert charts.axis_start([curve(-30.0, 0.5), curve(0.0, 0.1)]) == -1
    assert charts.axis_start([curve(-30.0, -2.0)]) == -3
    assert charts.axis_start([]) is None
