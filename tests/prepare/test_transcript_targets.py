"""Transcripts: units of training rows, what is stored, the frames that they need, and what `init` makes of them."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from suffuse.errors import SuffuseError, UsageError
from suffuse.prepare import targets, transcript_targets
from suffuse.prepare.recipe_proposal import propose
from suffuse.recipe import Task, make_recipe
from suffuse.transcripts.frame_predictions import references
from suffuse.types import Spec, blank_logits

TRAIN = np.array([True, True, True, False])
TEXTS = ["ab ba", "a", "", "ab c"]


def task(**more) -> Task:
    return Task.model_validate({"kind": "tokens", **more})


@pytest.mark.parametrize(
    ("units", "classes", "longest"), [("characters", (" ", "a", "b"), 5), ("words", ("a", "ab", "ba"), 2)]
)
def test_units_are_those_of_training_rows(units: str, classes: tuple, longest: int):
    head = transcript_targets.head("said", task(units=units), TEXTS, TRAIN)
    assert (head.classes, head.length, head.columns) == (classes, longest, longest + 1)


def test_what_is_stored_is_read_again():
    head = transcript_targets.head("said", task(), TEXTS, TRAIN)
    stored = transcript_targets.encode(head, [*TEXTS, None])
    assert stored[0].tolist() == [5, 2, 3, 1, 3, 2]
    assert stored[1].tolist() == [1, 2, -1, -1, -1, -1]
    assert stored[2, 0] == 0 and (stored[4] == -1).all()
    assert stored[3].tolist() == [4, 2, 3, 1, 4, -1]  # the unit that no training row has is V
    assert references(head, stored) == ["ab ba", "a", "", "ab �", ""]
    assert head.known(stored).tolist() == [True, True, True, True, False]
    assert transcript_targets.unseen(head, "ab c") == ["c"]


def test_repeated_units_need_a_blank_between_them():
    stored = np.array([[3, 1, 1, 2], [2, 1, 1, -1], [1, 2, -1, -1], [0, -1, -1, -1], [-1, -1, -1, -1]])
    assert transcript_targets.needed_frames(stored).tolist() == [4, 3, 1, 0, 0]


def test_an_empty_cell_is_a_transcript_only_where_the_recipe_says_so():
    import pyarrow as pa

    column = pa.chunked_array([["  a  b ", "", None, "A"]])
    assert targets.read("said", task(), column).values == ["a b", None, None, "A"]
    assert targets.read("said", task(empty="", lowercase=True), column).values == ["a b", "", "", "a"]


@pytest.mark.parametrize("texts", [["a", "a", "a", "b"], ["", "", "", "ab"]])
def test_fewer_than_two_units_are_nothing_to_learn(texts: list[str]):
    with pytest.raises(SuffuseError, match="nothing to learn"):
        transcript_targets.head("said", task(), texts, TRAIN)


def test_frames_cover_the_longest_recording_and_are_whole_steps():
    head = transcript_targets.head("said", task(), TEXTS, TRAIN)
    framed = transcript_targets.framed(head, task(frame=40), {"a": 101, "b": 42}, {"a": 0.01, "b": 0.02})
    assert (framed.frames, framed.frame, framed.outputs) == (26, 0.04, 26 * 4)
    assert transcript_targets.framed(head, task(frame=4), {"s": 10}, {"s": 1.0}).frames == 3  # of a sequence
    for frame in (35, 5):
        with pytest.raises(UsageError, match="a multiple of 10 milliseconds"):
            transcript_targets.framed(head, task(frame=frame), {"a": 101}, {"a": 0.01})
    with pytest.raises(UsageError, match="too many outputs"):
        transcript_targets.framed(head, task(frame=10), {"a": 10**6}, {"a": 0.01})


def test_a_spec_of_a_transcript_is_short_and_read_again():
    head = transcript_targets.head("said", task(), TEXTS, TRAIN)
    head = transcript_targets.framed(head, task(), {"a": 101}, {"a": 0.01})
    spec = Spec((), (head,), blank_logits(head))
    facts = spec.to_json()
    assert facts["log_prior"] == [] and Spec.from_json(facts) == spec
    assert spec.classes == ("26 frames of 0.04", " ", "a", "b")


def spoken(folder: Path, texts: list[str], **more: list[str]) -> str:
    """A table of recordings (noise of different length) and texts."""
    random = np.random.default_rng(0)
    with (folder / "rows.csv").open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(["id", "clip", "said", *more])
        for row, text in enumerate(texts):
            soundfile.write(folder / f"{row}.wav", 0.1 * random.normal(size=4000 + 40 * row), 8000)
            writer.writerow([f"u{row}", f"{row}.wav", text, *(cells[row] for cells in more.values())])
    return str(folder / "rows.csv")


def sentences(count: int, words: list[str]) -> list[str]:
    random = np.random.default_rng(1)
    return [" ".join(random.choice(words, size=random.integers(3, 7))) for _ in range(count)]


@pytest.mark.parametrize(
    ("words", "units"),
    [(["one", "two", "three", "four", "five"], "words"), ([f"word{n:03d}" for n in range(300)], "characters")],
)
def test_init_takes_texts_of_recordings_for_transcripts(tmp_path: Path, words: list[str], units: str):
    texts = sentences(90, words)
    found = propose(spoken(tmp_path, texts, hint=texts[::-1], size=[str(n * 0.7) for n in range(90)]), "said")
    recipe = make_recipe(yaml.safe_load(found.text), [])
    assert recipe.data.task("said").kind == "tokens" and recipe.data.task("said").units == units
    assert {n: m.kind for n, m in recipe.modalities.items()} == {"clip": "audio", "hint": "text"}
    assert recipe.trained is not None and recipe.trained.fusion.kind == recipe.student.fusion.kind == "frames"
    assert recipe.extract.views and recipe.distill.losses["soft"].kind == "ctc_kd"
    assert recipe.student.encoders["clip"].get("cepstra") == recipe.trained.encoders["clip"].get("cepstra") == 13


def test_texts_without_recordings_are_no_transcripts(tmp_path: Path):
    with (tmp_path / "rows.csv").open("w", encoding="utf-8") as out:
        out.write(
            "id,note,said\n"
            + "".join(f"{n},a note of {n} words,{t}\n" for n, t in enumerate(sentences(90, ["a", "b", "c"])))
        )
    with pytest.raises(UsageError, match="has no classes"):
        propose(str(tmp_path / "rows.csv"), "said")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"extract": {"views": 0}}, "without extract.views"),
        ({"teacher": {"unimodal_weight": 1.0}}, "teacher.unimodal_weight"),
        ({"teacher": {"portfolio": {"folds": 3}}}, "teacher.portfolio"),
        ({"student": {"fusion": {"kind": "late"}}}, "student.fusion.kind"),
        ({"data": {"target": ["said", "id"]}}, "data.target"),
    ],
)
def test_what_doesn_t_go_with_a_transcript_is_refused(tmp_path: Path, changes: dict, words: str):
    raw = yaml.safe_load(propose(spoken(tmp_path, sentences(90, ["one", "two", "three"])), "said").text)
    for section, facts in changes.items():
        raw[section] = {**raw[section], **facts}
    with pytest.raises(UsageError, match=words.replace(".", r"\.")):
        make_recipe(raw, [])


def test_the_recipe_on_the_page_of_speech_is_one():
    page = (Path(__file__).parents[2] / "docs" / "speech.md").read_text(encoding="utf-8")
    raw = yaml.safe_load(page.partition("```yaml\n")[2].partition("```")[0])
    recipe = make_recipe({**raw, "data": {"source": "rows.csv", **raw["data"]}}, [])
    assert recipe.student.fusion.kind == "frames" and recipe.extract.views == 8


def test_a_student_of_transcripts_has_no_candidates(tmp_path):
    raw = yaml.safe_load(propose(spoken(tmp_path, sentences(90, ["one", "two", "three"])), "said").text)
    raw["student"]["candidates"] = {"wide": {"encoders": {}}}
    with pytest.raises(UsageError, match=r"student\.candidates: got some for a target of kind tokens"):
        make_recipe(raw)
