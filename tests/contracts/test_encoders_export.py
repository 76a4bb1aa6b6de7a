"""Every encoder that can be exported is itself in ONNX, at any length; one that can't says why."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest
import torch
from encoder_tools import CASES, CHOICES, FIELDS, LENGTHS, entries
from int8_tools import in_int8, near

from suffuse.errors import SuffuseError
from suffuse.exporters.onnx_export import export
from suffuse.model import FusionModel
from suffuse.recipe import Network
from suffuse.types import Batch, Head, Spec

OWN = ("gru", "lstm", "bag", "conv", "conv1d", "mlp")  # shallow: with random weights a deep one may be far off
STUCK = ("speech_embedding-wave", "huggingface-wave-wav2vec2")


def tiny(asked: dict, field: str) -> FusionModel:
    """A model of one modality, with running statistics that have moved."""
    torch.manual_seed(3)
    spec = Spec((FIELDS[field],), (Head("answer", "classes", ("a", "b", "c")),), (-1.1, -1.1, -1.1))
    name = FIELDS[field].name
    network = Network.model_validate({"encoders": {name: asked}, "fusion": {"kind": "concat", "width": 6}})
    model = FusionModel(network, spec).initialise()
    with torch.no_grad():
        model.head[-1].weight.mul_(4)  # type: ignore[operator]
    for norm in model.modules():
        if isinstance(norm, torch.nn.modules.batchnorm._BatchNorm):
            norm.momentum = 1.0
    model.train()(batch(model, inputs(field, 8)))
    return model.eval()


def inputs(field: str, count: int, length: int | None = None) -> torch.Tensor:
    """Entries as they are stored: pictures in bytes."""
    if field == "image":
        torch.manual_seed(count)
        return torch.randint(0, 256, (count, 32, 32, 3), dtype=torch.uint8)
    x = entries(field, count)
    return x if length is None else x[:, :length]


def batch(model: FusionModel, x: torch.Tensor) -> Batch:
    nobody = torch.zeros(0, dtype=torch.int64)
    present = torch.ones(len(x), 1, dtype=torch.bool)
    return Batch({model.spec.names[0]: x}, {}, present, nobody, nobody, complete=True)


@pytest.mark.slow  # three seconds each, for more than thirty
@pytest.mark.parametrize(("asked", "field"), [c for c in CASES if not str(c.id).startswith(STUCK)])
def test_the_export_equals_torch_and_is_nearly_itself_in_int8(asked, field, tmp_path, monkeypatch):
    model = tiny(asked, field)
    export(model, tmp_path / "model.onnx")
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(tmp_path / "model.onnx", options)
    answers, feeds = [], []
    for count in (1, 2, 7):
        for length in (1, 2, 5, LENGTHS[field]) if field in LENGTHS else (None,):
            x = inputs(field, count, length)
            with torch.inference_mode():
                exact = model(batch(model, x)).logits.numpy()
            feed = {model.spec.names[0]: x.numpy(), "present": np.ones((count, 1), dtype=bool)}
            got = session.run(["logits"], feed)[0]
            np.testing.assert_allclose(got, exact, atol=1e-4, rtol=1e-4)
            answers.append(exact)
            feeds.append(feed)
    assert np.ptp(np.concatenate(answers), axis=0).max() > 1e-3  # the comparison is of answers that differ
    for how in ("static", "dynamic"):
        small, found = in_int8((tmp_path / "model.onnx").read_bytes(), how, feeds, monkeypatch)
        assert found
        for feed, exact in zip(feeds, answers, strict=True):
            near(small.run(feed), exact, 0.5 if asked["kind"] in OWN else float("inf"))


@pytest.mark.parametrize("kind", ["speech_embedding", "huggingface"])
def test_one_that_can_t_be_exported_says_why(kind, tmp_path):
    field, choice = next((f, c) for f, c in CHOICES[kind] if f == "wave")
    model = tiny({"kind": kind, **choice}, field)
    with pytest.raises(SuffuseError, match=r"can't be exported \(encoders.sound\)"):
        export(model, tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()
