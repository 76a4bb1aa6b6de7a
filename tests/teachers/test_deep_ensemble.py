"""All seeds of a teacher together: the mean of their probabilities is what students learn from, and what is judged."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from teacher_tools import recipe, softmax

from suffuse import pipeline
from suffuse.data.columns import Columns
from suffuse.data.training_views import Viewer
from suffuse.engine.inference import logits, score
from suffuse.engine.seed_selection import best_seed
from suffuse.errors import UsageError
from suffuse.files import read_json
from suffuse.knowledge import Knowledge
from suffuse.model import open_model
from suffuse.run import Run
from suffuse.teachers import Question
from suffuse.teachers.factory import open_teacher
from suffuse.teachers.trained import DeepEnsemble

SEEDS = ("seed-0", "seed-1", "seed-2")


@pytest.fixture(scope="module")
def taught(prepared, tmp_path_factory) -> Run:
    """The small table, taught with three seeds that were trained for too short to agree; its student, evaluated."""
    encoders = {"picture": {"kind": "conv", "widths": [6]}, "words": {"kind": "gru", "embedding": 4, "width": 6}}
    made = recipe(prepared.recipe.data.source)
    train = {"epochs": 2, "batch": 16, "learning_rate": 0.01}
    made["teacher"] = {"encoders": encoders, "fusion": {"kind": "gated", "width": 8}, "train": train}
    made["teacher"] |= {"num_seeds": 3, "ensemble": True}
    made["evaluate"] = {"probes": ["agreement"]}
    run = Run.of(made, tmp_path_factory.mktemp("together") / "run")
    for verb in ("prepare", "teach", "extract", "distill", "export", "evaluate"):
        pipeline.run_stage(run, verb)
    return run


def mean(run: Run, columns: Columns, rows: np.ndarray) -> np.ndarray:
    """(N, C): the seeds' mean probabilities, from their saved weights."""
    said = [logits(open_model(run.path("teachers", seed)), columns, rows) for seed in SEEDS]
    return np.mean([softmax(one.astype(np.float64)) for one in said], axis=0)


def test_the_store_holds_the_mean_of_all_seeds_probabilities(taught):
    columns = Columns.open(taught.path("data"))
    rows = np.concatenate([columns.rows("train"), columns.rows("validation")])
    stored = Knowledge.open(taught.path("knowledge"), columns).gather(torch.from_numpy(rows), ["logits"])["logits"]
    wanted = mean(taught, columns, rows)
    np.testing.assert_allclose(softmax(stored.double().numpy()), wanted, atol=2e-3)  # float16
    one = softmax(logits(open_model(taught.path("teacher")), columns, rows).astype(np.float64))
    assert np.abs(one - wanted).max() > 0.02  # and not one of them alone


def test_all_but_the_logits_is_of_the_seed_that_was_best(taught):
    columns = Columns.open(taught.path("data"))
    teacher, rows = open_teacher(taught, columns), np.arange(20)
    assert isinstance(teacher, DeepEnsemble)
    best = teacher.members[SEEDS.index(best_seed(taught.path("teachers")))].answer(Question(rows))
    found = teacher.answer(Question(rows))
    assert set(found) == set(best) > {"logits", "fused", "gates"}
    for name in set(best) - {"logits"}:
        np.testing.assert_array_equal(found[name], best[name])
    assert np.abs(found["logits"] - best["logits"]).max() > 0.01


def test_every_seed_sees_the_same_modalities_and_the_same_view(taught):
    columns = Columns.open(taught.path("data"))
    teacher, rows = open_teacher(taught, columns), np.arange(20)
    assert isinstance(teacher, DeepEnsemble)
    asked = []

    class Spy:
        def answer(self, question):
            asked.append(question)
            return {"logits": np.zeros((20, 3), np.float32)}

    viewer = Viewer.of(taught.recipe.distill.train, taught.recipe.modalities, 0)
    question = Question(rows, ("words",), (viewer, 3) if viewer else None)
    found = DeepEnsemble((Spy(), Spy()), 0, teacher.heads).answer(question)
    assert asked == [question, question]
    np.testing.assert_allclose(softmax(found["logits"]), 1 / 3, atol=1e-6)
    hidden = teacher.answer(Question(rows, ("words",)))["logits"]
    each = [softmax(one.answer(Question(rows, ("words",)))["logits"].astype(np.float64)) for one in teacher.members]
    np.testing.assert_allclose(softmax(hidden.astype(np.float64)), np.mean(each, axis=0), atol=1e-4)


def test_what_all_score_together_is_what_is_judged(taught):
    columns = Columns.open(taught.path("data"))
    rows = columns.labelled("validation")
    facts = read_json(taught.path("teacher", "training.json"))
    wanted = score(columns.spec, np.log(mean(taught, columns, rows)).astype(np.float32), columns.target[rows])
    assert facts["validation"] == pytest.approx(wanted, abs=1e-4)
    best = read_json(taught.path("teachers", best_seed(taught.path("teachers")), "training.json"))
    assert facts["best"] == best["validation"] != facts["validation"]
    assert facts["ensemble"] == 3
    assert read_json(taught.path("judged.json"))["teacher"] == facts["validation"]["accuracy"]


def test_the_scorecard_has_a_line_for_it_and_agreement_is_with_it(taught):
    columns = Columns.open(taught.path("data"))
    rows = columns.labelled("test")
    card, student = (read_json(taught.path("scores", f"{who}.json")) for who in ("ensemble", "student"))
    said = mean(taught, columns, rows).argmax(1)
    assert card["metrics"]["accuracy"]["mean"] == pytest.approx((said == columns.target[rows]).mean())
    sizes = [read_json(taught.path("teachers", seed, "training.json"))["parameters"] for seed in SEEDS]
    assert card["parameters"] == sum(sizes)
    place = next(taught.path("student").glob("seed-*"))
    same = (logits(open_model(place), columns, rows).argmax(1) == said).mean()
    assert student["agreement"]["same"]["mean"] == pytest.approx(same)
    assert "agreement" not in card


def test_all_seeds_are_in_the_fingerprint(taught):
    columns = Columns.open(taught.path("data"))
    teacher = open_teacher(taught, columns)
    assert isinstance(teacher, DeepEnsemble)
    before = teacher.fingerprint()
    assert open_teacher(taught, columns).fingerprint() == before
    for other in (DeepEnsemble(teacher.members[:2], 0, teacher.heads),
                  DeepEnsemble(teacher.members, (teacher.best + 1) % 3, teacher.heads)):  # fmt: skip
        assert other.fingerprint() != before


REFUSED = [({"num_seeds": 1}, "ensemble of one seed"), ({"folds": 3}, "ensemble and folds")]


@pytest.mark.parametrize(("more", "why"), REFUSED)
def test_what_makes_no_sense_is_refused(taught, tmp_path, more, why):
    raw = copy.deepcopy(taught.recipe.model_dump(mode="json"))
    raw["teacher"] |= more
    with pytest.raises(UsageError, match=why):
        Run.of(raw, tmp_path / "run")
