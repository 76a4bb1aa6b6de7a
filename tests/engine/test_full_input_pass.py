"""`also_full_input`: a row that loses modalities to dropout is also trained on all of them; each pass has half of the
loss."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from suffuse import losses
from suffuse.data.training_views import Viewer
from suffuse.engine import loop
from suffuse.engine.objective import Objective
from suffuse.errors import UsageError
from suffuse.recipe import make_recipe
from suffuse.registry import settings

ANSWERS = {"labels": {"kind": "task"}, "soft": {"kind": "kd", "temperature": 3.0}}


def built(trainer, chosen: dict, both: bool) -> Objective:
    """In training, but without dropout and statistics of a batch."""
    made = {name: settings(losses.TABLE, each) for name, each in chosen.items()}
    found = Objective(trainer.objective().model, made, {"picture": 6}, both=both).train()
    found.model.eval()
    return found


def batches(trainer, seed: int = 3) -> tuple:
    """Twelve rows as modality dropout leaves them, the same rows as they are, and the teacher's arrays."""
    rows = trainer.columns.labelled("train")[:12]
    fewer = trainer.columns.batch(rows, None, (Viewer(seed, 1.0), 0), True)
    teacher = trainer.plan().gather(rows, 0)[1]
    assert not torch.equal(fewer.present, fewer.full_present) and torch.equal(
        fewer.full_present, trainer.columns.batch(rows).present
    )
    return fewer, trainer.columns.batch(rows), teacher


def test_it_is_the_mean_of_the_losses_on_both_answers(trainer):
    fewer, whole, teacher = batches(trainer)
    found = built(trainer, ANSWERS, True).terms(fewer, teacher)
    plain = built(trainer, ANSWERS, False)
    wanted = (plain.terms(fewer, teacher) + plain.terms(whole, teacher)) / 2
    torch.testing.assert_close(found, wanted)
    assert not torch.equal(found, plain.terms(fewer, teacher))


def test_its_gradient_is_the_mean_of_theirs(trainer):
    fewer, whole, teacher = batches(trainer)

    def slope(both: bool, *some: object) -> list[torch.Tensor]:
        made = built(trainer, ANSWERS, both)
        sum(made(batch, teacher)[0] for batch in some).backward()  # type: ignore[attr-defined]
        return [p.grad / len(some) for p in made.model.parameters() if p.grad is not None]

    for one, other in zip(slope(True, fewer), slope(False, fewer, whole), strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)


def test_features_count_once_and_nothing_changes_outside_of_training(trainer):
    fewer, _, teacher = batches(trainer)
    chosen = {"near": {"kind": "hint", "tap": "picture"}, "soft": {"kind": "kd"}}
    made = built(trainer, chosen, True)
    learned = made.terms(fewer, teacher)
    plain = made.eval().terms(fewer, teacher)
    assert learned[0] == plain[0] and learned[1] != plain[1]


def test_rows_that_lose_nothing_are_learned_as_ever(trainer):
    _, whole, teacher = batches(trainer)
    rows = trainer.columns.labelled("train")[:12]
    same = trainer.columns.batch(rows, None, None, True)
    found, wanted = (built(trainer, ANSWERS, both).terms(same, teacher) for both in (True, False))
    assert torch.equal(found, wanted)
    assert torch.equal(wanted, built(trainer, ANSWERS, False).terms(whole, teacher))


@pytest.mark.parametrize("step", [2, 9])
def test_killed_and_called_again_it_ends_with_the_same_bits(trainer, same, monkeypatch, step):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
    first, plain = trainer.objective, trainer.plan()

    def both(number: int = 0) -> Objective:
        base = first(number)
        return Objective(base.model, dict(zip(base.names, base.settings, strict=True)), {"picture": 6}, both=True)

    def gather(rows: np.ndarray, number: int) -> tuple:
        batch = trainer.columns.batch(rows, None, (Viewer(3, 1.0), number), True)
        return batch, plain.gather(rows, number)[1]

    monkeypatch.setattr(trainer, "objective", both)
    expected, begun = trainer.fit(gather=gather, folder=trainer.folder / "whole"), []

    def deadly(rows: np.ndarray, number: int) -> tuple:
        if len(begun) == step:
            raise KeyboardInterrupt
        begun.append(rows)
        return gather(rows, number)

    with pytest.raises(KeyboardInterrupt):
        trainer.fit(gather=deadly)
    same(expected, trainer.fit(gather=gather))


@pytest.mark.parametrize("who", ["teacher", "distill"])
def test_what_it_can_t_stand_beside(tiny_recipe, tmp_path, who):
    raw = tiny_recipe(tmp_path / "rows.csv")
    raw[who]["train"] |= {"also_full_input": True, "modality_dropout": "uniform"}
    assert getattr(make_recipe(raw), who).train.also_full_input
    for change, said in (({"modality_dropout": 0}, "without modality_dropout"), ({"mixup": 0.2}, "with mixup")):
        wrong = {**raw, who: {**raw[who], "train": {**raw[who]["train"], **change}}}
        with pytest.raises(UsageError, match=f"{who}.train.also_full_input: got it {said}"):
            make_recipe(wrong)
    raw["distill"]["train"] |= {"also_full_input": True, "modality_dropout": "uniform"}
    for change in ({"teacher_input": "masked"}, {"baseline": {"train": {"mixup": 0.2}}}):
        with pytest.raises(UsageError, match="also_full_input"):
            make_recipe({**raw, "extract": {"subsets": "all"}, "distill": {**raw["distill"], **change}})
