"""Recognisers of random weights, and a run with recordings that they write down."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

RATE = 8000
LETTERS = ("<pad>", "<s>", "</s>", "<unk>", "|", *"ABCDEFGH")
WAV = {
    "vocab_size": len(LETTERS), "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
    "intermediate_size": 16, "conv_dim": [8, 8], "conv_kernel": [80, 16], "conv_stride": [40, 16],
    "num_feat_extract_layers": 2, "num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2, "pad_token_id": 0,
}  # fmt: skip
SPECIAL = tuple(
    f"<|{name}|>"
    for name in ("endoftext", "startoftranscript", "translate", "transcribe", "startoflm", "startofprev", "nospeech",
                 "notimestamps")
)  # fmt: skip
WORDS = (*(f"w{n}" for n in range(16)), *SPECIAL)
WHISPER = {
    "d_model": 16, "encoder_layers": 1, "encoder_attention_heads": 2, "encoder_ffn_dim": 16, "decoder_layers": 1,
    "decoder_attention_heads": 2, "decoder_ffn_dim": 16, "num_mel_bins": 8, "vocab_size": len(WORDS),
    "pad_token_id": 16, "bos_token_id": 16, "eos_token_id": 16,
    "decoder_start_token_id": 17,
}  # fmt: skip


def write_ctc(folder: Path, kind: str = "Wav2Vec2") -> Path:
    """A CTC network of random weights with an extractor and a tokenizer of letters."""
    import torch
    import transformers

    torch.manual_seed(4)
    network = getattr(transformers, f"{kind}ForCTC")(getattr(transformers, f"{kind}Config")(**WAV))
    with torch.no_grad():
        network.lm_head.weight.normal_(std=3.0)  # else a frame is as its neighbour
        network.lm_head.bias[1:4] = -99.0  # no <s>, </s> and <unk>: the run's units lack them
    network.save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor(do_normalize=True, sampling_rate=16_000).save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps({letter: n for n, letter in enumerate(LETTERS)}))
    transformers.Wav2Vec2CTCTokenizer(str(folder / "vocab.json")).save_pretrained(folder)
    return folder


def write_whisper(folder: Path, seconds: int = 2, tokens: int = 24) -> Path:
    """A Whisper of random weights that reads so many seconds and writes half of so many tokens, which are words."""
    import torch
    import transformers
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    torch.manual_seed(5)
    network = transformers.WhisperForConditionalGeneration(
        transformers.WhisperConfig(**WHISPER, max_source_positions=50 * seconds, max_target_positions=tokens)
    )
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if weight.ndim > 1 and "embed_positions" not in name:
                weight.normal_(std=3.0 if "encoder_attn" in name else 0.4)  # it hears the recording
        network.model.decoder.embed_tokens.weight[WORDS.index("<|startoftranscript|>") :] = (
            0.0  # it writes none of these
        )
    network.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)  # as in folders that were converted
    transformers.WhisperFeatureExtractor(feature_size=8, chunk_length=seconds).save_pretrained(folder)
    tokenizer = Tokenizer(models.WordLevel({word: n for n, word in enumerate(WORDS)}, unk_token="w0"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL])
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def raw_recipe(source: Path, **teacher: Any) -> dict[str, Any]:
    """A recipe whose teacher is a recogniser."""
    return {
        "data": {
            "source": str(source), "target": "words", "id": "id", "split": {"column": "split"},
            "tasks": {"words": {"kind": "tokens", "units": "characters", "frame": 10}},
        },
        "modalities": {
            "audio": {"kind": "audio", "column": "audio", "rate": RATE, "mels": 8, "seconds": 5},
            "note": {"kind": "text", "column": "note", "tokens": "words"},
        },
        "teacher": {"kind": "recogniser", "name": "letters", **teacher},
        "student": {"encoders": {
            "audio": {"kind": "conv1d", "widths": [4], "kernel": 3}, "note": {"kind": "tcn", "width": 4},
        }},
        "distill": {"num_seeds": 1, "train": {"epochs": 1, "batch": 8}, "unimodal_baselines": False},
        "export": {"int8": "off", "teacher": False},
        "compute": {"threads": 1},
    }  # fmt: skip


def write_rows(folder: Path, rows: int = 20) -> Path:
    """Recordings of tones: u3 has none, u5 has that of u4, u6 lasts 3 s; u7 has another one in the column ``other``."""
    random = np.random.default_rng(0)
    with (folder / "rows.csv").open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(["id", "audio", "words", "split", "note", "other"])
        for row in range(rows):
            times = np.arange(round((3.0 if row == 6 else 0.5 + 0.05 * row) * RATE)) / RATE
            tones = np.sin(2 * np.pi * times * np.repeat(random.uniform(200, 3000, 60), RATE // 10)[: len(times)])
            soundfile.write(folder / f"{row}.flac", 0.3 * tones + 0.01 * random.normal(size=len(times)), RATE)
            file = "" if row == 3 else f"{4 if row == 5 else row}.flac"
            split = "train" if row < 12 else "validation" if row < 16 else "test"
            words = f"{'abcdefgh'[row % 8]} {'hgfedcba'[row // 3]}" if row != 11 else "abcdefgh"
            writer.writerow([f"u{row}", file, words, split, f"note {row}", "8.flac" if row == 7 else ""])
    return folder / "rows.csv"
