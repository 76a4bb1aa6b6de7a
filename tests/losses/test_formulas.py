"""Closed forms, in NumPy and float64, written row by row as the papers have them."""

from __future__ import annotations

from itertools import combinations, permutations

import numpy as np
import pytest
import torch
from losses_tools import PRESENT, TAGS, TARGET, VALUES, B, C, features, logits, looks, maps, numbers, same_width, shares
from scipy.special import log_softmax, rel_entr, softmax
from scipy.stats import entropy, pearsonr

from suffuse import losses
from suffuse.types import LABELS, NUMBER, Head

HEATS = pytest.mark.parametrize("heat", [0.5, 1.0, 4.0])


def arrays(pair) -> tuple[np.ndarray, np.ndarray]:
    return pair[0].numpy(), pair[1].numpy()


def near(found: torch.Tensor, expected: float) -> None:
    assert found.dtype == torch.float64
    assert found.item() == pytest.approx(float(expected), rel=1e-9, abs=1e-12)


def huber(gap: np.ndarray) -> np.ndarray:
    return np.where(abs(gap) < 1, gap**2 / 2, abs(gap) - 0.5)


def angle(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def grams(x: np.ndarray) -> np.ndarray:
    found = x @ x.T
    return found / np.linalg.norm(found, axis=1, keepdims=True)


@HEATS
def test_divergences(heat):
    s, t = arrays(logits())
    q, p = softmax(s / heat, axis=1), softmax(t / heat, axis=1)
    m = (p + q) / 2
    near(losses.kd(*logits(), heat), heat**2 * np.mean([rel_entr(a, b).sum() for a, b in zip(p, q, strict=True)]))
    near(
        losses.reverse_kd(*logits(), heat), heat**2 * np.mean([rel_entr(a, b).sum() for a, b in zip(q, p, strict=True)])
    )
    near(losses.js(*logits(), heat), heat**2 * (rel_entr(p, m) + rel_entr(q, m)).sum(1).mean() / 2)
    near(losses.subset_consistency(*logits(), heat), heat**2 * rel_entr(p, q).sum(1).mean())


def test_js_is_bounded_and_symmetric():
    s, t = logits(200.0)
    near(losses.js(s, t, 1.0), losses.js(t, s, 1.0).item())
    assert losses.js(1e4 * torch.eye(3), 1e4 * torch.eye(3).roll(1, 0), 2.0).item() == pytest.approx(4 * np.log(2))


@HEATS
def test_dkd_by_probabilities(heat):
    s, t = arrays(logits())
    q, p = softmax(s / heat, axis=1), softmax(t / heat, axis=1)
    target, other, found = TARGET.numpy(), np.arange(C), []
    for b, y in enumerate(target):
        rest = other[other != y]
        first = rel_entr([p[b, y], 1 - p[b, y]], [q[b, y], 1 - q[b, y]]).sum()
        second = rel_entr(p[b, rest] / p[b, rest].sum(), q[b, rest] / q[b, rest].sum()).sum()
        found.append(0.7 * first + 8 * second)
    near(losses.dkd(*logits(), TARGET, heat, 0.7, 8.0), heat**2 * np.mean(found))


def test_dkd_with_the_teacher_s_weights_is_kd():
    """KL = TCKD + (1 - p_y) NCKD (Zhao et al. 2022, eq. 7): row by row, with beta = 1 - p_y."""
    s, t = logits()
    rest = 1 - (t / 2).softmax(1).gather(1, TARGET.unsqueeze(1)).squeeze(1)
    for b in range(B):
        one = losses.dkd(s[b : b + 1], t[b : b + 1], TARGET[b : b + 1], 2.0, 1.0, rest[b].item())
        near(one, losses.kd(s[b : b + 1], t[b : b + 1], 2.0).item())


@HEATS
def test_nkd_by_probabilities(heat):
    s, t = arrays(logits())
    found = []
    for b, y in enumerate(TARGET.numpy()):
        rest = np.arange(C) != y
        first = softmax(t[b])[y] * log_softmax(s[b])[y]
        second = (softmax(t[b, rest] / heat) * log_softmax(s[b, rest] / heat)).sum()
        found.append(first + 1.5 * heat**2 * second)
    near(losses.nkd(*logits(), TARGET, heat, 1.5), -np.mean(found))


@HEATS
def test_dist_by_correlations(heat):
    s, t = arrays(logits())
    q, p = softmax(s / heat, axis=1), softmax(t / heat, axis=1)
    inter = 1 - np.mean([pearsonr(q[b], p[b]).statistic for b in range(B)])
    intra = 1 - np.mean([pearsonr(q[:, c], p[:, c]).statistic for c in range(C)])
    near(losses.dist(*logits(), heat, 2.0, 0.5), heat**2 * (2 * inter + 0.5 * intra))


def test_dist_with_weights_is_that_of_repeated_rows():
    s, t = logits()
    often = torch.tensor([1, 3, 0, 2, 1, 1, 2])
    rows = torch.arange(B).repeat_interleave(often)
    near(losses.dist(s, t, 1.0, 1.0, 1.0, often), losses.dist(s[rows], t[rows], 1.0, 1.0, 1.0).item())


@HEATS
def test_lskd_is_kd_of_standardised_logits(heat):
    s, t = arrays(logits())
    s, t = ((z - z.mean(1, keepdims=True)) / (z.std(1, ddof=1, keepdims=True) + 1e-7) for z in (s, t))
    found = heat**2 * rel_entr(softmax(t / heat, axis=1), softmax(s / heat, axis=1)).sum(1).mean()
    near(losses.lskd(*logits(), heat), found)
    scaled = losses.lskd(3 * logits()[0] + 2, logits()[1], heat)
    assert scaled.item() == pytest.approx(losses.lskd(*logits(), heat).item(), rel=1e-6)  # but for the 1e-7


@HEATS
def test_multilabel_kd_is_a_sum_over_labels(heat):
    s, t = (1 / (1 + np.exp(-z / heat)) for z in arrays(logits()))
    each = rel_entr(t, s) + rel_entr(1 - t, 1 - s)
    near(losses.multilabel_kd(*logits(), heat), heat**2 * each.sum(1).mean())
    near(losses.subset_consistency(*logits(), heat, head=LABELS), heat**2 * each.mean())


def test_answers_as_labels_and_as_numbers():
    s, t = arrays(logits())
    near(
        losses.hard_label(logits()[0], logits()[1].argmax(1)), -log_softmax(s, axis=1)[np.arange(B), t.argmax(1)].mean()
    )
    z, n, y = *(x[:, 0] for x in arrays(numbers())), VALUES.numpy()
    near(losses.regression_kd(*numbers()), ((z - n) ** 2).mean())
    near(losses.regression_kd(numbers()[0][:, 0], numbers()[1][:, 0]), ((z - n) ** 2).mean())
    wanted = np.where(np.isnan(y), n, y)
    behind = np.isnan(y) | ((z - wanted) ** 2 + 0.2 > (n - wanted) ** 2)
    near(losses.regression_kd(*numbers(), VALUES, 0.2), np.where(behind, (z - wanted) ** 2, 0).mean())
    near(losses.subset_consistency(*numbers(), 1.0, head=NUMBER), ((z - n) ** 2).mean())


def test_task_of_each_kind_with_weights():
    s, w = logits()[0].numpy(), np.arange(1.0, B + 1)
    wanted = 0.9 * np.eye(C)[TARGET.numpy()] + 0.1 / C
    each, weight = -(wanted * log_softmax(s, axis=1)).sum(1), torch.from_numpy(w)
    near(losses.task(logits()[0], TARGET, 0.1), each.mean())
    near(losses.task(logits()[0], TARGET, 0.1, weight=weight), (w * each).sum() / w.sum())
    unknown = TARGET.where(torch.arange(B) != 2, -1)
    kept = np.arange(B) != 2
    near(losses.task(logits()[0], unknown, 0.1, weight=weight), (w * each)[kept].sum() / w[kept].sum())
    p, y = 1 / (1 + np.exp(-s)), TAGS.numpy()
    each = -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean(1)
    head = Head("x", LABELS, tuple("abcde"))
    near(losses.task(logits()[0], TAGS, head=head, weight=weight), (w * each).sum() / w.sum())
    gap = numbers()[0].numpy()[:, 0] - VALUES.numpy()
    there = ~np.isnan(gap)
    found = losses.task(numbers()[0], VALUES, head=Head("x", NUMBER), weight=weight)
    near(found, (w * gap**2)[there].sum() / w[there].sum())


def test_hints():
    s, t = arrays(same_width())
    near(losses.hint(*same_width()), ((s - t) ** 2).mean())
    near(losses.hint(*same_width(), metric="cosine"), np.mean([1 - angle(s[b], t[b]) for b in range(B)]))
    a, b = same_width()
    here = torch.tensor([True, False, True, True, False, False, True])
    expected = (((s - t) ** 2)[here.numpy()].mean() + ((2 * s - t) ** 2).mean()) / 2
    near(losses.modality_hints({"x": a, "y": 2 * a}, {"x": b, "y": b}, {"x": here}), expected)


def test_look_transfer_is_a_mean_of_divergences():
    s, t = ((x + 1e-6) / (x + 1e-6).sum(2, keepdims=True) for x in arrays(looks()))
    near(losses.query_attention_transfer(*looks()), rel_entr(t, s).sum(2).mean())


def test_attention_transfer_of_maps_and_tokens():
    s, t = (np.square(x).mean(1).reshape(B, -1) for x in arrays(maps()))
    s, t = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (s, t))
    near(losses.attention_transfer(*maps()), ((s - t) ** 2).sum(1).mean())
    tokens = [x.flatten(2).transpose(1, 2) for x in maps()]  # the same places in a row
    near(losses.attention_transfer(*tokens), ((s - t) ** 2).sum(1).mean())
    small, large = maps()[0], maps()[1].repeat_interleave(3, 2).repeat_interleave(3, 3)
    near(losses.attention_transfer(small, large), ((s - t) ** 2).sum(1).mean())
    near(losses.attention_transfer(large, small), ((s - t) ** 2).sum(1).mean())


