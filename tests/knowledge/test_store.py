"""The knowledge store: what the teacher knows is found by who a row is, never by where it stands."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st
from scipy.special import log_softmax

from suffuse.data.columns import Columns
from suffuse.engine.inference import logits
from suffuse.errors import SuffuseError
from suffuse.knowledge import Knowledge, manifest
from suffuse.knowledge.chunks import Block
from suffuse.knowledge.row_reuse import find_keys
from suffuse.model import FusionModel
from suffuse.teachers.trained import Trained


@pytest.fixture(scope="module")
def columns(make_columns) -> Columns:
    """Five of the rows are of the test split: no store holds them."""
    made = make_columns(rows=50, absent=0.3)
    split = np.where(np.arange(50) >= 45, 2, made.split).astype(np.int8)
    return dataclasses.replace(made, split=split)


@pytest.fixture(scope="module")
def teacher(columns, make_network) -> FusionModel:
    torch.manual_seed(3)
    model = FusionModel(make_network(), columns.spec).eval()
    with torch.no_grad():
        model.head[-1].weight.mul_(20)  # type: ignore[operator]  # decided answers
    return model


@pytest.fixture
def store(columns, teacher, maker) -> Path:
    """Of every row but the last five."""
    return maker.store(Trained(teacher, columns))


def test_rows_come_back_whatever_their_order(store, columns, teacher):
    knowledge = Knowledge.open(store, columns)
    rows = np.random.default_rng(1).permutation(45)[:30]
    found = knowledge.gather(torch.from_numpy(rows), ("logits", "fused", "picture", "question", "gates"))
    with torch.no_grad():
        output = teacher(columns.batch(rows))
    exact = {"logits": output.logits, "fused": output.fused, "gates": output.gates, **output.features}
    for name, tap in exact.items():
        assert found[name].dtype == torch.float16
        here = output.present.get(name, torch.ones(30, dtype=torch.bool))  # an absent row's feature means nothing
        torch.testing.assert_close(found[name].float()[here], tap[here], atol=5e-3, rtol=2e-3)  # type: ignore[index]


def test_the_data_may_be_sorted_anew(store, columns):
    """The store is keyed by id and contents: after the rows were shuffled each still finds its own."""
    order = np.random.default_rng(2).permutation(50)
    fields = ("entry", "present", "target", "split", "group", "key")
    shuffled = dataclasses.replace(columns, **{f: getattr(columns, f)[order] for f in fields})
    one, other = Knowledge.open(store, columns), Knowledge.open(store, shuffled)
    here = np.flatnonzero(order < 45)
    a = one.gather(torch.from_numpy(order[here]), ("logits", "fused"))
    b = other.gather(torch.from_numpy(here), ("logits", "fused"))
    assert torch.equal(a["logits"], b["logits"]) and torch.equal(a["fused"], b["fused"])


def test_a_row_whose_content_changed_is_not_found(store, columns):
    changed = dataclasses.replace(columns, key=columns.key + (np.arange(50) == 7).astype(np.uint64))
    knowledge = Knowledge.open(store, changed)
    assert knowledge.place[7] == -1
    with pytest.raises(SuffuseError, match=r"lacks rows: got 44 of 45"):
        knowledge.require(np.arange(45), ("logits",))
    knowledge.require(np.delete(np.arange(45), 7), ("logits",))


def test_rows_and_taps_that_aren_t_there_are_told(store, columns):
    knowledge = Knowledge.open(store, columns)
    with pytest.raises(SuffuseError, match=r"lacks rows: got 0 of 5"):
        knowledge.require(np.arange(45, 50), ("logits",))
    with pytest.raises(SuffuseError, match=r"lacks a tap.*expected attention"):
        knowledge.require(np.arange(5), ("logits", "attention"))


def test_it_holds_every_array_that_its_manifest_names_and_no_other(store, columns):
    facts = manifest.read(store)
    assert set(facts["taps"]) == {"logits", "fused", "picture", "question", "gates"}
    assert {f"{n}.npy" for n in facts["arrays"]} | {"manifest.json"} == {p.name for p in store.iterdir()}
    for name, said in facts["arrays"].items():
        array = np.load(store / f"{name}.npy", allow_pickle=False)
        assert list(array.shape) == said["shape"] and str(array.dtype) == said["dtype"]
        assert manifest.digest(store / f"{name}.npy") == said["sha256"]
    assert sorted(np.load(store / "key.npy")) == sorted(columns.key[:45])
    train = facts["train_rows"]
    assert sorted(np.load(store / "key.npy")[:train]) == sorted(columns.key[columns.rows("train")])


def test_the_cost_of_halving_is_measured(store, columns, teacher):
    manifest = json.loads((store / "manifest.json").read_text())
    exact = logits(teacher, columns, np.arange(45))
    knowledge = Knowledge.open(store, columns)
    kept = knowledge.gather(torch.arange(45), ("logits",))["logits"].float().numpy()
    log_p, log_q = log_softmax(exact.astype(float), axis=1), log_softmax(kept.astype(float), axis=1)
    kl = (np.exp(log_p) * (log_p - log_q)).sum(1)
    assert manifest["encoding"]["mean_kl"] == pytest.approx(kl.mean(), abs=2e-7)
    assert manifest["encoding"]["same_argmax"] == pytest.approx((exact.argmax(1) == kept.argmax(1)).mean())
    assert 0 < np.abs(exact - kept).max() < 0.05


@budget(deadline=None, max_examples=100)
@given(
    st.lists(st.integers(0, 2**64 - 1), unique=True, max_size=20),
    st.lists(st.integers(0, 2**64 - 1), max_size=9),
    st.randoms(),
)
def test_find_is_a_dictionary(keys, strangers, random):
    wanted = [*random.sample(keys, len(keys) // 2), *strangers]
    random.shuffle(wanted)
    place = {k: n for n, k in enumerate(keys)}
    found = find_keys(np.array(keys, dtype=np.uint64), np.array(wanted, dtype=np.uint64))
    assert found.tolist() == [place.get(w, -1) for w in wanted]


def test_there_is_no_store(columns, tmp_path):
    with pytest.raises(SuffuseError, match="can't open") as caught:
        Knowledge.open(tmp_path / "nowhere", columns)
    assert "suffuse extract" in caught.value.hint


@pytest.mark.parametrize("name", ["logits.npy", "key.npy", "manifest.json"])
@pytest.mark.parametrize("damage", ["gone", "empty", "cut", "fewer rows", "other numbers"])
def test_a_damaged_store_is_refused_at_opening(store, columns, name, damage):
    file = store / name
    if damage == "gone":
        file.unlink()
    elif damage == "empty":
        file.write_bytes(b"")
    elif damage == "cut":
        file.write_bytes(file.read_bytes()[:-7])
    elif name.endswith(".npy"):
        array = np.load(file)
        other = array.view(np.int64 if array.dtype == np.uint64 else np.int16)  # as many bytes
        np.save(file, array[:-1] if damage == "fewer rows" else other)
    else:
        facts = json.loads(file.read_text())
        facts["rows"] -= 1
        file.write_text(json.dumps(facts))
    with pytest.raises(SuffuseError, match="can't open the knowledge store") as caught:
        Knowledge.open(store, columns)
    assert str(store) in caught.value.line() and "\n" not in caught.value.line()
    assert "suffuse extract" in caught.value.hint


def test_content_that_was_changed_in_place_is_found_by_its_hash(store):
    facts = manifest.read(store)
    assert manifest.changed_arrays(store, facts) == []
    array = np.load(store / "fused.npy", mmap_mode="r+")
    array[3, 1] += 1
    array.flush()
    assert manifest.changed_arrays(store, manifest.read(store)) == ["fused"]


def test_widths_are_those_of_the_features(store, columns):
    widths = Knowledge.open(store, columns).widths()
    assert widths == {"logits": 3, "fused": 8, "picture": 12, "question": 5, "gates": 2}


def test_each_subset_and_view_is_what_the_teacher_says_of_it(maker, columns, teacher):
    """Against the network itself, with what is not shown taken away."""
    run = maker.run(extract={"subsets": "each", "views": 2})
    folder = maker.store(Trained(teacher, columns), extract={"subsets": "each", "views": 2})
    knowledge, rows = Knowledge.open(folder, columns), columns.rows("train")
    assert [b.view for b in knowledge.blocks] == [None, 0, 1] * 3
    from suffuse.knowledge.fingerprint import viewer

    for number, block in enumerate(knowledge.blocks):
        view = None if block.view is None else (viewer(run.recipe), block.view)
        batch = columns.batch(rows, None, view)
        shown = torch.tensor([name in block.subset for name in columns.spec.names])
        with torch.no_grad():
            wanted = teacher(dataclasses.replace(batch, present=batch.present & shown, complete=False))
        found = knowledge.gather(torch.from_numpy(rows), ("logits", "fused", "picture"), number)
        torch.testing.assert_close(found["logits"].float(), wanted.logits, atol=2e-2, rtol=2e-3)
        torch.testing.assert_close(found["fused"].float(), wanted.fused, atol=1e-2, rtol=2e-3)
        here = batch.present[:, 0]
        torch.testing.assert_close(
            found["picture"].float()[here], wanted.features["picture"][here], atol=1e-2, rtol=2e-3
        )
        alone = knowledge.gather(torch.from_numpy(rows), ("logits@picture",), number)["logits@picture"]
        own = knowledge.block(("picture",), block.view)
        assert torch.equal(alone, knowledge.gather(torch.from_numpy(rows), ("logits",), own)["logits"])


def test_a_feature_is_stored_once_for_all_subsets(maker, columns, teacher):
    facts = manifest.read(maker.store(Trained(teacher, columns), extract={"subsets": "all"}))
    assert facts["arrays"]["picture"]["shape"][0] == facts["rows"]
    assert facts["arrays"]["logits"]["shape"][0] == 3 * facts["rows"]
    assert facts["arrays"]["picture"]["starts"] == [0, 0, 0]


def test_a_subset_that_is_not_stored_is_told(maker, columns, teacher):
    knowledge = Knowledge.open(maker.store(Trained(teacher, columns)), columns)
    with pytest.raises(SuffuseError, match=r"lacks a subset or view.*expected picture, as prepared"):
        knowledge.require(np.arange(3), ("logits@picture",))
    assert knowledge.block(None, None) == knowledge.block(Block(("picture", "question")).subset, None) == 0


@pytest.mark.parametrize("top_k", [0, 1])
def test_a_gather_of_mixed_subsets_is_each_row_s_own(maker, columns, teacher, top_k):
    folder = maker.store(Trained(teacher, columns), extract={"subsets": "all", "top_k": top_k})
    knowledge, rows = Knowledge.open(folder, columns), torch.arange(40)
    which = torch.randint(3, (40,), generator=torch.Generator().manual_seed(0))
    needs = ("logits", "fused", "question")
    found = knowledge.gather_per_row(rows, needs, which)
    for block in range(3):
        own = knowledge.gather(rows[which == block], needs, block)
        assert all(torch.equal(found[n][which == block], own[n]) for n in needs)
