"""A request's body, piece by piece: refused as soon as it is known to be too large, too slow or not what is taken."""

from __future__ import annotations

from starlette.requests import ClientDisconnect, Request

from .admission import Pass
from .http_error import Refusal
from .limits import Limits

JSON, FORM = "application/json", "multipart/form-data"


def kind(request: Request, *taken: str) -> str:
    """The media type, without its parameters. Raises Refusal (415) where it isn't among ``taken``."""
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Refusal(415, "encoded_body", "a compressed body isn't read", "send it as it is")
    given, _, rest = request.headers.get("content-type", "").partition(";")
    found = given.strip().lower()
    if found not in taken:
        raise Refusal(
            415, "media_type", f"'{found}' isn't read here" if found else "no content type", " or ".join(taken)
        )
    if found == JSON and "charset" in rest.lower() and "utf-8" not in rest.lower():
        raise Refusal(415, "charset", "JSON is read in UTF-8 alone")
    return found


async def read(request: Request, limits: Limits, inside: Pass) -> bytes:
    """The whole body. Raises Refusal: 413 before it is read where its length is known, else as soon as it is; 408."""
    said = request.headers.get("content-length")
    if said is not None and said.isdigit() and int(said) > limits.body:
        raise _too_large(limits)
    pieces: list[bytes] = []
    length = 0
    try:
        async with inside.within(limits.body_seconds):
            async for piece in request.stream():
                length += len(piece)
                if length > limits.body:
                    raise _too_large(limits)
                inside.more(len(piece))
                pieces.append(piece)
    except TimeoutError:
        raise Refusal(408, "slow_body", f"the body wasn't there after {limits.body_seconds:g} seconds") from None
    except ClientDisconnect:
        raise Refusal(400, "cut_off", "the client went away before its body was there") from None
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _too_large(limits: Limits) -> Refusal:
    return Refusal(413, "body_too_large", "the body is too large", f"at most {limits.body:,} bytes")
