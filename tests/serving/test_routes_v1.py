"""/v1/models: the answers are the predictor's, whatever form the request has."""

from __future__ import annotations

from typing import Any

import pytest
from serving_tools import MODEL, as_json, ask, clip, picture, record
from starlette.testclient import TestClient

from suffuse.predictor import Predictor

ROUTE = f"/v1/models/{MODEL}/predict"


def check(said: dict[str, Any], wanted: Any) -> None:
    """An answer in JSON against the predictor's own."""
    assert said["absent"] == wanted.absent and said["partly"] == wanted.partly
    assert said["used"] == list(wanted.used)
    assert said["answers"].keys() == wanted.answers.keys()
    for target, answer in wanted.answers.items():
        got = said["answers"][target]
        value = list(answer.value) if isinstance(answer.value, tuple) else answer.value
        assert got["value"] == (pytest.approx(value, abs=1e-4) if isinstance(value, float) else value)
        assert got["confidence"] == pytest.approx(answer.confidence, abs=1e-6)
        assert got["probabilities"] == pytest.approx(answer.probabilities, abs=1e-6)
        assert got["abstained"] is answer.abstained


def test_models_and_what_they_say(server: TestClient, predictor: Predictor) -> None:
    assert server.get("/v1/models").json() == {"models": [MODEL]}
    said = server.get(f"/v1/models/{MODEL}").json()
    told = predictor.describe()
    assert said["name"] == MODEL
    assert {k: said[k] for k in ("inputs", "targets", "form", "device")} == {
        k: told[k] for k in ("inputs", "targets", "form", "device")
    }
    assert all(isinstance(n, (int, float)) for n in said["limits"].values())


def test_answers_are_the_predictor_s(server: TestClient, predictor: Predictor) -> None:
    records = [record(n) for n in range(30)]
    for said, wanted in zip(ask(server, *records), predictor.predict(records), strict=True):
        check(said, wanted)


def test_contributions_top_k_and_threshold(server: TestClient, predictor: Predictor) -> None:
    for number in (0, 3, 10):
        (said,) = ask(server, record(number), contributions=True, top_k=1, threshold=0.99)
        for target, shares in predictor.contributions(record(number)).items():
            assert said["contributions"][target] == pytest.approx(shares, abs=1e-5)
        wanted = predictor.predict(record(number), threshold=0.99)
        kind = said["answers"]["kind"]
        assert list(kind["probabilities"].items()) == [
            (name, pytest.approx(p, abs=1e-6)) for name, p in wanted.answers["kind"].top(1)
        ]
        assert kind["abstained"] and kind["value"] == wanted.answers["kind"].value
        assert said["answers"]["price"]["abstained"] is False


def test_a_form_says_the_same_as_json(server: TestClient, predictor: Predictor) -> None:
    made = record(0)
    data = {"note": made["note"], "weight": str(made["weight"]), "shop": made["shop"]}
    options = {"_top_k": "2", "_threshold": "0.5", "_contributions": "true"}
    files = {"photo": ("a.png", made["photo"], "image/png"), "clip": ("a.wav", made["clip"], "audio/wav")}
    found = server.post(ROUTE, data={**data, **options}, files=files)
    assert found.status_code == 200, found.text
    (said,) = found.json()["predictions"]
    without = {k: v for k, v in made.items() if k != "steps"}
    (wanted,) = ask(server, without, top_k=2, threshold=0.5, contributions=True)
    assert said["answers"]["kind"]["probabilities"] == pytest.approx(wanted["answers"]["kind"]["probabilities"], 1e-5)
    assert said["used"] == wanted["used"] and said.keys() == wanted.keys()
    check({**said, "answers": {}}, predictor.predict(without).__class__({}, wanted["absent"], {}, tuple(said["used"])))


def test_an_empty_field_of_a_form_is_an_empty_cell(server: TestClient) -> None:
    found = server.post(ROUTE, data={"note": "", "shop": "north"}, files={"photo": ("", b"")})
    assert found.json()["predictions"][0]["used"] == ["facts"]


BROKEN = {"photo": b"no picture", "clip": b"no sound", "note": " ", "weight": "heavy", "steps": [[1]]}


def test_what_cannot_be_read_is_absent_and_says_why_where_it_may_be(server: TestClient) -> None:
    (said,) = ask(server, BROKEN, on_unreadable="absent")
    assert said["used"] == ["facts"] and said["partly"] == {"facts": "weight: not a number: 'heavy'"}
    assert said["absent"].keys() == {"look", "words", "noise", "path"}
    assert said["absent"]["look"] == "not a picture in a known format"
    assert said["absent"]["words"] == "empty text"