def test_similarity():
    s, t = (grams(x) for x in arrays(features()))
    near(losses.similarity(*features()), np.linalg.norm(s - t) ** 2 / B**2)
    doubled = [x.repeat(2, 1) for x in features()]  # the paper's formula falls as 1 / B
    near(losses.similarity(*doubled), losses.similarity(*features()).item() / 2)


def test_rkd_distance():
    pairs = list(permutations(range(B), 2))
    s, t = (np.array([np.linalg.norm(x[i] - x[j]) for i, j in pairs]) for x in arrays(features()))
    near(losses.rkd_distance(*features()), huber(s / s.mean() - t / t.mean()).mean())
    near(losses.rkd_distance(7 * features()[0] + 3, features()[1]), losses.rkd_distance(*features()).item())


def test_rkd_distance_of_equal_rows():
    """The mean is over distances above 0."""
    x = torch.tensor([[0.0, 0], [0, 0], [3, 4], [0, 8]]).double()
    t = torch.tensor([[0.0, 0], [1, 0], [0, 1], [1, 1]]).double()
    s = np.array([0, 5, 8, 5, 8, 5])
    d = np.array([1, 1, 2**0.5, 2**0.5, 1, 1])
    near(losses.rkd_distance(x, t), huber(s / (31 / 5) - d / d.mean()).mean())


