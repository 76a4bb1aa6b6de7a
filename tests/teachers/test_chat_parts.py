"""Prompts, answers in words and JSON, and the probabilities of class names by their tokens' log-probabilities."""

from __future__ import annotations

import base64
import io
import json
import math

import numpy as np
import pytest
from PIL import Image

from suffuse.append_log import AppendLog
from suffuse.teachers.chat import answer_parsing, prompt_template
from suffuse.teachers.chat.answer_log import AnswerLog, file_name, question_key
from suffuse.teachers.chat.answer_parsing import EMPTY, MALFORMED, REFUSED, UNKNOWN, parse, parse_text
from suffuse.teachers.chat.answer_table import FREQUENCIES, LOGPROBS, STATED, Answer, row_result
from suffuse.teachers.chat.class_masses import Masses, Token, class_masses, distribution, read_tokens
from suffuse.teachers.chat.prompt_template import Messages, PromptTemplate
from suffuse.teachers.chat.request_limits import Budget, BudgetSpent, RateLimit

NAMES = ("Tops", "Tshirts", "Track Pants", "Top", "café")
KEY = "a" * 64


def messages(prompt: str, **more) -> Messages:
    return Messages(PromptTemplate.parse(prompt), ("blue", "red"), **more)


def png(mode: str = "RGB", side: int = 40, form: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.new(mode, (side, side // 2)).save(file, form)
    return file.getvalue()


def test_a_prompt_names_columns_classes_and_braces():
    template = PromptTemplate.parse("{{a}} {title} of {classes}: {the price} {title}")
    assert template.columns == ("title", "the price")
    made = Messages(template, ("blue", "red")).of({"title": "x", "the price": 3.0})
    assert made == [{"role": "user", "content": "{a} x of blue, red: 3 x"}]


@pytest.mark.parametrize("prompt", ["no column", "only {classes}", "a {column", "a } b {column}"])
def test_a_prompt_that_can_t_be_read_is_refused(prompt):
    with pytest.raises(ValueError, match="got"):
        PromptTemplate.parse(prompt)


def test_the_list_of_classes_stands_first_and_is_the_same_for_all_rows():
    made = messages("{title}", system="Be brief.").of({"title": "x"})
    assert made and made[0] == {"role": "system", "content": "Be brief."}
    assert made[1]["content"].endswith("nothing else: blue, red.\n\nx")
    commas = Messages(PromptTemplate.parse("{classes} {title}"), ("a, b", "c")).of({"title": "x"})
    assert commas and commas[0]["content"] == "a, b; c x"


def test_pictures_stand_in_their_place_as_they_are():
    content = png()
    made = messages("before {image} behind {classes}", pictures={"image"}).of({"image": content})
    assert made
    first, picture, last = made[0]["content"]
    assert (first["text"], last["text"]) == ("before ", " behind blue, red")
    head, _, code = picture["image_url"]["url"].partition(",")
    assert (head, base64.b64decode(code)) == ("data:image/png;base64", content)


@pytest.mark.parametrize(
    ("mode", "form", "sent"), [("RGB", "BMP", "JPEG"), ("RGBA", "TIFF", "PNG"), ("L", "BMP", "JPEG")]
)
def test_pictures_that_endpoints_don_t_take_or_that_are_large_are_sent_in_another_form(mode, form, sent):
    media_type, content = prompt_template.encode_picture(png(mode, 100, form), 30)
    picture = Image.open(io.BytesIO(content))
    assert (media_type, picture.format, picture.size) == (f"image/{sent.lower()}", sent, (30, 15))


def test_there_is_nothing_to_ask_about_empty_cells_and_broken_pictures():
    made = messages("{title} {image}", pictures={"image"})
    assert made.of({"title": None, "image": None}) is None
    assert made.of({"title": None, "image": b"no picture"}) is None
    assert made.of({"title": "x", "image": b"no picture"}) is not None


def test_tokens_are_estimated_from_text_and_pictures():
    made = messages("{classes}{title}{image}", pictures={"image"}).of({"title": "x" * 391, "image": png()})
    assert made and prompt_template.count_tokens(made) == 100 + prompt_template.PICTURE_TOKENS


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Tops", "Tops"),
        (" tshirts.\n", "Tshirts"),
        ('{"class": "Top"}', "Top"),
        ('```json\n{"class": "Track Pants"}\n```', "Track Pants"),
        ("The item belongs to Track Pants, clearly", "Track Pants"),
        ("It has sleeves.\nClass: Tshirts", "Tshirts"),
        ("I thought of Tops first.\n**Class:** Top", "Top"),
        ("Because it is so.\nTops", "Tops"),
        ('"CAFÉ"', "café"),
        ("<think>Tops? No.\nTrack Pants?</think>\n\nTop", "Top"),
    ],
)
def test_a_class_is_found(text, name):
    assert parse_text(text, NAMES).name == name


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", EMPTY),
        ("Shoes", UNKNOWN),
        ("Tops or Tshirts", UNKNOWN),
        ("Topsy", UNKNOWN),
        ('{"class": "Shoes"}', UNKNOWN),
        ('{"class": "To', MALFORMED),
        ('{"label": "Tops"}', MALFORMED),
        ('{"class": ["Tops"]}', MALFORMED),
        ("I'm sorry, I can't help with that", REFUSED),
        ("I cannot tell.", REFUSED),
    ],
)
def test_an_answer_without_a_class_says_why(text, reason):
    parsed = parse_text(text, NAMES)
    assert (parsed.name, parsed.reason) == (None, reason)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (None, MALFORMED),
        ({"choices": []}, MALFORMED),
        ({"choices": [{"message": {"content": None, "refusal": "no"}}]}, REFUSED),
        ({"choices": [{"message": {"content": "Tops"}, "finish_reason": "content_filter"}]}, REFUSED),
        ({"choices": [{"message": {"content": None}}]}, EMPTY),
    ],
)
def test_a_completion_without_an_answer_says_why(body, reason):
    assert parse(body, NAMES).reason == reason


