"""A store that was made with something else is refused, and the message says which part it was."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from suffuse.errors import SuffuseError
from suffuse.files import write_json
from suffuse.knowledge import Knowledge, manifest
from suffuse.knowledge.fingerprint import compare, expected, fingerprint

VIEWS = {"extract": {"subsets": "each", "views": 2}}


def refused(maker, columns, folder, **changes: Any) -> str:
    """What opening says when the recipe is another one."""
    run = maker.run(**{**VIEWS, **changes})
    with pytest.raises(SuffuseError, match="the knowledge store was made with other") as caught:
        Knowledge.open(folder, columns, expected(run, columns.spec, manifest.read(folder)["fingerprint"]))
    assert "suffuse extract" in caught.value.hint
    return caught.value.line()


@pytest.fixture
def folder(maker, teacher):
    return maker.store(teacher, **VIEWS)


def test_as_it_was_made_it_opens(maker, columns, folder):
    run = maker.run(**VIEWS)
    made = manifest.read(folder)["fingerprint"]
    assert Knowledge.open(folder, columns, expected(run, columns.spec, made)).place.min() >= 0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"extract": {"views": 2}}, "other subsets"),
        ({"extract": {"subsets": "each", "views": 3}}, "other views (count)"),
        ({"seed": 5}, "other views (seed)"),
        ({"extract": {"subsets": "each", "views": 2, "top_k": 1}}, "other encoding (top_k)"),
        ({"extract": {"subsets": "each", "views": 2, "dtype": "float32"}}, "other encoding (dtype)"),
    ],
)
def test_another_recipe(maker, columns, folder, changes, said):
    assert said in refused(maker, columns, folder, **changes)


def test_another_augmentation(maker, columns, folder):
    picture = {"kind": "image", "column": "image", "size": 16, "augment": {"shift": 0.1, "brightness": 0.3}}
    question = {"kind": "text", "column": "text", "length": 6}
    said = refused(maker, columns, folder, modalities={"picture": picture, "question": question})
    assert "other views (augment.picture.shift)" in said and "got 0.3, expected 0.1" in said


def test_another_preprocessing_in_the_recipe(maker, columns, folder):
    picture = {"kind": "image", "column": "image", "size": 16, "fit": "crop"}
    picture["augment"] = {"shift": 0.3, "brightness": 0.3}
    question = {"kind": "text", "column": "text", "length": 6}
    said = refused(maker, columns, folder, modalities={"picture": picture, "question": question})
    assert "other preprocessing (picture)" in said


def test_other_statistics_of_a_modality(maker, columns, folder):
    picture, question = columns.spec.fields
    other = dataclasses.replace(question, statistics={**question.statistics, "vocabulary": 13})
    spec = dataclasses.replace(columns.spec, fields=(picture, other))
    assert "other preprocessing (question)" in refused(maker, dataclasses.replace(columns, spec=spec), folder)


def test_other_classes(maker, columns, folder):
    head = dataclasses.replace(columns.spec.heads[0], classes=("a", "c", "b"))
    other = dataclasses.replace(columns, spec=dataclasses.replace(columns.spec, heads=(head,)))
    said = refused(maker, other, folder)
    assert "other classes" in said and "got ['a', 'b', 'c'], expected ['a', 'c', 'b']" in said
    with pytest.raises(SuffuseError, match="other classes"):
        Knowledge.open(folder, other)


def test_other_files_of_the_teacher(maker, columns, folder):
    run = maker.run(**VIEWS)
    write_json(run.path("stamps", "teach.json"), {"digest": "d2", "outputs": {}})
    with pytest.raises(SuffuseError, match=r"other files of the teacher .*: got d1, expected d2"):
        Knowledge.open(folder, columns, expected(run, columns.spec, manifest.read(folder)["fingerprint"]))


@pytest.mark.parametrize(("part", "value"), [("teacher", "0" * 64), ("modalities", ["picture"]), ("splits", ["train"])])
def test_what_only_the_teacher_itself_tells(maker, columns, teacher, folder, part, value):
    now = fingerprint(maker.run(**VIEWS), columns.spec, teacher.modalities, teacher.fingerprint())
    compare(manifest.read(folder)["fingerprint"], now, folder)
    with pytest.raises(SuffuseError, match="made with other " + ("weights" if part == "teacher" else part)):
        compare({**now, part: value}, now, folder)


def test_a_manifest_that_was_edited_is_refused(folder, columns):
    facts = json.loads((folder / "manifest.json").read_text())
    facts["fingerprint"]["teacher"] = "0" * 64
    (folder / "manifest.json").write_text(json.dumps(facts))
    with pytest.raises(SuffuseError, match="it doesn't fit its own hash"):
        Knowledge.open(folder, columns)
