"""Tokens of frozen encoders: cached beside their vectors, standardised, and read by fusions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from test_feature_cache import BERT
from test_huggingface import WHISPER

from suffuse.encoders import efficientnet_lite
from suffuse.engine.feature_cache import fingerprint, ready
from suffuse.engine.inference import logits
from suffuse.engine.runtime import settle
from suffuse.errors import UsageError
from suffuse.model import FusionModel, open_model, save
from suffuse.recipe import Network
from suffuse.transcripts.units import certain_blank
from suffuse.types import Batch, Field, Head, Spec, blank_logits


def network(folder, **more) -> Network:
    question = {"kind": "huggingface", "name": str(folder), "frozen": True, "keep_tokens": True, **more}
    picture = {"kind": "conv", "widths": [4]}
    fusion = {"kind": "cross_attention", "width": 8, "heads": 2}
    return Network.model_validate({"encoders": {"picture": picture, "question": question}, "fusion": fusion})


@pytest.fixture
def model(columns, hugging_folder) -> FusionModel:
    settle(1)
    return FusionModel(network(hugging_folder(BERT)), columns.spec).initialise().eval()


def test_cached_tokens_are_the_encoder_s_own(columns, model, tmp_path):
    kept = ready(columns, model, tmp_path).entries["question"]
    entries = torch.from_numpy(columns.entries["question"]).long()
    lengths = (entries != 0).sum(1)
    assert kept.dtype == np.float16 and kept.shape == (len(entries), 1 + int(lengths.max()), 9)
    for number, entry in enumerate(entries):
        with torch.inference_mode():
            alone = model.encoder("question")._read(entry[None])
        np.testing.assert_allclose(kept[number, 0, :8], alone.vector[0], rtol=2e-3, atol=1e-4)
        real = kept[number, 1:][kept[number, 1:, -1] > 0]
        assert len(real) == lengths[number]
        np.testing.assert_allclose(real[:, :8], alone.tokens[0][alone.token_mask[0]], rtol=2e-3, atol=1e-4)


def test_answers_are_the_same_with_cached_tokens(columns, model, tmp_path):
    kept, rows = ready(columns, model, tmp_path), np.arange(60)
    model.standardise(kept, columns.rows("train"))
    np.testing.assert_allclose(logits(model, kept, rows), logits(model, columns, rows), atol=2e-2)
    spread = np.ptp(logits(model, kept, rows), axis=0)
    assert spread.min() > 0.1  # so the tolerance above says something


def test_tokens_are_standardised_by_the_training_rows(columns, model, tmp_path):
    kept = ready(columns, model, tmp_path)
    train = columns.rows("train")
    model.standardise(kept, train)
    used = np.unique(columns.entry[train, 1][columns.present[train, 1]])
    with torch.inference_mode():
        found = model.encoder("question").restored(torch.from_numpy(kept.entries["question"][used]).float())
    real = found.tokens[found.token_mask]
    torch.testing.assert_close(real.mean(0), torch.zeros(8), atol=0.05, rtol=0)
    torch.testing.assert_close(real.std(0, correction=0), torch.ones(8), atol=0.1, rtol=0)


def test_a_column_that_grew_reuses_cached_tokens(columns, model, tmp_path, monkeypatch):
    entries = columns.entries["question"]
    short = entries[(entries != 0).sum(1) < 5]
    few = replace(columns, entries={**columns.entries, "question": short}, entry=columns.entry * [1, 0])
    ready(few, model, tmp_path)
    asked, vectors = [], model.encoder("question").vectors
    monkeypatch.setattr(model.encoder("question"), "vectors", lambda x: (asked.append(len(x)), vectors(x))[1])
    grown = ready(columns, model, tmp_path).entries["question"]
    assert sum(asked) == len(entries) - len(short) > 0
    whole = ready(columns, model, tmp_path / "alone").entries["question"]
    np.testing.assert_allclose(grown.astype("f4"), whole.astype("f4"), atol=1e-3)


def test_tokens_have_a_cache_of_their_own_and_older_caches_are_found(columns, model, hugging_folder, tmp_path):
    def hashed(more: dict) -> str:
        other = FusionModel(network(hugging_folder(BERT), **more), columns.spec).initialise()
        return fingerprint(other.encoder("question"), columns, "question", tmp_path)

    assert hashed({}) != hashed({"keep_tokens": False})
    assert hashed({"keep_tokens": False}) == hashed({"keep_tokens": False, "pad_end": False})


def test_maps_of_pictures_are_the_same_with_cached_tokens(make_columns, tmp_path):
    columns = make_columns(rows=12).of(["picture"])
    config = {
        "model_type": "resnet",
        "embedding_size": 4,
        "hidden_sizes": [4, 8],
        "depths": [1, 1],
        "layer_type": "basic",
    }
    picture = {"kind": "huggingface", "name": "tiny", "frozen": True, "keep_tokens": True}
    facts = {"config": config}
    fusion = {"kind": "concat", "width": 8}
    asked = Network.model_validate({"encoders": {"picture": {**picture, "architecture": facts}}, "fusion": fusion})
    model = FusionModel(asked, columns.spec).eval()
    kept, rows = ready(columns, model, tmp_path), np.arange(12)
    with torch.inference_mode():
        found, expected = (model(some.batch(rows), ["picture"]).maps["picture"] for some in (kept, columns))
    torch.testing.assert_close(found, expected, atol=1e-2, rtol=1e-2)
    assert expected.std(1).min() > 0


def test_a_saved_model_keeps_its_tokens(columns, model, tmp_path):
    model.standardise(ready(columns, model, tmp_path / "features"), columns.rows("train"))
    save(model, tmp_path / "saved")
    again, rows = open_model(tmp_path / "saved"), np.arange(60)
    np.testing.assert_array_equal(logits(again.eval(), columns, rows), logits(model, columns, rows))


def test_an_encoder_without_tokens_keeps_none(columns, monkeypatch):
    monkeypatch.setattr(efficientnet_lite, "tokens", lambda settings, layers: 0)
    picture = {"kind": "efficientnet_lite", "frozen": True, "keep_tokens": True}
    fusion = {"kind": "concat", "width": 8}
    asked = Network.model_validate({"encoders": {"picture": picture}, "fusion": fusion})
    with pytest.raises(UsageError, match="keep_tokens for efficientnet_lite, which has no tokens"):
        FusionModel(asked, columns.of(["picture"]).spec)


def test_frames_of_a_frozen_encoder_need_its_tokens(hugging_folder):
    statistics = {"features": 1, "rate": 16_000, "length": 3_200, "mean": [0.0], "std": [1.0], "step": 1 / 16_000}
    head = Head("words", "tokens", ("a", "b"), units="characters", frames=5, frame=0.04, length=3)
    spec = Spec((Field("sound", "audio", statistics),), (head,), blank_logits(head))
    sound = {"kind": "huggingface", "name": str(hugging_folder(WHISPER)), "frozen": True}
    fusion = {"kind": "frames", "width": 8, "heads": 2}

    def made(**more) -> FusionModel:
        return FusionModel(Network.model_validate({"encoders": {"sound": sound | more}, "fusion": fusion}), spec)

    with pytest.raises(UsageError, match="without tokens") as raised:
        made()
    assert "keep_tokens: true" in raised.value.hint
    model = made(keep_tokens=True).initialise().eval()
    x = torch.zeros(2, 3_200, 2)
    x[0], x[1, :700] = torch.stack([torch.randn(3_200), torch.ones(3_200)], 1), torch.tensor([0.1, 1.0])
    batch = Batch({"sound": x}, {}, torch.ones(2, 1, dtype=torch.bool), torch.zeros(2, 4), torch.arange(2))
    found = model(batch).logits.unflatten(1, (-1, 3))
    assert (~certain_blank(found)).sum(1).tolist() == [5, 2]  # 700 samples are 2 frames of 640
