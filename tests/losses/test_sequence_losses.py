"""Losses on sequences against sums over all paths, and what they leave out."""

from __future__ import annotations

from itertools import groupby, product

import numpy as np
import pytest
import torch
from losses_tools import SENTENCE, SPOKEN, B, T, V, frames
from scipy.special import log_softmax, rel_entr, softmax
from torch import Tensor

from suffuse import losses
from suffuse.losses import ctc as ctc_module
from suffuse.losses.ctc import ctc, ctc_rows
from suffuse.losses.kinds.sequence_kd import beam_targets, greedy_targets
from suffuse.losses.row_ops import trusted_rows
from suffuse.testing.loss_checks import Built, head_of, rows, with_ends
from suffuse.transcripts.ctc_decoding import beam_search, greedy_batch
from suffuse.types import TOKENS, Head, Output


def log_p(logits: np.ndarray, units: tuple[int, ...]) -> float:
    """log p(units) as the sum over all paths of one row's frames."""
    each, found = log_softmax(logits, axis=1), []
    for path in product(range(logits.shape[1]), repeat=len(logits)):
        if tuple(unit for unit, _ in groupby(path) if unit) == units:
            found.append(sum(each[t, output] for t, output in enumerate(path)))
    return float(np.logaddexp.reduce(found)) if found else -np.inf


def expected_ctc(logits: Tensor, target: Tensor) -> list[float]:
    """-log p / max(1, L) of each row."""
    pairs = zip(logits.double().detach().numpy(), target.tolist(), strict=True)
    return [-log_p(z, tuple(units[:count])) / max(1, count) for z, (count, *units) in pairs]


def certain(count: int, outputs: int = V) -> Tensor:
    blank = torch.full((count, outputs), -30.0).double()
    blank[:, 0] = 0
    return blank


def test_ctc_is_the_sum_over_paths():
    logits = frames()[0]
    expected = expected_ctc(logits, SPOKEN)
    assert len({tuple(row) for row in SPOKEN.tolist()}) >= 6  # empty, repeated, of one unit
    torch.testing.assert_close(ctc_rows(logits, SPOKEN), torch.tensor(expected).double())
    assert ctc(logits, SPOKEN).item() == pytest.approx(np.mean(expected), rel=1e-12)
    weight = torch.arange(1.0, B + 1).double()
    weighed = (weight.numpy() * expected).sum() / weight.sum().item()
    assert ctc(logits, SPOKEN, weight).item() == pytest.approx(weighed, rel=1e-12)
    task = losses.task(logits.flatten(1), SPOKEN, head=SENTENCE)
    assert torch.equal(task, ctc(logits, SPOKEN))


def both_ways(logits: Tensor, target: Tensor, monkeypatch) -> list[tuple[Tensor, Tensor]]:
    """Rows and gradients by torch's kernel and by the formula."""
    found = []
    for native in (True, False):
        monkeypatch.setattr(ctc_module, "_is_native", lambda _, native=native: native)
        x = logits.clone().requires_grad_()
        value = ctc_rows(x, target)
        value.sum().backward()
        found.append((value.detach(), x.grad))
    return found  # type: ignore[return-value]


@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_the_formula_is_torch_s_kernel(scale, monkeypatch):
    torch.manual_seed(0)
    logits = scale * torch.randn(6, 9, 5).double()
    target = torch.tensor([[3, 1, 1, 2], [0, 9, 9, 9], [2, 4, 4, 1], [1, 3, 0, 0], [3, 2, 4, 2], [3, 1, 2, 3]])
    native, formula = both_ways(logits, target.clamp(max=4), monkeypatch)
    torch.testing.assert_close(native, formula)


def test_units_that_don_t_fit_into_the_frames_cost_nothing(monkeypatch):
    logits = torch.randn(2, 2, 3, generator=torch.Generator().manual_seed(1)).double()
    for value, gradient in both_ways(logits, torch.tensor([[2, 1, 1], [2, 1, 2]]), monkeypatch):
        assert value[0] == 0 and value[1] > 0
        assert (gradient[0] == 0).all() and gradient.isfinite().all() and gradient[1].abs().sum() > 0


