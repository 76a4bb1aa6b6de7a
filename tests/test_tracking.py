"""Callbacks are told of every epoch, wherever a training runs; trackers get epochs, recipe and test scores."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest

from suffuse import Epoch, Run, UsageError, pipeline, tracking
from suffuse.engine import workers
from suffuse.files import read_json, read_lines


class Collected:
    """A callback that keeps what it is told, and stops at an epoch of its choice."""

    def __init__(self, stop: str = "") -> None:
        self.epochs: list[Epoch] = []
        self.stop = stop

    def on_epoch_end(self, epoch: Epoch) -> None:
        self.epochs.append(epoch)
        if self.stop and epoch.training.startswith(self.stop):
            raise KeyError("enough")


@pytest.fixture
def run_of(write_table: Any, tiny_recipe: Any, tmp_path: Path) -> Callable[..., Run]:
    """A maker of small runs of two epochs."""

    def make(**compute: Any) -> Run:
        source = tmp_path / "table" / "rows.csv"
        recipe = tiny_recipe(source if source.exists() else write_table(tmp_path / "table"))
        recipe["teacher"]["train"]["epochs"] = recipe["distill"]["train"]["epochs"] = 2
        recipe["compute"] = {"threads": 1, **compute}
        return Run.of(recipe, tmp_path / "run")

    return make


def check_told(run: Run, told: list[Epoch], training: str) -> None:
    """The epochs of a training are the lines of its history."""
    lines = read_lines(run.path(training, "metrics.jsonl"))
    own = [epoch for epoch in told if epoch.training == training]
    assert [epoch.number for epoch in own] == [line["epoch"] for line in lines] == [1, 2]
    for epoch, line in zip(own, lines, strict=True):
        assert epoch.losses == line["terms"] and epoch.validation == line["validation"] and epoch.epochs == 2
        assert epoch.loss == line["loss"] and epoch.score == line["validation"]["accuracy"]


@pytest.mark.parametrize("apart", [False, pytest.param(True, marks=[pytest.mark.slow, pytest.mark.long])])
def test_every_epoch_is_told_by_its_training(run_of: Any, apart: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if apart:
        monkeypatch.setattr("suffuse.stages.distill.is_brief", lambda *_: False)
    run, collected = run_of(), Collected()
    for verb in ("prepare", "teach", "extract", "distill"):
        pipeline.run_stage(run, verb, [collected])
    check_told(run, collected.epochs, "teacher")
    for training in ("student/seed-1", "baseline/seed-1"):
        check_told(run, collected.epochs, training)
    assert not pipeline.run_stage(run, "distill", [collected])
    count = len(collected.epochs)
    assert count == 2 * len({epoch.training for epoch in collected.epochs})


def test_a_callback_can_stop_a_run_which_then_goes_on(run_of: Any) -> None:
    run, collected = run_of(), Collected(stop="student")
    for verb in ("prepare", "teach", "extract"):
        pipeline.run_stage(run, verb)
    with pytest.raises(KeyError, match="enough"):
        pipeline.run_stage(run, "distill", [collected])
    assert run.stamp("distill") is None
    after = Collected()
    pipeline.run_stage(run, "distill", [after])
    assert {e.number for e in after.epochs if e.training == "student/seed-1"} >= {2} and run.stamp("distill")


def test_a_worker_sends_epochs_to_its_parent() -> None:
    from suffuse.epoch_events import listening

    collected = Collected()
    facts = {"training": "t", "number": 1, "epochs": 3, "loss": 0.5, "losses": {"a": 0.5}, "validation": {"m": 0.1}}
    news = [json.loads(json.dumps(message)) for message in ({"epoch": facts, "job": 0}, {"done": True, "job": 0})]
    with listening([collected]):
        workers.report_progress(iter(news), 1, lambda share, words: None)
    assert collected.epochs == [Epoch(**facts)] and collected.epochs[0].score == 0.1


class Fake:
    """A tracker that keeps what it is given."""

    opened: ClassVar[list[Fake]] = []

    def __init__(self, run: Run):
        self.logged: list[tuple[dict[str, float], int | None, str]] = []
        self.closed = 0
        Fake.opened.append(self)

    def log(self, values: dict[str, float], step: int | None, group: str) -> None:
        self.logged.append((values, step, group))

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> type[Fake]:
    Fake.opened = []
    monkeypatch.setitem(tracking.TRACKERS, "mlflow", Fake)
    monkeypatch.setattr(tracking, "optional", lambda module, extra: None)
    return Fake


def test_a_tracker_gets_epochs_and_test_scores(run_of: Any, fake: type[Fake]) -> None:
    run = run_of(tracker="mlflow")
    for verb in ("prepare", "teach"):
        pipeline.run_stage(run, verb)
    (tracker,) = fake.opened
    assert tracker.closed == 1 and [step for _, step, _ in tracker.logged] == [1, 2]
    values = tracker.logged[0][0]
    assert {"teacher/loss", "teacher/losses/labels", "teacher/validation/accuracy"} <= set(values)
    run.path("scores").mkdir()
    run.path("scores", "student.json").write_text('{"metrics": {"accuracy": {"mean": 0.75}}}')
    tracked = tracking.Tracked(run, "mlflow")
    tracked.finish()
    assert fake.opened[1].logged == [({"test/student/accuracy": 0.75}, None, "")] and fake.opened[1].closed == 1


def test_a_tracker_is_no_reason_to_run_again(run_of: Any, fake: type[Fake]) -> None:
    pipeline.run_stage(run_of(), "prepare")
    pipeline.run_stage(run_of(), "teach")
    assert not pipeline.run_stage(run_of(tracker="mlflow"), "teach") and not fake.opened


def test_a_tracker_that_fails_is_no_end_of_a_run(run_of: Any, fake: type[Fake], monkeypatch: Any, capsys: Any) -> None:
    def broken(self: Fake, *_: object) -> None:
        raise OSError("no route to host\nsecond line")

    monkeypatch.setattr(fake, "log", broken)
    run = run_of(tracker="mlflow")
    pipeline.run_stage(run, "prepare")
    assert pipeline.run_stage(run, "teach")
    err = capsys.readouterr().err
    assert err.count("WARNING: mlflow doesn't track this run any more: no route to host\n") == 1


def test_a_missing_library_is_told_before_training(run_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(module: str, extra: str) -> None:
        raise UsageError(f"{module} isn't installed", hint=f"pip install 'suffuse[{extra}]'")

    monkeypatch.setattr(tracking, "optional", missing)
    with pytest.raises(UsageError, match="wandb isn't installed"):
        pipeline.run_stage(run_of(tracker="wandb"), "prepare")


@pytest.mark.slow
@pytest.mark.parametrize("store", ["sqlite", "files"])
def test_mlflow_in_a_local_store(run_of: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: str) -> None:
    mlflow = pytest.importorskip("mlflow", reason="needs `make test-loops`")
    uri = f"sqlite:///{tmp_path}/mlflow.db" if store == "sqlite" else (tmp_path / "mlruns").as_uri()
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "colours")
    run = run_of(tracker="mlflow")
    for verb in ("prepare", "teach", "extract", "distill"):
        pipeline.run_stage(run, verb)
    tracking.Tracked(run, "mlflow").finish()
    client = mlflow.MlflowClient(uri)
    (tracked,) = client.search_runs([client.get_experiment_by_name("colours").experiment_id])
    assert tracked.info.run_id == (read_json(run.path(tracking.FILE)) or {})["id"]
    assert tracked.info.status == "FINISHED" and tracked.data.params["distill.train.epochs"] == "2"
    history = client.get_metric_history(tracked.info.run_id, "student/seed-1/validation/accuracy")
    lines = read_lines(run.path("student", "seed-1", "metrics.jsonl"))
    assert {m.step: m.value for m in history} == {line["epoch"]: line["validation"]["accuracy"] for line in lines}


@pytest.mark.slow
def test_wandb_offline(run_of: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb", reason="needs `make test-loops`")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path / "tracked"))
    (tmp_path / "tracked").mkdir()
    run = run_of(tracker="wandb")
    for verb in ("prepare", "teach", "extract"):
        pipeline.run_stage(run, verb)
    assert (read_json(run.path(tracking.FILE)) or {})["id"]
    (folder,) = {file.parent for file in (tmp_path / "tracked" / "wandb").glob("offline-run-*/run-*.wandb")}
    assert any(file.stat().st_size > 0 for file in folder.glob("*.wandb"))
    assert not any(pipeline.reasons(run, pipeline.STAGES[verb]) for verb in ("prepare", "teach", "extract"))
