"""What is too much is refused with an answer of its own, before it costs anything; no path and no address is opened."""

from __future__ import annotations

import base64
import builtins
import io
import os
import socket
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image
from serving_tools import MODEL, as_json, client, clip, picture
from starlette.testclient import TestClient

from suffuse.predictor import Predictor
from suffuse.serving.limits import CellLimits

ROUTE = f"/v1/models/{MODEL}/predict"
TIGHT = {"pixels": 1000, "seconds": 1.0, "characters": 50, "cell_bytes": 40_000, "records": 3}


@pytest.fixture(scope="module")
def tight(predictor: Predictor) -> Iterator[TestClient]:
    """A server of an export that says its own limits, with a small body."""
    told = predictor.describe()
    one = type("Told", (), {"describe": lambda self: {**told, "limits": TIGHT}})()
    for name in ("heads", "inputs", "session", "derived", "names", "facts"):
        setattr(one, name, getattr(predictor, name))
    for name in ("value", "probabilities", "logits"):
        setattr(one, name, getattr(predictor, name))
    with client({MODEL: one}, body=200_000, parts=8) as made:
        yield made


def wide() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (40, 40)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    ("record", "status", "code"),
    [
        ({"photo": wide()}, 422, "too_many_pixels"),
        ({"clip": clip(seconds=1.2)}, 422, "sound_too_long"),
        ({"note": "a" * 51}, 422, "text_too_long"),
        ({"shop": "a" * 1001}, 422, "text_too_long"),
        ({"photo": b"x" * 40_001}, 413, "file_too_large"),
    ],
)
def test_a_cell_that_is_too_large(tight: TestClient, record: dict, status: int, code: str) -> None:
    found = tight.post(ROUTE, json={"records": [as_json(record)]})
    assert (found.status_code, found.json()["error"]["code"]) == (status, code), found.text
    name, value = next(iter(record.items()))
    file = {name: ("a", value)} if isinstance(value, bytes) else {"clip": ("", b"")}
    found = tight.post(ROUTE, data={} if isinstance(value, bytes) else record, files=file)
    assert (found.status_code, found.json()["error"]["code"]) == (status, code), found.text


def test_what_just_fits_is_answered(tight: TestClient) -> None:
    record = {"photo": picture(0, 31), "clip": clip(seconds=1.0), "note": "a" * 50, "shop": "a" * 1000}
    found = tight.post(ROUTE, json={"records": [as_json(record)] * 2 + [{"note": None}]})
    assert found.status_code == 200, found.text
    assert found.json()["predictions"][0]["used"] == ["look", "words", "noise", "facts"]


def test_too_many_records_and_parts(tight: TestClient) -> None:
    found = tight.post(ROUTE, json={"records": [{}] * 4})
    assert (found.status_code, found.json()["error"]["code"]) == (422, "too_many_records")
    found = tight.post(ROUTE, data={f"field {n}": "a" for n in range(9)}, files={"clip": ("", b"")})
    assert found.status_code in (413, 422)
    body = b"".join(b'--x\r\nContent-Disposition: form-data; name="note"\r\n\r\n\r\n' for _ in range(9)) + b"--x--"
    found = tight.post(ROUTE, content=body, headers={"content-type": "multipart/form-data; boundary=x"})
    assert (found.status_code, found.json()["error"]["code"]) == (413, "too_many_parts")


def test_a_body_that_says_that_it_is_too_large_is_not_read(tight: TestClient) -> None:
    def never() -> Iterator[bytes]:
        raise AssertionError("read")
        yield b""

    headers = {"content-type": "application/json", "content-length": "200001"}
    scope: dict[str, Any] = {"type": "http", "method": "POST", "path": ROUTE, "query_string": b"", "app": tight.app}
    sent = call(tight, {**scope, "headers": [(k.encode(), v.encode()) for k, v in headers.items()]}, never())
    assert sent[0]["status"] == 413 and (b"connection", b"close") in sent[0]["headers"]


