"""Folds measured together (``benchmarks/pooled.py``): classes by their names, numbers in their own unit."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from suffuse.types import CLASSES, LABELS, NUMBER, UNLABELLED, Head


@pytest.fixture
def pooled(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    import pooled

    return pooled


def test_classes_are_met_by_name(pooled):
    """A rare class may be in no training row of a fold, and stand elsewhere in another's list."""
    heads = [Head("milk", CLASSES, ("none", "oat", "soy")), Head("milk", CLASSES, ("none", "rice", "soy"))]
    shared = pooled.common(heads)
    assert shared.classes == ("none", "oat", "soy", "rice")
    said = np.array([[0.1, 0.2, 0.7], [0.5, 0.4, 0.1]], dtype=np.float32)
    for head in heads:
        spread = pooled.spread(said, head, shared)
        assert spread.shape == (2, 4) and spread.sum() == pytest.approx(2)
        assert [shared.classes[n] for n in spread.argmax(1)] == [head.classes[n] for n in said.argmax(1)]
        target = pooled.moved(np.array([0, 1, 2, 3, UNLABELLED]), head, shared)
        assert [shared.classes[n] for n in target[:3]] == list(head.classes)
        assert list(target[3:]) == [4, UNLABELLED]  # a class that its training never saw stays an error


def test_numbers_are_met_in_their_unit(pooled):
    heads = [Head("price", NUMBER, mean=100.0, std=10.0), Head("price", NUMBER, mean=120.0, std=5.0)]
    shared, prices = pooled.common(heads), np.array([90.0, 100.0, 130.0])
    for head in heads:
        own = (prices - head.mean) / head.std
        for given in (pooled.moved(own, head, shared), pooled.spread(own[:, None], head, shared)[:, 0]):
            np.testing.assert_allclose(given * shared.std + shared.mean, prices)


def test_other_labels_are_refused(pooled):
    heads = [Head("tags", LABELS, ("a", "b")), Head("tags", LABELS, ("a", "c"))]
    with pytest.raises(ValueError, match="tags"):
        pooled.common(heads)
