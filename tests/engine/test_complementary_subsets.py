"""`modality_dropout: complementary_subsets`: each row is trained on all its modalities, on a random subset and on the
complement, in one step."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from suffuse import losses
from suffuse.data.training_views import COMPLEMENTARY, Viewer
from suffuse.engine import loop
from suffuse.engine.inference import logits, score, subset_logits
from suffuse.engine.objective import Objective
from suffuse.engine.seed_selection import SUBSETS, selection_score
from suffuse.engine.validation import scorer
from suffuse.errors import UsageError
from suffuse.recipe import Training, make_recipe
from suffuse.registry import settings
from suffuse.shapley import listed

ANSWERS = {"labels": {"kind": "task"}, "soft": {"kind": "kd", "temperature": 3.0}}
TRAINING = Training(modality_dropout=COMPLEMENTARY)


def built(trainer, chosen: dict) -> Objective:
    """In training, but without dropout and statistics of a batch."""
    made = {name: settings(losses.TABLE, each) for name, each in chosen.items()}
    found = Objective(trainer.objective().model, made, {"picture": 6}).train()
    found.model.eval()
    return found


def batches(trainer) -> tuple:
    """Twelve rows with their halves, the rows as they are, either half, and the teacher's arrays."""
    rows = trainer.columns.labelled("train")[:12]
    batch = trainer.columns.batch(rows, None, (Viewer(3, COMPLEMENTARY), 0))
    plain = trainer.columns.batch(rows)
    halves = [replace(plain, present=half, complete=False) for half in batch.complementary_masks]
    assert torch.equal(batch.present, plain.present)
    return batch, plain, halves, trainer.plan().gather(rows, 0)[1]


def test_halves_are_parts_of_what_a_row_has_and_sum_to_it():
    random, names = np.random.default_rng(0), ("a", "b", "c", "d")
    present = random.random((3000, 4)) < 0.7
    present = present[present.any(1)]
    viewer, rows = Viewer.of(Training(modality_dropout="complementary_subsets"), {}, 5), np.arange(len(present))
    assert viewer is not None and viewer.present(1, rows, present, names) is present
    one, other = viewer.complementary_masks(1, rows, present)  # type: ignore[misc]
    several = present.sum(1) > 1
    assert (one | other == present).all() and one.any(1).all() and other.any(1).all()
    assert not (one & other)[several].any() and (one == other)[~several].all()
    order = random.permutation(len(rows))[:40]
    assert (viewer.complementary_masks(1, rows[order], present[order])[0] == one[order]).all()  # type: ignore[index]
    assert (viewer.complementary_masks(2, rows, present)[0] != one).any()  # type: ignore[index]
    assert Viewer(5, 1.0).complementary_masks(1, rows, present) is None


def test_every_part_is_drawn_as_often():
    rows, present = np.arange(42_000), np.ones((42_000, 3), dtype=bool)
    one, _ = Viewer(0, COMPLEMENTARY).complementary_masks(0, rows, present)  # type: ignore[misc]
    counts = np.bincount(one @ [1, 2, 4], minlength=8)
    assert counts[0] == counts[7] == 0
    np.testing.assert_allclose(counts[1:7], 7000, rtol=0.05)


def test_it_is_the_mean_of_the_losses_on_three_answers(trainer):
    batch, plain, halves, teacher = batches(trainer)
    objective = built(trainer, ANSWERS)
    wanted = sum(objective.terms(each, teacher) for each in (plain, *halves)) / 3
    torch.testing.assert_close(objective.terms(batch, teacher), wanted)
    assert not torch.allclose(wanted, objective.terms(plain, teacher))


def test_its_gradient_is_the_mean_of_theirs(trainer):
    batch, plain, halves, teacher = batches(trainer)

    def slope(*some: object) -> list[torch.Tensor]:
        made = built(trainer, ANSWERS)
        sum(made(each, teacher)[0] for each in some).backward()  # type: ignore[attr-defined]
        return [p.grad / len(some) for p in made.model.parameters() if p.grad is not None]

    for one, other in zip(slope(batch), slope(plain, *halves), strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)


def test_features_count_once_and_are_those_of_whole_rows(trainer):
    batch, plain, _, teacher = batches(trainer)
    made = built(trainer, {"near": {"kind": "hint", "tap": "picture"}})
    assert torch.equal(made.terms(batch, teacher), made.terms(plain, teacher))


