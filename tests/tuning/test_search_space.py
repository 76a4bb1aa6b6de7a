"""Every point of a search space is a recipe that is valid where the search runs; the recipe as it is lies in it."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tuning_tools import KINDS, ground

from suffuse import fusions
from suffuse.data.training_views import COMPLEMENTARY
from suffuse.engine.student_training import training_of
from suffuse.losses import compatibility
from suffuse.pipeline import inputs
from suffuse.recipe import Baseline, Recipe, loading, to_yaml
from suffuse.recipe.yaml_io import parse_yaml
from suffuse.run import Run
from suffuse.stages import STAGES
from suffuse.tuning import search_space
from suffuse.tuning.options import BASELINE, STUDENT
from suffuse.tuning.samplers import FixedSampler, RandomSampler
from suffuse.tuning.training_space import GENTLE, MILD, PLAIN, extra_augmentation

DRAWS = 60
EARLIER = ("prepare", "teach", "extract")  # stages whose results a search works on
QUICK = ("two classes", "three modalities", "labels", "subsets")
GROUNDS = [pytest.param(kind, marks=() if kind in QUICK else pytest.mark.long) for kind in KINDS]
TWO = {"dkd", "nkd", "lskd", "dist"}  # say nothing of two classes


@pytest.fixture(autouse=True)
def parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A recipe's file is parsed once for all points: it takes most of the time of reading one."""
    parse = cache(parse_yaml)
    monkeypatch.setattr(loading, "read_yaml", lambda path: copy.deepcopy(parse(path.read_text("utf-8"), str(path))))


def read(file: Path, overrides: dict[str, Any]) -> Recipe:
    """The recipe of a point; raises where it is none."""
    return search_space.read_point(file, search_space.override_texts(overrides))


def bare(recipe: Recipe) -> dict[str, dict]:
    """The modalities without how their training views differ."""
    return {name: one.model_dump(exclude={"augment"}) for name, one in recipe.modalities.items()}


@pytest.mark.parametrize("kind", GROUNDS)
@pytest.mark.parametrize("who", [STUDENT, pytest.param(BASELINE, marks=pytest.mark.long)])
def test_every_point_is_a_valid_recipe(tmp_path: Path, kind: str, who: str) -> None:
    there, file = ground(tmp_path, kind)
    random, seen = np.random.default_rng(0), set()
    for _ in range(DRAWS):
        texts = search_space.override_texts(search_space.point(who, RandomSampler(random), there))
        recipe = search_space.read_point(file, texts)  # raises where it is none
        seen.add(tuple(texts))
        student = recipe.student
        dropped = bool(recipe.distill.train.modality_dropout) and len(student.encoders) > 1
        for loss in recipe.distill.losses.values():
            compatibility.check(loss, there.place(dropped, fusions.gates(student.fusion)), "")
        if kind == "two classes":
            assert not TWO & {loss.kind for loss in recipe.distill.losses.values()}
        assert any(loss.kind == "task" for loss in recipe.distill.losses.values())
        assert recipe.teacher == there.recipe.teacher
        assert bare(recipe) == bare(there.recipe)
        assert recipe.extract == there.recipe.extract and recipe.data == there.recipe.data
        if who == BASELINE:
            assert student == there.recipe.student and recipe.distill.train == there.recipe.distill.train
            assert recipe.distill.losses == there.recipe.distill.losses
    assert len(seen) > 0.9 * DRAWS


@pytest.mark.parametrize("kind", GROUNDS)
def test_the_recipe_s_own_point_changes_next_to_nothing(tmp_path: Path, kind: str) -> None:
    there, file = ground(tmp_path, kind)
    recipe = search_space.read_point(
        file, search_space.override_texts(search_space.point(STUDENT, FixedSampler(), there))
    )
    assert recipe.student == there.recipe.student
    assert {n: loss.kind for n, loss in recipe.distill.losses.items()} == {
        n: loss.kind for n, loss in there.recipe.distill.losses.items()
    }
    ours, theirs = recipe.distill.train.model_dump(), there.recipe.distill.train.model_dump()
    outside = {"weight_decay"} if kind == "everything" else set()  # 0 isn't on a logarithmic scale
    assert {key for key in ours if ours[key] != theirs[key]} <= outside
    assert recipe.distill.schedules == there.recipe.distill.schedules


