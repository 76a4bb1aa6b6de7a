"""Connections that send nothing, or the head of a request byte by byte, are closed: each would hold a place forever. A
head that is too large is refused."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

from .head_limit import limited
from .limits import Limits
from .receive_buffer import Receiving


def patient(seconds: float, head: int = Limits.head, refusals: Any = None) -> type[asyncio.Protocol]:
    """uvicorn's protocol of HTTP, with so many seconds and bytes for the head of each request. ``refusals``: a counter
    of the refused ones, by their word."""

    base: Any = limited(AutoHTTPProtocol, head, refusals)  # one of two classes, by what is installed

    class Patient(base, Receiving):
        """A timer runs while a head is awaited: from the connection on, and from a later head's first byte on."""

        timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._expect()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self._busy():
                self._forget()
            elif self.timer is None:
                self._expect()

        def connection_lost(self, exc: Exception | None) -> None:
            self._forget()
            super().connection_lost(exc)

        def _busy(self) -> bool:
            return self.cycle is not None and not self.cycle.response_complete

        def _expect(self) -> None:
            self.timer = asyncio.get_running_loop().call_later(seconds, self._give_up)

        def _forget(self) -> None:
            if self.timer is not None:
                self.timer.cancel()
                self.timer = None

        def _give_up(self) -> None:
            self.timer = None
            if not self._busy():
                self.transport.close()

    return Patient
