"""A head that is too large gets 431; little of it is ever held."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from itertools import repeat
from typing import Any

import pytest
import uvicorn
from prometheus_client import CollectorRegistry, Counter
from uvicorn.server import ServerState

from suffuse.serving import head_limit
from suffuse.serving.head_limit import head_limited_protocol

MOST = 65_536
HEAD = b"GET / HTTP/1.1\r\nHost: x\r\n"
SENT = 2_000_000  # bytes that a client sends at the most


async def answer(scope: Any, receive: Any, send: Any) -> None:
    """Reads a body and answers with 200."""
    while (message := await receive())["type"] == "http.request" and message["more_body"]:
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture(autouse=True)
def short_linger(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest of a refused request is discarded for less long: each of these tests waits for the end of it."""
    monkeypatch.setattr(head_limit, "LINGER", 0.2)


@pytest.fixture
def refusals() -> Counter:
    """Counts what is refused."""
    return Counter("refusals", "refusals", ("reason",), registry=CollectorRegistry())


@contextlib.asynccontextmanager
async def connected(refusals: Counter) -> AsyncIterator[tuple[socket.socket, Any]]:
    """A connection, and the server's protocol of it."""
    config = uvicorn.Config(
        answer, log_level="critical", access_log=False, lifespan="off", h11_max_incomplete_event_size=MOST
    )
    config.load()
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    made: Any = head_limited_protocol(refusals)
    protocol = made(config=config, server_state=ServerState(), app_state={})
    with ours:
        await asyncio.get_running_loop().connect_accepted_socket(lambda: protocol, theirs)
        yield ours, protocol


def exchanged(refusals: Counter, pieces: Iterator[bytes]) -> tuple[bytes, int]:
    """Send pieces until the server is heard or SENT bytes are out -> what it says until it closes or nothing comes, and
    how many bytes were sent."""

    async def exchange() -> tuple[bytes, int]:
        loop, sent = asyncio.get_running_loop(), 0
        async with connected(refusals) as (line, protocol):
            with contextlib.suppress(ConnectionError):
                for piece in pieces:
                    await loop.sock_sendall(line, piece)
                    sent += len(piece)
                    await asyncio.sleep(0)
                    if sent > SENT or getattr(protocol, "refused", False):
                        break
            said = b""
            with contextlib.suppress(ConnectionError, TimeoutError):
                async with asyncio.timeout(3):
                    while piece := await loop.sock_recv(line, 65536):
                        said += piece
            return said, sent

    return asyncio.run(exchange())


def begun(head: bytes, piece: bytes) -> Iterator[bytes]:
    yield head
    yield from repeat(piece)


HOSTILE = {
    "short fields": (HEAD, b"A: b\r\n" * 1000),
    "a field without an end": (HEAD + b"A: ", b"b" * 8000),
    "a name without an end": (HEAD, b"b" * 8000),
    "an address without an end": (b"GET /", b"a" * 8000),
    "fields after a good request": (HEAD + b"\r\n" + HEAD, b"A: b\r\n" * 1000),
    "fields after a body": (
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
        b"A: b\r\n" * 1000,
    ),
    "a field after a body": (
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: ",
        b"b" * 8000,
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_head_without_an_end_is_refused(refusals: Counter, name: str) -> None:
    said, sent = exchanged(refusals, begun(*HOSTILE[name]))
    assert b"HTTP/1.1 431 " in said and b"head_too_large" in said and b"65,536" in said, said[:300]
    assert sent < 5 * MOST  # of which no more than twice the limit is held
    assert refusals.labels("head_too_large")._value.get() == 1


def test_a_whole_head_is_refused_beyond_the_limit_and_taken_below(refusals: Counter) -> None:
    """However it is cut into pieces."""
    for size, status in ((MOST - 1000, b"200"), (MOST + 1000, b"431")):
        whole = HEAD + b"A: " + b"b" * (size - len(HEAD)) + b"\r\nConnection: close\r\n\r\n"
        for step in (len(whole), 1000):
            pieces = (whole[at : at + step] for at in range(0, len(whole), step))
            assert exchanged(refusals, pieces)[0].startswith(b"HTTP/1.1 " + status)


def test_a_head_that_follows_a_running_request_closes_without_a_word(refusals: Counter) -> None:
    """A second status line would be read as the answer to the first request."""
    post = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n"
    said, sent = exchanged(refusals, begun(post + b"abc" + HEAD, b"A: b\r\n" * 1000))
    assert said.count(b"HTTP/1.1") <= 2 and sent < 5 * MOST


def test_large_bodies_aren_t_heads(refusals: Counter) -> None:
    size = 10 * MOST
    head = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % size
    assert exchanged(refusals, iter([head, b"x" * size]))[0].startswith(b"HTTP/1.1 200")
    chunked = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunks = [b"%x\r\n" % MOST + b"x" * MOST + b"\r\n"] * 10
    assert exchanged(refusals, iter([chunked, *chunks, b"0\r\nA: b\r\n\r\n"]))[0].startswith(b"HTTP/1.1 200")
