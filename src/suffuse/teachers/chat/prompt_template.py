"""A prompt with columns in braces -> the messages of one row, in the form of OpenAI's chat completions.

``{column}`` stands for a cell, ``{classes}`` for the names of the classes, ``{{`` and ``}}`` for braces. Of a column of
pictures, the picture stands in this place: as a ``data:`` address with its bytes in base64.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

CLASSES_SLOT = "classes"
SLOTS = re.compile(r"\{\{|\}\}|\{([^{}]+)\}|[{}]")
SENT_AS_THEY_ARE = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp", "GIF": "image/gif"}
INSTRUCTION = "Answer with exactly one of these classes, spelled as here, and with nothing else: {classes}"
INSTRUCTION_WITH_RATIONALE = (
    "First state the reason in one sentence. Then name exactly one of these classes, spelled as here, in a last line "
    'that begins with "Class:": {classes}'
)
BYTES_PER_TOKEN = 4  # of text, for estimates alone
PICTURE_TOKENS = 800  # of a picture, likewise: endpoints count between 85 and some 1,500


@dataclass(frozen=True)
class Slot:
    """A place in a prompt that a row fills."""

    column: str


@dataclass(frozen=True)
class PromptTemplate:
    """A prompt's texts and slots, in order."""

    parts: tuple[str | Slot, ...]

    @classmethod
    def parse(cls, text: str) -> PromptTemplate:
        """Raises ValueError for a brace that stands alone, or where no column is named."""
        parts: list[str | Slot] = []
        at = 0
        for match in SLOTS.finditer(text):
            parts.append(text[at : match.start()])
            if match[0] in ("{", "}"):
                raise ValueError(f"got a single {match[0]} in the prompt, expected {{column}}, or {match[0] * 2}")
            parts.append(Slot(match[1]) if match[1] else match[0][0])
            at = match.end()
        template = cls(tuple(part for part in (*parts, text[at:]) if part))
        if not template.columns:
            raise ValueError("got a prompt without a column, expected {column} in it: all rows would be asked the same")
        return template

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it reads, each once."""
        names = [p.column for p in self.parts if isinstance(p, Slot) and p.column != CLASSES_SLOT]
        return tuple(dict.fromkeys(names))

    @property
    def lists_classes(self) -> bool:
        """Whether it says by itself where the names of the classes stand."""
        return Slot(CLASSES_SLOT) in self.parts


@dataclass(frozen=True)
class Messages:
    """Makes the messages of a row."""

    template: PromptTemplate
    classes: Sequence[str]
    pictures: Collection[str] = ()  # columns of these cells are bytes of a file
    picture_side: int | None = None  # pixels of the longer side, at most
    system: str = ""
    rationale: bool = False

    def of(self, record: Mapping[str, Any]) -> list[dict[str, Any]] | None:
        """The messages of a row {column: cell}; None where all of its cells are empty: there is nothing to ask
        about. A picture that can't be decoded is an empty cell."""
        cells = {name: self._cell(name, record[name]) for name in self.template.columns}
        if all(cell is None for cell in cells.values()):
            return None
        content: list[dict[str, Any]] = [{"type": "text", "text": self._instruction()}]
        for part in self.template.parts:
            if isinstance(part, str):
                content.append({"type": "text", "text": part})
            elif part.column == CLASSES_SLOT:
                content.append({"type": "text", "text": self._class_list()})
            elif (cell := cells[part.column]) is not None:
                content.append(cell)
        merged: list[dict[str, Any]] = []
        for item in content:
            if item["type"] == "text" and merged and merged[-1]["type"] == "text":
                merged[-1] = {"type": "text", "text": merged[-1]["text"] + item["text"]}
            elif item.get("text") != "":
                merged.append(item)
        plain = len(merged) == 1 and merged[0]["type"] == "text"
        user: dict[str, Any] = {"role": "user", "content": merged[0]["text"] if plain else merged}
        return [{"role": "system", "content": self.system}, user] if self.system else [user]

    def _instruction(self) -> str:
        """What stands before the prompt: it is the same for all rows, so an endpoint may keep its prefix."""
        if self.template.lists_classes:
            return ""
        text = INSTRUCTION_WITH_RATIONALE if self.rationale else INSTRUCTION
        return text.format(classes=self._class_list()) + ".\n\n"

    def _class_list(self) -> str:
        return ("; " if any("," in name for name in self.classes) else ", ").join(self.classes)

    def _cell(self, column: str, cell: Any) -> dict[str, Any] | None:
        if cell is None or column not in self.pictures:
            return None if cell is None else _text(cell)
        try:
            media_type, content = encode_picture(cell, self.picture_side)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            return None
        address = f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"
        return {"type": "image_url", "image_url": {"url": address}}


def _text(cell: Any) -> dict[str, Any]:
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    return {"type": "text", "text": str(cell)}


def encode_picture(content: bytes, side: int | None) -> tuple[str, bytes]:
    """A file's media type and bytes: as it is where endpoints take its format and it isn't too large; otherwise a JPEG,
    or a PNG where it has transparency. Raises what Pillow does where it can't be decoded."""
    with Image.open(io.BytesIO(content)) as picture:
        known = SENT_AS_THEY_ARE.get(picture.format or "")
        if known and (side is None or max(picture.size) <= side):
            return known, content
        picture.load()
        smaller = picture.copy()
    if side is not None:
        smaller.thumbnail((side, side))
    form = "PNG" if "A" in smaller.getbands() or smaller.mode == "P" else "JPEG"
    file = io.BytesIO()
    (smaller if form == "PNG" else smaller.convert("RGB")).save(file, form)
    return SENT_AS_THEY_ARE[form], file.getvalue()


def count_tokens(messages: Sequence[Mapping[str, Any]]) -> int:
    """An estimate of the tokens of messages: a quarter of the bytes of text, and a round number for each picture."""
    total = 0
    for message in messages:
        content = message["content"]
        for part in [{"type": "text", "text": content}] if isinstance(content, str) else content:
            text = part["type"] == "text"
            total += -(-len(part["text"].encode()) // BYTES_PER_TOKEN) if text else PICTURE_TOKENS
    return total
