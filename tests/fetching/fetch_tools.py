"""A server on this machine, with pictures and all that may go wrong with them."""

from __future__ import annotations

import io
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock

import numpy as np
import soundfile
from local_server import answering
from PIL import Image


def png(shade: int, side: int = 12) -> bytes:
    """A picture of one grey."""
    file = io.BytesIO()
    Image.new("RGB", (side, side), (shade % 256,) * 3).save(file, "PNG")
    return file.getvalue()


def wav(pitch: int) -> bytes:
    """A tenth of a second of a tone."""
    file = io.BytesIO()
    soundfile.write(file, 0.5 * np.sin(np.arange(800) * pitch / 50), 8000, format="WAV")
    return file.getvalue()


class Server:
    """Answers on 127.0.0.1; ``requests`` counts them by path."""

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()
        self.running = self.most_running = 0
        self.delay = 0.0
        self.broken = set[str]()  # paths that are not found for now
        self.lock = Lock()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # a client that goes away early

    def address(self, path: str) -> str:
        """The address of a path on this server."""
        return f"http://127.0.0.1:{self.server.server_port}/{path}"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # otherwise a body waits 40 ms for the other side's word on its head

            def do_GET(self) -> None:
                with outer.lock:
                    outer.requests[self.path] += 1
                    outer.running += 1
                    outer.most_running = max(outer.most_running, outer.running)
                time.sleep(outer.delay)
                with outer.lock:  # before the answer: the next request may come with it
                    outer.running -= 1
                try:
                    self.answer(self.path.removeprefix("/").partition("?")[0])
                except OSError:  # the other side has gone
                    self.close_connection = True

            def answer(self, path: str) -> None:
                kind, _, rest = path.partition("/")
                count = outer.requests[self.path]
                if path in outer.broken or kind == "none":
                    self.send(404, b"nothing here", "text/plain")
                elif kind == "picture":
                    self.send(200, png(int(rest.removesuffix(".png"))), "image/png")
                elif kind == "sound":
                    self.send(200, wav(int(rest.removesuffix(".wav"))), "audio/wav")
                elif kind == "page":
                    self.send(200, b"<html>please log in</html>", "text/html; charset=utf-8")
                elif kind == "garbage":
                    self.send(200, b"\x89PNG\r\n\x1a\n" + bytes(50), "image/png")
                elif kind == "large":
                    self.send(200, bytes(200_000), "image/png")
                elif kind == "endless":
                    self.send_response(200)
                    self.send_header("Transfer-Encoding", "chunked")
                    self.end_headers()
                    for _ in range(1000):
                        self.wfile.write(b"1000\r\n" + bytes(4096) + b"\r\n")
                elif kind == "short":
                    self.send_response(200)
                    self.send_header("Content-Length", "5000")
                    self.end_headers()
                    self.wfile.write(png(1))
                    self.close_connection = True
                elif kind == "slow":
                    self.send_response(200)
                    self.send_header("Content-Length", "5000")
                    self.end_headers()
                    for _ in range(100):
                        self.wfile.write(b"x")
                        time.sleep(0.05)
                elif kind == "silent":
                    time.sleep(3)
                elif kind == "loop":
                    self.send(302, b"", "text/plain", Location=f"/loop/{count}")
                elif kind == "moved":
                    self.send(301, b"moved", "text/plain", Location=f"/picture/{rest}")
                elif kind == "elsewhere":
                    self.send(302, b"", "text/plain", Location="file:///etc/passwd")
                elif kind == "sometimes":
                    status = 503 if count < 3 else 200
                    self.send(status, png(7) if status == 200 else b"busy", "image/png", **{"Retry-After": "0"})
                elif kind == "busy":
                    self.send(503, b"busy", "text/plain")
                elif kind == "compressed":
                    self.send(200, b"xx", "image/png", **{"Content-Encoding": "gzip"})

            def send(self, status: int, body: bytes, content_type: str, **headers: str) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Content-Type", content_type)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                pass

        return Handler


@contextmanager
def serving() -> Iterator[Server]:
    """A server that runs meanwhile."""
    server = Server()
    with answering(server.server):
        yield server