def test_a_body_without_length_is_refused_once_it_is_too_large(tight: TestClient) -> None:
    read = []

    def pieces() -> Iterator[bytes]:
        for number in range(1000):
            read.append(number)
            yield b"x" * 40_000

    headers = [(b"content-type", b"application/json"), (b"transfer-encoding", b"chunked")]
    scope: dict[str, Any] = {"type": "http", "method": "POST", "path": ROUTE, "query_string": b"", "headers": headers}
    sent = call(tight, scope, pieces())
    assert sent[0]["status"] == 413 and len(read) == 6  # 240,000 bytes of 200,000


def call(server: TestClient, scope: dict[str, Any], pieces: Iterator[bytes]) -> list[dict[str, Any]]:
    """An ASGI call whose body is asked for piece by piece."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": next(pieces), "more_body": True}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    assert server.portal is not None
    server.portal.call(server.app, {"http_version": "1.1", "scheme": "http", **scope}, receive, send)  # type: ignore
    return sent


@pytest.mark.parametrize("name", ["photo", "clip", "look"])
@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("/etc/passwd", "path_refused"),
        ("a.png", "path_refused"),
        ("", "path_refused"),
        ("../../a.wav", "path_refused"),
        ("http://127.0.0.1:1/a.png", "url_refused"),
        (" HTTPS://example.org/a.png", "url_refused"),
        ("s3://bucket/key", "url_refused"),
        ("file:///etc/passwd", "url_refused"),
        ("gopher://x", "url_refused"),
        ({"path": "/etc/passwd"}, "wrong_type"),
        ({"bytes": None, "path": "/etc/passwd"}, "wrong_type"),
        (["/etc/passwd"], "wrong_type"),
        (5, "wrong_type"),
    ],
)
def test_no_path_and_no_address_is_opened(
    server: TestClient, monkeypatch: pytest.MonkeyPatch, name: str, value: Any, code: str
) -> None:
    def never(*args: Any, **more: Any) -> Any:
        raise AssertionError(f"opened {args}")

    for module, function in ((builtins, "open"), (os, "open"), (os, "lstat"), (socket, "create_connection")):
        monkeypatch.setattr(module, function, never)
    found = server.post(ROUTE, json={"records": [{name: value}]})
    monkeypatch.undo()
    assert (found.status_code, found.json()["error"]["code"]) == (422, code), found.text


def test_a_path_that_slipped_through_would_lead_nowhere(predictor: Predictor) -> None:
    from suffuse.serving.row_batches import encode_records

    rows = encode_records(
        predictor, [{"photo": "/etc/passwd", "clip": "/proc/self/environ", "steps": "/etc/passwd"}], strict=False
    )
    assert not rows.present.any()
    assert {rows.absent[0][name] for name in ("look", "noise", "path")} == {"outside the data root"}


def test_a_compressed_body_is_not_read(server: TestClient) -> None:
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    found = server.post(ROUTE, content=b"{}", headers=headers)
    assert (found.status_code, found.json()["error"]["code"]) == (415, "encoded_body")


def test_a_bomb_of_pixels_is_never_decoded(predictor: Predictor) -> None:
    """A picture of 60,000 x 60,000 white pixels in a few kilobytes."""
    import struct
    import zlib

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    bomb = (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 10**6)) + chunk(b"IEND", b"")
    )
    with client({MODEL: predictor}) as server:
        found = server.post(ROUTE, json={"records": [{"photo": {"base64": base64.b64encode(bomb).decode()}}]})
    assert (found.status_code, found.json()["error"]["code"]) == (422, "too_many_pixels")


def test_the_export_s_limits_are_taken_and_silence_is_not_endless() -> None:
    silent = CellLimits.from_export({"pixels": 5, "seconds": None, "characters": float("inf"), "records": 7})
    assert silent == replace(CellLimits(), pixels=5, records=7)
