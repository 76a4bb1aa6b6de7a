"""Files that are broken in any way end with a reason: no other error, no crash, no memory taken on a header's word."""

from __future__ import annotations

import functools
import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import example, given
from hypothesis import settings as budget
from hypothesis import strategies as st
from PIL import Image

from suffuse import modalities
from suffuse.modalities.cell import Absent, Unreadable
from suffuse.registry import load, settings

CHOSEN = {
    "image": settings(modalities.TABLE, {"kind": "image", "column": "c", "size": 16}),
    "audio": settings(modalities.TABLE, {"kind": "audio", "column": "c", "rate": 8000, "mels": 8, "seconds": 1}),
    "sequence": settings(modalities.TABLE, {"kind": "sequence", "column": "c", "features": 3, "length": 50}),
}
FILES = {
    "image": ("PNG", "PNG-RGBA", "PNG-16", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "TIFF-LZW", "TIFF-F"),
    "audio": ("WAV-PCM_16", "WAV-FLOAT", "RF64-PCM_16", "FLAC-PCM_16", "OGG-VORBIS", "OGG-OPUS", "MP3-MPEG_LAYER_III"),
    "sequence": ("NPY", "NPY-F8"),
}
ALL = [(kind, form) for kind, forms in FILES.items() for form in forms]


@functools.cache
def whole(kind: str, form: str) -> bytes:
    """A file that can be read."""
    random, file = np.random.default_rng(0), io.BytesIO()
    first, _, more = form.partition("-")
    if kind == "audio":
        soundfile.write(file, random.normal(0, 0.1, 2400).astype(np.float32), 8000, format=first, subtype=more)
    elif kind == "sequence":
        np.save(file, random.normal(size=(20, 3)).astype("f8" if more else "f4"))
    else:
        pixels = random.integers(0, 256, (20, 24, 4 if more == "RGBA" else 3), dtype=np.uint8)
        picture = Image.fromarray(pixels)
        if more in ("16", "F"):
            picture = Image.fromarray((pixels[..., 0] * 200.0).astype("u2" if more == "16" else "f4"))
        picture.save(file, first, **({"compression": "tiff_lzw"} if more == "LZW" else {}))
    return file.getvalue()


def read(kind: str, content: bytes) -> np.ndarray | None:
    """The item, checked; None where there is a reason instead."""
    part = load(modalities.TABLE, CHOSEN[kind].kind)
    try:
        digest, item, *_ = part.load(CHOSEN[kind], content, Path())
    except (Absent, Unreadable) as error:
        assert str(error) and len(str(error)) < 400
        return None
    shape, dtype = part.stored(CHOSEN[kind])
    assert len(digest) == 32 and str(item.dtype) == dtype and np.isfinite(item).all()
    assert item.ndim == len(shape) and all(w in (g, None) for w, g in zip(shape, item.shape, strict=True))
    return item


@pytest.mark.parametrize(("kind", "form"), ALL)
def test_a_whole_file_is_read(kind, form):
    assert read(kind, whole(kind, form)) is not None


CHANGES = st.lists(
    st.tuples(st.sampled_from(["byte", "number", "cut", "insert"]), st.floats(0, 1), st.integers(0, 2**32 - 1)),
    min_size=1,
    max_size=6,
)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("kind", "form"), ALL)
@budget(deadline=None, max_examples=15)
@given(changes=CHANGES)
@example(changes=[("number", 0.02, 2**32 - 1), ("number", 0.03, 2**31)])
def test_a_file_with_wrong_bytes_is_read_or_has_a_reason(kind, form, changes):
    check_wrong_bytes(kind, form, changes)


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("kind", "form"), ALL)
@budget(deadline=None, max_examples=60)
@given(changes=CHANGES)
def test_a_file_with_any_wrong_bytes_is_read_or_has_a_reason(kind, form, changes):
    check_wrong_bytes(kind, form, changes)


def check_wrong_bytes(kind, form, changes):
    content = bytearray(whole(kind, form))
    for change, share, number in changes:
        at = int(share**3 * max(len(content) - 1, 0))  # most of them in the header
        if change == "byte":
            content[at : at + 1] = bytes([number % 256])
        elif change == "number":
            content[at : at + 4] = number.to_bytes(4, "little")
        elif change == "cut":
            del content[at : at + number % 60]
        else:
            content[at:at] = number.to_bytes(4, "big") * (number % 4)
    read(kind, bytes(content))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("kind", "form"), ALL)
def test_a_file_that_was_cut_off_isn_t_half_read(kind, form):
    content = whole(kind, form)
    for share in (0.0, 0.01, 0.1, 0.3, 0.6, 0.9, 0.99):
        found = read(kind, content[: int(share * len(content))])
        assert found is None or np.array_equal(found, read(kind, content))  # only the end's own mark is lost


@pytest.mark.parametrize("kind", CHOSEN)
@budget(deadline=None, max_examples=40)
@given(st.binary(max_size=400))
@example(b"\0" * 5000)
@example(b"RIFF\xff\xff\xff\xffWAVE")
@example(b"ID3\x04\0\0\x7f\x7f\x7f\x7f")
@example(b"OggS")
@example(b"\x93NUMPY\x01\0\xff\xff")
def test_what_is_no_such_file_has_a_reason(kind, content):
    assert read(kind, content) is None


@pytest.mark.parametrize("kind", CHOSEN)
def test_a_file_of_another_kind_has_a_reason(kind):
    for other, form in ALL:
        if other != kind:
            assert read(kind, whole(other, form)) is None


def png_that_says(width: int, height: int) -> bytes:
    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(b"\0" * 2_000_000)  # two kB that become two MB
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("width", "height"), [(8001, 8001), (10_000, 10_000), (60_000, 60_000), (2**31 - 1, 1), (0, 5)]
)
def test_bombs_are_not_opened(width, height):
    assert read("image", png_that_says(width, height)) is None


def flac_that_says(samples: int) -> bytes:
    """Its header promises so many samples; 2,400 follow."""
    content = bytearray(whole("audio", "FLAC-PCM_16"))
    field = int.from_bytes(content[18:26], "big") & ~(2**36 - 1)
    content[18:26] = (field | samples).to_bytes(8, "big")
    return bytes(content)


@pytest.mark.parametrize("samples", [2401, 10**6, 2**36 - 1])
def test_a_flac_that_promises_more_is_cut_off(samples):
    assert read("audio", flac_that_says(2400)) is not None
    assert read("audio", flac_that_says(samples)) is None
