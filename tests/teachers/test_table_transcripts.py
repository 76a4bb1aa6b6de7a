"""A table of transcripts as the teacher: matched with the run's units, filtered, counted, and learned from."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from teacher_tools import refusal

from suffuse import pipeline, teachers
from suffuse.data.columns import Columns
from suffuse.errors import SuffuseError, UsageError
from suffuse.prepare.raw_cells import RawRows
from suffuse.recipe import make_recipe
from suffuse.registry import settings
from suffuse.run import Run
from suffuse.teachers import Question
from suffuse.teachers.factory import ExternalTeacher, open_external
from suffuse.teachers.transcript_answers import LEAST_ABOVE_CHANCE, needed_frames, row_frames, spelled
from suffuse.transcripts.ctc_decoding import greedy, log_softmax
from suffuse.transcripts.text_matching import TextMatcher
from suffuse.types import TOKENS, Head

RATE = 4000
WORDS = ("bo", "di", "ka", "lu")
CHARACTERS = Head("said", TOKENS, tuple(" 'abé"), units="characters", frames=12, frame=0.04, length=6)
SOUND = {"kind": "conv1d", "widths": [4], "kernel": 3}


def raw_recipe(source: Path, **teacher: Any) -> dict[str, Any]:
    """A recipe whose teacher is a table of transcripts."""
    return {
        "data": {
            "source": str(source), "target": "words", "id": "id", "split": {"column": "split"},
            "tasks": {"words": {"kind": "tokens", "units": "words", "frame": 40}},
        },
        "modalities": {"audio": {"kind": "audio", "column": "audio", "rate": RATE, "mels": 8, "seconds": 2}},
        "teacher": {"kind": "table", "file": "heard.csv", "form": "transcripts", "column": "heard", **teacher},
        "student": {"encoders": {"audio": SOUND}},
        "distill": {"num_seeds": 1},
    }  # fmt: skip


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Twenty recordings of noise, u0 of 0.2 s, the others of 1 s; u3 has none, so prepare leaves it out."""
    folder, random = tmp_path_factory.mktemp("heard"), np.random.default_rng(0)
    with (folder / "rows.csv").open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(["id", "audio", "words", "split"])
        for row in range(20):
            seconds = 0.2 if row == 0 else 1.0
            soundfile.write(folder / f"{row}.wav", 0.1 * random.normal(size=round(seconds * RATE)), RATE)
            file = "" if row == 3 else f"{row}.wav"
            split = "train" if row < 12 else "validation" if row < 16 else "test"
            writer.writerow([f"u{row}", file, f"{WORDS[row % 4]} {WORDS[row // 4 % 4]}", split])
    run = Run.of(raw_recipe(folder / "rows.csv"), folder / "run")
    pipeline.run_stage(run, "prepare")
    return run


@pytest.fixture(scope="module")
def columns(prepared: Run) -> Columns:
    return Columns.open(prepared.path("data"))


@pytest.fixture
def open_table(prepared: Run, columns: Columns, tmp_path: Path):
    """Opens the teacher of a table with these cells."""

    def make(rows: list[dict[str, Any]], task: dict[str, Any] | None = None, **more: Any) -> ExternalTeacher:
        file = tmp_path / "heard.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        raw = {"kind": "table", "file": str(file), "form": "transcripts", "column": "heard", **more}
        recipe = prepared.recipe.model_copy(update={"teacher": settings(teachers.TABLE, raw)})
        if task:
            tasks = {"words": recipe.data.task("words").model_copy(update=task)}
            recipe = recipe.model_copy(update={"data": recipe.data.model_copy(update={"tasks": tasks})})
        teacher = open_external(replace(prepared, recipe=recipe), columns)
        assert isinstance(teacher, ExternalTeacher)
        return teacher

    return make


def texts(teacher: ExternalTeacher, prepared: Run, columns: Columns) -> dict[str, str | None]:
    """Row id -> what greedy decoding makes of the answer; None of an abstention."""
    head, rows = columns.spec.heads[0], np.arange(len(columns.split))
    logits = teacher.answer(Question(rows))["logits"]
    found: dict[str, str | None] = {}
    for name, row in zip(RawRows(prepared).ids, logits, strict=True):
        units = () if np.isnan(row).any() else greedy(log_softmax(row.reshape(head.frames, -1))).units
        found[name] = None if np.isnan(row).any() else " ".join(head.classes[unit - 1] for unit in units)
    return found


