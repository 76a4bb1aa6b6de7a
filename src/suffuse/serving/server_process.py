"""The process: loads exports, listens on a socket, ends in bounded time with a response to every accepted request."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import logging
import math
import os
import re
import socket
import struct
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import uvicorn

from ..errors import SuffuseError, UsageError
from ..integrity import exported
from ..predictor import Predictor
from ..progress import say
from .app import ServerState, application
from .head_limit import head_limited_protocol
from .http_error import Refusal
from .limits import Limits

MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
BACKLOG = 2048  # connections that wait to be accepted
SO_ATTACH_FILTER = 26  # Linux: a classic BPF program decides which packets the socket gets
DROP_SYN = (  # code, jump if true, jump if false, operand
    (0x30, 0, 0, 13),  # load the byte of the TCP flags
    (0x45, 0, 1, 0x02),  # is SYN set?
    (0x06, 0, 0, 0),  # drop the packet
    (0x06, 0, 0, 0xFFFFFFFF),  # keep it whole
)
HANDSHAKE_SECONDS = 0.1  # in which connections that are being made get into the queue
POLL_SECONDS = 0.01  # between looks at the connections, at the end
MAX_POLLS = 200  # in which a new connection may send its request; counted in polls, because a clock also runs while the
# process is held up, and what was sent meanwhile would be closed unread
REPLY_SECONDS = 1.0  # for the responses to requests that are given up
EXIT_SECONDS = 5.0  # after the end of ``drain``, in which the process exits by itself; then it is made to


def serve(
    exports: Sequence[str],
    host: str,
    port: int,
    threads: int,
    limits: Limits,
    load: Callable[[Path], Predictor] = Predictor.load,
) -> None:
    """Serve these exports or runs, [NAME=]PATH, until a signal ends it. ``load`` opens an export folder. Raises
    SuffuseError, UsageError."""
    predictors = {name: load(folder) for name, folder in export_folders(exports).items()}
    for name, predictor in predictors.items():
        if predictor.facts.device != "cpu":
            say(f"          {name}: on {predictor.facts.device}")
        for difference in predictor.facts.differs:
            say(f"          {name}: {difference}: answers may differ a little from those of the evaluation")
    app = application(predictors, limits, threads)
    gc.collect()
    gc.freeze()  # the models live as long as the process: no request pays for a collection that visits them
    listening = listen(host, port)
    address = f"[{host}]" if ":" in host else host
    say(f"serve     {', '.join(predictors)} at http://{address}:{listening.getsockname()[1]}")
    say(f"next: open http://{address}:{listening.getsockname()[1]} to try it")
    server = Server(app, limits)
    server.run([listening])
    _report_end(server)


def export_folders(exports: Sequence[str]) -> dict[str, Path]:
    """Name -> export folder. A run is called like its folder, and so is its export. Raises UsageError."""
    folders: dict[str, Path] = {}
    for export in exports:
        name, equals, path = export.partition("=")
        folder = exported(Path(path if equals else export))
        resolved = folder.resolve()
        name = name if equals else resolved.parent.name if resolved.name == "export" else resolved.name
        if not MODEL_NAME.fullmatch(name):
            raise UsageError("this can't be a model's name", got=f"'{name}'", hint="name it yourself: NAME=PATH")
        if name in folders:
            raise UsageError("two models have one name", got=f"'{name}'", hint="name them yourself: NAME=PATH")
        folders[name] = folder
    return folders


def listen(host: str, port: int) -> socket.socket:
    """Raises SuffuseError where the address can't be had."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise SuffuseError(
            "can't listen there", where=f"{host}:{port}", got=error.strerror or error, hint="--port 0 takes a free one"
        ) from None


def refuse_connections(listening: socket.socket) -> None:
    """Let the system ignore further attempts to connect, so that none is queued between the last ``accept`` and the
    close, which would reset it. A client tries again and is refused once the socket is closed. Linux only; elsewhere
    that gap stays open."""
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *instruction) for instruction in DROP_SYN))
    program = struct.pack("@HP", len(DROP_SYN), ctypes.addressof(code))
    with contextlib.suppress(OSError):
        if sys.platform == "linux":
            listening.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)


def accept_queued(listening: socket.socket) -> list[socket.socket]:
    """Connections that the system has made and the loop hasn't accepted: closing the socket would reset them."""
    connections = []
    listening.setblocking(False)
    with contextlib.suppress(OSError):  # the queue is empty
        while True:
            connections.append(listening.accept()[0])
    return connections


