"""Classical baselines: they learn what is in each modality, from the labels that they may see and no others."""

from __future__ import annotations

import csv
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from suffuse import pipeline
from suffuse.classical import estimators
from suffuse.classical.baselines import classical_baselines
from suffuse.classical.features import (
    CEPSTRA,
    TIMES,
    TextFeatures,
    VectorFeatures,
    frozen_vectors,
    modality_features,
    picture_features,
    sound_features,
    step_features,
    wave_features,
)
from suffuse.data.columns import Columns
from suffuse.engine import feature_cache
from suffuse.engine.label_budget import label_budget
from suffuse.model import FusionModel
from suffuse.opinion_pool import pool, pool_weights
from suffuse.run import Run
from suffuse.types import Head, Spec

WORDS = {
    "red": ("a ripe cherry", "fire engine"),
    "blue": ("clear sky", "deep ocean"),
    "green": ("wet grass", "old moss"),
}
COLOURS = {"red": (200, 40, 40), "blue": (40, 40, 200), "green": (40, 200, 40)}
ROWS = 240


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Texts tell the colour, pictures tell it in two of three rows, a number tells the price; some cells are empty."""
    folder = tmp_path_factory.mktemp("classical")
    draw = random.Random(0)
    for name, colour in COLOURS.items():
        Image.new("RGB", (24, 24), colour).save(folder / f"{name}.png")
    with (folder / "rows.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "photo", "words", "size", "colour", "price"])
        for number in range(ROWS):
            colour = draw.choice(list(WORDS))
            shown = colour if draw.random() < 0.67 else draw.choice(list(WORDS))
            size = draw.random()
            words = "" if number % 20 == 0 else f"{draw.choice(WORDS[colour])} {number % 7}"
            photo = "" if number % 15 == 1 else f"{shown}.png"
            writer.writerow([f"r{number}", photo, words, round(size, 4), colour, round(10 * size + 5, 4)])
    network = {
        "encoders": {
            "photo": {"kind": "conv", "widths": [4]},
            "words": {"kind": "ngrams"},
            "facts": {"kind": "mlp", "widths": [4]},
        }
    }
    recipe = {
        "data": {
            "source": str(folder / "rows.csv"),
            "target": ["colour", "price"],
            "tasks": {"price": {"kind": "number"}},
            "id": "id",
            "split": {"validation": 0.2, "test": 0.25},
        },
        "modalities": {
            "photo": {"kind": "image", "column": "photo", "size": 24},
            "words": {"kind": "text", "column": "words", "tokens": "ngrams", "vocabulary": 1000, "length": 60},
            "facts": {"kind": "tabular", "column": ["size"]},
        },
        "teacher": network,
        "student": network,
    }
    made = Run.of(recipe, folder / "run")
    pipeline.run_stage(made, "prepare")
    return made


@pytest.fixture(scope="module")
def columns(run: Run) -> Columns:
    return Columns.open(run.path("data"))


@pytest.fixture(scope="module")
def fitted(run: Run, columns: Columns):
    return classical_baselines(run, columns, columns.labelled("test"), [0.5], lambda share, words: None)


def scores(columns: Columns, outputs: np.ndarray) -> tuple[float, float]:
    """Accuracy of the colour, and R2 of the price, on test rows."""
    rows = columns.labelled("test")
    (_, colours), (_, prices) = columns.spec.targets(columns.target[rows])
    (_, logits), (_, numbers) = columns.spec.parts(outputs)
    error = np.mean((numbers[:, 0] - prices) ** 2) / np.var(prices)
    return float(np.mean(logits.argmax(1) == colours)), float(1 - error)


def test_each_modality_has_a_model_and_so_has_their_fusion(fitted, columns):
    alone = {f"classical-only-{name}" for name in columns.spec.names}
    assert set(fitted) == {"classical", "classical-0.5", *alone}
    for baseline in fitted.values():
        assert baseline.outputs.shape == (len(columns.labelled("test")), columns.spec.outputs)
        assert baseline.outputs.dtype == np.float32 and np.isfinite(baseline.outputs).all()


def test_they_learn_what_is_there(fitted, columns):
    colour, _ = scores(columns, fitted["classical-only-words"].outputs)
    assert colour > 0.9  # the texts of one row in twenty are missing
    colour, _ = scores(columns, fitted["classical-only-photo"].outputs)
    assert 0.6 < colour < 0.9
    colour, price = scores(columns, fitted["classical-only-facts"].outputs)
    assert colour < 0.6 and price > 0.9
    colour, price = scores(columns, fitted["classical"].outputs)
    assert colour > 0.9 and price > 0.8


def test_the_fusion_weighs_what_is_good_on_validation(fitted):
    weights = fitted["classical"].facts["weights"]
    assert max(weights["price"], key=weights["price"].get) == "facts"
    assert max(weights["colour"], key=weights["colour"].get) == "words"
    for of_target in weights.values():
        assert min(of_target.values()) >= 0


def test_hidden_labels_and_labels_of_test_rows_are_not_read(run, columns, fitted):
    allowed = label_budget(columns, 0.5, run.recipe.seed)
    hidden = columns.target.copy()
    rows = ~allowed | (columns.split == 2)
    hidden[rows, 0], hidden[rows, 1] = 1, 3.0
    changed = replace(columns, target=hidden)
    test = columns.labelled("test")
    again = classical_baselines(run, changed, test, [0.5], lambda share, words: None)
    assert np.array_equal(again["classical-0.5"].outputs, fitted["classical-0.5"].outputs)
    assert not np.array_equal(again["classical"].outputs, fitted["classical"].outputs)


def test_a_fit_is_deterministic(run, columns, fitted):
    again = classical_baselines(run, columns, columns.labelled("test"), [], lambda share, words: None)
    assert np.array_equal(again["classical"].outputs, fitted["classical"].outputs)


def test_fewer_labels_are_fewer_training_rows(fitted):
    few, all_ = (fitted[name].facts["training_rows"] for name in ("classical-0.5", "classical"))
    assert few == pytest.approx(all_ / 2, abs=2)


class Given:
    """Features that are a matrix already."""

    categories: tuple[int, ...] = ()
    is_table = False

    def __init__(self, matrix: np.ndarray):
        self.matrix = matrix

    def present(self, rows: np.ndarray) -> np.ndarray:
        return np.ones(len(rows), bool)

    def fit(self, rows: np.ndarray) -> np.ndarray:
        return self.matrix[rows]

    transform = fit


def test_labels_have_a_model_each_and_a_label_that_is_always_there_is_likely():
    random_ = np.random.default_rng(0)
    matrix = random_.normal(size=(200, 3))
    target = np.stack([matrix[:, 0] > 0, np.ones(200), matrix[:, 1] > 0], axis=1).astype(np.float32)
    target[5, 0] = -1
    spec = Spec((), (Head("tags", "labels", ("a", "b", "c")),), (0.0, 0.0, 0.0))
    outputs = estimators.fit(Given(matrix), spec, np.arange(200), target).outputs(np.arange(200))
    assert ((outputs > 0) == (target > 0))[6:].mean() > 0.9
    assert (outputs[:, 1] > 5).all()


def test_a_class_without_training_rows_is_rare():
    spec = Spec((), (Head("y", "classes", ("a", "b", "c")),), (0.0, 0.0, 0.0))
    matrix = np.random.default_rng(0).normal(size=(50, 2))
    outputs = estimators.fit(Given(matrix), spec, np.arange(50), np.arange(50) % 2).outputs(np.arange(50))
    probabilities = np.exp(outputs)
    assert probabilities.sum(1) == pytest.approx(np.ones(50), abs=1e-5)
    assert (probabilities[:, 2] < 1e-3).all()


def test_fusion_weights_are_equal_where_nothing_is_known():
    spec = Spec((), (Head("y", "classes", ("a", "b")),), (0.0, 0.0))
    outputs = [np.zeros((0, 2)), np.zeros((0, 2))]
    assert pool_weights(spec, outputs, np.zeros(0, np.int64)).tolist() == [[0.5, 0.5]]
    good = np.log(np.array([[0.9, 0.1], [0.1, 0.9]] * 20))
    (weights,) = pool_weights(spec, [good, -good], np.arange(40) % 2)
    assert weights[0] > 0.9
    assert (pool(spec, weights[None], [good, -good]).argmax(1) == np.arange(40) % 2).all()


def test_independent_modalities_are_fused_by_the_rule_of_bayes():
    """Weights near 1, and no change of a weight lowers the log loss by more than the pull towards equal weights."""
    draw = np.random.default_rng(0)
    prior = np.log([0.7, 0.3])
    spec = Spec((), (Head("y", "classes", ("a", "b")),), tuple(prior.tolist()))
    target = (draw.random(20_000) < 0.3).astype(np.int64)
    outputs = []
    for separation in (1.0, 2.0):  # unit variance, so the log-odds of x are separation x
        evidence = separation * draw.normal((target - 0.5) * separation)
        logits = prior + np.stack([-evidence / 2, evidence / 2], axis=1)
        outputs.append(logits - np.log(np.exp(logits).sum(1, keepdims=True)))
    (weights,) = pool_weights(spec, outputs, target)
    assert weights == pytest.approx([1, 1], abs=0.1)

    def loss(w: np.ndarray) -> float:
        fused = pool(spec, w[None], outputs)
        return -float((fused - np.log(np.exp(fused).sum(1, keepdims=True)))[np.arange(len(target)), target].mean())

    for step in (0.2, -0.2):
        assert all(loss(weights + step * unit) > loss(weights) for unit in np.eye(2))


def test_features_of_pictures_and_steps():
    pixels = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    assert picture_features(pixels).shape == (7 * 7 * 4 * 8 + 4 * 3 * 16,)
    assert not np.array_equal(picture_features(pixels), picture_features(pixels[:, ::-1]))
    steps = np.array([[0.0, 1.0], [2.0, 1.0]], np.float32)
    over, rest = np.split(step_features(steps), [2 * TIMES])
    assert over[:4].tolist() == pytest.approx([1, 1, -(0.5**0.5), 0]) and not over[4:].any()
    assert rest.tolist() == [1, 0, 2, 1, 2, 0]
    assert step_features(steps[:1]).shape == (2 * TIMES + 6,)
    assert wave_features(np.sin(np.arange(8000) / 3), 8000).shape[1] == 40


def test_a_text_that_the_teacher_reads_with_a_frozen_encoder_is_its_vectors(run, hugging_folder, tmp_path):
    """A linear model on the encoder's vectors, as training caches them; TF-IDF where the encoder learns."""
    bert = {"model_type": "bert", "vocab_size": 1100, "hidden_size": 8, "num_hidden_layers": 1}
    bert |= {"num_attention_heads": 2, "intermediate_size": 16, "max_position_embeddings": 70}
    for frozen in (True, False):
        raw = run.recipe.model_dump(mode="json")
        raw["modalities"]["words"] |= {"tokens": "words", "length": 8}
        encoder = {"kind": "huggingface", "name": str(hugging_folder(bert)), "frozen": frozen}
        raw["teacher"]["encoders"]["words"], raw["student"]["encoders"]["words"] = encoder, {"kind": "gru"}
        made = Run.of(raw, tmp_path / str(frozen))
        pipeline.run_stage(made, "prepare")
        columns = Columns.open(made.path("data"))
        features = modality_features(made, columns, "words")
        assert isinstance(features, VectorFeatures if frozen else TextFeatures)
        if not frozen:
            continue
        model = FusionModel(made.recipe.trained.only("words").bare(), columns.of(("words",)).spec).initialise().eval()
        vectors = feature_cache.ready(columns.of(("words",)), model, feature_cache.place(made)).entries["words"]
        np.testing.assert_array_equal(frozen_vectors(made, columns, "words"), vectors)
        rows = columns.labelled("train")
        matrix = features.fit(rows)
        assert matrix.shape == (len(rows), vectors.shape[1])
        assert not matrix[~features.present(rows)].any() and matrix[features.present(rows)].any(1).all()


