"""Shapley values, interaction and the additive projection of models of which all of it is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st
from probe_tools import NAMES, toy_columns, toy_context

from suffuse.evaluation.contribution import additive_projection, interaction, probe
from suffuse.evaluation.missing_modalities import probe as missing
from suffuse.model import FusionModel
from suffuse.types import Head

HEAD = Head("y", "classes", ("p", "q"))


def signs(total: np.ndarray) -> np.ndarray:
    return np.stack([-total, total], 1)


def context(answer, teacher=None, rows: int = 1500):
    """Three modalities of which c says nothing; the label is a XOR b by sign."""
    random = np.random.default_rng(0)
    values = random.normal(size=(rows, 3))
    target = ((values[:, 0] > 0) ^ (values[:, 1] > 0)).astype(np.int64)
    columns = toy_columns(rows, target, values, HEAD)
    return toy_context(columns, {"teacher": [(NAMES, teacher or answer)], "student": [(NAMES, answer)] * 2})


def xor(x: np.ndarray, present: np.ndarray) -> np.ndarray:
    return signs(-np.sign(x[:, 0]) * np.sign(x[:, 1]) * 5)


def first(x: np.ndarray, present: np.ndarray) -> np.ndarray:
    return signs(5 * x[:, 0])


def test_shares_sum_to_the_whole_and_a_dummy_has_exactly_none():
    made = context(xor)
    facts = probe(made)["student"]["contribution"]
    table = missing(made)["student"]["missing"]["subsets"]
    shares = {name: one["mean"] for name, one in facts["shapley"].items()}
    assert sum(shares.values()) == pytest.approx(table["a+b+c"]["mean"] - table["nothing"]["mean"])
    assert facts["shapley"]["c"] == {"mean": 0, "low": 0, "high": 0, "per_seed": [0, 0]}
    assert shares["a"] == pytest.approx(0.25, abs=0.03) and shares["b"] == pytest.approx(0.25, abs=0.03)
    assert facts["exact"] and facts["rows"] == facts["of"] == 1500


def test_what_needs_both_modalities_shows_as_interaction_and_cooperation():
    facts = probe(context(xor))["student"]["contribution"]
    assert facts["interaction"]["a+b"]["low"] > 0.4
    assert facts["interaction"]["a+c"]["mean"] == facts["interaction"]["b+c"]["mean"] == 0
    assert facts["cooperation"]["mean"] == pytest.approx(0.5, abs=0.04)
    assert facts["leave_one_out"]["a"]["mean"] == pytest.approx(0.5, abs=0.04)
    assert facts["leave_one_out"]["c"]["mean"] == 0
    assert facts["alone"]["a"]["mean"] == pytest.approx(0, abs=0.04)
    helped = facts["helped"]["a"]
    assert helped["mean"] == facts["rows_helped"]["a"] and 0.4 < helped["low"] < helped["mean"] < helped["high"] < 0.6
    assert facts["rows_helped"]["a"] == pytest.approx(0.5, abs=0.04) and facts["rows_hurt"] == {"a": 0, "b": 0, "c": 0}


def test_a_model_that_looks_at_one_modality_shows_no_interaction():
    facts = probe(context(first))["student"]["contribution"]
    assert all(one["mean"] == 0 for one in facts["interaction"].values())
    assert facts["cooperation"]["mean"] == 0
    hurt = facts["rows_hurt"]["a"]  # without a it says the prior's first class, which is right half of the time
    assert hurt == pytest.approx(facts["rows_helped"]["a"], abs=0.06) and hurt > 0.2


@budget(deadline=None, max_examples=30)
@given(st.integers(2, 4), st.integers(0, 99))
def test_interaction_is_none_of_additive_values_and_symmetric(count, seed):
    random = np.random.default_rng(seed)
    worth = random.normal(size=count)
    there = (np.arange(2**count)[:, None] >> np.arange(count)) % 2
    np.testing.assert_allclose(interaction((there * worth).sum(1)), 0, atol=1e-12)
    any_ = interaction(random.normal(size=2**count))
    assert (any_ == any_.T).all()
    two = interaction(np.array([0.0, 0.2, 0.3, 1.0]))  # v(ab) - v(a) - v(b) + v(0)
    assert two[0, 1] == pytest.approx(0.5)


def test_one_modality_has_no_contribution_to_share():
    columns = toy_columns(50, np.zeros(50, dtype=np.int64), np.random.default_rng(0).normal(size=(50, 1)), HEAD)
    assert probe(toy_context(columns, {"student": [(("a",), lambda x, _: signs(x[:, 0]))]})) == {}


def test_a_student_that_answers_as_its_teacher_uses_the_modalities_alike():
    facts = probe(context(xor))["student"]["contribution"]["fidelity"]
    assert facts["difference"]["mean"] == 0 and facts["metric_difference"]["mean"] == 0
    for key in ("cosine", "rank", "same_first"):
        assert facts[key]["mean"] == pytest.approx(1), key
    assert facts["model"] == facts["teacher"] and facts["model"]["c"] == 0 < facts["model"]["a"]
    assert "fidelity" not in probe(context(xor))["teacher"]["contribution"]


def test_a_student_that_is_right_for_other_reasons_is_told_apart():
    """Teacher and student agree on every row, and each looks at another modality."""
    random = np.random.default_rng(1)
    same = random.normal(size=800)
    columns = toy_columns(800, (same > 0).astype(np.int64), np.stack([same, same], 1), HEAD)
    models = {"teacher": [(NAMES[:2], lambda x, _: signs(5 * x[:, 0]))],
              "student": [(NAMES[:2], lambda x, _: signs(5 * x[:, 1]))]}  # fmt: skip
    facts = probe(toy_context(columns, models))["student"]["contribution"]["fidelity"]
    assert facts["cosine"]["mean"] == pytest.approx(0, abs=1e-6) and facts["same_first"]["mean"] == 0
    assert facts["rank"]["mean"] == pytest.approx(-1)
    assert facts["difference"]["mean"] > 0.2 and facts["metric_difference"]["mean"] == pytest.approx(0.5, abs=0.05)


def test_a_modality_that_the_student_doesn_t_read_counts_nothing_for_it():
    made = context(xor)
    alone = toy_context(made.columns, {"teacher": [(NAMES, first)], "student": [(("a",), first)]})
    facts = probe(alone)["student"]["contribution"]
    assert set(facts) == {"fidelity"} and facts["fidelity"]["model"]["b"] == 0
    assert facts["fidelity"]["difference"]["mean"] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("fusion", ["late", "gated"])
def test_the_additive_projection_of_two_modalities(make_columns, make_network, fusion):
    """It is Hessel and Lee's, by definition computed row by row."""
    torch.manual_seed(0)
    columns = make_columns(rows=24, absent=0.0)
    model = FusionModel(make_network(fusion), columns.spec).eval()
    rows = np.arange(9)
    own, found = additive_projection(model, columns, rows)
    batch = columns.batch(rows)
    grid = np.empty((9, 9, 3))
    with torch.no_grad():
        encoded = model.encode(batch)
        for i in range(9):
            for j in range(9):
                vector = [e.vector[[k]] for e, k in zip(encoded, (i, j), strict=True)]
                mixed = [type(e)(v) for e, v in zip(encoded, vector, strict=True)]
                grid[i, j] = model.fuse(mixed, torch.ones(1, 2, dtype=torch.bool)).logits[0].numpy()
    np.testing.assert_allclose(own, [grid[i, i] for i in range(9)], atol=1e-5)
    np.testing.assert_allclose(found, grid.mean(1) + grid.mean(0) - grid.mean((0, 1)), atol=1e-5)


