"""fit(): the same bits every time, whatever happens in between."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from suffuse.data.sampler import Sampler
from suffuse.engine import loop
from suffuse.engine.loop import schedule
from suffuse.engine.runtime import settle
from suffuse.errors import SuffuseError
from suffuse.recipe import Training

STEPS = 4  # in an epoch of the training in conftest.py: 27 rows, 8 a batch


class Killed(Exception):
    """What ends a training in these tests."""


@pytest.mark.parametrize("threads", [1, 2])
def test_the_same_seed_gives_the_same_bits(trainer, same, threads):
    # a folder each: on a busy machine a training takes long enough for a checkpoint, and the next would go on from it
    one, other = (trainer.fit(threads, folder=trainer.folder / name) for name in ("one", "other"))
    same(one, other)
    third = trainer.fit(threads, number=1, folder=trainer.folder / "third")
    assert third.state.history != one.state.history


def test_training_learns_something(trainer):
    history = trainer.fit(training=Training(epochs=25, batch=8, learning_rate=0.02)).state.history
    assert history[-1]["loss"] < 0.8 * history[0]["loss"]
    assert [h["epoch"] for h in history] == list(range(1, 26))


@pytest.mark.parametrize("step", [1, 4, 8, *(pytest.param(s, marks=pytest.mark.long) for s in (3, 5, 10, 15, 16))])
@pytest.mark.parametrize("every", [STEPS, 3])
def test_killed_and_called_again_it_ends_with_the_same_bits(trainer, same, monkeypatch, step, every):
    """Killed before the given step: at the start, in the middle of an epoch, at its end, after the last one."""
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)  # after every step
    expected = trainer.fit(every=every, folder=trainer.folder / "whole")
    plan = trainer.plan()
    begun = []

    def gather(rows: np.ndarray, number: int) -> tuple:
        if len(begun) == step - 1:
            raise Killed
        begun.append(rows)
        return plan.gather(rows, number)

    if step <= plan.training.epochs * every:
        with pytest.raises(Killed):
            trainer.fit(every=every, gather=gather)
    resumed = trainer.fit(every=every)
    same(expected, resumed)
    same(expected, trainer.fit(every=every))  # and once more, with nothing to do


def test_killed_again_and_again(trainer, same, monkeypatch):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
    expected = trainer.fit(folder=trainer.folder / "whole")
    plan, left = trainer.plan(), [0]

    def gather(rows: np.ndarray, number: int) -> tuple:
        left[0] -= 1
        if left[0] < 0:
            raise Killed
        return plan.gather(rows, number)

    attempts, found = 0, None
    while attempts < 20:
        left[0], attempts = 3, attempts + 1
        try:
            found = trainer.fit(gather=gather)
            break
        except Killed:
            continue
    assert (
        found is not None and attempts == 8
    )  # 16 steps and 4 measurements, three an attempt; one that is cut takes its step with it
    same(expected, found)


def test_killed_while_it_tells_its_progress(trainer, same, monkeypatch):
    """An epoch's end is told before its checkpoint is written: it is done again."""
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
    expected = trainer.fit(folder=trainer.folder / "whole")

    def tell(share: float, words: str) -> None:
        if share >= 0.5:
            raise Killed

    with pytest.raises(Killed):
        trainer.fit(tell=tell)
    same(expected, trainer.fit())


def test_killed_after_it_had_stopped_early(trainer, same, monkeypatch):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
    training = Training(epochs=9, batch=8, patience=1)
    scores = {"validate": lambda model: {"accuracy": 0.5 - (len(seen) or seen.append(1) or 0), "log_loss": 1.0}}  # type: ignore[func-returns-value]
    seen: list[int] = []
    first = trainer.fit(training=training, **scores)
    assert first.state.stopped and len(first.state.history) == 2
    same(first, trainer.fit(training=training, **scores))


@pytest.mark.parametrize("cut", [0, 10, 0.5])
def test_a_checkpoint_that_can_t_be_read_is_told(trainer, cut, monkeypatch):
    """It is written whole or not at all, so a broken one is a broken disk: start over by hand, not in silence."""
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
    trainer.fit()
    file = next(trainer.folder.rglob("last.safetensors"))
    content = file.read_bytes()
    file.write_bytes(content[: cut if isinstance(cut, int) else int(cut * len(content))])
    with pytest.raises(SuffuseError, match="checkpoint") as caught:
        trainer.fit()
    assert str(file) in caught.value.line()


def prescribed(scores: list[float], kept: list[dict], losses: list[float] | None = None):
    """Validation that says these accuracies and log losses, and keeps the weights that it was shown."""
    left, losses_left = iter(scores), iter(losses or [1.0] * len(scores))

    def validate(model: torch.nn.Module) -> dict[str, float]:
        kept.append({n: v.clone() for n, v in model.state_dict().items()})
        return {"accuracy": next(left), "log_loss": next(losses_left)}

    return validate


@pytest.mark.parametrize(
    ("scores", "best"),
    [([0.2, 0.5, 0.5, 0.3], 2), ([0.9, 0.1, 0.1, 0.1], 1), ([0.1, 0.2, 0.3, 0.4], 4), ([0.0] * 4, 1)],
)
def test_the_best_weights_of_validation_are_kept_and_the_earlier_wins_a_tie(trainer, scores, best):
    kept: list[dict] = []
    found = trainer.fit(validate=prescribed(scores, kept))
    assert found.state.best_epoch == best and found.state.best == max(scores)
    assert not found.objective.training
    for name, value in found.objective.model.state_dict().items():
        assert torch.equal(value, kept[best - 1][name]), name
    assert not all(torch.equal(a, b) for a, b in zip(kept[0].values(), kept[-1].values(), strict=True))


