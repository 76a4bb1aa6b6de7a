"""The process: exports in, a socket out, and an end in bounded time in which every accepted request gets a reply."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import math
import os
import re
import socket
import sys
import threading
import time
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import Any

import uvicorn

from ..errors import SuffuseError, UsageError
from ..integrity import exported
from ..predictor import Predictor
from ..progress import say
from .app import application
from .app_state import State
from .head_limit import head_limited_protocol
from .http_error import Refusal
from .limits import Limits

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
LOOK = 0.01  # seconds between looks at the connections, at the end
LINGER = 200  # looks in which a connection that was made may send its request: looks, because a clock also runs while
# the process is held up, and what was sent meanwhile would be closed unread
BACKLOG = 2048  # connections that wait to be accepted
REPLIES = 1.0  # seconds for the replies to requests that are given up
AT_LAST = 5.0  # seconds after the end of ``drain`` in which the process exits by itself; then it is made to


def serve(
    exports: Sequence[str],
    host: str,
    port: int,
    threads: int,
    limits: Limits,
    form: str | None = None,
    model_files: str | None = None,
) -> None:
    """Serve these exports or runs, [NAME=]PATH, until a signal ends it. ``form`` and ``model_files`` are those of
    :meth:`suffuse.Predictor.load`. Raises SuffuseError, UsageError."""
    predictors = {n: Predictor.load(f, form=form, model_files=model_files) for n, f in named(exports).items()}
    for name, predictor in predictors.items():
        for one in predictor.facts.differs:
            say(f"          {name}: {one}: answers may differ a little from those of the evaluation")
    app = application(predictors, limits, threads)
    gc.collect()
    gc.freeze()  # the models live as long as the process: no request pays for a look through all of them
    listening = listen(host, port)
    place = f"[{host}]" if ":" in host else host
    say(f"serve     {', '.join(predictors)} at http://{place}:{listening.getsockname()[1]}")
    server = Server(app, limits)
    server.run([listening])
    _end(server)


def _end(server: Server) -> None:
    """Report what became of the accepted requests, and exit with 1 where some weren't answered. A thread that decodes
    can't be ended, and the interpreter may wait for it: where one is still at work, the process exits without."""
    if server.lost:
        why = "a second signal" if server.force_exit else "no time left (--limit drain=SECONDS)"
        say(f"serve     ended; requests that weren't answered: {server.lost}; {why}")
    else:
        say("serve     ended; every request that came in was answered")
    if server.lost or any(model.batcher.busy for model in server.state.models.values()):
        _leave(1 if server.lost else 0)


def _leave(code: int) -> None:
    """Exit whatever the other threads do, after the logs are flushed."""
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # closed, or nobody reads it
            stream.flush()
    os._exit(code)


def _give_up(seconds: float) -> None:
    """Exit in so many seconds, whatever keeps the process from ending."""

    def leave() -> None:
        say("serve     ended while it was still at work: there was no time left (--limit drain=SECONDS)")
        _leave(1)

    timer = threading.Timer(seconds, leave)
    timer.daemon = True
    timer.start()


class Server(uvicorn.Server):
    """Ends in four steps: it says that it isn't ready, and goes on for ``grace`` seconds, so that who sends it
    requests can turn elsewhere; it takes the connections that stand in line, and no more; it answers what it took, for
    ``drain`` seconds; it replies 503 to what is left, and the process exits. A second signal ends at once."""

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
                timeout_graceful_shutdown=math.ceil(limits.drain + REPLIES),
            )
        )
        logging.getLogger("python_multipart").setLevel(logging.ERROR)
        self.state: State = app.state.serving
        self.limits, self.ends = limits, math.inf
        self.lost = 0  # accepted requests that got no answer

    def handle_exit(self, sig: int, frame: Any) -> None:
        """A signal. It isn't raised again at the end, so the process exits with 0."""
        if not self.state.ready:
            self.should_exit = self.force_exit = True
            _give_up(AT_LAST)
            return
        self.state.ready, self.ends = False, time.monotonic() + self.limits.grace
        self.state.until = self.ends + self.limits.drain
        _give_up(self.limits.grace + self.limits.drain + AT_LAST)

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second."""
        return await super().on_tick(counter) or time.monotonic() >= self.ends

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """A connection whose request is under way is heard: closing it unread would lose it."""
        until = asyncio.get_running_loop().call_later(self._left(), self._refuse_the_rest)
        begun = [self._take(line) for one in sockets or () for line in accept_queued(one)]
        for server in self.servers:
            server.close()
        await asyncio.gather(*begun)
        looks = 0
        while looks < LINGER and not self.force_exit and self._left() and self._unheard():
            await asyncio.sleep(LOOK)
            looks += 1
        self.config.timeout_graceful_shutdown = math.ceil(self._left() + REPLIES)
        await super().shutdown(sockets)
        until.cancel()
        self.lost = max(self.lost, self.state.gate.requests)

    def _left(self) -> float:
        """Seconds in which accepted requests are still answered."""
        return max((self.state.until or 0.0) - time.monotonic(), 0.0)

    def _refuse_the_rest(self) -> None:
        self.lost = self.state.gate.end(Refusal(503, "stopping", "the server stops", "ask another one"))

    def _take(self, line: socket.socket) -> Awaitable[Any]:
        kind: Any = self.config.http_protocol_class
        state = {"server_state": self.server_state, "app_state": self.lifespan.state}
        return asyncio.get_running_loop().connect_accepted_socket(lambda: kind(config=self.config, **state), line)

    def _unheard(self) -> bool:
        """Whether a connection has sent no request yet."""
        connections: Any = self.server_state.connections
        return any(one.cycle is None for one in connections)


def named(exports: Sequence[str]) -> dict[str, Path]:
    """Name -> export folder. A run is called like its folder, and so is its export. Raises UsageError."""
    found: dict[str, Path] = {}
    for one in exports:
        name, equals, path = one.partition("=")
        folder = Path(path if equals else one)
        folder = exported(folder)
        place = folder.resolve()
        name = name if equals else place.parent.name if place.name == "export" else place.name
        if not NAME.fullmatch(name):
            raise UsageError("this can't be a model's name", got=f"'{name}'", hint="name it yourself: NAME=PATH")
        if name in found:
            raise UsageError("two models have one name", got=f"'{name}'", hint="name them yourself: NAME=PATH")
        found[name] = folder
    return found


def listen(host: str, port: int) -> socket.socket:
    """Raises SuffuseError where the address can't be had."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise SuffuseError(
            "can't listen there", where=f"{host}:{port}", got=error.strerror or error, hint="--port 0 takes a free one"
        ) from None


def accept_queued(listening: socket.socket) -> list[socket.socket]:
    """Connections that the system has made and the loop hasn't accepted: closing the socket would reset them."""
    connections = []
    listening.setblocking(False)
    with contextlib.suppress(OSError):  # the queue is empty
        while True:
            connections.append(listening.accept()[0])
    return connections
