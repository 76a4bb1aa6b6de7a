"""suffuse's own encoders against reference implementations with the same weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from suffuse import encoders
from suffuse.registry import load, settings
from suffuse.types import Field

TEXT = Field("question", "text", {"vocabulary": 12, "length": 6})
FRAMES = Field("sound", "audio", {"features": 3})
PICTURE = Field("picture", "image", {"size": 64, "mean": [0.5] * 3, "std": [0.2] * 3})


def made(asked: dict, field: Field):
    """Part, settings and layers in eval mode."""
    part, chosen = load(encoders.TABLE, asked["kind"]), settings(encoders.TABLE, asked)
    torch.manual_seed(0)
    return part, chosen, part.layers(chosen, field).eval()


def words(count: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids (U, 6), and lengths."""
    torch.manual_seed(1)
    lengths = torch.arange(count) % 6 + 1
    return torch.randint(1, 12, (count, 6)) * (torch.arange(6) < lengths.unsqueeze(1)), lengths


@pytest.mark.parametrize("kind", ["gru", "lstm"])
@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("both", [False, True])
def test_a_recurrent_net_is_torch_s_own_on_packed_texts(kind, depth, both):
    part, chosen, layers = made({"kind": kind, "embedding": 4, "width": 5, "depth": depth, "bidirectional": both}, TEXT)
    cell = (nn.GRU if kind == "gru" else nn.LSTM)(4, 5, depth, bidirectional=both, batch_first=True)
    for number in range(depth):
        for name, suffix in (("cell", ""), ("back", "_reverse")) if both else (("cell", ""),):
            for key, value in layers[f"{name}{number}"].named_parameters():  # type: ignore[union-attr]
                getattr(cell, key.replace("_l0", f"_l{number}{suffix}")).data = value.data
    x, lengths = words()
    packed = pack_padded_sequence(layers["embedding"](x), lengths, batch_first=True, enforce_sorted=False)
    states, last = cell(packed)
    last = last[0] if kind == "lstm" else last
    wanted = torch.cat([last[-2], last[-1]], dim=1) if both else last[-1]
    found = part.encode(chosen, layers, x)
    torch.testing.assert_close(found.vector, wanted)
    theirs = pad_packed_sequence(states, batch_first=True, total_length=6)[0]
    torch.testing.assert_close(found.tokens[found.token_mask], theirs[found.token_mask])


def test_dropout_of_embeddings_and_layers_acts_in_training_alone():
    asked = {"kind": "gru", "embedding": 8, "width": 8, "dropout": 0.5, "embedding_dropout": 0.5}
    part, chosen, layers = made(asked, TEXT)
    x, _ = words()
    assert torch.equal(part.encode(chosen, layers, x).vector, part.encode(chosen, layers, x).vector)
    layers.train()
    one, other = part.encode(chosen, layers, x).vector, part.encode(chosen, layers, x).vector
    assert not torch.equal(one, other) and (one == 0).any()


@pytest.mark.parametrize("pool", ["mean", "meanmax"])
def test_a_bag_is_torch_s_embedding_bag(pool):
    part, chosen, layers = made({"kind": "bag", "embedding": 4, "pool": pool}, TEXT)
    x, lengths = words()
    weight = layers["embedding"].weight
    rows = [x[row, :n] for row, n in enumerate(lengths)]
    wanted = [torch.cat([F.embedding_bag(r[None], weight, mode=m) for r in rows]) for m in ("mean", "max")]
    found = part.encode(chosen, layers, x).vector
    torch.testing.assert_close(found, torch.cat(wanted[: 1 if pool == "mean" else 2], dim=1))


def test_pairs_see_the_order_of_words_and_nothing_else_does():
    x, y = torch.tensor([[3, 4, 5, 0]]), torch.tensor([[5, 3, 4, 0]])
    for pairs, same in ((0, True), (1000, False)):
        part, chosen, layers = made({"kind": "bag", "embedding": 4, "pairs": pairs}, TEXT)
        one, other = part.encode(chosen, layers, x).vector, part.encode(chosen, layers, y).vector
        assert torch.allclose(one, other) == same


def test_residual_is_torchvision_s_resnet18():
    import torchvision

    asked = {"kind": "residual", "widths": [64, 128, 256, 512], "blocks": 2, "stride": 4}
    part, chosen, layers = made(asked, PICTURE)
    theirs = torchvision.models.resnet18().eval()
    theirs.fc = nn.Identity()
    mine = layers.state_dict()
    assert len(mine) == len(theirs.state_dict())
    layers.load_state_dict(dict(zip(mine, theirs.state_dict().values(), strict=True)))
    x = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(part.encode(chosen, layers, x).vector, theirs(x))


