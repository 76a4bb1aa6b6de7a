"""The estimate that orders fits and that time budgets use: it grows with what is fitted."""

from __future__ import annotations

from typing import Any

import pytest

from suffuse.classical.fit_seconds import cross_fit_seconds, feature_seconds, fit_seconds
from suffuse.recipe import Recipe

RAW: dict[str, Any] = {
    "data": {"source": "rows.csv", "target": "label"},
    "modalities": {
        "photo": {"kind": "image", "column": "photo", "size": 32},
        "title": {"kind": "text", "column": "title", "tokens": "ngrams", "length": 100},
        "review": {"kind": "text", "column": "review", "tokens": "ngrams", "length": 2000},
        "sentences": {"kind": "text", "column": "title", "tokenizer": "package:some-encoder", "length": 100},
        "facts": {"kind": "tabular", "column": ["price"], "types": {"price": "number"}},
    },
    "teacher": {
        "encoders": {
            "photo": {"kind": "hog"},
            "title": {"kind": "ngrams"},
            "review": {"kind": "ngrams"},
            "sentences": {"kind": "huggingface", "name": "package:some-encoder", "frozen": True},
            "facts": {"kind": "mlp", "widths": [8]},
        }
    },
    "student": {"encoders": {"title": {"kind": "ngrams"}}},
}
ENTRIES = dict.fromkeys(RAW["modalities"], 1000)


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return Recipe.model_validate(RAW)


def test_more_rows_and_classes_take_longer(recipe: Recipe) -> None:
    few, rows, classes = (fit_seconds(recipe, ENTRIES, *size) for size in ((1000, 2), (2000, 2), (1000, 20)))
    assert all(0 < few[name] < rows[name] and few[name] < classes[name] for name in ENTRIES)
    most, more = (fit_seconds(recipe, ENTRIES, count, 2) for count in (20_000, 10**9))
    assert most == more  # no model is fitted on more


def test_long_texts_take_longer_and_vectors_less(recipe: Recipe) -> None:
    seconds = fit_seconds(recipe, ENTRIES, 1000, 5)
    assert seconds["review"] > seconds["title"] > seconds["sentences"]


def test_features_are_computed_once_for_all_folds(recipe: Recipe) -> None:
    once, single = feature_seconds(recipe, ENTRIES), fit_seconds(recipe, ENTRIES, 1000, 5)
    assert once["photo"] > 1 and once["title"] == 0
    folded = cross_fit_seconds(recipe, ENTRIES, 1000, 5, 7)
    assert folded == pytest.approx({name: once[name] + 7 * single[name] for name in ENTRIES})
