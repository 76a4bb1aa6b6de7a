"""A model behind an address is asked about every row, once: what it answers, what goes wrong, what it may cost."""

from __future__ import annotations

import base64
import json
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from chat_server import ChatServer, Failure, Said, serving
from teacher_tools import CLASSES, linear_rule, raw_rows, said, softmax

from suffuse import teachers
from suffuse.checked_json import write_checked
from suffuse.data.columns import SPLITS, Columns
from suffuse.errors import SuffuseError, UsageError
from suffuse.prepare.raw_cells import RawRows
from suffuse.recipe import make_recipe
from suffuse.registry import settings
from suffuse.run import Run
from suffuse.teachers import Question
from suffuse.teachers.chat import chat_client, row_answers
from suffuse.teachers.chat.answer_log import log_file
from suffuse.teachers.factory import open_external
from suffuse.types import Head

KEY = "sk-very-secret-0123456789"
PROMPT = "x1={x1} x2={x2}"


@pytest.fixture
def server() -> Iterator[ChatServer]:
    """The linear teacher."""
    with serving(linear_rule) as found:
        yield found


@pytest.fixture
def run(prepared: Run, tmp_path: Path) -> Run:
    """The prepared run, copied: nothing was asked in it."""
    folder = tmp_path / "run"
    shutil.copytree(prepared.folder, folder, ignore=shutil.ignore_patterns(".partial", "answers"))
    return replace(prepared, folder=folder)


