"""Questions on pictures in VQA-RAD's layout: what is found, how answers are put into one form, what is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suffuse import sources
from suffuse.errors import SuffuseError, UsageError
from suffuse.sources.questions import normalised


def write(folder: Path, rows: list[dict], pictures: tuple[str, ...] = ("a.png",), images: str = "images") -> Path:
    (folder / images).mkdir(parents=True)
    for name in pictures:
        (folder / images / name).write_bytes(b"a picture")
    (folder / "questions.json").write_text(json.dumps(rows), encoding="utf-8")
    return folder


def question(**more) -> dict:
    return {"image_name": "a.png", "question": "what?", "answer": "yes", **more}


def test_the_layout_of_vqa_rad(tmp_path, write_questions):
    rows = sources.read(str(write_questions(tmp_path)))
    table = rows.table
    assert table.num_rows == 90 and rows.broken == [] and rows.root == tmp_path
    assert {"id", "image", "question", "answer", "answer_type", "phrase_type", "split"} <= set(table.column_names)
    assert table["image"][0].as_py() == "VQA_RAD Image Folder/synpic0.png"
    assert all((rows.root / p).is_file() for p in table["image"].to_pylist())
    assert set(table["answer"].to_pylist()) == {"red", "green", "blue", "circle", "square", "yes", "no"}
    assert set(table["answer_type"].to_pylist()) == {"OPEN", "CLOSED"}
    assert table["id"].to_pylist() == [str(n) for n in range(1, 91)] and rows.line == list(range(1, 91))
    phrases = table["phrase_type"].to_pylist()
    assert table["split"].to_pylist() == ["test" if p.startswith("test_") else "train" for p in phrases]
    assert 0 < table["split"].to_pylist().count("test") < 45


def test_every_cell_that_the_rule_changes_is_told(tmp_path):
    asked = [
        question(answer=a, answer_type=k) for a, k in (("Yes ", "CLOSED "), ("yes", "CLOSED"), (4, "OPEN"), (2.0, None))
    ]
    rows = sources.read(str(write(tmp_path, asked)))
    assert rows.table["answer"].to_pylist() == ["yes", "yes", "4", "2"]
    assert rows.changed == [
        (1, "answer", "put into one form: 'Yes ' is 'yes'"),
        (1, "answer_type", "put into one form: 'CLOSED ' is 'CLOSED'"),
        (4, "answer", "put into one form: '2.0' is '2'"),
    ]
    assert "lower case" in rows.rules["answer"]


@pytest.mark.parametrize(
    ("answer", "wanted"),
    [
        ("Yes ", "yes"), ("yes.", "yes"), ("  The  left\tlung!? ", "the left lung"), (3, "3"), (3.0, "3"),
        ("3.0", "3"), ("3.05 cm.", "3.05 cm"), ("x-ray", "x-ray"), ("T2-weighted.", "t2-weighted"), ("肺炎。", "肺炎"),
        ("E\u0301", "é"),
        ("", None), (" . ", None), (None, None), (True, "true"), ("1.0.0", "1.0.0"),
    ],
)  # fmt: skip
def test_the_form_of_an_answer(answer, wanted):
    assert normalised(answer) == wanted


@given(st.text() | st.integers() | st.floats(allow_nan=False))
def test_the_form_is_stable_and_blind_to_case_and_space(answer):
    once = normalised(answer)
    assert normalised(once) == once
    if isinstance(answer, str):
        assert normalised(f"  {answer} .") == once


def test_what_an_object_says_itself_stays(tmp_path):
    asked = [question(id="mine", split="validation", qid=7, phrase_type="test_para", organ="head"), question(qid=8)]
    table = sources.read(str(write(tmp_path, asked))).table
    assert table["id"].to_pylist() == ["mine", "8"]
    assert table["split"].to_pylist() == ["validation", "train"]
    assert table["organ"].to_pylist() == ["head", None]


def test_without_a_qid_a_question_is_named_by_its_number(tmp_path):
    assert sources.read(str(write(tmp_path, [question(), question()]))).table["id"].to_pylist() == ["1", "2"]


@pytest.mark.parametrize("images", [".", "images", "a/b"])
def test_pictures_are_found_where_most_of_them_lie(tmp_path, images):
    names = tuple(f"{n}.png" for n in range(9))
    asked = [question(image_name=name) for name in names]
    write(tmp_path, asked, names[:8], images if images != "." else "images")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "3.png").write_bytes(b"another of that name")
    if images == ".":
        for name in names[:8]:
            (tmp_path / "images" / name).rename(tmp_path / name)
    found = sources.read(str(tmp_path)).table["image"].to_pylist()
    place = "" if images == "." else f"{images}/"
    assert found == [f"{place}{name}" for name in names]  # the ninth is told by prepare: no such file


def test_without_any_picture_it_stops(tmp_path):
    with pytest.raises(SuffuseError, match=r"pictures of these questions aren't there .*'a.png'"):
        sources.read(str(write(tmp_path, [question()], ())))
    (tmp_path / "x").mkdir()
    asked = [question(image_name="\0"), question(image_name="x" * 5000), question(image_name=None)]
    with pytest.raises(SuffuseError, match="aren't there"):
        sources.read(str(write(tmp_path / "x" / "y", asked, ())))


def test_other_files_beside_the_questions_are_no_matter(tmp_path):
    write(tmp_path, [question()])
    (tmp_path / "notes.json").write_text("{broken")
    (tmp_path / "more.json").write_text('[{"question": "no picture"}]')
    assert sources.read(str(tmp_path)).table.num_rows == 1
    (tmp_path / "second.json").write_text(json.dumps([question()]))
    with pytest.raises(UsageError, match=r"files of questions: questions.json, second.json"):
        sources.read(str(tmp_path))


def test_a_folder_of_other_json_is_no_table(tmp_path):
    (tmp_path / "some.json").write_text("[]")
    with pytest.raises(UsageError, match=r"this folder is no table .*files of questions: none"):
        sources.read(str(tmp_path))
    (tmp_path / "some.json").write_text("[")
    with pytest.raises(SuffuseError, match="not JSON"):
        sources.read(str(tmp_path))


def test_objects_that_are_none_are_told_by_their_number(tmp_path):
    rows = sources.read(str(write(tmp_path, [question(), 7, question(answer=None)])))  # type: ignore[list-item]
    assert rows.broken == [(2, "broken row: expected an object, got int")]
    assert rows.table["answer"].to_pylist() == ["yes", None] and rows.line == [1, 3]
