"""Every encoder that can be exported equals torch in ONNX, at any length and with anything in an absent slot."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import onnxruntime as ort
import pytest
import torch
from encoder_tools import CHOICES, FIELDS, GARBAGE, LENGTHS, entries, exportable, garbage
from int8_tools import in_int8, near

from suffuse.errors import SuffuseError
from suffuse.exporters.onnx_export import export
from suffuse.model import FusionModel
from suffuse.recipe import Network
from suffuse.types import Batch, Head, Spec

EXPORTABLE = exportable()
OWN = ("gru", "lstm", "bag", "conv", "conv1d", "mlp")  # shallow: with random weights a deep one may be far off
ALWAYS = replace(FIELDS["tabular"], name="always")  # columns of numbers that no row lacks
ROWS = 4
HERE = torch.tensor([True, False, True, False])  # the rows that have the modality, where some lack it


def tiny(asked: dict, field: str) -> FusionModel:
    """A model of this modality and of columns of numbers, with running statistics that have moved."""
    torch.manual_seed(3)
    spec = Spec((FIELDS[field], ALWAYS), (Head("answer", "classes", ("a", "b", "c")),), (-1.1, -1.1, -1.1))
    encoders = {FIELDS[field].name: asked, "always": {"kind": "mlp", "widths": [4]}}
    network = Network.model_validate({"encoders": encoders, "fusion": {"kind": "concat", "width": 6}})
    model = FusionModel(network, spec).initialise()
    with torch.no_grad():
        model.head[-1].weight.mul_(4)  # type: ignore[operator]
    for norm in model.modules():
        if isinstance(norm, torch.nn.modules.batchnorm._BatchNorm):
            norm.momentum = 1.0
    model.train()(batch(inputs(model, field, 8), torch.ones(8, 2, dtype=torch.bool)))
    return model.eval()


def inputs(model: FusionModel, field: str, count: int, length: int | None = None) -> dict[str, torch.Tensor]:
    """Entries as they are stored: pictures in bytes. The columns of numbers are the same in every row."""
    x = pictures(count) if field == "image" else entries(field, count)
    always = entries("tabular", 1).expand(count, -1)
    return {model.spec.names[0]: x if length is None else x[:, :length], "always": always}


def pictures(count: int) -> torch.Tensor:
    torch.manual_seed(count)
    return torch.randint(0, 256, (count, 32, 32, 3), dtype=torch.uint8)


def batch(given: dict[str, torch.Tensor], present: torch.Tensor) -> Batch:
    nobody = torch.zeros(0, dtype=torch.int64)
    return Batch(given, {}, present, nobody, nobody)


@dataclass
class Exported:
    """A model and its ONNX graph, which all tests of a case share."""

    settings: dict
    field: str
    model: FusionModel
    content: bytes
    session: ort.InferenceSession

    def exact(self, given: dict[str, torch.Tensor], present: torch.Tensor) -> np.ndarray:
        """(B, C) logits in torch."""
        with torch.inference_mode():
            return self.model(batch(given, present)).logits.numpy()

    def run(self, given: dict[str, torch.Tensor], present: torch.Tensor) -> np.ndarray:
        """(B, C) logits of the graph."""
        return np.asarray(self.session.run(["logits"], feed_of(given, present))[0])


def feed_of(given: dict[str, torch.Tensor], present: torch.Tensor) -> dict[str, np.ndarray]:
    return {name: x.numpy() for name, x in {**given, "present": present}.items()}


@pytest.fixture(scope="module", params=EXPORTABLE)
def exported(request, tmp_path_factory) -> Exported:
    torch.set_num_threads(1)
    settings, field = request.param
    model, file = tiny(settings, field), tmp_path_factory.mktemp("encoder") / "model.onnx"
    export(model, file)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return Exported(settings, field, model, file.read_bytes(), ort.InferenceSession(file, options))


def test_the_export_equals_torch_and_is_nearly_itself_in_int8(exported, monkeypatch):
    answers, feeds, field = [], [], exported.field
    for count in (1, 2, 7):
        for length in (1, 2, 5, LENGTHS[field]) if field in LENGTHS else (None,):
            given, present = inputs(exported.model, field, count, length), torch.ones(count, 2, dtype=torch.bool)
            exact = exported.exact(given, present)
            np.testing.assert_allclose(exported.run(given, present), exact, atol=1e-4, rtol=1e-4)
            answers.append(exact)
            feeds.append(feed_of(given, present))
    assert np.ptp(np.concatenate(answers), axis=0).max() > 1e-3  # the comparison is of answers that differ
    for how in ("static", "dynamic"):
        small, found = in_int8(exported.content, how, feeds, monkeypatch)
        assert found
        for feed, exact in zip(feeds, answers, strict=True):
            near(small.run(feed), exact, 0.5 if exported.settings["kind"] in OWN else float("inf"))


def test_what_stands_in_an_absent_slot_changes_no_bit(exported):
    present = torch.stack([HERE, torch.ones(ROWS, dtype=torch.bool)], dim=1)
    given = inputs(exported.model, exported.field, ROWS)
    clean, name = exported.run(given, present), exported.model.spec.names[0]
    for number in range(GARBAGE):
        spoilt = given[name].clone()
        spoilt[~HERE] = garbage(exported.field, number)
        np.testing.assert_array_equal(exported.run({**given, name: spoilt}, present), clean)


@pytest.mark.parametrize("kind", ["speech_embedding", "huggingface"])
def test_one_that_can_t_be_exported_says_why(kind, tmp_path):
    field, choice = next((f, c) for f, c in CHOICES[kind] if f == "wave")
    model = tiny({"kind": kind, **choice}, field)
    with pytest.raises(SuffuseError, match=r"can't be exported \(encoders.sound\)"):
        export(model, tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()
