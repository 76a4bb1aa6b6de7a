"""What a student's training reads: the view that it sees itself, and the subset that it is left with."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from knowledge_tools import Fake

from suffuse import losses
from suffuse.data.training_views import Viewer
from suffuse.engine.objective import Objective
from suffuse.errors import UsageError
from suffuse.knowledge import Knowledge
from suffuse.knowledge.chunks import Block
from suffuse.knowledge.fingerprint import viewer
from suffuse.knowledge.store import Reader
from suffuse.modalities import TABLE
from suffuse.model import FusionModel
from suffuse.registry import settings
from suffuse.types import NUMBER, Head

ALL = {"extract": {"subsets": "all", "views": 3}}


@pytest.fixture
def knowledge(maker, columns, teacher) -> Knowledge:
    return Knowledge.open(maker.store(teacher, **ALL), columns)


def student_viewer(maker, number: int) -> Viewer:
    run = maker.run(**ALL)
    viewer = Viewer.of(run.recipe.distill.train, run.recipe.modalities, number)
    assert viewer is not None
    return dataclasses.replace(viewer, stored=(run.recipe.seed, 3))


def test_the_student_sees_the_view_that_the_teacher_answered(maker, columns, teacher, knowledge):
    """Whatever its own seed is, its pass, its batch, and what it lost: the entries are those of view n mod V."""
    stored, rows = viewer(maker.run(**ALL).recipe), columns.rows("train")
    assert stored is not None
    for number, turn in ((1, 0), (1, 4), (9, 4), (9, 5)):
        seen = columns.batch(rows[::2], None, (student_viewer(maker, number), turn))
        theirs = columns.batch(rows[::2], None, (stored, turn % 3))
        for name, place in (("picture", 0), ("question", 1)):
            here = seen.present[:, place]
            mine, other = (b.inputs[name][b.index[name][here]] for b in (seen, theirs))
            assert torch.equal(mine, other)
    plain = columns.batch(rows[::2])
    assert not torch.equal(plain.inputs["picture"], theirs.inputs["picture"])


@pytest.mark.parametrize("seen", [False, True])
def test_the_answer_is_the_teacher_s_to_what_is_asked(maker, columns, teacher, knowledge, seen):
    """By default to all that a row has; on request to what its student was left with."""
    reader = Reader.of(knowledge, columns, (("picture", "question"), ("logits",)), seen)
    ask, rows = maker.ask(maker.run(**ALL), teacher), columns.rows("train")
    seeing, lost = student_viewer(maker, 5), 0
    for turn in range(5):
        batch = columns.batch(rows, None, (seeing, turn))
        found = reader.gather(batch, turn)["logits"].float().numpy()
        for at, row in enumerate(rows):
            has = columns.present[row]
            left = tuple(n for n, h, p in zip(columns.spec.names, has, batch.present[at], strict=True) if h and p)
            lost += len(left) < has.sum()
            block = next(
                b for b in knowledge.blocks
                if b.view == turn % 3
                and (b.subset == columns.spec.names if not seen or len(left) == has.sum() else b.subset == left)
            )  # fmt: skip
            np.testing.assert_allclose(found[at], ask(np.array([row]), block)["logits"][0], atol=4e-3)
    assert lost > 20


def test_what_only_the_teacher_reads_it_keeps(maker, columns, knowledge):
    """A student of the picture alone never loses it; the question stays the teacher's own."""
    reader = Reader.of(knowledge, columns.of(["picture", "question"]), (("picture",), ("logits",)), True)
    one = columns.of(["picture"])
    rows = np.flatnonzero(columns.present[:, 0] & (columns.split == 0))
    batch = dataclasses.replace(one.batch(rows), complete=False)
    assert reader.subset(batch).tolist() == [0] * len(rows)
    dark = dataclasses.replace(batch, present=torch.zeros_like(batch.present))
    both = columns.present[rows].all(1)
    assert (reader.subset(dark)[torch.from_numpy(both)] == knowledge.block(("question",), None) // 4).all()
    assert (reader.subset(dark)[torch.from_numpy(~both)] == 0).all()  # nothing is left: no subset shows that


def test_a_subset_that_is_not_stored_gives_the_full_answer(maker, columns, teacher):
    folder = maker.store(teacher, extract={"subsets": [["picture"]]})
    knowledge = Knowledge.open(folder, columns)
    reader = Reader.of(knowledge, columns, (("picture", "question"), ("logits",)), True)
    rows = np.flatnonzero(columns.present.all(1) & (columns.split == 0))
    batch = columns.batch(rows)
    for kept, wanted in (([True, False], 1), ([False, True], 0)):
        masked = dataclasses.replace(batch, present=batch.present & torch.tensor(kept), complete=False)
        assert reader.subset(masked).tolist() == [wanted] * len(rows)


def test_two_forms_of_one_column_are_drawn_alike():
    """A small and a large picture of one column are shifted by the same share of their side, flipped together."""
    how = {"flip": True, "shift": 0.25}
    small, large, other = (
        settings(TABLE, {"kind": "image", "column": column, "size": size, "augment": how})
        for column, size in (("image", 16), ("image", 32), ("elsewhere", 16))
    )
    viewer = Viewer(3, 0.0, {"small": small, "large": large, "other": other})
    ramp = np.zeros((40, 16, 16, 3), dtype=np.uint8)
    ramp[:, 4:8, 4:8] = 255
    twice = ramp.repeat(2, 1).repeat(2, 2)
    ids = np.arange(40)
    a, b, c = (viewer.entries(2, n, ids, x) for n, x in (("small", ramp), ("large", twice), ("other", ramp)))
    shrunk = b.reshape(40, 16, 2, 16, 2, 3).mean((2, 4))
    assert np.abs(a.astype(float) - shrunk).mean() < 6  # but for what lies between two pixels
    assert np.abs(a.astype(float) - c).mean() > 10


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"extract": {"views": 2}, "distill": {"train": {"augment": False}}}, "the student would see no view"),
        ({"distill": {"teacher_input": "masked"}}, "distill.teacher_input: got masked with extract.subsets full"),
        ({"extract": {"subsets": [["smell"]]}}, "extract.subsets: got smell"),
    ],
)
def test_a_recipe_that_stores_what_nobody_reads_is_refused(maker, changes, said):
    with pytest.raises(UsageError) as caught:
        maker.run(**changes)
    assert said in caught.value.line()


