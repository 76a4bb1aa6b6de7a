"""Too many at once, too slow, and a server that fails: each with its own answer."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from serving_tools import MODEL, ask, client, record

from suffuse.predictor import Predictor

ROUTE = f"/v1/models/{MODEL}/predict"


def copy(kind: Any, predictor: Predictor) -> Predictor:
    return kind(predictor.heads, predictor.inputs, predictor.session, predictor.derived, predictor.facts)


def held(predictor: Predictor, until: threading.Event) -> Predictor:
    """A predictor that answers once it may."""

    class Held(Predictor):
        def logits(self, entries: Any, present: np.ndarray) -> np.ndarray:
            until.wait(30)
            return super().logits(entries, present)

    return copy(Held, predictor)


def test_more_requests_than_the_server_takes(predictor: Predictor) -> None:
    until = threading.Event()
    with client({MODEL: held(predictor, until)}, requests=3) as server, ThreadPoolExecutor(3) as pool:
        inside = [pool.submit(ask, server, record(n)) for n in range(3)]
        while "suffuse_requests_inside 3.0" not in server.get("/metrics").text:
            time.sleep(0.01)
        found = server.post(ROUTE, json={"records": [EMPTY]})
        assert (found.status_code, found.json()["error"]["code"]) == (429, "too_many_requests")
        assert found.headers["retry-after"] == "1"
        assert server.get("/v2/health/ready").status_code == 200  # health is asked beside the gate
        until.set()
        assert all(len(one.result()) == 1 for one in inside)
        assert len(ask(server, record(0))) == 1
        text = server.get("/metrics").text
    assert 'suffuse_refusals_total{reason="too_many_requests"} 1.0' in text
    assert "suffuse_requests_inside 0.0" in text and "suffuse_bytes_inside 0.0" in text


def test_more_bytes_than_the_server_holds(predictor: Predictor) -> None:
    until = threading.Event()
    with client({MODEL: held(predictor, until)}, memory=1000) as server, ThreadPoolExecutor(1) as pool:
        inside = pool.submit(ask, server, {"note": "a" * 800})
        while "suffuse_bytes_inside 0.0" in server.get("/metrics").text:
            time.sleep(0.01)
        found = server.post(ROUTE, json={"records": [{"note": "a" * 300}]})
        assert (found.status_code, found.json()["error"]["code"]) == (429, "out_of_memory")
        until.set()
        assert len(inside.result()) == 1
        assert "suffuse_bytes_inside 0.0" in server.get("/metrics").text


def test_an_answer_that_takes_too_long(predictor: Predictor) -> None:
    until = threading.Event()
    with client({MODEL: held(predictor, until)}, answer_seconds=0.2) as server:
        for path, body in ((ROUTE, {"records": [EMPTY]}), (f"/v2/models/{MODEL}/infer", INPUTS)):
            found = server.post(path, json=body)
            assert found.status_code == 504 and "too_slow" in found.text
        until.set()
        time.sleep(0.2)
        assert len(ask(server, record(0))) == 1


EMPTY = {"note": None}
INPUTS = {"inputs": [{"name": "note", "shape": [1], "datatype": "BYTES", "data": ["a"]}]}


def test_a_network_that_fails_is_a_500_and_the_server_goes_on(predictor: Predictor) -> None:
    class Broken(Predictor):
        def logits(self, entries: Any, present: np.ndarray) -> np.ndarray:
            if present.any():
                raise RuntimeError("secret")
            return super().logits(entries, present)

    with client({MODEL: copy(Broken, predictor)}) as server:
        found = server.post(ROUTE, json={"records": [{"note": "a"}]})
        assert (found.status_code, found.json()["error"]["code"]) == (500, "defect")
        assert "secret" not in found.text
        assert len(ask(server, EMPTY)) == 1


def test_an_answer_that_is_no_number_is_refused(predictor: Predictor) -> None:
    class Endless(Predictor):
        def logits(self, entries: Any, present: np.ndarray) -> np.ndarray:
            return super().logits(entries, present) * np.float32(np.nan)

    with client({MODEL: copy(Endless, predictor)}) as server:
        for path, body in ((ROUTE, {"records": [EMPTY]}), (f"/v2/models/{MODEL}/infer", INPUTS)):
            found = server.post(path, json=body)
            assert found.status_code == 422 and "no_answer" in found.text


def test_several_models_each_with_its_own_threads_and_counts(predictor: Predictor) -> None:
    until = threading.Event()
    with client({"slow": held(predictor, until), MODEL: predictor}) as server, ThreadPoolExecutor(1) as pool:
        assert server.get("/v1/models").json() == {"models": ["slow", MODEL]}
        inside = pool.submit(ask, server, record(1), model="slow")
        quick = ask(server, record(1))
        until.set()
        assert inside.result() == quick
        text = server.get("/metrics").text
    for name in ("slow", MODEL):
        counted = f'suffuse_requests_total{{code="200",model="{name}",route="/v1/models/{{name}}/predict"}} 1.0'
        assert counted in text


def test_what_a_client_makes_up_gets_no_series_of_its_own(predictor: Predictor) -> None:
    with client({MODEL: predictor}) as server:
        for number in range(5):
            server.get(f"/v1/models/made-up-{number}")
            server.get(f"/made-up-{number}")
        assert "made-up" not in server.get("/metrics").text
