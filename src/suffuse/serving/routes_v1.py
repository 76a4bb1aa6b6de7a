"""The routes of suffuse's own: /v1/models."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from fastapi import APIRouter, Request, Response

from . import json_body, multipart, prediction_request
from .app_state import state_of
from .handler import answered, model_of
from .prediction_request import Asked
from .prediction_response import reply, written
from .request_body import FORM, JSON
from .row_batches import Rows, prepared
from .served_model import Model

router = APIRouter()


@router.get("/v1/models")
async def models(request: Request) -> Response:
    """The models that are here."""
    return Response(written({"models": list(state_of(request).models)}), media_type=JSON)


@router.get("/v1/models/{name}")
async def describe(request: Request, name: str) -> Response:
    """What a model takes and gives."""
    return Response(written(model_of(request, name).facts), media_type=JSON)


async def predict(request: Request) -> Response:
    """Answers records."""
    content_type = request.headers.get("content-type", "")

    async def ask(model: Model, body: bytes, media: str) -> bytes:
        requests: list[Asked] = []

        def prepare(cancelled: Callable[[], bool]) -> Rows:
            requests.append(_read(model, body, content_type if media == FORM else None))
            prediction_request.check_shares(requests[0], len(model.predictor.names))
            return prepared(model.predictor, requests[0].records, requests[0].strict, cancelled)

        def finish(rows: Rows, found: np.ndarray) -> bytes:
            return reply(model.name, model.predictor, requests[0], rows, found)

        return await model.batcher.ask(prepare, finish, len(body))

    return await answered(request, (JSON, FORM), ask)


router.add_route("/v1/models/{name}/predict", predict, ["POST"])  # plain: FastAPI's way to a function costs 0.2 ms


def _read(model: Model, body: bytes, form: str | None) -> Asked:
    budget = model.budget()
    if form is None:
        return prediction_request.from_json(json_body.parse(body, model.limits.depth), model.columns, budget)
    return prediction_request.from_form(multipart.parse(body, form, model.limits.parts), model.columns, budget)
