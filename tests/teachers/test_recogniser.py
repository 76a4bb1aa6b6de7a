"""A recogniser that the run asks by itself: what it hears is what its library hears, once for each recording."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
from recogniser_tools import WAV, WORDS, raw_recipe, write_ctc, write_rows, write_whisper
from teacher_tools import refusal

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
from suffuse.teachers.recognition.recogniser_folder import RecogniserModel
from suffuse.testing.teacher_checks import CHECKS
from suffuse.transcripts.spoken_digits import spell_digits


@pytest.fixture(scope="module")
def ctc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_ctc(tmp_path_factory.mktemp("ctc") / "letters")


@pytest.fixture(scope="module")
def whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_whisper(tmp_path_factory.mktemp("whisper") / "tiny")


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


def count_calls(monkeypatch: pytest.MonkeyPatch, most: int | None = None) -> list[int]:
    """How many recordings each call of the CTC network gets from here on; killed after so many calls."""
    calls: list[int] = []
    recognise = ctc_recogniser.CtcRecogniser.recognise

    def count(self: Any, recordings: Sequence[np.ndarray]) -> list[tuple[str, float]]:
        if most is not None and len(calls) == most:
            raise KeyboardInterrupt
        calls.append(len(recordings))
        return recognise(self, recordings)

    monkeypatch.setattr(ctc_recogniser.CtcRecogniser, "recognise", count)
    return calls


def test_nothing_is_recognised_twice(ask, ctc, monkeypatch, tmp_path):
    with monkeypatch.context() as patch:
        calls = count_calls(patch, most=2)
        with pytest.raises(KeyboardInterrupt):
            ask(ctc, batch=5)
        assert calls == [5, 5]
    calls = count_calls(monkeypatch)
    ask(ctc, batch=5)
    assert calls == [5, 3]  # 19 rows with a recording, two of them with the same one
    first = table(tmp_path)
    assert first["u4"] == {**first["u5"], "id": "u4"}
    ask(ctc, batch=1, min_confidence=0.5, spell_digits=True, covers=["note"])
    assert calls == [5, 3]
    assert table(tmp_path) == first
    ask(ctc, column="other")
    assert calls == [5, 3]  # that of u8
    assert list(table(tmp_path)) == ["u7"] and table(tmp_path)["u7"] == {**first["u8"], "id": "u7"}


def test_a_changed_folder_is_another_recogniser(ask, ctc, monkeypatch, tmp_path):
    folder = tmp_path / "changed"
    shutil.copytree(ctc, folder)
    before = ask(folder).fingerprint()
    calls = count_calls(monkeypatch)
    vocabulary = json.loads((folder / "vocab.json").read_text())
    vocabulary["A"], vocabulary["B"] = vocabulary["B"], vocabulary["A"]
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    assert ask(folder).fingerprint() != before
    assert sum(calls) == 18


def test_a_line_of_the_log_that_was_cut_off_or_isn_t_valid_is_recognised_again(ask, ctc, monkeypatch, tmp_path):
    ask(ctc)
    log = tmp_path / "run" / "answers" / "recognised.jsonl"
    lines, first = log.read_text().splitlines(keepends=True), table(tmp_path)
    wrong = json.dumps({**json.loads(lines[0]), "confidence": 2.0}) + "\n"
    log.write_text(wrong + "".join(lines[1:-1]) + lines[-1][:20])
    calls = count_calls(monkeypatch)
    ask(ctc)
    assert sum(calls) == 2
    assert table(tmp_path) == first


def test_rows_without_a_text_are_abstentions_with_a_reason(ask, columns, prepared, whisper, tmp_path):
    teacher = ask(whisper, column="audio", min_confidence=0.01)
    reasons = teacher.facts()["reasons"]
    assert reasons["a recording that is too long for the recogniser"] == 1
    facts = json.loads((tmp_path / "run" / ".partial" / "teach" / "teacher" / "transcripts.json").read_text())
    assert facts == {
        "model": "tiny",
        "abstentions": {"no recording": ["u3"], "a recording that is too long for the recogniser": ["u6"]},
    }
    assert reasons["no recording"] == 1
    assert teacher.facts()["model"] == "tiny"
    silent = np.isnan(teacher.answer(Question(np.arange(20)))["logits"]).any(1)
    assert sum(reasons.values()) == silent.sum() and silent[[3, 6]].all()


def test_a_row_without_a_recording_is_no_transcript_without_a_word(ask, ctc, columns):
    """Where an empty cell of a table would be one."""
    teacher = ask(ctc, task={"empty": ""})
    assert np.isnan(teacher.answer(Question(np.array([3])))["logits"]).all()
    assert teacher.facts()["reasons"]["no recording"] == 1


def test_the_filter_is_that_of_a_table(ask, ctc, whisper, tmp_path):
    plain = ask(ctc).facts()["reasons"]
    sure = sorted(row["confidence"] for row in table(tmp_path).values())
    middle = (sure[8] + sure[9]) / 2
    assert ask(ctc, min_confidence=middle).facts()["reasons"] == {**plain, "confidence too low": 9}
    same = ask(ctc, second={"name": str(ctc)}, max_word_error=0.0).facts()
    assert same["reasons"] == plain
    other = ask(ctc, second={"name": str(whisper)}, max_word_error=0.0).facts()["reasons"]
    assert other["too many word errors against the second transcript"] >= 10
    assert other["no second transcript"] == sum(not row["second_transcript"] for row in table(tmp_path).values()) >= 1
    assert table(tmp_path)["u0"]["second_transcript"].startswith("w")


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("beam", [1, 3])
def test_faster_whisper_hears_what_it_hears_of_the_samples(ask, prepared, tmp_path, beam):
    """Read, resampled and counted by suffuse, against the library's own text."""
    library = pytest.importorskip("faster_whisper", reason="needs the extra: pip install 'suffuse[faster-whisper]'")
    from ctranslate2.converters import TransformersConverter

    folder = write_whisper(tmp_path / "tiny", seconds=30, tokens=448)
    copied = ["tokenizer.json", "preprocessor_config.json"]
    converted = Path(TransformersConverter(str(folder), copy_files=copied).convert(str(tmp_path / "converted")))
    config = json.loads((converted / "config.json").read_text())
    config.update(suppress_ids=[], suppress_ids_begin=[])  # transformers' own numbers, beyond this vocabulary
    (converted / "config.json").write_text(json.dumps(config))
    ask(converted, beam=beam)
    rows = table(tmp_path)
    assert len(rows) == 19 and len({row["heard"] for row in rows.values()}) > 5
    network = library.WhisperModel(str(converted), device="cpu", cpu_threads=1)
    never = dict.fromkeys(("no_speech_threshold", "log_prob_threshold", "compression_ratio_threshold"))
    for name in ("u0", "u6", "u19"):
        options = {"beam_size": beam, "temperature": [0.0], "without_timestamps": True, "max_new_tokens": 224, **never}
        (segment,) = network.transcribe(samples(prepared, name), **options)[0]
        assert rows[name]["heard"] == segment.text.strip()
        assert rows[name]["confidence"] == pytest.approx(np.exp(segment.avg_logprob), abs=1e-4)


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("91472", "nine one four seven two"),
        ("at 9-1, 4 and 1,200.", "at nine one, four and one two zero zero."),
        ("007 (8)", "zero zero seven (eight)"),
        ("1, 3, 6.", "one, three, six."),
        ("3.5 2nd $5 50% 12:30 A4 £3 5€ x-1 1st. 4-by", "3.5 2nd $5 50% 12:30 A4 £3 5€ x-1 1st. 4-by"),
        ("٣ ４", "٣ ４"),  # digits of other scripts
        ("no number", "no number"),
    ],
)
def test_numbers_become_spoken_digits(text: str, spelled: str):
    assert spell_digits(text) == spelled


