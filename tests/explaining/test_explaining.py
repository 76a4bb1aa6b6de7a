"""Explanations on networks of random weights: sums that must hold, and what is taken out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from suffuse.explaining.attribution import ExplainedOutput, integrated_gradients, occlusion, target_outputs
from suffuse.explaining.explanation import explain_modalities
from suffuse.explaining.perturbation import NetworkRow
from suffuse.explaining.segments import segment_entry
from suffuse.modalities import tabular, text
from suffuse.model import FusionModel
from suffuse.types import CLASSES, Field, Head

TEXT = text.Settings(column="question", tokens="words")


@pytest.fixture
def asked(make_columns, make_network) -> NetworkRow:
    torch.manual_seed(3)
    columns = make_columns(rows=20, absent=0.0)
    model = FusionModel(make_network(hidden=6, dropout=0.3), columns.spec)
    for norm in (m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)):
        norm.running_mean.normal_(0, 0.2)
        norm.running_var.uniform_(0.5, 2.0)
    return NetworkRow(columns, 4, model.eval())


def picture(asked: NetworkRow):
    return segment_entry(asked.columns.spec.fields[0], None, asked.entries["picture"])


def test_integrated_gradients_sum_to_the_difference_of_the_evidence(asked):
    pytest.importorskip("captum")
    for target in range(3):
        output = ExplainedOutput(asked.columns.spec.heads[0], slice(0, 3), target)
        each, wanted, gap = integrated_gradients(asked, "picture", picture(asked), output)
        assert len(each) == 64 and abs(wanted) > 1e-3
        assert abs(gap) < 0.01 * abs(wanted) + 1e-4
        assert each.sum() == pytest.approx(wanted + gap)
    assert all(p.grad is None for p in asked.model.parameters())


def test_occlusion_is_what_the_model_says_without_a_part(asked):
    cut = picture(asked)
    output = ExplainedOutput(*target_outputs(asked.columns.spec, 0), 1)
    values = occlusion(asked, "picture", cut, output)
    for part in (0, 9, 63):
        changed = asked.entries["picture"].copy()
        changed[cut.index == part] = np.rint(255 * np.array([0.5, 0.4, 0.6]))
        said = asked.logits(np.ones((2, 2), dtype=bool), {"picture": np.stack([asked.entries["picture"], changed])})
        whole, less = output.evidence_array(said)
        assert values[part] == pytest.approx(whole - less, abs=2e-6)


def test_shares_of_modalities_sum_to_the_answer_less_the_prior(asked):
    columns = asked.columns
    found = explain_modalities(
        columns.spec.names, columns.present[4], lambda subsets: asked.logits(subsets), columns.spec, 0
    )
    prior = np.exp(columns.spec.log_prior)[found["output"]]
    assert sum(m["value"] for m in found["modalities"]) == pytest.approx(found["confidence"] - prior, abs=1e-6)
    assert sum(m["share"] for m in found["modalities"]) == pytest.approx(1)


def test_a_model_that_doesn_t_read_a_modality_gives_it_nothing(asked):
    spec = asked.columns.spec

    def ask(subsets: np.ndarray) -> np.ndarray:
        return np.where(subsets[:, :1], [[2.0, 0.0, 0.0]], [list(spec.log_prior)])

    found = explain_modalities(spec.names, np.array([True, True]), ask, spec, 0)
    assert {m["name"]: m["share"] for m in found["modalities"]} == {"picture": 1.0, "question": 0.0}
    assert "silent" in explain_modalities(
        spec.names, np.array([True, True]), lambda s: np.full((len(s), 3), np.nan), spec, 0
    )


def test_parts_of_a_picture_cover_it_once_and_are_replaced_by_the_mean():
    entry = np.random.default_rng(0).integers(0, 256, (13, 20, 3), dtype=np.uint8)
    cut = segment_entry(Field("p", "image", {"mean": [0.1, 0.5, 1.0], "std": [1, 1, 1], "size": 20}), None, entry)
    assert len(cut.labels) == 64 and sorted(set(cut.index.flatten())) == list(range(64))
    less = cut.without(entry, 10)
    assert (less[cut.index == 10] == [26, 128, 255]).all() and (less[cut.index != 10] == entry[cut.index != 10]).all()
    assert cut.labels[0].startswith("top left") and cut.labels[63].startswith("bottom right")
    assert cut.sums(np.ones_like(entry)).sum() == entry.size


def test_only_real_pictures_have_parts():
    entry = np.zeros((3, 8, 8, 4), dtype=np.uint8)
    entry[[0, 2], ..., 3] = 255
    cut = segment_entry(Field("p", "image", {"mean": [0.5] * 3, "std": [1] * 3, "size": 8}), None, entry)
    assert len(cut.labels) == 128 and (cut.index[1] == -1).all()
    assert (cut.without(entry, 70)[..., 3] == entry[..., 3]).all()


def test_a_word_becomes_the_unknown_word():
    facts = text.fit(TEXT, ["what colour is the thing", "a red thing"] * 3)
    entry = text.encode(TEXT, facts, ["what strange thing"])[0]
    cut = segment_entry(Field("q", "text", facts), TEXT, entry)
    assert cut.labels == ("what", "[unknown word]", "thing")
    assert cut.without(entry, 2).tolist() == [entry[0], text.UNKNOWN, text.UNKNOWN]


def test_pieces_of_a_word_go_together():
    chosen = text.Settings(column="q", tokens="bpe", vocabulary=300)
    facts = {**text.fit(chosen, ["a colourful thing"] * 4), "length": 40}
    entry = text.encode(chosen, facts, ["one purple elephant"])[0]
    cut = segment_entry(Field("q", "text", facts), chosen, entry)
    assert cut.labels == ("one", "purple", "elephant") and (cut.index >= 0).sum() == len(entry) > 3


def test_a_stretch_of_steps_gets_the_training_mean_and_padding_has_none():
    entry = np.ones((40, 3), dtype=np.float32)
    entry[30:] = 0
    cut = segment_entry(Field("s", "sequence", {"mean": [0.25, -1.0], "std": [1, 1], "length": 40}), None, entry)
    assert len(cut.labels) == 15 and (cut.index[30:] == -1).all() and cut.labels[0] == "steps 1 to 2"
    less = cut.without(entry, 3)
    assert (less[6:8] == [0.25, -1.0, 1.0]).all() and (less[8:] == entry[8:]).all()


def test_a_column_that_is_taken_out_is_missing():
    chosen = tabular.Settings(column=("size", "kind", "when"))
    cells = [{"size": i + 0.5, "kind": "ab"[i % 2], "when": f"2020-01-{i + 1:02}"} for i in range(28)]
    items = [tabular.load(chosen, c, None)[1] for c in cells]
    facts = tabular.fit(chosen, items)
    whole = tabular.encode(chosen, facts, items[3:4])[0]
    cut = segment_entry(Field("t", "tabular", facts), chosen, whole)
    assert cut.labels == ("size", "kind", "when")
    for part, name in enumerate(cut.labels):
        lacking = tabular.encode(chosen, facts, [tabular.load(chosen, {**cells[3], name: None}, None)[1]])[0]
        assert (cut.without(whole, part) == lacking).all(), name


def test_evidence_is_the_log_odds():
    logits = np.log(np.array([[0.7, 0.2, 0.1]]))
    assert ExplainedOutput(Head("x", CLASSES, tuple("abc")), slice(0, 3), 0).evidence_array(logits) == pytest.approx(
        np.log(0.7 / 0.3)
    )
