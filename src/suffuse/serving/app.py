"""The application: models -> routes, counters and errors."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from ..predictor import Predictor
from . import html_pages, routes_v1, routes_v2
from .admission import Gate
from .app_state import State, state_of
from .http_error import Refusal, defect
from .limits import Limits
from .metrics_middleware import Watch
from .prediction_response import written
from .request_body import JSON
from .served_model import Model

THREADS = 1.0  # seconds that a signal's end waits for threads that are still at work
CODES = {404: "not_found", 405: "method_not_allowed"}


def application(predictors: Mapping[str, Predictor], limits: Limits, threads: int) -> FastAPI:
    """An application that serves these models. ``threads`` prepare and answer rows, of each model."""
    models = {name: Model(name, predictor, limits, threads) for name, predictor in predictors.items()}
    state = State(models, limits, Gate(limits))
    _show(state)

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        yield
        state.ready = False
        until = None if state.until is None else min(state.until, time.monotonic() + THREADS)  # no request is inside
        for model in models.values():
            model.close(until)

    app = FastAPI(title="suffuse", docs_url=None, redoc_url=None, openapi_url=None, lifespan=life)
    app.state.serving = state
    app.include_router(routes_v1.router)
    app.include_router(routes_v2.router)
    html_pages.add(app)
    app.add_middleware(Watch, state=state)
    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _failed)
    return app


def _show(state: State) -> None:
    """What is counted elsewhere, among the metrics."""
    metrics = state.metrics
    for name, model in state.models.items():
        model.batcher.sizes = metrics.batches(name)
        metrics.queue.labels(name).set_function(lambda model=model: model.batcher.queue)
    metrics.inside.set_function(lambda: state.gate.requests)
    metrics.bytes.set_function(lambda: state.gate.bytes)
    metrics.ready.set_function(lambda: float(state.ready))


async def _refused(request: Request, error: Any) -> Response:
    state_of(request).metrics.refusals.labels(error.code).inc()
    facts = error.protocol() if request.url.path.startswith("/v2") else error.friendly()
    return Response(written(facts), error.status, error.headers, JSON)


async def _http(request: Request, error: Any) -> Response:
    """What the router says: there is no such route, or not with this method."""
    answer = await _refused(request, Refusal(error.status_code, CODES.get(error.status_code, "http"), error.detail))
    answer.headers.update(error.headers or {})
    return answer


async def _failed(request: Request, error: Exception) -> Response:
    return await _refused(request, defect())
