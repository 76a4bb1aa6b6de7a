"""A teacher for each seed of the student: each seed is taught by the answers of its own, from one store."""

from __future__ import annotations

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from teacher_tools import recipe

from suffuse import pipeline
from suffuse.data.columns import Columns
from suffuse.engine.inference import logits, score
from suffuse.engine.seed_selection import best_seed
from suffuse.engine.student_training import open_knowledge, teacher_seed
from suffuse.errors import SuffuseError, UsageError
from suffuse.files import read_array, read_json
from suffuse.knowledge import Knowledge, manifest
from suffuse.knowledge.chunks import Block, block_starts, blocks
from suffuse.knowledge.parquet_export import export
from suffuse.model import open_model
from suffuse.recipe import Extract, make_recipe
from suffuse.report.verdict_text import sentences
from suffuse.run import Run
from suffuse.stages.extract import verify
from suffuse.teachers.factory import open_teacher, open_teachers

SEEDS = (0, 1, 2)


def raw_recipe(source, portfolio: bool) -> dict:
    encoders = {"picture": {"kind": "conv", "widths": [6]}, "words": {"kind": "gru", "embedding": 4, "width": 6}}
    made = recipe(source)
    train = {"epochs": 2, "batch": 16, "learning_rate": 0.01}
    made["teacher"] = {"encoders": encoders, "fusion": {"kind": "gated", "width": 8}, "train": train, "num_seeds": 3}
    made["teacher"] |= {"portfolio": {"folds": 2}} if portfolio else {}
    made["distill"] = {**made.get("distill", {}), "num_seeds": 3, "teachers": "each"}
    made["extract"] = {"subsets": "each"}
    made["evaluate"] = {"probes": ["agreement"]}
    return made


@pytest.fixture(scope="module")
def taught(prepared, tmp_path_factory) -> Run:
    run = Run.of(raw_recipe(prepared.recipe.data.source, False), tmp_path_factory.mktemp("seeds") / "run")
    for verb in ("prepare", "teach", "extract", "distill", "export", "evaluate"):
        pipeline.run_stage(run, verb)
    return run


@pytest.fixture(scope="module")
def portfolios(prepared, tmp_path_factory) -> Run:
    run = Run.of(raw_recipe(prepared.recipe.data.source, True), tmp_path_factory.mktemp("portfolios") / "run")
    for verb in ("prepare", "teach", "extract"):
        pipeline.run_stage(run, verb)
    return run


@pytest.mark.parametrize("seed", SEEDS)
def test_each_student_reads_the_answers_of_its_own_teacher(taught, seed):
    columns = Columns.open(taught.path("data"))
    rows = np.concatenate([columns.rows("train"), columns.rows("validation")])
    assert teacher_seed(taught.recipe, seed + 1) == seed
    knowledge = open_knowledge(taught, columns, seed)
    stored = knowledge.gather(torch.from_numpy(rows), ["logits"])["logits"].float().numpy()
    wanted = logits(open_model(taught.path("teachers", f"seed-{seed}")), columns, rows)
    np.testing.assert_allclose(stored, wanted, rtol=2e-3, atol=2e-3)  # float16
    other = logits(open_model(taught.path("teachers", f"seed-{(seed + 1) % 3}")), columns, rows)
    assert np.abs(stored - other).max() > 0.02


@pytest.mark.parametrize("seed", SEEDS)
def test_so_are_its_answers_without_a_modality_and_its_features(taught, seed):
    columns = Columns.open(taught.path("data"))
    rows, knowledge = columns.rows("train"), open_knowledge(taught, columns, seed)
    teacher = open_teachers(taught, columns).of(seed)
    from suffuse.teachers import Question

    for subset in (("picture",), ("words",)):
        got = knowledge.gather(torch.from_numpy(rows), ["logits"], knowledge.block(subset, None))["logits"]
        wanted = teacher.answer(Question(rows, subset, None))["logits"]
        np.testing.assert_allclose(got.float().numpy(), wanted, rtol=2e-3, atol=2e-3)
    features = knowledge.gather(torch.from_numpy(rows), ["words"], knowledge.block(("words",), None))["words"]
    wanted = teacher.answer(Question(rows, None, None))["words"]
    np.testing.assert_allclose(features.float().numpy(), wanted, rtol=2e-3, atol=2e-3)


def test_without_a_seed_the_store_answers_as_the_best_teacher(taught):
    columns, best = Columns.open(taught.path("data")), int(best_seed(taught.path("teachers")).removeprefix("seed-"))
    rows = torch.from_numpy(columns.rows("train"))
    stored = Knowledge.open(taught.path("knowledge"), columns).gather(rows, ["logits"])["logits"]
    own = open_knowledge(taught, columns, best).gather(rows, ["logits"])["logits"]
    assert torch.equal(stored, own)
    assert read_json(taught.path("teacher", "training.json"))["seed"] == best
    assert manifest.blocks(manifest.read(taught.path("knowledge")))[0].teacher == best
    assert open_teacher(taught, columns).fingerprint() == open_teachers(taught, columns).of(best).fingerprint()