def test_rkd_angle():
    triplets = list(permutations(range(B), 3))
    s, t = (np.array([angle(x[i] - x[j], x[k] - x[j]) for i, j, k in triplets]) for x in arrays(features()))
    near(losses.rkd_angle(*features()), huber(s - t).mean())


def test_cka_by_its_u_statistic():
    """HSIC as the mean over all tuples of four different rows (Song et al. 2012): no row is compared with itself."""

    def hsic(k: np.ndarray, m: np.ndarray) -> float:
        found = [k[i, j] * (m[i, j] + m[q, r] - 2 * m[i, q]) for i, j, q, r in permutations(range(B), 4)]
        return float(np.mean(found))

    k, m = (x @ x.T for x in arrays(features()))
    near(losses.cka(*features()), 1 - hsic(k, m) / np.sqrt(hsic(k, k) * hsic(m, m)))
    turn = torch.linalg.qr(torch.randn(4, 4, generator=torch.Generator().manual_seed(1)).double())[0]
    near(losses.cka(5 * features()[0] @ turn + 9, features()[1]), losses.cka(*features()).item())


@pytest.mark.parametrize(("rows", "plain"), [(8, 0.94), (32, 0.81), (128, 0.51)])
def test_cka_finds_nothing_where_there_is_nothing(rows, plain):
    """Independent features: the plain estimator, on which others distil, finds them alike."""
    random, found, biased = torch.Generator().manual_seed(rows), [], []
    for _ in range(100):
        s, t = torch.randn(rows, 128, generator=random).double(), torch.randn(rows, 128, generator=random).double()
        found.append(1 - losses.cka(s, t).item())
        a, b = (x - x.mean(0) for x in (s, t))
        a, b = a @ a.t(), b @ b.t()
        biased.append(((a * b).sum() / (a.norm() * b.norm())).item())
    assert np.mean(biased) == pytest.approx(plain, abs=0.02)
    assert abs(np.mean(found)) < 0.06


