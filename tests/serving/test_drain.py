"""SIGTERM ends a server in bounded time whatever runs, and every accepted request gets a reply."""

from __future__ import annotations

import base64
import contextlib
import io
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from process_tools import Process, running
from serving_tools import MODEL, as_json, picture, record

from suffuse.errors import UsageError
from suffuse.serving.limits import Limits

ROUTE = f"/v1/models/{MODEL}/predict"
BOUND = 15.0  # seconds for an end after 2, on a busy machine
STUCK = "import time, suffuse.modalities.image as image; image.decode = lambda *args: time.sleep(600)"


def hostile(count: int) -> dict[str, Any]:
    """A picture of 64,000,000 pixels, ``count`` times, in some megabytes."""
    file = io.BytesIO()
    Image.new("L", (8000, 8000)).save(file, "PNG")
    return {"records": [{"photo": {"base64": base64.b64encode(file.getvalue()).decode()}}] * count}


def asking(pool: ThreadPoolExecutor, server: Process, body: dict[str, Any]) -> Future[httpx.Response]:
    """A request that is inside the server."""
    found = pool.submit(httpx.post, server.url + ROUTE, json=body, timeout=120)
    while "suffuse_requests_inside 0.0" in httpx.get(f"{server.url}/metrics").text:
        assert not found.done(), found.result().text
        time.sleep(0.01)
    return found


def ended(server: Process) -> tuple[int, float]:
    """Exit code after a SIGTERM, and the seconds that the end took."""
    begun = time.monotonic()
    return server.stop(60), time.monotonic() - begun


@pytest.mark.slow
@pytest.mark.long
def test_a_good_request_is_answered_beside_a_hostile_one_and_the_server_ends(export: Path, tmp_path: Path) -> None:
    limits = ("request_pixels=10000000000", "body=100000000", "grace=1", "drain=1")
    options = [word for limit in limits for word in ("--limit", limit)]
    with running(tmp_path / "log", f"{MODEL}={export}", *options) as server, ThreadPoolExecutor(2) as pool:
        bad = asking(pool, server, hostile(150))  # minutes to decode
        good = httpx.post(server.url + ROUTE, json={"records": [as_json(record(0))]}, timeout=20)
        assert good.status_code == 200 and not bad.done()
        code, took = ended(server)
        assert (code, bad.result().status_code) == (1, 503) and "stopping" in bad.result().text
        assert took < BOUND
        assert "requests that weren't answered: 1; no time left" in server.log.read_text()


@pytest.mark.slow
@pytest.mark.long
def test_a_client_that_goes_away_frees_the_thread(export: Path, tmp_path: Path) -> None:
    limits = ("request_pixels=10000000000", "body=100000000", "answer_seconds=600")
    options = ["--threads", "1", *(word for limit in limits for word in ("--limit", limit))]
    with running(tmp_path / "log", f"{MODEL}={export}", *options) as server:
        with contextlib.suppress(httpx.TimeoutException):  # minutes to decode; its client waits for seconds
            httpx.post(server.url + ROUTE, json=hostile(150), timeout=httpx.Timeout(60, read=2))
        good = httpx.post(server.url + ROUTE, json={"records": [as_json(record(0))]}, timeout=40)
        assert good.status_code == 200
        assert 'suffuse_refusals_total{reason="cut_off"} 1.0' in httpx.get(f"{server.url}/metrics").text
        assert ended(server)[0] == 0


@pytest.mark.slow
@pytest.mark.long
def test_a_thread_that_hangs_holds_nobody_up(export: Path, tmp_path: Path) -> None:
    """Its request is over, so nothing is lost: exit code 0."""
    options = ("--limit", "answer_seconds=1", "--limit", "grace=1", "--limit", "drain=1")
    with running(tmp_path / "log", f"{MODEL}={export}", *options, first=STUCK) as server:
        body = {"records": [{"photo": {"base64": base64.b64encode(picture()).decode()}}]}
        assert httpx.post(server.url + ROUTE, json=body, timeout=60).status_code == 504
        code, took = ended(server)
        assert code == 0 and took < BOUND
        assert "every request that came in was answered" in server.log.read_text()


@pytest.mark.slow
@pytest.mark.long
def test_a_loop_that_hangs_ends_too(export: Path, tmp_path: Path) -> None:
    """Nothing of asyncio runs any more after the signal."""
    first = "import time, suffuse.serving.server_process as process\nprocess.EXIT_SECONDS = 1\n"
    first += "process.accept_queued = lambda one: time.sleep(600)"
    options = ("--limit", "grace=0.5", "--limit", "drain=0.5")
    with running(tmp_path / "log", f"{MODEL}={export}", *options, first=first) as server:
        code, took = ended(server)
        assert code == 1 and took < BOUND
        assert "there was no time left" in server.log.read_text()


def test_the_limits_are_settings_of_the_command() -> None:
    told = Limits.from_options(["request_pixels=5", "request_seconds=1.5", "request_samples=7", "drain=2", "head=9000"])
    assert (told.request_pixels, told.request_seconds, told.request_samples) == (5, 1.5, 7)
    assert (told.drain, told.head) == (2, 9000)
    with pytest.raises(UsageError, match="a whole number"):
        Limits.from_options(["request_pixels=1.5"])


@pytest.mark.slow
@pytest.mark.long
def test_many_hostile_requests_don_t_keep_a_good_one_waiting(export: Path, tmp_path: Path) -> None:
    """By the limits that hold where nothing is said."""
    body = hostile(40)
    with running(tmp_path / "log", f"{MODEL}={export}") as server:
        over = threading.Event()

        def flood() -> set[int]:
            found = set()
            while not over.is_set():
                found.add(httpx.post(server.url + ROUTE, json=body, timeout=120).status_code)
            return found

        with ThreadPoolExecutor(2) as pool:
            floods = [pool.submit(flood) for _ in range(2)]
            try:
                for number in range(5):
                    good = httpx.post(server.url + ROUTE, json={"records": [as_json(record(number))]}, timeout=20)
                    assert good.status_code == 200
            finally:
                over.set()
            assert {status for one in floods for status in one.result()} == {413}
        assert server.stop() == 0
