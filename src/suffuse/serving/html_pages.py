"""Pages for people: the description of the routes, the page to try a model, and what Prometheus reads."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.staticfiles import StaticFiles

from . import page
from .app_state import state_of
from .http_error import Refusal
from .openapi import description
from .prediction_response import written
from .prometheus_metrics import KIND
from .request_body import JSON

HTML = "text/html; charset=utf-8"
PLAIN = '<!doctype html><title>suffuse</title><p>The routes are described in <a href="openapi.json">openapi.json</a>.'
router = APIRouter()


def add(app: FastAPI) -> None:
    """The routes, and the files that the pages need, where they are there."""
    app.include_router(router)
    folder = swagger()
    if folder is not None and folder.is_dir():
        app.mount("/docs/static", StaticFiles(directory=folder))


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    """The counters."""
    return Response(state_of(request).metrics.text(), media_type=KIND)


@router.get("/openapi.json")
async def openapi(request: Request) -> Response:
    """The routes of all models, for programs."""
    return Response(written(description(state_of(request).models)), media_type=JSON)


@router.get("/docs")
async def docs() -> Response:
    """The same for people. Its scripts come from this server, so that it needs no network."""
    if swagger() is None:
        return Response(PLAIN, media_type=HTML)
    return get_swagger_ui_html(
        openapi_url="openapi.json",  # relative: it works behind a prefix too
        title="suffuse",
        swagger_js_url="docs/static/swagger-ui-bundle.js",
        swagger_css_url="docs/static/swagger-ui.css",
        swagger_favicon_url="docs/static/favicon.png",
    )


@router.get("/")
async def index() -> Response:
    """The page to try a model."""
    return await static(page.INDEX)


@router.get("/static/{name}")
async def static(name: str) -> Response:
    """A file of that page. Raises Refusal (404)."""
    content = page.content(name)
    if content is None:
        raise Refusal(404, "not_found", f"the page has no file '{name}'")
    return Response(content, headers=page.HEADERS, media_type=page.files()[name])


def swagger() -> Path | None:
    """Swagger UI's files, which the package fastapi-offline holds."""
    found = importlib.util.find_spec("fastapi_offline")
    places = found.submodule_search_locations if found is not None else None
    return Path(places[0]) / "static" if places else None
