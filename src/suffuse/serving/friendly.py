"""The routes of suffuse's own: /v1/models."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request, Response

from ..errors import did_you_mean
from .body import FORM, JSON, kind, read
from .model import Model
from .refusal import Refusal
from .reply import names, written
from .state import State, state_of

router = APIRouter()


@router.get("/v1/models")
async def models(request: Request) -> Response:
    """The models that are here."""
    return Response(names(tuple(state_of(request).models)), media_type=JSON)


@router.get("/v1/models/{name}")
async def describe(request: Request, name: str) -> Response:
    """What a model takes and gives."""
    return Response(written(model_of(state_of(request), name).facts), media_type=JSON)


@router.post("/v1/models/{name}/predict")
async def predict(request: Request, name: str) -> Response:
    """Answers records."""
    state = state_of(request)
    model = model_of(state, name)
    request.scope["model"] = name
    with state.gate.enter() as inside:
        found = kind(request, JSON, FORM)
        body = await read(request, state.limits, inside)
        answer = model.predict(body, request.headers["content-type"], found == FORM)
        return Response(await within(answer, state.limits.answer_seconds), media_type=JSON)


def model_of(state: State, name: str) -> Model:
    """Raises Refusal (404)."""
    if name not in state.models:
        raise Refusal(404, "no_such_model", f"there is no model '{name}'", did_you_mean(name, state.models))
    return state.models[name]


async def within(answer, seconds: float):
    """An answer, if it comes in time. Raises Refusal (504)."""
    try:
        return await asyncio.wait_for(answer, seconds)
    except TimeoutError:
        raise Refusal(
            504, "too_slow", f"there was no answer within {seconds:g} seconds", "send fewer records"
        ) from None
