"""The example answers as Python does: whole exports, real rows, any modality missing. What it can't do it refuses."""

from __future__ import annotations

import csv
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile
from export_tools import exported, mixed_export, recipe, without, written
from PIL import Image

from suffuse.modalities.audio_ops import as_wav
from suffuse.predictor import Predictor

pytestmark = pytest.mark.slow
SUBSETS = ("picture+question", "picture", "question", "nothing")


def compare(predict: Callable, export: Path, records: list[dict], root: Path, place: Path) -> list[dict]:
    """Same answers, probabilities within 1e-5, the same modalities used."""
    columns = dict.fromkeys(column for record in records for column in record)
    records = [record or columns for record in records]  # of an empty record Python asks which model it is for
    done = predict(export, written(records, place / "records.jsonl"), root)
    assert done.returncode == 0, done.stderr
    ours = [json.loads(line) for line in done.stdout.splitlines()]
    theirs = Predictor.load(export).predict(records, root)
    assert len(ours) == len(theirs) == len(records)
    for one, other in zip(ours, theirs, strict=True):
        assert set(one["absent"]) == set(other.absent)
        assert set(one["partly"]) == set(other.partly)
        for target, answer in other.answers.items():
            got = one["answers"][target]
            assert got["probabilities"] == pytest.approx(answer.probabilities, abs=1e-5)
            if isinstance(answer.value, float):
                assert got["value"] == pytest.approx(answer.value, rel=1e-5, abs=1e-5)
            else:
                assert got["value"] == (list(answer.value) if isinstance(answer.value, tuple) else answer.value)
                assert got["confidence"] == pytest.approx(answer.confidence, abs=1e-5)
    return ours


@pytest.mark.parametrize("count", [60, pytest.param(200, marks=pytest.mark.long)])
def test_real_pictures_and_questions_in_any_company(predict, questions, tmp_path, count) -> None:
    export, root, records = questions
    records = without(records[:count], ["picture", "question"])
    assert {len(r) for r in records} == {0, 1, 2}
    found = compare(predict, export, records, root, tmp_path)
    assert len({one["answers"]["answer"]["value"] for one in found}) > 2


def test_temperatures_of_each_subset_are_used(predict, questions, tmp_path) -> None:
    export, root, records = questions
    copy = shutil.copytree(export, tmp_path / "export")
    said = {name: {"answer": 0.5 + n} for n, name in enumerate(SUBSETS)}
    sign(copy, temperatures=said)
    records = without(records[:60], ["picture", "question"])
    warm = compare(predict, copy, records, root, tmp_path)
    plain = [json.loads(line) for line in predict(export, tmp_path / "records.jsonl", root).stdout.splitlines()]
    moved = [
        abs(a["answers"]["answer"]["confidence"] - b["answers"]["answer"]["confidence"])
        for a, b in zip(warm, plain, strict=True)
    ]
    assert min(moved) > 1e-4


def sign(folder: Path, **said) -> None:
    """Changes what a signature says, as an export would have said it."""
    from suffuse.predictor import SIGNATURE, digest

    facts = {**json.loads((folder / SIGNATURE).read_text()), **said}
    (folder / SIGNATURE).write_text(json.dumps({**facts, "digest": digest(facts)}))


