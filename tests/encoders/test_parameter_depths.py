"""Depths of parameters: the blocks of the libraries' networks, and what stands before and behind them."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import pytest
import torch
from torch import nn

from suffuse import encoders
from suffuse.encoders import huggingface
from suffuse.parameter_depths import attention_projections, blocks_of, depths_by_blocks
from suffuse.types import Field

# the names that ViT and CLIP had before
EARLIER = tuple(map(int, version("transformers").split(".")[:2])) < (5, 9)
SMALL = {"hidden_size": 8, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 16}
TEXT = Field("question", "text", {"vocabulary": 20, "length": 12})
PICTURE = Field("picture", "image", {"size": 32, "mean": [0.1] * 3, "std": [0.9] * 3})
WAVE = Field("sound", "audio", {"features": 1, "rate": 16_000})
T5 = {"model_type": "t5", "vocab_size": 20, "d_model": 8, "d_kv": 4, "d_ff": 16, "num_layers": 3, "num_heads": 2}
WAV2VEC2 = {
    **SMALL, "model_type": "wav2vec2", "conv_dim": [4] * 5, "conv_kernel": [10, 4, 3, 3, 2],
    "conv_stride": [5, 4, 2, 2, 2], "num_feat_extract_layers": 5, "num_conv_pos_embeddings": 4,
    "num_conv_pos_embedding_groups": 2, "feat_extract_norm": "layer",
}  # fmt: skip
WHISPER = {
    "model_type": "whisper", "d_model": 8, "encoder_layers": 3, "encoder_attention_heads": 2, "encoder_ffn_dim": 16,
    "decoder_layers": 1, "decoder_attention_heads": 2, "decoder_ffn_dim": 16, "num_mel_bins": 8, "vocab_size": 20,
    "max_source_positions": 50, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1,
}  # fmt: skip
CASES: dict[str, tuple[dict[str, Any], Field, str, str, str, tuple[str, ...]]] = {
    # configuration, field; a name of depth 0, the list of blocks, a name behind them; queries and values
    "bert": (
        {**SMALL, "model_type": "bert", "vocab_size": 20, "max_position_embeddings": 32}, TEXT,
        "embeddings.word_embeddings.weight", "encoder.layer", "", ("query", "value"),
    ),
    "distilbert": (
        {"model_type": "distilbert", "vocab_size": 20, "dim": 8, "n_layers": 3, "n_heads": 2, "hidden_dim": 16}, TEXT,
        "embeddings.LayerNorm.weight", "transformer.layer", "", ("q_lin", "v_lin"),
    ),
    "mpnet": (  # its positions are registered behind the blocks
        {**SMALL, "model_type": "mpnet", "vocab_size": 20, "max_position_embeddings": 32}, TEXT,
        "encoder.relative_attention_bias.weight", "encoder.layer", "", ("q", "v"),
    ),
    "t5": (T5, TEXT, "embed_tokens.weight", "block", "final_layer_norm.weight", ("q", "v")),
    "vit": (
        {**SMALL, "model_type": "vit", "image_size": 32, "patch_size": 8}, PICTURE,
        "embeddings.cls_token", *(("encoder.layer", "layernorm.weight", ("query", "value")) if EARLIER else (
            "layers", "layernorm.weight", ("q_proj", "v_proj"))),
    ),
    "clip": (
        {"model_type": "clip_vision_model", **SMALL, "image_size": 32, "patch_size": 8}, PICTURE,
        *(f"{'vision_model.' if EARLIER else ''}{name}"
          for name in ("pre_layrnorm.weight", "encoder.layers", "post_layernorm.weight")), ("q_proj", "v_proj"),
    ),
    "wav2vec2": (  # more convolutions than blocks
        WAV2VEC2, WAVE, "feature_extractor.conv_layers.4.conv.weight", "encoder.layers", "", ("q_proj", "v_proj"),
    ),
    "whisper": (
        WHISPER, WAVE, "conv1.weight", "layers", "layer_norm.weight", ("q_proj", "v_proj"),
    ),
}  # fmt: skip


def built(config: dict[str, Any], field: Field) -> tuple[Any, nn.ModuleDict]:
    chosen = huggingface.Settings(name="tiny", pretrained=False, architecture={"config": config})
    return chosen, huggingface.layers(chosen, field)


@pytest.mark.parametrize("name", CASES)
def test_blocks_of_transformers(name):
    config, field, lowest, blocks, behind, projections = CASES[name]
    chosen, layers = built(config, field)
    depths = huggingface.depths(chosen, layers)
    assert depths.keys() == {parameter for parameter, _ in layers.named_parameters()}
    assert depths[f"body.{lowest}"] == 0
    assert set(depths.values()) == {0, 1, 2, 3}
    assert blocks_of(layers, 3) == (f"body.{blocks}", 3)
    for number in range(3):
        start = f"body.{blocks}.{number}."
        inside = {depth for parameter, depth in depths.items() if parameter.startswith(start)}
        assert inside == {number + 1}
    assert not behind or depths[f"body.{behind}"] == 3
    assert attention_projections(layers) == projections


@pytest.mark.parametrize(("name", "top"), [("test_vit", 6), ("test_resnet", 4), ("test_convnext", 10)])
def test_blocks_of_timm_are_its_own_groups(name, top):
    part = encoders.load_encoder("timm")
    facts = {"name": name, "options": {}, "mean": [0.5] * 3, "std": [0.2] * 3, "fixed": name == "test_vit"}
    settings = part.Settings.model_validate({"kind": "timm", "name": name, "pretrained": False, "architecture": facts})
    layers = part.layers(settings, PICTURE)
    depths = part.depths(settings, layers)
    assert depths.keys() == {parameter for parameter, _ in layers.named_parameters()}
    assert set(depths.values()) == set(range(max(depths.values()) + 1)) and max(depths.values()) == top
    first, last = next(iter(depths)), [*depths][-1]
    assert depths[first] == 0 and depths[last] == max(depths.values())


def test_blocks_of_efficientnet_lite():
    part = encoders.load_encoder("efficientnet_lite")
    settings = part.Settings.model_validate({"kind": "efficientnet_lite", "pretrained": False})
    layers = part.layers(settings, PICTURE)
    depths = part.depths(settings, layers)
    assert depths["body._conv_stem.weight"] == 0 and depths["body._blocks.0._project_conv.weight"] == 1
    assert depths["body._conv_head.weight"] == max(depths.values()) == 16


def test_a_network_without_blocks_is_one():
    network = nn.Sequential(nn.Embedding(3, 2), nn.Linear(2, 2))
    assert set(depths_by_blocks(network).values()) == {0} and blocks_of(network) is None


def test_lists_inside_blocks_and_of_different_modules_are_no_blocks():
    """Stages that hold layers: the stages count; a list of a norm and a linear layer doesn't."""
    stages = nn.ModuleList(
        nn.ModuleDict({"layers": nn.ModuleList(nn.Linear(2, 2) for _ in range(5))}) for _ in range(2)
    )
    network = nn.ModuleDict({"mixed": nn.ModuleList([nn.Linear(2, 2), nn.LayerNorm(2), nn.Linear(2, 2)]), "s": stages})
    assert blocks_of(network) == ("s", 2)
    depths = depths_by_blocks(network)
    assert {depth for name, depth in depths.items() if name.startswith("mixed")} == {0}


def test_of_lists_of_one_length_the_larger_one_holds_the_blocks():
    network = nn.ModuleDict(
        {
            "small": nn.ModuleList(nn.Linear(2, 2) for _ in range(3)),
            "large": nn.ModuleList(nn.Linear(9, 9) for _ in range(3)),
        }
    )
    assert blocks_of(network) == ("large", 3)
    assert torch.tensor([*depths_by_blocks(network).values()]).max() == 3