def test_crd_is_both_directions():
    s, t = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in arrays(same_width()))
    scores = s @ t.T / 0.2
    expected = -(np.diag(log_softmax(scores, axis=1)) + np.diag(log_softmax(scores, axis=0))).mean() / 2
    near(losses.crd(*same_width(), 0.2), expected)


def test_affinity_of_one_feature_and_of_two():
    s, t = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in arrays(features()))
    found = []
    for b in range(B):
        rest = np.arange(B) != b
        found.append(rel_entr(softmax(t[rest] @ t[b] / 0.2), softmax(s[rest] @ s[b] / 0.2)).sum())
    near(losses.affinity(*features(), 0.2), np.mean(found))
    (s, t), other = features(), [x.flip(1) + 1 for x in features()]
    unit = [(x / x.norm(dim=1, keepdim=True)).numpy() for x in (s, other[0], t, other[1])]
    mine, theirs = unit[0] @ unit[1].T / 0.3, unit[2] @ unit[3].T / 0.3
    ways = [rel_entr(softmax(theirs, axis=a), softmax(mine, axis=a)).sum() / B for a in (0, 1)]
    near(losses.affinity((s, other[0]), (t, other[1]), 0.3), np.mean(ways))


def test_gate_transfer_renormalises_over_what_the_student_has():
    s, t, found = *arrays(shares()), []
    for b, here in enumerate(PRESENT.numpy()):
        p, q = t[b, here] / t[b, here].sum(), s[b, here] / s[b, here].sum()
        found.append(entropy(p, q))
    near(losses.gate_transfer(*shares(), PRESENT), np.mean(found))


def test_gate_transfer_leaves_out_rows_in_which_nothing_counts():
    s, t = shares()
    t = t.clone()
    t[0] = 0  # the teacher counts on nothing that the student has
    near(losses.gate_transfer(s, t, PRESENT), losses.gate_transfer(s[1:], t[1:], PRESENT[1:]).item())


def test_cross_modal_relation_by_rows():
    parts = [(x, x[:, :2] + 1, x[:, 1:] ** 2) for x in arrays(features())]

    def relative(x: np.ndarray) -> np.ndarray:
        return np.array([[angle(a, b) for b in x] for a in x])

    gaps = []
    for m, n in combinations(range(3), 2):
        mine, theirs = (([[angle(a, b) for b in relative(p[n])] for a in relative(p[m])]) for p in parts)
        gaps.append(((np.array(mine) - np.array(theirs)) ** 2).mean())
    given = [[torch.from_numpy(x.copy()) for x in p] for p in parts]
    near(losses.cross_modal_relation(*given), np.mean(gaps))


def test_entropy_relations_weigh_by_doubt():
    (s, t), z = (grams(x) for x in arrays(features())), logits()[1]
    doubt = np.array([entropy(p) for p in softmax(z.numpy(), axis=1)])
    near(losses.entropy_relations(*features(), z), (doubt / doubt.sum() * ((s - t) ** 2).sum(1)).sum())
    sure = 1e4 * torch.eye(C)[TARGET].double()
    assert losses.entropy_relations(*features(), sure).item() == 0


@pytest.mark.parametrize("kind", ["rkd_distance", "rkd_angle", "cka", "affinity", "dist"])
def test_relations_are_of_one_size_in_small_and_large_batches(kind):
    """A weight means the same for 12 rows and for 48; not so of similarity (1 / B by its formula), crd (log B) and
    entropy_relations (a row's product with itself counts less among more)."""
    call = {
        "affinity": lambda s, t: losses.affinity(s, t, 1.0),
        "dist": lambda s, t: losses.dist(s, t, 1.0, 1.0, 1.0),
    }.get(kind, getattr(losses, kind))
    random, found = torch.Generator().manual_seed(1), {}
    for rows in (12, 48):
        values = []
        for _ in range(60):
            t, noise = (torch.randn(rows, 8, generator=random).double() for _ in range(2))
            values.append(call(t + noise, t).item())
        found[rows] = float(np.mean(values))
    assert found[48] == pytest.approx(found[12], rel=0.15)