def test_a_row_of_which_something_is_missing_is_left_out():
    logits, _ = frames()
    target = SPOKEN.clone()
    target[1] = torch.tensor([-1, -1, -1])  # no label
    target[2] = torch.tensor([2, 1, V])  # a unit that no training row has
    logits[5] = certain(T)  # no recording
    kept = [0, 3, 4, 6]
    x = logits.clone().requires_grad_()
    value = ctc(x, target)
    value.backward()
    assert value.item() == pytest.approx(np.mean(expected_ctc(logits[kept], target[kept])), rel=1e-12)
    assert (x.grad[[1, 2, 5]] == 0).all() and all(x.grad[b].abs().sum() > 0 for b in kept)  # type: ignore[index]
    nothing = ctc(x, torch.full_like(target, -1))
    assert nothing.item() == 0 and nothing.requires_grad


def test_what_stands_after_a_target_s_units_isn_t_read():
    logits, _ = frames()
    junk = torch.tensor([[1, 2, 0], [1, 2, 1], [1, 2, 2]])
    value = ctc_rows(logits[:1].repeat(3, 1, 1), junk)
    assert value[0] == value[1] == value[2]


def padded(logits: Tensor, count: int = 3) -> Tensor:
    return torch.cat([logits, certain(count, logits.shape[2]).to(logits).expand(len(logits), -1, -1)], 1)


FUNCTIONS = {
    "ctc": lambda s, t: ctc(s, SPOKEN),
    "ctc_kd": lambda s, t: losses.ctc_kd(s, t, 2.0),
    "ctc_kd-weigh": lambda s, t: losses.ctc_kd(s, t, 1.0, "weigh"),
    "guided_ctc": losses.guided_ctc,
    "sequence_kd": losses.sequence_kd,
    "sequence_kd-beam": lambda s, t: losses.sequence_kd(s, t, 3, 4),
    "subset_consistency": lambda s, t: losses.subset_consistency(s, t, 2.0, None, TOKENS),
}
PADDED = pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)


