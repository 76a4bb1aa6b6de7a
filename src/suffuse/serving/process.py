"""The process: exports in, a socket out, and an end that loses no accepted request."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import uvicorn

from ..errors import SuffuseError, UsageError
from ..predictor import SIGNATURE, Predictor
from ..progress import say
from .app import application
from .limits import Limits
from .patience import patient
from .state import State

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
BACKLOG = 2048  # connections that wait to be accepted


def serve(exports: Sequence[str], host: str, port: int, threads: int, limits: Limits) -> None:
    """Serve these exports or runs, [NAME=]PATH, until a signal ends it. Raises SuffuseError, UsageError."""
    predictors = {name: Predictor.load(folder) for name, folder in named(exports).items()}
    app = application(predictors, limits, threads)
    listening = listen(host, port)
    place = f"[{host}]" if ":" in host else host
    say(f"serve     {', '.join(predictors)} at http://{place}:{listening.getsockname()[1]}")
    Server(app, limits).run([listening])
    say("serve     ended; every request that came in was answered")


class Server(uvicorn.Server):
    """Ends in three steps: it says that it isn't ready, and goes on for ``grace`` seconds, so that who sends it
    requests can turn elsewhere; it takes no more connections; it answers what it took. A second signal ends at once."""

    def __init__(self, app: Any, limits: Limits):
        super().__init__(
            uvicorn.Config(
                app,
                http=patient(limits.header_seconds),
                lifespan="on",
                log_level="warning",
                access_log=False,
                server_header=False,
                timeout_keep_alive=max(int(limits.header_seconds), 1),
                timeout_graceful_shutdown=int(limits.body_seconds + limits.answer_seconds) + 5,
            )
        )
        self.state: State = app.state.serving
        self.grace, self.ends = limits.grace, float("inf")

    def handle_exit(self, sig: int, frame: Any) -> None:
        """A signal. It isn't raised again at the end, so the process exits with 0."""
        if not self.state.ready:
            self.should_exit = self.force_exit = True
        self.state.ready, self.ends = False, time.monotonic() + self.grace

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second."""
        return await super().on_tick(counter) or time.monotonic() >= self.ends


def listen(host: str, port: int) -> socket.socket:
    """Raises SuffuseError where the address can't be had."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise SuffuseError(
            "can't listen there", where=f"{host}:{port}", got=error.strerror or error, hint="--port 0 takes a free one"
        ) from None


def named(exports: Sequence[str]) -> dict[str, Path]:
    """Name -> export folder. A run is called like its folder, and so is its export. Raises UsageError."""
    found: dict[str, Path] = {}
    for one in exports:
        name, equals, path = one.partition("=")
        folder = Path(path if equals else one)
        folder = folder / "export" if (folder / "export" / SIGNATURE).exists() else folder
        place = folder.resolve()
        name = name if equals else place.parent.name if place.name == "export" else place.name
        if not NAME.fullmatch(name):
            raise UsageError("this can't be a model's name", got=f"'{name}'", hint="name it yourself: NAME=PATH")
        if name in found:
            raise UsageError("two models have one name", got=f"'{name}'", hint="name them yourself: NAME=PATH")
        found[name] = folder
    return found
