"""Several pictures, sound and sequences inside the network: what is empty or padding is nowhere in the result."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from suffuse.activations import softmax
from suffuse.exporters.onnx_export import export
from suffuse.modality_encoder import Encoder
from suffuse.model import FusionModel
from suffuse.recipe import Network
from suffuse.types import Batch, Field, Head, Spec

PHOTOS = Field("photos", "image", {"size": 16, "mean": [0.5, 0.4, 0.6], "std": [0.25, 0.3, 0.2], "places": 3})
SOUND = Field(
    "sound", "audio", {"features": 4, "length": 9, "rate": 8000, "mean": [1.0, -9, 3, 0], "std": [2.0, 3, 1, 1]}
)
STEPS = Field("steps", "sequence", {"features": 2, "length": 6, "mean": [100.0, -3], "std": [10.0, 0.5]})
SPEC = Spec((PHOTOS, SOUND, STEPS), (Head("y", "classes", ("a", "b")),), (-0.5, -1.0))
NETWORK = Network.model_validate(
    {
        "encoders": {
            "photos": {"kind": "conv", "widths": [4, 6]},
            "sound": {"kind": "gru", "width": 5},
            "steps": {"kind": "conv1d", "widths": [4, 5], "kernel": 3},
        },
        "fusion": {"kind": "gated", "width": 8},
    }
)
REAL = torch.tensor([[1, 0, 0], [1, 1, 1], [0, 1, 0], [0, 1, 1], [1, 1, 0], [0, 0, 1]]).bool()


def photos(seed: int = 0) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    x = torch.randint(0, 256, (6, 3, 16, 16, 4), dtype=torch.uint8, generator=random)
    x[..., 3] = 255 * REAL[:, :, None, None]
    return x


def steps(field: Field, lengths: list[int], seed: int = 0) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(len(lengths), max(lengths), field.statistics["features"] + 1, generator=random)
    x[..., :-1] = x[..., :-1] * torch.tensor(field.statistics["std"]) + torch.tensor(field.statistics["mean"])
    x[..., -1] = (torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]).float()
    return x * x[..., -1:]


@pytest.fixture(params=[True, False], ids=["training", "eval"])
def encoder(request) -> Encoder:
    torch.manual_seed(0)
    return Encoder(NETWORK, PHOTOS).train(request.param)


def test_empty_places_change_no_bit(encoder):
    x, before = photos(), encoder.layers.state_dict()["norm0.running_mean"].clone()
    found = encoder(x)
    after = encoder.layers.state_dict()["norm0.running_mean"].clone()
    encoder.layers.load_state_dict({**encoder.layers.state_dict(), "norm0.running_mean": before})
    y = x.clone()
    y[~REAL] = photos(1)[~REAL]
    y[..., 3] = x[..., 3]
    other = encoder(y)
    assert torch.equal(found.vector, other.vector)
    assert torch.equal(found.tokens, other.tokens) and torch.equal(found.token_mask, other.token_mask)
    assert torch.equal(after, encoder.layers.state_dict()["norm0.running_mean"])


def test_it_is_the_mean_over_real_pictures(encoder):
    encoder.eval()  # batch statistics of one picture are not those of all
    x, found = photos(), encoder(photos())
    each = encoder(x.flatten(0, 1)[..., :3])
    for row, real in enumerate(REAL):
        own = each.vector.unflatten(0, (6, 3))[row][real]
        torch.testing.assert_close(found.vector[row], own.mean(0))
        tokens = each.tokens.unflatten(0, (6, 3))[row][real].flatten(0, 1)
        torch.testing.assert_close(found.tokens[row][found.token_mask[row]], tokens)
    assert found.token_mask.sum(1).tolist() == (REAL.sum(1) * each.tokens.shape[1]).tolist()


def test_one_picture_of_several_is_a_single_picture(encoder):
    x = photos()[:, :1]
    x[..., 3] = 255
    single, several = encoder(x[:, 0, ..., :3]), encoder(x)
    assert torch.equal(single.vector, several.vector) and torch.equal(single.tokens, several.tokens)
    assert several.token_mask.all()


def test_training_sees_the_statistics_of_real_pictures_alone():
    torch.manual_seed(0)
    one, other = Encoder(NETWORK, PHOTOS), Encoder(NETWORK, PHOTOS)
    other.load_state_dict(one.state_dict())
    one.train()(photos())
    other.train()(photos().flatten(0, 1)[REAL.flatten()][..., :3])
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def test_gradients_of_several_are_those_of_each():
    torch.manual_seed(0)
    encoder, goal = Encoder(NETWORK, PHOTOS).train(), torch.randn(6, 12)
    (encoder(photos()).vector * goal).sum().backward()
    found = {n: p.grad.clone() for n, p in encoder.named_parameters()}
    encoder.zero_grad()
    flat = encoder(photos().flatten(0, 1)[REAL.flatten()][..., :3]).vector
    rows = REAL.nonzero()[:, 0]
    (flat * (goal / REAL.sum(1, keepdim=True))[rows]).sum().backward()
    for name, parameter in encoder.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("field", [SOUND, STEPS], ids=lambda f: f.kind)
def test_steps_are_normalised_where_they_are_real(field):
    torch.manual_seed(0)
    encoder = Encoder(NETWORK, field).eval()
    x = steps(field, [5, 2, 3])
    seen: list[torch.Tensor] = []
    encoder.part.encode, kept = (lambda *given: seen.append(given[2]) or kept(*given)), encoder.part.encode
    try:
        found = encoder(x)
    finally:
        encoder.part.encode = kept
    mean, std = torch.tensor(field.statistics["mean"]), torch.tensor(field.statistics["std"])
    real = x[..., -1] > 0
    torch.testing.assert_close(seen[0][real][:, :-1], ((x[..., :-1] - mean) / std)[real])
    assert (seen[0][~real] == 0).all() and torch.equal(seen[0][..., -1], x[..., -1])
    longer = torch.nn.functional.pad(x, (0, 0, 0, 4))
    longer[:, :, :-1][longer[..., -1] == 0] = torch.nan  # padding is never looked at
    torch.testing.assert_close(encoder(longer).vector, found.vector)


@pytest.fixture(scope="module")
def model() -> FusionModel:
    """The model of all three."""
    torch.manual_seed(1)
    model = FusionModel(NETWORK, SPEC).train()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    whole = {"photos": photos(), "sound": steps(SOUND, [9, 2, 3, 1, 5, 4]), "steps": steps(STEPS, [1, 6, 2, 2, 3, 4])}
    model(batch(whole, torch.ones(6, 3, dtype=torch.bool)))
    return model.eval()


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    """That model, and its ONNX session."""
    import onnxruntime as ort

    file = tmp_path_factory.mktemp("export") / "model.onnx"
    export(model, file)
    return model, ort.InferenceSession(file)


def batch(inputs: dict[str, torch.Tensor], present: torch.Tensor) -> Batch:
    nobody = torch.zeros(0, dtype=torch.int64)
    return Batch(inputs, {}, present, nobody, nobody)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize(("sound", "other"), [(9, 6), (1, 1), (2, 40), (70, 3)])
def test_an_export_takes_lengths_that_are_independent(exported, sound, other):
    model, session = exported
    random = np.random.default_rng(sound)
    lengths = [[most, *random.integers(1, most + 1, 5)] for most in (sound, other)]
    inputs = {"photos": photos(2), "sound": steps(SOUND, lengths[0]), "steps": steps(STEPS, lengths[1])}
    for present in (np.ones((6, 3), dtype=bool), random.random((6, 3)) < 0.6):
        with torch.inference_mode():
            exact = model(batch(inputs, torch.from_numpy(present))).logits.numpy()
        feeds = {name: x.numpy() for name, x in inputs.items()}
        got = session.run(["logits"], {**feeds, "present": present})[0]
        np.testing.assert_allclose(softmax(got), softmax(exact), atol=1e-5)


@pytest.mark.slow
@pytest.mark.long
def test_empty_places_change_no_bit_of_an_export(exported):
    _, session = exported
    feeds = {"photos": photos(), "sound": steps(SOUND, [3] * 6), "steps": steps(STEPS, [2] * 6)}
    feeds = {name: x.numpy() for name, x in feeds.items()} | {"present": np.ones((6, 3), dtype=bool)}
    other = feeds["photos"].copy()
    other[~REAL.numpy()] = photos(5).numpy()[~REAL.numpy()]
    other[..., 3] = feeds["photos"][..., 3]
    found = session.run(None, feeds)[0]
    assert (found == session.run(None, {**feeds, "photos": other})[0]).all()
    assert (found != session.run(None, {**feeds, "photos": photos(5).numpy()})[0]).any()


def test_nothing_of_an_absent_modality_is_seen(model):
    inputs = {"photos": photos(), "sound": steps(SOUND, [3] * 6), "steps": steps(STEPS, [2] * 6)}
    present = torch.ones(6, 3, dtype=torch.bool)
    present[:, 1] = False
    found = model(one := batch(inputs, present)).logits
    changed = {**inputs, "sound": torch.full_like(inputs["sound"], 7.0)}
    assert torch.equal(found, model(dataclasses.replace(one, inputs=changed)).logits)
