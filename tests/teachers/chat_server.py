"""An OpenAI-compatible server on this machine that answers by rule, and with all that may go wrong."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock
from typing import Any

from local_server import answering


@dataclass(frozen=True)
class Said:
    """An answer: a class with the probabilities of all, or some content as it stands."""

    name: str = ""
    p: Mapping[str, float] = field(default_factory=dict)
    content: str | None = None
    refusal: str | None = None
    finish: str = "stop"


@dataclass(frozen=True)
class Failure:
    """A status instead of an answer."""

    status: int
    body: bytes = b'{"error": {"message": "no"}}'
    headers: Mapping[str, str] = field(default_factory=dict)


Rule = Callable[[str, int], Said | Failure]  # (text of the user's message, how often it was asked before) -> an answer


def text_of(body: Mapping[str, Any]) -> str:
    """All text of the user's message."""
    content = body["messages"][-1]["content"]
    return content if isinstance(content, str) else "".join(p.get("text", "") for p in content)


def pictures_of(body: Mapping[str, Any]) -> list[str]:
    """Addresses of the pictures in the user's message."""
    content = body["messages"][-1]["content"]
    return [p["image_url"]["url"] for p in content if isinstance(p, dict) and p["type"] == "image_url"]


class ChatServer:
    """Answers on 127.0.0.1; ``bodies`` are the requests in order, ``counts`` how often each message came."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.logprobs = self.schema = True  # whether it can do that
        self.rejects_logprobs = False  # instead of leaving them out
        self.picture_rule: Callable[[list[str]], Said] | None = None
        self.delay = 0.0
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.counts: dict[str, int] = {}
        self.running = self.most_running = 0
        self.lock = Lock()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None

    @property
    def url(self) -> str:
        """Its base."""
        return f"http://127.0.0.1:{self.server.server_port}/v1"

    @property
    def twice(self) -> list[str]:
        """Messages that came more than once."""
        return [text for text, count in self.counts.items() if count > 1]

    def reply(self, body: dict[str, Any]) -> tuple[int, bytes, Mapping[str, str]]:
        """Status, body and headers."""
        text = text_of(body)
        with self.lock:
            self.bodies.append(body)
            before = self.counts.get(text, 0)
            self.counts[text] = before + 1
        if "response_format" in body and not self.schema:
            return 400, b'{"error": {"message": "response_format isn\'t supported"}}', {}
        if "logprobs" in body and self.rejects_logprobs:
            return 422, b'{"detail": "extra inputs: logprobs"}', {}
        pictures = pictures_of(body)
        said = self.picture_rule(pictures) if self.picture_rule and pictures else self.rule(text, before)
        if isinstance(said, Failure):
            return said.status, said.body, said.headers
        return 200, json.dumps(self.completion(body, said)).encode(), {}

    def completion(self, body: Mapping[str, Any], said: Said) -> dict[str, Any]:
        """A body of chat completions."""
        before, behind = ('{"class": "', '"}') if "response_format" in body else ("", "")
        content = said.content if said.content is not None else before + said.name + behind
        choice: dict[str, Any] = {
            "index": 0, "finish_reason": said.finish,
            "message": {"role": "assistant", "content": content, "refusal": said.refusal},
        }  # fmt: skip
        if self.logprobs and body.get("logprobs") and said.p:
            tokens = [_token(text) for text in (before, said.name, behind) if text]
            named = next(t for t in tokens if t["token"] == said.name)
            named["logprob"] = math.log(said.p[said.name])
            named["top_logprobs"] = [{"token": n, "logprob": math.log(p)} for n, p in said.p.items()]
            choice["logprobs"] = {"content": tokens}
        usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
        return {"object": "chat.completion", "model": body["model"], "choices": [choice], "usage": usage}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # otherwise a body waits 40 ms for the other side's word on its head

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with outer.lock:
                    outer.headers.append(dict(self.headers))
                    outer.running += 1
                    outer.most_running = max(outer.most_running, outer.running)
                time.sleep(outer.delay)
                known = self.path == "/v1/chat/completions"
                status, content, headers = outer.reply(body) if known else (404, b"not here", {})
                with outer.lock:
                    outer.running -= 1
                try:
                    self.send_response(status)
                    self.send_header("Content-Length", str(len(content)))
                    for name, value in headers.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(content)
                except OSError:  # the other side has gone
                    self.close_connection = True

            def log_message(self, *args: object) -> None:
                pass

        return Handler


def _token(text: str) -> dict[str, Any]:
    return {"token": text, "logprob": 0.0, "bytes": list(text.encode()), "top_logprobs": []}


@contextmanager
def serving(rule: Rule) -> Iterator[ChatServer]:
    """A server that runs meanwhile."""
    server = ChatServer(rule)
    with answering(server.server):
        yield server
