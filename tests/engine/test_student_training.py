"""The same student on labels alone may have settings of its own, among them more epochs, and never fewer."""

from __future__ import annotations

from pathlib import Path

import pytest
from e2e_tools import make_recipe as raw_recipe

from suffuse.data.training_views import Viewer
from suffuse.engine.student_training import Job, longer_jobs, network_of, training_of, training_of_job
from suffuse.errors import UsageError
from suffuse.pipeline import _changes, inputs
from suffuse.recipe import make_recipe
from suffuse.run import Run
from suffuse.stages import STAGES

TAUGHT, UNTAUGHT = (Job(who, 1, taught, 1.0, None) for who, taught in (("student", True), ("baseline", False)))
OWN = {"train": {"learning_rate": 5e-4, "weight_decay": 0.1, "ema": 0.9}, "dropout": 0.4}


def test_only_the_baseline_has_the_baseline_s_settings() -> None:
    recipe = make_recipe(raw_recipe(distill__baseline=OWN))
    taught, alone = (training_of(recipe.distill, one) for one in (True, False))
    assert taught == recipe.distill.train
    assert (alone.learning_rate, alone.weight_decay, alone.ema) == (5e-4, 0.1, 0.9)
    changed = {"learning_rate", "weight_decay", "ema"}
    assert {k for k in type(taught).model_fields if getattr(taught, k) != getattr(alone, k)} == changed
    assert network_of(recipe, TAUGHT).dropout == 0.0
    assert network_of(recipe, UNTAUGHT).dropout == 0.4
    assert network_of(recipe, Job("only-picture", 1, False, 1.0, "picture")).dropout == 0.4


def test_dropout_goes_to_the_encoders_where_the_fusion_has_heads() -> None:
    student = {"encoders": {"question": {"kind": "gru", "embedding": 4, "width": 8}}, "fusion": {"kind": "queries"}}
    recipe = make_recipe(raw_recipe(student=student, distill__baseline={"dropout": 0.3}))
    network = network_of(recipe, UNTAUGHT)
    assert network.dropout == 0.0
    assert network.encoders["question"].dropout == 0.3  # pyright: ignore
    type(network).model_validate(network.model_dump())


@pytest.mark.parametrize("key", ["batch", "patience"])
def test_its_batches_can_not_be_others(key: str) -> None:
    for own in ({"train": {key: 3}}, {key: 3}):
        with pytest.raises(UsageError, match="unknown key"):
            make_recipe(raw_recipe(distill__baseline=own))


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ({"train": {"epochs": 4}}, "at least the student's 5"),
        ({"train": {"epochs": 10}, "epochs": 20}, "beside distill.baseline.epochs"),
        ({"train": {"epochs": "auto"}}, "integer"),
    ],
)
def test_it_never_has_fewer_epochs_and_one_number_of_them(own: dict, expected: str) -> None:
    with pytest.raises(UsageError, match=expected):
        make_recipe(raw_recipe(distill__train={"epochs": 5, "batch": 16}, distill__baseline=own))


def test_with_more_epochs_its_longer_trainings_are_multiples_of_them(tmp_path: Path) -> None:
    raw = raw_recipe(distill__train={"epochs": 5, "batch": 16}, distill__baseline={"train": {"epochs": 7}})
    run = Run(tmp_path, make_recipe(raw))
    distill = run.recipe.distill
    assert (training_of(distill, True).epochs, training_of(distill, False).epochs) == (5, 7)
    assert distill.longer_baselines
    longer = longer_jobs(run, 1.0, 4)
    assert {job.epochs for job in longer} == {28} and {job.model for job in longer} == {"baseline-x4"}
    assert training_of_job(distill, longer[0]).epochs == 28


PICTURE = {"kind": "image", "column": "picture", "size": 16}
FLIPPED = {**PICTURE, "augment": {"flip": True}}


def test_labels_alone_may_see_other_views() -> None:
    question = {"kind": "text", "column": "question", "tokens": "words", "augment": True}
    for on in (True, False):
        train = {"epochs": 2, "batch": 16, "augment": on}
        changes = {"modalities__picture": FLIPPED, "modalities__question": question, "distill__train": train}
        recipe = make_recipe(raw_recipe(**changes, distill__baseline={"augment": {"picture": {"shift": 0.1}}}))
        taught, alone = (training_of(recipe.distill, one) for one in (True, False))
        assert (taught.augment, alone.augment) == (on, True)
        assert alone.model_copy(update={"augment": on}) == taught
        assert recipe.viewed_modalities(True) == recipe.modalities
        seen = recipe.viewed_modalities(False)
        assert seen["picture"].augment.model_dump(exclude_defaults=True) == {"shift": 0.1}  # pyright: ignore
        assert seen["picture"].model_copy(update={"augment": None}) == type(seen["picture"]).model_validate(PICTURE)
        assert seen["question"].augment is on  # pyright: ignore


def test_labels_alone_may_see_rows_as_they_are() -> None:
    train = {"epochs": 2, "batch": 16, "augment": True}
    own = {"augment": {"picture": None}}
    recipe = make_recipe(raw_recipe(modalities__picture=FLIPPED, distill__train=train, distill__baseline=own))
    viewers = [Viewer.of(training_of(recipe.distill, one), recipe.viewed_modalities(one), 1) for one in (True, False)]
    assert viewers[0] is not None and viewers[1] is None


@pytest.mark.parametrize(
    ("own", "words"),
    [
        ({"sound": {}}, "distill.baseline.augment: got 'sound', expected some of: picture, question"),
        ({"picture": {"shft": 0.1}}, "distill.baseline.augment.picture.shft: got 0.1, expected a key of"),
        ({"picture": {"shift": 2}}, "distill.baseline.augment.picture.shift: got 2, expected less than or equal to"),
        ({"question": {"shift": 2}}, "distill.baseline.augment.question: got {'shift': 2}, expected a valid boolean"),
    ],
)
def test_views_that_can_not_be_are_refused(own: dict, words: str) -> None:
    with pytest.raises(UsageError) as error:
        make_recipe(raw_recipe(distill__baseline={"augment": own}))
    assert words in str(error.value) and "\n" not in str(error.value)


def test_a_frozen_encoder_s_views_are_refused() -> None:
    frozen = {"kind": "efficientnet_lite", "frozen": True}
    with pytest.raises(UsageError, match=r"distill\.baseline\.augment\.picture: got it beside a frozen"):
        make_recipe(raw_recipe(student__encoders__picture=frozen, distill__baseline={"augment": {"picture": {}}}))


def test_a_run_of_before_it_is_up_to_date(tmp_path: Path) -> None:
    """Labels alone had settings of their own before they had views of their own."""
    run = Run(tmp_path, make_recipe(raw_recipe(distill__baseline=OWN)))
    now = inputs(run, STAGES["distill"])
    then = {key: value for key, value in now.items() if key != "distill.baseline.augment"}
    assert then != now and not _changes(run, {"inputs": then, "stage": "distill"}, now)


def test_without_it_nothing_that_was_made_is_stale(tmp_path: Path) -> None:
    run = Run(tmp_path, make_recipe(raw_recipe()))
    assert inputs(run, STAGES["distill"])["distill.baseline"] is None  # as in a stamp that doesn't name it
    apart = Run(tmp_path, make_recipe(raw_recipe(distill__baseline=OWN)))
    assert inputs(apart, STAGES["distill"]) != inputs(run, STAGES["distill"])
