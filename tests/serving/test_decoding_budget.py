"""A request that takes too long to decode is refused before it is decoded; what nobody waits for is cancelled."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import time
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image
from serving_tools import MODEL, ask, client, clip, picture
from starlette.testclient import TestClient

from suffuse.modalities import image
from suffuse.predictor import Predictor

ROUTE = f"/v1/models/{MODEL}/predict"
INFER = f"/v2/models/{MODEL}/infer"


def encoded(content: bytes) -> dict[str, str]:
    return {"base64": base64.b64encode(content).decode()}


def large() -> bytes:
    """64,000,000 pixels in some hundred kilobytes."""
    file = io.BytesIO()
    Image.new("L", (8000, 8000)).save(file, "PNG")
    return file.getvalue()


def sound(form: str, seconds: float, rate: int = 8000, channels: int = 1) -> bytes:
    file = io.BytesIO()
    tone = np.sin(np.arange(int(seconds * rate)) / 5).astype(np.float32)[:, None] * np.ones(channels, np.float32) / 2
    soundfile.write(file, tone, rate, format=form)
    return file.getvalue()


@pytest.fixture
def undecoded(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*args: Any) -> Any:
        raise AssertionError("decoded")

    monkeypatch.setattr(image, "decode", never)


@pytest.mark.usefixtures("undecoded")
@pytest.mark.parametrize("path", [ROUTE, INFER])
def test_pictures_that_take_long_to_decode_are_refused_by_their_heads(server: TestClient, path: str) -> None:
    pictures = [encoded(large())] * 60
    body: dict[str, Any] = {"records": [{"photo": one} for one in pictures]}
    if path == INFER:
        data = [one["base64"] for one in pictures]
        body = {"inputs": [{"name": "photo", "shape": [60], "datatype": "BYTES", "data": data}]}
    found = server.post(path, json=body)
    assert found.status_code == 413 and "too_much_to_decode" in found.text
    assert "128,000,000 pixels" in found.text and "--limit request_pixels=NUMBER" in found.text


@pytest.mark.parametrize("form", ["WAV", "FLAC", "OGG", "MP3"])
def test_sounds_count_by_their_heads_compressed_or_not(predictor: Predictor, form: str) -> None:
    records = [{"clip": encoded(sound(form, 0.5))}] * 4
    with client({MODEL: predictor}, request_seconds=1.9) as server:
        found = server.post(ROUTE, json={"records": records})
        assert found.status_code == 413 and "more than 1.9 seconds" in found.text, found.text
        assert server.post(ROUTE, json={"records": records[:3]}).status_code == 200
    with client({MODEL: predictor}, request_samples=32_000) as server:  # 4 x 4,000 frames of one channel
        assert server.post(ROUTE, json={"records": records[:3]}).status_code == 200
        found = server.post(ROUTE, json={"records": [{"clip": encoded(sound(form, 0.5, 44_100, 2))}]})
        assert found.status_code == 413 and "request_samples" in found.text, found.text


def test_a_sound_whose_length_nobody_knows_counts_as_the_longest(predictor: Predictor) -> None:
    content = bytearray(sound("FLAC", 0.5))
    at = content.index(b"fLaC") + 8 + 13  # STREAMINFO: the low four bits of this byte and the next four bytes
    content[at] &= 0xF0
    content[at + 1 : at + 5] = bytes(4)
    with client({MODEL: predictor}, request_seconds=599) as server:
        found = server.post(ROUTE, json={"records": [{"clip": encoded(bytes(content))}]})
        assert found.status_code == 413 and "request_seconds" in found.text, found.text


@pytest.mark.usefixtures("undecoded")
def test_a_jpeg_of_endless_scans_counts_each_of_its_passes(predictor: Predictor) -> None:
    file = io.BytesIO()
    Image.new("RGB", (100, 100)).save(file, "JPEG", progressive=True)
    content = file.getvalue()
    bomb = content[:-2] + content[content.rindex(b"\xff\xda") : -2] * 1000 + content[-2:]
    with client({MODEL: predictor}, request_pixels=100_000) as server:
        found = server.post(ROUTE, json={"records": [{"photo": encoded(bomb)}]})
    assert found.status_code == 413 and "request_pixels" in found.text, found.text


def test_many_pictures_of_a_common_size_are_answered(server: TestClient) -> None:
    assert len(ask(server, *[{"photo": picture(n, 64), "clip": clip(n)} for n in range(100)])) == 100


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When each picture was begun; each takes 50 ms."""
    begun: list[float] = []
    decode = image.decode

    def slow(*args: Any) -> Any:
        begun.append(time.monotonic())
        time.sleep(0.05)
        return decode(*args)

    monkeypatch.setattr(image, "decode", slow)
    return begun


@pytest.mark.slow
@pytest.mark.long
def test_the_rest_of_a_request_isn_t_decoded_after_its_time(predictor: Predictor, decoded: list[float]) -> None:
    body = {"records": [{"photo": encoded(picture(n))} for n in range(400)]}
    with client({MODEL: predictor}, threads=1, answer_seconds=0.3) as server:
        assert server.post(ROUTE, json=body).status_code == 504
        until = time.monotonic()
        assert len(ask(server, {"note": "a"})) == 1  # by the only thread
    assert len(decoded) < 400 and max(decoded) < until + 2


def test_the_rest_of_a_request_isn_t_decoded_without_its_client(predictor: Predictor, decoded: list[float]) -> None:
    body = json.dumps({"records": [{"photo": encoded(picture(n))} for n in range(400)]}).encode()
    sent: list[dict[str, Any]] = []
    scope: dict[str, Any] = {
        "type": "http",
        "method": "POST",
        "path": ROUTE,
        "query_string": b"",
        "http_version": "1.1",
    }
    scope |= {"scheme": "http", "headers": [(b"content-type", b"application/json")]}
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        if messages:
            return messages.pop()
        await asyncio.sleep(0.3)
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    with client({MODEL: predictor}, threads=1) as server:
        assert server.portal is not None
        server.portal.call(server.app, scope, receive, send)  # type: ignore
        assert len(ask(server, {"note": "a"})) == 1
        assert "suffuse_requests_inside 0.0" in server.get("/metrics").text
    assert sent[0]["status"] == 400 and b"cut_off" in sent[1]["body"] and len(decoded) < 400
