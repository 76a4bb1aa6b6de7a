"""The routes of the Open Inference Protocol, version 2 (KServe, Triton, Seldon): /v2, tensors in and tensors out.

The inputs are either the network's own (a request with an input ``present``), or the raw columns: BYTES of shape [B]
or [B, 1] (texts; pictures and sounds as base64), of numbers also any datatype of numbers. A null is an empty cell.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from .. import __version__
from . import tensors
from .body_parsing import dump_json, parse_json
from .http_error import InferenceErrorResponse, Refusal, error_responses, shorten, unprocessable
from .request_handler import JSON, handle
from .request_schema import MEDIA, OPTIONS, Column, OnUnreadable, RequestModel, check_count
from .routes_v1 import REF, check_finite
from .row_batches import Rows, encode_records
from .served_model import ServedModel
from .tensors import BYTES, PRESENT, InputTensor, TensorMetadata

TENSOR_ERRORS = {
    "shape": ("bad_shape", "its shape isn't a list of whole numbers from 1 on"),
    "name": ("unknown_input", "its name isn't one of an input"),
}
router = APIRouter()


class InferParameters(BaseModel):
    """Parameters of a request."""

    model_config = ConfigDict(extra="allow", strict=True)
    on_unreadable: OnUnreadable | None = None


class RequestedOutput(RequestModel):
    """An output that the response is to hold."""

    name: str
    parameters: dict[str, Any] = Field(default_factory=dict)


class InferRequest(RequestModel):
    """An inference request."""

    id: str | None = None
    parameters: InferParameters = InferParameters()
    inputs: list[InputTensor] = Field(fail_fast=True)
    outputs: Annotated[list[RequestedOutput], Field(fail_fast=True)] | None = None


class OutputTensor(TensorMetadata):
    """An output, its data flat."""

    data: list[Any]


class InferResponse(BaseModel):
    """An inference response."""

    model_name: str
    outputs: list[OutputTensor]
    id: str | None = None


class ServerMetadata(BaseModel):
    """The server."""

    name: str
    version: str
    extensions: list[str]


class ModelMetadata(BaseModel):
    """A model's tensors: first the network's own, then the raw columns. ``properties``: the form of the network and
    the device that runs it."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]
    properties: dict[str, str]


class Live(BaseModel):
    """The process answers."""

    live: bool = True


class Ready(BaseModel):
    """Whether the server takes requests."""

    ready: bool


class ModelReady(Ready):
    """Whether a model is loaded, and the server takes requests; the device that runs it."""

    name: str
    device: str


@dataclass(frozen=True)
class Inference:
    """One request: its rows, the id that the client gave it, and the names of its outputs."""

    rows: Rows
    id: str | None
    outputs: tuple[str, ...]


@router.get("/v2", summary="The server")
async def server_metadata() -> ServerMetadata:
    """Its name and version."""
    return ServerMetadata(name="suffuse", version=__version__, extensions=[])


@router.get("/v2/health/live", summary="The process answers")
async def live() -> Live:
    """Always."""
    return Live()


@router.get("/v2/health/ready", summary="The server takes requests", responses={503: {"model": Ready}})
async def ready(request: Request, response: Response) -> Ready:
    """No longer from the first signal to stop."""
    return Ready(ready=_set_ready_status(request, response))


