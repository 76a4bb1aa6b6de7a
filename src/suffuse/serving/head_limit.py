"""The head of a request has at most so many bytes: what is larger gets 431, and its connection is closed.

uvicorn keeps every field of a head, however many come. Without a limit one connection that repeats a short field takes
hundreds of megabytes before its time for the head is over. Each field counts 32 bytes more than its name and its
value, as RFC 9113 (6.5.2) counts them, for that is about what it takes here. The fields after a chunked body (trailers)
count as the head does.
"""

from __future__ import annotations

import asyncio
import re
import sys
from typing import Any

from .http_error import Refusal
from .prediction_response import written

FIELD = 32  # bytes that each field counts beside its name and its value
LISTENS = 1.0  # seconds in which what a refused client still sends is thrown away, so that it reads why
END = re.compile(rb"\n\r?\n")  # of a head
LINE = b"HTTP/1.1 431 Request Header Fields Too Large\r\n"


def limited(base: Any, most: int, refusals: Any = None) -> Any:
    """One of uvicorn's two protocols of HTTP, with at most so many bytes of a head."""
    return (_httptools if hasattr(base, "on_header") else _h11)(_closing(base, most, refusals), most)


def _closing(base: Any, most: int, refusals: Any) -> Any:
    class Closing(base):
        """Says 431, once."""

        refused = False

        def data_received(self, data: bytes) -> None:
            if not self.refused:
                super().data_received(data)

        def refuse_head(self) -> None:
            """431, where nothing else is being said on this connection: else it is closed."""
            if self.refused:
                return
            self.refused = True
            if refusals is not None:
                refusals.labels("head_too_large").inc()
            if self._talks():
                self.transport.close()
                return
            why = Refusal(431, "head_too_large", "the head of the request is too large", _hint(most))
            body = written(why.friendly())
            head = b"content-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
            self.transport.write(LINE + head + body)
            asyncio.get_running_loop().call_later(LISTENS, self.transport.close)

        def _talks(self) -> bool:
            """Whether the reply to an earlier request, or to this one whose trailers are read, is under way."""
            if self.cycle is None or self.cycle.response_complete:
                return False
            return self.cycle.response_started or self.cycle.scope is not self.scope

    return Closing


def _httptools(base: Any, most: int) -> Any:
    class Limited(base):
        """Counts what the parser tells, and what it keeps for itself: a field without an end is told never."""

        head, silent = 0, 0

        def data_received(self, data: bytes) -> None:
            self.silent += len(data)
            super().data_received(data)
            if self.silent > most:
                self.refuse_head()

        def send_400_response(self, msg: str) -> None:
            """The parser gave up; over a head that is too large because it was told to."""
            if self.head > most:
                self.refuse_head()
            else:
                super().send_400_response(msg)

        def on_message_begin(self) -> None:
            self.head = 0
            super().on_message_begin()

        def on_url(self, url: bytes) -> None:
            self._count(len(url))
            super().on_url(url)

        def on_header(self, name: bytes, value: bytes) -> None:
            self._count(len(name) + len(value) + FIELD)
            super().on_header(name, value)

        def on_body(self, body: bytes) -> None:
            self.silent = 0
            super().on_body(body)

        def _count(self, bytes_: int) -> None:
            self.silent = 0
            self.head += bytes_
            if self.head > most:
                raise ValueError("the head is too large")  # ends the parser

    return Limited


def _h11(base: Any, most: int) -> Any:
    class Limited(base):
        """h11 reads a head when it is whole, and bounds what isn't by itself (``h11_max_incomplete_event_size``)."""

        def data_received(self, data: bytes) -> None:
            if _is_idle(self.conn) and _too_large(self.conn.trailing_data[0] + data, most):
                self.refuse_head()
            else:
                super().data_received(data)

        def send_400_response(self, msg: str) -> None:
            """Called where h11's error is handled."""
            if getattr(sys.exc_info()[1], "error_status_hint", 400) == 431:
                self.refuse_head()
            else:
                super().send_400_response(msg)

    return Limited


def _is_idle(connection: Any) -> bool:
    import h11

    return connection.their_state is h11.IDLE


def _too_large(received: bytes, most: int) -> bool:
    """Whether the head that these bytes begin with, whole or not, has more."""
    end = END.search(received)
    size = len(received) if end is None else end.end()
    return size + FIELD * received.count(b"\n", 0, size) > most


def _hint(most: int) -> str:
    return f"at most {most:,} bytes, each field counted with {FIELD} more: the limit head of the server"