def test_the_students_differ_where_only_their_teachers_do(taught, tmp_path):
    """The baseline learns from no teacher, so that it is the same under ``teachers: one``; the student isn't."""
    changed = taught.recipe.model_dump(mode="json")
    changed["distill"]["teachers"] = "one"
    run = Run.of(changed, tmp_path / "run")
    for verb in ("prepare", "teach", "extract", "distill"):
        pipeline.run_stage(run, verb)
    best = read_json(taught.path("teacher", "training.json"))["seed"]
    for seed in SEEDS:
        names = [("baseline", True), ("student", seed == best)]
        for model, same in names:
            file = (model, f"seed-{seed + 1}", "model.safetensors")
            assert (taught.path(*file).read_bytes() == run.path(*file).read_bytes()) == same, (model, seed)


def test_the_verdict_says_how_many_teachers(taught):
    facts = read_json(taught.path("scores", "comparisons.json"))
    assert [c["teachers"] for c in facts if c["about"] == "distillation"] == [3]
    assert "; a teacher for each seed" in sentences(taught)[0]


def test_every_teacher_is_verified(taught):
    assert verify(taught)["worst"] <= 1
    facts = manifest.read(taught.path("knowledge"))
    assert {b.teacher for b in manifest.blocks(facts)} == set(SEEDS)


def test_the_table_of_answers_tells_the_teachers_apart(taught, tmp_path):
    count = export(taught.folder, tmp_path / "answers.parquet")
    table = pq.read_table(tmp_path / "answers.parquet")
    assert count == len(table) and set(table["teacher_seed"].to_pylist()) == set(SEEDS)


def test_each_teacher_has_a_portfolio_with_folds_of_its_own(portfolios):
    columns = Columns.open(portfolios.path("data"))
    rows, teachers = columns.labelled("validation"), open_teachers(portfolios, columns)
    outputs = []
    for seed in SEEDS:
        folder = portfolios.path("teachers", f"seed-{seed}")
        facts = read_json(folder / "training.json")
        from suffuse.teachers import batch_query

        assert facts["validation"] == pytest.approx(
            score(columns.spec, batch_query.logits(teachers.of(seed), rows), columns.target[rows])
        )
        outputs.append(read_array(folder / "portfolio" / "words.npy")[columns.rows("train")])
    assert not np.array_equal(outputs[0], outputs[1])


def test_scoring_again_after_a_kill_keeps_the_networks_own_score(portfolios, monkeypatch):
    """A kill between the last score and the end of the stage: what was written is read again."""
    from suffuse.stages import teach

    place = portfolios.path("teachers", "seed-1")
    before = json.loads((place / "training.json").read_text())
    monkeypatch.setattr(Run, "partial", lambda run, stage: run.folder)
    columns = Columns.open(portfolios.path("data"))
    assert teach.score_trained(portfolios, place, open_teachers(portfolios, columns).of(1)) == before


def test_blocks_of_two_teachers_follow_each_other():
    made = blocks(Extract(subsets="each", views=1), ("a", "b"), (4, 3))
    assert made[:2] == [Block(("a", "b"), None, 4), Block(("a", "b"), 0, 4)] and len(made) == 12
    assert [b.teacher for b in made] == [4] * 6 + [3] * 6
    counts = [5 if b.view is None else 3 for b in made]
    starts = block_starts(made, counts, True)  # a modality's own feature: of the full subset, for each teacher
    assert starts[:6] == [0, 5, 0, 5, 0, 5] and starts[6:] == [8, 13, 8, 13, 8, 13]


def test_a_store_without_a_teacher_says_so(taught):
    columns = Columns.open(taught.path("data"))
    with pytest.raises(SuffuseError, match="lacks the teacher of this seed") as error:
        open_knowledge(taught, columns, 9)
    assert "expected 9" in error.value.line()


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"teacher": {"num_seeds": 2}}, "teacher.num_seeds: got 2 for 3 seeds of the student"),
        ({"teacher": {"ensemble": True}}, "distill.teachers: got each beside an ensemble"),
        ({"teacher": {"folds": 2}}, "distill.teachers: got each beside teacher.folds"),
    ],
)
def test_what_has_no_teacher_for_each_seed_is_refused(prepared, change, where):
    made = raw_recipe(prepared.recipe.data.source, False)
    for section, settings in change.items():
        made[section] = {**made[section], **settings}
    with pytest.raises(UsageError) as error:
        make_recipe(made)
    assert where.split(": ", 1)[1] in str(error.value)