@pytest.mark.parametrize("confidence", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("units", [(), (1,), (1, 1, 1), (1, 2, 3, 4, 5, 5), (2, 1, 2, 1, 2, 1, 2, 1), (5,) * 6])
def test_greedy_decoding_gives_a_spelled_text_back(units: tuple[int, ...], confidence: float):
    needed, width = needed_frames(units), CHARACTERS.frame_outputs
    for frames in {needed, min(needed + 1, 12), 12}:
        logits = spelled(CHARACTERS, units, confidence, frames).astype(np.float16).reshape(12, width)
        hypothesis = greedy(log_softmax(logits))
        assert hypothesis.units == units
        assert all(end <= frames for _, end in hypothesis.frames)
        if frames:
            least = 1 / width + LEAST_ABOVE_CHANCE
            assert hypothesis.confidence == pytest.approx(max(confidence, least), abs=2e-3)


@pytest.mark.parametrize(
    ("text", "normalised", "units"),
    [
        ("ab", "ab", (3, 4)),
        ("  A—B!  ", "a b", (3, 1, 4)),  # case, a dash, a mark that the units lack
        ("a'b", "a'b", (3, 2, 4)),  # a mark that they have
        ("ＡＢ", "ab", (3, 4)),  # full width
        ("E\u0301", "é", (5,)),  # composed
        ("", "", ()),
        ("abc", "abc", None),
        ("a3", "a3", None),
    ],
)
def test_text_is_written_in_the_run_s_units(text: str, normalised: str, units: tuple[int, ...] | None):
    matcher = TextMatcher.of(CHARACTERS)
    assert matcher.normalised(text) == normalised
    assert matcher.encode(normalised) == units


def test_characters_that_units_have_are_left_as_they_are():
    head = replace(CHARACTERS, classes=("，", "A", "好"))
    assert TextMatcher.of(head).normalised("好，a,") == "好，A"


def test_rows_are_found_by_id_and_what_can_t_be_used_is_counted(open_table, prepared, columns):
    rows = [
        {"id": "u5", "heard": "Bo, di."},
        {"id": "u4", "heard": ""},
        {"id": "u3", "heard": "bo"},  # no row of the run
        {"id": "u1", "heard": "bo xylophone"},
        {"id": "u0", "heard": "bo bo bo bo bo"},  # 9 frames, of 5
        {"id": "another", "heard": "ka"},
        {"id": "u7", "heard": "lu lu"},
    ]
    teacher = open_table(rows)
    found = texts(teacher, prepared, columns)
    assert {name: text for name, text in found.items() if text is not None} == {"u5": "bo di", "u7": "lu lu"}
    facts = teacher.facts()
    assert (facts["answered"], facts["questioned"], facts["normalised"]) == (2, 19, 1)
    assert facts["reasons"] == {
        "no transcript": 15, "more units than its recording has frames": 1, "units that the run doesn't have": 1
    }  # fmt: skip
    teacher.answer(Question(np.arange(19)))
    assert teacher.facts() == facts  # asked again, nothing is counted twice


def test_an_empty_cell_is_a_transcript_only_where_the_task_says_so(open_table, prepared, columns):
    rows = [{"id": "u5", "heard": ""}, {"id": "u6", "heard": "ka"}]
    assert texts(open_table(rows), prepared, columns)["u5"] is None
    found = texts(open_table(rows, task={"empty": ""}), prepared, columns)
    assert (found["u5"], found["u6"], found["u7"]) == ("", "ka", None)


def test_unsure_answers_are_left_out(open_table, prepared, columns):
    rows = [
        {"id": f"u{5 + n}", "heard": "ka", "p": p, "other": other}
        for n, (p, other) in enumerate([(0.9, "ka"), (0.5, "ka"), (0.49, "ka"), (None, "ka")])
    ]
    teacher = open_table(rows, confidence_column="p", min_confidence=0.5)
    found = texts(teacher, prepared, columns)
    assert [found[f"u{n}"] for n in (5, 6, 7, 8)] == ["ka", "ka", None, None]
    assert teacher.facts()["reasons"] == {"no transcript": 15, "confidence too low": 1, "no confidence": 1}
    row = RawRows(prepared).ids.index("u6")
    logits = open_table(rows, confidence_column="p").answer(Question(np.array([row])))["logits"]
    head = columns.spec.heads[0]
    frames = int(row_frames(prepared.recipe, columns, head)[row])
    p = np.exp(log_softmax(logits.reshape(head.frames, -1)))[:frames].max(1)
    np.testing.assert_allclose(p, 0.5, atol=1e-6)


def test_answers_that_another_recogniser_contradicts_are_left_out(open_table, prepared, columns):
    pairs = [("ka di", "KA, DI"), ("ka di", "ka lu"), ("ka", ""), ("ka di bo", "ka di")]
    rows = [{"id": f"u{5 + n}", "heard": a, "other": b} for n, (a, b) in enumerate(pairs)]
    for most, kept in ((0.0, [True, False, False, False]), (0.5, [True, True, False, True])):
        teacher = open_table(rows, second_column="other", max_word_error=most)
        found = texts(teacher, prepared, columns)
        assert [found[f"u{5 + n}"] is not None for n in range(4)] == kept
        reasons = teacher.facts()["reasons"]
        assert reasons["no second transcript"] == 1
        disagreeing = "too many word errors against the second transcript"
        assert reasons.get(disagreeing, 0) == 3 - sum(kept)


def test_the_fingerprint_follows_table_and_filter(open_table):
    rows = [{"id": "u5", "heard": "ka", "p": 0.9}, {"id": "u6", "heard": "bo", "p": 0.9}]
    first = open_table(rows, confidence_column="p").fingerprint()
    assert open_table(rows, confidence_column="p").fingerprint() == first
    assert open_table(rows, confidence_column="p", min_confidence=0.95).fingerprint() != first
    assert open_table([rows[0], {**rows[1], "heard": "di"}], confidence_column="p").fingerprint() != first


@pytest.mark.parametrize(
    ("cell", "words"), [(1.5, "a confidence is no probability"), ("high", "an answer is no number")]
)
def test_a_confidence_that_is_none_is_told_by_its_line(open_table, cell: Any, words: str):
    with pytest.raises(SuffuseError, match=words) as caught:
        open_table([{"id": "u5", "heard": "ka", "p": cell}], confidence_column="p")
    assert "heard.jsonl:1" in caught.value.line()


def test_a_column_that_isn_t_there_is_named(open_table):
    with pytest.raises(UsageError, match=r"teacher\.second_column"):
        open_table([{"id": "u5", "heard": "ka"}], second_column="other", max_word_error=0.1)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"teacher": {"column": None}}, "form transcripts without a column"),
        ({"teacher": {"classes": {"a": "b"}}}, "got classes with form transcripts"),
        ({"teacher": {"min_confidence": 0.5}}, "min_confidence without confidence_column"),
        ({"teacher": {"max_word_error": 0.1}}, "max_word_error without second_column"),
        ({"teacher": {"second_column": "b"}}, "second_column without max_word_error"),
        ({"teacher": {"form": "labels", "min_confidence": 0.5}}, "got min_confidence with form labels"),
        ({"teacher": {"form": "labels"}}, "teacher.kind: got table"),
        ({"distill": {"losses": {"soft": {"kind": "ctc_kd"}}}}, "a teacher whose transcripts have no times"),
        ({"distill": {"losses": {"soft": {"kind": "guided_ctc"}}}}, "a teacher whose transcripts have no times"),
        ({"distill": {"losses": {"soft": {"kind": "sequence_kd", "n_best": 3}}}}, "n_best = 3"),
    ],
)
def test_what_doesn_t_go_with_transcripts_is_refused(changes: dict[str, dict], words: str):
    assert words in refusal(raw_recipe(Path("rows.csv")), changes)


def test_transcripts_need_a_target_that_is_a_sequence():
    raw = raw_recipe(Path("rows.csv"))
    raw["data"]["tasks"] = {}
    raw["student"]["fusion"] = {"kind": "late"}
    with pytest.raises(UsageError, match=r"teacher\.form: got transcripts"):
        make_recipe(raw)


def test_the_default_losses_learn_from_the_texts():
    assert make_recipe(raw_recipe(Path("rows.csv"))).distill.losses["soft"].kind == "sequence_kd"
