"""A server that answers as `suffuse serve` would, by rules that a test can foretell: what the page needs, no model."""

from __future__ import annotations

import base64
import io
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import numpy as np
import soundfile
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from PIL import Image

from suffuse.serving import page

LIMITS = {"pixels": 64_000_000, "seconds": 10.0, "characters": 200, "cell_bytes": 2**24, "records": 256}
CHOICES = [f"city {n}" for n in range(60)]


def _input(name: str, kind: str, columns: list[tuple[str, str]], **more: dict) -> dict:
    described = [{"name": n, "type": t, "choices": [], **more.get(n, {})} for n, t in columns]
    return {"name": name, "kind": kind, "columns": described, "optional": True}


EVERY = {
    "name": "every kind",
    "inputs": [
        _input("picture", "image", [("picture", "image")]),
        _input("views", "image", [("front", "image"), ("back", "image")]),
        {**_input("album", "image", []), "columns": [{"name": "album", "type": "image", "choices": [], "most": 3}]},
        _input("question", "text", [("question", "text")], question={"derived_from": "sound"}),
        _input("words", "audio", [("sound", "audio")]),
        _input(
            "order",
            "tabular",
            [("price", "number"), ("colour", "category"), ("city", "category"), ("day", "text")],
            day={"format": "date"},
            colour={"choices": ["red", "green"]},
            city={"choices": CHOICES},
        ),
        _input("sensor", "sequence", [("sensor", "series")]),
    ],
    "targets": [
        {"name": "answer", "kind": "classes", "classes": [f"class {n}" for n in range(12)]},
        {"name": "tags", "kind": "labels", "classes": ["new", "cheap", "<b>bold</b>"]},
        {"name": "amount", "kind": "number", "classes": []},
    ],
    "limits": LIMITS,
    "form": "fp32",
    "device": "cpu",
}
SMALL = {
    "name": "small",
    "inputs": [i for i in EVERY["inputs"] if i["name"] in ("picture", "question")],
    "targets": [{"name": "answer", "kind": "classes", "classes": ["yes", "no"]}],
    "limits": LIMITS,
    "form": "fp32",
    "device": "cpu",
}
MODELS = {"every kind": EVERY, "small": SMALL}


class Fake:
    """The application, and the records that it was sent."""

    def __init__(self) -> None:
        self.app, self.records, self.bodies = FastAPI(docs_url=None, openapi_url=None), [], []
        self.fails: tuple[int, dict] | None = None
        self.app.get("/")(lambda: _file(page.INDEX))
        self.app.get("/static/{name}")(_file)
        self.app.get("/v1/models")(lambda: {"models": list(MODELS)})
        self.app.get("/v1/models/{name}")(lambda name: MODELS[name])
        self.examples: list[dict] = []
        self.app.get("/v1/models/{name}/examples")(lambda name: {"examples": self.examples})
        self.app.add_api_route("/v1/models/{name}/predict", self.predict, methods=["POST"], response_model=None)

    async def predict(self, name: str, request: Request) -> Response | dict:
        """One record, as the contract says."""
        if self.fails:
            return JSONResponse({"error": self.fails[1]}, self.fails[0])
        body = await request.json()
        self.bodies.append(body)
        record = body["records"][0]
        self.records.append(record)
        model = MODELS[name]
        used = [i["name"] for i in model["inputs"] if any(record.get(c["name"]) is not None for c in i["columns"])]
        answers = {t["name"]: _answer(t, body.get("threshold"), len(used)) for t in model["targets"]}
        shares = {i["name"]: (0.1 if i["name"] in used else 0.0) for i in model["inputs"]}
        shares |= {"question": -0.04} if "question" in used else {}
        prediction = {
            "answers": answers,
            "used": used,
            "absent": {i["name"]: "empty cell" for i in model["inputs"] if i["name"] not in used},
            "partly": {"order": "city: unknown"} if record.get("city") == "nowhere" else {},
            "contributions": {t["name"]: shares for t in model["targets"]},
        }
        return {"model": name, "predictions": [prediction]}


def _answer(target: dict, threshold: float | None, used: int) -> dict:
    if target["kind"] == "number":
        return {"value": 1234.5678, "confidence": None, "abstained": False, "probabilities": {}}
    if target["kind"] == "labels":
        chances = dict(zip(target["classes"], (0.9, 0.2, 0.7), strict=True))
        return {"value": ["new", "<b>bold</b>"], "confidence": 0.7, "abstained": False, "probabilities": chances}
    first = 0.5 + 0.08 * used
    rest = (1 - first) / (len(target["classes"]) - 1)
    chances = {c: first if n == 0 else rest for n, c in enumerate(target["classes"])}
    abstained = threshold is not None and first < threshold
    return {"value": target["classes"][0], "confidence": first, "abstained": abstained, "probabilities": chances}


def _file(name: str) -> Response:
    found = page.content(name)
    if found is None:
        return Response(status_code=404)
    return Response(found, headers=page.HEADERS, media_type=page.files()[name])


def picture_of(cell: dict) -> Image.Image:
    """What was sent, decoded."""
    return Image.open(io.BytesIO(base64.b64decode(cell["base64"])))


def sound_of(cell: dict) -> tuple[np.ndarray, int]:
    """Samples and their rate."""
    return soundfile.read(io.BytesIO(base64.b64decode(cell["base64"])))


@contextmanager
def serving(app: FastAPI, lifespan: Literal["on", "off"] = "off") -> Iterator[str]:
    """The application on a free port of this machine; gives its address."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", lifespan=lifespan))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/"
    finally:
        server.should_exit = True
        thread.join(10)