@pytest.mark.parametrize("heads", [1, 4])
def test_a_transformer_block_is_torch_s_pre_norm_layer(heads):
    asked = {"kind": "transformer", "width": 8, "heads": heads, "depth": 1, "hidden": 20}
    part, chosen, layers = made(asked, TEXT)
    block = layers["block0"]
    theirs = nn.TransformerEncoderLayer(8, heads, 20, 0.0, "gelu", batch_first=True, norm_first=True).eval()
    pairs = {
        "self_attn.in_proj_": "ask", "self_attn.out_proj.": "answer", "linear1.": "widen", "linear2.": "narrow",
        "norm1.": "norm0", "norm2.": "norm1",
    }  # fmt: skip
    state = {f"{t}{k}": block[m].state_dict()[k] for t, m in pairs.items() for k in ("weight", "bias")}  # type: ignore[index]
    theirs.load_state_dict(state)
    x, _ = words()
    embedded = layers["tokens"](x)
    place = torch.arange(6)[:, None] / 10_000 ** (torch.arange(4) / 4)
    embedded = embedded + torch.cat([place.sin(), place.cos()], dim=1)
    wanted = layers["norm"](theirs(embedded, src_key_padding_mask=x == 0))
    found = part.encode(chosen, layers, x)
    torch.testing.assert_close(found.tokens[found.token_mask], wanted[x != 0], atol=1e-5, rtol=1e-4)
    mean = torch.stack([wanted[row][x[row] != 0].mean(0) for row in range(len(x))])
    torch.testing.assert_close(found.vector, mean, atol=1e-5, rtol=1e-4)


def test_patches_of_a_picture_are_where_they_should_be():
    """A token is a linear map of its own patch and of nothing else."""
    asked = {"kind": "transformer", "width": 8, "heads": 2, "depth": 1, "patch": 16}
    part, chosen, layers = made(asked, PICTURE)
    x = torch.randn(1, 3, 64, 64)
    tokens, _ = part._read(chosen, layers["tokens"], x)
    assert tokens.shape == (1, 16, 8)
    patch = x[0, :, 16:32, 32:48].flatten()  # second row, third column
    conv = layers["tokens"]
    torch.testing.assert_close(tokens[0, 6], conv.weight.flatten(1) @ patch + conv.bias)  # type: ignore[union-attr]


@pytest.mark.parametrize("norm", ["batch", "layer"])
def test_conv1d_is_plain_convolution_over_an_entry_alone(norm):
    part, chosen, layers = made({"kind": "conv1d", "widths": [4, 6], "kernel": 5, "stride": 2, "norm": norm}, FRAMES)
    x = torch.cat([torch.randn(1, 11, 3), torch.ones(1, 11, 1)], dim=2)
    way = x[:, :, :3].transpose(1, 2)
    for number in range(2):
        way = F.conv1d(way, layers[f"conv{number}"].weight, stride=2, padding=2)  # type: ignore[arg-type]
        one = layers[f"norm{number}"]
        way = (one(way) if norm == "batch" else one(way.transpose(1, 2)).transpose(1, 2)).relu()
    wanted = torch.cat([way.mean(2), way.amax(2)], dim=1)
    torch.testing.assert_close(part.encode(chosen, layers, x).vector, wanted)


def test_batch_statistics_are_those_of_the_real_frames():
    part, chosen, layers = made({"kind": "conv1d", "widths": [4], "kernel": 1, "stride": 1}, FRAMES)
    layers.train()
    real = torch.arange(9) < torch.tensor([[9], [2], [5]])
    x = torch.cat([torch.randn(3, 9, 3), real.unsqueeze(2)], dim=2)
    part.encode(chosen, layers, x)
    frames = layers["conv0"](x[:, :, :3].transpose(1, 2)).transpose(1, 2)[real]
    torch.testing.assert_close(layers["norm0"].running_mean, 0.1 * frames.mean(0))


def test_one_frame_alone_can_be_trained_on():
    part, chosen, layers = made({"kind": "conv1d", "widths": [4]}, FRAMES)
    layers.train()
    found = part.encode(chosen, layers, torch.ones(1, 1, 4))
    assert torch.isfinite(found.vector).all()


UNBINNED = Field("row", "tabular", {"numbers": 1, "categories": [], "columns": [{"type": "number", "mean": [0.0]}]})


