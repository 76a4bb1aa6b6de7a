"""What a loss can't be used on is refused, when the recipe is read or the training set up, and what to use is named."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch

from suffuse import losses
from suffuse.engine.objective import Objective
from suffuse.errors import UsageError
from suffuse.losses import compatibility
from suffuse.model import FusionModel
from suffuse.recipe import make_recipe
from suffuse.registry import settings
from suffuse.types import CLASSES, LABELS, NUMBER, TOKENS

SOFTMAX = [kind for kind in losses.KINDS if losses.load_loss(kind).HEADS == (CLASSES,)]
SEQUENCES = [kind for kind in losses.KINDS if losses.load_loss(kind).HEADS == (TOKENS,)]
THREE_ROWS = [kind for kind in losses.KINDS if losses.load_loss(kind).MIN_ROWS == 3]
THREE_CLASSES = [kind for kind in losses.KINDS if losses.load_loss(kind).MIN_CLASSES == 3]


def asked(kind: str, **more) -> dict:
    return {
        "kind": kind,
        **({"map": "picture"} if "map" in losses.load_loss(kind).Settings.model_fields else {}),
        **more,
    }


def read(raw: dict, loss: dict, **changes) -> None:
    """A recipe with one loss; changes are of distill.train."""
    raw = copy.deepcopy(raw)
    raw["distill"]["losses"] = {"near": loss}
    raw["distill"]["train"] |= changes
    make_recipe(raw, "mine.yaml")


@pytest.fixture
def raw(tiny_recipe) -> dict:
    return tiny_recipe(Path("rows.csv"))


def told(error: UsageError, *words: str) -> None:
    line = error.line()
    assert "distill.losses.near" in line and "\n" not in line
    assert error.exit_code == 2
    assert all(word in f"{line} {error.hint}" for word in words), error.text()


@pytest.mark.parametrize("kind", SEQUENCES)
def test_every_loss_on_sequences_can_be_used_on_them_alone(kind):
    chosen = settings(losses.TABLE, asked(kind))
    compatibility.check(chosen, compatibility.Place(((TOKENS, 5),)), "here")
    compatibility.check(chosen, compatibility.Place(((CLASSES, 5), (TOKENS, 5))), "here")
    for other, instead in ((CLASSES, "kd"), (LABELS, "multilabel_kd"), (NUMBER, "regression_kd")):
        with pytest.raises(UsageError, match=f"got targets of kind {other}, expected tokens") as caught:
            compatibility.check(chosen, compatibility.Place(((other, 5),)), "here")
        assert caught.value.hint == f"use kind {instead}"


@pytest.mark.parametrize("kind", [*SOFTMAX, "multilabel_kd", "regression_kd"])
def test_other_losses_on_answers_are_refused_for_sequences(kind):
    with pytest.raises(UsageError, match="got targets of kind tokens") as caught:
        compatibility.check(settings(losses.TABLE, asked(kind)), compatibility.Place(((TOKENS, 5),)), "here")
    assert caught.value.hint == "use kind ctc_kd"


@pytest.mark.parametrize("kind", [kind for kind in losses.KINDS if kind not in SEQUENCES])
def test_every_loss_can_be_used_somewhere(raw, kind):
    raw["data"]["tasks"] = {"answer": {"kind": (losses.load_loss(kind).HEADS or (CLASSES,))[0]}}
    read(raw, asked(kind), modality_dropout=0.5)


@pytest.mark.parametrize("kind", SOFTMAX)
@pytest.mark.parametrize(("target", "instead"), [("labels", "multilabel_kd"), ("number", "regression_kd")])
def test_softmax_losses_are_refused_for_labels_and_numbers(raw, kind, target, instead):
    raw["data"]["tasks"] = {"answer": {"kind": target}}
    with pytest.raises(UsageError) as caught:
        read(raw, asked(kind))
    told(caught.value, f"got targets of kind {target}", f"use kind {instead}")


@pytest.mark.parametrize(("kind", "target"), [("multilabel_kd", "classes"), ("regression_kd", "classes"),
                                              ("multilabel_kd", "number"), ("regression_kd", "labels")])  # fmt: skip
def test_losses_for_labels_and_numbers_are_refused_elsewhere(raw, kind, target):
    raw["data"]["tasks"] = {"answer": {"kind": target}}
    with pytest.raises(UsageError) as caught:
        read(raw, asked(kind))
    told(caught.value, f"got targets of kind {target}", compatibility.FOR[target])


@pytest.mark.parametrize("kind", THREE_ROWS)
def test_relations_are_refused_with_two_rows_in_a_batch(raw, kind):
    with pytest.raises(UsageError) as caught:
        read(raw, asked(kind), batch=2)
    told(caught.value, "batches of 2", "3 rows or more", "use a larger batch, or kind ")
    read(raw, asked(kind), batch=3)


def test_cka_is_refused_with_three_rows_in_a_batch(raw):
    with pytest.raises(UsageError, match="batches of 3") as caught:
        read(raw, asked("cka"), batch=3)
    told(caught.value, "4 rows")


def test_dist_is_refused_with_one_row_in_a_batch():
    place = compatibility.Place(((CLASSES, 5),), batch=1)
    with pytest.raises(UsageError, match="batches of 1, expected 2"):
        compatibility.check(settings(losses.TABLE, {"kind": "dist"}), place, "here")


def test_consistency_is_refused_where_rows_lose_nothing(raw):
    for nothing in (0.0, {"picture": 0.0}):
        with pytest.raises(UsageError) as caught:
            read(raw, asked("subset_consistency"), modality_dropout=nothing)
        told(caught.value, "never lose a modality", "distill.train.modality_dropout")
    for something in (0.1, "uniform", {"picture": 0.2}):
        read(raw, asked("subset_consistency"), modality_dropout=something)
    del raw["student"]["encoders"]["picture"]
    with pytest.raises(UsageError, match="never lose a modality"):
        read(raw, asked("subset_consistency"), modality_dropout="uniform")


@pytest.mark.parametrize("fusion", [{"kind": "concat"}, {"kind": "late"}, {"kind": "weighted", "weights": [1, 2]}])
def test_gates_are_refused_where_the_student_learns_none(raw, fusion):
    raw["student"]["fusion"] = fusion
    with pytest.raises(UsageError) as caught:
        read(raw, asked("gate_transfer"))
    told(caught.value, "learns no share", "modality_hints", "gated")
    raw["student"]["fusion"] = {"kind": "late", "weights": "learned"}
    read(raw, asked("gate_transfer"))


@pytest.mark.parametrize("kind", THREE_CLASSES)
def test_two_classes_are_refused_once_the_data_are_known(kind):
    place = compatibility.Place(((CLASSES, 2),))
    with pytest.raises(UsageError) as caught:
        compatibility.check(settings(losses.TABLE, {"kind": kind}), place, "distill.losses.near")
    told(caught.value, "2 classes, expected 3 or more", "use kind kd")
    compatibility.check(settings(losses.TABLE, {"kind": kind}), compatibility.Place(((CLASSES, 3),)), "")
    compatibility.check(settings(losses.TABLE, {"kind": kind}), compatibility.Place(((CLASSES, None),)), "")
    compatibility.check(settings(losses.TABLE, {"kind": kind}), compatibility.Place(((CLASSES, 2), (CLASSES, 4))), "")


def test_what_may_be_refused_says_what_to_use():
    parts = [losses.load_loss(kind) for kind in losses.KINDS]
    limited = [part for part in parts if part.MIN_ROWS > 1 or part.MIN_CLASSES > 1]
    assert len(limited) == 12 and all("kind " in part.HINT for part in limited)
    for kind in ("kd", "task"):  # one class is a fault of the data, which is told elsewhere
        compatibility.check(settings(losses.TABLE, {"kind": kind}), compatibility.Place(((CLASSES, 1),)), "")


def test_dist_over_the_batch_alone_takes_two_classes():
    compatibility.check(settings(losses.TABLE, {"kind": "dist", "beta": 0}), compatibility.Place(((CLASSES, 2),)), "")


def test_a_target_of_two_classes_is_passed_over_beside_others():
    part, chosen = losses.load_loss("dkd"), settings(losses.TABLE, {"kind": "dkd"})
    assert compatibility.valid(part, chosen, CLASSES, 3) and not compatibility.valid(part, chosen, CLASSES, 2)
    assert not compatibility.valid(part, chosen, LABELS, 5) and not compatibility.valid(part, chosen, NUMBER, 0)


def objective(model: FusionModel, loss: dict, teacher: dict[str, int]) -> Objective:
    return Objective(model, {"near": settings(losses.TABLE, loss)}, teacher)


FULL = {"logits": 3, "fused": 8, "picture": 12, "question": 5, "gates": 2}


@pytest.mark.parametrize(("loss", "taps", "words"), [
    ({"kind": "gate_transfer"}, {"logits": 3, "fused": 8}, ("teacher's fusion has no gates", "modality_hints or kd")),
    ({"kind": "modality_hints"}, {"fused": 8}, ("share no modality's feature", "kind hint")),
    ({"kind": "modality_hints", "modalities": ["sound"]}, FULL, ("the student has no tap 'sound'",)),
    ({"kind": "cross_modal_relation"}, {"picture": 3}, ("it compares modalities, got picture", "kind similarity")),
    ({"kind": "affinity", "taps": ["picture", "question"]}, FULL, ("12 wide", "5", "cross_modal_relation")),
    ({"kind": "attention_transfer", "map": "picture"}, FULL, ("the teacher has no map of 'picture'", "kind hint")),
    ({"kind": "query_attention_transfer", "map": "picture"}, FULL,
     ("the student has no queries", "of 'picture'", "kind queries")),
    ({"kind": "similarity", "tap": "gates"}, FULL, ("no tap 'gates'",)),
    ({"kind": "crd", "tap": "sound"}, FULL, ("no tap 'sound'", "fused, picture, question")),
])  # fmt: skip
def test_what_a_teacher_or_student_lacks_is_told(loss, taps, words, make_columns, make_network):
    model = FusionModel(make_network(), make_columns().spec)
    with pytest.raises(UsageError) as caught:
        objective(model, loss, taps)
    told(caught.value, *words)


def test_a_student_without_gates_or_with_one_modality_is_told(make_columns, make_network):
    columns = make_columns()
    with pytest.raises(UsageError, match="learns no share"):
        objective(FusionModel(make_network("concat"), columns.spec), {"kind": "gate_transfer"}, FULL)
    one = columns.of(["question"])
    with pytest.raises(UsageError, match="has one modality"):
        objective(FusionModel(make_network(), one.spec), {"kind": "gate_transfer"}, FULL)


@pytest.mark.parametrize("kind", ["dkd", "nkd", "lskd", "dist"])
def test_a_training_on_two_classes_is_refused(kind, make_columns, make_network):
    from dataclasses import replace

    spec = make_columns().spec
    two = replace(spec, heads=(replace(spec.heads[0], classes=("a", "b")),), log_prior=(-0.7, -0.7))
    with pytest.raises(UsageError) as caught:
        objective(FusionModel(make_network(), two), {"kind": kind}, FULL)
    told(caught.value, "2 classes", "use kind kd")


def test_the_teacher_s_gates_are_put_in_the_student_s_order(make_columns, make_network):
    """Over modalities that either lacks; NaN of what the teacher doesn't read, so that it is left out."""
    columns = make_columns(absent=0)
    model = FusionModel(make_network(norm="none"), columns.spec)
    chosen = {"near": settings(losses.TABLE, {"kind": "gate_transfer"})}
    rows, gates = columns.rows("train")[:6], torch.rand(6, 3)
    widths = {"gates": 3, "question": 5, "picture": 4, "sound": 7}
    built = Objective(model, chosen, widths, ("sound", "picture", "question"))
    batch = columns.batch(rows)
    mine = model(batch).gates
    found = built.terms(batch, {"gates": gates})[0]
    torch.testing.assert_close(found, losses.gate_transfer(mine, gates[:, 1:], torch.ones(6, 2, dtype=torch.bool)))
    found.backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in model.fusion.parameters())
    only = Objective(model, chosen, {"gates": 3}, ("question", "sound", "picture"))  # a teacher that gives no features
    turned = losses.gate_transfer(mine, gates[:, [2, 0]], torch.ones(6, 2, dtype=torch.bool))
    torch.testing.assert_close(only.terms(batch, {"gates": gates})[0], turned)


@pytest.mark.parametrize(("widths", "order"), [
    ({"gates": 2, "sound": 7, "question": 5}, ("sound", "picture", "question")),
    ({"gates": 2}, ("sound", "picture", "question")),
    ({"gates": 2}, ()),
])  # fmt: skip
def test_gates_of_other_modalities_are_told(widths, order, make_columns, make_network):
    """They share one, or nobody knows whose they are: nothing is taught in silence."""
    model = FusionModel(make_network(), make_columns().spec)
    with pytest.raises(UsageError) as caught:
        Objective(model, {"near": settings(losses.TABLE, {"kind": "gate_transfer"})}, widths, order)
    told(caught.value, "2 gates of the teacher", "picture, question", "use kind kd")
