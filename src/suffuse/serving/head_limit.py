"""A request head has at most so many bytes: a larger one gets 431, and its connection is closed.

uvicorn passes ``h11_max_incomplete_event_size`` to h11, which stops reading an incomplete head, or incomplete trailers,
beyond that size. This protocol adds what uvicorn leaves out: the status 431 with suffuse's error document where uvicorn
sends 400 in plain text, and the same limit for a head that arrives in one piece.
"""

from __future__ import annotations

import asyncio
import re
import sys
from typing import ClassVar

import h11
from prometheus_client import Counter
from uvicorn.protocols.http.h11_impl import H11Protocol

from .body_parsing import dump_json
from .http_error import Refusal

LINGER = 1.0  # seconds in which the rest of a refused request is discarded, so that its client reads the response
HEAD_END = re.compile(rb"\n\r?\n")
STATUS_LINE = b"HTTP/1.1 431 Request Header Fields Too Large\r\n"


class HeadLimitedProtocol(H11Protocol):
    """uvicorn's h11 protocol with 431 for a head of more than ``h11_max_incomplete_event_size`` bytes."""

    refusals: ClassVar[Counter]  # counts them by their code
    refused = False

    def data_received(self, data: bytes) -> None:
        if self.refused:
            return
        if self.conn.their_state is h11.IDLE and self._is_head_too_large(data):
            self._refuse_head()
        else:
            super().data_received(data)

    def send_400_response(self, msg: str) -> None:
        """uvicorn calls this while it handles h11's error."""
        if getattr(sys.exc_info()[1], "error_status_hint", 400) == 431:
            self._refuse_head()
        else:
            super().send_400_response(msg)

    def _is_head_too_large(self, data: bytes) -> bool:
        limit = self.config.h11_max_incomplete_event_size or 0
        received = self.conn.trailing_data[0] + data
        if len(received) <= limit:
            return False
        end = HEAD_END.search(received)
        return end is None or end.end() > limit

    def _refuse_head(self) -> None:
        """Send 431; only close the connection where the response to an earlier request is under way."""
        self.refused = True
        self.refusals.labels("head_too_large").inc()
        cycle = self.cycle
        if cycle and not cycle.response_complete and (cycle.response_started or cycle.scope is not self.scope):
            self.transport.close()
            return
        limit = self.config.h11_max_incomplete_event_size
        error = Refusal(431, "head_too_large", "the head of the request is too large", f"at most {limit:,} bytes")
        body = dump_json(error.v1_document())
        fields = b"content-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
        self.transport.write(STATUS_LINE + fields + body)
        asyncio.get_running_loop().call_later(LINGER, self.transport.close)


def head_limited_protocol(refusals: Counter) -> type[HeadLimitedProtocol]:
    """The protocol with this counter."""
    return type("CountingProtocol", (HeadLimitedProtocol,), {"refusals": refusals})
