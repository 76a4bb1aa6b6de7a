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
from safetensors.numpy import load_file
from scipy.special import log_softmax

from suffuse.data import Columns
from suffuse.engine.forward import chunks, logits
from suffuse.errors import SuffuseError
from suffuse.knowledge import Knowledge, compact, digest, find, half, part_file, write_part
from suffuse.model import FusionModel
from suffuse.stages.extract import compute
from suffuse.teachers.trained import Trained

FINGERPRINT = {"classes": ["a", "b", "c"], "modalities": ["picture", "question"]}


@pytest.fixture(scope="module")
def columns(make_columns) -> Columns:
    return make_columns(rows=50, absent=0.3)


@pytest.fixture(scope="module")
def teacher(columns, make_network) -> FusionModel:
    torch.manual_seed(3)
    model = FusionModel(make_network(), columns.spec).eval()
    with torch.no_grad():
        model.head[-1].weight.mul_(20)  # type: ignore[operator]  # decided answers
    return model


@pytest.fixture
def store(columns, teacher, tmp_path) -> Path:
    """Of every row but the last five, in parts of 16."""
    rows = np.random.default_rng(0).permutation(45)
    pieces = list(chunks(columns, rows, 16))
    for number, piece in enumerate(pieces):
        write_part(tmp_path / "parts", number, compute(Trained(teacher, columns), columns, rows[piece]))
    compact(tmp_path / "parts", len(pieces), tmp_path / "store", {"rows": 45, "fingerprint": FINGERPRINT})
    return tmp_path / "store"


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


@pytest.mark.parametrize("what", ["classes", "modalities"])
def test_other_classes_or_modalities_are_refused(store, columns, what):
    manifest = json.loads((store / "manifest.json").read_text())
    manifest["fingerprint"][what] = manifest["fingerprint"][what][::-1]
    (store / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(SuffuseError, match=f"made with other {what}"):
        Knowledge.open(store, columns)


def test_the_compact_store_is_its_parts(store, columns):
    parts = store.parent / "parts"
    loaded = [load_file(part_file(parts, n)) for n in range(3)]
    manifest = json.loads((store / "manifest.json").read_text())
    assert set(manifest["taps"]) == {"logits", "fused", "picture", "question", "gates"}
    for name in loaded[0]:
        whole = np.load(store / f"{name}.npy")
        assert (whole == np.concatenate([p[name] for p in loaded])).all()
        assert manifest["hashes"][name] == digest(store / f"{name}.npy")
    assert sorted(np.load(store / "key.npy")) == sorted(columns.key[:45])


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


@budget(deadline=None, max_examples=60)
@given(st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=20))
def test_half_is_finite_and_near(values):
    made = half(np.array(values, dtype=np.float32)).astype(np.float64)
    assert np.isfinite(made).all()
    bound = np.clip(values, -65504, 65504)
    assert (np.abs(made - bound) <= np.abs(bound) * 2**-11 + 2**-25).all()


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
    found = find(np.array(keys, dtype=np.uint64), np.array(wanted, dtype=np.uint64))
    assert found.tolist() == [place.get(w, -1) for w in wanted]


def test_there_is_no_store(columns, tmp_path):
    with pytest.raises(SuffuseError, match="can't open") as caught:
        Knowledge.open(tmp_path / "nowhere", columns)
    assert "suffuse extract" in caught.value.hint


@pytest.mark.parametrize("name", ["logits.npy", "key.npy", "manifest.json"])
@pytest.mark.parametrize("damage", ["gone", "empty", "cut", "fewer rows"])
def test_a_damaged_store_is_refused_at_opening(store, columns, name, damage):
    file = store / name
    if damage == "gone":
        file.unlink()
    elif damage == "empty":
        file.write_bytes(b"")
    elif damage == "cut":
        file.write_bytes(file.read_bytes()[:-7])
    elif name.endswith(".npy"):
        np.save(file, np.load(file)[:-1])
    else:
        manifest = json.loads(file.read_text())
        del manifest["fingerprint"]
        file.write_text(json.dumps(manifest))
    with pytest.raises(SuffuseError, match="can't open the knowledge store") as caught:
        Knowledge.open(store, columns)
    assert str(store) in caught.value.line() and "\n" not in caught.value.line()


def test_a_part_is_there_whole_or_not_at_all(tmp_path, monkeypatch):
    """Killed before the rename, there is no part, and what was written before stays."""
    write_part(tmp_path, 0, {"logits": np.ones((2, 3), np.float16)})
    before = part_file(tmp_path, 0).read_bytes()

    def refuse(self, target):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", refuse)
    for number in (0, 1):
        with pytest.raises(KeyboardInterrupt):
            write_part(tmp_path, number, {"logits": np.zeros((2, 3), np.float16)})
    assert part_file(tmp_path, 0).read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [part_file(tmp_path, 0).name]


def test_widths_are_those_of_the_features(store, columns):
    widths = Knowledge.open(store, columns).widths()
    assert widths == {"logits": 3, "fused": 8, "picture": 12, "question": 5, "gates": 2}
