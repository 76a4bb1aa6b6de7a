"""What a training reads, through the wiring that stages use: rows, labels, steps and statistics.

Every batch that leaves :meth:`Columns.batch` is recorded by these tests themselves; what the training records of its
own use of rows is compared with that.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from device_tools import places
from e2e_tools import make_recipe as raw_recipe
from e2e_tools import make_rows, write_csv

from suffuse import pipeline
from suffuse.data.columns import Columns
from suffuse.engine import feature_cache, loop, student_training, training_setup
from suffuse.engine.checkpoint import State
from suffuse.engine.loop import Plan, fit
from suffuse.engine.objective import Objective
from suffuse.engine.student_training import Job, prepared
from suffuse.engine.training_record import save_trained
from suffuse.files import read_json
from suffuse.prepare.row_keys import summarise
from suffuse.recipe import make_recipe
from suffuse.run import Run
from suffuse.stages import teach
from suffuse.types import Batch

BATCH, EPOCHS, SHARE = 8, 2, 0.25
TRAIN = {"epochs": EPOCHS, "batch": BATCH}
WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]


@dataclass
class Reads:
    """Rows of recorded batches: those that were trained on, and those that were read without gradients."""

    batches: list[tuple[bool, Batch]]

    def rows(self, evaluated: bool) -> np.ndarray:
        """Positions of all rows that were read."""
        return self._of(evaluated, lambda batch: batch.rows)

    def labels(self, columns: Columns, evaluated: bool) -> np.ndarray:
        """Positions of the rows that came with a label."""
        return self._of(evaluated, lambda batch: batch.rows[columns.spec.known(batch.target)])

    def _of(self, evaluated: bool, taken: Callable[[Batch], torch.Tensor]) -> np.ndarray:
        parts = [taken(batch).numpy() for inside, batch in self.batches if inside == evaluated]
        return np.unique(np.concatenate(parts)) if parts else np.zeros(0, dtype=np.int64)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run as far as its store; every seventh row has no label."""
    project = tmp_path_factory.mktemp("wiring")
    rows = make_rows(project, pictures=60)
    for number, row in enumerate(rows):  # held-out questions are no training questions
        row["question"] += f" {WORDS[number % 12]} {WORDS[number // 12]}"
        row["answer"] = "" if number % 7 == 0 else row["answer"]
    write_csv(project / "rows.csv", rows)
    raw = raw_recipe(teacher__train=TRAIN, distill={"train": TRAIN, "label_fractions": [SHARE]}, compute={"threads": 1})
    run = Run.of(raw, project / "run", project)
    for verb in ("prepare", "teach", "extract"):
        pipeline.run_stage(run, verb)
    return run


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    """All batches that are taken from now on."""
    record, take = Reads([]), Columns.batch

    def batch(self: Columns, *how: Any, **named: Any) -> Batch:
        rows = take(self, *how, **named)
        record.batches.append((torch.is_inference_mode_enabled(), rows))
        return rows

    monkeypatch.setattr(Columns, "batch", batch)
    return record


@pytest.fixture
def columns(stored: Run) -> Columns:
    return Columns.open(stored.path("data"))


def changed(run: Run, **keys: Any) -> Run:
    """The run with other settings of ``distill.train``."""
    raw = run.recipe.model_dump(mode="json")
    raw["distill"]["train"] |= keys
    return Run(run.folder, make_recipe(raw))


def plan_of(run: Run, job: Job, folder: Path) -> tuple[Objective, Plan]:
    return prepared(run, job, folder / f"{job.model}-{job.seed}", lambda share, words: None)


def job(taught: bool, fraction: float = 1.0, seed: int = 1) -> Job:
    return Job("student" if taught else "baseline", seed, taught, fraction, None)


def trained(run: Run, what: Job, folder: Path) -> tuple[Objective, Plan, State]:
    objective, plan = plan_of(run, what, folder)
    return objective, plan, fit(objective, plan)


