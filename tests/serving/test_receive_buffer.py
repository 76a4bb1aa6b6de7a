"""What reading a request reserves: blocks that pin the heap make a server grow that keeps no object."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import tracemalloc
from collections.abc import AsyncIterator
from typing import Any, ClassVar

import uvicorn
from uvicorn.server import ServerState

from suffuse.serving.header_timeout import patient
from suffuse.serving.receive_buffer import SIZE, Receiving

REQUEST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the body."""
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message["body"], message["more_body"]
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@contextlib.asynccontextmanager
async def connected() -> AsyncIterator[socket.socket]:
    """A connection to the server's protocol. Its client reads through small buffers: only the server's count."""
    config = uvicorn.Config(echo, log_level="error", access_log=False, lifespan="off")
    config.load()
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    made: Any = patient(10)
    state = {"server_state": ServerState(), "app_state": {}}
    with ours:
        await asyncio.get_running_loop().connect_accepted_socket(lambda: made(config=config, **state), theirs)
        yield ours
    await asyncio.sleep(0.01)


async def asked(line: socket.socket, body: bytes) -> bytes:
    """The echo of a body."""
    loop, found = asyncio.get_running_loop(), b""
    sending = asyncio.ensure_future(loop.sock_sendall(line, REQUEST % len(body) + body))
    while b"\r\n\r\n" not in found or len(found.partition(b"\r\n\r\n")[2]) < len(body):
        found += await loop.sock_recv(line, 2**12)
    await sending
    head, _, rest = found.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    return rest


def test_bodies_of_all_sizes_come_whole() -> None:
    bodies = [bytes([n % 251]) * size for n, size in enumerate((0, 1, SIZE - 1, SIZE, SIZE + 1, 10 * SIZE + 7))]

    async def all_of_them() -> list[bytes]:
        async with connected() as line:
            return [await asked(line, body) for body in bodies]

    assert asyncio.run(all_of_them()) == bodies


def test_a_small_request_reserves_little() -> None:
    """asyncio's own way would reserve 256 KiB to read it."""

    async def most() -> int:
        async with connected() as line:
            await asked(line, b"{}")  # what only the first one makes
            tracemalloc.start()
            try:
                assert await asked(line, b"{}") == b"{}"
                return tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()

    assert asyncio.run(most()) < 2 * SIZE


def test_a_connection_holds_no_buffer_between_requests() -> None:
    """A thousand idle ones would hold 64 MiB."""
    made = patient(10)
    assert issubclass(made, Receiving) and issubclass(made, asyncio.BufferedProtocol)

    class Heard(Receiving):
        pieces: ClassVar[list[bytes]] = []

        def data_received(self, data: bytes) -> None:
            assert self.buffer is None
            self.pieces.append(data)

    one = Heard()
    one.get_buffer(-1)[:3] = b"abc"
    one.buffer_updated(3)
    assert one.pieces == [b"abc"] and one.buffer is None