@pytest.mark.parametrize("kind", GROUNDS)
def test_all_points_of_a_search_are_judged_alike(tmp_path: Path, kind: str) -> None:
    """By whole rows, or by the mean over subsets; halves are tried where subsets count."""
    there, file = ground(tmp_path, kind)
    random, dropped = np.random.default_rng(1), set()
    for _ in range(DRAWS):
        train = search_space.read_point(
            file, search_space.override_texts(search_space.point(STUDENT, RandomSampler(random), there))
        ).distill.train
        assert train.by_subsets == there.recipe.distill.train.by_subsets
        if not isinstance(train.modality_dropout, dict):
            dropped.add(train.modality_dropout)
    assert (COMPLEMENTARY in dropped) == (kind in ("subsets", "complementary_subsets"))
    assert kind not in ("subsets", "complementary_subsets") or len(dropped) > 3


def test_a_neighbour_is_nearer_than_a_random_point(tmp_path: Path) -> None:
    there, _ = ground(tmp_path, "everything")
    own = search_space.recipe_point(STUDENT, there)
    random = np.random.default_rng(1)

    def far(keep: float) -> float:
        points = [search_space.neighbour_point(STUDENT, there, random, keep) for _ in range(30)]
        return float(np.mean([sum(own.get(k) != v for k, v in p.items()) for p in points]))

    assert far(1.0) == 0
    assert far(0.8) < 0.5 * far(0.0)


def test_what_the_store_lacks_is_not_proposed(tmp_path: Path) -> None:
    there, _ = ground(tmp_path, "everything", taps={"logits": 9})
    random = np.random.default_rng(2)
    for _ in range(DRAWS):
        chosen = search_space.point(STUDENT, RandomSampler(random), there).get("distill.losses", {})
        assert {raw["kind"] for raw in chosen.values()} <= {
            "kd", "dkd", "nkd", "dist", "lskd", "js", "reverse_kd", "task", "subset_consistency",
        }  # fmt: skip


def test_gentle_augmentation_is_of_what_the_recipe_says_nothing_of_and_trains_no_teacher_anew(tmp_path: Path) -> None:
    there, file = ground(tmp_path, "two classes")
    own = search_space.read_point(file, [])
    values = search_space.point_with(STUDENT, there, {"augment": MILD})
    made = search_space.read_point(
        file, search_space.override_texts(search_space.point(STUDENT, FixedSampler(values), there))
    )
    assert made.distill.train.augment and not own.distill.train.augment
    picture = made.modalities["picture"].augment  # pyright: ignore
    assert picture.shift > 0 and not picture.flip
    assert made.modalities["question"] == own.modalities["question"]
    before, after = (Run(tmp_path, one) for one in (own, made))
    assert all(inputs(before, STAGES[verb]) == inputs(after, STAGES[verb]) for verb in EARLIER)
    assert inputs(before, STAGES["distill"]) != inputs(after, STAGES["distill"])


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("two classes", {None: {}, MILD: {"picture": GENTLE["image"]}}),
        ("mirrored", {None: {}, PLAIN: {"picture": None}, MILD: {"picture": {"flip": True, **GENTLE["image"]}}}),
        ("queries", {None: {}, PLAIN: {"sound": None}}),
    ],
)
def test_labels_alone_choose_their_own_views(tmp_path: Path, kind: str, expected: dict) -> None:
    """Gentle ones stand beside those of the student; where it has as much, there is nothing to add."""
    there, file = ground(tmp_path, kind.replace("mirrored", "two classes"))
    if kind == "mirrored":
        texts = ["distill.train.augment=true", "modalities.picture.augment={flip: true}"]
        there = replace(there, recipe=search_space.read_point(file, texts))
        file.write_text(to_yaml(there.recipe), encoding="utf-8")
    random, seen = np.random.default_rng(4), {}
    for _ in range(DRAWS):
        ask = RandomSampler(random)
        recipe = search_space.read_point(file, search_space.override_texts(search_space.point(BASELINE, ask, there)))
        assert recipe.distill.train == there.recipe.distill.train and recipe.modalities == there.recipe.modalities
        seen[ask.values["augment"]] = recipe.distill.baseline and recipe.distill.baseline.augment
    assert seen == expected
    assert "distill.baseline.augment" not in search_space.point(BASELINE, FixedSampler(), there)
    told = there.recipe.distill.model_copy(update={"baseline": Baseline(augment={"sound": {}})})
    own = replace(there, recipe=there.recipe.model_copy(update={"distill": told}))
    assert "distill.baseline.augment" not in search_space.point(BASELINE, RandomSampler(random), own)


