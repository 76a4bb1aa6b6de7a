"""The socket that listens: how it begins, and how it ends without cutting a connection that the system has made."""

from __future__ import annotations

import contextlib
import ctypes
import socket
import struct
import sys

from ..errors import SuffuseError

BACKLOG = 2048  # connections that wait to be accepted
ATTACH_FILTER = 26  # Linux: SO_ATTACH_FILTER (socket(7)); the module socket has no name for it
# a program of the classic packet filter: a segment with the flag SYN is dropped, any other let through
NO_SYN = (
    (0x30, 0, 0, 13),  # load byte 13 of the TCP header, its flags
    (0x54, 0, 0, 0x02),  # and SYN
    (0x15, 0, 1, 0x02),  # is it set?
    (0x06, 0, 0, 0),  # drop
    (0x06, 0, 0, 0xFFFFFFFF),  # let through
)


def listen(host: str, port: int) -> socket.socket:
    """Raises SuffuseError where the address can't be had."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise SuffuseError(
            "can't listen there", where=f"{host}:{port}", got=error.strerror or error, hint="--port 0 takes a free one"
        ) from None


def turn_away(listening: socket.socket) -> None:
    """Whoever knocks from now on gets no answer, and is refused once the socket is closed; a connection that is being
    made is made, and waits to be accepted.

    Closing alone would cut what comes between the last look at the queue and the close. Where the system has no such
    filter (all but Linux) that gap remains: microseconds, or a few milliseconds while other threads hold Python's lock.
    """
    if sys.platform != "linux":
        return
    code = b"".join(struct.pack("HBBI", *step) for step in NO_SYN)
    held = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("HP", len(NO_SYN), ctypes.addressof(held))
    with contextlib.suppress(OSError):  # a sandbox that forbids filters: the gap remains there, too
        listening.setsockopt(socket.SOL_SOCKET, ATTACH_FILTER, program)


def standing_in_line(listening: socket.socket) -> list[socket.socket]:
    """Connections that the system has made and the loop hasn't seen: they would be cut when the socket is closed."""
    found = []
    listening.setblocking(False)
    with contextlib.suppress(OSError):  # there are no more
        while True:
            found.append(listening.accept()[0])
    return found
