"""Cases for every line of the encoders' table. Fields, entries and checks: ``suffuse.testing.encoder_checks``."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from suffuse import encoders
from suffuse.testing.encoder_checks import FIELDS, LENGTHS, Built, entries

__all__ = ["CASES", "CHOICES", "FIELDS", "GARBAGE", "LENGTHS", "Built", "chosen", "entries", "exportable", "garbage"]

BERT = {
    "model_type": "bert", "vocab_size": 20, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 16, "max_position_embeddings": 32,
}  # fmt: skip
ROBERTA = {**BERT, "model_type": "roberta", "pad_token_id": 1}
T5 = {"model_type": "t5", "vocab_size": 20, "d_model": 8, "d_kv": 4, "d_ff": 16, "num_layers": 2, "num_heads": 2}
VIT = {
    "model_type": "vit", "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16,
    "image_size": 32, "patch_size": 8,
}  # fmt: skip
RESNET = {"model_type": "resnet", "embedding_size": 4, "hidden_sizes": [4, 8], "depths": [1, 1], "layer_type": "basic"}
WAV2VEC = {
    "model_type": "wav2vec2", "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
    "intermediate_size": 16, "conv_dim": [4, 4], "conv_kernel": [10, 4], "conv_stride": [5, 4],
    "num_feat_extract_layers": 2, "num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2, "layerdrop": 0.0,
}  # fmt: skip
WHISPER = {
    "model_type": "whisper", "d_model": 8, "encoder_layers": 1, "encoder_attention_heads": 2, "encoder_ffn_dim": 16,
    "decoder_layers": 1, "decoder_attention_heads": 2, "decoder_ffn_dim": 16, "num_mel_bins": 8, "vocab_size": 20,
    "max_source_positions": 50, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1,
}  # fmt: skip


def hugging(config: dict, **more: Any) -> dict:
    """Settings of a tiny network, without a folder."""
    return {"name": "tiny", "pretrained": False, "architecture": {"config": config}, **more}


def timm(name: str, options: dict, fixed: bool = False) -> dict:
    """Settings of one of timm's own tiny networks."""
    facts = {"name": name, "options": options, "mean": [0.5] * 3, "std": [0.2] * 3, "fixed": fixed}
    return {"name": name, "pretrained": False, "architecture": facts}


NETWORKS: dict[str, list[tuple[str, dict]]] = {  # tiny networks of libraries, which an example of a part can't name
    "timm": [
        ("image", timm("test_resnet", {"zero_init_last": False})),
        ("image", timm("test_vit", {}, fixed=True)),
        ("image", timm("test_convnext", {"ls_init_value": 1.0})),
    ],
    "huggingface": [
        ("text", hugging(BERT)),
        ("text", hugging(ROBERTA, pool="cls")),
        ("text", hugging(T5)),
        ("image", hugging(VIT)),
        ("image", hugging(RESNET)),
        ("wave", hugging(WAV2VEC)),
        ("wave", hugging(WHISPER)),
    ],
}


def examples(kind: str) -> list[tuple[str, dict]]:
    """What a kind of encoder reads and its settings: the part's examples, else the defaults on all that it reads."""
    part = encoders.load_encoder(kind)
    own = [(field, choice) for field, choice in part.EXAMPLES if choice.get("kind", kind) == kind]
    return NETWORKS.get(kind) or own or [(modality, {}) for modality in part.MODALITIES]


CHOICES = {kind: examples(kind) for kind in encoders.TABLE}


def named(kind: str, field: str, choice: dict) -> str:
    """A case's id."""
    facts = choice.get("architecture", {}).get("config", {})
    values = [facts.get("model_type", "")] + [v for k, v in choice.items() if k not in ("architecture", "kind")]
    return "-".join([kind, field, *(str(v) for v in values if v != "")])


CASES = [
    pytest.param({**choice, "kind": kind}, field, id=named(kind, field, choice))
    for kind in encoders.TABLE
    for field, choice in CHOICES[kind]
]


FIXED = ("speech_embedding", "hog", "cepstra")  # nothing of them is trained
STUCK = ("speech_embedding-wave", "huggingface-wave-wav2vec2", "huggingface-wave-whisper")  # can't be exported


QUICK_EXPORTS = ("gru", "conv", "mlp")  # of texts, pictures and columns, and the cheapest: an export takes seconds


def exportable() -> list:
    """Parameters (settings, field) that can be exported. All but the first of ``QUICK_EXPORTS`` are for
    ``make test-long``."""
    found, quick = [], [*QUICK_EXPORTS]
    for case in CASES:
        if not str(case.id).startswith(STUCK):
            kind = case.values[0]["kind"]  # type: ignore[index]
            marks = [pytest.mark.slow] if kind in quick else [pytest.mark.slow, pytest.mark.long]
            found.append(pytest.param(case.values, id=case.id, marks=marks))
            if kind in quick:
                quick.remove(kind)
    return found


def chosen(*fields: str, learns: bool = False) -> list:
    """The cases of some kinds of field; on request only of encoders that learn."""
    found = [case for case in CASES if not fields or case.values[1] in fields]
    return [c for c in found if not learns or c.values[0]["kind"] not in FIXED]  # type: ignore[index]


GARBAGE = 3


def garbage(field: str, number: int) -> Tensor | int | float:
    """What no encoder could read: ids beyond every table, no numbers, infinite ones; of pictures any byte."""
    if field == "image":
        return (255, 0, 7)[number]
    return (10**9, -(10**9), 12)[number] if field == "text" else (torch.nan, torch.inf, -1e30)[number]
