"""Requests for the soak of ``serve.py``: real ones, and thirty ways to be wrong, over raw sockets."""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

CLOSED = 0  # in the place of a status where the server closes the connection without one
BOUNDARY = "soak"
LENGTH = re.compile(rb"content-length: (\d+)", re.I)
Wanted = tuple[bytes, tuple[int, ...]]  # what is sent, and the statuses that are right


def good(records: Sequence[dict[str, Any]], route: str, infer: str, media: set[str]) -> list[Wanted]:
    """As JSON, as a form, and as tensors of raw columns."""
    found = []
    for number, record in enumerate(records):
        found.append((post(route, json.dumps({"records": [record]}).encode()), (200,)))
        if number % 5 == 0:
            found.append((post(route, _form(record), f"multipart/form-data; boundary={BOUNDARY}"), (200,)))
        texts = {k: v["base64"] if isinstance(v, dict) else v for k, v in record.items() if isinstance(v, (str, dict))}
        if number % 5 == 1 and texts:
            inputs = [{"name": k, "shape": [1], "datatype": "BYTES", "data": [v]} for k, v in texts.items()]
            found.append((post(infer, json.dumps({"inputs": inputs}).encode()), (200,)))
    return found


def bad(record: dict[str, Any], route: str, infer: str, media: set[str]) -> list[Wanted]:
    """Each with the statuses that it may get."""
    body = json.dumps({"records": [record]}).encode()
    column = next(iter(record))
    file = next((k for k in record if k in media), column)
    cell: Callable[[str, Any], bytes] = lambda name, value: json.dumps({"records": [{name: value}]}).encode()  # noqa: E731
    wrong: list[tuple[bytes, int]] = [
        (body[: len(body) // 2], 400),
        (b"", 400),
        (b"\xff\xfe" + body, 400),
        (b"[" * 5000 + b"]" * 5000, 400),
        (b'{"records": [{}], "records": []}', 400),
        (b'{"records": [{}], "threshold": NaN}', 400),
        (b'{"records": [{}], "top_k": ' + b"9" * 5000 + b"}", 400),
        (b"null", 422),
        (b"{}", 422),
        (b'{"records": []}', 422),
        (b'{"records": {}}', 422),
        (b'{"records": [{}], "topk": 1}', 422),
        (b'{"records": [{}], "top_k": 0}', 422),
        (b'{"records": [{}], "threshold": 2}', 422),
        (b'{"records": [{"no such column": 1}]}', 422),
        (json.dumps({"records": [{}] * 5000}).encode(), 422),
        (cell(file, "/etc/passwd"), 422),
        (cell(file, "http://127.0.0.1/a.png"), 422),
        (cell(file, {"base64": "a b"}), 422),
        (cell(file, {"path": "a.png"}), 422),
        (cell(column, {"a": [1]}), 422),
    ]
    tensors = [
        b'{"inputs": []}',
        b'{"inputs": [{"name": "x", "shape": [1], "datatype": "BYTES", "data": ["a"]}]}',
        b'{"inputs": [{"name": "present", "shape": [1, 1], "datatype": "BOOL", "data": [7]}]}',
    ]
    head = f"POST {route} HTTP/1.1\r\nHost: soak\r\nContent-Type: application/json\r\n".encode()
    return [
        *((post(route, text), (status,)) for text, status in wrong),
        *((post(infer, text), (422,)) for text in tensors),
        (post(route, body, "text/plain"), (415,)),
        (post(route, b"no form", f"multipart/form-data; boundary={BOUNDARY}"), (400,)),
        (post(route.replace("predict", "guess"), body), (404,)),
        (f"DELETE {route} HTTP/1.1\r\nHost: soak\r\n\r\n".encode(), (405,)),
        (head + b"Content-Length: 999999999\r\n\r\n{", (413,)),
        (b"this is no HTTP\r\n\r\n", (400, CLOSED)),
        (head + b"Content-Length: 500\r\n\r\n{", (CLOSED,)),  # and the client goes away
    ]


async def send(port: int, wanted: Sequence[Wanted], clients: int, tell: Callable[[int], None]) -> Counter[str]:
    """All of them over so many connections at once; counts what came back, and what wasn't as it should be."""
    found: Counter[str] = Counter()
    queue = iter(wanted)
    done = 0

    async def client() -> None:
        nonlocal done
        pair = None
        for content, right in queue:
            pair = pair or await asyncio.open_connection("127.0.0.1", port)
            reader, writer = pair
            writer.write(content)
            if right == (CLOSED,):
                writer.close()
                status, keep = CLOSED, False
            else:
                status, keep = await _status(reader)
            found[str(status)] += 1
            found["wrong"] += status not in right
            if not keep:
                writer.close()
                pair = None
            done += 1
            tell(done)

    await asyncio.gather(*(client() for _ in range(clients)))
    return found


async def _status(reader: asyncio.StreamReader) -> tuple[int, bool]:
    """A whole answer's status, and whether the connection stays."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        length = LENGTH.search(head)
        await reader.readexactly(int(length[1]) if length else 0)
        return int(head.split(b" ", 2)[1]), b"connection: close" not in head.lower()
    except (asyncio.IncompleteReadError, ConnectionError):
        return CLOSED, False


def mixed(good: Sequence[Wanted], bad: Sequence[Wanted], count: int) -> list[Wanted]:
    """So many, a fifth of them bad, in an order drawn by chance."""
    draw = random.Random(0)
    chosen = [good[n % len(good)] for n in range(count - count // 5)] + [bad[n % len(bad)] for n in range(count // 5)]
    draw.shuffle(chosen)
    return chosen


def post(route: str, body: bytes, media: str = "application/json") -> bytes:
    """A whole request."""
    head = f"POST {route} HTTP/1.1\r\nHost: soak\r\nContent-Type: {media}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _form(record: dict[str, Any]) -> bytes:
    import base64

    parts = []
    for name, value in record.items():
        file = isinstance(value, dict)
        content = base64.b64decode(value["base64"]) if file else str(value).encode()
        said = f'Content-Disposition: form-data; name="{name}"' + ('; filename="a"' if file else "")
        parts.append(f"--{BOUNDARY}\r\n{said}\r\n\r\n".encode() + content + b"\r\n")
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()