def model_router(model: ServedModel) -> APIRouter:
    """The routes of one model."""
    router = APIRouter(prefix=f"/v2/models/{model.name}")
    schema = {"schema": TypeAdapter(InferRequest).json_schema(ref_template=REF), "example": example_request(model)}

    @router.get("", summary="Its tensors")
    async def metadata() -> ModelMetadata:
        return ModelMetadata(
            name=model.name,
            versions=["1"],
            platform="onnxruntime_onnx",
            inputs=tensors.input_metadata(model),
            outputs=list(tensors.output_metadata(model.predictor).values()),
            properties={"form": model.predictor.facts.form, "device": model.predictor.facts.device},
        )

    @router.get("/ready", summary="It is loaded", responses={503: {"model": ModelReady}})
    async def model_ready(request: Request, response: Response) -> ModelReady:
        is_ready = _set_ready_status(request, response)
        return ModelReady(name=model.name, ready=is_ready, device=model.predictor.facts.device)

    @router.post(
        "/infer",
        summary=f"Tensors of {model.name}",
        responses={200: {"model": InferResponse}, **error_responses(InferenceErrorResponse)},
        openapi_extra={"requestBody": {"required": True, "content": {JSON: schema}}},
    )
    async def infer(request: Request) -> Response:
        return await handle(request, (JSON,), lambda body, media_type: run_inference(model, body))

    return router


def example_request(model: ServedModel) -> dict[str, Any]:
    """The example of a record, as one row of raw columns."""
    cells = {k: v["base64"] if isinstance(v, dict) else v for k, v in model.example_record().items()}
    datatypes = {str: BYTES, float: "FP64", int: "INT64", bool: "BOOL"}
    inputs = [{"name": k, "shape": [1], "datatype": datatypes[type(v)], "data": [v]} for k, v in cells.items()]
    return {"inputs": inputs}


async def run_inference(model: ServedModel, body: bytes) -> bytes:
    """A body -> the response's body. Raises Refusal."""
    inferences: list[Inference] = []

    def prepare(is_cancelled: Callable[[], bool]) -> Rows:
        inferences.append(parse_inference(parse_json(body, model.limits.depth), model, is_cancelled))
        return inferences[0].rows

    def finish(rows: Rows, probabilities: np.ndarray) -> bytes:
        return render_outputs(model, inferences[0], probabilities)

    return await model.batcher.submit(prepare, finish, len(body))


def parse_inference(document: Any, model: ServedModel, is_cancelled: Callable[[], bool] = lambda: False) -> Inference:
    """Raises Refusal; Cancelled once ``is_cancelled`` returns True."""
    try:
        request = InferRequest.model_validate(document)
    except ValidationError as error:
        raise _refusal_of(error) from None
    inputs: dict[str, InputTensor] = {}
    for tensor in request.inputs:
        if tensor.name in inputs:
            raise unprocessable("input_twice", f"the input '{tensor.name}' is there twice")
        if "binary_data_size" in tensor.parameters:
            raise unprocessable("binary_data", f"'{tensor.name}' is in binary form: only JSON is read")
        inputs[tensor.name] = tensor
        check_count(tensor.shape[0], model.cell_limits)
    if not inputs:
        raise unprocessable("no_records", "there are no inputs")
    outputs = _output_names(request.outputs, model)
    if PRESENT in inputs:
        return Inference(tensors.network_rows(model.predictor, inputs), request.id, outputs)
    on_unreadable = request.parameters.on_unreadable
    records = model.validate({"records": _records(inputs, model.columns)}).records
    rows = encode_records(model.predictor, records, on_unreadable != "absent", is_cancelled)
    return Inference(rows, request.id, outputs)


def render_outputs(model: ServedModel, inference: Inference, probabilities: np.ndarray) -> bytes:
    """Rows and their calibrated outputs (B, C) -> an :class:`InferResponse` in JSON. Raises Refusal."""
    check_finite(probabilities)
    metadata = tensors.output_metadata(model.predictor)
    data = tensors.output_data(model.predictor, inference.rows, probabilities)
    outputs = [
        {
            "name": name,
            "datatype": metadata[name].datatype,
            "shape": [len(probabilities), *metadata[name].shape[1:]],
            "data": data(name),
        }
        for name in inference.outputs
    ]
    document = {"model_name": model.name, "outputs": outputs}
    return dump_json(document if inference.id is None else {**document, "id": inference.id})


def _set_ready_status(request: Request, response: Response) -> bool:
    is_ready = request.app.state.serving.ready
    response.status_code = 200 if is_ready else 503
    return is_ready