def test_tabular_columns_go_where_they_belong():
    """Numbers and their indicators as they are, each category's row of its own embedding."""
    field = Field("row", "tabular", {"numbers": 2, "categories": [4, 3]})
    part, chosen, layers = made({"kind": "mlp", "widths": [5], "embedding": 2}, field)
    x = torch.tensor([[0.5, -1.0, 0, 1, 3, 0]])
    one, two = layers["categories"]
    inside = torch.cat([x[0, :4], one.weight[3], two.weight[0]])
    wanted = (layers["hidden"][0].weight @ inside + layers["hidden"][0].bias).relu()  # type: ignore[index]
    torch.testing.assert_close(part.encode(chosen, layers, x).vector[0], wanted)


def test_numbers_are_encoded_between_their_quantiles():
    """Quantiles 0, 1, 3, 7 of a number of mean 1 and deviation 2, two values of another: 3 intervals and 1."""
    numbers = {"type": "number", "mean": [1.0], "std": [2.0], "quantiles": [[-0.5, 0.0, 1.0, 3.0]]}
    flags = {"type": "number", "mean": [0.0], "std": [1.0], "quantiles": [[0.0, 0.0, 1.0, 1.0]]}
    columns = [numbers, {"type": "category", "mean": []}, flags]
    field = Field("row", "tabular", {"numbers": 2, "categories": [3], "columns": columns})
    part, chosen, layers = made({"kind": "mlp", "widths": [5], "embedding": 1, "bins": 3}, field)
    values = torch.tensor([[-4.0, 1.0], [2.0, 0.25], [9.0, 0.0], [1.0, 1.0]])
    missing = torch.tensor([[0.0, 0.0], [0.0, 0.0], [0.0, 0.0], [1.0, 0.0]])
    found = layers["bins"]((values - torch.tensor([1.0, 0.0])) / torch.tensor([2.0, 1.0]), missing)
    wanted = torch.tensor([[0.0, 0.0, 0.0, 1.0], [1.0, 0.5, 0.0, 0.25], [1.0, 1.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
    torch.testing.assert_close(found, wanted)
    x = torch.tensor([[0.5, 1.0, 0.0, 0.0, 2.0]])
    inside = torch.cat([x[0, :4], layers["categories"][0].weight[2], torch.tensor([1.0, 0.5, 0.0, 1.0])])
    output = (layers["hidden"][0].weight @ inside + layers["hidden"][0].bias).relu()  # type: ignore[index]
    torch.testing.assert_close(part.encode(chosen, layers, x).vector[0], output)


@pytest.mark.parametrize(
    ("asked", "field", "says"),
    [
        ({"kind": "mlp", "bins": 4}, UNBINNED, "quantiles"),
        ({"kind": "residual", "widths": [4] * 6, "stride": 4}, PICTURE, "pixels"),
        ({"kind": "transformer", "width": 10, "heads": 4}, TEXT, "heads"),
        ({"kind": "transformer", "patch": 65}, PICTURE, "patch"),
        ({"kind": "transformer", "positions": "learned"}, FRAMES, "sinusoidal"),
        ({"kind": "gru", "vectors": "x.vec"}, FRAMES, "vectors"),
        ({"kind": "mlp"}, Field("row", "tabular", {"numbers": 0, "categories": []}), "neither"),
        ({"kind": "speech_embedding"}, FRAMES, "form: wave"),
    ],
)
def test_what_can_t_be_is_refused_with_the_reason(asked, field, says):
    with pytest.raises(ValueError, match=says) as raised:
        made(asked, field)
    assert "got" in str(raised.value) and "expected" in str(raised.value)


def test_flatten_is_the_textbook_s():
    """Two blocks of 32 and 64 on 28 pixels: 7 x 7 x 64 numbers into the dense layer."""
    field = Field("picture", "image", {"size": 28, "mean": [0.5] * 3, "std": [0.2] * 3})
    asked = {"kind": "conv", "widths": [32, 64], "norm": "none", "pool": "flatten", "dense": 10}
    part, chosen, layers = made(asked, field)
    assert layers["dense"].in_features == 7 * 7 * 64
    assert part.encode(chosen, layers, torch.randn(2, 3, 28, 28)).vector.shape == (2, 10)
    for size in range(9, 40):  # sides that aren't multiples
        for stride in (1, 2):
            odd = Field("picture", "image", {**field.statistics, "size": size})
            part, chosen, layers = made({**asked, "stride": stride}, odd)
            assert part.encode(chosen, layers, torch.randn(1, 3, size, size)).vector.shape == (1, 10)
