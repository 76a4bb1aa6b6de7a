"""Every fusion keeps its mask contract in ONNX Runtime: a picture and two texts, all subsets, any rows and lengths."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch
from int8_tools import in_int8, near

from suffuse import fusions
from suffuse.exporters import onnx_export as exporter
from suffuse.model import FusionModel
from suffuse.recipe import Network
from suffuse.registry import load
from suffuse.types import Batch, Field, Head, Spec

FORMS: dict[str, list[dict]] = {
    "weighted": [{}, {"weights": (0.2, 0.5, 0.9)}],
    "attention_pooling": [{"gated": True}],
    "tensor": [{"factor": 3}],
    "transformer": [{"layers": 1}, {}],
    "bottleneck": [{"layers": 1}, {}],
    "queries": [{}, {"attention": "each"}],
    "late": [{}, {"weights": "confidence", "hidden": 4}],
}
pytestmark = pytest.mark.slow  # an export takes seconds
QUICK = ("gated", "attention_pooling")  # and concat, with unimodal heads
CASES = [
    pytest.param(
        {"kind": kind, **form},
        id="-".join(map(str, (kind, *form.values()))),
        marks=() if kind in QUICK else pytest.mark.long,
    )
    for kind in fusions.TABLE
    if not fusions.load_fusion(kind).FRAMES  # exported in tests/e2e/test_transcripts.py
    for form in FORMS.get(kind, [{}])
] + [pytest.param({"kind": "concat", "unimodal_weight": 1.0}, id="unimodal_heads")]
FIELDS = (
    Field("picture", "image", {"size": 16, "mean": [0.5, 0.4, 0.6], "std": [0.25, 0.3, 0.2]}),
    Field("question", "text", {"vocabulary": 12, "length": 6}),
    Field("caption", "text", {"vocabulary": 12, "length": 9}),
)


class Exported:
    """A tiny model with this fusion, and its ONNX session."""

    def __init__(self, fusion: dict, build_once: Callable[..., Path]):
        part = load(fusions.TABLE, fusion["kind"])
        fields = FIELDS[: min(part.TAKES[1], 3)]
        wanted = {"width": 8} if "width" in part.Settings.model_fields else {}
        text = {"kind": "gru", "embedding": 4, "width": 5}
        encoders = {"picture": {"kind": "conv", "widths": [4, 6]}, "question": text, "caption": text}
        encoders = {f.name: encoders[f.name] for f in fields}
        torch.manual_seed(4)
        spec = Spec(fields, (Head("answer", "classes", ("a", "b", "c")),), tuple(np.log([0.5, 0.3, 0.2]).tolist()))
        heads = {"unimodal_weight": fusion.get("unimodal_weight", 0.0)}
        chosen = wanted | {key: value for key, value in fusion.items() if key not in heads}
        self.model = FusionModel(Network.model_validate({"encoders": encoders, "fusion": chosen, **heads}), spec).eval()
        with torch.no_grad():
            for parameter in self.model.parameters():
                parameter.add_(0.3 * torch.randn_like(parameter))
            if self.model.unimodal:
                self.model.unimodal.weights.uniform_(0.2, 1.0)
        self.names = spec.names
        file = build_once("fusion", fusion, lambda to: exporter.export(self.model, to / "model.onnx")) / "model.onnx"
        self.content = file.read_bytes()
        self.bytes = len(self.content)
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = ort.InferenceSession(file, options)

    def run(self, entries: dict[str, np.ndarray], present: np.ndarray) -> np.ndarray:
        return self.session.run(["logits"], {**{n: entries[n] for n in self.names}, "present": present})[0]

    def exact(self, entries: dict[str, np.ndarray], present: np.ndarray) -> np.ndarray:
        nobody = torch.zeros(0, dtype=torch.int64)
        tensors = {n: torch.from_numpy(entries[n]) for n in self.names}
        with torch.inference_mode():
            return self.model(Batch(tensors, {}, torch.from_numpy(present), nobody, nobody)).logits.numpy()

    def subsets(self, count: int) -> list[np.ndarray]:
        """(count, M) for every subset of the modalities, then all of them by turns."""
        each = list(product((True, False), repeat=len(self.names)))
        return [np.tile(kept, (count, 1)) for kept in each] + [np.array([each[i % len(each)] for i in range(count)])]


@pytest.fixture(scope="module", params=CASES)
def exported(request, build_once) -> Exported:
    torch.set_num_threads(1)
    return Exported(request.param, build_once)


def rows(count: int, lengths: tuple[int, int], seed: int = 0) -> dict[str, np.ndarray]:
    """Pictures, and texts of no token up to as many as there is room for."""
    random = np.random.default_rng(seed)
    entries = {"picture": random.integers(0, 256, (count, 16, 16, 3), dtype=np.uint8)}
    for name, length in zip(("question", "caption"), lengths, strict=True):
        words = random.integers(2, 12, (count, length))
        words[np.arange(length)[None] >= random.integers(0, length + 1, count)[:, None]] = 0
        entries[name] = words
    return entries


@pytest.mark.parametrize(("count", "lengths"), [(3, (5, 5)), (1, (1, 3)), (9, (13, 2)), (16, (4, 30))])
def test_it_equals_torch_on_every_subset(exported, count, lengths):
    entries = rows(count, lengths)
    for present in exported.subsets(count):
        got, exact = exported.run(entries, present), exported.exact(entries, present)
        assert got.dtype == np.float32 and got.shape == exact.shape == (count, 3)
        assert np.isfinite(got).all()
        np.testing.assert_allclose(got, exact, atol=1e-4, rtol=0)
    assert np.ptp(exported.exact(entries, np.ones_like(present)), axis=0).max() > 0.05 or count == 1


@pytest.mark.parametrize(("count", "lengths"), [(3, (5, 5)), (9, (13, 2))])
def test_what_stands_in_an_absent_slot_changes_no_bit(exported, count, lengths):
    entries = rows(count, lengths)
    extremes = {n: np.full_like(e, 255 if n == "picture" else 0) for n, e in entries.items()}
    fillers = [rows(count, lengths, seed=5), extremes]
    for present in exported.subsets(count):
        clean = exported.run(entries, present)
        for filler in fillers:
            shape = {n: (-1, *[1] * (e.ndim - 1)) for n, e in entries.items()}
            spoilt = {
                n: np.where(present[:, m].reshape(shape[n]), entries[n], filler[n])
                for m, n in enumerate(exported.names)
            }
            assert (exported.run(spoilt, present) == clean).all()
        nothing = ~present.any(1)
        assert (clean[nothing] == np.array(exported.model.spec.log_prior, dtype=np.float32)).all()


def test_the_graph_holds_no_second_copy_of_a_weight(exported):
    numbers = sum(t.numel() for t in exported.model.state_dict().values())
    assert 4 * exported.model.size() < exported.bytes < 4 * numbers + 60_000


@pytest.mark.parametrize("how", ["static", "dynamic"])
def test_in_int8_it_is_nearly_itself_and_static_keeps_the_mask_contract(exported, how, monkeypatch):
    entries, other = rows(24, (7, 7)), rows(24, (7, 7), seed=5)
    feeds = [{**{n: entries[n] for n in exported.names}, "present": p} for p in exported.subsets(24)]
    session, found = in_int8(exported.content, how, feeds, monkeypatch)
    assert {"Conv", "GRU"} & {group.kind for group in found}
    for feed in feeds:
        clean, present = session.run(feed), feed["present"]
        near(clean, exported.run(entries, present))
        shape = {n: (-1, *[1] * (entries[n].ndim - 1)) for n in exported.names}
        filled = {
            n: np.where(present[:, m].reshape(shape[n]), entries[n], other[n]) for m, n in enumerate(exported.names)
        }
        changed = session.run({**filled, "present": present})
        if how == "static":
            assert (changed == clean).all()
        else:
            near(changed, clean)
        nothing = ~present.any(1)
        assert (clean[nothing] == np.array(exported.model.spec.log_prior, dtype=np.float32)).all()
