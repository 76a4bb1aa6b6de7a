"""A multipart form -> its parts, in memory: the body is bounded and there already, so no part needs a file on disk."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from .http_error import Refusal


@dataclass
class Part:
    """One field of a form."""

    name: str = ""
    file: bool = False  # has a file's name: it was uploaded, not typed
    content: bytes = b""
    headers: dict[bytes, bytes] = field(default_factory=dict)


def parse(body: bytes, content_type: str, most: int) -> list[Part]:
    """Raises Refusal (400; 413 where there are more than ``most`` parts)."""
    boundary = parse_options_header(content_type)[1].get(b"boundary")
    if not boundary:
        raise Refusal(400, "bad_form", "the form has no boundary")
    reader = _Reader(most)
    try:
        parser = MultipartParser(boundary, reader.callbacks())
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise Refusal(400, "bad_form", f"the form can't be read: {error}") from None
    if not reader.ended:
        raise Refusal(400, "bad_form", "the form is cut off: its last boundary is missing")
    return reader.parts


class _Reader:
    """Gathers what the parser tells piece by piece."""

    def __init__(self, most: int):
        self.most, self.ended = most, False
        self.parts: list[Part] = []
        self.pieces: list[bytes] = []
        self.key, self.value = b"", b""

    def callbacks(self) -> Any:
        """What the parser calls."""
        names = (
            "part_begin",
            "part_data",
            "part_end",
            "header_field",
            "header_value",
            "header_end",
            "headers_finished",
        )
        return {**{f"on_{name}": getattr(self, name) for name in names}, "on_end": self.end}

    def part_begin(self) -> None:
        if len(self.parts) == self.most:
            raise Refusal(413, "too_many_parts", "the form has too many parts", f"at most {self.most}")
        self.parts.append(Part())
        self.pieces = []

    def part_data(self, data: bytes, start: int, end: int) -> None:
        self.pieces.append(data[start:end])

    def part_end(self) -> None:
        self.parts[-1].content = b"".join(self.pieces)

    def header_field(self, data: bytes, start: int, end: int) -> None:
        self.key += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self.value += data[start:end]

    def header_end(self) -> None:
        self.parts[-1].headers[self.key.lower()] = self.value
        self.key, self.value = b"", b""

    def headers_finished(self) -> None:
        kind, options = parse_options_header(self.parts[-1].headers.get(b"content-disposition", b""))
        if kind != b"form-data" or b"name" not in options:
            raise Refusal(400, "bad_form", "a part of the form has no name")
        self.parts[-1].name = options[b"name"].decode("utf-8", "replace")
        self.parts[-1].file = b"filename" in options

    def end(self) -> None:
        self.ended = True