@PADDED
def test_frames_after_the_end_change_nothing(function):
    student, teacher = (x.clone() for x in frames())
    wide = padded(student).requires_grad_()
    student.requires_grad_()
    value, other = function(student, teacher), function(wide, padded(teacher))
    value.backward(), other.backward()
    torch.testing.assert_close(other, value, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(wide.grad[:, :T], student.grad, rtol=1e-10, atol=1e-10)  # type: ignore[index]
    assert wide.grad[:, T:].abs().max() < 1e-10  # type: ignore[index]


@PADDED
def test_in_float32_they_change_no_bit(function):
    student, teacher = (x.float() for x in frames())
    value = function(student, teacher)
    for count in (1, 3, 20):
        assert torch.equal(function(padded(student, count), padded(teacher, count)), value)


@pytest.mark.parametrize("blank", ["all", "drop", "weigh"])
@pytest.mark.parametrize("filler", [7.0, torch.nan, torch.inf])
def test_what_the_student_says_after_the_teacher_s_end_changes_no_bit(blank, filler):
    student, teacher = (padded(x) for x in frames())
    value = losses.ctc_kd(student, teacher, 2.0, blank, 0.5)
    spoilt = student.clone()
    spoilt[:, T:] = filler
    spoilt.requires_grad_()
    other = losses.ctc_kd(spoilt, teacher, 2.0, blank, 0.5)
    other.backward()
    assert torch.equal(other, value)
    assert (spoilt.grad[:, T:] == 0).all() and spoilt.grad.isfinite().all()  # type: ignore[index]


@PADDED
@pytest.mark.parametrize("who", ["student", "teacher"])
def test_a_row_without_a_recording_is_left_out(function, who):
    student, teacher = (x.clone() for x in frames())
    (student if who == "student" else teacher)[2] = certain(T)
    kept = [b for b in range(B) if b != 2]
    value = function(student, teacher)
    if function is FUNCTIONS["ctc"]:
        expected = ctc(student[kept], SPOKEN[kept]) if who == "student" else ctc(student, SPOKEN)
    else:
        expected = function(student[kept], teacher[kept])
    torch.testing.assert_close(value, expected)


@pytest.mark.parametrize("temperature", [1.0, 3.0])
@pytest.mark.parametrize("blank", ["all", "drop", "weigh"])
def test_ctc_kd_frame_by_frame(blank, temperature):
    s, t = (x.numpy() for x in frames())
    q, p, plain = softmax(s / temperature, axis=2), softmax(t / temperature, axis=2), softmax(t, axis=2)
    means = []
    for b in range(B):
        real = [f for f in range(T) if not (t[b, f, 0] - t[b, f, 1:] >= 29.9).all()]
        share = {"all": lambda _: 1.0, "drop": lambda x: float(x < 0.5), "weigh": lambda x: 1 - x}[blank]
        shares = np.array([share(plain[b, f, 0]) for f in real])
        gaps = np.array([rel_entr(p[b, f], q[b, f]).sum() for f in real])
        if shares.sum():
            means.append((shares * gaps).sum() / shares.sum())
    value = losses.ctc_kd(*frames(), temperature, blank, 0.5)
    assert value.item() == pytest.approx(temperature**2 * np.mean(means), rel=1e-9)


def test_frames_in_which_the_teacher_is_silent_are_dropped():
    student, teacher = frames()
    teacher = teacher.clone()
    teacher[:, :2] = torch.tensor([9.0, 0.0, 0.0]).double()
    teacher[0] = torch.tensor([9.0, 0.0, 0.0]).double()
    x = student.clone().requires_grad_()
    losses.ctc_kd(x, teacher, 1.0, "drop", 0.9).backward()
    assert (x.grad[:, :2] == 0).all() and (x.grad[0] == 0).all() and x.grad.abs().sum() > 0  # type: ignore[index]
    rest = losses.ctc_kd(student[1:], teacher[1:], 1.0, "drop", 0.9)
    torch.testing.assert_close(losses.ctc_kd(student, teacher, 1.0, "drop", 0.9), rest)


def test_guided_ctc_by_hand():
    s, t = frames()
    q, best = softmax(s.numpy(), axis=2), t.argmax(2).numpy()
    on = [[(q[b, f, best[b, f]]) for f in range(T) if best[b, f]] for b in range(B)]
    assert any(0 < len(row) < T for row in on)
    expected = np.mean([np.mean([1 - p for p in row]) for row in on if row])
    assert losses.guided_ctc(s, t).item() == pytest.approx(expected, rel=1e-9)
    expected = np.mean([np.mean([-np.log(p) for p in row]) for row in on if row])
    assert losses.guided_ctc(s, t, "log").item() == pytest.approx(expected, rel=1e-9)


def test_guided_ctc_says_nothing_of_blank_frames():
    s, t = frames()
    x = s.clone().requires_grad_()
    losses.guided_ctc(x, t).backward()
    silent = t.argmax(2) == 0
    assert silent.any() and (x.grad[silent] == 0).all()  # type: ignore[index]


def test_the_teacher_s_greedy_units_are_those_of_the_decoder():
    torch.manual_seed(2)
    logits = 2 * torch.randn(40, 9, 4).double()
    logits[3] = certain(9, 4)
    for hypothesis, (count, *units) in zip(
        greedy_batch(logits.log_softmax(2).numpy()), greedy_targets(logits).tolist(), strict=True
    ):
        assert hypothesis.units == tuple(units[:count]) and not any(units[count:])


def test_a_repeated_unit_after_a_blank_is_two_units():
    logits = 9 * torch.eye(3)[torch.tensor([[1, 1, 0, 1, 2, 2], [0, 2, 2, 2, 0, 0]])]
    assert greedy_targets(logits).tolist() == [[3, 1, 1, 2, 0, 0, 0], [1, 2, 0, 0, 0, 0, 0]]


def test_sequence_kd_is_ctc_on_the_greedy_units():
    s, t = frames()
    expected = expected_ctc(s, greedy_targets(t))
    assert losses.sequence_kd(s, t).item() == pytest.approx(np.mean(expected), rel=1e-9)


def test_sequence_kd_weighs_the_n_best_by_their_probabilities():
    s, t = frames()
    means = []
    for b in range(B):
        hypotheses = beam_search(log_softmax(t[b].numpy(), axis=1), 100, n_best=3)
        exact = np.array([np.exp(log_p(t[b].numpy(), h.units)) for h in hypotheses])
        assert list(exact) == sorted(exact, reverse=True) and len(exact) == 3
        cost = [-log_p(s[b].numpy(), h.units) / max(1, len(h.units)) for h in hypotheses]
        means.append((exact * cost).sum() / exact.sum())
    assert losses.sequence_kd(s, t, 3, 100).item() == pytest.approx(np.mean(means), rel=1e-9)


def test_a_row_with_fewer_hypotheses_than_asked_has_all_of_them():
    logits = torch.zeros(2, 1, 2).double()
    targets, posterior = beam_targets(logits, 4, 4, torch.tensor([True, False]))
    assert targets.tolist() == [[[0, 0], [1, 1], [0, 0], [0, 0]], [[0, 0]] * 4]
    assert posterior.tolist() == [[0.5, 0.5, 0, 0], [1, 0, 0, 0]]


def test_a_unit_that_the_teacher_rules_out_adds_nothing():
    for name, function in FUNCTIONS.items():
        student, teacher = (x.clone() for x in frames())
        teacher[:, :, 2] = -torch.inf
        student.requires_grad_()
        value = function(student, teacher)
        value.backward()
        assert value.isfinite() and student.grad.isfinite().all(), name  # type: ignore[union-attr]


def test_confidence_is_over_the_frames_that_are_there():
    head = head_of(TOKENS)
    frames_of = torch.zeros(4, head.frames, head.frame_outputs)
    frames_of[0, :, 1] = 3.0
    frames_of[1, 1:] = certain(head.frames - 1, head.frame_outputs).float()  # one unsure frame
    frames_of[2] = certain(head.frames, head.frame_outputs).float()  # no recording
    target = torch.tensor([[-1, -1, -1, -1], [-1, -1, -1, -1], [-1, -1, -1, -1], [0, 0, 0, 0]])
    mask = trusted_rows(0.5, frames_of.flatten(1), target, head)
    assert mask is not None and mask.tolist() == [True, False, False, True]
    assert trusted_rows(0.0, frames_of.flatten(1), target, head) is None


@pytest.mark.parametrize("kind", ["task", "ctc_kd", "guided_ctc", "sequence_kd", "subset_consistency"])
def test_a_part_reads_its_head_s_frames(kind):
    """As a recipe's part it is the function on frames; rows and frames are laid out as the head says."""
    student, teacher, target = rows(kind=TOKENS)
    head = student.head
    assert head is not None
    s, t, full = (z.unflatten(1, (5, 4)) for z in (student.logits, teacher["logits"], student.full_logits))
    expected = {
        "task": lambda: ctc(s, target),
        "ctc_kd": lambda: losses.ctc_kd(s, t, 1.0),
        "guided_ctc": lambda: losses.guided_ctc(s, t),
        "sequence_kd": lambda: losses.sequence_kd(s, t),
        "subset_consistency": lambda: losses.subset_consistency(s, full, 1.0, student.is_partial, TOKENS),
    }[kind]()
    assert torch.equal(Built({"kind": kind})(student, teacher, target), expected)


def test_a_student_that_drops_a_recording_still_has_its_shape():
    """Without it all frames are certain blanks, with no gradient: nothing is learned, and nothing fails."""
    student, teacher, target = rows(kind=TOKENS)
    head: Head = student.head  # type: ignore[assignment]
    blank = torch.full((len(target), head.outputs), -30.0)
    blank[:, :: head.frame_outputs] = 0
    assert torch.equal(with_ends(blank, head), blank)
    for kind in ("task", "ctc_kd", "guided_ctc", "sequence_kd"):
        value = Built({"kind": kind})(Output(blank.clone().requires_grad_(), head=head), teacher, target)
        value.backward()
        assert value.item() == 0
