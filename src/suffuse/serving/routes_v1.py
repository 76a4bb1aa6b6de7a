"""The routes of suffuse's own, /v1/models: records in, predictions out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from ..errors import UsageError
from ..predictor.exported_examples import Example
from ..predictor.prediction import answers, contributions
from ..shapley import MAX_MODALITIES
from .body_parsing import FormField, dump_json, parse_form, parse_json
from .http_error import ErrorResponse, error_responses, unprocessable
from .request_handler import FORM, JSON, handle
from .request_schema import MEDIA, OPTIONS, Column, PredictRequest
from .row_batches import Rows, encode_records
from .served_model import ServedModel

MAX_SUBSETS = 4096  # of modalities, of all records of a request together
REF = "#/components/schemas/{model}"
router = APIRouter()


class ModelList(BaseModel):
    """The served models."""

    models: list[str]


class ColumnDescription(BaseModel):
    """One column of an input; it may have more keys."""

    model_config = ConfigDict(extra="allow")
    name: str
    type: str


class InputDescription(BaseModel):
    """One modality."""

    name: str
    kind: str
    columns: list[ColumnDescription]
    optional: bool


class TargetDescription(BaseModel):
    """One target."""

    name: str
    kind: str
    classes: list[str]


class ModelDescription(BaseModel):
    """What a model takes and gives; :meth:`suffuse.predictor.Predictor.describe` may add keys."""

    model_config = ConfigDict(extra="allow")
    name: str
    inputs: list[InputDescription]
    targets: list[TargetDescription]
    limits: dict[str, int | float]
    form: str
    device: str


class SpokenWord(BaseModel):
    """A word of a transcript, when it was said (seconds, or steps of a sequence), and how sure the model is of it."""

    text: str
    start: float
    end: float
    confidence: float


class TargetAnswer(BaseModel):
    """The answer for one target: a class, the labels that hold, a number, or a transcript, which has ``words``."""

    value: str | list[str] | float
    confidence: float | None
    abstained: bool
    probabilities: dict[str, float]
    words: list[SpokenWord] = []


class ExampleList(BaseModel):
    """Example rows of the export; none where its recipe wanted none (``export.examples``)."""

    examples: list[Example]


class RecordPrediction(BaseModel):
    """The answers to one record, and the modalities that they rest on."""

    answers: dict[str, TargetAnswer]
    used: list[str]
    absent: dict[str, str]
    partly: dict[str, str]
    contributions: dict[str, dict[str, float]] = Field(default_factory=dict)


class PredictResponse(BaseModel):
    """One prediction for each record, in order."""

    model: str
    predictions: list[RecordPrediction]


@router.get("/v1/models", summary="The served models")
async def models(request: Request) -> ModelList:
    """Their names."""
    return ModelList(models=list(request.app.state.serving.models))


def model_router(model: ServedModel) -> APIRouter:
    """The routes of one model."""
    router = APIRouter(prefix=f"/v1/models/{model.name}")
    schemas = {
        media: {"schema": TypeAdapter(kind).json_schema(ref_template=REF)}
        for media, kind in ((JSON, model.request_type), (FORM, model.form_type))
    }
    schemas[JSON]["example"] = {"records": [model.example_record()]}

    @router.get("", summary="What it takes and gives", responses={200: {"model": ModelDescription}})
    async def describe() -> Response:
        """Inputs with their columns, targets with their classes, limits."""
        return Response(dump_json(model.description), media_type=JSON)

    @router.get("/examples", summary="Rows to try it on", responses={200: {"model": ExampleList}})
    async def examples() -> Response:
        """Records as /predict takes them, and what the table says of their targets."""
        return Response(model.examples, media_type=JSON)

    @router.post(
        "/predict",
        summary=f"Predictions of {model.name}",
        responses={200: {"model": PredictResponse}, **error_responses(ErrorResponse)},
        openapi_extra={"requestBody": {"required": True, "content": schemas}},
    )
    async def predict(request: Request) -> Response:
        """Answers records of JSON, or the one record of a form."""
        content_type = request.headers.get("content-type", "")

        async def answer(body: bytes, media_type: str) -> bytes:
            return await run_prediction(model, body, content_type if media_type == FORM else None)

        return await handle(request, (JSON, FORM), answer)

    return router


async def run_prediction(model: ServedModel, body: bytes, form_type: str | None) -> bytes:
    """A body of JSON, or a form where ``form_type`` is its content type -> the response's body. Raises Refusal."""
    requests: list[PredictRequest] = []

    def prepare(is_cancelled: Callable[[], bool]) -> Rows:
        if form_type is None:
            document = parse_json(body, model.limits.depth)
        else:
            document = form_document(parse_form(body, form_type, model.limits.parts), model)
        request = model.validate(document)
        requests.append(request)
        limit = max(MAX_SUBSETS // 2 ** len(model.predictor.names), 1)
        if request.contributions and len(request.records) > limit:
            message = f"{len(request.records):,} records with contributions"
            raise unprocessable("too_many_records", message, f"at most {limit:,}")
        return encode_records(model.predictor, request.records, request.on_unreadable != "absent", is_cancelled)

    def finish(rows: Rows, probabilities: np.ndarray) -> bytes:
        return render_predictions(model, requests[0], rows, probabilities)

    return await model.batcher.submit(prepare, finish, len(body))


def form_document(fields: list[FormField], model: ServedModel) -> dict[str, Any]:
    """A form's fields -> the JSON of the same request: a field for each column; options begin with ``_``. Raises
    Refusal."""
    record: dict[str, Any] = {}
    document: dict[str, Any] = {"records": [record]}
    for field in fields:
        option = field.name.removeprefix("_")
        if option in OPTIONS and option != field.name:
            if option in document or field.is_file:
                raise unprocessable("column_twice", f"the field '{field.name}' stands twice, or is a file")
            document[option] = _option_value(option, field.content.decode("utf-8", "replace").strip())
            continue
        column = model.columns.get(field.name, Column(field.name, "text"))
        cell = _form_cell(column, field)
        if column.max_items > 1:
            record.setdefault(field.name, []).append(cell)
        elif field.name in record:
            raise unprocessable("column_twice", f"the column '{field.name}' is there twice")
        else:
            record[field.name] = cell
    return document


def _form_cell(column: Column, field: FormField) -> Any:
    """Bytes of a file for a picture or sound, else a text; nothing is an empty cell."""
    if not field.content:
        return None
    if field.is_file and column.type in MEDIA:
        return field.content
    try:
        return field.content.decode("utf-8")
    except UnicodeDecodeError as error:
        message = f"'{column.name}' is no UTF-8: {error.reason} at byte {error.start}"
        raise unprocessable("not_utf8", message) from None


def _option_value(option: str, text: str) -> Any:
    """The JSON value that a form's text stands for; the text itself where it stands for none."""
    if option == "contributions":
        return {"true": True, "false": False}.get(text, text)
    if option == "on_unreadable":
        return text
    try:
        return float(text)
    except ValueError:
        return text


def render_predictions(model: ServedModel, request: PredictRequest, rows: Rows, probabilities: np.ndarray) -> bytes:
    """Rows and their calibrated outputs (B, C) -> a :class:`PredictResponse` in JSON. Raises Refusal."""
    check_finite(probabilities)
    predictions = [_prediction(model, request, rows, row, probabilities[row]) for row in range(len(rows))]
    return dump_json({"model": model.name, "predictions": predictions})


def check_finite(probabilities: np.ndarray) -> None:
    """Raises Refusal where an answer would be no number."""
    if not np.isfinite(probabilities).all():
        message = "the network gives no number for these records"
        raise unprocessable("no_answer", message, "values far beyond the training's")


def _prediction(
    model: ServedModel, request: PredictRequest, rows: Rows, row: int, probabilities: np.ndarray
) -> dict[str, Any]:
    names, top_k = model.predictor.names, request.top_k
    targets = answers(model.predictor.heads, probabilities.tolist(), request.threshold)
    prediction = {
        "answers": {
            target: {
                "value": answer.value,
                "confidence": answer.confidence,
                "abstained": answer.abstained,
                "probabilities": answer.probabilities if top_k is None else dict(answer.top(int(min(top_k, 2**31)))),
                **({"words": [asdict(word) for word in answer.words]} if answer.words else {}),
            }
            for target, answer in targets.items()
        },
        "used": [name for name, is_present in zip(names, rows.present[row].tolist(), strict=True) if is_present],
        "absent": rows.absent[row],
        "partly": rows.partly[row],
    }
    return {**prediction, "contributions": _contributions(model, rows, row)} if request.contributions else prediction


def _contributions(model: ServedModel, rows: Rows, row: int) -> dict[str, dict[str, float]]:
    """Target -> modality -> its Shapley value, from all subsets of the row's modalities in one batch (at most 256)."""
    predictor = model.predictor

    def run_subsets(subsets: np.ndarray) -> np.ndarray:
        repeated = {name: np.repeat(e[row : row + 1], len(subsets), axis=0) for name, e in rows.entries.items()}
        return predictor.probabilities(repeated, subsets)

    try:
        return contributions(predictor.heads, predictor.names, rows.present[row], run_subsets)
    except UsageError:
        message = "too many modalities to share an answer out"
        raise unprocessable("too_many_modalities", message, f"at most {MAX_MODALITIES}") from None
