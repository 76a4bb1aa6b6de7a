"""A recogniser that the run asks by itself: what it hears is what its library hears, once for each recording."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr

from suffuse import pipeline, teachers
from suffuse.data.columns import Columns
from suffuse.errors import SuffuseError, UsageError
from suffuse.prepare.raw_cells import RawRows
from suffuse.recipe import make_recipe
from suffuse.registry import load, settings
from suffuse.run import Run
from suffuse.teachers import Question
from suffuse.teachers.factory import ExternalTeacher, open_external
from suffuse.teachers.recognition import ctc_recogniser, whisper_recogniser
from suffuse.testing.teacher_checks import CHECKS

RATE = 8000
LETTERS = ("<pad>", "<s>", "</s>", "<unk>", "|", *"ABCDEFGH")
WAV = {
    "vocab_size": len(LETTERS), "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
    "intermediate_size": 16, "conv_dim": [8, 8], "conv_kernel": [80, 16], "conv_stride": [40, 16],
    "num_feat_extract_layers": 2, "num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2, "pad_token_id": 0,
}  # fmt: skip
SPECIAL = ("<|endoftext|>", "<|startoftranscript|>", "<|notimestamps|>")
WORDS = (*(f"w{n}" for n in range(16)), *SPECIAL)
WHISPER = {
    "d_model": 16, "encoder_layers": 1, "encoder_attention_heads": 2, "encoder_ffn_dim": 16, "decoder_layers": 1,
    "decoder_attention_heads": 2, "decoder_ffn_dim": 16, "num_mel_bins": 8, "vocab_size": len(WORDS),
    "max_source_positions": 100, "max_target_positions": 24, "pad_token_id": 16, "bos_token_id": 16, "eos_token_id": 16,
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
    network.save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor(do_normalize=True, sampling_rate=16_000).save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps({letter: n for n, letter in enumerate(LETTERS)}))
    transformers.Wav2Vec2CTCTokenizer(str(folder / "vocab.json")).save_pretrained(folder)
    return folder


def write_whisper(folder: Path) -> Path:
    """A Whisper of random weights that reads 2 s, with a tokenizer of words."""
    import torch
    import transformers
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    torch.manual_seed(5)
    network = transformers.WhisperForConditionalGeneration(transformers.WhisperConfig(**WHISPER))
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if weight.ndim > 1 and "embed_positions" not in name:
                weight.normal_(std=0.4)
    network.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)  # as in folders that were converted
    transformers.WhisperFeatureExtractor(feature_size=8, chunk_length=2).save_pretrained(folder)
    tokenizer = Tokenizer(models.WordLevel({word: n for n, word in enumerate(WORDS)}, unk_token="w0"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL])
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(scope="module")
def ctc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_ctc(tmp_path_factory.mktemp("ctc") / "letters")


@pytest.fixture(scope="module")
def whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_whisper(tmp_path_factory.mktemp("whisper") / "tiny")


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


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Read it, don't change it."""
    folder = tmp_path_factory.mktemp("recogniser")
    run = Run.of(raw_recipe(write_rows(folder)), folder / "run")
    pipeline.run_stage(run, "prepare")
    return run


@pytest.fixture(scope="module")
def columns(prepared: Run) -> Columns:
    return Columns.open(prepared.path("data"))


@pytest.fixture
def ask(prepared: Run, columns: Columns, tmp_path: Path) -> Callable[..., ExternalTeacher]:
    """Opens the recogniser with these settings, in a copy of the run where nothing was recognised yet."""
    folder = tmp_path / "run"
    shutil.copytree(prepared.folder, folder)

    def make(name: Path, task: dict[str, Any] | None = None, **more: Any) -> ExternalTeacher:
        chosen = settings(teachers.TABLE, {"kind": "recogniser", "name": str(name), **more})
        recipe = prepared.recipe.model_copy(update={"teacher": chosen})
        if task:
            tasks = {"words": recipe.data.task("words").model_copy(update=task)}
            recipe = recipe.model_copy(update={"data": recipe.data.model_copy(update={"tasks": tasks})})
        teacher = open_external(replace(prepared, folder=folder, recipe=recipe), columns)
        assert isinstance(teacher, ExternalTeacher)
        return teacher

    return make