def test_spelled_numbers_stand_beside_what_was_heard(ask, ctc, monkeypatch, tmp_path):
    monkeypatch.setattr(ctc_recogniser.CtcRecogniser, "recognise", lambda self, sounds: [("42", 0.5)] * len(sounds))
    ask(ctc, spell_digits=True, second={"name": str(ctc)}, max_word_error=1.0)
    row = table(tmp_path)["u0"]
    assert (row["heard"], row["transcript"], row["second_transcript"]) == ("42", "four two", "four two")


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_it_keeps_to_a_teacher_s_contract(ask, ctc, columns, check):
    check(lambda: ask(ctc), np.arange(len(columns.split)), columns.spec.outputs)


def test_later_stages_open_no_network(prepared, ctc, columns, tmp_path):
    raw = raw_recipe(Path(prepared.recipe.data.source), name=str(shutil.copytree(ctc, tmp_path / "letters")))
    run = Run.of(raw, tmp_path / "run")
    for stage in ("prepare", "teach"):
        pipeline.run_stage(run, stage)
    shutil.rmtree(tmp_path / "letters")
    first = open_external(run, columns).fingerprint()
    recorded = json.loads((tmp_path / "run" / "teacher" / "training.json").read_text())
    assert recorded["fingerprint"] == first and recorded["kind"] == "recogniser"
    (tmp_path / "run" / "teacher" / "transcripts.jsonl").unlink()
    with pytest.raises(SuffuseError, match="table of transcripts is gone"):
        open_external(run, columns)


