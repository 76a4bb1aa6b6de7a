"""How bytes come from a connection: through a small buffer that is given back at once.

asyncio's own way reserves 256 KiB for whatever is there to be read and shrinks that to what came. The shrunken block
keeps its place while its request lives, so the next 256 KiB find room only behind all that was allocated since; the
heap's end goes up, and whatever is allocated there holds it up. A server grew by some 200 bytes with each request,
without keeping a single object. A buffer of fixed size that is freed before the next one is needed leaves no such hole.
"""

from __future__ import annotations

import asyncio
from typing import Any

SIZE = 2**16  # bytes that are read at once; below what glibc maps by itself (128 KiB)


class Receiving(asyncio.BufferedProtocol):
    """Beside a class that takes ``data_received``: an event loop that knows no such buffers calls that itself, as
    uvloop does, which has one buffer of its own for all connections."""

    buffer: bytearray | None = None

    def get_buffer(self, sizehint: int) -> bytearray:
        """Room for what is there to be read. Only a loop that reads in the background holds it for longer."""
        self.buffer = bytearray(SIZE)
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """So many bytes of it were read."""
        assert self.buffer is not None
        with memoryview(self.buffer) as view:
            data = bytes(view[:nbytes])
        self.buffer = None
        receiver: Any = self
        receiver.data_received(data)
