"""The server's description (OpenAPI 3.1), made from its models: every route of each model, every answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .. import __version__
from . import json_schemas
from .inference_protocol import outputs
from .json_schemas import TEXT, Schema, listed, thing
from .prometheus_metrics import KIND
from .request_body import FORM, JSON
from .served_model import Model
from .tensors import slots

REFUSED = {
    400: "The body can't be read",
    408: "The body came too slowly",
    413: "More than the server takes: bytes, records, parts, or what is to be decoded",
    415: "Not a media type that is read",
    422: "Read, and not what the model takes",
    429: "As many requests, or bytes of them, as the server takes",
    503: "The server stops",
    504: "No answer in time",
}
READY = {"type": "object", "required": ["ready"], "properties": {"ready": {"type": "boolean"}, "name": TEXT}}
TENSOR: Schema = thing(
    {"name": TEXT, "datatype": TEXT, "shape": listed({"type": "integer"})}, {"data": {"type": "array"}}
)


def description(models: Mapping[str, Model]) -> dict[str, Any]:
    """The whole document."""
    paths: dict[str, Any] = {"/v1/models": {"get": _get("The models that are here", _names(models))}}
    for model in models.values():
        paths |= _friendly(model) | _inference(model)
    paths |= {
        "/v2": {"get": _get("The server", thing({"name": TEXT, "version": TEXT, "extensions": listed(TEXT)}))},
        "/v2/health/live": {"get": _get("The process answers", thing({"live": {"const": True}}))},
        "/v2/health/ready": {"get": _ready("The server takes requests")},
        "/metrics": {"get": {"summary": "Metrics for Prometheus", "responses": {"200": _content("", KIND, TEXT)}}},
    }
    info = {"title": "suffuse", "version": __version__, "description": "Exported students. docs/serve.md has more."}
    return {"openapi": "3.1.0", "info": info, "paths": paths}


def _names(models: Mapping[str, Model]) -> Schema:
    return thing({"models": listed({"enum": list(models)})})


def _friendly(model: Model) -> dict[str, Any]:
    place = f"/v1/models/{model.name}"
    example = {"records": [json_schemas.example(model)]}
    body = {
        JSON: {"schema": json_schemas.request(model), "example": example},
        FORM: {"schema": json_schemas.form(model)},
    }
    predict = {
        "summary": f"Answers of {model.name}",
        "requestBody": {"required": True, "content": body},
        "responses": {
            "200": _content("Answers, in order", JSON, json_schemas.answer(model)),
            **_refused(json_schemas.refusal()),
        },
    }
    says = _get("What it takes and gives", json_schemas.description(model))
    return {place: {"get": says}, f"{place}/predict": {"post": predict}}


def _inference(model: Model) -> dict[str, Any]:
    place = f"/v2/models/{model.name}"
    names = [s.name for s in slots(model.predictor)] + [c.name for c in model.columns.values()]
    wanted = thing({"name": {"enum": list(outputs(model.predictor))}})
    inputs = listed(json_schemas.tensor(dict.fromkeys(names)), len(set(names)), 1)
    others = {
        "id": {"type": ["string", "null"]},
        "parameters": {"type": "object", "properties": {"on_unreadable": json_schemas.on_unreadable([None])}},
        "outputs": {**listed(wanted), "type": ["array", "null"]},
    }
    body = thing({"inputs": inputs}, others)
    said = thing({"model_name": {"const": model.name}, "outputs": listed(TENSOR)}, {"id": TEXT})
    infer = {
        "summary": f"Tensors of {model.name}",
        "requestBody": {"required": True, "content": {JSON: {"schema": body, "example": _tensors(model)}}},
        "responses": {"200": _content("Outputs", JSON, said), **_refused(thing({"error": TEXT}))},
    }
    facts = {"name": {"const": model.name}, "versions": listed(TEXT), "platform": TEXT}
    metadata = _get("Its tensors", thing({**facts, "inputs": listed(TENSOR), "outputs": listed(TENSOR)}))
    ready = {"get": _ready("It is loaded")}
    return {place: {"get": metadata}, f"{place}/ready": ready, f"{place}/infer": {"post": infer}}


def _tensors(model: Model) -> dict[str, Any]:
    """The example of a record, as one row of raw columns."""
    cells = {k: v["base64"] if isinstance(v, dict) else v for k, v in json_schemas.example(model).items()}
    kinds = {str: "BYTES", float: "FP64", int: "INT64", bool: "BOOL"}
    return {
        "inputs": [{"name": k, "shape": [1], "datatype": kinds[type(v)], "data": [v]} for k, v in cells.items()],
    }


def _refused(schema: Schema) -> dict[str, Any]:
    found = {str(status): _content(says, JSON, schema) for status, says in REFUSED.items()}
    found["429"]["headers"] = {"Retry-After": {"description": "seconds", "schema": {"type": "string"}}}
    return found


def _get(summary: str, schema: Schema) -> dict[str, Any]:
    return {"summary": summary, "responses": {"200": _content(summary, JSON, schema)}}


def _ready(summary: str) -> dict[str, Any]:
    return {
        "summary": summary,
        "responses": {"200": _content("Yes", JSON, READY), "503": _content("The server stops", JSON, READY)},
    }


def _content(says: str, media: str, schema: Schema) -> dict[str, Any]:
    return {"description": says or "Text", "content": {media: {"schema": schema}}}
