"""The application: models -> routes, counters and errors."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

from ..predictor import Predictor
from . import friendly
from .body import JSON
from .gate import Gate
from .limits import Limits
from .metrics import KIND
from .model import Model
from .refusal import Refusal
from .reply import written
from .state import State, state_of

PAGE = Path(__file__).parent / "page"


def application(predictors: Mapping[str, Predictor], limits: Limits, threads: int) -> FastAPI:
    """An application that serves these models. ``threads`` prepare and answer rows, of each model."""
    models = {name: Model(name, predictor, limits, threads) for name, predictor in predictors.items()}
    state = State(models, limits, Gate(limits))
    for name, model in models.items():
        model.batcher.sizes = state.metrics.batches(name)
        state.metrics.queue.labels(name).set_function(lambda model=model: model.batcher.queue)
    state.metrics.inside.set_function(lambda: state.gate.requests)
    state.metrics.bytes.set_function(lambda: state.gate.bytes)
    state.metrics.ready.set_function(lambda: float(state.ready))

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        yield
        for model in models.values():
            model.close()

    app = FastAPI(title="suffuse", docs_url=None, redoc_url=None, openapi_url=None, lifespan=life)
    app.state.serving = state
    app.include_router(friendly.router)
    _add_pages(app)
    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(HTTPException, _http)
    return app


def _add_pages(app: FastAPI) -> None:
    """Metrics, and the page to try it with its files, where they are."""

    @app.get("/metrics")
    async def metrics(request: Request) -> Response:
        return Response(state_of(request).metrics.text(), media_type=KIND)

    if (PAGE / "index.html").is_file():
        app.mount("/static", StaticFiles(directory=PAGE), name="static")

        @app.get("/")
        async def index() -> Response:
            return Response((PAGE / "index.html").read_bytes(), media_type="text/html")


async def _refused(request: Request, error: Any) -> Response:
    state_of(request).metrics.refusals.labels(error.code).inc()
    facts = error.protocol() if request.url.path.startswith("/v2") else error.friendly()
    return Response(written(facts), error.status, error.headers, JSON)


async def _http(request: Request, error: Any) -> Response:
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "http")
    refusal = Refusal(error.status_code, code, str(error.detail))
    answer = await _refused(request, refusal)
    answer.headers.update(error.headers or {})
    return answer
