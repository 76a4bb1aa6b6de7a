"""Scores of a part of the rows are the scores that these rows have by themselves."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score

from suffuse.evaluation import metrics
from suffuse.evaluation.slices import EMPTY, REST, differences_by_value, metrics_by_value, rows_by_value
from suffuse.types import Head, Spec

SPEC = Spec((), (Head("answer", "classes", ("a", "b", "c")),), (0.0, 0.0, 0.0))


def test_values_are_told_one_by_one_the_commonest_first():
    found = rows_by_value(["OPEN", None, "CLOSED", "OPEN", None, "OPEN"])
    assert list(found) == ["OPEN", EMPTY, "CLOSED"]
    assert found["OPEN"].tolist() == [True, False, False, True, False, True]


def test_beyond_twenty_the_rest_stands_together():
    values = [str(n % 40) for n in range(400)] + ["common"] * 50
    found = rows_by_value(values)
    assert len(found) == 20 and next(iter(found)) == "common" and list(found)[-1] == REST
    assert sum(mask.sum() for mask in found.values()) == len(values)
    assert np.stack([*found.values()]).sum(0).max() == 1


def test_each_part_has_its_own_scores():
    random = np.random.default_rng(0)
    target, values = random.integers(0, 3, 200), random.choice(["x", "y"], 200)
    answers = [random.dirichlet(np.ones(3), 200) for _ in range(2)]
    draws = metrics.draw(np.arange(200) // 2, 60, 0.9)
    found = metrics_by_value(SPEC, answers, target, draws, values.tolist())
    for name, facts in found.items():
        mask = values == name
        wanted = [accuracy_score(target[mask], a[mask].argmax(1)) for a in answers]
        assert facts["metrics"]["accuracy"]["per_seed"] == pytest.approx(wanted)
        assert facts["metrics"]["accuracy"]["low"] < np.mean(wanted) < facts["metrics"]["accuracy"]["high"]
        assert facts["rows"] == mask.sum()


@pytest.mark.parametrize("kind", ["classes", "labels", "number"])
def test_a_part_of_one_row_stops_nothing(kind):
    """Most resamples lack it; what can't be scored at all is left out."""
    classes = () if kind == "number" else ("a", "b", "c")
    spec = Spec((), (Head("answer", kind, classes, 0.0, 1.0),), (0.0,) * max(1, len(classes)))
    random = np.random.default_rng(1)
    answers = random.random((40, len(classes) or 1))
    target = random.integers(0, 3, 40)
    if kind != "classes":
        target = random.integers(0, 2, (40, len(classes) or 1)).astype(np.float32)
    draws = metrics.draw(np.arange(40), 100, 0.9)
    found = metrics_by_value(spec, [answers], target, draws, ["one", *["many"] * 39])
    assert found["one"]["rows"] == 1
    for facts in found.values():
        for metric in facts["metrics"].values():
            assert np.isfinite([metric["mean"], metric["low"], metric["high"]]).all()
    assert "r2" not in found["one"]["metrics"]


def test_a_difference_on_a_part_is_that_of_its_rows_paired_seed_by_seed():
    """A candidate that is right wherever ``x`` stands and equals its reference elsewhere."""
    random = np.random.default_rng(2)
    target, values = random.integers(0, 3, 300), np.array(["x", "y", "z"])[np.arange(300) % 3]
    reference = [random.dirichlet(np.ones(3), 300) for _ in range(3)]
    candidate = [np.where((values == "x")[:, None], np.eye(3)[target], r) for r in reference]
    draws = metrics.draw(np.arange(300), 200, 0.95)
    found = differences_by_value(SPEC, (candidate, reference), target, draws, values.tolist())
    assert list(found) == ["x", "y", "z"] and all(facts["rows"] == 100 for facts in found.values())
    wrong = [1 - accuracy_score(target[values == "x"], r[values == "x"].argmax(1)) for r in reference]
    assert found["x"]["difference"] == pytest.approx(np.mean(wrong)) and found["x"]["low"] > 0.4
    assert found["x"]["low"] < found["x"]["difference"] < found["x"]["high"] <= 1
    for value in "yz":  # paired: where both say the same there is no doubt about the difference
        assert {found[value][key] for key in ("difference", "low", "high")} == {0.0}


def test_a_part_without_a_score_has_no_difference():
    spec = Spec((), (Head("price", "number", (), 0.0, 1.0),), (0.0,))
    random = np.random.default_rng(3)
    answers = [random.random((40, 1)) for _ in range(2)]
    draws = metrics.draw(np.arange(40), 50, 0.9)
    cells = ["one", *["many"] * 39]
    found = differences_by_value(spec, (answers, answers), random.random((40, 1)), draws, cells)
    assert list(found) == ["many"]  # R2 of one row isn't defined
