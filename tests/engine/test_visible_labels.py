"""A training at a share of the labels takes nothing from the labels that it may not see."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from suffuse.activations import in_units
from suffuse.data.columns import Columns
from suffuse.engine.inference import logits
from suffuse.engine.label_budget import label_budget, visible
from suffuse.engine.student_training import Job, prepared
from suffuse.errors import SuffuseError
from suffuse.evaluation.models import Network
from suffuse.model import FusionModel, save
from suffuse.prepare import targets
from suffuse.run import Run
from suffuse.types import NUMBER

SHARE = 0.3


def balanced(columns: Columns) -> Columns:
    """With class weights of all training labels, as ``balance: true`` has them."""
    train, heads = columns.rows("train"), []
    for head, target in columns.spec.targets(columns.target):
        weights = () if head.kind == NUMBER else targets.balance(head, target[train])
        heads.append(replace(head, balance=weights))
    return replace(columns, spec=replace(columns.spec, heads=tuple(heads)))


def with_hidden_labels_changed(columns: Columns, allowed: np.ndarray) -> Columns:
    """Other labels in the hidden rows, and everything that prepare takes from all labels taken from those."""
    random, train, parts, heads, prior = np.random.default_rng(4), columns.rows("train"), [], [], []
    for head, target in columns.spec.targets(columns.target):
        changed = target.copy()
        if head.kind == NUMBER:
            raw = np.where(allowed, target * head.std + head.mean, 50 + 9 * random.normal(size=len(target)))
            seen = raw[train][~np.isnan(raw[train])]
            head = replace(head, mean=float(seen.mean()), std=float(seen.std()))
            changed = ((raw - head.mean) / head.std).astype(np.float32)
        else:
            changed[~allowed] = target[~allowed][random.permutation((~allowed).sum())] * 0 + 1
            head = replace(head, balance=targets.balance(head, changed[train]))
        heads.append(head)
        prior += targets.prior(head, changed[train])
        parts.append(changed)
    spec = replace(columns.spec, heads=tuple(heads), log_prior=tuple(prior))
    return replace(columns, spec=spec, target=targets.join(heads, parts))


@pytest.mark.parametrize("kinds", ["plain", "mixed"])
def test_hidden_labels_change_nothing_that_a_training_sees(kinds, make_columns):
    columns = balanced(make_columns(80, targets=kinds))
    allowed = label_budget(columns, SHARE, 1)
    other = with_hidden_labels_changed(columns, allowed)
    assert other.spec != columns.spec
    one, two = visible(columns, allowed), visible(other, allowed)
    np.testing.assert_allclose(one.spec.log_prior, two.spec.log_prior)
    for mine, theirs in zip(one.spec.heads, two.spec.heads, strict=True):
        assert mine.balance == theirs.balance
        assert (mine.mean, mine.std) == pytest.approx((theirs.mean, theirs.std), rel=1e-5)
    torch.testing.assert_close(one.hidden(allowed), two.hidden(allowed), equal_nan=True, rtol=1e-4, atol=1e-4)


def test_what_is_taken_from_visible_labels_is_its_formula(make_columns):
    columns = balanced(make_columns(80, targets="mixed"))
    allowed = label_budget(columns, SHARE, 1)
    found = visible(columns, allowed)
    rows = columns.rows("train")
    rows = rows[allowed[rows]]
    (answer, a), (tags, t), (price, p) = columns.spec.targets(columns.target)
    seen = (p[rows] * price.std + price.mean)[~np.isnan(p[rows])]
    assert found.spec.heads[2].mean == pytest.approx(seen.mean(), rel=1e-6)
    assert found.spec.heads[2].std == pytest.approx(seen.std(), rel=1e-6)
    counts = np.bincount(a[rows][a[rows] >= 0], minlength=3)
    counts = counts if counts.all() else counts + 0.5
    np.testing.assert_allclose(found.spec.log_prior[:3], np.log(counts / counts.sum()))
    known = t[rows][t[rows, 0] >= 0]
    share = (known.sum(0) + 0.5) / (len(known) + 1)
    np.testing.assert_allclose(found.spec.log_prior[3:5], np.log(share / (1 - share)))
    assert found.spec.heads[0].balance == targets.balance(answer, a[rows])
    assert found.spec.heads[1].balance == targets.balance(tags, t[rows])
    own = found.spec.targets(found.target)[2][1]
    np.testing.assert_allclose(
        own * found.spec.heads[2].std + found.spec.heads[2].mean, p * price.std + price.mean, rtol=1e-5
    )
    assert visible(columns, np.ones_like(allowed)) is columns


def test_a_class_that_no_visible_label_has_is_not_impossible(make_columns):
    columns = make_columns(80)
    allowed = label_budget(columns, SHARE, 1) & (columns.target != 2)
    prior = np.array(visible(columns, allowed).spec.log_prior)
    assert np.isfinite(prior).all() and np.exp(prior).sum() == pytest.approx(1) and prior.argmin() == 2


def test_a_number_without_two_visible_values_is_told(make_columns):
    columns = make_columns(80, targets="mixed")
    known = np.flatnonzero(~np.isnan(columns.target[:, -1]) & (columns.split == 0))
    allowed = np.isin(np.arange(80), known[:1])
    with pytest.raises(SuffuseError, match=r"too few labels.*label_fractions.*price"):
        visible(columns, allowed)


@pytest.mark.parametrize("form", [np.asarray, torch.from_numpy])
def test_numbers_change_units_and_other_outputs_stay(form, make_columns):
    columns = make_columns(80, targets="mixed")
    ours = visible(columns, label_budget(columns, SHARE, 1)).spec.heads
    said = np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)
    said[3] = np.nan
    found = np.asarray(in_units(form(said), columns.spec.heads, ours))
    price, own = columns.spec.heads[2], ours[2]
    np.testing.assert_array_equal(found[:, :5], said[:, :5])
    np.testing.assert_allclose(found[:, 5] * own.std + own.mean, said[:, 5] * price.std + price.mean, rtol=1e-5)
    np.testing.assert_allclose(in_units(found, ours, columns.spec.heads), said, rtol=1e-4, atol=1e-5)
    assert in_units(said, ours, ours) is said


def test_a_network_with_units_of_its_own_is_scored_in_those_of_the_data(make_columns, make_network, tmp_path):
    columns = make_columns(80, targets="mixed")
    own = visible(columns, label_budget(columns, SHARE, 1))
    model = FusionModel(make_network(), own.spec).eval()
    save(model, tmp_path / "seed-1")
    member, rows = Network(tmp_path / "seed-1", columns, tmp_path / "features"), columns.labelled("test")
    rows = rows if len(rows) else columns.labelled("validation")
    plain = logits(model, columns, rows)
    price, mine = columns.spec.heads[2], own.spec.heads[2]
    found = member.logits(rows)
    np.testing.assert_allclose(found[:, 5] * price.std + price.mean, plain[:, 5] * mine.std + mine.mean, rtol=1e-5)
    whole = np.ones((1, 1, len(columns.spec.names)), dtype=bool)
    np.testing.assert_allclose(member.masked_logits(rows, whole)[0], found, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(member.logits_on(columns, "picture", rows), found, rtol=1e-4, atol=1e-5)


def test_the_training_of_a_baseline_at_a_share_sees_its_labels_alone(prepared_run, tmp_path):
    run = Run(prepared_run.folder, prepared_run.recipe)
    columns = Columns.open(run.path("data"))
    allowed = label_budget(columns, 0.4, run.recipe.seed)
    job = Job("baseline-0.4", 1, False, 0.4, None)
    objective, plan = prepared(run, job, tmp_path, lambda share, words: None)
    rows = columns.labelled("train")
    rows = rows[allowed[rows]]
    wanted = targets.prior(columns.spec.heads[0], columns.target[rows])
    assert objective.model.spec.log_prior == tuple(wanted) != columns.spec.log_prior
    np.testing.assert_allclose(objective.model.log_prior.numpy(), wanted, rtol=1e-6)
    assert plan.labels is not None and plan.labels(columns.rows("train")) == (len(rows),)
    whole, _ = prepared(run, replace(job, fraction=1.0), tmp_path, lambda share, words: None)
    assert whole.model.spec == columns.spec