def test_patience_stops_so_many_epochs_after_the_best(trainer):
    shares: list[float] = []
    scores = [0.1, 0.4, 0.3, 0.4, 0.2, 0.1, 0.9]
    training = Training(epochs=7, batch=8, patience=2)
    found = trainer.fit(
        training=training, validate=prescribed(scores, []), tell=lambda share, words: shares.append(share)
    )
    assert found.state.stopped and len(found.state.history) == 4 and found.state.best_epoch == 2
    assert shares == sorted(shares) and shares[-1] == 1
    patient = trainer.fit(training=replace_patience(training, 0), validate=prescribed(scores, []))
    assert not patient.state.stopped and patient.state.best_epoch == 7


def test_a_plateau_stops_early(trainer):
    """An equal score is no better one: a training that is perfect from its second epoch on ends."""
    training = Training(epochs=9, batch=8, patience=3)
    found = trainer.fit(training=training, validate=prescribed([0.5, *[1.0] * 8], []))
    assert found.state.stopped and len(found.state.history) == 5 and found.state.best_epoch == 2


def test_the_loss_decides_between_equal_scores_and_patience_ignores_it(trainer):
    """With few validation rows a score is soon 1, long before the training is at its best."""
    scores, losses_of = [0.5, 1.0, 1.0, 1.0, 0.9], [0.1, 0.6, 0.4, 0.5, 0.01]
    training = Training(epochs=5, batch=8)
    found = trainer.fit(training=training, validate=prescribed(scores, [], losses_of))
    assert (found.state.best_epoch, found.state.best, found.state.best_loss) == (3, 1.0, 0.4)
    patient = trainer.fit(training=replace_patience(training, 2), validate=prescribed(scores, [], losses_of))
    assert patient.state.stopped and len(patient.state.history) == 4 and patient.state.best_epoch == 3


def replace_patience(training: Training, patience: int) -> Training:
    return training.model_copy(update={"patience": patience})


@pytest.mark.parametrize("spoilt", ["logits", "picture"])
def test_a_loss_that_is_no_number_stops_it(trainer, spoilt):
    plan = trainer.plan()

    def gather(rows: np.ndarray, number: int) -> tuple:
        batch, teacher = plan.gather(rows, number)
        return batch, {**teacher, spoilt: teacher[spoilt] * torch.inf}

    with pytest.raises(SuffuseError, match="diverged") as caught:
        trainer.fit(gather=gather)
    assert "learning_rate" in caught.value.hint and "step 4" in caught.value.line()


def test_weights_that_are_no_numbers_after_the_last_step_stop_it(trainer):
    """A finite loss may have a gradient that isn't: it shows in what validation measures."""
    plan, steps = trainer.plan(), []

    def gather(rows: np.ndarray, number: int) -> tuple:
        steps.append(1)
        if len(steps) == 4 * STEPS + 3:  # three epochs' ends have measured a batch each
            next(objective.model.head.parameters()).register_hook(lambda g: g * torch.nan)
        return plan.gather(rows, number)

    settle(1)
    objective = trainer.objective()
    with pytest.raises(SuffuseError, match="diverged"):
        loop.fit(objective, replace(plan, gather=gather))


def test_a_student_has_its_budget_of_steps_whatever_its_rows(trainer):
    """With few labelled rows an epoch has few batches; the number of steps stays. One batch is measured at its end."""
    rows = trainer.columns.rows("train")[:5]
    seen = []
    plan = trainer.plan(sampler=Sampler(rows, rows, 8, 0), every=7)
    gather = plan.gather
    found = trainer.fit(
        sampler=plan.sampler,
        every=7,
        gather=lambda r, n: (seen.append(r), gather(r, n))[1],
        training=Training(epochs=2, batch=8),
    )
    assert len(seen) == 14 + 2 and len(found.state.history) == 2
    assert all(sorted(s) == sorted(rows) for s in seen)


@pytest.mark.parametrize(("total", "warmup"), [(100, 0.1), (100, 0.0), (7, 0.5), (1, 0.05), (2, 0.9)])
def test_the_schedule_is_its_closed_form(total, warmup):
    warm = max(1, round(warmup * total))
    found = [schedule(step, total, warmup) for step in range(total)]
    for step, rate in enumerate(found):
        if step < warm:
            assert rate == pytest.approx((step + 1) / warm)
        else:
            assert rate == pytest.approx(0.5 + 0.5 * math.cos(math.pi * (step - warm) / (total - warm)))
    assert max(found) == 1.0
    assert min(found) > 0
    falling = found[warm - 1 :]
    assert falling == sorted(falling, reverse=True)


def test_bf16_trains_and_resumes(trainer, same, monkeypatch):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
    training = Training(epochs=2, batch=8, precision="bf16")
    expected = trainer.fit(training=training, folder=trainer.folder / "whole")
    plan, begun = trainer.plan(), []

    def gather(rows: np.ndarray, number: int) -> tuple:
        if len(begun) == 5:
            raise Killed
        begun.append(1)
        return plan.gather(rows, number)

    with pytest.raises(Killed):
        trainer.fit(training=training, gather=gather)
    same(expected, trainer.fit(training=training))
    assert all(p.dtype == torch.float32 for p in expected.objective.parameters())
