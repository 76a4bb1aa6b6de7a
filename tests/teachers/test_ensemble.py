"""Several teachers as one: closed forms, abstentions, members that cover some rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from teacher_tools import CLASSES, MAKERS, raw_rows, write_answers

from suffuse.activations import activate
from suffuse.errors import UsageError
from suffuse.prepare.raw_cells import RawRows
from suffuse.recipe import make_recipe
from suffuse.teachers import Question
from suffuse.teachers.ensemble import combine
from suffuse.teachers.factory import open_external
from suffuse.teachers.matching import FLOOR, Matching, outputs
from suffuse.types import CLASSES as ONE
from suffuse.types import LABELS, NUMBER, Head

HEADS = (Head("answer", ONE, ("a", "b", "c")),)
MIXED = (*HEADS, Head("tags", LABELS, ("x", "y")), Head("price", NUMBER, (), 10.0, 4.0))


def entropy(p: np.ndarray) -> np.ndarray:
    return -(p * np.log(p)).sum(-1)


def test_mean_is_that_of_the_probabilities():
    random = np.random.default_rng(0)
    answers = [random.normal(size=(5, 3)).astype(np.float32) for _ in range(3)]
    found = np.exp(combine(HEADS, answers, "mean").astype(np.float64))
    wanted = np.mean([np.exp(z) / np.exp(z).sum(1, keepdims=True) for z in answers], axis=0)
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_confidence_weighs_each_row_by_one_minus_its_share_of_the_largest_entropy():
    p = np.array([[0.9, 0.05, 0.05], [0.2, 0.5, 0.3]])
    weight = 1 - entropy(p) / np.log(3)
    found = np.exp(combine(HEADS, [np.log(p[:1]), np.log(p[1:])], "confidence").astype(np.float64))
    np.testing.assert_allclose(found[0], (weight[:, None] * p).sum(0) / weight.sum(), atol=1e-6)
    assert found[0, 0] > np.exp(combine(HEADS, [np.log(p[:1]), np.log(p[1:])], "mean"))[0, 0]
    flat = np.zeros((1, 3))
    np.testing.assert_allclose(np.exp(combine(HEADS, [flat, flat], "confidence")), 1 / 3, atol=1e-6)


@pytest.mark.parametrize("weights", ["mean", "confidence"])
def test_who_abstains_is_left_out_of_that_row(weights):
    random = np.random.default_rng(1)
    one, other = random.normal(size=(2, 4, 3))
    one[0], one[1], other[1], other[2] = np.nan, np.nan, np.nan, np.nan
    found = combine(HEADS, [one, other], weights)
    np.testing.assert_allclose(found[0], combine(HEADS, [other], weights)[0], atol=1e-6)
    np.testing.assert_allclose(found[2], combine(HEADS, [one], weights)[2], atol=1e-6)
    assert np.isnan(found[1]).all()
    assert np.isfinite(found[[0, 2, 3]]).all()


@pytest.mark.parametrize("weights", ["mean", "confidence"])
def test_labels_and_numbers_have_means_of_their_own(weights):
    random = np.random.default_rng(2)
    answers = [random.normal(size=(4, 6)) for _ in range(2)]
    found = activate(MIXED, combine(MIXED, answers, weights))
    each = [activate(MIXED, z.astype(np.float32)) for z in answers]
    np.testing.assert_allclose(found[:, 5], np.mean(each, axis=0)[:, 5], atol=1e-4)
    if weights == "mean":
        np.testing.assert_allclose(found[:, 3:5], np.mean(each, axis=0)[:, 3:5], atol=1e-6)
    else:
        p = np.stack([e[:, 3:5] for e in each]).astype(np.float64)
        weight = 1 - (-(p * np.log(p) + (1 - p) * np.log(1 - p)) / np.log(2)).mean(2, keepdims=True)
        np.testing.assert_allclose(found[:, 3:5], (weight * p).sum(0) / weight.sum(0), atol=1e-5)


def test_probabilities_of_zero_stop_at_the_floor():
    found = combine(HEADS, [np.array([[0.0, -1e4, -1e4]])], "mean")
    np.testing.assert_allclose(found, [[0, np.log(FLOOR), np.log(FLOOR)]], rtol=1e-6)


def test_a_number_is_standardised_as_the_run_s_own_are():
    matching = Matching.of(("price", "tags=y", "tags=x", *(f"answer={c}" for c in "cab")), MIXED, {}, "teacher")
    found = matching.logits(np.array([[14.0, 0.25, 0.5, 0.2, 0.3, 0.5]]), "probabilities")
    np.testing.assert_allclose(found[0, -1], 1.0)
    np.testing.assert_allclose(activate(MIXED, found)[0], [0.3, 0.5, 0.2, 0.5, 0.25, 14.0], atol=1e-6)
    assert outputs(MIXED) == ("answer=a", "answer=b", "answer=c", "tags=x", "tags=y", "price")


def test_several_classes_of_theirs_make_one_of_ours():
    renamed = {"cat": "a", "tiger": "a", "dog": "b"}
    matching = Matching.of(("cat", "dog", "c", "tiger"), HEADS, renamed, "teacher")
    p = np.array([[0.1, 0.3, 0.2, 0.4]])
    np.testing.assert_allclose(np.exp(matching.logits(p, "probabilities")), [[0.5, 0.3, 0.2]], atol=1e-6)
    summed = np.exp(matching.logits(np.log(p) + 3, "logits").astype(np.float64))
    np.testing.assert_allclose(summed / summed.sum(), [[0.5, 0.3, 0.2]], atol=1e-6)
    tags = (Head("tags", LABELS, ("x", "y")),)
    with pytest.raises(UsageError, match="only classes add up"):
        Matching.of(("p", "q", "y"), tags, {"p": "x", "q": "x"}, "teacher")


def test_many_names_are_not_all_told():
    many = tuple(f"class {n}" for n in range(1000))
    with pytest.raises(UsageError) as caught:
        Matching.of(many, HEADS, {}, "teacher.classes")
    assert caught.value.got.endswith("and 970 more")
    assert len(caught.value.text()) < 500
    with pytest.raises(UsageError) as caught:
        Matching.of(many, HEADS, {"clas 7": "a"}, "teacher.classes")
    assert caught.value.hint == "did you mean 'class 7'?"
    with pytest.raises(UsageError, match="a class twice"):
        Matching.of(("a", "b", "c", "a"), HEADS, {}, "teacher.classes")


def test_teachers_of_single_modalities_cover_their_rows(teach_by, columns, rows, prepared, tmp_path):
    """Photo and words each have a member; a row that lacks one is answered by the other alone."""
    answers = {}
    for number, name in enumerate(("photo", "words")):
        lines = [{**row, "x1": str(float(row["x1"]) + number)} for row in raw_rows(prepared)]
        answers[name] = str(write_answers(tmp_path / f"{name}.csv", lines, CLASSES))
    members = {
        "photo": {"kind": "table", "file": answers["photo"], "covers": "picture"},
        "words": {"kind": "table", "file": answers["words"], "covers": "words"},
    }
    whole = open_external(teach_by({"kind": "ensemble", "members": members}), columns).answer(Question(rows))["logits"]
    alone = {n: open_external(teach_by(m), columns).answer(Question(rows))["logits"] for n, m in members.items()}
    photo, words = (columns.present[:, columns.spec.names.index(n)] for n in ("picture", "words"))
    both = photo & words
    assert both.any() and (photo & ~words).any() and (words & ~photo).any()
    np.testing.assert_allclose(whole[photo & ~words], alone["photo"][photo & ~words], atol=1e-5)
    np.testing.assert_allclose(whole[words & ~photo], alone["words"][words & ~photo], atol=1e-5)
    mean = (np.exp(alone["photo"]) + np.exp(alone["words"]))[both] / 2
    np.testing.assert_allclose(np.exp(whole[both]), mean, atol=1e-5)
    assert not np.isnan(whole).any()


def test_what_can_t_be_hidden_from_a_member_leaves_it_out(open_kind, rows):
    """A table knows its answers whatever is hidden: of a part of the modalities it says nothing."""
    teacher = open_kind("ensemble")
    assert teacher.modalities == ("x1", "x2")
    with pytest.raises(UsageError, match="your function failed"):  # the module is asked, without x1
        teacher.answer(Question(rows, ("x2",)))
    assert np.isnan(teacher.answer(Question(rows, ()))["logits"]).all()


def test_facts_and_fingerprint_are_those_of_all(open_kind, teach_by, columns, prepared, tmp_path):
    facts = open_kind("ensemble").facts()
    assert facts["members"]["module"] == {"kind": "torch", "parameters": 9}
    assert facts["parameters"] is None
    members = {"a": MAKERS["table"](tmp_path, CLASSES, prepared)}
    marks = [
        open_external(teach_by({"kind": "ensemble", "members": members, "weights": w}), columns).fingerprint()
        for w in ("mean", "confidence")
    ]
    assert marks[0] != marks[1]


def test_a_member_s_mistake_is_told_by_its_key(prepared, tmp_path):
    raw = prepared.recipe.model_dump(mode="json")
    for members, words in (
        ({"a": {"kind": "table", "file": "x", "frm": "labels"}}, ("teacher.members.a", "did you mean 'form'")),
        ({"a": {"kind": "tabel", "file": "x"}}, ("teacher.members.a", "did you mean 'table'")),
        ({"a": {"kind": "table", "file": "x", "covers": "smell"}}, ("teacher.members.a.covers", "'smell'")),
        ({}, ("teacher.members", "at least 1")),
    ):
        with pytest.raises(UsageError) as caught:
            make_recipe({**raw, "teacher": {"kind": "ensemble", "members": members}})
        for word in words:
            assert word in caught.value.text()


def test_paths_and_files_of_members_are_known(prepared):
    raw = prepared.recipe.model_dump(mode="json")
    raw["teacher"] = {"kind": "ensemble", "members": {"a": {"kind": "table", "file": "a.csv"}}}
    from suffuse.run import Run

    run = Run.of(raw, prepared.folder, "/base")
    assert run.recipe.teacher.references() == {"members.a.file": "/base/a.csv"}  # pyright: ignore
    assert replace(run).recipe.trained is None
    assert RawRows(run).ids