def share_of(columns: Columns, split: str, rows: np.ndarray, fraction: float) -> None:
    """Assert that rows with labels are of whole groups, as many as the fraction says."""
    groups = np.unique(columns.group[columns.rows(split)])
    seen = np.unique(columns.group[rows])
    assert 0 < len(seen) <= max(1, round(fraction * len(groups)))
    labelled = columns.labelled(split)
    assert rows.tolist() == labelled[np.isin(columns.group[labelled], seen)].tolist()


def test_the_store_holds_no_test_row(stored, columns) -> None:
    keys = np.load(stored.path("knowledge", "key.npy"))
    assert np.isin(columns.key[columns.rows("train")], keys).all()
    assert not np.isin(columns.key[columns.rows("test")], keys).any()


@pytest.mark.parametrize("taught", [True, False], ids=["student", "baseline"])
@pytest.mark.parametrize("select", [None, "subsets"])
def test_a_student_is_validated_on_validation_rows_alone(stored, reads, columns, tmp_path, taught, select) -> None:
    trained(changed(stored, checkpoint_metric=select), job(taught), tmp_path)
    assert reads.rows(evaluated=True).tolist() == columns.labelled("validation").tolist()
    test = columns.rows("test")
    assert len(test) and not np.isin(reads.rows(evaluated=False), test).any()


@pytest.mark.parametrize("fraction", [1.0, SHARE])
def test_a_share_of_the_labels_is_all_that_training_and_validation_see(
    stored, reads, columns, tmp_path, fraction
) -> None:
    labels = []
    for taught in (True, False):
        reads.batches.clear()
        trained(stored, job(taught, fraction), tmp_path)
        seen, judged = reads.labels(columns, evaluated=False), reads.rows(evaluated=True)
        share_of(columns, "train", seen, fraction)
        share_of(columns, "validation", judged, fraction)
        rows = reads.rows(evaluated=False)
        assert rows.tolist() == (columns.rows("train") if taught else seen).tolist()  # unlabelled rows have an answer
        labels.append((seen.tolist(), judged.tolist()))
    assert labels[0] == labels[1]


def test_a_smaller_share_is_part_of_a_larger_one(stored, reads, columns, tmp_path) -> None:
    seen: list[set[int]] = []
    for fraction in (SHARE, 0.5, 1.0):
        reads.batches.clear()
        trained(stored, job(False, fraction), tmp_path / str(fraction))
        seen.append({*reads.labels(columns, False).tolist(), *reads.rows(True).tolist()})
    assert seen[0] < seen[1] < seen[2]


