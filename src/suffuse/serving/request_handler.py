"""One request for predictions: admitted, its body read within the limits, answered in time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from .admission import Admission, AdmissionControl
from .http_error import Refusal
from .limits import Limits

JSON, FORM = "application/json", "multipart/form-data"
DISCONNECT_DELAY = 0.1  # seconds until a request watches for its client's disconnect; quick answers don't pay for it


async def handle(
    request: Request, media_types: tuple[str, ...], answer: Callable[[bytes, str], Awaitable[bytes]]
) -> Response:
    """The response of ``answer(body, media type)`` to a body of one of these media types. Raises Refusal."""
    control: AdmissionControl = request.app.state.serving.admission
    limits = control.limits
    with control.admit() as admission:
        media_type = check_media_type(request, media_types)
        body = await read_body(request, limits, admission)
        with cancelled_on_disconnect(request, admission):
            try:
                async with admission.time_limit(limits.answer_seconds):
                    return Response(await answer(body, media_type), media_type=JSON)
            except TimeoutError:
                message = f"no answer within {limits.answer_seconds:g} seconds"
                raise Refusal(504, "too_slow", message, "send fewer records") from None


def check_media_type(request: Request, media_types: tuple[str, ...]) -> str:
    """The request's media type, without parameters. Raises Refusal (415) where it isn't among ``media_types``."""
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Refusal(415, "encoded_body", "a compressed body isn't read", "send it as it is")
    media_type, _, parameters = request.headers.get("content-type", "").partition(";")
    media_type = media_type.strip().lower()
    if media_type not in media_types:
        message = f"'{media_type}' isn't read here" if media_type else "no content type"
        raise Refusal(415, "media_type", message, " or ".join(media_types))
    if media_type == JSON and "charset" in parameters.lower() and "utf-8" not in parameters.lower():
        raise Refusal(415, "charset", "JSON is read in UTF-8 alone")
    return media_type


async def read_body(request: Request, limits: Limits, admission: Admission) -> bytes:
    """The whole body. Raises Refusal: 413 before it is read where its length is known, else as soon as it is; 408."""
    declared = request.headers.get("content-length")
    if declared is not None and declared.isdigit() and int(declared) > limits.body:
        raise _body_too_large(limits)
    chunks: list[bytes] = []
    length = 0
    try:
        async with admission.time_limit(limits.body_seconds):
            async for chunk in request.stream():
                length += len(chunk)
                if length > limits.body:
                    raise _body_too_large(limits)
                admission.reserve(len(chunk))
                chunks.append(chunk)
    except TimeoutError:
        raise Refusal(408, "slow_body", f"the body wasn't there after {limits.body_seconds:g} seconds") from None
    except ClientDisconnect:
        raise Refusal(400, "cut_off", "the client went away before its body was there") from None
    return b"".join(chunks)


@contextlib.contextmanager
def cancelled_on_disconnect(request: Request, admission: Admission) -> Iterator[None]:
    """Inside, a request is cancelled once its client closes the connection."""
    loop, tasks = asyncio.get_running_loop(), []
    timer = loop.call_later(
        DISCONNECT_DELAY, lambda: tasks.append(loop.create_task(_await_disconnect(request, admission)))
    )
    try:
        yield
    finally:
        timer.cancel()
        for task in tasks:
            task.cancel()


async def _await_disconnect(request: Request, admission: Admission) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    admission.cancel(Refusal(400, "cut_off", "the client went away before its answer was there"))


def _body_too_large(limits: Limits) -> Refusal:
    return Refusal(413, "body_too_large", "the body is too large", f"at most {limits.body:,} bytes")