def test_a_rationale_stands_before_the_class():
    assert parse_text("It has sleeves.\nClass: Tops", NAMES).rationale == "It has sleeves."
    assert parse_text('{"rationale": "sleeves", "class": "Tops"}', NAMES).rationale == "sleeves"
    schema = answer_parsing.json_schema(NAMES, True)["json_schema"]["schema"]
    assert schema["required"] == ["rationale", "class"]
    assert schema["properties"]["class"]["enum"] == list(NAMES)


def token(text: str, p: float, **others: float) -> Token:
    texts = {name.encode().lower(): value for name, value in {text: p, **others}.items()}
    return Token(text.encode().lower(), math.log(p), texts)


def test_the_answer_s_probability_is_the_product_of_its_tokens():
    masses = class_masses([token("Tsh", 0.8, Tops=0.1), token("irts", 0.9, oes=0.1)], "Tshirts", ("Tops", "Tshirts"))
    assert masses
    assert masses.found == pytest.approx({"Tshirts": 0.72, "Tops": 0.1})
    np.testing.assert_allclose(distribution(masses, ("Tops", "Tshirts")), [0.1 / 0.82, 0.72 / 0.82])


def test_an_alternative_that_begins_several_names_is_shared():
    tokens = [token("café", 0.7, T=0.3)]
    masses = class_masses(tokens, "café", ("Tops", "Tshirts", "café"))
    assert masses and masses.found == pytest.approx({"café": 0.7, "Tops": 0.15, "Tshirts": 0.15})


def test_names_part_at_a_later_token():
    tokens = [token('{"class": "', 1.0), token("T", 0.9, café=0.1), token("ops", 0.6, shirts=0.4), token('"}', 1.0)]
    masses = class_masses(tokens, "Tops", ("Tops", "Tshirts", "café"))
    assert masses and masses.found == pytest.approx({"Tops": 0.54, "Tshirts": 0.36, "café": 0.1})


def test_a_name_that_begins_another_ends_with_what_follows():
    tokens = [token("Top", 0.8, Red=0.2), token("\n", 0.75, s=0.25)]
    masses = class_masses(tokens, "Top", ("Top", "Tops", "Red"))
    assert masses and masses.found == pytest.approx({"Top": 0.6, "Tops": 0.2, "Red": 0.2})


def test_a_quote_or_space_belongs_to_a_token():
    tokens = [token('{"class":', 1.0), token(' "Re', 0.5, **{' "Bl': 0.3, "blue": 0.1}), token('d"}', 1.0)]
    masses = class_masses(tokens, "Red", ("Red", "Blue"))
    assert masses and masses.found == pytest.approx({"Red": 0.5, "Blue": 0.4})


def test_a_name_that_wasn_t_among_the_alternatives_has_at_most_the_least_of_them():
    masses = class_masses([token("Red", 0.5, Blue=0.01, is_no_name=0.4)], "Red", ("Red", "Blue", "Green", "Grey"))
    assert masses and masses.most == pytest.approx(0.01)
    p = distribution(masses, ("Red", "Blue", "Green", "Grey"))
    np.testing.assert_allclose(p, np.array([0.5, 0.01, 0.01, 0.01]) / 0.53)
    np.testing.assert_allclose(distribution(Masses({"Red": 0.9}, 1.0), ("Red", "Blue", "Green")), [0.9, 0.05, 0.05])


def test_the_last_mention_counts_where_a_rationale_stands_before():
    tokens = [token("Red", 0.2), token(" is not it.\nClass: ", 1.0), token("Red", 0.9, Blue=0.1)]
    masses = class_masses(tokens, "Red", ("Red", "Blue"), last=True)
    assert masses and masses.found == pytest.approx({"Red": 0.9, "Blue": 0.1})


@pytest.mark.parametrize("logprobs", [None, [], {"content": None}, {"content": [{"token": "a"}]}, {"tokens": ["a"]}])
def test_log_probabilities_in_another_form_are_none(logprobs):
    assert read_tokens(logprobs) == []
    assert class_masses([], "Red", ("Red", "Blue")) is None


