"""Encoding and delimiter of a text table, detected from a bounded sample at its beginning.

A byte order mark decides the encoding. Without one, text that is UTF-8 is UTF-8, also where single rows aren't; NUL
bytes at every second place are UTF-16; for the rest charset-normalizer chooses among the code pages that
spreadsheets write. The delimiter is the one that cuts most rows into as many cells as the header.
"""

from __future__ import annotations

import codecs
import contextlib
import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..object_store import ObjectPath

SAMPLE = 2**18  # bytes that are examined
ROWS = 500  # of the sample that the delimiter is judged by
DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe"}
MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
PAGES = ("cp1252", "gb18030", "big5", "cp932", "cp949", "euc_jp", "cp1251", "cp1250", "cp1253", "cp1255", "cp1256")
WESTERN_ONLY = ("cp1250", "cp1252")  # that share most letters: the second one unless a letter would be a sign in it
BETWEEN_WORDS = re.compile(rb'[\t\r\n",;0-9 ]+')  # no second byte of a character in any of them
MAX_CHAOS = 0.5  # of what charset-normalizer counts as no text
SEPARATOR_LINE = re.compile(r"sep=(.)\r?\n?", re.IGNORECASE)  # Excel's own first line
BY_ACCIDENT = 0.2  # of the lines that another encoding writes are fewer UTF-8
LONE = 0xDC00  # + a byte: what stands for a byte that can't be decoded
ESCAPE = "suffuse.lone_surrogates"


@dataclass(frozen=True)
class TextFormat:
    """How a text table is written."""

    encoding: str
    delimiter: str

    def is_usual(self, path: Path | ObjectPath) -> bool:
        """Whether it is UTF-8 with the delimiter of the file's suffix."""
        return self.encoding.lower().startswith("utf-8") and self.delimiter == usual_delimiter(path)

    def __str__(self) -> str:
        name = DELIMITERS.get(self.delimiter, f"'{self.delimiter}'")
        return f"{encoding_name(self.encoding)}, delimiter {name}"


def encoding_name(encoding: str) -> str:
    """An encoding for people: ``UTF-8``, ``cp1252``."""
    return encoding.upper().removesuffix("-SIG") if encoding.lower().startswith("utf") else encoding


def is_encoding(name: str) -> bool:
    """Whether Python decodes texts of an encoding of this name."""
    try:
        "a".encode(name)  # an empty text would be encoded by any
    except LookupError:
        return False
    return True


def escape_bytes(error: UnicodeError) -> tuple[str, int]:
    """The error handler of decoding: each byte that can't be decoded becomes a lone surrogate, in any encoding."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "".join(chr(LONE + byte) for byte in error.object[error.start : error.end]), error.end


codecs.register_error(ESCAPE, escape_bytes)


def detect(
    path: Path | ObjectPath, encoding: str | None, delimiter: str | None, likely: str | None = None
) -> TextFormat:
    """The format of a text table. What is given isn't detected; ``likely`` is an encoding that is tried before others,
    where the text isn't UTF-8."""
    if encoding is None or delimiter is None:
        with path.open("rb") as file:
            sample = file.read(SAMPLE)
        encoding = encoding or detect_encoding(sample, likely)
        delimiter = delimiter or _detect_delimiter(_decoded(sample, encoding), usual_delimiter(path))
    return TextFormat(encoding, delimiter)


def detect_encoding(sample: bytes, likely: str | None = None) -> str:
    """The encoding of a text that begins so."""
    marked = next((encoding for mark, encoding in MARKS if sample.startswith(mark)), None)
    if marked or sample.isascii():
        return marked or _without_mark(sample) or "utf-8"
    if wide := _without_mark(sample):
        return wide
    lines = [line for line in dict.fromkeys(sample.splitlines()) if not line.isascii()]
    lines = lines[:-1] if len(lines) > 1 and len(sample) == SAMPLE else lines  # the last one may be cut off
    if sum(_decodes(line, "utf-8") for line in lines) >= BY_ACCIDENT * len(lines):
        return "utf-8"
    if likely is not None and all(_decodes(line, likely) for line in lines):
        return likely
    return _code_page(lines) or "utf-8"


def _without_mark(sample: bytes) -> str:
    """UTF-16 that begins without a mark: half of its bytes are NUL where most of the text is ASCII."""
    half = len(sample) // 2
    if half < 2:
        return ""
    if sample[1::2].count(0) > 0.4 * half and sample[::2].count(0) < 0.1 * half:
        return "utf-16-le"
    if sample[::2].count(0) > 0.4 * half and sample[1::2].count(0) < 0.1 * half:
        return "utf-16-be"
    return ""


def _code_page(lines: Sequence[bytes]) -> str:
    """The code page of lines that aren't UTF-8; nothing where none fits. It is judged by words: numbers and the signs
    between cells look like no language."""
    from charset_normalizer import from_bytes

    pages = [page for page in PAGES if all(_decodes(line, page) for line in lines)]
    words = dict.fromkeys(word for line in lines for word in BETWEEN_WORDS.split(line) if not word.isascii())
    content = b"\n".join(words)
    best = from_bytes(content, cp_isolation=pages, threshold=MAX_CHAOS).best() if pages else None
    if best is None:
        return ""
    if best.encoding in WESTERN_ONLY and _decodes(content, "cp1252") and not _signs_in_words(content):
        return "cp1252"
    return best.encoding


def _signs_in_words(content: bytes) -> bool:
    """Whether a letter of cp1250 would be a sign inside a word in cp1252, as in Polish."""
    pairs = zip(content.decode("cp1250", "replace"), content.decode("cp1252", "replace"), strict=False)
    return any(central.isalpha() and not western.isalpha() for central, western in pairs)


def _decodes(content: bytes, encoding: str) -> bool:
    try:
        content.decode(encoding)
    except UnicodeError:
        return False
    return True


def _decoded(sample: bytes, encoding: str) -> str:
    return codecs.getincrementaldecoder(encoding)("replace").decode(sample)


def usual_delimiter(path: Path | ObjectPath) -> str:
    """A tab in .tsv files, else a comma."""
    return "\t" if path.suffix.lower() == ".tsv" else ","


def _detect_delimiter(text: str, usual: str) -> str:
    """The delimiter with which most rows have as many cells as the header, of several the one that makes most cells;
    ``usual`` where the header has one cell with each of them."""
    first = SEPARATOR_LINE.fullmatch(text.split("\n", 1)[0])
    if first:
        return first[1]
    lines = text.splitlines(keepends=True)
    lines = lines[:-1] if len(lines) > 2 and not text.endswith(("\n", "\r")) else lines  # it may be cut off
    candidates = [usual, *(delimiter for delimiter in DELIMITERS if delimiter != usual)]
    scores = [(_fit(lines[:ROWS], delimiter), -place, delimiter) for place, delimiter in enumerate(candidates)]
    (share, width), _, best = max(scores)
    return best if width > 1 and share else usual


def _fit(lines: Sequence[str], delimiter: str) -> tuple[float, int]:
    """(share of the rows that are as wide as the header, its width); nothing where the header is one cell wide."""
    widths: list[int] = []
    rows = csv.reader(io.StringIO("".join(lines), newline=""), delimiter=delimiter)
    with contextlib.suppress(csv.Error):  # what was read until then
        widths.extend(len(row) for row in rows if row)
    if not widths or widths[0] < 2:
        return 0.0, 0
    equal = sum(width == widths[0] for width in widths[1:])
    return round(equal / (len(widths) - 1), 2) if len(widths) > 1 else 1.0, widths[0]
