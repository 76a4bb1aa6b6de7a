"""Whether a network with an encoder or a fusion answers in ONNX as in torch."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch

from ..exporters.onnx_export import export
from ..model import FusionModel
from ..recipe import Network
from ..types import Batch, Field, Head, Spec
from .encoder_checks import FIELDS, entries

ROWS = 6
ALWAYS = replace(FIELDS["tabular"], name="always")


def check_export(settings: dict[str, Any], field: Field, inputs: torch.Tensor, fusion: dict[str, Any]) -> None:
    """Export a model of an encoder with these settings, beside columns of numbers, and compare the logits, also of rows
    in which the modality is absent. ``inputs`` (6, ...) are entries as they are stored."""
    torch.manual_seed(3)
    spec = Spec((field, ALWAYS), (Head("answer", "classes", ("a", "b", "c")),), (-1.1, -1.1, -1.1))
    encoders = {field.name: settings, "always": {"kind": "mlp", "widths": [4]}}
    model = FusionModel(Network.model_validate({"encoders": encoders, "fusion": fusion}), spec).initialise().eval()
    if any(model.encoder(name).hindrance for name in spec.names):
        return
    given = {field.name: inputs, "always": entries("tabular", ROWS)}
    present = torch.stack([torch.arange(ROWS) % 3 != 1, torch.ones(ROWS, dtype=torch.bool)], dim=1)
    nobody = torch.zeros(0, dtype=torch.int64)
    with torch.inference_mode():
        exact = model(Batch(given, {}, present, nobody, nobody)).logits.numpy()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        export(model, file)
        session = onnxruntime.InferenceSession(file)
    feeds = {name: x.numpy() for name, x in {**given, "present": present}.items()}
    np.testing.assert_allclose(np.asarray(session.run(["logits"], feeds)[0]), exact, atol=1e-4, rtol=1e-4)


def stored(field: str) -> torch.Tensor:
    """Six entries of a kind of field as they are stored: pictures in bytes."""
    if FIELDS[field].kind == "image":
        torch.manual_seed(0)
        return torch.randint(0, 256, (ROWS, 32, 32, 3), dtype=torch.uint8)
    return entries(field, ROWS)
