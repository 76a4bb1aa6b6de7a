"""A server of the standard library on this machine, while a test runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import HTTPServer
from threading import Thread


@contextmanager
def answering(server: HTTPServer) -> Iterator[str]:
    """Let it answer in a thread meanwhile; its address, ``http://127.0.0.1:PORT``."""
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
