"""Missing modalities: what is lost, that it is replayed, and that nothing lost is the full score to the last bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st
from probe_tools import toy_columns, toy_context

from suffuse import shapley
from suffuse.evaluation.missing_modalities import RATES, drop_inputs, probe
from suffuse.evaluation.modality_subsets import masked_logits, subset_logits, subset_rows
from suffuse.shapley import listed
from suffuse.types import Head

HEAD = Head("y", "classes", ("p", "q"))


def both(x: np.ndarray, present: np.ndarray) -> np.ndarray:
    total = 3 * x[:, 0] + x[:, 1:].sum(1)
    return np.stack([-total, total], 1)


def context(rows: int = 300, modalities: int = 2, absent: float = 0.2, who: str = "student", **evaluate):
    random = np.random.default_rng(0)
    values = random.normal(size=(rows, modalities))
    present = random.random((rows, modalities)) >= absent
    present[~present.any(1), 0] = True
    target = ((3 * values[:, 0] + values[:, 1:].sum(1)) > 0).astype(np.int64)
    columns = toy_columns(rows, target, values, HEAD, present)
    return toy_context(columns, {who: [(("a", "b", "c")[:modalities], both)] * 2}, **evaluate)


@budget(deadline=None, max_examples=60)
@given(st.integers(1, 60), st.integers(1, 6), st.integers(0, 99))
def test_what_is_lost_at_a_low_rate_is_lost_at_a_higher_one_and_never_all(rows, modalities, seed):
    random = np.random.default_rng(seed)
    present = random.random((rows, modalities)) < 0.7
    present[~present.any(1), 0] = True
    keys = random.integers(0, 2**63, rows).astype(np.uint64)
    left = [drop_inputs(keys, present, rate) for rate in RATES]
    assert (left[0] == present).all()
    for more, less in zip(left[1:], left[:-1], strict=True):
        assert (more <= less).all() and more.any(1).all()
    order = random.permutation(rows)  # a row loses the same in any company
    assert (drop_inputs(keys[order], present[order], 0.5) == left[5][order]).all()


def test_the_rate_is_the_share_that_is_lost():
    keys, present = np.arange(20_000, dtype=np.uint64), np.ones((20_000, 5), dtype=bool)
    for rate in (0.2, 0.5):
        kept = drop_inputs(keys, present, rate)
        assert 1 - kept.mean() == pytest.approx(rate * (1 - rate**5 / (5 * rate)), abs=0.01)


def test_at_rate_zero_and_on_the_whole_subset_it_is_the_full_score_bit_for_bit():
    found = context()
    facts = probe(found)["student"]["missing"]
    full = found.metrics["student"]
    assert facts["rows"] == facts["of"] == 300
    for one in (facts["rates"][0], facts["subsets"]["a+b"]):
        assert one["per_seed"] == [seed["accuracy"][0] for seed in full]
    assert facts["rates"][0]["missing"] == 0
    whole = subset_logits(found, found.models["student"])
    for seed, said in found.models["student"].logits.items():
        assert (whole.logits[seed][-1] == said).all()
    assert facts["subsets"]["a+b"]["cost"] == {"difference": 0, "low": 0, "high": 0}


def test_scores_fall_as_more_is_lost_and_nothing_left_is_the_prior():
    facts = probe(context(2000, absent=0.0))["student"]["missing"]
    means = [one["mean"] for one in facts["rates"]]
    assert means[0] == 1 and all(more <= less + 1e-9 for more, less in zip(means[1:], means[:-1], strict=True))
    assert means[-1] < 0.8
    table = facts["subsets"]
    assert table["a"]["mean"] > table["b"]["mean"] > 0.55
    assert table["nothing"]["mean"] == pytest.approx(0.5, abs=0.05)
    assert table["b"]["cost"]["low"] <= table["b"]["cost"]["difference"] <= table["b"]["cost"]["high"] < 0


def test_looked_up_and_asked_directly_are_the_same(monkeypatch):
    exact = context(modalities=3)
    rates = probe(exact)["student"]["missing"]["rates"]
    monkeypatch.setattr(shapley, "EVERY", 2)
    few = context(modalities=3)
    facts = probe(few)["student"]["missing"]
    assert facts["rates"] == rates
    assert list(facts["subsets"]) == ["nothing", "a", "b", "c", "a+b", "a+c", "b+c", "a+b+c"]
    assert (
        not subset_logits(few, few.models["student"]).exhaustive
        and subset_logits(exact, exact.models["student"]).exhaustive
    )


def test_of_many_modalities_there_is_a_choice_of_subsets():
    for count in (6, 7, 9):
        there = listed(count)
        assert len(there) == 2 * count + 2 and len(np.unique(there, axis=0)) == len(there)
        assert not there[0].any() and there[-1].all() and sorted(set(there.sum(1))) == [0, 1, count - 1, count]


def test_a_model_that_reads_less_loses_only_what_it_reads():
    made = context()
    columns = made.columns
    alone = toy_context(columns, {"student": [(("b",), lambda x, _: np.concatenate([-x, x], 1))]})
    kept = np.ones((1, 300, 2), dtype=bool)
    kept[0, :, 0] = False  # a is gone, which it never read
    said = masked_logits(alone, alone.models["student"], kept)["seed-1"]
    assert (said[0] == alone.models["student"].logits["seed-1"]).all()
    assert list(probe(alone)["student"]["missing"]["subsets"]) == ["nothing", "b"]


def test_all_models_lose_the_same_and_few_rows_are_the_same_few():
    made = context(rows=500, probe_rows=64)
    assert len(subset_rows(made)) == 64 and (subset_rows(made) == made.sample(64)).all()
    assert probe(made)["student"]["missing"]["rows"] == 64
    assert (np.diff(subset_rows(made)) > 0).all()


def test_who_can_t_be_asked_about_subsets_says_why():
    made = context()
    model = made.models["student"]
    members = {seed: replace(one, limitation="too dear") for seed, one in model.members.items()}
    stuck = replace(made, models={"student": replace(model, members=members)})
    assert probe(stuck) == {"student": {"not_measured": {"missing": "too dear"}}}
