"""What a model's requests and answers look like, as JSON Schema (2020-12)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..types import CLASSES, LABELS, NUMBER, Head
from . import prediction_request, request_cells
from .limits import CellLimits
from .record_columns import MEDIA, Column
from .served_model import Model

Schema = dict[str, Any]
BASE64 = "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"
DATA_URL = "^data:[a-z]+/[a-z0-9.+-]+;base64,(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"
DOT = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4//8/AAX+Av4N70a4AAAAAElFTkSuQmCC"  # a white pixel
TEXT: Schema = {"type": "string"}
NUMBER_OF: Schema = {"type": "number", "minimum": -request_cells.LARGEST, "maximum": request_cells.LARGEST}
REASONS: Schema = {"type": "object", "additionalProperties": TEXT}
SHARE: Schema = {"type": "number", "minimum": 0, "maximum": 1}


def thing(required: dict[str, Schema], optional: dict[str, Schema] | None = None) -> Schema:
    """An object with these keys and no others."""
    facts = {"type": "object", "properties": {**required, **(optional or {})}, "additionalProperties": False}
    return {**facts, "required": list(required)} if required else facts


def listed(items: Schema, most: int | None = None, least: int = 0) -> Schema:
    """A list."""
    found: Schema = {"type": "array", "items": items}
    found = found if most is None else {**found, "maxItems": most}
    return found if not least else {**found, "minItems": least}


def request(model: Model) -> Schema:
    """The body of a prediction in JSON."""
    columns = dict.fromkeys(model.columns.values())
    record = {**thing({}, {c.name: cell(c, model.cells) for c in columns}), "minProperties": 1}
    records = listed(record, model.cells.records, 1)
    return thing({"records": records}, options())


def options(before: str = "") -> dict[str, Schema]:
    """How the answers are to look."""
    none = [] if before else ["null"]  # a form can't hold it
    most = "only so many, the most probable ones"
    return {
        f"{before}top_k": {"type": ["integer", *none], "minimum": 1, "description": most},
        f"{before}threshold": {**SHARE, "type": ["number", *none], "description": "an answer less sure abstains"},
        f"{before}contributions": {"type": ["boolean", *none], "description": "also what each modality brought"},
        f"{before}on_unreadable": on_unreadable([] if before else [None]),
    }


def on_unreadable(none: Iterable[None]) -> Schema:
    """What becomes of a cell that holds something which can't be read."""
    says = "error (the default): refused with 422 and the reason; absent: answered without it"
    return {"enum": [*prediction_request.ON_UNREADABLE, *none], "description": says}


def form(model: Model) -> Schema:
    """The same as a form: one record."""
    columns = [c for c in dict.fromkeys(model.columns.values()) if c.type != "series"]
    found = thing({}, {**{c.name: _field(c, model.cells) for c in columns}, **options("_")})
    return {**found, "minProperties": 1, "description": "at least one column, with or without options"}


def example(model: Model) -> dict[str, Any]:
    """A record of what needs no file but a picture."""
    said = {column["name"]: column.get("choices") for one in model.facts["inputs"] for column in one["columns"]}
    found: dict[str, Any] = {}
    for column in dict.fromkeys(model.columns.values()):
        known = {"image": {request_cells.BASE64: DOT}, "text": "a text", "number": 1.5, "category": "a word"}
        if column.type in known:
            found[column.name] = (said.get(column.name) or [known[column.type]])[0]
    return found


def cell(column: Column, limits: CellLimits) -> Schema:
    """What may stand in a record's column."""
    if column.type in MEDIA:
        one = {"anyOf": [{"type": "null"}, *_file(limits)]}
        return {"anyOf": [listed(one, column.most), *one["anyOf"]]} if column.most > 1 else one
    if column.type == "series":
        steps = listed({"anyOf": [NUMBER_OF, listed(NUMBER_OF)]})
        return {"anyOf": [{"type": "null"}, NUMBER_OF, steps, _file(limits)[0]]}
    if column.type == "text":
        return {"type": ["string", "null"], "maxLength": limits.characters}
    return {"type": ["number", "string", "boolean", "null"], "maxLength": request_cells.SHORT}


def answer(model: Model) -> Schema:
    """The body of an answer."""
    each = {head.name: _answer(head) for head in model.predictor.heads}
    names = list(model.predictor.names)
    reasons: Schema = {**REASONS, "propertyNames": {"enum": names}}
    shares = thing({head: thing({name: {"type": "number"} for name in names}) for head in each})
    said = {"answers": thing(each), "used": listed({"enum": names}), "absent": reasons, "partly": reasons}
    return thing({"model": {"const": model.name}, "predictions": listed(thing(said, {"contributions": shares}))})


def description(model: Model) -> Schema:
    """What a model says of itself; :meth:`suffuse.predictor.Predictor.describe` may say more of a column."""
    column: Schema = {"type": "object", "required": ["name", "type"], "properties": {"name": TEXT, "type": TEXT}}
    inputs = thing({"name": TEXT, "kind": TEXT, "columns": listed(column), "optional": {"type": "boolean"}})
    targets = thing({"name": TEXT, "kind": {"enum": [CLASSES, LABELS, NUMBER]}, "classes": listed(TEXT)})
    limits = thing({key: {"type": "number"} for key in CellLimits.__dataclass_fields__})
    facts = {"name": {"const": model.name}, "inputs": listed(inputs), "targets": listed(targets), "limits": limits}
    return {**thing({**facts, "form": TEXT}), "additionalProperties": True}


def refusal() -> Schema:
    """An error of suffuse's own routes."""
    return thing({"error": thing({"code": TEXT, "message": TEXT, "hint": TEXT})})


def tensor(names: Iterable[str]) -> Schema:
    """An input of the Open Inference Protocol."""
    shape = listed({"type": "integer", "minimum": 1}, 5, 1)
    kinds = ["BOOL", "UINT8", "INT64", "FP32", "FP64", "BYTES"]
    data = {"type": "array", "description": "flat, or nested as the shape says"}
    required = {"name": {"enum": list(names)}, "shape": shape, "datatype": {"enum": kinds}, "data": data}
    return thing(required, {"parameters": {"type": "object", "maxProperties": 0}})


def _answer(head: Head) -> Schema:
    value = {
        CLASSES: {"enum": list(head.classes)},
        LABELS: listed({"enum": list(head.classes)}),
        NUMBER: {"type": "number"},
    }[head.kind]
    confidence = {"type": "null"} if head.kind == NUMBER else SHARE
    probabilities = {"type": "object", "additionalProperties": SHARE, "propertyNames": {"enum": list(head.classes)}}
    if head.kind == NUMBER:
        probabilities = {"type": "object", "maxProperties": 0}
    return thing(
        {"value": value, "confidence": confidence, "abstained": {"type": "boolean"}, "probabilities": probabilities}
    )


def _file(limits: CellLimits) -> list[Schema]:
    longest = 4 * (limits.cell_bytes // 3)
    return [
        thing({request_cells.BASE64: {"type": "string", "pattern": BASE64, "maxLength": longest}}),
        {"type": "string", "pattern": DATA_URL, "maxLength": longest},
    ]


def _field(column: Column, limits: CellLimits) -> Schema:
    if column.type in MEDIA:
        file: Schema = {"type": "string", "format": "binary"}
        return listed(file, column.most) if column.most > 1 else file
    return {"type": "string", "maxLength": limits.characters if column.type == "text" else request_cells.SHORT}