def table(folder: Path) -> dict[str, dict[str, Any]]:
    """Row id -> the line of the table of transcripts."""
    file = folder / "run" / ".partial" / "teach" / "teacher" / "transcripts.jsonl"
    file = file if file.is_file() else next((folder / "run").rglob("transcripts.jsonl"))
    return {row["id"]: row for row in map(json.loads, file.read_text(encoding="utf-8").splitlines())}


def samples(run: Run, name: str) -> np.ndarray:
    """(N,) float32 at 16 kHz of a row's recording."""
    row = RawRows(run).ids.index(name)
    file = RawRows(run).cells("audio", np.array([row]))[0]
    heard, rate = soundfile.read(Path(run.recipe.data.source).parent / file, dtype="float32")
    return soxr.resample(heard, rate, 16_000, quality="HQ").astype(np.float32)


@pytest.mark.parametrize("kind", ["Wav2Vec2", "Hubert", "WavLM"])
def test_a_ctc_network_hears_what_transformers_decodes_greedily(ask, prepared, ctc, tmp_path, kind):
    import torch
    from transformers import AutoModelForCTC, AutoProcessor

    folder = ctc if kind == "Wav2Vec2" else write_ctc(tmp_path / kind, kind)
    ask(folder)
    rows = table(tmp_path)
    assert len(rows) == 19
    network, processor = AutoModelForCTC.from_pretrained(folder).eval(), AutoProcessor.from_pretrained(folder)
    for name in ("u0", "u6", "u19"):
        inputs = processor(samples(prepared, name), sampling_rate=16_000, return_tensors="pt")
        with torch.inference_mode():
            logits = network(**inputs).logits
        assert rows[name]["heard"] == rows[name]["transcript"] == processor.batch_decode(logits.argmax(-1))[0]
        p = logits[0].softmax(-1).max(-1).values
        assert rows[name]["confidence"] == pytest.approx(float(p.log().mean().exp()), abs=1e-5)
    assert len({row["heard"] for row in rows.values()}) > 10


@pytest.mark.parametrize("beam", [1, 3])
def test_whisper_hears_what_transformers_generates(ask, prepared, whisper, tmp_path, beam):
    import torch
    from tokenizers import Tokenizer
    from transformers import AutoFeatureExtractor, WhisperForConditionalGeneration

    ask(whisper, beam=beam, batch=3)
    rows = table(tmp_path)
    assert "u6" not in rows and len(rows) == 18  # 3 s
    network = WhisperForConditionalGeneration.from_pretrained(whisper).eval()
    network.generation_config.no_timestamps_token_id = WORDS.index("<|notimestamps|>")
    extractor = AutoFeatureExtractor.from_pretrained(whisper)
    tokenizer = Tokenizer.from_file(str(whisper / "tokenizer.json"))
    for name in ("u0", "u5", "u19"):
        features = extractor(samples(prepared, name), sampling_rate=16_000, return_tensors="pt").input_features
        with torch.inference_mode():
            tokens = network.generate(
                features, num_beams=beam, max_new_tokens=12, return_dict_in_generate=True
            ).sequences
            logits = network(features, decoder_input_ids=tokens[:, :-1]).logits[0]
        assert rows[name]["heard"] == tokenizer.decode(tokens[0].tolist())
        words = [n for n in range(1, tokens.shape[1]) if int(tokens[0, n]) < 16]
        p = torch.stack([logits[n - 1].log_softmax(-1)[tokens[0, n]] for n in words])
        assert rows[name]["confidence"] == pytest.approx(float(p.mean().exp()), abs=1e-4)
    assert len({row["heard"] for row in rows.values()}) > 5
