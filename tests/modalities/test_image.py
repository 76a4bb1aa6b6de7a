"""Pictures as they come: rotated, transparent, of sixteen bits, cut off, too large."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st
from PIL import Image

from suffuse.modalities import image
from suffuse.modalities.cell import Absent, Unreadable

EIGHT = image.Settings(column="c", size=8)
RED, GREEN, BLUE, GRAY = (255, 0, 0), (0, 255, 0), (0, 0, 255), (90, 90, 90)


def quarters() -> Image.Image:
    """Red, green / blue, gray."""
    picture = Image.new("RGB", (8, 8), RED)
    picture.paste(GREEN, (4, 0, 8, 4))
    picture.paste(BLUE, (0, 4, 4, 8))
    picture.paste(GRAY, (4, 4, 8, 8))
    return picture


def saved(picture: Image.Image, form: str, **how) -> bytes:
    file = io.BytesIO()
    picture.save(file, form, **how)
    return file.getvalue()


def load(value: object, chosen: image.Settings = EIGHT, root: Path = Path()) -> np.ndarray:
    return image.load(chosen, value, root)[1]


EXACT = np.asarray(quarters())


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF", "GIF", "WEBP"])
def test_formats_without_loss_are_read_exactly(form):
    assert (load(saved(quarters(), form, **({"lossless": True} if form == "WEBP" else {}))) == EXACT).all()


def test_jpeg_is_read_nearly():
    found = load(saved(quarters(), "JPEG", quality=95, subsampling=0)).astype(int)
    assert np.abs(found - EXACT).max() < 40
    assert np.abs(found - EXACT).mean() < 5


def test_exif_rotation_is_applied():
    for turn, orientation in ((Image.Transpose.ROTATE_90, 6), (Image.Transpose.ROTATE_180, 3)):
        exif = Image.Exif()
        exif[0x0112] = orientation
        content = saved(quarters().transpose(turn), "PNG", exif=exif)
        assert (load(content) == EXACT).all()
        as_picture = Image.open(io.BytesIO(content))  # the same where Pillow's object is given
        assert (load(as_picture) == EXACT).all()


def test_transparency_is_laid_on_white():
    picture = quarters().convert("RGBA")
    picture.putpixel((0, 0), (0, 0, 0, 0))
    picture.putpixel((1, 0), (0, 0, 0, 128))
    for content in (saved(picture, "PNG"), saved(picture, "WEBP", lossless=True, exact=True)):
        found = load(content)
        assert found[0, 0].tolist() == [255, 255, 255]
        assert found[0, 1].tolist() == [127, 127, 127]
        assert (found[1:] == EXACT[1:]).all()


def test_palettes_with_and_without_transparency():
    palette = quarters().quantize(8)
    assert (load(saved(palette, "PNG")) == EXACT).all()
    see_through = palette.getpixel((0, 0))
    found = load(saved(palette, "PNG", transparency=see_through))
    assert (found[:4, :4] == 255).all()
    assert (found[4:] == EXACT[4:]).all()


def test_gray_gray_with_alpha_and_one_bit():
    gray = quarters().convert("L")
    expected = np.repeat(np.asarray(gray)[..., None], 3, axis=2)
    assert (load(saved(gray, "PNG")) == expected).all()
    assert (load(saved(gray.convert("LA"), "PNG")) == expected).all()
    assert set(np.unique(load(saved(gray.convert("1", dither=Image.Dither.NONE), "PNG")))) == {0, 255}


def test_sixteen_bits_keep_their_brightness():
    deep = (np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000)[::-1]
    found = load(saved(Image.fromarray(deep), "PNG"))
    assert np.abs(found[..., 0] - deep / 257).max() <= 1
    assert (found == found[..., :1]).all()
    assert (load(deep) == found).all()


def test_cmyk_comes_out_as_its_colours():
    found = load(saved(quarters().convert("CMYK"), "TIFF")).astype(int)
    assert np.abs(found - EXACT).max() <= 2
    photo = load(saved(quarters().convert("CMYK"), "JPEG", quality=95)).astype(int)
    assert np.abs(photo - EXACT).mean() < 12


def test_the_first_frame_of_an_animation():
    content = saved(quarters(), "GIF", save_all=True, append_images=[Image.new("RGB", (8, 8), BLUE)])
    assert (load(content) == EXACT).all()


def test_the_same_bits_by_every_way_in(tmp_path):
    content = saved(quarters().resize((13, 9)), "PNG")
    (tmp_path / "a.png").write_bytes(content)
    expected = load(content)
    ways = [
        "a.png",
        Path("a.png"),
        str(tmp_path / "a.png"),
        bytearray(content),
        memoryview(content),
        {"bytes": content, "path": None},
        {"bytes": content, "path": "elsewhere.png"},
        {"bytes": None, "path": "a.png"},
        Image.open(io.BytesIO(content)),
        np.asarray(Image.open(io.BytesIO(content))),
    ]
    for way in ways:
        assert (load(way, root=tmp_path) == expected).all(), way


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "CMYK", "YCbCr", "HSV", "LAB", "I;16"])
def test_pillow_s_pictures_of_any_mode(mode):
    picture = Image.fromarray(np.full((8, 8), 300, np.uint16)) if mode == "I;16" else quarters().convert(mode)
    assert load(picture).shape == (8, 8, 3)
    if mode in ("CMYK", "YCbCr"):
        assert np.abs(load(picture).astype(int) - EXACT).max() <= 3


@pytest.mark.parametrize("array", [np.zeros((8, 8, 5), np.uint8), np.zeros(8, np.uint8), np.zeros((0, 4, 3), np.uint8)])
def test_arrays_that_are_no_picture_are_refused(array):
    with pytest.raises(Unreadable):
        load(array)


@pytest.mark.filterwarnings("ignore:Truncated File Read")
@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "BMP", "TIFF"])
def test_a_file_that_was_cut_off_is_unreadable(form):
    noisy = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8))
    content = saved(noisy, form)
    for share in (0.02, 0.3, 0.7):
        with pytest.raises(Unreadable):
            load(content[: int(share * len(content))])


def test_what_isn_t_there_or_no_picture(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "vector.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    for cell, reason in (
        ("gone.png", "no such file"),
        ("folder", "directory"),
        ("empty.png", "the file is empty"),
        ("text.png", "known format"),
        ("vector.svg", "known format"),
        ("\0", "can't read the file"),
        ("x" * 5000, "can't read the file"),
        (7, "no such file"),
    ):
        with pytest.raises(Unreadable, match=reason):
            load(cell, root=tmp_path)
    for empty in (None, float("nan"), "", " ", {}, {"bytes": None, "path": None}, {"bytes": b"", "path": ""}):
        with pytest.raises(Absent):
            load(empty, root=tmp_path)


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says it is large."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [8001, 9000, 60_000, 2**31 - 1])
def test_a_picture_that_would_fill_the_memory_is_refused(side):
    with pytest.raises(Unreadable, match=r"large|exceeds"):
        load(bomb(side, side))
    assert side * side > image.MAX_PIXELS


def test_padding_is_white_and_cropping_keeps_the_middle():
    wide = Image.new("RGB", (32, 8), RED)
    wide.paste(BLUE, (12, 0, 20, 8))
    padded = load(saved(wide, "PNG"))
    assert (padded[0] == 255).all() and (padded[-1] == 255).all()
    assert (padded[3, 0] == RED).all()
    cropped = load(saved(wide, "PNG"), image.Settings(column="c", size=8, fit="crop"))
    assert (cropped[:, 1:-1] == BLUE).all()
    stretched = load(saved(wide, "PNG"), image.Settings(column="c", size=8, fit="stretch"))
    assert (stretched[:, 0] == RED).all() and not (stretched == 255).all(2).any()


@budget(deadline=None, max_examples=25)
@given(st.integers(1, 300), st.integers(1, 4), st.sampled_from(["pad", "crop", "stretch"]), st.booleans())
def test_any_shape_of_picture_becomes_square(long, short, fit, upright):
    size = (short, long) if upright else (long, short)
    found = load(Image.new("RGB", size, RED), image.Settings(column="c", size=8, fit=fit))
    assert found.shape == (8, 8, 3) and found.dtype == np.uint8
    assert (found.astype(int)[..., 0] - found[..., 1] > 100).any()  # thin ones are blurred, none is lost


@budget(deadline=None, max_examples=20)
@given(st.integers(1, 700), st.integers(0, 5))
def test_statistics_are_mean_and_deviation(count, seed):
    items = np.random.default_rng(seed).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    found = image.fit(EIGHT, items)
    np.testing.assert_allclose(found["mean"], (items / 255).mean((0, 1, 2)), rtol=1e-9)
    np.testing.assert_allclose(found["std"], (items / 255).std((0, 1, 2)), rtol=1e-6)


def test_pictures_of_one_colour_have_a_deviation_to_divide_by():
    found = image.fit(EIGHT, np.full((3, 8, 8, 3), 255, np.uint8))
    assert found["mean"] == [1, 1, 1]
    assert min(found["std"]) > 0
