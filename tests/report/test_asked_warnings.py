"""What the report says of rows that a teacher which was asked gave no answer to."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from suffuse.report import run_warnings
from suffuse.report.i18n import use_language
from suffuse.run import Run
from suffuse.teachers import transcript_answers
from suffuse.teachers.chat import answer_parsing, query_session, row_answers
from suffuse.teachers.recognition import row_recognition

ASKED = {"model": "large", "questioned": 1500, "reasons": {"refused": 1200, "unknown class": 3}}


@pytest.fixture
def told(finished_run: Run, tmp_path: Path):
    """The warnings of a run with these facts of its teacher."""

    def tell(facts: dict) -> list[str]:
        (tmp_path / "teacher").mkdir(exist_ok=True)
        (tmp_path / "teacher" / "training.json").write_text(json.dumps(facts), encoding="utf-8")
        return run_warnings.asked(replace(finished_run, folder=tmp_path))

    return tell


def test_abstentions_are_counted_by_reason_in_both_languages(told):
    assert told(ASKED) == [
        "the teacher large says nothing of 1,203 of the 1,500 rows that it was asked about "
        "(refused: 1,200; unknown class: 3)"
    ]
    with use_language("zh"):
        assert "拒绝回答: 1,200" in told(ASKED)[0]
    assert told({**ASKED, "reasons": {}}) == told({}) == []


def test_members_of_an_ensemble_are_told_of_too(told):
    assert len(told({"members": {"a": {"members": {"b": ASKED}}, "c": ASKED, "d": {"parameters": None}}})) == 2


def test_every_reason_is_translated():
    reasons = {*answer_parsing.REASONS, query_session.REJECTED, query_session.FAILED, query_session.OVER_BUDGET,
               row_answers.NOTHING_TO_ASK, *transcript_answers.REASONS, *row_recognition.REASONS}  # fmt: skip
    assert reasons == set(run_warnings.REASONS)
