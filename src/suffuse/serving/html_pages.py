"""Pages for people: the description of the routes and the page to try a model; and what Prometheus reads."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from fastapi import APIRouter, FastAPI, Request
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.staticfiles import StaticFiles

from . import page
from .http_error import Refusal
from .prometheus_metrics import CONTENT_TYPE

PLAIN = '<!doctype html><title>suffuse</title><p>The routes are described in <a href="openapi.json">openapi.json</a>.'
router = APIRouter()


@router.get("/metrics", summary="Metrics for Prometheus", response_class=PlainTextResponse)
async def metrics(request: Request) -> Response:
    """Counters, histograms and gauges."""
    return Response(request.app.state.serving.metrics.render(), media_type=CONTENT_TYPE)


@router.get("/docs", include_in_schema=False)
async def docs() -> HTMLResponse:
    """Swagger UI. Its scripts come from this server, so that it needs no network."""
    if swagger_folder() is None:
        return HTMLResponse(PLAIN)
    return get_swagger_ui_html(
        openapi_url="openapi.json",  # relative: it works behind a prefix too
        title="suffuse",
        swagger_js_url="docs/static/swagger-ui-bundle.js",
        swagger_css_url="docs/static/swagger-ui.css",
        swagger_favicon_url="docs/static/favicon.png",
    )


@router.get("/", include_in_schema=False)
async def index() -> Response:
    """The page to try a model."""
    return await static(page.INDEX)


@router.get("/static/{name}", include_in_schema=False)
async def static(name: str) -> Response:
    """A file of that page. Raises Refusal (404)."""
    content = page.content(name)
    if content is None:
        raise Refusal(404, "not_found", f"the page has no file '{name}'")
    return Response(content, headers=page.HEADERS, media_type=page.files()[name])


def mount_swagger_files(app: FastAPI) -> None:
    """Serve Swagger UI's files, where they are installed."""
    folder = swagger_folder()
    if folder is not None and folder.is_dir():
        app.mount("/docs/static", StaticFiles(directory=folder))


def swagger_folder() -> Path | None:
    """Swagger UI's files, which the package fastapi-offline holds."""
    package = importlib.util.find_spec("fastapi_offline")
    folders = package.submodule_search_locations if package is not None else None
    return Path(folders[0]) / "static" if folders else None
