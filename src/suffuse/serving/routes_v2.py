"""The routes of the Open Inference Protocol, version 2 (KServe, Triton, Seldon): /v2."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from fastapi import APIRouter, Request, Response

from .. import __version__
from . import inference_protocol, json_body, tensors
from .app_state import state_of
from .handler import answered, model_of
from .prediction_response import written
from .request_body import JSON
from .row_batches import Rows
from .served_model import Model

router = APIRouter()


@router.get("/v2")
async def server() -> Response:
    """The server."""
    return Response(written({"name": "suffuse", "version": __version__, "extensions": []}), media_type=JSON)


@router.get("/v2/health/live")
async def live() -> Response:
    """The process answers."""
    return Response(written({"live": True}), media_type=JSON)


@router.get("/v2/health/ready")
async def ready(request: Request) -> Response:
    """It takes requests; no longer from the first signal to stop."""
    there = state_of(request).ready
    return Response(written({"ready": there}), 200 if there else 503, media_type=JSON)


@router.get("/v2/models/{name}")
async def metadata(request: Request, name: str) -> Response:
    """A model's tensors: first the network's own, then the raw columns."""
    model = model_of(request, name)
    own = [{"name": s.name, "datatype": s.datatype, "shape": list(s.shape)} for s in tensors.slots(model.predictor)]
    taken = {one["name"] for one in own}
    raw = [c for c in dict.fromkeys(model.columns.values()) if c.name not in taken]
    own += [{"name": c.name, "datatype": tensors.BYTES, "shape": [-1, *([c.most] if c.most > 1 else [])]} for c in raw]
    made = [{"name": n, "datatype": d, "shape": s} for n, (d, s) in inference_protocol.outputs(model.predictor).items()]
    facts = {"name": name, "versions": ["1"], "platform": "onnxruntime_onnx", "inputs": own, "outputs": made}
    return Response(written(facts), media_type=JSON)


@router.get("/v2/models/{name}/ready")
async def model_ready(request: Request, name: str) -> Response:
    """A model that is here is loaded."""
    model_of(request, name)
    there = state_of(request).ready
    return Response(written({"name": name, "ready": there}), 200 if there else 503, media_type=JSON)


async def infer(request: Request) -> Response:
    """Answers tensors."""

    async def ask(model: Model, body: bytes, media: str) -> bytes:
        calls: list[inference_protocol.Call] = []

        def prepare(cancelled: Callable[[], bool]) -> Rows:
            facts: Any = json_body.parse(body, model.limits.depth)
            calls.append(inference_protocol.call(facts, model.predictor, model.columns, model.budget(), cancelled))
            return calls[0].rows

        def finish(rows: Rows, found: np.ndarray) -> bytes:
            return inference_protocol.said(model.name, model.predictor, calls[0], found)

        return await model.batcher.ask(prepare, finish, len(body))

    return await answered(request, (JSON,), ask)


router.add_route("/v2/models/{name}/infer", infer, ["POST"])