@pytest.mark.parametrize("fraction", [1.0, SHARE])
@pytest.mark.parametrize("accumulate", [1, 2, 4])
def test_student_and_baseline_have_the_same_budget_of_steps(
    stored, columns, tmp_path, monkeypatch, fraction, accumulate
) -> None:
    run, calls = changed(stored, accumulate=accumulate), {"train_step": 0, "update": 0}

    def counting(name: str) -> Callable:
        function = getattr(loop, name)

        def call(*how: Any) -> Any:
            calls[name] += 1
            return function(*how)

        return call

    for name in calls:
        monkeypatch.setattr(loop, name, counting(name))
    every = -(-len(columns.rows("train")) // BATCH)
    assert every % accumulate or accumulate == 1  # an epoch leaves something over
    for taught in (True, False):
        calls.update(train_step=0, update=0)
        _, plan, state = trained(run, job(taught, fraction), tmp_path)
        assert calls["train_step"] == state.step == EPOCHS * every
        assert calls["update"] == state.optimizer_steps == EPOCHS * -(-every // accumulate)
        assert len(state.history) == EPOCHS and plan.training.accumulate == accumulate
        assert taught or fraction == 1 or plan.sampler.steps < every  # several passes an epoch


def test_patience_stops_student_and_baseline_alike(stored, tmp_path) -> None:
    run, ends = changed(stored, epochs=6, patience=2), []
    for taught, fraction in ((True, 1.0), (False, 1.0), (True, SHARE), (False, SHARE)):
        objective, plan = plan_of(run, job(taught, fraction), tmp_path / str(fraction))
        scores = iter([0.2, 0.6, 0.5, 0.4, 0.9, 0.9])
        state = fit(objective, replace(plan, validate=lambda _, s=scores: {"accuracy": next(s), "log_loss": 1.0}))
        ends.append((state.step, len(state.history), state.best_epoch, state.stopped))
    assert set(ends) == {(ends[0][0], 4, 2, True)}


@pytest.mark.parametrize("who", ["student", "baseline", "teacher"])
def test_gradients_are_clipped_to_the_recipe_s_norm(stored, tmp_path, monkeypatch, who) -> None:
    norms: list[float] = []
    optimizer_of = loop.make_optimizer

    def watched(*how: Any) -> torch.optim.Optimizer:
        optimizer = optimizer_of(*how)

        def before(*_: Any) -> None:
            grads = [p.grad.flatten() for g in optimizer.param_groups for p in g["params"] if p.grad is not None]
            norms.append(torch.cat(grads).norm().item())

        optimizer.register_step_pre_hook(before)
        return optimizer

    monkeypatch.setattr(loop, "make_optimizer", watched)
    highest = []
    for clip in (1e6, 1e-2):
        norms.clear()
        if who == "teacher":
            raw = stored.recipe.model_dump(mode="json")
            raw["teacher"]["train"]["clip"] = clip
            train_teacher(Run(tmp_path / str(clip), make_recipe(raw)), stored, monkeypatch)
        else:
            trained(changed(stored, clip=clip), job(who == "student"), tmp_path / str(clip))
        highest.append(max(norms))
    assert highest[0] > 0.1 and highest[1] == pytest.approx(1e-2, rel=1e-4)


def train_teacher(run: Run, data: Run, monkeypatch: pytest.MonkeyPatch, what: str = "teacher") -> dict[str, Any]:
    """Train the teacher of this run on another run's rows; what ``training.json`` says."""
    run.folder.mkdir(parents=True, exist_ok=True)
    if not run.path("data").exists():
        run.path("data").symlink_to(data.path("data"))
    teach.train(run, teach.Job(what, 1, None), 1, lambda share, words: None)
    return read_json(run.partial("teach") / what / "training.json")


def test_a_teacher_is_validated_on_validation_rows_alone(stored, reads, columns, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(training_setup, "score_rows", lambda *_: {})  # the training score: a test of its own
    facts = train_teacher(Run(tmp_path, stored.recipe), stored, monkeypatch)
    assert reads.rows(evaluated=True).tolist() == columns.labelled("validation").tolist()
    assert reads.rows(evaluated=False).tolist() == columns.labelled("train").tolist()
    assert set(facts["rows"]["epoch"]) == {"validation"} and set(facts["rows"]["labels"]) == {"train"}


BERT = {
    "model_type": "bert", "vocab_size": 320, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
    "intermediate_size": 16, "max_position_embeddings": 16,
}  # fmt: skip


@pytest.mark.parametrize("who", ["student", "teacher"])
def test_frozen_vectors_are_standardised_by_training_rows_alone(
    stored, columns, tmp_path, monkeypatch, hugging_folder, who
) -> None:
    raw = stored.recipe.model_dump(mode="json")
    frozen = {"kind": "huggingface", "name": str(hugging_folder(BERT)), "frozen": True}
    raw["student" if who == "student" else "teacher"]["encoders"]["question"] = frozen
    run = Run(tmp_path / "run", make_recipe(raw))
    run.folder.mkdir()
    run.path("data").symlink_to(stored.path("data"))
    ready: list[Columns] = []
    monkeypatch.setattr(feature_cache, "ready", recorded_calls(feature_cache.ready, ready))
    if who == "student":
        objective, plan = plan_of(run, job(False), tmp_path)
        model, usage = objective.model, plan.usage
        assert usage is not None
        recorded = usage.facts()["standardised"]
    else:
        models: list[Any] = []
        monkeypatch.setattr(teach, "save_trained", lambda model, *_: models.append(model))
        teach.train(run, teach.Job("teacher", 1, None), 1, lambda share, words: None)
        model, recorded = models[0], None
    (vectors,) = ready
    at, rows = vectors.spec.names.index("question"), columns.rows("train")
    used = np.unique(vectors.entry[rows, at][vectors.present[rows, at]])
    own = vectors.entries["question"][used].astype(np.float64)
    encoder = model.encoder("question")
    np.testing.assert_allclose(encoder.centre.numpy(), own.mean(0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(encoder.scale.numpy(), own.std(0), rtol=1e-3, atol=1e-5)
    every = vectors.entries["question"].astype(np.float64)
    assert len(every) > len(used) and not np.allclose(every.mean(0), own.mean(0), rtol=1e-4, atol=1e-6)
    assert recorded is None or recorded == summarise(rows, columns.split, columns.group, columns.key)


def recorded_calls(function: Callable, results: list) -> Callable:
    """The function; its results are appended."""

    def call(*how: Any) -> Any:
        results.append(function(*how))
        return results[-1]

    return call


def table(numbers: int, held_out: float) -> list[dict[str, Any]]:
    """Rows with a split column; ``held_out`` moves everything in validation and test rows."""
    rows = []
    for number in range(numbers):
        random = np.random.default_rng([3, number])
        split = ("train", "train", "validation", "test")[number % 4]
        offset = held_out if split != "train" else 0.0
        steps = (random.normal(size=(6 if offset else 4, 2)) + offset).tolist()
        word = f"word{random.integers(4)}" + (" elsewhere" if offset else "")
        facts = {"id": f"r{number}", "split": split, "size": float(random.normal()) + offset, "words": word}
        label = ("a", "b")[int(random.integers(2))] if not offset else "c"
        rows.append({**facts, "steps": steps, "price": float(random.normal()) + offset, "answer": label})
    return rows


def network(width: int) -> dict[str, Any]:
    """Encoders of that table."""
    encoders = {
        "facts": {"kind": "mlp", "widths": [width]},
        "words": {"kind": "bag", "embedding": width},
        "steps": {"kind": "gru", "width": width},
    }
    return {"encoders": encoders, "fusion": {"kind": "concat", "width": width}}


def statistics_of(folder: Path, held_out: float) -> tuple[dict, dict]:
    """What prepare makes of such a table: statistics, and the schema."""
    raw = {
        "data": {"target": ["price", "answer"], "tasks": {"price": {"kind": "number"}}, "id": "id",
                 "split": {"column": "split"}},
        "modalities": {
            "facts": {"kind": "tabular", "column": ["size"]},
            "words": {"kind": "text", "column": "words", "tokens": "words", "length": 4},
            "steps": {"kind": "sequence", "column": "steps", "features": 2},
        },
        "student": network(4),
        "teacher": network(8),
    }  # fmt: skip
    run = Run.of(raw, folder, rows=table(80, held_out))
    pipeline.run_stage(run, "prepare")
    return read_json(run.path("data", "statistics.json")), read_json(run.path("data", "schema.json"))


def test_statistics_come_from_training_rows_alone(tmp_path) -> None:
    (near, schema), (far, moved) = (statistics_of(tmp_path / str(offset), offset) for offset in (0.0, 50.0))
    assert near == far and set(near) == {"facts", "words", "steps"}
    for key in ("heads", "log_prior"):
        assert schema[key] == moved[key]
    assert set(schema["fitted_on"]) == {"train"} and schema["fitted_on"]["train"]["rows"] == 40


@pytest.mark.parametrize("taught", [True, False], ids=["student", "baseline"])
@pytest.mark.parametrize("fraction", [1.0, SHARE])
def test_the_record_is_what_was_read(stored, reads, columns, tmp_path, taught, fraction) -> None:
    _, plan, _ = trained(stored, job(taught, fraction), tmp_path)
    known = columns.split, columns.group, columns.key
    assert plan.usage is not None
    facts = plan.usage.facts()
    assert facts["complete"]
    assert facts["labels"] == summarise(reads.labels(columns, evaluated=False), *known)
    assert facts["epoch"] == summarise(reads.rows(evaluated=True), *known)
    assert facts["standardised"] == summarise(columns.rows("train"), *known)


class Killed(Exception):
    """What ends a training here."""


def test_the_record_survives_a_kill(stored, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
    _, whole, _ = trained(stored, job(True), tmp_path / "whole")
    objective, plan = plan_of(stored, job(True), tmp_path)

    def tell(share: float, words: str) -> None:
        if share == 1.0:
            raise Killed

    with pytest.raises(Killed):
        fit(objective, replace(plan, tell=tell))
    objective, plan = plan_of(stored, job(True), tmp_path)
    fit(objective, plan)
    assert whole.usage is not None and plan.usage is not None
    assert plan.usage.facts() == whole.usage.facts()
    objective, plan = plan_of(stored, job(True), tmp_path)
    fit(objective, plan)  # nothing is left to do
    assert plan.usage is not None and plan.usage.facts() == whole.usage.facts()


def test_a_checkpoint_without_a_record_makes_it_incomplete(stored, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
    objective, plan = plan_of(stored, job(True), tmp_path)
    fit(objective, replace(plan, usage=None))
    objective, plan = plan_of(stored, job(True), tmp_path)
    fit(objective, plan)
    assert plan.usage is not None and plan.usage.facts() == {"complete": False}


@pytest.mark.parametrize("taught", [True, False])
@pytest.mark.parametrize("fraction", [1.0, SHARE])
def test_the_training_score_is_on_labelled_training_rows_of_the_share(
    stored: Run, columns: Columns, reads: Reads, tmp_path: Path, taught: bool, fraction: float
) -> None:
    objective, plan, state = trained(stored, job(taught, fraction), tmp_path)
    reads.batches.clear()
    save_trained(objective.model, state, plan, tmp_path / "saved")
    share_of(columns, "train", reads.labels(columns, True), fraction)
    facts = read_json(tmp_path / "saved" / "training.json")
    assert facts["version"] == 5 and facts["device"] == "cpu"
    assert 0 <= facts["training"]["accuracy"] <= 1 and facts["training"]["log_loss"] > 0


@pytest.mark.parametrize("budget", [10**9, 60_000, 0])
@pytest.mark.parametrize("top_k", [0, 1])
def test_a_training_gathers_on_its_device(stored, tmp_path, monkeypatch, budget, top_k) -> None:
    """On ``meta``, with columns and store copied there or not, batch and teacher's arrays are where the network is."""
    monkeypatch.setattr(student_training, "settle", lambda *_: torch.device("meta"))
    monkeypatch.setattr(training_setup, "device_of", lambda _: torch.device("meta"))
    monkeypatch.setattr(training_setup, "memory_for_columns", lambda *_: budget)
    monkeypatch.setattr(torch.Tensor, "nonzero", lambda x: x.new_zeros(x.numel(), x.dim(), dtype=torch.int64))
    run = stored
    if top_k:
        raw = stored.recipe.model_dump(mode="json")
        raw["extract"]["top_k"] = 1
        run = Run(tmp_path / "run", make_recipe(raw))
        shutil.copytree(stored.folder, run.folder)
        shutil.rmtree(run.path("knowledge"))
        pipeline.run_stage(run, "extract")
    objective, plan = plan_of(run, job(True), tmp_path / "scratch")
    batch, taps = plan.gather(plan.sampler.order(0)[:8], 0)
    assert places((objective.state_dict(), batch, taps)) == {"meta"}
    loss, _ = objective(batch, taps)
    assert loss.device.type == "meta"