@pytest.fixture
def ask(run: Run, columns: Columns, server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Opens the asked teacher with these settings."""
    monkeypatch.setattr(chat_client, "LONGEST_WAIT", 0.001)
    monkeypatch.setattr(row_answers, "Endpoint", partial(chat_client.Endpoint, backoff=0.001))
    plain = {"kind": "asked", "url": server.url, "model": "linear", "prompt": PROMPT, "calibrate": False}

    def open_with(**more: Any) -> Any:
        chosen = settings(teachers.TABLE, {**plain, **more})
        recipe = run.recipe.model_copy(update={"teacher": chosen})
        return open_external(replace(run, recipe=recipe), columns)

    return open_with


@pytest.fixture
def exact(prepared: Run) -> np.ndarray:
    """(N, C) the linear teacher's probabilities of the prepared rows."""
    by_id = {row["id"]: softmax(said(row, CLASSES).astype(np.float64)) for row in raw_rows(prepared)}
    return np.array([by_id[name] for name in RawRows(prepared).ids])


def probabilities(teacher: Any) -> np.ndarray:
    """(N, C), NaN of abstentions."""
    return np.exp(teacher.answer(Question(np.arange(len(teacher.covered))))["logits"])


def answers(run: Run) -> dict[str, list]:
    """The table of answers, by column."""
    return pq.read_table(run.partial("teach") / "teacher" / "answers.parquet").to_pydict()


def sometimes(failing: Callable[[str, int], Failure | Said | None]) -> Callable[[str, int], Failure | Said]:
    """The linear rule, but where another one says something."""
    return lambda text, before: failing(text, before) or linear_rule(text, before)


def by_number(text: str) -> int:
    """A number that goes with a question."""
    return int(text.rpartition("x2=")[2][-3:])


def test_probabilities_are_those_of_the_class_names(ask, exact, server, run):
    teacher = ask()
    np.testing.assert_allclose(probabilities(teacher), exact, atol=1e-5)
    assert teacher.facts()["methods"] == {"log-probabilities": len(exact)}
    body = server.bodies[0]
    assert (body["model"], body["temperature"], body["logprobs"], body["top_logprobs"]) == ("linear", 0.0, True, 20)
    schema = body["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["class"]["enum"] == list(CLASSES)
    assert answers(run)["id"] == RawRows(run).ids


def test_nothing_is_asked_twice(ask, server):
    before = ask().fingerprint()
    count = len(server.bodies)
    assert (len(server.counts), server.twice) == (count, [])
    assert ask().fingerprint() == before
    assert len(server.bodies) == count


def test_rows_with_the_same_content_are_asked_once(ask, server, columns):
    server.rule = lambda text, before: Said("red")
    teacher = ask(prompt="{answer}?")
    assert len(server.bodies) == 3
    assert not np.isnan(probabilities(teacher)).any()


def test_another_prompt_model_or_sampling_is_another_question(ask, server):
    ask()
    each = len(server.bodies)
    for number, more in enumerate(
        [{"prompt": f"Well, {PROMPT}"}, {"model": "b"}, {"temperature": 0.5}, {"seed": 3}], 2
    ):
        ask(**more)
        assert len(server.bodies) == number * each
    count = len(server.bodies)
    ask(concurrency=1, retries=1, timeout=9, confidence=0.5, max_requests=10_000)
    assert len(server.bodies) == count


def test_frequencies_over_samples_where_there_are_no_log_probabilities(ask, server, run, exact):
    server.logprobs = False
    server.rule = lambda text, before: Said(CLASSES[0] if before % 5 < 4 else CLASSES[1])
    teacher = ask(samples=5)
    assert set(server.counts.values()) == {5}
    assert {body["temperature"] for body in server.bodies} == {1.0}
    assert teacher.facts()["methods"] == {"frequencies": len(exact)}
    np.testing.assert_allclose(probabilities(teacher)[0], [(4 + 1 / 3) / 6, (1 + 1 / 3) / 6, 1 / 18], atol=1e-5)
    assert set(answers(run)["samples"]) == {5}


def test_samples_are_not_asked_for_where_there_are_log_probabilities(ask, server):
    ask(samples=5)
    assert set(server.counts.values()) == {1}


def test_a_stated_class_has_a_confidence_that_validation_rows_calibrate(ask, server, columns, exact):
    server.logprobs = False
    teacher = ask(confidence=0.8)
    p = probabilities(teacher)
    np.testing.assert_allclose(np.sort(p, axis=1), [[0.1, 0.1, 0.8]] * len(p), atol=1e-5)
    np.testing.assert_array_equal(p.argmax(1), exact.argmax(1))
    assert teacher.facts()["temperature"] is None
    rows = columns.labelled("validation")
    few = ask(calibrate=True)  # nine validation rows
    assert (few.facts()["temperature"], few.facts()["calibrated_on"]) == (None, len(rows))


def test_a_temperature_is_fitted_on_validation_rows_alone(ask, server, columns, monkeypatch):
    from suffuse.teachers.chat import answer_table
    from suffuse.temperature_scaling import fit

    monkeypatch.setattr(answer_table, "FEWEST_LABELLED", 5)
    rows = columns.labelled("validation")
    plain = np.log(probabilities(ask()))
    teacher = ask(calibrate=True)
    temperature = fit(columns.spec, plain[rows], columns.target[rows])[columns.spec.heads[0].name]
    assert teacher.facts()["temperature"] == pytest.approx(temperature, rel=1e-4)
    scaled = softmax(plain / temperature)
    np.testing.assert_allclose(probabilities(teacher), scaled, atol=1e-4)


def test_an_endpoint_without_schemas_answers_in_words(ask, server, exact, capsys):
    server.schema = False
    np.testing.assert_allclose(probabilities(ask()), exact, atol=1e-5)
    assert "takes no response_format" in capsys.readouterr().err
    assert sum("response_format" in body for body in server.bodies) == 2  # with log-probabilities and without


def test_an_endpoint_that_refuses_log_probabilities_keeps_its_schema(ask, server, exact, capsys):
    server.rejects_logprobs = True
    teacher = ask()
    np.testing.assert_array_equal(probabilities(teacher).argmax(1), exact.argmax(1))
    assert teacher.facts()["methods"] == {"stated label": len(exact)}
    assert "takes no logprobs" in capsys.readouterr().err


def test_what_names_no_class_is_an_abstention_with_a_reason(ask, server, run, capsys):
    odd = [
        Said(refusal="I won't"),
        Said(content='{"class": "re'),
        Said("purple"),
        Said(content=""),
        Failure(400, b'{"error": {"message": "filtered", "code": "content_filter"}}'),
        Failure(413, b'{"error": {"message": "too long"}}'),
        Failure(200, b"<html>no JSON</html>"),
    ]
    server.rule = sometimes(lambda text, before: odd[n] if (n := by_number(text) % 20) < len(odd) else None)
    teacher = ask()
    silent = np.isnan(probabilities(teacher)).any(1)
    table = answers(run)
    assert [reason is not None for reason in table["reason"]] == silent.tolist()
    assert [p is None for p in table["p(red)"]] == silent.tolist()
    counts = Counter(reason for reason in table["reason"] if reason)
    assert teacher.facts()["reasons"] == counts
    assert set(counts) == {"refused", "malformed answer", "unknown class", "empty answer", "rejected by the endpoint"}
    said_so = capsys.readouterr().err
    assert f"{silent.sum()} abstentions (" in said_so
    assert f"unknown class: {counts['unknown class']}" in said_so
    asked = len(server.bodies)
    ask()
    assert len(server.bodies) == asked  # these answers are answers


def test_what_passes_is_tried_again(ask, server, exact):
    def busy(text: str, before: int) -> Failure | None:
        limited = Failure(429, headers={"Retry-After": "3600"})
        return {0: limited, 1: Failure(500), 2: Failure(503, headers={"Retry-After": "soon"})}.get(before)

    server.rule = sometimes(busy)
    teacher = ask(concurrency=8)
    np.testing.assert_allclose(probabilities(teacher), exact, atol=1e-5)
    assert set(server.counts.values()) == {4}
    assert teacher.facts()["requests"] == len(server.bodies)


def test_an_endpoint_that_is_down_ends_it_soon(ask, server):
    server.rule = sometimes(lambda text, before: Failure(500) if len(server.bodies) > 10 else None)
    with pytest.raises(SuffuseError, match="doesn't answer") as caught:
        ask(retries=1, concurrency=2)
    assert "500 no" in caught.value.got
    assert len(server.bodies) < 40


def test_where_the_recipe_says_so_the_rest_are_abstentions_of_an_endpoint_that_is_down(ask, server, exact, capsys):
    server.rule = sometimes(lambda text, before: Failure(500) if len(server.bodies) > 10 else None)
    teacher = ask(retries=0, unanswered="abstain", concurrency=1)
    assert teacher.facts()["reasons"] == {"no answer": len(exact) - 10}
    assert "doesn't answer any more (500 no)" in capsys.readouterr().err


def test_nobody_at_the_address_is_one_clear_line(ask):
    with pytest.raises(SuffuseError, match="doesn't answer") as caught:
        ask(url="http://127.0.0.1:9/v1", retries=1)
    assert caught.value.where == "teacher.url"


def test_rows_without_an_answer_stop_the_run_and_are_asked_again(ask, server, exact):
    ill = {"on": True}
    server.rule = sometimes(lambda text, before: Failure(500) if ill["on"] and by_number(text) % 9 == 0 else None)
    with pytest.raises(SuffuseError, match="some questions got no answer") as caught:
        ask(retries=0)
    failed = len(exact) - int(caught.value.got.split()[0])
    assert f"no answer: {failed}" in caught.value.got
    abstaining = ask(retries=0, unanswered="abstain")
    assert abstaining.facts()["reasons"] == {"no answer": failed}
    count = len(server.bodies)
    ill["on"] = False
    np.testing.assert_allclose(probabilities(ask()), exact, atol=1e-5)
    assert len(server.bodies) == count + failed


def test_the_budget_of_requests_is_kept_over_all_sessions(ask, server, exact, capsys):
    with pytest.raises(SuffuseError, match="budget of the asked teacher is spent") as caught:
        ask(max_requests=10)
    assert len(server.bodies) == 10
    assert f"10 of {len(exact)} questions answered; max_requests: 10" in caught.value.got
    first = capsys.readouterr().err.splitlines()[0]
    assert f"{len(exact)} questions to linear" in first
    assert "max_requests 10" in first
    with pytest.raises(SuffuseError, match="spent"):
        ask(max_requests=25)
    assert len(server.bodies) == 25
    silent = np.isnan(probabilities(teacher := ask(max_requests=30, unanswered="abstain"))).any(1)
    assert (~silent).sum() == len(server.bodies) == 30
    assert teacher.facts()["reasons"] == {"over the budget": len(exact) - 30}
    ask()
    assert (len(server.bodies), server.twice) == (len(exact), [])


def test_the_budget_of_tokens_counts_what_the_endpoint_counts(ask, server):
    with pytest.raises(SuffuseError, match="max_tokens: 1,000"):
        ask(max_tokens=1000, answer_tokens=50, concurrency=1)
    assert 15 * len(server.bodies) <= 1000
    assert len(server.bodies) > 55  # by estimates of 60 and more each, it would be 16


def test_the_key_is_sent_and_stands_nowhere_else(ask, server, run, monkeypatch, capsys):
    monkeypatch.setenv("MY_KEY", KEY)
    echo = Failure(500, json.dumps({"error": {"message": f"bad key {KEY}"}}).encode())
    server.rule = sometimes(lambda text, before: echo if before == 0 else Said(f"I am {KEY}"))
    ask(api_key_env="MY_KEY", rationale=True)
    assert all(headers["Authorization"] == f"Bearer {KEY}" for headers in server.headers)
    server.rule = lambda text, before: Failure(401, echo.body)
    with pytest.raises(UsageError, match="refuses the key") as caught:
        ask(api_key_env="MY_KEY", prompt="{x1}")
    server.rule = lambda text, before: echo
    with pytest.raises(SuffuseError, match="doesn't answer") as down:
        ask(api_key_env="MY_KEY", prompt="{x2}", retries=1)
    assert "bad key [key]" in down.value.got
    shown = capsys.readouterr()
    texts = [shown.out, shown.err, caught.value.text(), down.value.text()]
    files = [file.read_bytes() for file in run.folder.rglob("*") if file.is_file()]
    assert len(files) > 10
    assert not any(KEY in text for text in texts)
    assert not any(KEY.encode() in content for content in files)


def test_without_the_variable_nothing_is_asked(ask, server, monkeypatch):
    monkeypatch.delenv("MY_KEY", raising=False)
    with pytest.raises(UsageError, match="no such variable") as caught:
        ask(api_key_env="MY_KEY")
    assert (caught.value.got, caught.value.where) == ("MY_KEY", "teacher.api_key_env")
    monkeypatch.setenv("MY_KEY", "two\nlines")
    with pytest.raises(UsageError, match="holds no key") as caught:
        ask(api_key_env="MY_KEY")
    assert "two" not in caught.value.text()
    assert not server.bodies


def test_redirects_are_not_followed(ask, server, monkeypatch):
    monkeypatch.setenv("MY_KEY", KEY)
    with serving(linear_rule) as other:
        target = f"{other.url}/chat/completions?token=abc"
        server.rule = lambda text, before: Failure(307, headers={"Location": target})
        with pytest.raises(UsageError, match="redirects") as caught:
            ask(api_key_env="MY_KEY")
        assert not other.bodies
    assert "127.0.0.1" in caught.value.got
    assert "abc" not in caught.value.text()


@pytest.mark.parametrize(
    ("failure", "more", "words"),
    [
        (
            Failure(404, b'{"error": {"message": "no model linear"}}'),
            {},
            ("no such address or model", "no model linear"),
        ),
        (Failure(200), {"url_suffix": "/v2"}, ("no such address or model", "404")),
        (Failure(402), {}, ("wants to be paid",)),
        (Failure(401), {}, ("asks for a key",)),
        (Failure(400, b'{"error": {"message": "bad \\u001b[31m"}}'), {}, ("rejects every question", "400 bad")),
    ],
)
def test_what_no_other_question_would_change_ends_it_at_once(ask, server, failure, more, words):
    server.rule = lambda text, before: failure
    changed = {"url": server.url + more["url_suffix"]} if more else {}
    with pytest.raises(SuffuseError) as caught:
        ask(concurrency=1, **changed)
    for word in words:
        assert word in caught.value.text()
    assert "\x1b" not in caught.value.text()
    assert len(server.bodies) <= 12


def test_a_slow_answer_is_given_up(ask, server):
    server.delay = 0.4
    with pytest.raises(SuffuseError, match="doesn't answer") as caught:
        ask(timeout=0.05, retries=1)
    assert "timed out" in caught.value.got.lower()


def test_questions_are_asked_several_at_a_time(ask, server):
    server.delay = 0.02
    ask(concurrency=3)
    assert 1 < server.most_running <= 3


def test_pictures_are_sent_as_data(ask, server, run, prepared):
    by_content = {(Path(prepared.recipe.data.source).parent / row["image"]).read_bytes(): row["answer"]
                  for row in raw_rows(prepared) if row["image"]}  # fmt: skip

    def look(addresses: list[str]) -> Said:
        assert [address.partition(",")[0] for address in addresses] == ["data:image/png;base64"]
        return Said(by_content[base64.b64decode(addresses[0].partition(",")[2])])

    server.picture_rule = look
    teacher = ask(prompt="Which colour has this? {image}")
    said_of, labels = probabilities(teacher), {row["id"]: row for row in raw_rows(prepared)}
    for name, p in zip(RawRows(run).ids, said_of, strict=True):
        if labels[name]["image"]:
            assert CLASSES[int(p.argmax())] == labels[name]["answer"]
        else:
            assert np.isnan(p).all()
    empty = sum(not labels[name]["image"] for name in RawRows(run).ids)
    assert teacher.facts()["reasons"] == {"nothing to ask about": empty}


def test_a_rationale_is_a_column_of_the_table(ask, server, run):
    server.rule = lambda text, before: Said(content='{"rationale": "it glows", "class": "red"}')
    ask(rationale=True)
    assert set(answers(run)["answer_rationale"]) == {"it glows"}
    assert list(server.bodies[0]["response_format"]["json_schema"]["schema"]["properties"]) == ["rationale", "class"]


def test_test_rows_can_be_left_out(ask, server, columns):
    teacher = ask(test_rows=False)
    silent = np.isnan(probabilities(teacher)).any(1)
    np.testing.assert_array_equal(silent, columns.split == SPLITS.index("test"))
    assert teacher.facts()["reasons"] == {}
    assert len(server.bodies) == (~silent).sum()


def test_rows_that_it_doesn_t_cover_are_not_asked(ask, server, columns):
    ask(covers=["picture"])
    assert len(server.bodies) == columns.present[:, columns.spec.names.index("picture")].sum()


def test_classes_are_asked_for_by_the_names_that_the_recipe_gives(ask, server, exact):
    def rule(text: str, before: int) -> Said:
        known = linear_rule(text, before)
        p = {
            "navy": known.p["blue"] / 4,
            "sky": 3 * known.p["blue"] / 4,
            "green": known.p["green"],
            "red": known.p["red"],
        }
        return Said(max(p, key=lambda name: p[name]), p)

    server.rule = rule
    teacher = ask(classes={"navy": "blue", "sky": "blue"})
    assert "green, red, navy, sky" in server.bodies[0]["messages"][0]["content"]
    np.testing.assert_allclose(probabilities(teacher), exact, atol=1e-5)


def test_only_a_single_target_of_classes_is_asked_about(run):
    chosen = settings(teachers.TABLE, {"kind": "asked", "url": "http://h/v1", "model": "m", "prompt": "{x1}"})
    part: Any = teachers.load_teacher("asked")
    for heads in [(Head("price", "number", ()),), (Head("a", "classes", ("x", "y")), Head("b", "classes", ("x", "y")))]:
        with pytest.raises(UsageError, match="only classes can be asked about"):
            part.open(chosen, RawRows(run), heads, "teacher")


def test_without_its_library_the_way_to_install_it_is_told(ask, monkeypatch):
    monkeypatch.setitem(sys.modules, "urllib3", None)
    with pytest.raises(UsageError) as caught:
        ask()
    assert caught.value.hint == "pip install 'suffuse[asked]'"


def test_options_add_keys_to_a_request_and_take_some_away(ask, server):
    ask(options={"max_tokens": None, "max_completion_tokens": 9})
    body = server.bodies[0]
    assert (body["max_completion_tokens"], body["temperature"], "max_tokens" in body) == (9, 0.0, False)


def test_members_of_an_ensemble_are_asked_each_with_a_log_of_its_own(ask, server, run, columns, exact):
    plain = {"kind": "asked", "url": server.url, "prompt": PROMPT, "calibrate": False}
    members = {name: {**plain, "model": name} for name in ("one", "two")}
    recipe = run.recipe.model_copy(
        update={"teacher": settings(teachers.TABLE, {"kind": "ensemble", "members": members})}
    )
    teacher = open_external(replace(run, recipe=recipe), columns)
    np.testing.assert_allclose(probabilities(teacher), exact, atol=1e-5)
    assert Counter(body["model"] for body in server.bodies) == {"one": len(server.counts), "two": len(server.counts)}
    assert {file.name for file in run.path("answers").iterdir()} == {"answers-one.jsonl", "answers-two.jsonl"}
    assert [facts["model"] for facts in teacher.facts()["members"].values()] == ["one", "two"]


def test_an_unknown_column_is_named(ask):
    with pytest.raises(UsageError, match="no such column"):
        ask(prompt="{x3}")


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ({"url": f"https://me:{KEY}@host/v1"}, "password"),
        ({"url": f"https://host/v1?api-key={KEY}"}, "api_key_env"),
        ({"url": "host/v1"}, "expected an address"),
        ({"api_key_env": KEY}, "environment variable"),
        ({"api_key": KEY}, "unknown key"),
        ({"prompt": "x"}, "without a column"),
        ({"pictures": "image"}, "in the prompt"),
        ({"options": {"stream": True}}, "keys of their own"),
    ],
)
def test_settings_that_can_t_be_are_refused_without_showing_a_key(prepared, more, word):
    raw = prepared.recipe.model_dump(mode="json")
    raw["teacher"] = {"kind": "asked", "url": "http://h/v1", "model": "m", "prompt": "{x1}", **more}
    with pytest.raises(UsageError) as caught:
        make_recipe(raw)
    assert word in caught.value.text()
    assert KEY not in caught.value.text()


def test_the_log_lies_in_the_run_and_holds_no_cell(ask, run, prepared):
    ask(prompt="{text} {x1}: x1={x1} x2={x2}")
    content = log_file(run, "teacher").read_text(encoding="utf-8")
    assert len(content.splitlines()) > 80
    assert not any(row["text"] in content for row in raw_rows(prepared) if row["text"])


def test_once_it_is_measured_nothing_is_asked_any_more(ask, run, server, columns):
    before = ask().fingerprint()
    (run.folder / "teacher").mkdir()
    for file in (run.partial("teach") / "teacher").iterdir():
        file.replace(run.path("teacher", file.name))
    shutil.rmtree(run.partial("teach"))
    write_checked(run.path("stamps", "teach.json"), {"inputs": {}, "outputs": {}, "digest": "0"})
    shutil.rmtree(run.path("answers"))
    count = len(server.bodies)
    teacher = ask()
    assert (teacher.fingerprint(), teacher.facts()["model"]) == (before, "linear")
    run.path("teacher", "answers.parquet").unlink()
    with pytest.raises(SuffuseError, match="table of answers is gone"):
        ask()
    assert len(server.bodies) == count
