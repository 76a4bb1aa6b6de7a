"""/v2: the Open Inference Protocol, with the network's own tensors and with raw columns."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pytest
from serving_tools import MODEL, ask, record
from starlette.testclient import TestClient

from suffuse.predictor import Predictor

PLACE = f"/v2/models/{MODEL}"
TYPES = {"uint8": "UINT8", "int32": "INT64", "float32": "FP32", "bool": "BOOL"}


def tensor(name: str, array: np.ndarray, flat: bool = False) -> dict[str, Any]:
    data = array.reshape(-1).tolist() if flat else array.tolist()
    return {"name": name, "shape": list(array.shape), "datatype": TYPES[str(array.dtype)], "data": data}


def tensors(predictor: Predictor, records: list[dict], flat: bool = False) -> list[dict[str, Any]]:
    """Records as the network takes them."""
    entries, present = predictor.encoded(records, ".")
    return [tensor(name, value, flat) for name, value in {**entries, "present": present}.items()]


def infer(server: TestClient, inputs: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    found = server.post(f"{PLACE}/infer", json={"inputs": inputs, **more})
    assert found.status_code == 200, found.text
    return {one["name"]: one for one in found.json()["outputs"]} | {"": found.json()}


def test_the_server_and_its_health(server: TestClient) -> None:
    assert server.get("/v2").json()["name"] == "suffuse"
    assert server.get("/v2/health/live").json() == {"live": True}
    assert server.get("/v2/health/ready").json() == {"ready": True}
    assert server.get(f"{PLACE}/ready").json() == {"name": MODEL, "ready": True, "device": "cpu"}
    found = server.get("/v2/models/thing")
    assert found.status_code == 404 and isinstance(found.json()["error"], str)


def test_metadata_names_the_tensors_of_the_file_and_the_raw_columns(server: TestClient, predictor: Predictor) -> None:
    said = server.get(PLACE).json()
    assert said["properties"] == {"form": "fp32", "device": "cpu"}
    inputs = {one["name"]: (one["datatype"], one["shape"]) for one in said["inputs"]}
    assert inputs["look"] == ("UINT8", [-1, 16, 16, 3])
    assert inputs["words"] == ("INT64", [-1, -1])
    assert inputs["noise"] == ("FP32", [-1, -1, 17])
    assert inputs["present"] == ("BOOL", [-1, 5])
    assert all(inputs[name] == ("BYTES", [-1]) for name in ("photo", "note", "clip", "weight", "shop", "steps"))
    outputs = {one["name"]: (one["datatype"], one["shape"]) for one in said["outputs"]}
    assert outputs["kind"] == ("BYTES", [-1]) and outputs["kind.probabilities"] == ("FP32", [-1, 3])
    assert outputs["tags"] == ("BOOL", [-1, 2]) and outputs["price"] == ("FP32", [-1])


@pytest.mark.parametrize("flat", [False, True])
def test_the_network_s_own_tensors(server: TestClient, predictor: Predictor, flat: bool) -> None:
    records = [record(n) for n in range(12)]
    found = infer(server, tensors(predictor, records, flat), id="seven")
    assert found[""]["id"] == "seven" and found[""]["model_name"] == MODEL
    wanted = predictor.predict(records)
    assert found["kind"]["data"] == [one.answers["kind"].value for one in wanted]
    exact = [list(one.answers["kind"].probabilities.values()) for one in wanted]
    got = np.array(found["kind.probabilities"]["data"]).reshape(found["kind.probabilities"]["shape"])
    np.testing.assert_allclose(got, exact, atol=1e-6)
    np.testing.assert_allclose(found["price"]["data"], [one.answers["price"].value for one in wanted], atol=1e-4)
    said = np.array(found["tags"]["data"]).reshape(found["tags"]["shape"])
    assert [tuple(np.array(["big", "old"])[row]) for row in said] == [one.answers["tags"].value for one in wanted]


def test_raw_columns(server: TestClient) -> None:
    records = [record(n) for n in range(10)]

    def column(name: str, datatype: str = "BYTES", shape: tuple[int, ...] = (10,)) -> dict[str, Any]:
        values = [r.get(name) for r in records]
        data = [base64.b64encode(v).decode() if isinstance(v, bytes) else v for v in values]
        return {"name": name, "shape": list(shape), "datatype": datatype, "data": data}

    inputs = [column("photo"), column("note", shape=(10, 1)), column("clip"), column("weight", "FP64"), column("shop")]
    found = infer(server, inputs, outputs=[{"name": "kind"}, {"name": "kind.confidence"}, {"name": "present"}])
    assert found.keys() == {"", "kind", "kind.confidence", "present"}
    without = [{k: v for k, v in r.items() if k != "steps"} for r in records]
    wanted = ask(server, *without)
    assert found["kind"]["data"] == [one["answers"]["kind"]["value"] for one in wanted]
    exact = [one["answers"]["kind"]["confidence"] for one in wanted]
    np.testing.assert_allclose(found["kind.confidence"]["data"], exact, atol=1e-6)
    used = np.array(found["present"]["data"]).reshape(10, 5)
    assert (used.sum(1) == [len(one["used"]) for one in wanted]).all()


def test_a_file_that_cannot_be_read(server: TestClient) -> None:
    cells = {"note": "a thing", "photo": base64.b64encode(b"no picture").decode()}
    inputs = [{"name": k, "shape": [1], "datatype": "BYTES", "data": [v]} for k, v in cells.items()]
    for more in ({}, {"parameters": {}}, {"parameters": {"on_unreadable": "error"}}):
        found = server.post(f"{PLACE}/infer", json={"inputs": inputs, **more})
        assert found.status_code == 422, found.text
        said = found.json()["error"]
        assert said.startswith("unreadable: row 1: 'look' can't be read: not a picture in a known format")
    used = infer(server, inputs, parameters={"on_unreadable": "absent"})["present"]
    assert used["data"] == [False, True, False, False, False]
    found = server.post(f"{PLACE}/infer", json={"inputs": inputs, "parameters": {"on_unreadable": 1}})
    assert found.status_code == 422 and found.json()["error"].startswith("bad_on_unreadable")


def test_an_input_that_is_absent_everywhere_may_be_left_out(server: TestClient, predictor: Predictor) -> None:
    only = [{"note": "a thing"}, {"note": "of the shop"}]
    whole = tensors(predictor, only)
    found = infer(server, [one for one in whole if one["name"] in ("words", "present")])
    assert found["kind"]["data"] == infer(server, whole)["kind"]["data"]


def test_what_stands_where_a_modality_is_absent_may_be_out_of_range(server: TestClient, predictor: Predictor) -> None:
    whole = tensors(predictor, [record(0), {k: v for k, v in record(1).items() if k != "note"}])
    junk = [
        {**one, "data": [one["data"][0], [10**6] * one["shape"][1]]} if one["name"] == "words" else one for one in whole
    ]
    assert junk != whole
    assert infer(server, junk)["kind.probabilities"] == infer(server, whole)["kind.probabilities"]


def change(of: str, **facts: Any) -> Any:
    return lambda inputs: [{**one, **facts} if one["name"] == of else one for one in inputs]


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        (change("look", datatype="FP32"), "wrong_type"),
        (change("look", shape=[1, 16, 16, 4]), "wrong_shape"),
        (change("look", shape=[2, 16, 16, 3]), "wrong_shape"),
        (change("look", shape=[0, 16, 16, 3]), "bad_shape"),
        (change("look", data=[300] * 768), "out_of_range"),
        (change("look", data=[0.5] * 768), "wrong_type"),
        (change("look", data=["a"] * 768), "wrong_type"),
        (change("look", data=[None] * 768), "wrong_type"),
        (change("look", data=[[1], [1, 2]]), "wrong_shape"),
        (change("words", data=[[10**6]], shape=[1, 1]), "out_of_range"),
        (change("words", data=[[-1]], shape=[1, 1]), "out_of_range"),
        (change("words", data=[[10**30]], shape=[1, 1]), "out_of_range"),
        (change("words", data=[[2] * 500], shape=[1, 500]), "too_many_steps"),
        (change("noise", data=[1e300] * 17, shape=[1, 1, 17]), "not_finite"),
        (change("facts", data=[0.0, 0.0, 99.0]), "out_of_range"),
        (change("facts", data=[0.0, 0.0, 0.5]), "out_of_range"),
        (change("present", data=[1, 1, 1, 1, 1]), "wrong_type"),
        (change("present", name="absent"), "wrong_type"),
        (lambda inputs: [*inputs, inputs[0]], "input_twice"),
        (lambda inputs: inputs[1:], "missing_input"),
        (lambda inputs: [], "no_records"),
        (lambda inputs: "all", "bad_request"),
        (lambda inputs: [{}], "bad_tensor"),
        (change("look", datatype="TEXT"), "bad_tensor"),
        (change("look", parameters={"binary_data_size": 5}), "binary_data"),
    ],
)
def test_tensors_that_do_not_fit(server: TestClient, predictor: Predictor, wrong: Any, word: str) -> None:
    found = server.post(f"{PLACE}/infer", json={"inputs": wrong(tensors(predictor, [record(0)]))})
    assert found.status_code == 422 and found.json()["error"].startswith(word), found.text


@pytest.mark.parametrize(
    ("column", "word"),
    [
        ({"name": "photo", "shape": [1], "datatype": "BYTES", "data": ["/etc/passwd"]}, "bad_base64"),
        ({"name": "photo", "shape": [1], "datatype": "UINT8", "data": [1]}, "wrong_type"),
        ({"name": "note", "shape": [2], "datatype": "BYTES", "data": ["a"]}, "wrong_shape"),
        ({"name": "note", "shape": [1, 2], "datatype": "BYTES", "data": ["a", "b"]}, "wrong_shape"),
        ({"name": "note", "shape": [1], "datatype": "BYTES", "data": [5]}, "wrong_type"),
        ({"name": "weight", "shape": [1], "datatype": "INT64", "data": [1.5]}, "wrong_type"),
        ({"name": "weight", "shape": [1], "datatype": "BOOL", "data": [1]}, "wrong_type"),
        ({"name": "weight", "shape": [1], "datatype": "FP32", "data": [True]}, "wrong_type"),
        ({"name": "other", "shape": [1], "datatype": "BYTES", "data": ["a"]}, "unknown_column"),
    ],
)
def test_raw_columns_that_do_not_fit(server: TestClient, column: dict, word: str) -> None:
    found = server.post(f"{PLACE}/infer", json={"inputs": [column]})
    assert found.status_code == 422 and found.json()["error"].startswith(word), found.text


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ({"id": 5}, "bad_request"),
        ({"other": 5}, "bad_request"),
        ({"outputs": [{"name": "logits"}]}, "unknown_output"),
        ({"outputs": [{}]}, "bad_request"),
        ({"outputs": [{"name": "kind", "parameters": {"binary_data": True}}]}, "binary_data"),
    ],
)
def test_requests_that_do_not_fit(server: TestClient, more: dict, word: str) -> None:
    inputs = [{"name": "note", "shape": [1], "datatype": "BYTES", "data": ["a"]}]
    found = server.post(f"{PLACE}/infer", json={"inputs": inputs, **more})
    assert found.status_code == 422 and found.json()["error"].startswith(word), found.text
