"""What the server counts, for Prometheus, in a registry of its own; the middleware that counts and times responses."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

if TYPE_CHECKING:
    from .app import ServerState

SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
NONE = "none"  # the label of a request without a known model or route
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
MODEL_ROUTE = re.compile(r"(/v[12]/models/)([^/{]+)(.*)")


class Metrics:
    """Counters, histograms and gauges."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        labels = ("route", "model", "code")
        text = "Answered requests by route, model and status"
        self.requests = Counter("suffuse_requests_total", text, labels, registry=registry)
        text = "Refused requests by their word"
        self.refusals = Counter("suffuse_refusals_total", text, ("reason",), registry=registry)
        text = "From a request's head to its answer"
        self.seconds = Histogram("suffuse_request_seconds", text, labels[:2], buckets=SECONDS, registry=registry)
        text = "Rows that the network was given at once"
        self.rows = Histogram("suffuse_batch_rows", text, ("model",), buckets=ROWS, registry=registry)
        self.queue = Gauge("suffuse_queue", "Requests that no thread has begun", ("model",), registry=registry)
        self.inside = Gauge("suffuse_requests_inside", "Requests being read or answered", registry=registry)
        self.bytes = Gauge("suffuse_bytes_inside", "Bytes of their bodies", registry=registry)
        self.ready = Gauge("suffuse_ready", "1 while the server takes requests", registry=registry)

    def render(self) -> bytes:
        """The text that Prometheus reads."""
        return generate_latest(self.registry)


class MetricsMiddleware:
    """Counts and times every response; closes connections while the server stops."""

    def __init__(self, app: ASGIApp, state: ServerState):
        self.app, self.state = app, state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start, status = time.perf_counter(), 500

        async def send_counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if not self.state.ready:  # a client that keeps its connection finds another server next time
                    message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]
            await send(message)

        try:
            await self.app(scope, receive, send_counted)
        finally:
            self._count(scope, status, time.perf_counter() - start)

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        """By the route's pattern and a known model: what a client makes up gets no series of its own."""
        route, model = getattr(scope.get("route"), "path", NONE), NONE
        if match := MODEL_ROUTE.fullmatch(route):
            route, model = f"{match[1]}{{name}}{match[3]}", match[2]
        self.state.metrics.requests.labels(route, model, str(status)).inc()
        self.state.metrics.seconds.labels(route, model).observe(seconds)
