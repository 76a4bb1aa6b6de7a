"""Losses name features; one that a network hasn't is told when the recipe is read."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

from suffuse.errors import UsageError
from suffuse.recipe import make_recipe


@pytest.fixture
def raw(tiny_recipe) -> dict:
    """The student reads pictures of 8 pixels, the teacher the same ones of 16; both read the question."""
    made = copy.deepcopy(tiny_recipe(Path("rows.csv")))
    made["modalities"]["large"] = {**made["modalities"]["picture"], "size": 16}
    made["teacher"]["encoders"]["large"] = made["teacher"]["encoders"].pop("picture")
    return made


def with_loss(raw: dict, **loss: object) -> dict:
    return {**raw, "distill": {**raw["distill"], "losses": {"near": loss, "labels": {"kind": "task"}}}}


@pytest.mark.parametrize(
    "loss",
    [
        {"kind": "hint"},
        {"kind": "hint", "tap": "question"},
        {"kind": "hint", "tap": "picture", "teacher_tap": "large"},
        {"kind": "rkd_distance", "tap": "picture", "teacher_tap": "fused"},
        {"kind": "affinity", "taps": ["fused"]},
        {"kind": "modality_hints"},
        {"kind": "modality_hints", "modalities": ["question"]},
    ],
)
def test_what_is_there_can_be_named(raw, loss):
    made = make_recipe(with_loss(raw, **loss))
    assert make_recipe(made.model_dump(mode="json")) == made


@pytest.mark.parametrize(
    ("loss", "key", "said"),
    [
        ({"kind": "hint", "tap": "pictur"}, "tap", "the student hasn't, expected some of: fused, picture, question"),
        ({"kind": "hint", "tap": "picture"}, "tap", "the teacher reads that as large: add `teacher_tap: large`"),
        ({"kind": "hint", "tap": "picture", "teacher_tap": "larg"}, "teacher_tap", "some of: fused, question, large"),
        ({"kind": "crd", "tap": "large"}, "tap", "the student hasn't"),
        ({"kind": "attention_transfer", "map": "picture"}, "map", "teacher hasn't, expected some of: question, large"),
        ({"kind": "query_attention_transfer", "map": "fused"}, "map", "expected some of: picture, question"),
        ({"kind": "affinity", "taps": ["picture", "question"]}, "taps", "the teacher hasn't"),
        ({"kind": "modality_hints", "modalities": ["picture"]}, "modalities", "the teacher hasn't"),
    ],
)  # fmt: skip
def test_what_isn_t_there_is_told_by_its_key(raw, loss, key, said):
    with pytest.raises(UsageError) as caught:
        make_recipe(with_loss(raw, **loss))
    line = caught.value.line()
    assert f"distill.losses.near.{key}" in line and said in line


def test_a_teacher_from_outside_is_known_later(raw):
    del raw["modalities"]["large"]
    outside = {**raw, "teacher": {"kind": "run", "folder": "runs/other"}}
    assert make_recipe(with_loss(outside, kind="hint", tap="picture", teacher_tap="large"))
    with pytest.raises(UsageError, match="the student hasn't"):
        make_recipe(with_loss(outside, kind="hint", tap="large"))