def test_either_half_is_drawn_to_the_answer_to_the_whole_row(trainer):
    batch, _, halves, teacher = batches(trainer)
    made = built(trainer, {"same": {"kind": "subset_consistency"}})
    seen = trainer.columns.batch(batch.rows.numpy(), None, (Viewer(3, COMPLEMENTARY), 0), True)
    wanted = [made.terms(replace(seen, complementary_masks=None, present=half.present), teacher) for half in halves]
    torch.testing.assert_close(made.terms(seen, teacher), sum(wanted) / 2)
    assert made.terms(seen, teacher) > 0


def test_the_epoch_is_chosen_by_the_mean_over_subsets(trainer):
    columns, model = trainer.columns, trainer.objective().model.eval()
    rows = columns.labelled("validation")
    found, plain = scorer(columns, rows, TRAINING)(model), scorer(columns, rows)(model)
    assert SUBSETS not in plain and selection_score(plain) == next(iter(plain.values()))
    assert {k: v for k, v in found.items() if k != SUBSETS} == pytest.approx(plain, abs=1e-6)
    kept, has = listed(2)[1:, None], columns.present[rows]
    alone = []
    for said, mask in zip(subset_logits(model, columns, rows, kept), kept, strict=True):
        judged = (has & mask).any(1)
        alone.append(score(columns.spec, said[judged], columns.target[rows][judged])["accuracy"])
        direct = replace(columns, present=columns.present & mask)
        np.testing.assert_allclose(said, logits(model, direct, rows), atol=1e-5)
    assert selection_score(found) == found[SUBSETS] == pytest.approx(np.mean(alone))


def test_a_subset_that_no_row_has_is_not_judged(trainer):
    columns = trainer.columns
    rows = columns.labelled("validation")
    present = columns.present.copy()
    present[:, 0] = False
    present[:, 1] = True
    found = scorer(replace(columns, present=present), rows, TRAINING)(trainer.objective().model.eval())
    assert found[SUBSETS] == pytest.approx(next(iter(found.values())))


def test_what_chooses_is_as_the_recipe_says(trainer):
    columns, model = trainer.columns, trainer.objective().model.eval()
    rows = columns.labelled("validation")
    by_halves, plain = scorer(columns, rows, TRAINING)(model), scorer(columns, rows)(model)
    for dropout in (0.0, "uniform", COMPLEMENTARY):
        how = {"modality_dropout": dropout}
        assert scorer(columns, rows, Training(**how, checkpoint_metric="subsets"))(model) == by_halves
        assert scorer(columns, rows, Training(**how, checkpoint_metric="full_input"))(model) == plain


@pytest.mark.parametrize("step", [2, 9])
def test_killed_and_called_again_it_ends_with_the_same_bits(trainer, same, monkeypatch, step):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
    plain, begun = trainer.plan(), []

    def gather(rows: np.ndarray, number: int) -> tuple:
        return trainer.columns.batch(rows, None, (Viewer(3, COMPLEMENTARY), number)), plain.gather(rows, number)[1]

    def deadly(rows: np.ndarray, number: int) -> tuple:
        if len(begun) == step:
            raise KeyboardInterrupt
        begun.append(rows)
        return gather(rows, number)

    judge = scorer(trainer.columns, trainer.columns.labelled("validation"), TRAINING)
    expected = trainer.fit(gather=gather, validate=judge, folder=trainer.folder / "complementary_subsets")
    assert all(SUBSETS in line["validation"] for line in expected.state.history)
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(gather=deadly, validate=judge)
    same(expected, trainer.fit(gather=gather, validate=judge))


@pytest.mark.parametrize("who", ["teacher", "distill"])
def test_what_it_can_t_stand_beside(tiny_recipe, tmp_path, who):
    raw = tiny_recipe(tmp_path / "rows.csv")
    raw[who]["train"] |= {"modality_dropout": "complementary_subsets"}
    assert getattr(make_recipe(raw), who).train.modality_dropout == "complementary_subsets"
    for change in ("also_full_input", "mixup"):
        wrong = {
            **raw,
            who: {**raw[who], "train": {**raw[who]["train"], change: True if change == "also_full_input" else 0.2}},
        }
        with pytest.raises(UsageError, match=f"{who}.train.modality_dropout: got complementary_subsets with {change}"):
            make_recipe(wrong)
    raw["distill"]["train"] |= {"modality_dropout": "complementary_subsets"}
    for change in ({"teacher_input": "masked"}, {"baseline": {"train": {"mixup": 0.2}}}):
        with pytest.raises(UsageError, match="complementary_subsets"):
            make_recipe({**raw, "extract": {"subsets": "all"}, "distill": {**raw["distill"], **change}})
