"""An export is the model: every subset of modalities, any length of text, any number of rows."""

from __future__ import annotations

from itertools import product

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from suffuse.activations import softmax
from suffuse.types import Batch


@pytest.fixture(params=["gru", "lstm"])
def exported(request, exports):
    return exports[request.param]


@pytest.fixture
def session(exported) -> ort.InferenceSession:
    return exported.session


def rows(count: int, length: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Pictures, and texts of one token to ``length``."""
    random = np.random.default_rng(seed)
    words = random.integers(2, 12, (count, length))
    words[np.arange(length)[None] >= random.integers(1, length + 1, count)[:, None]] = 0
    words[0] = random.integers(2, 12, length)
    return {"picture": random.integers(0, 256, (count, 16, 16, 3), dtype=np.uint8), "question": words}


def exact(exported, entries: dict[str, np.ndarray], present: np.ndarray) -> np.ndarray:
    nobody = torch.zeros(0, dtype=torch.int64)
    tensors = {n: torch.from_numpy(e) for n, e in entries.items()}
    with torch.inference_mode():
        return exported.model(Batch(tensors, {}, torch.from_numpy(present), nobody, nobody)).logits.numpy()


@pytest.mark.parametrize("count", [1, 2, 7])
@pytest.mark.parametrize("length", [1, 2, 5, 6, 13, 64])
def test_it_equals_torch(exported, session, count, length):
    entries = rows(count, length)
    for kept in product((True, False), repeat=2):
        present = np.tile(kept, (count, 1))
        got = session.run(["logits"], {**entries, "present": present})[0]
        assert got.shape == (count, 3) and got.dtype == np.float32
        np.testing.assert_allclose(softmax(got), softmax(exact(exported, entries, present)), atol=1e-5)
        np.testing.assert_allclose(got, exact(exported, entries, present), atol=1e-4, rtol=1e-4)


def test_rows_of_mixed_presence(exported, session):
    entries, present = rows(8, 9), np.random.default_rng(1).random((8, 2)) < 0.5
    got = session.run(["logits"], {**entries, "present": present})[0]
    np.testing.assert_allclose(softmax(got), softmax(exact(exported, entries, present)), atol=1e-5)
    answers = softmax(exact(exported, entries, np.ones((8, 2), dtype=bool)))
    assert np.ptp(answers, axis=0).max() > 0.05  # the comparison is of answers that differ


def test_absent_content_changes_no_bit(exported, session):
    entries, other = rows(8, 9), rows(8, 9, seed=5)
    present = np.random.default_rng(1).random((8, 2)) < 0.5
    assert not present.all() and present.any()
    spoilt = {
        n: np.where(present[:, m].reshape(-1, *[1] * (e.ndim - 1)), e, other[n])
        for m, (n, e) in enumerate(entries.items())
    }
    one, two = (session.run(["logits"], {**given, "present": present})[0] for given in (entries, spoilt))
    assert (one == two).all()


def test_nothing_present_gives_the_prior(exported, session):
    got = session.run(["logits"], {**rows(3, 4), "present": np.zeros((3, 2), dtype=bool)})[0]
    assert (got == np.array(exported.model.spec.log_prior, dtype=np.float32)).all()


def test_extreme_pictures_are_numbers(exported, session):
    for filler in (0, 255):
        entries = {**rows(2, 3), "picture": np.full((2, 16, 16, 3), filler, dtype=np.uint8)}
        assert np.isfinite(session.run(["logits"], {**entries, "present": np.ones((2, 2), dtype=bool)})[0]).all()


def test_a_file_is_its_weights_and_little_more(exported):
    file = exported.folder / "model.onnx"
    model = onnx.load(file)
    numbers = sum(t.numel() for t in exported.model.state_dict().values())
    assert 4 * exported.model.size() < file.stat().st_size < 4 * numbers + 60_000
    texts = [n.doc_string for n in model.graph.node] + [model.doc_string, model.graph.doc_string]
    assert not any(texts)
    assert not model.metadata_props and not any(n.metadata_props for n in model.graph.node)
    content = file.read_bytes()
    assert b"site-packages" not in content and b".py" not in content


def test_what_only_training_needs_is_left_out(exported):
    model = onnx.load(exported.folder / "model.onnx")
    shapes = [tuple(i.dims) for i in model.graph.initializer]
    assert not any(13 in shape for shape in shapes)  # the hint's projector
    assert not any("project" in i.name for i in model.graph.initializer)
    assert not {"Dropout", "RandomUniform", "RandomUniformLike"} & {n.op_type for n in model.graph.node}
    assert (exported.folder / "model.onnx").stat().st_size < 100_000


def test_inputs_have_the_names_of_the_modalities(session):
    assert [i.name for i in session.get_inputs()] == ["picture", "question", "present"]
    assert [i.type for i in session.get_inputs()] == ["tensor(uint8)", "tensor(int64)", "tensor(bool)"]
    assert [o.name for o in session.get_outputs()] == ["logits"]


def test_exporting_leaves_the_model_as_it_was(exported):
    """The recurrent cells are swapped in a copy."""
    kinds = {type(m).__name__ for m in exported.model.modules()}
    assert kinds & {"GRU", "LSTM"} and "Recurrent" not in kinds
