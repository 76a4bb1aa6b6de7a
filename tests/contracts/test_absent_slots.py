"""Whatever stands in the slot of an absent modality neither fails nor changes a bit, in torch and in an export."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch
from encoder_tools import CASES, FIELDS, GARBAGE, entries, garbage
from torch import Tensor

from suffuse.exporters.onnx_export import export
from suffuse.model import FusionModel
from suffuse.recipe import Network
from suffuse.types import Batch, Head, Spec

ROWS = 4
HERE = torch.tensor([True, False, True, False])
TABLES = {  # one of every way to look something up by an id, and one of every other kind
    "words": ({"kind": "bag", "embedding": 4, "pairs": 7}, "text"),
    "states": ({"kind": "gru", "embedding": 4, "width": 5}, "text"),
    "tokens": ({"kind": "transformer", "width": 8, "heads": 2, "depth": 1, "positions": "learned"}, "text"),
    "steps": ({"kind": "tcn", "width": 8, "kernel": 3}, "text"),
    "row": ({"kind": "mlp", "widths": [5]}, "tabular"),
    "sound": ({"kind": "conv1d", "widths": [4, 6]}, "audio"),
    "picture": ({"kind": "conv", "widths": [4, 6]}, "image"),
}


def model_of(asked: dict[str, tuple[dict, str]], fusion: str = "concat") -> FusionModel:
    """A model of these modalities, and of columns of numbers that are always there."""
    torch.manual_seed(3)
    fields = tuple(replace(FIELDS[field], name=name) for name, (_, field) in asked.items())
    always = replace(FIELDS["tabular"], name="always")
    network = {name: settings for name, (settings, _) in asked.items()} | {"always": {"kind": "mlp", "widths": [4]}}
    spec = Spec((*fields, always), (Head("answer", "classes", ("a", "b", "c")),), (-1.1, -1.1, -1.1))
    made = Network.model_validate({"encoders": network, "fusion": {"kind": fusion, "width": 8}})
    return FusionModel(made, spec).initialise().eval()


def stored(field: str) -> Tensor:
    """Entries as they are stored: pictures in bytes."""
    if field == "image":
        torch.manual_seed(0)
        return torch.randint(0, 256, (ROWS, 32, 32, 3), dtype=torch.uint8)
    return entries(field, ROWS)


def inputs(asked: dict[str, tuple[dict, str]], number: int | None) -> dict[str, Tensor]:
    """Entries of every modality; with a number, that garbage where it is absent."""
    found = {name: stored(field) for name, (_, field) in asked.items()}
    if number is not None:
        for name, (_, field) in asked.items():
            found[name] = found[name].clone()
            found[name][~HERE] = garbage(field, number)
    return {**found, "always": stored("tabular")}


def present(asked: dict[str, tuple[dict, str]]) -> Tensor:
    """(B, M) bool: all of them where ``HERE`` says so, and the last one always."""
    return torch.stack([*[HERE] * len(asked), torch.ones(ROWS, dtype=torch.bool)], dim=1)


def in_torch(model: FusionModel, given: dict[str, Tensor], here: Tensor) -> Tensor:
    nobody = torch.zeros(0, dtype=torch.int64)
    with torch.inference_mode():
        return model(Batch(given, {}, here, nobody, nobody)).logits


def session(model: FusionModel, folder: Path) -> ort.InferenceSession:
    export(model, folder / "model.onnx")
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4  # an error that is expected is no line of a test's output
    return ort.InferenceSession(folder / "model.onnx", options)


def in_onnx(graph: ort.InferenceSession, given: dict[str, Tensor], here: Tensor) -> np.ndarray:
    return np.asarray(graph.run(["logits"], {**{n: x.numpy() for n, x in given.items()}, "present": here.numpy()})[0])


@pytest.mark.parametrize(("asked", "field"), CASES)
def test_in_torch(asked, field):
    one = {"it": (asked, field)}
    model, here = model_of(one), present(one)
    plain = in_torch(model, inputs(one, None), here)
    assert torch.isfinite(plain).all()
    for number in range(GARBAGE):
        assert torch.equal(in_torch(model, inputs(one, number), here), plain)


@pytest.mark.slow  # an encoder alone: test_encoders_export.py
@pytest.mark.long
@pytest.mark.parametrize("fusion", ["concat", "transformer"])
def test_in_an_export_of_every_kind_of_table(fusion, tmp_path):
    model, here = model_of(TABLES, fusion), present(TABLES)
    graph, plain = session(model, tmp_path), in_torch(model, inputs(TABLES, None), here)
    clean = in_onnx(graph, inputs(TABLES, None), here)
    np.testing.assert_allclose(clean, plain.numpy(), atol=1e-4, rtol=1e-4)
    for number in range(GARBAGE):
        np.testing.assert_array_equal(in_onnx(graph, inputs(TABLES, number), here), clean)
        assert torch.equal(in_torch(model, inputs(TABLES, number), here), plain)


def test_an_id_beyond_the_table_in_a_slot_that_is_there_stays_an_error(tmp_path):
    one = {"words": ({"kind": "bag", "embedding": 4}, "text")}
    model, given = model_of(one), inputs(one, 0)
    everywhere = torch.ones(ROWS, 2, dtype=torch.bool)
    with pytest.raises(IndexError):
        in_torch(model, given, everywhere)
    with pytest.raises(Exception, match="out of data bounds"):
        in_onnx(session(model, tmp_path), given, everywhere)