@pytest.mark.parametrize("column", [name for name in BROKEN if name != "note"])
def test_what_cannot_be_read_is_refused_with_the_reason(server: TestClient, column: str) -> None:
    (wanted,) = ask(server, {column: BROKEN[column]}, on_unreadable="absent")
    reasons = {**wanted["absent"], **wanted["partly"]}.values()
    (reason,) = set(reasons) - {"empty cell", "all its columns are empty"}
    bodies = [{"records": [{"note": "a"}, as_json({"note": "a", column: BROKEN[column]})]}]
    bodies.append({**bodies[0], "on_unreadable": "error"})
    for body in bodies:
        found = server.post(ROUTE, json=body)
        assert found.status_code == 422, found.text
        error = found.json()["error"]
        assert error["code"] == "unreadable" and error["message"].startswith("row 2: ")
        assert error["message"].endswith(f"can't be read: {reason}") and "on_unreadable" in error["hint"]


def test_a_form_with_a_file_that_cannot_be_read(server: TestClient) -> None:
    files = {"photo": ("a.png", b"no picture", "image/png")}
    found = server.post(ROUTE, data={"note": "a"}, files=files)
    assert (found.status_code, found.json()["error"]["code"]) == (422, "unreadable")
    found = server.post(ROUTE, data={"note": "a", "_on_unreadable": "absent"}, files=files)
    assert found.json()["predictions"][0]["used"] == ["words"]


def test_a_record_without_any_column_is_refused(server: TestClient) -> None:
    found = server.post(ROUTE, json={"records": [{"note": "a"}, {}]})
    assert (found.status_code, found.json()["error"]["code"]) == (422, "empty_record")
    assert "row 2 has none of the model's columns" in found.text
    found = server.post(ROUTE, files={"_top_k": (None, b"1")})
    assert (found.status_code, found.json()["error"]["code"]) == (422, "empty_record")
    (said,) = ask(server, {"note": None})
    assert said["used"] == []


def test_a_data_url_and_the_name_of_a_modality(server: TestClient) -> None:
    inner = as_json({"photo": picture(4)})["photo"]["base64"]
    (wanted,) = ask(server, {"photo": picture(4)})
    for cell in (f"data:image/png;base64,{inner}", {"base64": f"data:image/png;base64,{inner}"}):
        for key in ("photo", "look"):
            assert ask(server, {key: cell})[0] == wanted


def test_pictures_and_sounds_of_other_formats(server: TestClient) -> None:
    for form in ("JPEG", "WEBP", "BMP", "GIF", "TIFF"):
        (said,) = ask(server, {"photo": picture(1, 32, form), "clip": clip(1, rate=16000)})
        assert said["used"] == ["look", "noise"] and not said["partly"]


REFUSED = [
    (b"{", 400, "bad_json"),
    (b"", 400, "bad_json"),
    (b"\xff", 400, "not_utf8"),
    (b'{"records": [{}], "threshold": NaN}', 400, "bad_json"),
    (b'{"records": [{}], "records": [{}]}', 400, "key_twice"),
    (b"[" * 100 + b"]" * 100, 400, "too_deep"),
    (b"[" * 200_000, 400, "too_deep"),
    (b'{"records": [{}], "top_k": ' + b"9" * 5000 + b"}", 400, "bad_json"),
    (b"[]", 422, "wrong_type"),
    (b"{}", 422, "no_records"),
    (b'{"records": []}', 422, "no_records"),
    (b'{"records": [1]}', 422, "no_records"),
    (b'{"record": [{}]}', 422, "unknown_key"),
    (b'{"records": [{}], "top_k": 0}', 422, "bad_top_k"),
    (b'{"records": [{}], "top_k": true}', 422, "bad_top_k"),
    (b'{"records": [{}], "threshold": 1.1}', 422, "bad_threshold"),
    (b'{"records": [{}], "contributions": 1}', 422, "bad_contributions"),
    (b'{"records": [{}], "on_unreadable": "ignore"}', 422, "bad_on_unreadable"),
    (b'{"records": [{}], "on_unreadable": ["absent"]}', 422, "bad_on_unreadable"),
    (b'{"records": [{}]}', 422, "empty_record"),
    (b'{"records": [{"foto": null}]}', 422, "unknown_column"),
    (b'{"records": [{"photo": null, "look": null}]}', 422, "column_twice"),
    (b'{"records": [{"photo": 5}]}', 422, "wrong_type"),
    (b'{"records": [{"photo": {"base64": "AA=="  , "path": "x"}}]}', 422, "wrong_type"),
    (b'{"records": [{"photo": {"base64": "A"}}]}', 422, "bad_base64"),
    (b'{"records": [{"photo": {"base64": "AA==\\nAA=="}}]}', 422, "bad_base64"),
    (b'{"records": [{"photo": "data:text/plain,hello"}]}', 422, "bad_base64"),
    (b'{"records": [{"note": 5}]}', 422, "wrong_type"),
    (b'{"records": [{"weight": [1]}]}', 422, "wrong_type"),
    (b'{"records": [{"weight": 1e999}]}', 422, "not_finite"),
    (b'{"records": [{"steps": "[[1, 2]]"}]}', 422, "wrong_type"),
    (b'{"records": [{"steps": [[1, true]]}]}', 422, "wrong_type"),
    (b'{"records": [{"steps": [[1, 1e39]]}]}', 422, "not_finite"),
    (b'{"records": [{"note": "\\ud800", "foto": "\\ud800"}]}', 422, "unknown_column"),
]