def test_a_network_or_a_folder_that_is_no_recogniser_is_refused(ask, ctc, whisper, hugging_folder, tmp_path):
    plain = hugging_folder({"model_type": "wav2vec2", **WAV}, {"feature_size": 1, "sampling_rate": 16_000})
    with pytest.raises(UsageError, match=r"no finished recogniser .*teacher\.name.*no weights for lm_head"):
        ask(plain)
    bert = {"model_type": "bert", "vocab_size": 20, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    with pytest.raises(UsageError, match="transformers refuses"):
        ask(hugging_folder({**bert, "intermediate_size": 8}, name="bert"))
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "config.json").write_text("{}")
    with pytest.raises(UsageError, match=r"holds no recogniser .*teacher\.name"):
        ask(tmp_path / "empty")
    with pytest.raises(UsageError, match=r"holds no recogniser .*library faster_whisper"):
        ask(ctc, library="faster_whisper")
    with pytest.raises(UsageError, match=r"no such recogniser .*teacher\.second\.name"):
        ask(ctc, second={"name": "some/where-else"}, max_word_error=0.1)
    with pytest.raises(UsageError, match=r"knows English alone .*teacher\.language"):
        ask(whisper, language="de")
    foreign = Path(shutil.copytree(whisper, tmp_path / "foreign"))
    shutil.copy(ctc / "preprocessor_config.json", foreign)
    with pytest.raises(UsageError, match=r"the extractor isn't the network's .*expected 200 at 16,000"):
        ask(foreign)
    with pytest.raises(UsageError, match=r"of Whisper alone .*teacher\.beam"):
        ask(ctc, beam=4)
    without = Path(shutil.copytree(whisper, tmp_path / "without"))
    (without / "tokenizer.json").unlink()
    with pytest.raises(UsageError, match=r"has no tokenizer .*no tokenizer\.json"):
        ask(without)


def test_pickled_weights_are_not_read(ask, ctc, tmp_path):
    import torch
    from safetensors.torch import load_file

    folder = Path(shutil.copytree(ctc, tmp_path / "pickled"))
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(UsageError, match="holds no recogniser"):
        ask(folder)


