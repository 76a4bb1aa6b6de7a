"""Refused requests: a status, a code for programs, a sentence and a hint for people."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel

from ..errors import did_you_mean, visible

MAX_MESSAGE = 300  # characters of a message, which may quote the request
DESCRIPTIONS = {
    400: "The body can't be read",
    408: "The body came too slowly",
    413: "More than the server takes: bytes, records, parts, or what is to be decoded",
    415: "Not a media type that is read",
    422: "Read, and not what the model takes",
    429: "As many requests, or bytes of them, as the server takes",
    503: "The server stops",
    504: "No answer in time",
}


class ErrorDetail(BaseModel):
    """What is wrong."""

    code: str
    message: str
    hint: str


class ErrorResponse(BaseModel):
    """An error of the routes under /v1."""

    error: ErrorDetail


class InferenceErrorResponse(BaseModel):
    """An error of the Open Inference Protocol."""

    error: str


class Refusal(Exception):
    """A request that isn't answered. ``code`` is one word that stays the same from version to version."""

    def __init__(self, status: int, code: str, message: str, hint: str = "", retry_after: int | None = None):
        super().__init__(message)
        self.status, self.code, self.retry_after = status, code, retry_after
        self.message, self.hint = shorten(message, MAX_MESSAGE), shorten(hint, MAX_MESSAGE)

    @property
    def headers(self) -> dict[str, str]:
        """When to retry, where that is known. A body that wasn't read ends the connection."""
        headers = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        return {**headers, "Connection": "close"} if self.status in (408, 413) else headers

    def v1_document(self) -> dict[str, Any]:
        """An :class:`ErrorResponse`."""
        return {"error": {"code": self.code, "message": self.message, "hint": self.hint}}

    def v2_document(self) -> dict[str, Any]:
        """An :class:`InferenceErrorResponse`: one text that begins with the code."""
        return {"error": f"{self.code}: {self.message}" + (f" ({self.hint})" if self.hint else "")}


def error_responses(document: type[BaseModel]) -> dict[int | str, dict[str, Any]]:
    """FastAPI's ``responses`` of a route that may refuse a request with such a document."""
    responses: dict[int | str, dict[str, Any]] = {
        status: {"model": document, "description": text} for status, text in DESCRIPTIONS.items()
    }
    responses[429]["headers"] = {"Retry-After": {"description": "seconds", "schema": {"type": "string"}}}
    return responses


def unprocessable(code: str, message: str, hint: str = "") -> Refusal:
    """422: a request that was read and can't be answered as it is."""
    return Refusal(422, code, message, hint)


def internal_error() -> Refusal:
    """500: what must not happen. The log has the traceback."""
    return Refusal(500, "defect", "a defect of the server", "its log says more")


def shorten(text: str, length: int = 60) -> str:
    """Text of a client as a message may quote it: at most ``length`` characters, none of them invisible."""
    cut = text if len(text) <= length else text[: length - 3] + "..."
    return visible(cut.encode("utf-8", "replace").decode("utf-8"))


def suggest(name: str, known: Iterable[str]) -> str:
    """A hint with the known name that was probably meant; empty where none is near."""
    return did_you_mean(shorten(name), known)
