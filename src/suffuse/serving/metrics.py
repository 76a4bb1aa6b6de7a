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
        self.registry = CollectorRegistry()
        own = {"registry": self.registry}
        self.requests = Counter(
            "suffuse_requests_total", "Answered requests by route, model and status", ("route", "model", "code"), **own
        )
        self.refusals = Counter("suffuse_refusals_total", "Refused requests by their word", ("reason",), **own)
        self.seconds = Histogram(
            "suffuse_request_seconds", "From a request's head to its answer", ("route", "model"), buckets=SECONDS, **own
        )
        self.rows = Histogram(
            "suffuse_batch_rows", "Rows that the network was given at once", ("model",), buckets=ROWS, **own
        )
        self.queue = Gauge("suffuse_queue", "Requests that no thread has begun", ("model",), **own)
        self.inside = Gauge("suffuse_requests_inside", "Requests being read or answered", **own)
        self.bytes = Gauge("suffuse_bytes_inside", "Bytes of their bodies", **own)
        self.ready = Gauge("suffuse_ready", "1 while the server takes requests", **own)

    def batches(self, model: str) -> Callable[[int], None]:
        """Takes the size of every batch of this model."""
        return self.rows.labels(model).observe

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self.registry)