def test_letters_that_tokens_cut_are_put_together():
    content = [{"token": "caf\ufffd", "logprob": -0.1, "bytes": list(b"caf\xc3")},
               {"token": "\ufffd", "logprob": 0.0, "bytes": [0xA9]}]  # fmt: skip
    masses = class_masses(read_tokens({"content": content}), "café", NAMES)
    assert masses and masses.found["café"] == pytest.approx(math.exp(-0.1))


def test_probabilities_come_from_log_probabilities_then_frequencies_then_a_stated_class():
    names = ("a", "b", "c", "d")

    def given(*said: str | None, **more) -> list[Answer]:
        return [Answer(KEY, n, name, "" if name else UNKNOWN, **more) for n, name in enumerate(said)]

    exact = row_result(given("a", found={"a": 0.7, "b": 0.3}, most=0.0), names, 0.9)
    assert (exact.method, exact.samples) == (LOGPROBS, 1)
    np.testing.assert_allclose(exact.p, [0.7, 0.3, 0, 0])
    often = row_result(given("a", "b", "a", None), names, 0.9)
    assert (often.method, often.samples) == (FREQUENCIES, 3)
    np.testing.assert_allclose(often.p, [2.25 / 4, 1.25 / 4, 0.25 / 4, 0.25 / 4])
    stated = row_result(given("b"), names, 0.7)
    assert stated.method == STATED
    np.testing.assert_allclose(stated.p, [0.1, 0.7, 0.1, 0.1])
    silent = row_result(given(None, None), names, 0.9)
    assert (silent.p, silent.reason) == (None, UNKNOWN)


def test_a_question_s_key_changes_with_all_that_decides_its_answer():
    asked = [{"role": "user", "content": "x"}]
    facts = {"model": "m", "fields": {"temperature": 0}}
    keys = {
        question_key(asked, facts),
        question_key([{"role": "user", "content": "y"}], facts),
        question_key(asked, {**facts, "model": "n"}),
        question_key(asked, {"model": "m", "fields": {}}),
    }
    assert len(keys) == 4
    assert question_key(asked, dict(reversed(facts.items()))) in keys


def test_a_log_that_was_cut_off_or_damaged_keeps_its_whole_answers(tmp_path):
    log = AnswerLog(tmp_path / "answers.jsonl")
    log.add(Answer(KEY, 0, "a", found={"a": 0.9}, tokens=7, requests=2))
    log.add_failure("500", 3)
    log.close()
    with log.log.path.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"key": "c" * 64, "sample": 0, "name": "a", "found": {"a": 0.0}}) + "\n")
        file.write('{"key": 3}\n[1]\nno json\n')
        file.write(json.dumps({"key": "b" * 64, "sample": 0, "name": "a", "found": {"a": 7}}) + "\n")
        file.write('{"key": "cut')
    again = AnswerLog(log.log.path)
    assert list(again.answers) == [(KEY, 0)]
    assert (again.requests, again.tokens) == (5, 7)
    assert again.answers[KEY, 0].masses == Masses({"a": 0.9}, 1.0)
    again.add(Answer(KEY, 1, None, UNKNOWN))
    again.close()
    assert len(AnswerLog(log.log.path).answers) == 2


def test_a_log_without_a_file_is_empty(tmp_path):
    assert list(AppendLog(tmp_path / "none.jsonl").records()) == []


def test_members_of_an_ensemble_have_files_of_their_own():
    assert file_name("teacher") == "answers"
    assert file_name("teacher.members.gpt-4") == "answers-gpt-4"
    odd = {file_name("teacher.members.../x"), file_name("teacher.members..../x")}
    assert len(odd) == 2
    assert all("/" not in name and "." not in name for name in odd)


def test_a_budget_counts_what_is_under_way_and_what_was_used_before():
    budget = Budget(3, 100, requests=1, tokens=20)
    budget.reserve(50)
    with pytest.raises(BudgetSpent, match="max_tokens"):
        budget.reserve(50)
    budget.settle(50, 10)
    budget.reserve(50)
    with pytest.raises(BudgetSpent, match="max_requests"):
        budget.reserve(1)


def test_requests_are_spread_evenly_and_held_where_the_endpoint_asks_for_it(monkeypatch):
    from suffuse.teachers.chat import request_limits

    waits: list[float] = []
    monkeypatch.setattr(request_limits.time, "monotonic", lambda: 100.0)

    class Clock:
        def wait(self, seconds: float) -> None:
            waits.append(seconds)

    rate = RateLimit(30)
    for _ in range(3):
        rate.wait(Clock())  # type: ignore[arg-type]
    assert waits == [2.0, 4.0]
    unlimited = RateLimit(None)
    unlimited.wait(Clock())  # type: ignore[arg-type]
    unlimited.hold(7.0)
    unlimited.wait(Clock())  # type: ignore[arg-type]
    assert waits[2:] == [7.0]
