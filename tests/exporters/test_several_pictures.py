"""Several pictures of a row, in ONNX Runtime, with every fusion that reads tokens: some places empty, all subsets."""

from __future__ import annotations

from itertools import product

import numpy as np
import onnxruntime as ort
import pytest
import torch

from suffuse import fusions
from suffuse.exporters import onnx_export as exporter
from suffuse.model import FusionModel
from suffuse.recipe import Network
from suffuse.registry import load
from suffuse.types import Batch, Field, Head, Spec

pytestmark = pytest.mark.slow  # an export takes seconds
PARTS = {kind: fusions.load_fusion(kind) for kind in fusions.TABLE}
TOKENS = [kind for kind, part in PARTS.items() if part.TOKENS and not part.FRAMES]  # the others are of sequences
KINDS = [kind if kind == "cross_attention" else pytest.param(kind, marks=pytest.mark.long) for kind in TOKENS]
FIELDS = (
    Field("views", "image", {"size": 16, "places": 3, "mean": [0.5, 0.4, 0.6], "std": [0.25, 0.3, 0.2]}),
    Field("question", "text", {"vocabulary": 12, "length": 6}),
)


def entries(rows: int, chance: np.random.Generator) -> dict[str, np.ndarray]:
    """Of the three pictures some are not there; the first row has all, the second one only."""
    views = chance.integers(0, 256, (rows, 3, 16, 16, 4), dtype=np.uint8)
    there = chance.random((rows, 3)) < 0.6
    there[0], there[1], there[2:, 1] = True, (False, True, False), True
    views[..., 3] = np.where(there, 255, 0)[:, :, None, None]
    views[~there] = 0
    return {"views": views, "question": chance.integers(1, 12, (rows, 5))}


@pytest.mark.parametrize("kind", KINDS)
def test_empty_places_and_absent_modalities_are_as_in_torch(kind, tmp_path):
    settings = {"kind": kind}
    settings |= {"width": 8} if "width" in load(fusions.TABLE, kind).Settings.model_fields else {}
    made = {"views": {"kind": "conv", "widths": [4, 6]}, "question": {"kind": "gru", "embedding": 4, "width": 5}}
    torch.manual_seed(4)
    spec = Spec(FIELDS, (Head("answer", "classes", ("a", "b", "c")),), tuple(np.log([0.5, 0.3, 0.2]).tolist()))
    model = FusionModel(Network.model_validate({"encoders": made, "fusion": settings}), spec).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    exporter.export(model, tmp_path / "model.onnx")
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(tmp_path / "model.onnx", options)
    given = entries(6, np.random.default_rng(3))
    nobody, seen = torch.zeros(0, dtype=torch.int64), []
    for subset in product((True, False), repeat=2):
        present = np.tile(subset, (6, 1))
        got = session.run(["logits"], {**given, "present": present})[0]
        tensors = {name: torch.from_numpy(value) for name, value in given.items()}
        with torch.inference_mode():
            wanted = model(Batch(tensors, {}, torch.from_numpy(present), nobody, nobody)).logits.numpy()
        np.testing.assert_allclose(got, wanted, atol=1e-4, rtol=1e-4)
        seen.append(got)
    assert np.abs(seen[0] - seen[2]).max() > 1e-3  # without the pictures it says something else
    others = given["views"].copy()
    others[1, 0, ..., :3] = 77  # an empty place
    again = session.run(["logits"], {**given, "views": others, "present": np.ones((6, 2), dtype=bool)})[0]
    assert again.tobytes() == seen[0].tobytes()
