"""Each row's logits are divided by the temperatures of the modalities that it has."""

from __future__ import annotations

import numpy as np
import pytest

from suffuse.activations import softmax
from suffuse.errors import SuffuseError
from suffuse.predictor import Predictor
from suffuse.temperature_scaling import calibrated, calibrated_row, scaled, subset_name
from suffuse.types import Head

HEADS = (Head("colour", "classes", ("a", "b")), Head("price", "number"))


def test_names_of_subsets():
    assert subset_name(("p", "q"), (True, True)) == "p+q"
    assert (subset_name(("p", "q"), (False, True)), subset_name(("p", "q"), (False, False))) == ("q", "nothing")


def test_by_hand():
    logits = np.array([[2, 4, 6], [2, 4, 6], [2, 4, 6]], dtype=np.float32)
    present = np.array([[1, 1], [0, 1], [0, 0]], dtype=bool)
    told = {"p+q": {"colour": 2.0, "price": 9.0}, "nothing": {"colour": 4.0}}
    found = calibrated(HEADS, logits, ("p", "q"), present, told)
    assert found.tolist() == [[1, 2, 6], [2, 4, 6], [0.5, 1, 6]] and found.dtype == np.float32
    for row in range(3):  # alone as in company
        alone = calibrated(HEADS, logits[row : row + 1], ("p", "q"), present[row : row + 1], told)
        assert (alone[0] == found[row]).all()
        assert calibrated_row(HEADS, logits[row].tolist(), ("p", "q"), present[row].tolist(), told) == list(found[row])
    assert logits.tolist() == [[2, 4, 6]] * 3
    assert calibrated(HEADS, logits, ("p", "q"), present, {}) is logits


def test_the_signature_s_temperatures_scale_the_answers_and_change_none(signed, predictor, records, root):
    told = {"picture+question": {"answer": 2.5}, "question": {"answer": 0.5}, "nothing": {"answer": 3.0}}
    warm = Predictor.load(signed(temperatures=told))
    entries, present = predictor.encoded(records, predictor.place(root))
    logits = predictor.logits(entries, present)
    assert (warm.logits(entries, present) == logits).all()  # what the network gives has none
    exact = np.stack(
        [
            softmax(scaled(predictor.heads, z[None], told.get(subset_name(warm.names, p), {})))[0]
            for z, p in zip(logits, present, strict=True)
        ]
    )
    found = warm.predict(records, root)
    np.testing.assert_allclose([list(f.probabilities.values()) for f in found], exact, rtol=1e-6)
    plain = predictor.predict(records, root)
    assert [f.label for f in found] == [p.label for p in plain]
    changed = {f.used for f, p in zip(found, plain, strict=True) if f.confidence != p.confidence}
    assert changed == {("picture", "question"), ("question",)}  # a picture alone has no temperature here
    alone = [warm.predict(r, root) for r in records]
    assert [a.confidence for a in alone] == pytest.approx([f.confidence for f in found], abs=1e-5)


@pytest.mark.parametrize("value", [0, -1.0, "1", None])
def test_a_temperature_that_is_none_is_refused(signed, value):
    with pytest.raises(SuffuseError, match="can't read the export"):
        Predictor.load(signed(temperatures={"question": {"answer": value}}))
