"""What every encoder keeps to: entries are alone, padding is nothing, shapes are as stated."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from suffuse import encoders
from suffuse.parts import load, settings
from suffuse.types import Encoded, Field

IMAGE = Field("picture", "image", {"size": 16, "mean": [0.5] * 3, "std": [0.2] * 3})
TEXT = Field("question", "text", {"vocabulary": 12, "length": 6})
CHOICES = {
    "conv": [
        *({"widths": [4, 8], "norm": norm} for norm in ("batch", "group", "none")),
        {"widths": [4, 8], "norm": "batch", "stride": 2},
    ],
    "gru": [{"embedding": 4, "width": 5}],
    "lstm": [{"embedding": 4, "width": 5}],
}
CASES = [
    pytest.param({"kind": kind, **choice}, id="-".join([kind, *(str(v) for v in choice.values())]))
    for kind in encoders.TABLE
    for choice in CHOICES[kind]
]
TEXTS = [case for case in CASES if "text" in load(encoders.TABLE, case.values[0]["kind"]).MODALITIES]  # type: ignore[index]


class Built:
    """An encoder with random weights."""

    def __init__(self, asked: dict):
        self.part, self.chosen = load(encoders.TABLE, asked["kind"]), settings(encoders.TABLE, asked)
        self.field = IMAGE if "image" in self.part.MODALITIES else TEXT
        torch.manual_seed(0)
        self.layers = self.part.layers(self.chosen, self.field)

    def __call__(self, x: Tensor) -> Encoded:
        return self.part.encode(self.chosen, self.layers, x)

    def entries(self, count: int = 6) -> Tensor:
        """Random entries; texts of one to six tokens."""
        torch.manual_seed(1)
        if self.field is IMAGE:
            return torch.randn(count, 3, 16, 16)
        words = torch.randint(2, 12, (count, 6))
        lengths = torch.arange(count) % 6 + 1
        return words * (torch.arange(6) < lengths.unsqueeze(1))


@pytest.mark.parametrize("asked", CASES)
def test_an_entry_doesn_t_depend_on_the_others(asked):
    encoder = Built(asked)
    x = encoder.entries()
    encoder(x)  # BatchNorm's running statistics move
    encoder.layers.eval()
    whole = encoder(x)
    for row in range(len(x)):
        alone = encoder(x[row : row + 1])
        torch.testing.assert_close(alone.vector, whole.vector[row : row + 1], atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(encoder(x.flip(0)).vector.flip(0), whole.vector, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("asked", CASES)
def test_shapes_are_as_stated(asked):
    encoder = Built(asked)
    found = encoder(encoder.entries())
    wide = encoder.part.width(encoder.chosen, encoder.layers)
    assert found.vector.shape == (6, wide)
    assert found.vector.dtype == torch.float32
    assert found.tokens is not None and found.token_mask is not None
    assert found.tokens.ndim == 3 and found.tokens.shape[:2] == found.token_mask.shape
    assert found.token_mask.dtype == torch.bool and found.token_mask.any(1).all()


@pytest.mark.parametrize("asked", CASES)
def test_every_parameter_gets_a_gradient(asked):
    encoder = Built(asked)
    found = encoder(encoder.entries())
    (found.vector - torch.randn_like(found.vector)).square().sum().backward()
    for name, parameter in encoder.layers.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name
        assert torch.isfinite(parameter.grad).all(), name


@pytest.mark.parametrize("asked", TEXTS)
def test_how_long_a_text_is_padded_changes_nothing(asked):
    encoder = Built(asked)
    x = encoder.entries()
    plain = encoder(x)
    padded = encoder(torch.nn.functional.pad(x, (0, 9)))
    torch.testing.assert_close(padded.vector, plain.vector, atol=1e-7, rtol=1e-6)
    assert torch.equal(padded.token_mask[:, :6], plain.token_mask)  # type: ignore[index]
    assert not padded.token_mask[:, 6:].any()  # type: ignore[index]
    one = encoder(x[:1, :1])  # a single token, unpadded
    torch.testing.assert_close(one.vector, plain.vector[:1], atol=1e-7, rtol=1e-6)


@pytest.mark.parametrize("asked", TEXTS)
def test_padding_gets_no_gradient_and_every_token_counts(asked):
    encoder = Built(asked)
    x = encoder.entries()
    encoder(x).vector.square().sum().backward()
    table = encoder.layers["embedding"].weight
    assert (table.grad[0] == 0).all()
    used = x[x != 0].unique()
    assert (table.grad[used].abs().sum(1) > 0).all()


@pytest.mark.parametrize("asked", TEXTS)
def test_a_text_without_tokens_is_a_number(asked):
    encoder = Built(asked)
    assert torch.isfinite(encoder(torch.zeros(2, 3, dtype=torch.int64)).vector).all()


def test_groups_divide_the_channels():
    """GroupNorm refuses what doesn't divide; widths may be anything."""
    for channels in range(1, 70):
        torch.testing.assert_close(
            Built({"kind": "conv", "widths": [channels], "norm": "group"})(torch.zeros(1, 3, 4, 4)).vector.shape[1],
            2 * channels,
        )
