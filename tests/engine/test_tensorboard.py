"""Curves in TensorBoard are the history, epoch by epoch, also after a training went on from a kill."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from suffuse.engine.training_record import follower


def run(folder: Path, wanted: bool):
    recipe = SimpleNamespace(compute=SimpleNamespace(tensorboard=wanted))
    return SimpleNamespace(recipe=recipe, path=lambda *parts: folder.joinpath(*parts))


def line(epoch: int) -> dict:
    return {
        "epoch": epoch, "loss": 1 / epoch, "terms": {"soft": 0.5 / epoch}, "shares": {"soft": 1.0},
        "validation": {"accuracy": 0.1 * epoch},
    }  # fmt: skip


def test_nothing_is_written_where_nobody_asked(tmp_path):
    assert follower(run(tmp_path, False), tmp_path / ".work" / "student" / "seed-1") is None


def test_each_epoch_stands_once_after_a_kill(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    scratch = tmp_path / ".partial" / "distill" / ".work" / "student" / "seed-1"
    for epochs in ((1, 2, 3), (3, 4)):  # killed while the third was judged
        note = follower(run(tmp_path, True), scratch)
        assert note is not None
        for epoch in epochs:
            note(line(epoch))
    found = accumulator.EventAccumulator(str(tmp_path / "tensorboard" / "student" / "seed-1")).Reload()
    assert {"loss", "terms/soft", "shares/soft", "validation/accuracy"} <= set(found.Tags()["scalars"])
    scalars = found.Scalars("validation/accuracy")
    assert [s.step for s in scalars] == [1, 2, 3, 4]
    assert [s.value for s in scalars] == pytest.approx([0.1, 0.2, 0.3, 0.4])
