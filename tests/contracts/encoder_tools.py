"""What the tests of encoders share: fields of every kind, entries for them, and cases for every line of the table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from suffuse import encoders, modalities
from suffuse.registry import load, settings
from suffuse.types import Encoded, Field

STEPS = {"features": 3, "length": 9, "mean": [0.1, 0.2, -0.3], "std": [1.5, 0.5, 1.0]}
FIELDS = {
    "image": Field("picture", "image", {"size": 32, "mean": [0.5] * 3, "std": [0.2] * 3}),
    "text": Field("question", "text", {"vocabulary": 12, "length": 6, "idf": [0.0, 0.0, *[1.5] * 10]}),
    "audio": Field("sound", "audio", STEPS),
    "sequence": Field("track", "sequence", STEPS),
    "wave": Field("sound", "audio", {"features": 1, "rate": 16_000, "length": 4000, "mean": [0.1], "std": [0.3]}),
    "tabular": Field("row", "tabular", {"numbers": 2, "categories": [3, 5]}),
}


def encoded_examples(kind: str) -> tuple[Field, Tensor]:
    """A modality's first example, fitted on its example cells, and their entries."""
    part = modalities.load_modality(kind)
    chosen: Any = settings(modalities.TABLE, {"column": "c", **part.EXAMPLES[0], "kind": kind})
    items: Any = [part.load(chosen, cell, Path())[1] for cell in part.examples(chosen)]
    items = np.stack(items) if isinstance(items[0], np.ndarray) and items[0].ndim != 2 else items
    statistics = part.fit(chosen, items)
    return Field(kind, kind, statistics), torch.from_numpy(part.encode(chosen, statistics, items))


EXAMPLES = {kind: encoded_examples(kind) for kind in modalities.TABLE if kind not in FIELDS}
FIELDS |= {kind: field for kind, (field, _) in EXAMPLES.items()}
LENGTHS = {"text": 6, "audio": 9, "sequence": 9, "wave": 1200}

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
STUCK = ("speech_embedding-wave", "huggingface-wave-wav2vec2")  # can't be exported


def exportable() -> list:
    """Parameters (settings, field) that can be exported; all but the first of each kind are for ``make test-long``, and
    the one whose export takes as long as five others."""
    found, kinds = [], {"efficientnet_lite"}
    for case in CASES:
        if not str(case.id).startswith(STUCK):
            kind = case.values[0]["kind"]  # type: ignore[index]
            marks = [pytest.mark.slow] if kind not in kinds else [pytest.mark.slow, pytest.mark.long]
            found.append(pytest.param(case.values, id=case.id, marks=marks))
            kinds.add(kind)
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


class Built:
    """An encoder with random weights."""

    def __init__(self, asked: dict, field: str, seed: int = 0):
        self.part = load(encoders.TABLE, asked["kind"])
        self.name, self.field, self.chosen = field, FIELDS[field], settings(encoders.TABLE, asked)
        if hasattr(self.part, "resolved"):
            self.chosen = self.part.resolved(self.chosen)
        torch.manual_seed(seed)
        self.layers = self.part.layers(self.chosen, self.field)
        if getattr(self.chosen, "pretrained", False):
            self.part.initialise(self.chosen, self.layers, self.field)

    def __call__(self, x: Tensor) -> Encoded:
        return self.part.encode(self.chosen, self.layers, x)

    def settled(self) -> Built:
        """In eval mode, with the running statistics of its entries, or those that came with its weights."""
        if not getattr(self.chosen, "pretrained", False):
            for norm in self.norms():
                norm.momentum = 1.0
            self(self.entries())
        self.layers.eval()
        return self

    def norms(self) -> list:
        """Layers with batch statistics."""
        return [m for m in self.layers.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]

    def entries(self, count: int = 6) -> Tensor:
        """Random entries; texts and frames of one to their longest."""
        return entries(self.name, count)

    def padded(self, x: Tensor, more: int) -> Tensor:
        """With more padding; what stands in a padding frame is anything."""
        if self.name == "text":
            return torch.nn.functional.pad(x, (0, more))
        junk = torch.randn(len(x), more, x.shape[2]) * 100
        junk[:, :, -1] = 0
        return torch.cat([x, junk], dim=1)


def entries(field: str, count: int = 6) -> Tensor:
    """Random entries as a modality's ``encode``, and the model's normalisation of pictures, make them."""
    torch.manual_seed(1)
    if field in EXAMPLES:
        return EXAMPLES[field][1][torch.arange(count) % len(EXAMPLES[field][1])]
    if field == "image":
        return torch.randn(count, 3, 32, 32)
    if field == "tabular":
        codes = torch.stack([torch.arange(count) % size for size in (3, 5)], dim=1)
        numbers = torch.randn(count, 2)
        missing = (torch.arange(count)[:, None] + torch.arange(2)) % 3 == 0
        return torch.cat([numbers.masked_fill(missing, 0), missing, codes], dim=1).float()
    longest = LENGTHS[field]
    lengths = 1 + (torch.arange(count) * (longest - 1)) // max(count - 1, 1)
    real = torch.arange(longest) < lengths.unsqueeze(1)
    if field == "text":
        return torch.randint(2, 12, (count, longest)) * real
    frames = torch.randn(count, longest, FIELDS[field].statistics["features"])
    frames = frames.clamp(-1, 1) if field == "wave" else frames
    return torch.cat([frames * real.unsqueeze(2), real.unsqueeze(2)], dim=2)