def test_what_the_recipe_says_of_a_modality_s_views_stays_and_more_is_added_alone(tmp_path: Path) -> None:
    there, file = ground(tmp_path, "queries")
    random, seen = np.random.default_rng(4), set()
    own = there.recipe.modalities["sound"]
    for _ in range(30):
        recipe = search_space.read_point(
            file, search_space.override_texts(search_space.point(STUDENT, RandomSampler(random), there))
        )
        found = recipe.modalities["sound"]
        assert found.model_copy(update={"augment": None}) == own.model_copy(update={"augment": None})
        more = {k: v for k, v in found.augment.model_dump().items() if v != own.augment.model_dump()[k]}  # pyright: ignore
        assert more in ({}, {"speed": 0.1, "warp": 0.1})
        assert not more or recipe.distill.train.augment
        seen.add(tuple(more))
    assert len(seen) == 2


def test_views_that_the_recipe_has_an_opinion_of_are_not_widened(tmp_path: Path) -> None:
    there, _ = ground(tmp_path, "queries")
    sound = there.recipe.modalities["sound"]
    said = sound.augment.model_copy(update={"speed": 0.05})  # pyright: ignore
    told = {**there.recipe.modalities, "sound": sound.model_copy(update={"augment": said})}
    assert extra_augmentation(there) and not extra_augmentation(
        replace(there, recipe=there.recipe.model_copy(update={"modalities": told}))
    )


def test_epochs_keep_to_what_is_allowed_and_are_never_none(tmp_path: Path) -> None:
    there, file = ground(tmp_path, "two classes", max_epochs=1.0)
    random = np.random.default_rng(3)
    epochs = {
        search_space.read_point(
            file, search_space.override_texts(search_space.point(STUDENT, RandomSampler(random), there))
        ).distill.train.epochs
        for _ in range(DRAWS)
    }
    assert epochs <= {1, 2} and max(epochs) == 2


def test_an_override_below_a_key_that_holds_nothing(tmp_path: Path) -> None:
    _, file = ground(tmp_path, "two classes")
    made = search_space.read_point(
        file, ["distill.baseline.train.learning_rate=1.0e-05", "distill.schedules={soft: {weight: 1.0}}"]
    )
    assert made.distill.baseline and made.distill.baseline.train.learning_rate == 1e-5
    assert made.distill.schedules["soft"].weight == 1.0


def test_overrides_are_read_back_as_they_were_meant(tmp_path: Path) -> None:
    values = {
        "a": 1e-05,
        "b": True,
        "c": "uniform",
        "d": {"x": {"kind": "kd", "temperature": 2.0}},
        "e": [8, 16],
        "f": 0,
    }
    import yaml

    for text, value in zip(search_space.override_texts(values), values.values(), strict=True):
        assert yaml.safe_load(text.partition("=")[2]) == value
        assert "\n" not in text


def test_the_baseline_may_have_more_epochs_and_never_fewer(tmp_path: Path) -> None:
    there, file = ground(tmp_path, "two classes")
    random, epochs = np.random.default_rng(5), set()
    for _ in range(DRAWS):
        overrides = search_space.point(BASELINE, RandomSampler(random), there)
        recipe = search_space.read_point(file, search_space.override_texts(overrides))
        epochs.add(training_of(recipe.distill, False).epochs / recipe.distill.train.epochs)
        assert recipe.distill.longer_baselines
    assert min(epochs) == 1 and 1 < max(epochs) <= there.max_epochs
    assert "distill.baseline.train.epochs" not in search_space.point(BASELINE, FixedSampler(), there)
    fixed = there.recipe.distill.model_copy(update={"baseline": Baseline(epochs=50)})
    own = replace(there, recipe=there.recipe.model_copy(update={"distill": fixed}))
    assert "distill.baseline.train.epochs" not in search_space.point(BASELINE, RandomSampler(random), own)
