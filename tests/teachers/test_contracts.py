"""What holds for a teacher of every kind from outside."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from teacher_tools import CLASSES

from suffuse import teachers
from suffuse.errors import SuffuseError, UsageError
from suffuse.registry import TeacherSettings, load
from suffuse.teachers import Question
from suffuse.testing.teacher_checks import CHECKS

KINDS = [
    pytest.param(kind, marks=pytest.mark.skipif(kind == "keras" and not importlib.util.find_spec("keras"),
                                                reason="needs the extra: pip install 'suffuse[keras]'"))
    for kind in teachers.TABLE if kind != "recogniser"  # it has no classes: test_recogniser.py has its contract
]  # fmt: skip
ORDERED = [k for k in KINDS if k.values[0] != "run"]  # a run's order is that of its classes' names
LOOKED_UP = ("table", "asked")


@pytest.mark.parametrize("kind", teachers.TABLE)
def test_a_kind_is_one_file_with_settings_that_load_without_torch(kind):
    part = load(teachers.TABLE, kind)
    assert issubclass(part.Settings, TeacherSettings)
    assert part.Settings.model_fields["kind"].default == kind
    assert part.__doc__
    assert hasattr(part, "open") or kind == "ensemble"  # it is handed its members


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("kind", KINDS)
def test_a_teacher_keeps_to_its_contract(open_kind, rows, kind, check):
    check(lambda: open_kind(kind), rows, len(CLASSES))


@pytest.mark.parametrize("kind", KINDS)
def test_only_a_table_is_looked_up(open_kind, kind):
    assert bool(open_kind(kind).modalities) != (kind in LOOKED_UP)


@pytest.mark.parametrize("kind", ORDERED)
def test_the_order_of_its_classes_changes_nothing(open_kind, rows, kind):
    one, other = (
        open_kind(kind, order).answer(Question(rows))["logits"] for order in (CLASSES, ("red", "blue", "green"))
    )
    np.testing.assert_allclose(one, other, atol=1e-5)
    assert len(set(np.nanargmax(np.nan_to_num(one), axis=1))) > 1


@pytest.mark.parametrize("kind", KINDS)
def test_it_covers_the_rows_that_it_is_said_to(open_kind, columns, rows, kind):
    whole, some = (open_kind(kind, **more).answer(Question(rows))["logits"] for more in ({}, {"covers": "picture"}))
    there = columns.present[:, columns.spec.names.index("picture")]
    assert 0 < there.sum() < len(rows)
    assert np.isnan(some[~there]).all()
    np.testing.assert_array_equal(some[there], whole[there])


@pytest.mark.parametrize("kind", [k for k in ORDERED if k.values[0] not in ("ensemble",)])
def test_classes_that_are_missing_or_too_many_are_listed(open_kind, kind, monkeypatch):
    import teacher_tools

    with pytest.raises(UsageError) as caught:
        open_kind(kind, classes={"red": "green"})
    assert caught.value.expected == "red"
    assert caught.value.where == "teacher.classes"
    with pytest.raises(UsageError, match="no such class"):
        open_kind(kind, classes={"red": "pink"})
    if kind in ("asked", "zero_shot"):
        return  # it is asked by the names that the recipe gives
    with pytest.raises(UsageError, match="the teacher has no such class"):
        open_kind(kind, classes={"pink": "red"})
    monkeypatch.setitem(teacher_tools.WEIGHT, "rot", teacher_tools.WEIGHT["red"])
    if kind == "huggingface":
        return  # its maker knows the three alone; one that is called otherwise is below
    with pytest.raises(UsageError) as caught:
        open_kind(kind, ("green", "rot", "blue"))
    assert caught.value.got == "rot"


def test_a_class_of_another_name_is_renamed(open_kind, rows, monkeypatch):
    import teacher_tools

    monkeypatch.setitem(teacher_tools.WEIGHT, "rot", teacher_tools.WEIGHT["red"])
    ours = open_kind("torch").answer(Question(rows))["logits"]
    renamed = open_kind("torch", ("rot", "blue", "green"), classes={"rot": "red"}).answer(Question(rows))["logits"]
    np.testing.assert_array_equal(ours, renamed)


@pytest.mark.parametrize("kind", KINDS)
def test_what_it_is_made_of_is_named(open_kind, teach_by, kind, prepared, tmp_path):
    """The files that decide its answers, so that a changed one makes teach stale."""
    from suffuse.pipeline import inputs
    from suffuse.stages import STAGES

    teacher = open_kind(kind)
    chosen = teacher.settings if kind not in ("ensemble", "asked") else None  # these name no file of their own
    if chosen is None:
        return
    found = inputs(teach_by(chosen.model_dump(mode="json")), STAGES["teach"])
    named = {key: value for key, value in found.items() if key.startswith("content of teacher.")}
    assert named and all(named.values())


def test_a_changed_answer_is_another_teacher(teach_by, columns, prepared, tmp_path):
    from teacher_tools import raw_rows, write_answers

    from suffuse.teachers.factory import open_external

    marks = set()
    for order in (CLASSES, CLASSES[::-1]):
        rows = raw_rows(prepared)
        rows[0]["x1"] = str(len(marks))
        file = write_answers(tmp_path / "answers.csv", rows, order)
        marks.add(open_external(teach_by({"kind": "table", "file": str(file)}), columns).fingerprint())
    assert len(marks) == 2


def test_infinite_answers_are_no_answers(open_kind, rows, tmp_path):
    teacher = open_kind("torch", columns=["x1", "x2"])
    teacher.source.module[0].bias.data[0] = float("inf")
    with pytest.raises(SuffuseError, match="infinite"):
        teacher.answer(Question(rows))
