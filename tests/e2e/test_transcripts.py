"""Speech recognition, from recordings and transcripts to words of an exported student."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml
from e2e_tools import check_success, suffuse
from starlette.testclient import TestClient
from transcript_tools import GAP, LONG, RATE, recipe, utterance, write_table

from suffuse import Predictor, Run
from suffuse.files import read_json
from suffuse.serving.app import application
from suffuse.serving.limits import Limits


@pytest.fixture(scope="module")
def project(build_once) -> Path:
    """A finished run in ``run``, and what it printed in ``said.txt``."""

    def make(folder: Path) -> None:
        write_table(folder)
        (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe()), encoding="utf-8")
        result = check_success(suffuse("run", "recipe.yaml", "--out", "run", cwd=folder))
        (folder / "said.txt").write_text(result.out, encoding="utf-8")

    return build_once("transcripts", recipe(), make)


@pytest.fixture(scope="module")
def predictor(project: Path) -> Predictor:
    return Predictor.load(project / "run" / "export")


def card(project: Path, model: str) -> dict:
    return read_json(project / "run" / "scores" / f"{model}.json")


@pytest.mark.slow
@pytest.mark.long
def test_the_student_writes_down_what_it_hears(project: Path):
    metrics = card(project, "export")["metrics"]
    assert metrics["word_error_rate"]["mean"] < 0.15
    errors = sum(metrics[name]["mean"] for name in ("substitutions", "deletions", "insertions"))
    assert errors == pytest.approx(metrics["word_error_rate"]["mean"])
    assert metrics["word_accuracy"]["mean"] == pytest.approx(1 - metrics["word_error_rate"]["mean"])
    assert next(iter(metrics)) == "word_accuracy"


@pytest.mark.slow
@pytest.mark.long
def test_the_constant_prediction_is_an_empty_transcript(project: Path):
    metrics = card(project, "majority")["metrics"]
    assert metrics["word_accuracy"]["mean"] == 0 and metrics["deletions"]["mean"] == 1


@pytest.mark.slow
@pytest.mark.long
def test_without_its_recording_a_teacher_writes_nothing(project: Path):
    subsets = card(project, "teacher")["missing"]["subsets"]
    assert subsets["note"]["mean"] == 0
    assert subsets["audio"]["mean"] > 0.3


def test_rows_that_can_t_be_learned_from_are_counted(tmp_path: Path):
    write_table(tmp_path)
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe()), encoding="utf-8")
    check_success(suffuse("prepare", "recipe.yaml", "--out", "run", cwd=tmp_path))
    schema = read_json(tmp_path / "run" / "data" / "schema.json")
    assert schema["labelled"]["train"] == schema["rows"]["train"] - 3
    notes = (tmp_path / "run" / "data" / "quarantine.csv").read_text(encoding="utf-8")
    assert "its transcript needs 119 frames, its recording has" in notes
    assert "words not in training: 'xylophone'" in notes
    assert schema["heads"][0]["classes"] == ["bo", "di", "ka", "lu"]


@pytest.mark.slow
@pytest.mark.long
def test_a_new_recording_becomes_words_with_their_times(predictor: Predictor):
    samples, times = utterance(["ka", "bo", "bo", "lu"], np.random.default_rng(7))
    answer = predictor.predict({"audio": (samples.astype(np.float32), RATE)}).first
    assert answer.value == "ka bo bo lu"
    assert [word.text for word in answer.words] == ["ka", "bo", "bo", "lu"]
    assert answer.confidence is not None and 0.5 < answer.confidence <= 1
    for word, (start, end) in zip(answer.words, times, strict=True):
        assert start - 0.13 < word.start < word.end < end + 0.13


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("what", ["silence", "nothing", "noise", "long"])
def test_what_holds_no_word_is_an_answer_all_the_same(predictor: Predictor, what: str):
    random = np.random.default_rng(3)
    samples = {
        "silence": 1e-4 * random.normal(size=RATE),
        "noise": 0.01 * random.normal(size=RATE),
        "long": np.concatenate([utterance(["di", "ka"], random)[0], 0.01 * random.normal(size=20 * RATE)]),
    }
    record = {} if what == "nothing" else {"audio": (samples[what].astype(np.float32), RATE)}
    prediction = predictor.predict([{"audio": None, **record}])[0]
    value = prediction.first.value
    assert isinstance(value, str)
    if what == "nothing":
        assert value == "" and prediction.used == () and "audio" in prediction.absent
    if what == "long":  # cut, and said so
        assert value.startswith("di ka") and "cut" in prediction.partly["audio"]


@pytest.mark.slow
@pytest.mark.long
def test_scores_of_the_exported_student_are_those_of_its_predictions(project: Path, predictor: Predictor):
    import pyarrow.csv as pc

    rows = [row for row in pc.read_csv(project / "rows.csv").to_pylist() if row["split"] == "test"]
    metrics = predictor.evaluate(rows, project)["words"]
    stored = card(project, "export")["metrics"]
    # a word that training never has counts as one character in a run, which doesn't know its text
    for name in ("word_accuracy", "word_error_rate", "exact_match"):
        assert metrics[name] == pytest.approx(stored[name]["mean"], abs=1e-9), name


@pytest.mark.slow
@pytest.mark.long
def test_a_table_is_predicted_with_a_column_of_texts(project: Path, tmp_path: Path):
    check_success(
        suffuse("predict", project / "run" / "export", project / "rows.csv", "-o", tmp_path / "said.jsonl", cwd=project)
    )
    first = json.loads((tmp_path / "said.jsonl").read_text(encoding="utf-8").splitlines()[5])
    assert set(first) == {"id", "words", "confidence", "line", "absent", "used"} or "answer(words)" in first
    assert first["used"] == "audio" and isinstance(first["confidence"], float)


@pytest.mark.slow
@pytest.mark.long
def test_the_report_and_the_terminal_speak_of_words(project: Path):
    said = (project / "said.txt").read_text(encoding="utf-8")
    assert "word accuracy" in said and "character error rate" in said
    page = (project / "run" / "report.html").read_text(encoding="utf-8")
    assert "Word error rate" in page and "Transcript" in page


@pytest.mark.slow
@pytest.mark.long
def test_a_run_s_students_are_read_again_with_their_frames(project: Path):
    run = Run.open(project / "run")
    spec = read_json(run.path("student", "seed-1", "config.json"))["spec"]
    assert spec["heads"][0]["frame"] == pytest.approx(0.04) and spec["log_prior"] == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"student": {"encoders": {"note": {"kind": "gru"}}}}, "student.encoders"),
        ({"data": {**recipe()["data"], "tasks": {"words": {"kind": "tokens", "frame": 35}}}}, "a multiple of 10"),
        ({"data": {**recipe()["data"], "tasks": {"words": {"kind": "classes", "frame": 20}}}}, "got frame beside"),
        ({"student": {**recipe()["student"], "fusion": {"kind": "concat"}}}, "student.fusion.kind"),
    ],
)
def test_what_doesn_t_go_with_a_transcript_is_refused(tmp_path: Path, changes: dict, words: str):
    write_table(tmp_path, 20)
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe(**changes)), encoding="utf-8")
    result = suffuse("prepare", "recipe.yaml", "--out", "run", cwd=tmp_path)
    assert result.code == 2 and words in result.err


@pytest.mark.slow
@pytest.mark.long
def test_seconds_with_words_explain_the_text(project: Path):
    """The stretches of a recording in which nothing is said say next to nothing."""
    result = check_success(suffuse("explain", "run", "--row", "u140", "--json", cwd=project))
    student = json.loads(result.out)["models"]["student"]
    row = next(row for row in csv.DictReader((project / "rows.csv").open(encoding="utf-8")) if row["id"] == "u140")
    assert student["answer"] == row["words"] and student["unit"] == "log-probability"
    audio = next(item for item in student["modalities"] if item["name"] == "audio")
    assert audio["value"] > 0.5  # of the text's probability; without the recording there is none
    parts = student["parts"]["audio"]["items"]
    assert sum(part["value"] for part in parts) == pytest.approx(student["parts"]["audio"]["sum"], abs=0.2)
    spoken = GAP + len(row["words"].split()) * (LONG + GAP)
    late = [part for part in parts if float(part["name"].split(" ")[0]) > spoken + 0.1]
    assert all(abs(part["share"]) < 0.1 for part in late)


@pytest.mark.slow
@pytest.mark.long
def test_the_server_answers_with_words_and_their_times(predictor: Predictor):
    app = application({"said": predictor}, Limits(), 1)
    samples, _ = utterance(["di", "lu"], np.random.default_rng(5))
    clip = io.BytesIO()
    soundfile.write(clip, samples, RATE, format="WAV")
    with TestClient(app) as client:
        for limit in ({}, {"_top_k": "1"}):
            reply = client.post("/v1/models/said/predict", files={"audio": ("a.wav", clip.getvalue())}, data=limit)
            answer = reply.json()["predictions"][0]["answers"]["words"]
            assert answer["value"] == "di lu" and answer["probabilities"] == {}
            assert [word["text"] for word in answer["words"]] == ["di", "lu"]
            assert 0 <= answer["words"][0]["start"] < answer["words"][0]["end"] <= answer["words"][1]["start"]
        names = [output["name"] for output in client.get("/v2/models/said").json()["outputs"]]
        assert names == ["words", "words.confidence", "present"]
