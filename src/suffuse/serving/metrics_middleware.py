"""Counts and times every answer; ends connections while the server stops."""

from __future__ import annotations

import time
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .app_state import State
from .prometheus_metrics import OTHER

CLOSE = (b"connection", b"close")


class Watch:
    """Middleware around all routes."""

    def __init__(self, app: ASGIApp, state: State):
        self.app, self.state = app, state
        self.counters: dict[tuple[str, str, int], Any] = {}
        self.timers: dict[tuple[str, str], Any] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun, status = time.perf_counter(), 500

        async def told(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if not self.state.ready:  # a client that keeps its connection finds another server next time
                    message["headers"] = [*message.get("headers", ()), CLOSE]
            await send(message)

        try:
            await self.app(scope, receive, told)
        finally:
            self._count(scope, status, time.perf_counter() - begun)

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        """By the route's pattern and a model that is here: what a client makes up gets no series of its own."""
        model = scope.get("suffuse.model", OTHER)
        route = scope.get("suffuse.route") or getattr(scope.get("route"), "path", OTHER)
        if (route, model) not in self.timers:
            self.timers[route, model] = self.state.metrics.seconds.labels(route, model)
        if (route, model, status) not in self.counters:
            self.counters[route, model, status] = self.state.metrics.requests.labels(route, model, str(status))
        self.counters[route, model, status].inc()
        self.timers[route, model].observe(seconds)
