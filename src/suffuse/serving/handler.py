"""How a request for answers goes in: through the gate, its body whole, its answer in time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator

from starlette.requests import Request
from starlette.responses import Response

from .admission import Pass
from .app_state import state_of
from .http_error import Refusal, near, short
from .request_body import JSON, kind, read
from .served_model import Model

QUICK = 0.1  # seconds after which a client may have gone
Ask = Callable[[Model, bytes, str], Awaitable[bytes]]  # model, body, media type -> the answer's body


def model_of(request: Request, name: str) -> Model:
    """Raises Refusal (404)."""
    models = state_of(request).models
    if name not in models:
        raise Refusal(404, "no_such_model", f"there is no model '{short(name)}'", near(name, models))
    request.scope["suffuse.model"] = name
    return models[name]


async def answered(request: Request, taken: tuple[str, ...], ask: Ask) -> Response:
    """A model's answer to a body of one of these media types. Raises Refusal."""
    name = request.path_params["name"]
    state, model = state_of(request), model_of(request, name)
    request.scope["suffuse.route"] = request.scope["path"].replace(f"/{name}/", "/{name}/", 1)
    with state.gate.enter() as inside:
        media = kind(request, *taken)
        body = await read(request, state.limits, inside)
        seconds = state.limits.answer_seconds
        with _watched(request, inside):
            try:
                async with inside.within(seconds):
                    return Response(await ask(model, body, media), media_type=JSON)
            except TimeoutError:
                raise Refusal(504, "too_slow", f"no answer within {seconds:g} seconds", "send fewer records") from None


@contextlib.contextmanager
def _watched(request: Request, inside: Pass) -> Iterator[None]:
    """Inside, a request ends where its client closes the connection. A quick answer doesn't pay for the look."""
    loop, tasks = asyncio.get_running_loop(), []
    timer = loop.call_later(QUICK, lambda: tasks.append(loop.create_task(_end_without_client(request, inside))))
    try:
        yield
    finally:
        timer.cancel()
        for task in tasks:
            task.cancel()


async def _end_without_client(request: Request, inside: Pass) -> None:
    """Cancel the request once its client has closed the connection: nobody waits for the answer."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
    inside.end(Refusal(400, "cut_off", "the client went away before its answer was there"))
