"""A model behind an address is asked about every row, once: what it answers, what goes wrong, what it may cost."""

from __future__ import annotations

import base64
import shutil
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from chat_server import Failure, Said
from teacher_tools import CLASSES, PROMPT, by_number, linear_rule, probabilities, raw_rows, said, softmax, sometimes

from suffuse import teachers
from suffuse.checked_json import write_checked
from suffuse.data.columns import SPLITS
from suffuse.errors import SuffuseError, UsageError
from suffuse.prepare.raw_cells import RawRows
from suffuse.recipe import make_recipe
from suffuse.registry import settings
from suffuse.run import Run
from suffuse.teachers.chat.answer_log import log_file
from suffuse.teachers.factory import open_external
from suffuse.types import Head

KEY = "sk-very-secret-0123456789"


@pytest.fixture
def exact(prepared: Run) -> np.ndarray:
    """(N, C) the linear teacher's probabilities of the prepared rows."""
    by_id = {row["id"]: softmax(said(row, CLASSES).astype(np.float64)) for row in raw_rows(prepared)}
    return np.array([by_id[name] for name in RawRows(prepared).ids])


def answers(run: Run) -> dict[str, list]:
    """The table of answers, by column."""
    return pq.read_table(run.partial("teach") / "teacher" / "answers.parquet").to_pydict()


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