def test_a_student_with_a_frozen_encoder_can_t_see_views(maker):
    student = {"encoders": {"picture": {"kind": "timm", "name": "resnet18", "frozen": True}}}
    with pytest.raises(UsageError, match=r"student's encoder of picture is.*frozen"):
        maker.run(extract={"views": 2}, student=student)


def test_the_fake_teacher_tells_views_apart(maker, columns, teacher: Fake):
    ask, rows = maker.ask(maker.run(**ALL), teacher), columns.rows("train")
    views = [ask(rows, Block(teacher.modalities, v))["logits"] for v in (None, 0, 1, 2)]
    assert all(np.abs(a - b).max() > 0.1 for n, a in enumerate(views) for b in views[:n])


@pytest.mark.parametrize("top_k", [0, 1])
def test_where_the_teacher_abstains_the_student_learns_from_the_label_alone(maker, columns, make_network, top_k):
    silent = np.arange(60) % 3 == 0
    folder = maker.store(Fake(columns, silent=silent), extract={"top_k": top_k})
    knowledge, rows = Knowledge.open(folder, columns), columns.rows("train")
    chosen = {"labels": {"kind": "task", "weight": 0.1}, "soft": {"kind": "kd", "weight": 0.9}}
    torch.manual_seed(0)
    model = FusionModel(make_network(norm="group"), columns.spec).eval()
    objective = Objective(model, {n: settings(losses.TABLE, s) for n, s in chosen.items()}, knowledge.widths())
    reader = Reader.of(knowledge, columns, (columns.spec.names, objective.needs()), False)

    def terms(some: np.ndarray) -> tuple[float, float]:
        batch = columns.batch(some)
        loss, found = objective(batch, reader.gather(batch, 0))
        model.zero_grad()
        loss.backward()
        assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
        return found[0].item(), found[1].item()

    of_all, of_said, of_silent = terms(rows), terms(rows[~silent[rows]]), terms(rows[silent[rows]])
    assert of_silent[1] == 0 and of_silent[0] > 0
    assert of_all[1] == pytest.approx(of_said[1], rel=1e-5) and of_all[1] > 0
    shares = silent[rows].mean()
    assert of_all[0] == pytest.approx(shares * of_silent[0] + (1 - shares) * of_said[0], rel=1e-5)


def test_a_student_with_units_of_its_own_is_told_numbers_in_them(knowledge, columns, monkeypatch):
    """At a share of the labels a number has another mean and deviation than in the store."""
    head = Head("price", NUMBER, (), 10.0, 4.0)
    own = dataclasses.replace(head, mean=12.0, std=2.0)
    reader = Reader.of(knowledge, columns, (("picture", "question"), ("logits",)), False)
    monkeypatch.setattr(Reader, "_stored", lambda self, batch, turn: {"logits": torch.tensor([[1.0], [torch.nan]])})
    batch = columns.batch(columns.rows("train")[:2])
    found = dataclasses.replace(reader, units=((head,), (own,))).gather(batch, 0)["logits"]
    torch.testing.assert_close(found, torch.tensor([[(10.0 + 4.0 - 12.0) / 2.0], [torch.nan]]), equal_nan=True)
    assert torch.equal(reader.gather(batch, 0)["logits"][0], torch.ones(1))