def test_features_of_sound_tell_a_rise_from_a_fall():
    """The mean over time is the same of both; so are all statistics."""
    rise = np.linspace(-10, 0, 50)[:, None] + np.zeros((50, 40))
    features = [sound_features(power) for power in (rise, rise[::-1])]
    assert features[0].shape == (CEPSTRA * TIMES + CEPSTRA,)
    assert features[0][0] == pytest.approx(features[1][0]) and features[0][CEPSTRA] == pytest.approx(
        -features[1][CEPSTRA]
    )
    assert abs(features[0][CEPSTRA]) > 1


def test_a_recipe_switches_them_off(run, columns):
    from suffuse.evaluation.models import classical_models

    silent = Run.of(
        {**run.recipe.model_dump(mode="json"), "evaluate": {"classical_baselines": False}}, Path(run.folder)
    )
    assert classical_models(silent, columns, columns.labelled("test"), lambda share, words: None) == ({}, {})


def test_numbers_of_models_with_the_same_inputs_have_weights_that_sum_to_one():
    """Two models that are each too cautious: few rows may not double the sum of their weights."""
    draw = np.random.default_rng(0)
    spec = Spec((), (Head("y", "number"),), (0.0,))
    target = draw.normal(size=40)
    outputs = [(0.5 * target + 0.1 * draw.normal(size=40))[:, None] for _ in range(2)]
    (tied,), (free,) = (pool_weights(spec, outputs, target[:, None], same_inputs=same) for same in (True, False))
    assert tied.sum() < 1.2 < free.sum()
    right = [target[:, None], draw.normal(size=(40, 1))]
    (weights,) = pool_weights(spec, right, target[:, None], same_inputs=True)
    assert weights[0] > 0.8 > 0.3 > weights[1]  # the better one gets more even so


@pytest.mark.parametrize("kind", estimators.TABLE_KINDS)
def test_every_kind_of_a_table_learns_classes_and_numbers(kind):
    draw = np.random.default_rng(0)
    matrix = np.concatenate([draw.normal(size=(200, 3)), np.full((200, 1), 5.0), np.full((200, 1), np.nan)], axis=1)
    matrix[::9, 0] = np.nan
    columns = Given(matrix)
    columns.is_table = True
    classes = Spec((), (Head("y", "classes", ("a", "b")),), (0.0, 0.0))
    label = (matrix[:, 1] > 0).astype(np.int64)
    outputs = estimators.fit(columns, classes, np.arange(150), label, kind).outputs(np.arange(150, 200))
    assert np.mean(outputs.argmax(1) == label[150:]) > 0.85
    numbers = Spec((), (Head("y", "number"),), (0.0,))
    price = 1000 + 300 * matrix[:, 1]
    said = estimators.fit(columns, numbers, np.arange(150), price[:, None], kind).outputs(np.arange(150, 200))[:, 0]
    assert 1 - np.var(said - price[150:]) / np.var(price[150:]) > 0.7
