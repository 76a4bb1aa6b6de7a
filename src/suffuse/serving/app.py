"""The application: models -> routes, error handlers and the OpenAPI document."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from .. import __version__
from ..predictor import Predictor
from . import html_pages, routes_v1, routes_v2
from .admission import AdmissionControl
from .body_parsing import dump_json
from .http_error import Refusal, internal_error, shorten, suggest
from .limits import Limits
from .prometheus_metrics import Metrics, MetricsMiddleware
from .request_handler import JSON
from .served_model import ServedModel

THREAD_SECONDS = 1.0  # that the end of the process waits for threads which are still at work
CODES = {404: "not_found", 405: "method_not_allowed"}
MODEL_PATH = re.compile(r"/v[12]/models/([^/]+)(?:/.*)?")


@dataclass
class ServerState:
    """What all routes share: ``app.state.serving``."""

    models: dict[str, ServedModel]
    admission: AdmissionControl
    metrics: Metrics = field(default_factory=Metrics)
    ready: bool = True  # false from the first signal to stop
    deadline: float | None = None  # the second of ``time.monotonic`` at which whatever still runs is given up


def application(predictors: Mapping[str, Predictor], limits: Limits, threads: int) -> FastAPI:
    """An application that serves these models. ``threads`` encode and answer rows, of each model."""
    models = {name: ServedModel(name, predictor, limits, threads) for name, predictor in predictors.items()}
    state = ServerState(models, AdmissionControl(limits))
    _register_gauges(state)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        state.ready = False
        deadline = None if state.deadline is None else min(state.deadline, time.monotonic() + THREAD_SECONDS)
        for model in models.values():
            model.close(deadline)

    description = "Exported students. docs/serve.md has more."
    app = FastAPI(
        title="suffuse", version=__version__, description=description, docs_url=None, redoc_url=None, lifespan=lifespan
    )
    app.state.serving = state
    for router in (routes_v1.router, routes_v2.router, html_pages.router):
        app.include_router(router)
    for model in models.values():
        app.include_router(routes_v1.model_router(model))
        app.include_router(routes_v2.model_router(model))
    html_pages.mount_swagger_files(app)
    app.add_middleware(MetricsMiddleware, state=state)
    app.add_exception_handler(Refusal, _respond_refusal)
    app.add_exception_handler(HTTPException, _respond_http_exception)
    app.add_exception_handler(Exception, _respond_internal_error)
    _define_request_schemas(app)
    return app


def _register_gauges(state: ServerState) -> None:
    """Metrics that are read where they are kept."""
    metrics = state.metrics
    for name, model in state.models.items():
        model.batcher.observe_rows = metrics.rows.labels(name).observe
        metrics.queue.labels(name).set_function(lambda model=model: model.batcher.queue)
    metrics.inside.set_function(lambda: state.admission.requests)
    metrics.bytes.set_function(lambda: state.admission.bytes)
    metrics.ready.set_function(lambda: float(state.ready))


def _define_request_schemas(app: FastAPI) -> None:
    """Move the definitions of the request bodies, which the routes read themselves, to where OpenAPI looks for them."""
    document = app.openapi()
    for path in document["paths"].values():
        for operation in path.values():
            for content in operation.get("requestBody", {}).get("content", {}).values():
                document["components"]["schemas"] |= content["schema"].pop("$defs", {})


async def _respond_refusal(request: Request, error: Any) -> Response:
    request.app.state.serving.metrics.refusals.labels(error.code).inc()
    document = error.v2_document() if request.url.path.startswith("/v2") else error.v1_document()
    return Response(dump_json(document), error.status, error.headers, JSON)


async def _respond_http_exception(request: Request, error: Any) -> Response:
    """The router found no such model, no such route, or not with this method."""
    models = request.app.state.serving.models
    match = MODEL_PATH.fullmatch(request.url.path)
    refusal = Refusal(error.status_code, CODES.get(error.status_code, "http"), error.detail)
    if error.status_code == 404 and match and match[1] not in models:
        refusal = Refusal(404, "no_such_model", f"there is no model '{shorten(match[1])}'", suggest(match[1], models))
    response = await _respond_refusal(request, refusal)
    response.headers.update(error.headers or {})
    return response


async def _respond_internal_error(request: Request, error: Exception) -> Response:
    return await _respond_refusal(request, internal_error())
