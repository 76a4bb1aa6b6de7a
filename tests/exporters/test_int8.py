"""The int8 form of a whole model: made, proven on every subset, shipped or refused, and what a folder then says."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from suffuse.errors import SuffuseError
from suffuse.export_integrity import forms, read_signature, seal
from suffuse.exporters import export_folder as exporter
from suffuse.exporters.export_card import card
from suffuse.exporters.int8 import precision_selection as shipping
from suffuse.exporters.int8.accuracy_check import AccuracyCheck
from suffuse.exporters.int8.operator_groups import groups, quantised_softmax, with_node_names
from suffuse.exporters.int8.precision_selection import calibration, select_int8, write_form
from suffuse.exporters.int8.quantize import DYNAMIC, STATIC, quantize
from suffuse.exporters.onnx_session import LatencyCache, Session, feed
from suffuse.exporters.parity import comparable, entries, scramble, spoilt, subsets
from suffuse.model import FusionModel
from suffuse.predictor import Predictor
from suffuse.recipe import Export, Network, make_recipe

WIDE = {
    "encoders": {
        "picture": {"kind": "conv", "widths": [16, 32]},
        "question": {"kind": "gru", "embedding": 24, "width": 40},
    },
    "fusion": {"kind": "gated", "width": 64},
    "hidden": 64,
}


@pytest.fixture(scope="module")
def columns(make_columns):
    """With a tokenizer, which an export of texts has."""
    made = make_columns(rows=600)
    words = Tokenizer(WordLevel({"[PAD]": 0, "[UNK]": 1, **{f"w{n}": n for n in range(2, 12)}}, unk_token="[UNK]"))
    picture, question = made.spec.fields
    question = replace(question, statistics={**question.statistics, "tokenizer": words.to_str()})
    return replace(made, spec=replace(made.spec, fields=(picture, question)))


@pytest.fixture(scope="module")
def place(tmp_path_factory, columns, tiny_recipe) -> Path:
    """An export of a model that is large enough to gain by int8."""
    torch.set_num_threads(1)
    torch.manual_seed(2)
    model = FusionModel(Network.model_validate(WIDE), columns.spec)
    with torch.no_grad():
        model.head[-1].weight.mul_(6)  # type: ignore[operator]  # answers that differ
    recipe = tiny_recipe(Path("rows.csv"))
    recipe["modalities"]["picture"]["size"] = 16
    folder = tmp_path_factory.mktemp("wide")
    exporter.write(model.eval(), make_recipe(recipe), folder)
    return folder


@pytest.fixture(scope="module")
def fp32(place) -> bytes:
    return (place / "model.onnx").read_bytes()


@pytest.fixture(scope="module")
def times(tmp_path_factory, columns) -> LatencyCache:
    row = columns.labelled("validation")[:1]
    return LatencyCache(tmp_path_factory.mktemp("times") / "t.json", feed(entries(columns, row), columns.present[row]))


@pytest.fixture(scope="module")
def made(fp32, columns) -> dict[str, Session]:
    chosen = groups(with_node_names(onnx.load_from_string(fp32)))
    kinds = {g.kind for g in chosen}
    assert {"Conv", "Gemm", "GRU"} <= kinds | ({"Gemm"} if "MatMul" in kinds else set())
    return {how: Session(quantize(fp32, chosen, how, calibration(columns))) for how in (STATIC, DYNAMIC)}


def test_ranges_come_from_training_rows_with_modalities_taken_away(columns):
    feeds = calibration(columns)
    present = np.concatenate([one["present"] for one in feeds])
    rows = columns.rows("train")
    assert 200 < len(present) <= 256 and all(len(one["present"]) <= 32 for one in feeds)
    assert present.mean() == pytest.approx(0.75 * columns.present[rows].mean(), abs=0.08)
    assert {tuple(row) for row in present.tolist()} == set(product((True, False), repeat=2))
    again = calibration(columns)
    assert all((a[key] == b[key]).all() for a, b in zip(feeds, again, strict=True) for key in a)


@pytest.mark.parametrize("count", [1, 2, 7, 64])
@pytest.mark.parametrize("length", [1, 3, 6, 40])
@pytest.mark.parametrize("how", [STATIC, DYNAMIC])
def test_any_number_of_rows_and_any_length_of_text(made, fp32, how, count, length):
    random = np.random.default_rng(count)
    words = random.integers(2, 12, (count, length))
    pictures = random.integers(0, 256, (count, 16, 16, 3), dtype=np.uint8)
    given = {"picture": pictures, "question": words, "present": random.random((count, 2)) < 0.7}
    got = made[how].run(given)
    assert got.shape == (count, 3) and got.dtype == np.float32 and np.isfinite(got).all()
    assert np.abs(got - Session(fp32).run(given)).max() < 0.25 * max(1, np.abs(got).max())


def test_static_keeps_the_mask_contract_bit_for_bit(made, columns):
    rows = columns.rows("validation")[:40]
    given, prior = entries(columns, rows), np.array(columns.spec.log_prior, dtype=np.float32)
    extreme = {"picture": np.full_like(given["picture"], 255), "question": np.ones_like(given["question"])}
    mixed = np.random.default_rng(1).random((40, 2)) < 0.5
    for present in [*(np.tile(kept, (40, 1)) for kept in product((True, False), repeat=2)), mixed]:
        clean = made[STATIC].logits(given, present)
        most = {n: scramble(e, extreme[n], present[:, m]) for m, (n, e) in enumerate(given.items())}
        for other in (*spoilt(given, present), most):
            assert (made[STATIC].logits(other, present) == clean).all()
        assert (clean[~present.any(1)] == prior).all()


def test_dynamic_owes_something_to_its_neighbours_and_that_is_told(made, columns, fp32):
    pale = replace(columns, entries={**columns.entries, "picture": columns.entries["picture"] // 8 + 100})
    rows = columns.labelled("validation")
    judge = AccuracyCheck.of(Session(fp32), pale, rows, subsets(columns.spec.names), (100, 0.95))
    static, dynamic = judge.drift(made[STATIC]), judge.drift(made[DYNAMIC])
    for drift in (static, dynamic):  # absent slots are zeros before anything is measured for a scale
        assert drift["absent_changes_nothing"] and drift["absent"] == 0
    assert 0 < dynamic["alone"] < 0.2


@pytest.mark.parametrize("how", [STATIC, DYNAMIC])
def test_nothing_in_int8_reaches_a_softmax(made, fp32, columns, how):
    content = quantize(fp32, groups(with_node_names(onnx.load_from_string(fp32))), how, calibration(columns))
    model = onnx.load_from_string(content)
    assert quantised_softmax(model.graph) == []
    assert not model.metadata_props and not model.graph.value_info and model.producer_name == "suffuse"
    assert not any(n.doc_string for n in model.graph.node)
    assert content == quantize(fp32, groups(with_node_names(onnx.load_from_string(fp32))), how, calibration(columns))


def asked(**more) -> Export:
    return Export(**{"agreement": 0.5, "max_metric_drop": 0.5, **more})


def test_auto_ships_static_and_says_all(fp32, columns, times):
    kept = subsets(columns.spec.names)
    found = select_int8(fp32, columns, kept, asked(), times)
    assert found.method == "static" and "smaller" in found.why and len(found.content) < 0.95 * len(fp32)
    facts = found.facts("auto")
    assert json.loads(json.dumps(facts)) == facts
    assert facts["ships"] == "static" and facts["rows"] == len(columns.labelled("validation"))
    assert list(facts["subsets"]) == ["picture+question", "picture", "question", "nothing"]
    assert facts["subsets"]["nothing"]["difference"] == 0
    groups_ = facts["tried"]["static"]["groups"]
    assert any(g["kept"] for g in groups_.values()) and all(
        {"saved", "agreement", "why"} <= g.keys() for g in groups_.values()
    )
    again = select_int8(fp32, columns, kept, asked(), times)
    assert again.content == found.content and again.facts("auto") == facts


def test_what_ships_keeps_to_the_limits(fp32, columns, times):
    found = select_int8(fp32, columns, subsets(columns.spec.names), asked(agreement=0.97, max_metric_drop=0.03), times)
    if found.content:
        assert all(f["agreement"]["low"] >= 0.97 and f["lost"]["high"] <= 0.03 for f in found.subsets.values())
    else:
        assert "may" in found.why


def test_beyond_the_limits_auto_refuses_with_its_reason_and_a_named_form_fails(fp32, columns, times, monkeypatch):
    kept, reason = subsets(columns.spec.names), "on picture it may lose 0.3 of accuracy, 0 is allowed"
    monkeypatch.setattr(shipping.judging, "limit_exceeded", lambda *_: reason)
    found = select_int8(fp32, columns, kept, asked(), times)
    assert not found.content and set(found.tried) == {"static", "dynamic"} and found.why == reason
    for how in ("static", "dynamic"):
        with pytest.raises(SuffuseError, match=f"the {how} int8 form can't be shipped: got on picture") as caught:
            select_int8(fp32, columns, kept, asked(int8=how), times)
        assert "export.int8: auto" in caught.value.hint


def test_a_form_that_was_chosen_well_may_still_fail_the_proof(fp32, columns, times, monkeypatch):
    """Groups are chosen on few rows; what ships is judged on more, and its mask contract is looked at."""
    kept = subsets(columns.spec.names)
    monkeypatch.setattr(
        AccuracyCheck, "drift", lambda *_: {"absent_changes_nothing": False, "absent": 1e-3, "alone": 0.0}
    )
    found = select_int8(fp32, columns, kept, asked(), times)
    assert found.tried["static"]["why"] == "what stands in an absent slot changes an answer"
    assert found.method == "dynamic"  # which says how far it drifts
    with pytest.raises(SuffuseError, match="what stands in an absent slot"):
        select_int8(fp32, columns, kept, asked(int8="static"), times)


def test_off_makes_nothing(fp32, columns, times):
    found = select_int8(fp32, columns, [(True, True)], asked(int8="off"), times)
    assert not found.content and found.why == "switched off" and found.facts("off")["tried"] == {}


def test_dynamic_by_name(fp32, columns, times):
    found = select_int8(fp32, columns, subsets(columns.spec.names), asked(int8="dynamic"), times)
    assert found.method == "dynamic" and set(found.drift) == {"absent_changes_nothing", "absent", "alone"}


@pytest.fixture(scope="module")
def both(place, fp32, columns, times, tmp_path_factory) -> Path:
    """A folder with both forms."""
    copy = Path(shutil.copytree(place, tmp_path_factory.mktemp("shipped") / "both"))
    found, signature = select_int8(fp32, columns, subsets(columns.spec.names), asked(), times), read_signature(copy)
    signature["forms"]["int8"] = write_form(found, copy)
    (copy / "README.md").write_text(card(signature, {"subsets": {}, "int8": found.facts("auto")}))
    seal(copy, signature)
    return copy


@pytest.fixture
def shipped(both, tmp_path) -> Path:
    return Path(shutil.copytree(both, tmp_path / "both"))


def test_the_folder_says_which_forms_it_has_and_runs_both(shipped, columns):
    assert forms(shipped) == exporter.forms(shipped) == ["fp32", "int8"]
    form = read_signature(shipped)["forms"]["int8"]
    assert form["how"] == "static" and form["bytes"] == (shipped / "model.int8.onnx").stat().st_size
    assert form["operators"] and form["parity"]["agreement"] >= 0.5
    rows = columns.labelled("validation")[:50]
    given, present = entries(columns, rows), columns.present[rows]
    answers = [Predictor.load(shipped, form=one).logits(given, present) for one in ("fp32", "int8")]
    assert (answers[0] != answers[1]).any()
    assert np.abs(comparable(columns.spec.heads, answers[0]) - comparable(columns.spec.heads, answers[1])).max() < 0.3
    assert (Predictor.load(shipped).logits(given, present) == answers[0]).all()


@pytest.mark.parametrize("damage", ["gone", "empty", "cut", "one byte", "longer", "link"])
@pytest.mark.parametrize("name", ["model.onnx", "model.int8.onnx", "README.md"])
def test_damage_to_any_file_is_refused_by_either_form(shipped, name, damage):
    file, content = shipped / name, bytearray((shipped / name).read_bytes())
    if damage in ("gone", "link"):
        file.rename(shipped.parent / "moved")
    if damage == "link":
        file.symlink_to(shipped.parent / "moved")
    if damage == "one byte":
        content[len(content) // 2] ^= 1
    changed = {"empty": b"", "cut": content[:-9], "longer": content + b"x", "one byte": content}
    if damage in changed:
        file.write_bytes(changed[damage])
    for form in ("fp32", "int8"):
        with pytest.raises(SuffuseError) as caught:
            Predictor.load(shipped, form=form)
        assert name in caught.value.line() and "\n" not in caught.value.line()


def test_the_card_tells_forms_parity_and_scores(shipped, columns):
    signature = read_signature(shipped)
    text = (shipped / "README.md").read_text()
    for words in (
        "# student",
        "picture",
        "question",
        "int8, static",
        f"{signature['forms']['int8']['bytes']:,}",
        "## Use",
    ):
        assert words in text
    compared = {"picture": {"difference": 1e-6}}
    scores = {"export": {"rows": 77, "metrics": {"accuracy": {"mean": 0.91234, "low": 0.9, "high": 0.95}}}}
    more = card({**signature, "refused": {"int8": "too far"}}, {"subsets": compared}, scores)
    assert "| export | accuracy | 0.9123 | 0.9000 to 0.9500 | 77 |" in more and "No int8: too far." in more


def test_names_from_a_table_are_no_markup(place):
    signature = read_signature(place)
    signature["heads"][0]["classes"] = ["a|b", "<script>x</script>", "new\nline", "`code`", "[a](http://b)"]
    text = card(signature, {})
    assert "<script>" not in text and "a\\|b" in text and "\\[a\\](http" in text and "new line" in text