class Server(uvicorn.Server):
    """Ends in four steps. For ``grace`` seconds it reports that it isn't ready and still takes requests, so that
    clients turn elsewhere. It accepts the queued connections, and no more. It answers what it took, for ``drain``
    seconds. It responds 503 to the rest, and the process exits. A second signal ends at once."""

    def __init__(self, app: Any, limits: Limits):
        super().__init__(
            uvicorn.Config(
                app,
                http=head_limited_protocol(app.state.serving.metrics.refusals),
                h11_max_incomplete_event_size=limits.head,
                lifespan="on",
                log_level="error",  # what a client does wrong is counted, and fills no disk
                access_log=False,
                server_header=False,
                timeout_keep_alive=limits.keep_alive,
                timeout_graceful_shutdown=math.ceil(limits.drain + REPLY_SECONDS),
            )
        )
        logging.getLogger("python_multipart").setLevel(logging.ERROR)
        self.state: ServerState = app.state.serving
        self.limits, self.grace_end = limits, math.inf
        self.unanswered = 0  # accepted requests that got no response

    def handle_exit(self, sig: int, frame: Any) -> None:
        """A signal. It isn't raised again at the end, so the process exits with 0."""
        if not self.state.ready:
            self.should_exit = self.force_exit = True
            _exit_after(EXIT_SECONDS)
            return
        self.state.ready, self.grace_end = False, time.monotonic() + self.limits.grace
        self.state.deadline = self.grace_end + self.limits.drain
        _exit_after(self.limits.grace + self.limits.drain + EXIT_SECONDS)

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second; returns whether the server is to shut down."""
        return await super().on_tick(counter) or time.monotonic() >= self.grace_end

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept what is queued, give new connections time to send their request, then drain as uvicorn does."""
        timer = asyncio.get_running_loop().call_later(self._seconds_left(), self._refuse_unanswered)
        for listening in sockets or ():
            refuse_connections(listening)
        await asyncio.sleep(HANDSHAKE_SECONDS)
        queued = [line for listening in sockets or () for line in accept_queued(listening)]
        for server in self.servers:
            server.close()
        await asyncio.gather(*(self._serve_connection(line) for line in queued))
        polls = 0
        while polls < MAX_POLLS and not self.force_exit and self._seconds_left() and self._is_request_awaited():
            await asyncio.sleep(POLL_SECONDS)
            polls += 1
        self.config.timeout_graceful_shutdown = math.ceil(self._seconds_left() + REPLY_SECONDS)
        await super().shutdown(sockets)
        timer.cancel()
        self.unanswered = max(self.unanswered, self.state.admission.requests)

    def _seconds_left(self) -> float:
        """In which accepted requests are still answered."""
        return max((self.state.deadline or 0.0) - time.monotonic(), 0.0)

    def _refuse_unanswered(self) -> None:
        refusal = Refusal(503, "stopping", "the server stops", "ask another one")
        self.unanswered = self.state.admission.cancel_all(refusal)

    def _serve_connection(self, line: socket.socket) -> Awaitable[Any]:
        """Serve an accepted connection as uvicorn's own."""
        protocol: Any = self.config.http_protocol_class
        state = {"server_state": self.server_state, "app_state": self.lifespan.state}
        loop = asyncio.get_running_loop()
        return loop.connect_accepted_socket(lambda: protocol(config=self.config, **state), line)

    def _is_request_awaited(self) -> bool:
        """Whether a connection has sent no request yet; closing it unread would lose one that is on its way."""
        connections: Any = self.server_state.connections
        return any(connection.cycle is None for connection in connections)


def _report_end(server: Server) -> None:
    """Print what became of the accepted requests, and exit with 1 where some weren't answered. A decoding thread can't
    be ended, and the interpreter would wait for it: where one still runs, the process exits without."""
    if server.unanswered:
        reason = "a second signal" if server.force_exit else "no time left (--limit drain=SECONDS)"
        say(f"serve     ended; requests that weren't answered: {server.unanswered}; {reason}")
    else:
        say("serve     ended; every request that came in was answered")
    if server.unanswered or any(model.batcher.busy for model in server.state.models.values()):
        _exit_now(1 if server.unanswered else 0)


def _exit_now(code: int) -> None:
    """Exit whatever the other threads do, after the logs are flushed."""
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # closed, or nobody reads it
            stream.flush()
    os._exit(code)


def _exit_after(seconds: float) -> None:
    """Exit after so many seconds, whatever keeps the process from ending."""

    def leave() -> None:
        say("serve     ended while it was still at work: there was no time left (--limit drain=SECONDS)")
        _exit_now(1)

    timer = threading.Timer(seconds, leave)
    timer.daemon = True
    timer.start()