@pytest.mark.parametrize(("body", "status", "code"), REFUSED, ids=[f"{n}-{r[2]}" for n, r in enumerate(REFUSED)])
def test_what_is_wrong_is_refused_with_a_word_of_its_own(
    server: TestClient, body: bytes, status: int, code: str
) -> None:
    found = server.post(ROUTE, content=body, headers={"content-type": "application/json"})
    assert (found.status_code, found.json()["error"]["code"]) == (status, code), found.text
    assert set(found.json()["error"]) == {"code", "message", "hint"}


def test_half_a_pair_of_utf_16_does_no_harm(server: TestClient) -> None:
    text = b'{"records": [{"note": "a \\ud800 thing", "shop": "n\\udfff"}]}'
    found = server.post(ROUTE, content=text, headers={"content-type": "application/json"})
    assert found.status_code == 200 and found.json()["predictions"][0]["used"] == ["words", "facts"]


@pytest.mark.parametrize(
    ("content_type", "body", "status", "code"),
    [
        ("text/plain", b"{}", 415, "media_type"),
        ("", b"{}", 415, "media_type"),
        ("application/json; charset=latin-1", b"{}", 415, "charset"),
        ("multipart/form-data", b"", 400, "bad_form"),
        ("multipart/form-data; boundary=x", b"no form", 400, "bad_form"),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="note"\r\n\r\na',
            400,
            "bad_form",
        ),
        ("multipart/form-data; boundary=x", b"--x\r\nContent-Type: a/b\r\n\r\na\r\n--x--\r\n", 400, "bad_form"),
    ],
)
def test_media_types_and_broken_forms(
    server: TestClient, content_type: str, body: bytes, status: int, code: str
) -> None:
    found = server.post(ROUTE, content=body, headers={"content-type": content_type})
    assert (found.status_code, found.json()["error"]["code"]) == (status, code), found.text


@pytest.mark.parametrize(
    ("data", "files", "code"),
    [
        ({"_top_k": "many"}, {}, "bad_top_k"),
        ({"_contributions": "yes"}, {}, "bad_contributions"),
        ({"_threshold": "nan"}, {}, "bad_threshold"),
        ({"_on_unreadable": "maybe"}, {}, "bad_on_unreadable"),
        ({"note": ["a", "b"]}, {}, "column_twice"),
        ({"_top_k": ["1", "2"]}, {}, "column_twice"),
        ({"other": "a"}, {}, "unknown_column"),
        ({"photo": "a.png"}, {}, "path_refused"),
        ({"steps": "1"}, {}, "wrong_type"),
        ({}, {"note": ("a", b"\xff")}, "not_utf8"),
    ],
)
def test_fields_that_do_not_fit(server: TestClient, data: dict, files: dict, code: str) -> None:
    found = server.post(ROUTE, data=data, files={**files, "clip": ("", b"")})
    assert (found.status_code, found.json()["error"]["code"]) == (422, code), found.text


def test_no_such_model_route_or_method(server: TestClient) -> None:
    for method, path, status, code in (
        ("POST", "/v1/models/thing/predict", 404, "no_such_model"),
        ("GET", "/v1/models/thing", 404, "no_such_model"),
        ("GET", "/v1/nothing", 404, "not_found"),
        ("GET", ROUTE, 405, "method_not_allowed"),
    ):
        found = server.request(method, path)
        assert (found.status_code, found.json()["error"]["code"]) == (status, code)
    assert server.get("/v1/models/thing").json()["error"]["hint"] == "did you mean 'things'?"
    assert server.get(ROUTE).headers["allow"] == "POST"
