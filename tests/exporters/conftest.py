"""Two exports of one process, made once: the second is the one that torch got wrong."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import onnxruntime as ort
import pytest
import torch

from suffuse import losses
from suffuse.engine.objective import Objective
from suffuse.exporters import export_folder as exporter
from suffuse.model import FusionModel
from suffuse.recipe import make_recipe
from suffuse.registry import settings
from suffuse.types import Spec


@dataclass
class Exported:
    """A model, and the folder that it was written to."""

    model: FusionModel
    folder: Path
    session: ort.InferenceSession


@pytest.fixture(scope="session")
def exports(tmp_path_factory, make_columns, make_network, tiny_recipe) -> dict[str, Exported]:
    torch.set_num_threads(1)  # an LSTM of 64 small steps waits for its threads on a busy machine
    spec: Spec = make_columns().spec
    recipe = tiny_recipe(Path("rows.csv"))
    recipe["modalities"]["picture"]["size"] = 16
    found = {}
    for name, network in (
        ("gru", make_network("gated", "gru", "batch", hidden=6, dropout=0.3)),
        ("lstm", make_network("concat", "lstm", "group")),
    ):
        torch.manual_seed(4)
        model = FusionModel(network, spec)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.3 * torch.randn_like(parameter))
            model.head[-1].weight.mul_(4)  # type: ignore[operator]
        Objective(model, {"near": settings(losses.TABLE, {"kind": "hint"})}, {"fused": 13})  # as distill has it
        model.train()(make_columns(rows=60).batch(make_columns(rows=60).rows("train")))  # running statistics
        place = tmp_path_factory.mktemp(name)
        exporter.write(model.eval(), make_recipe(recipe), place)
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        found[name] = Exported(model, place, ort.InferenceSession(place / "model.onnx", options))
    return found
