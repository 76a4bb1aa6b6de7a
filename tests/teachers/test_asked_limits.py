"""Limits and failures of an endpoint: retries, budgets, redirects, and the key that nothing shows."""

from __future__ import annotations

import json

import numpy as np
import pytest
from chat_server import Failure, Said, serving
from teacher_tools import CLASSES, by_number, linear_rule, probabilities, raw_rows, said, softmax, sometimes

from suffuse.errors import SuffuseError, UsageError
from suffuse.prepare.raw_cells import RawRows
from suffuse.run import Run

KEY = "sk-very-secret-0123456789"


@pytest.fixture
def exact(prepared: Run) -> np.ndarray:
    """(N, C) the linear teacher's probabilities of the prepared rows."""
    by_id = {row["id"]: softmax(said(row, CLASSES).astype(np.float64)) for row in raw_rows(prepared)}
    return np.array([by_id[name] for name in RawRows(prepared).ids])


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
