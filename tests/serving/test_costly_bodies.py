"""Request bodies that cost more to read than their size suggests are refused in bounded time."""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from serving_tools import MODEL, ask
from starlette.testclient import TestClient

ROUTE = f"/v1/models/{MODEL}/predict"
INFER = f"/v2/models/{MODEL}/infer"
SIZE = 2_000_000


def tensor(**facts: Any) -> bytes:
    whole = {"name": "facts", "shape": [1, 3], "datatype": "FP32", "data": [0, 0, 0], **facts}
    present = {"name": "present", "shape": [1, 5], "datatype": "BOOL", "data": [False, False, False, True, False]}
    return json.dumps({"inputs": [whole, present]}).encode()


HOSTILE = {
    "a text without an end": (ROUTE, b"[" * 33 + b'"' + b'\\"' * (SIZE // 2), 400),
    "texts without an end": (ROUTE, b"[" * 33 + b'"' * (SIZE + 1), 400),
    "brackets in texts": (ROUTE, b'{"records": [{"note": "' + b"[" * SIZE + b'"}]}', 422),
    "a long key": (
        ROUTE,
        b'{"records": [{"' + "\u00e9\u0001".encode().replace(b"\x01", b"") * (SIZE // 4) + b'": 1}]}',
        422,
    ),
    "a long key of signs": (ROUTE, b'{"records": [{"' + b"\\u0001" * (SIZE // 6) + b'": 1}]}', 422),
    "a long key of the request": (ROUTE, b'{"' + b"records" * (SIZE // 7) + b'": 1}', 422),
    "a key twice among many": (
        ROUTE,
        b'{"records": [{' + b",".join(b'"%d": 1' % n for n in range(150_000)) + b',"149999": 1}]}',
        400,
    ),
    "many columns": (ROUTE, b'{"records": [{' + b",".join(b'"%d": 1' % n for n in range(150_000)) + b"}]}", 422),
    "many keys of the request": (
        ROUTE,
        b'{"records": [{"note": "a"}],' + b",".join(b'"%d": 1' % n for n in range(150_000)) + b"}",
        422,
    ),
    "many keys of a tensor": (
        INFER,
        b'{"inputs": [{"name": "note",' + b",".join(b'"%d": 1' % n for n in range(150_000)) + b"}]}",
        422,
    ),
    "many outputs without a name": (INFER, b'{"inputs": [], "outputs": [' + b"{}," * (SIZE // 3) + b"{}]}", 422),
    "many steps, the last of them wrong": (
        ROUTE,
        b'{"records": [{"steps": [' + b"[1,2]," * (SIZE // 6) + b'["a", 1]]}]}',
        422,
    ),
    "a long number": (ROUTE, b'{"records": [{"weight": ' + b"1" * SIZE + b"}]}", 400),
    "a text among numbers": (INFER, tensor(data=[0] * 100_000 + ["x" * 100_000], shape=[1, 100_001]), 422),
    "a text among the numbers of a row": (INFER, tensor(data=[0, 0, "x" * SIZE]), 422),
    "a large shape": (INFER, tensor(shape=[1, 2**31 - 1]), 422),
    "a shape of many": (INFER, tensor(shape=[1] * 100_000), 422),
    "numbers with many digits": (INFER, tensor(data=[0, 0, 10**4000]), 422),
    "nested unevenly": (INFER, tensor(data=[[0, 0], [0]]), 422),
    "nested deep": (INFER, tensor(data=[[[[[0, 0, 0]]]]]), 422),
    "a long name": (INFER, tensor(name="a" * SIZE), 422),
    "a long name of an output": (
        INFER,
        b'{"inputs": [{"name": "note", "shape": [1], "datatype": "BYTES", "data": ["a"]}], "outputs": [{"name": "'
        + b"a" * SIZE
        + b'"}]}',
        422,
    ),
}


@pytest.fixture(scope="module")
def reading() -> Iterator[float]:
    """Seconds of this machine's processor that Python takes to read the costliest of these bodies, of 333,000 lists.

    What other tests left is out of the collector's sight meanwhile, as a server's models are."""
    gc.collect()
    gc.freeze()
    took = []
    for _ in range(3):
        begun = time.process_time()
        json.loads(HOSTILE["many steps, the last of them wrong"][1])
        took.append(time.process_time() - begun)
    yield max(took)
    gc.unfreeze()


@pytest.mark.parametrize("name", HOSTILE)
def test_it_is_refused_in_little_time(server: TestClient, name: str, reading: float) -> None:
    """A body that costs its square takes minutes; the cost of reading it, measured beside, makes hosts alike."""
    path, body, status = HOSTILE[name]
    begun = time.process_time()
    found = server.post(path, content=body, headers={"content-type": "application/json"})
    took = time.process_time() - begun
    assert found.status_code == status, found.text
    assert len(found.content) < 1500
    assert took < 8 * reading, (took, reading)


@pytest.mark.parametrize("path", ["a" * 60_000, "%00", "..%2f..%2fetc", "%ff%fe"])
def test_strange_names_of_models(server: TestClient, path: str) -> None:
    found = server.get(f"/v1/models/{path}")
    assert found.status_code == 404 and len(found.content) < 1500


def test_contributions_of_many_records_are_too_much_at_once(server: TestClient) -> None:
    assert len(ask(server, *[{"shop": "north"}] * 128, contributions=True)) == 128  # 4,096 subsets
    found = server.post(ROUTE, json={"records": [{"shop": "north"}] * 129, "contributions": True})
    assert (found.status_code, found.json()["error"]["code"]) == (422, "too_many_records")


def test_the_page_of_the_routes_needs_no_network(server: TestClient) -> None:
    import re

    text = server.get("/docs").text
    links = re.findall(r"""(?:src|href)=["']([^"']+)""", text)
    assert links
    for link in links:
        assert "//" not in link
        assert server.get(f"/{link}").status_code == 200
