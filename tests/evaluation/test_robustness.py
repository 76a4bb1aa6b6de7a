"""Damage: none at severity 0, ever more of it after; rows, budget, and a group that is held out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from probe_tools import toy_columns, toy_context
from test_modalities import SIGNALS, Built, entries_of

from suffuse.engine import inference
from suffuse.evaluation import modality_subsets, models, size
from suffuse.evaluation.intervals import SHARE, summary
from suffuse.evaluation.robustness import corrupt, corrupt_columns, probe, robustness_rows
from suffuse.evaluation.scorecard import seed_metrics
from suffuse.model import FusionModel
from suffuse.recipe.data_settings import HoldOut
from suffuse.types import Head

HEAD = Head("y", "classes", ("p", "q"))


def context(rows: int = 4000, **evaluate):
    """The label is the sign of a; b says nothing, and the model reads it all the same."""
    random = np.random.default_rng(0)
    values = random.normal(size=(rows, 2))
    columns = toy_columns(rows, (values[:, 0] > 0).astype(np.int64), values, HEAD)
    answer = (("a", "b"), lambda x, present: np.stack([-x[:, 0], x[:, 0]], 1))
    return toy_context(columns, {"student": [answer], "export": [answer]}, **evaluate)


@pytest.mark.parametrize("asked", SIGNALS)
def test_severity_zero_is_what_is_there(asked):
    one = Built(asked)
    entries = entries_of(one)
    assert corrupt(one.settings, one.statistics, entries, 0) is entries


def test_severity_zero_changes_no_column_and_one_changes_only_its_own():
    made = context(50)
    where = np.arange(0, 50, 2)
    assert corrupt_columns(made, "a", where, 0) is made.columns
    changed = corrupt_columns(made, "a", where, 3)
    assert (changed.entries["b"] == made.columns.entries["b"]).all()
    assert (changed.entry[:, 1] == made.columns.entry[:, 1]).all() and (changed.present == made.columns.present).all()
    before, after = made.columns, changed
    values = [c.entries["a"][c.entry[where, 0], 0] for c in (before, after)]
    assert (values[0] != values[1]).mean() > 0.9


def test_more_damage_costs_more_and_only_where_the_model_looks():
    made = context()
    found = probe(made)
    facts = found["student"]["robustness"]
    assert found["student"] == found["export"]
    assert facts["rows"] == 1000 and facts["of"] == 4000
    levels = [one["mean"] for one in facts["modalities"]["a"]]
    assert [one["severity"] for one in facts["modalities"]["a"]] == [0, 1, 2, 3, 4, 5]
    assert levels[0] == 1 and all(more < less for more, less in zip(levels[1:], levels[:-1], strict=True))
    assert levels[-1] < 0.8
    assert all(one["mean"] == 1 for one in facts["modalities"]["b"])
    assert facts["retained"]["b"] == 1 and 0.5 < facts["retained"]["a"] < 1
    first = facts["modalities"]["a"][0]
    where = robustness_rows(made)
    said = made.models["student"].logits["seed-1"][where].argmax(1)
    assert first["per_seed"] == [(said == made.target[where]).mean()]


def test_a_row_that_lacks_the_modality_isn_t_touched():
    made = context(40)
    present = made.columns.present.copy()
    present[:20, 0] = False
    made = replace(made, columns=replace(made.columns, present=present))
    changed = corrupt_columns(made, "a", np.arange(40), 5)
    assert (changed.entry[:20, 0] == 0).all() and len(changed.entries["a"]) == 20
    present[:] = [False, True]
    nobody = replace(made, columns=replace(made.columns, present=present))
    assert corrupt_columns(nobody, "a", np.arange(40), 5) is nobody.columns


def test_heavy_networks_are_asked_about_fewer_rows(monkeypatch):
    monkeypatch.setattr(size, "member_macs", lambda context, member: size.Macs(10**7, 10**5))
    made = context(2000)
    monkeypatch.setattr(size, "BUDGET", 2 * 5 * 2 * 10**7 * 300)  # two modalities, five severities, two models
    assert len(robustness_rows(made)) == 300
    # a network is encoded once and fused for each of four subsets
    monkeypatch.setattr(size, "BUDGET", 2 * (10**7 + 4 * 10**5) * 250)
    assert len(modality_subsets.subset_rows(made)) == 250
    monkeypatch.setattr(size, "BUDGET", 1)
    assert len(robustness_rows(made)) == 64
    monkeypatch.setattr(size, "BUDGET", 10**30)
    assert len(robustness_rows(context(2000, probe_rows=128))) == 128 and len(robustness_rows(made)) == 1000


def test_a_group_that_is_held_out_stands_beside_validation():
    made = context(600)
    columns = replace(made.columns, split=(1 + np.arange(600) % 2).astype(np.int8))
    where = columns.labelled("test")
    model = made.models["student"]
    flipped = {s: -v[where] for s, v in model.logits.items()}  # on the held-out group it is always wrong
    split = made.recipe.data.split.model_copy(update={"hold_out": HoldOut(column="who", values=("theo",))})
    recipe = made.recipe.model_copy(update={"data": made.recipe.data.model_copy(update={"split": split})})
    made = replace(
        made, columns=columns, rows=where, draws=made.draws.of(where), recipe=recipe,
        models={"student": replace(model, logits=flipped)},
    )  # fmt: skip
    facts = probe(made)["student"]["robustness"]["held_out"]
    assert facts["column"] == "who" and facts["values"] == ["theo"]
    assert facts["test"]["mean"] == 0 and facts["validation"]["mean"] == 1 and facts["difference"]["mean"] == -1
    half = np.where(np.arange(len(where))[:, None] % 2, 1, -1)
    made = replace(made, models={"student": replace(model, logits={s: half * v for s, v in flipped.items()})})
    facts = probe(made)["student"]["robustness"]["held_out"]
    scores = [m["accuracy"] for m in seed_metrics(made, made.models["student"])]
    assert facts["test"] == summary(scores, 0.95, SHARE, made.draws.size) and facts["test"]["mean"] == 0.5
    assert facts["difference"]["low"] == pytest.approx(facts["test"]["low"] - 1)  # on validation it is always right
    assert "held_out" not in probe(context(100))["student"]["robustness"]


def test_who_can_t_be_asked_about_damage_says_so(monkeypatch):
    made = context(100)
    kind = type(next(iter(made.models["student"].members.values())))
    monkeypatch.setattr(kind, "logits_on", lambda self, columns, name, rows: None)
    assert set(probe(made)["student"]) == {"not_measured"}


def test_what_is_not_damaged_is_encoded_once_and_the_bits_are_those_of_encoding_it_again(looked_at, monkeypatch):
    _, made = looked_at
    asked: list[str] = []
    encode = FusionModel.entries

    def counted(self, name, batch, mapped):
        asked.append(name)
        return encode(self, name, batch, mapped)

    monkeypatch.setattr(FusionModel, "entries", counted)
    where = robustness_rows(made)
    for who in ("teacher", "student"):
        fresh = replace(next(iter(made.models[who].members.values())))
        for name in made.spec.names:
            asked.clear()
            for severity in (1, 3, 5):
                columns = corrupt_columns(made, name, where, severity)
                said = fresh.logits_on(columns, name, made.rows[where])
                own = fresh.opened[1]
                entries = {n: columns.entries[n] if n == name else own.entries[n] for n in own.entries}
                again = replace(columns.of(own.spec.names), entries=entries, ready=own.ready - {name})
                before = len(asked)
                assert (said == inference.logits(fresh.opened[0], again, made.rows[where])).all()
                del asked[before:]
            others = [n for n in made.spec.names if n != name]
            assert asked.count(name) == 3 and all(asked.count(n) == 1 for n in others)
    monkeypatch.setattr(models, "MAX_CACHED_FEATURES", 0)  # too much to hold: encoded again, to the same bits
    held, free = (replace(fresh), corrupt_columns(made, name, where, 2))
    assert (held.logits_on(free, name, made.rows[where]) == fresh.logits_on(free, name, made.rows[where])).all()
    assert not held.cached
