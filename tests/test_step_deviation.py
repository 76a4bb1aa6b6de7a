"""Steps of sounds and sequences: every feature less its mean, divided by its deviation, wherever a network runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
import torch
from encoder_tools import chosen

from suffuse.exporters import export_folder as exporter
from suffuse.modality_encoder import Encoder
from suffuse.model import FusionModel
from suffuse.predictor import Predictor
from suffuse.recipe import Network, make_recipe
from suffuse.types import Batch, Field, Head, Spec

MEAN, DEVIATION = [3.0, -20.0, 0.5, 7.0] * 2, [4.0, 0.25, 9.0, 0.1] * 2


def statistics(features: int) -> dict[str, Any]:
    """Of as many features."""
    return {"features": features, "length": 9, "mean": MEAN[:features], "std": DEVIATION[:features]}


SOUND = Field("sound", "audio", {**statistics(8), "rate": 8000})
TRACK = Field("track", "sequence", statistics(3))
SPEC = Spec((SOUND, TRACK), (Head("y", "classes", ("a", "b")),), (-0.5, -1.0))


def plain(field: Field) -> Field:
    """The field of steps that are standardised already."""
    width = field.statistics["features"]
    return replace(field, statistics={**field.statistics, "mean": [0.0] * width, "std": [1.0] * width})


def steps(field: Field, count: int = 6) -> torch.Tensor:
    """(U, 9, F + 1): raw steps, as a modality's ``encode`` makes them; rows of several lengths."""
    random, width = torch.Generator().manual_seed(len(field.name)), field.statistics["features"]
    x = torch.randn(count, 9, width + 1, generator=random)
    x[..., :-1] = x[..., :-1] * torch.tensor(DEVIATION[:width]) + torch.tensor(MEAN[:width])
    x[..., -1] = (torch.arange(9)[None] < torch.arange(count)[:, None] + 3).float()
    return x * x[..., -1:]


def standard(field: Field, x: torch.Tensor) -> torch.Tensor:
    """The same steps with mean 0 and deviation 1; padding is 0."""
    width = field.statistics["features"]
    z = (x[..., :-1] - torch.tensor(MEAN[:width])) / torch.tensor(DEVIATION[:width])
    return torch.cat([z, torch.ones_like(x[..., -1:])], 2) * x[..., -1:]


def network(encoder: dict[str, Any], names: tuple[str, ...]) -> Network:
    return Network.model_validate(
        {"encoders": dict.fromkeys(names, encoder), "fusion": {"kind": "concat", "width": 6}, "hidden": 4}
    )


LEARNING = [case for case in chosen("audio", "sequence", learns=True) if case.values[0]["kind"] != "huggingface"]  # type: ignore[index]
CASES = [case for case in LEARNING if not case.values[0].get("cepstra")]  # type: ignore[union-attr]
OF_POWER = [case for case in LEARNING if case.values[0].get("cepstra")]  # type: ignore[union-attr]


@pytest.mark.parametrize(("asked", "kind"), CASES)
def test_every_encoder_reads_standardised_steps(asked, kind) -> None:
    field = SOUND if kind == "audio" else TRACK
    torch.manual_seed(0)
    encoder, x = Encoder(network(asked, (field.name,)), field).eval(), steps(field)
    found = encoder(x).vector
    wanted = encoder.part.encode(encoder.settings, encoder.layers, standard(field, x)).vector
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)
    raw = encoder.part.encode(encoder.settings, encoder.layers, x).vector
    assert not torch.allclose(found, raw, atol=1e-2)


@pytest.mark.parametrize(("asked", "kind"), OF_POWER)
def test_cepstra_are_those_of_the_bands_as_they_are(asked, kind) -> None:
    torch.manual_seed(0)
    encoder, x = Encoder(network(asked, (SOUND.name,)), SOUND).eval(), steps(SOUND)
    raw = encoder.part.encode(encoder.settings, encoder.layers, x).vector
    torch.testing.assert_close(encoder(x).vector, raw, atol=1e-5, rtol=1e-4)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[FusionModel, Path]:
    """A network that takes standardised steps as they are, and the export of the same weights for raw ones."""
    torch.manual_seed(1)
    asked = network({"kind": "gru", "width": 5}, ("sound", "track"))
    model = FusionModel(asked, SPEC).eval()
    other = FusionModel(asked, replace(SPEC, fields=tuple(map(plain, SPEC.fields)))).eval()
    weights = {k: v for k, v in model.state_dict().items() if not k.endswith((".mean", ".std"))}
    other.load_state_dict({**other.state_dict(), **weights})
    modalities = {
        "sound": {"kind": "audio", "column": "sound", "mels": 8, "rate": 8000},
        "track": {"kind": "sequence", "column": "track", "features": 3},
    }
    networks = {who: asked.model_dump(mode="json") for who in ("student", "teacher")}
    raw = {"data": {"source": "rows.csv", "target": "y"}, "modalities": modalities, **networks}
    place = tmp_path_factory.mktemp("export")
    exporter.write(model, make_recipe(raw), place)
    return other, place


PRESENT = torch.tensor([[1, 1], [1, 0], [0, 1], [1, 1], [1, 0], [0, 1]]).bool()


def answers(model: FusionModel, present: torch.Tensor = PRESENT) -> np.ndarray:
    """Logits of standardised steps."""
    nobody = torch.zeros(0, dtype=torch.int64)
    inputs = {field.name: standard(field, steps(field)) for field in SPEC.fields}
    with torch.inference_mode():
        return model(Batch(inputs, {}, present, nobody, nobody)).logits.numpy()


@pytest.mark.slow
@pytest.mark.long
def test_the_graph_reads_standardised_steps(exported) -> None:
    model, place = exported
    session = ort.InferenceSession(place / "model.onnx")
    feeds = {field.name: steps(field).numpy() for field in SPEC.fields}
    wanted = answers(model)
    np.testing.assert_allclose(session.run(["logits"], {**feeds, "present": PRESENT.numpy()})[0], wanted, atol=1e-5)
    assert np.ptp(wanted, axis=0).max() > 1e-2


@pytest.mark.slow
@pytest.mark.long
def test_the_predictor_reads_standardised_steps(exported) -> None:
    model, place = exported
    predictor = Predictor.load(place)
    entries = {field.name: steps(field).numpy() for field in SPEC.fields}
    np.testing.assert_allclose(predictor.logits(entries, PRESENT.numpy()), answers(model), atol=1e-5)
    track = steps(TRACK)
    records = [{"track": row[row[:, -1] > 0, :-1].numpy()} for row in track]  # through the modality's own reading
    wanted = torch.from_numpy(answers(model, torch.tensor([[False, True]] * len(track)))).softmax(1)
    found = [[one.probabilities[name] for name in ("a", "b")] for one in predictor.predict(records)]
    np.testing.assert_allclose(found, wanted, atol=1e-4)
