"""An S3 server on this machine, and a proxy in front of it that answers some requests wrongly."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

BUCKET = "rows"
SECRETS = {"AWS_ACCESS_KEY_ID": "AKIASECRETKEYNAME", "AWS_SECRET_ACCESS_KEY": "secret-access-key"}
HOP_HEADERS = {"connection", "transfer-encoding", "keep-alive", "date", "server"}
ANSWERS = {"status": (500, ""), "ExpiredToken": (400, "ExpiredToken"), "AccessDenied": (403, "AccessDenied")}
BODY = (
    '<?xml version="1.0" encoding="UTF-8"?><Error><Code>{}</Code><Message>No.</Message><Token-0>SECRET-TOKEN</Token-0>'
)


@dataclass
class Fault:
    """What is done to requests whose path ends so: to the first ``times`` of them, and of these methods alone."""

    kind: str  # status, slow, cut, short, or the code of an answer: ExpiredToken, AccessDenied
    path: str = ""
    times: float = float("inf")
    methods: tuple[str, ...] = ("GET",)
    seconds: float = 0.0  # of slow: between two bytes
    seen: int = 0

    def hits(self, method: str, path: str) -> bool:
        if method not in self.methods or not path.partition("?")[0].endswith(self.path) or self.seen >= self.times:
            return False
        self.seen += 1
        return True


@dataclass
class Proxy:
    """Passes requests on, but for its faults; counts them."""

    address: tuple[str, int]
    faults: list[Fault] = field(default_factory=list)
    requests: list[tuple[str, str]] = field(default_factory=list)
    server: Any = None

    def start(self) -> str:
        """The address of the proxy."""
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.server.daemon_threads = True
        Thread(target=self.server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self.server.server_port}"

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def forward(self, handler: BaseHTTPRequestHandler, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        """The server's own answer."""
        connection = HTTPConnection(*self.address)
        try:
            connection.request(handler.command, handler.path, body or None, dict(handler.headers))
            answer = connection.getresponse()
            headers = [(k, v) for k, v in answer.getheaders() if k.lower() not in HOP_HEADERS]
            return answer.status, headers, answer.read()
        finally:
            connection.close()


def _handler(proxy: Proxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            proxy.requests.append((self.command, self.path))
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            fault = next((f for f in proxy.faults if f.hits(self.command, self.path)), None)
            if fault and fault.kind in ANSWERS:
                status, code = ANSWERS[fault.kind]
                content = f"{BODY.format(code)}</Error>".encode() if code else b""
                self._send(status, [("Content-Type", "application/xml")], content)
                return
            status, headers, content = proxy.forward(self, body)
            kept = [(k, v) for k, v in headers if k.lower() != "content-length" or self.command == "HEAD"]
            self._send(status, kept, content, fault)

        def _send(self, status: int, headers: list, content: bytes, fault: Fault | None = None) -> None:
            self.send_response(status)
            for key, value in headers:
                self.send_header(key, value)
            kind, half = fault.kind if fault else "", content[: len(content) // 2]
            if self.command != "HEAD" or not headers or "content-length" not in {k.lower() for k, _ in headers}:
                announced = half if kind == "short" else content
                self.send_header("Content-Length", str(len(announced)))
            self.end_headers()
            if self.command == "HEAD":
                return
            if kind in ("cut", "short"):
                self.wfile.write(half)
                self.close_connection = True
            elif kind == "slow":
                self._trickle(content, fault.seconds if fault else 0.0)
            else:
                self.wfile.write(content)

        def _trickle(self, content: bytes, seconds: float) -> None:
            for position in range(len(content)):
                time.sleep(seconds)
                try:
                    self.wfile.write(content[position : position + 1])
                    self.wfile.flush()
                except OSError:  # it isn't waited for any more
                    return

        def log_message(self, format: str, *args: Any) -> None:
            pass

    handle: Callable[[Handler], None] = Handler._answer
    for method in ("GET", "HEAD", "PUT", "POST", "DELETE"):
        setattr(Handler, f"do_{method}", handle)
    return Handler
