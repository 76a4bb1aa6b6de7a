"""What the server counts, for Prometheus, in a registry of its own."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
OTHER = "none"  # in the place of a model's name where a request asked for none that is here
KIND = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Counters, histograms and gauges."""

    def __init__(self) -> None:
        own = self.registry = CollectorRegistry()
        each, model, route = ("route", "model", "code"), ("model",), ("route", "model")
        says = "Answered requests by route, model and status"
        self.requests = Counter("suffuse_requests_total", says, each, registry=own)
        self.refusals = Counter("suffuse_refusals_total", "Refused requests by their word", ("reason",), registry=own)
        says = "From a request's head to its answer"
        self.seconds = Histogram("suffuse_request_seconds", says, route, buckets=SECONDS, registry=own)
        says = "Rows that the network was given at once"
        self.rows = Histogram("suffuse_batch_rows", says, model, buckets=ROWS, registry=own)
        self.queue = Gauge("suffuse_queue", "Requests that no thread has begun", model, registry=own)
        self.inside = Gauge("suffuse_requests_inside", "Requests being read or answered", registry=own)
        self.bytes = Gauge("suffuse_bytes_inside", "Bytes of their bodies", registry=own)
        self.ready = Gauge("suffuse_ready", "1 while the server takes requests", registry=own)

    def batches(self, model: str) -> Callable[[int], None]:
        """Takes the size of every batch of this model."""
        return self.rows.labels(model).observe

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self.registry)
