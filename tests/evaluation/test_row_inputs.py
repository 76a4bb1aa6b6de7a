"""Forms of one input are one: hidden together, lost together, and held against another model's form of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from probe_tools import toy_columns, toy_context

from suffuse.evaluation import calibration, contribution, missing_modalities
from suffuse.evaluation.modality_subsets import group_inputs, input_names, present_inputs
from suffuse.recipe import make_recipe
from suffuse.types import Head

HEAD = Head("y", "classes", ("p", "q"))
COLUMNS = {"a": "photo", "b": "title", "c": "photo"}  # a: the teacher's form of the photo, c: the student's


def recipe(teacher: str = "ab", student: str = "bc"):
    return make_recipe(
        {
            "data": {"source": "rows.csv", "target": "y"},
            "modalities": {name: {"kind": "tabular", "column": column} for name, column in COLUMNS.items()},
            "teacher": {"encoders": {name: {"kind": "mlp"} for name in teacher}},
            "student": {"encoders": {name: {"kind": "mlp"} for name in student}},
        }
    )


def both(x: np.ndarray, present: np.ndarray) -> np.ndarray:
    """The label by the sum of what is there."""
    total = 3 * (x * present).sum(1)
    return np.stack([-total, total], 1)


@pytest.fixture
def context():
    """The two forms of the photo hold the same number, and some rows lack it."""
    random = np.random.default_rng(0)
    values = random.normal(size=(600, 3))
    values[:, 2] = values[:, 0]
    present = np.ones((600, 3), dtype=bool)
    present[:60, [0, 2]] = False
    target = (values[:, 0] + values[:, 1] > 0).astype(np.int64)
    columns = toy_columns(600, target, values, HEAD, present)
    models = {"teacher": [(("a", "b"), both)], "student": [(("b", "c"), both)] * 2}
    return replace(toy_context(columns, models), recipe=recipe())


def test_an_input_has_the_name_of_the_student_s_form() -> None:
    assert input_names(recipe()) == {"a": "c", "b": "b", "c": "c"}
    assert input_names(recipe("ac", "b")) == {"a": "a", "b": "b", "c": "a"}
    names, forms = group_inputs(recipe(), ("a", "b", "c"))
    assert names == ("b", "c") and forms.tolist() == [[False, True, False], [True, False, True]]
    assert present_inputs(np.array([[True, False, False], [False, True, False]]), forms).tolist() == [
        [False, True],
        [True, False],
    ]


def test_teacher_and_student_stand_side_by_side_in_every_subset(context) -> None:
    found = missing_modalities.probe(context)
    ours, theirs = (found[who]["missing"] for who in ("student", "teacher"))
    assert list(ours["subsets"]) == list(theirs["subsets"]) == ["nothing", "b", "c", "b+c"]
    for name, one in ours["subsets"].items():
        assert one["mean"] == theirs["subsets"][name]["mean"]
    # the same rows lose the photo, in whichever form
    assert [one["mean"] for one in ours["rates"]] == [one["mean"] for one in theirs["rates"]]
    assert [one["missing"] for one in ours["rates"]] == [one["missing"] for one in theirs["rates"]]


def test_a_student_that_uses_another_form_as_its_teacher_does_is_faithful(context) -> None:
    found = contribution.probe(context)["student"]["contribution"]
    assert found["fidelity"]["cosine"]["mean"] == pytest.approx(1)
    assert set(found["shapley"]) == {"c", "b"}
    assert set(found["fidelity"]["teacher"]) == {"c", "b"}


def test_both_forms_of_one_model_are_hidden_together(context) -> None:
    """A model that reads both forms: two inputs, four subsets, and without the photo it sees neither form."""
    models = {"teacher": [(("a", "b", "c"), both)], "student": [(("b", "c"), both)]}
    made = replace(toy_context(context.columns, models), recipe=recipe("abc"))
    table = missing_modalities.probe(made)["teacher"]["missing"]["subsets"]
    assert list(table) == ["nothing", "b", "c", "b+c"]
    student = missing_modalities.probe(made)["student"]["missing"]["subsets"]
    assert table["b"]["mean"] == student["b"]["mean"]


def test_an_export_s_temperatures_are_found_by_its_own_names(context) -> None:
    missing_modalities.probe(context)
    said = context.cache["subsets", "teacher"]
    assert said.titles == ["nothing", "b", "c", "b+c"] and said.export_titles == ["nothing", "b", "a", "a+b"]
    assert list(calibration.probe(context)["teacher"]["temperature"]["subsets"]) == said.titles