def _refusal_of(error: ValidationError) -> Refusal:
    """The first of pydantic's errors of an :class:`InferRequest`."""
    detail = error.errors(include_url=False)[0]
    location = detail["loc"]
    if location[:2] == ("parameters", "on_unreadable"):
        code, expected = OPTIONS["on_unreadable"]
        return unprocessable(code, f"'on_unreadable' isn't {expected}")
    if location[:1] != ("inputs",) or len(location) < 2:
        keys = ", ".join(sorted(InferRequest.model_fields))
        path = ".".join(shorten(str(part)) for part in location)
        return unprocessable("bad_request", f"the body isn't an object of {keys} with inputs: {path}")
    field = str(location[2]) if len(location) > 2 and detail["type"] != "missing" else ""
    code, reason = TENSOR_ERRORS.get(field, ("bad_tensor", "it isn't an object of name, shape, datatype, data"))
    return unprocessable(code, f"input {int(location[1]) + 1}: {reason}")


def _output_names(requested: list[RequestedOutput] | None, model: ServedModel) -> tuple[str, ...]:
    """The requested outputs, or all. Raises Refusal."""
    known = tensors.output_metadata(model.predictor)
    for output in requested or ():
        if output.name not in known:
            raise unprocessable("unknown_output", f"there is no output '{shorten(output.name)}'", ", ".join(known))
        if output.parameters.get("binary_data"):
            raise unprocessable("binary_data", "outputs are JSON alone")
    return tuple(dict.fromkeys(output.name for output in requested or ())) or tuple(known)


def _records(inputs: Mapping[str, InputTensor], columns: Mapping[str, Column]) -> list[dict[str, Any]]:
    """Raw columns -> a record for each row, as JSON holds them. Raises Refusal."""
    count = next(iter(inputs.values())).shape[0]
    records: list[dict[str, Any]] = [{} for _ in range(count)]
    for name, tensor in inputs.items():
        if tensor.shape[0] != count:
            message = f"'{name}' has {tensor.shape[0]} rows, the first input has {count}"
            raise unprocessable("wrong_shape", message)
        for record, cell in zip(records, _cells(tensor, columns.get(name, Column(name, "text"))), strict=True):
            record[name] = cell
    return records


def _cells(tensor: InputTensor, column: Column) -> list[Any]:
    """One cell a row; an unknown column's are refused later. Raises Refusal."""
    if tensor.datatype != BYTES and column.type in (*MEDIA, "text", "series"):
        hint = "BYTES is what it takes; the network's own tensors come with 'present'"
        raise unprocessable("wrong_type", f"'{tensor.name}' is {tensor.datatype}", hint)
    count, *cell_shape = tensor.shape
    width = math.prod(cell_shape)
    flat = [value for row in tensor.data for value in (row if isinstance(row, list) else [row])]
    if width > column.max_items or len(cell_shape) > 1 or len(flat) != count * width:
        message = f"'{tensor.name}' has the shape {tensor.shape}, and {len(flat)} values"
        raise unprocessable("wrong_shape", message)
    cells = [_cell(tensor, column, value) for value in flat]
    return cells if column.max_items == 1 else [cells[start : start + width] for start in range(0, len(cells), width)]


def _cell(tensor: InputTensor, column: Column, value: Any) -> Any:
    """A tensor's value as a record holds it. Raises Refusal."""
    if value is None:
        return None
    is_integer = tensor.datatype.startswith(("INT", "UINT"))
    if (
        isinstance(value, str) != (tensor.datatype == BYTES)
        or isinstance(value, bool) != (tensor.datatype == "BOOL")
        or (is_integer and not isinstance(value, int))
    ):
        raise unprocessable("wrong_type", f"'{tensor.name}' is {tensor.datatype}, and holds something else")
    return {"base64": value} if column.type in (*MEDIA, "series") else value
