"""What all routes share."""

from __future__ import annotations

from dataclasses import dataclass, field

from starlette.requests import Request

from .admission import Gate
from .limits import Limits
from .prometheus_metrics import Metrics
from .served_model import Model


@dataclass
class State:
    """The models, the gate and the counters of one server."""

    models: dict[str, Model]
    limits: Limits
    gate: Gate
    metrics: Metrics = field(default_factory=Metrics)
    ready: bool = True  # false from the first signal to stop
    until: float | None = None  # the second of ``time.monotonic`` at which whatever still runs is given up


def state_of(request: Request) -> State:
    """Of the application that a request came to."""
    return request.app.state.serving