def test_a_library_that_isn_t_installed_is_named(ask, tmp_path, monkeypatch):
    folder = tmp_path / "converted"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.bin").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "faster_whisper", None)
    with pytest.raises(UsageError, match="faster_whisper isn't installed") as caught:
        ask(folder)
    assert caught.value.hint == "pip install 'suffuse[faster-whisper]'"


def test_several_languages_are_asked_for_by_their_tokens(whisper, tmp_path):
    """A folder without settings of generation is completed by its tokenizer."""
    from tokenizers import AddedToken, Tokenizer
    from transformers import WhisperForConditionalGeneration

    tokenizer = Tokenizer.from_file(str(whisper / "tokenizer.json"))
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in ("<|en|>", "<|yue|>")])
    network = WhisperForConditionalGeneration.from_pretrained(whisper)
    network.config.vocab_size = whisper_recogniser.MULTILINGUAL
    whisper_recogniser.complete_generation(network, tokenizer)
    found = network.generation_config
    assert found.is_multilingual and found.lang_to_id == {"<|en|>": 24, "<|yue|>": 25}
    assert found.task_to_id == {"transcribe": 19, "translate": 18}
    model = RecogniserModel("tiny", whisper, "transformers", "yue", 1, 1, "teacher")
    assert whisper_recogniser.language_options(found, model) == {"task": "transcribe", "language": "yue"}
    with pytest.raises(UsageError, match=r"doesn't know the language .*de.*en, yue"):
        whisper_recogniser.language_options(found, replace(model, language="de"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"teacher": {"classes": {"a": "b"}}}, "got classes with kind recogniser"),
        ({"teacher": {"max_word_error": 0.1}}, "max_word_error without second"),
        ({"teacher": {"second": {"name": "b"}}}, "second without max_word_error"),
        ({"teacher": {"spell_digits": True, "language": "de"}}, "got spell_digits with language de"),
        ({"teacher": {"modality": "note"}}, "teacher.modality: got 'note', expected one of kind audio: audio"),
        ({"modalities": {"clean": {"kind": "audio", "column": "other"}}},
         "teacher.modality: got none, expected one of kind audio: audio, clean"),
        ({"modalities": {"audio": {"kind": "sequence", "column": "audio", "features": 1}}},
         "teacher.modality: got none, expected a recipe with a modality of kind audio"),
        ({"distill": {"losses": {"soft": {"kind": "ctc_kd"}}}}, "a teacher whose transcripts have no times"),
        ({"distill": {"losses": {"soft": {"kind": "guided_ctc"}}}}, "a teacher whose transcripts have no times"),
    ],
)  # fmt: skip
def test_what_doesn_t_go_with_a_recogniser_is_refused(changes: dict[str, dict], words: str):
    raw = raw_recipe(Path("rows.csv"))
    if "clean" in changes.get("modalities", {}):
        raw["student"]["encoders"]["clean"] = raw["student"]["encoders"]["audio"]
    assert words in refusal(raw, changes)


def test_it_needs_a_target_that_is_a_sequence():
    raw = raw_recipe(Path("rows.csv"))
    raw["data"]["tasks"] = {}
    raw["student"]["fusion"] = {"kind": "late"}
    with pytest.raises(UsageError, match=r"teacher\.kind: got recogniser, expected a target of kind tokens"):
        make_recipe(raw)


def test_the_default_losses_learn_from_the_texts():
    assert make_recipe(raw_recipe(Path("rows.csv"))).distill.losses["soft"].kind == "sequence_kd"


def test_its_settings_load_without_torch_and_name_its_folders(tmp_path):
    part: Any = load(teachers.TABLE, "recogniser")
    raw = {"name": "a", "second": {"name": "b"}, "max_word_error": 0.1}
    (tmp_path / "a").mkdir()
    placed = part.Settings(**raw).placed(tmp_path)
    assert placed.references() == {"name": str(tmp_path / "a"), "second.name": "b"}