@pytest.mark.parametrize("count", [2, 3, 4])
def test_the_projection_of_a_sum_is_the_sum_itself(monkeypatch, count):
    """What adds up is projected on itself, for any number of modalities; a product is not."""
    from suffuse.evaluation import contribution

    random = np.random.default_rng(0)
    values = torch.tensor(random.normal(size=(count, 12)))

    class Adds:
        part = type("Vectors", (), {"TOKENS": False})
        product = False
        log_prior = torch.zeros(1)  # says which device the model is on

        def encode(self, batch):
            return [contribution.Encoded(v[:, None]) for v in values]

        def fuse(self, encoded, present):
            parts = torch.stack([e.vector[:, 0] for e in encoded])
            total = parts.prod(0) if self.product else parts.sum(0)
            return type("Said", (), {"logits": total[:, None]})

    class Rows:
        def batch(self, rows):
            return type("Batch", (), {"present": torch.ones(12, count, dtype=torch.bool)})

    model = Adds()
    own, found = contribution.additive_projection(model, Rows(), np.arange(12))  # type: ignore[arg-type]
    np.testing.assert_allclose(found, own, atol=1e-12)
    model.product = True
    own, found = contribution.additive_projection(model, Rows(), np.arange(12))  # type: ignore[arg-type]
    assert np.abs(found - own).max() > 0.1