@pytest.mark.long
@pytest.mark.real
def test_real_recordings_and_pictures(predict, shared_data, tmp_path) -> None:
    with (shared_data / "avmnist10k" / "manifest.csv").open(encoding="utf-8", newline="") as file:
        rows = random.Random(0).sample(list(csv.DictReader(file)), 260)
    for row in rows:  # the recordings are FLAC, which the example doesn't read
        samples, rate = soundfile.read(shared_data / "avmnist10k" / row["audio"], dtype="int16")
        row["audio"] = f"{row['id']}.wav"
        (tmp_path / row["audio"]).write_bytes(as_wav(samples, rate))
        row["image"] = f"{row['id']}.png"
        shutil.copy(shared_data / "avmnist10k" / "images" / row["image"], tmp_path)
    with (tmp_path / "rows.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    modalities = {
        "picture": {"kind": "image", "column": "image", "size": 20},
        "sound": {"kind": "audio", "column": "audio", "rate": 8000, "mels": 24, "seconds": 1, "trim": 40},
    }
    encoders = {"picture": {"kind": "conv", "widths": [8]}, "sound": {"kind": "conv1d", "widths": [8]}}
    made = recipe(tmp_path / "rows.csv", modalities, encoders, target="label")
    records = without([{k: row[k] for k in ("image", "audio")} for row in rows[:200]], ["image", "audio"])
    found = compare(predict, exported(made, tmp_path), records, tmp_path, tmp_path)
    assert {"+".join(one["used"]) for one in found} == {"picture+sound", "picture", "sound", ""}


@pytest.mark.long
def test_columns_texts_and_series_with_targets_of_every_kind(predict, tmp_path) -> None:
    export, records = mixed_export(tmp_path)
    found = compare(predict, export, without(records, list(records[0])), tmp_path, tmp_path)
    assert all(set(one["answers"]) == {"answer", "tags", "amount"} for one in found)
    assert any(one["partly"] for one in found)


def test_what_can_not_be_answered_alike_is_refused_or_left_out(predict, questions, tmp_path) -> None:
    export, root, records = questions
    rows = written([records[0]], tmp_path / "rows.jsonl")
    assert "no input 'pictur'" in predict(export, written([{"pictur": "a"}], tmp_path / "a.jsonl"), root).stderr
    assert "line 1" in predict(export, written(["text"], tmp_path / "b.jsonl"), root).stderr  # type: ignore[list-item]
    assert "is no export" in predict(tmp_path, rows, root).stderr
    assert "usage" in predict().stderr
    for name in ("model.onnx", "question.tokenizer.json"):
        copy = shutil.copytree(export, tmp_path / f"copy-{name}")
        (copy / name).write_bytes((copy / name).read_bytes()[:-1])
        done = predict(copy, rows, root)
        assert done.returncode == 1 and f"{name} is not the exported file" in done.stderr
    secret = tmp_path / "secret.png"
    Image.new("RGB", (64, 64)).save(secret)
    Image.new("RGB", (64, 64)).save(tmp_path / "photo.jpg")
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / "link.png").symlink_to(secret)
    shutil.copy(tmp_path / "photo.jpg", tmp_path / "inside")
    wrong = ["../secret.png", str(secret), "link.png", "none.png", "photo.jpg", 7]
    done = predict(export, written([{"picture": w} for w in wrong], tmp_path / "c.jsonl"), tmp_path / "inside")
    reasons = [json.loads(line)["absent"]["picture"] for line in done.stdout.splitlines()]
    outside = "outside the data root"
    assert reasons[:4] == [outside, outside, outside, "no such file"]
    assert "not a PNG" in reasons[4] and "expected a path" in reasons[5]


def test_kinds_that_it_does_not_know_are_named(predict, questions, tmp_path) -> None:
    export, root, records = questions
    rows = written(records[:1], tmp_path / "rows.jsonl")
    facts = json.loads((export / "signature.json").read_text())
    picture, question = facts["modalities"]
    changes = {
        "cut by spacy": [picture, {**question, "settings": {**question["settings"], "tokens": "spacy"}}],
        "pretrained tokenizer": [picture, {**question, "settings": {**question["settings"], "tokenizer": "x"}}],
        "video is not read": [{**picture, "kind": "video"}, question],
    }
    for number, (words, modalities) in enumerate(changes.items()):
        copy = shutil.copytree(export, tmp_path / str(number))
        (copy / "signature.json").write_text(json.dumps({**facts, "modalities": modalities}))
        done = predict(copy, rows, root)
        assert done.returncode == 1 and words in done.stderr and "at " not in done.stderr
