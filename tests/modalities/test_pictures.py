"""Pictures as Python objects, of more than eight bits, several of a row, seen in views and damaged."""

from __future__ import annotations

import io
import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st
from PIL import Image

from suffuse.modalities import image, image_ops
from suffuse.modalities.cell import Absent, Unreadable

RGB = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
EIGHT = image.Settings(column="c", size=8)
FOUR = image.Settings(column=("a", "b", "c", "d"), size=8)
LIST = image.Settings(column="c", size=8, max_images=3)


def saved(picture: Image.Image, form: str = "PNG", **how) -> bytes:
    file = io.BytesIO()
    picture.save(file, form, **how)
    return file.getvalue()


def load(value: object, chosen: image.Settings = EIGHT, root: Path = Path()) -> np.ndarray:
    return image.load(chosen, value, root)[1]


# arrays and tensors


def test_arrays_and_tensors_of_any_layout_and_type():
    for way in (
        RGB,
        RGB.transpose(2, 0, 1),
        RGB / 255,
        (RGB / 255).astype(np.float32).transpose(2, 0, 1),
        RGB.astype(np.float64),
        RGB.astype(np.int64),
        RGB.astype(np.uint16) * 257,
        np.asfortranarray(RGB),
        torch.from_numpy(RGB),
        torch.from_numpy(RGB).permute(2, 0, 1),
        torch.from_numpy(RGB / 255).permute(2, 0, 1).requires_grad_(),
        Image.fromarray(RGB),
    ):
        assert np.array_equal(load(way), RGB), type(way)


def test_opencv_s_order_is_said_by_the_recipe():
    chosen = image.Settings(column="c", size=8, channels="bgr")
    assert np.array_equal(load(RGB[..., ::-1], chosen), RGB)
    assert np.array_equal(load(saved(Image.fromarray(RGB)), chosen), RGB)  # a file knows its order
    alpha = np.dstack([RGB[..., ::-1], np.full((8, 8), 255, np.uint8)])
    assert np.array_equal(load(alpha, chosen), RGB)
    gray = RGB[..., 0]
    assert np.array_equal(load(gray, chosen), np.repeat(gray[..., None], 3, 2))


def test_where_both_ends_could_be_the_channels():
    cube = np.random.default_rng(1).integers(0, 256, (3, 8, 3), dtype=np.uint8)
    chosen = image.Settings(column="c", size=8, fit="stretch")
    assert np.array_equal(load(cube, chosen), load(Image.fromarray(cube), chosen))  # an array: last
    first = Image.fromarray(np.ascontiguousarray(cube.transpose(1, 2, 0)))
    assert np.array_equal(load(torch.from_numpy(cube), chosen), load(first, chosen))  # a tensor: first


def test_fractions_are_not_black():
    values = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    expected = np.rint(255 * values)
    for way in (values, saved(Image.fromarray(values), "TIFF"), Image.fromarray(values)):
        assert np.abs(load(way)[..., 0] - expected).max() <= 1
    assert np.abs(load(saved(Image.fromarray(255 * values), "TIFF"))[..., 0] - expected).max() <= 1
    assert np.abs(load(saved(Image.fromarray(65_535 * values), "TIFF"))[..., 0] - expected).max() <= 1


def test_sixteen_bits_are_one_scale_however_dark():
    dark = np.full((8, 8), 200, np.uint16)
    assert (load(dark) == 1).all() and (load(saved(Image.fromarray(dark))) == 1).all()
    assert (load(Image.fromarray(dark.astype(np.int32))) == 200).all()  # of 32 bits, it is 8 in a large box


def test_colours_of_sixteen_bits():
    """Which Pillow can't write: a PNG by hand."""
    deep = RGB.astype(">u2") * 257
    lines = b"".join(b"\0" + row.tobytes() for row in deep)

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 16, 2, 0, 0, 0))
    content = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    assert np.array_equal(load(content), RGB)


def test_white_may_be_said():
    twelve = image.Settings(column="c", size=8, white=4095)
    deep = (np.arange(64, dtype=np.uint16) * 65).reshape(8, 8)
    expected = np.rint(deep / 4095 * 255)
    for way in (deep, saved(Image.fromarray(deep)), deep.astype(np.float32)):
        assert np.abs(load(way, twelve)[..., 0] - expected).max() <= 1
    assert (load(deep * 2, twelve)[-1, -1] == 255).all()  # beyond it: white
    assert np.array_equal(load(RGB, twelve), RGB)  # eight bits have their own


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.full((8, 8), np.nan), "NaN"),
        (np.full((8, 8), np.inf), "NaN"),
        (np.full((8, 8), -0.5), "which value is white"),
        (np.full((8, 8), 1e6), "which value is white"),
        (np.full((8, 8), -3, np.int16), "which value is white"),
        (np.zeros((8, 8, 3), complex), "not a picture"),
        (np.zeros((8, 8, 2)), "not a picture"),
        (np.zeros((1, 3, 8, 8)), "not a picture"),
        (np.array([["a"]]), "not a picture"),
        (torch.zeros(8, 8, dtype=torch.bfloat16), "can't be seen as an array"),
    ],
)
def test_arrays_without_a_scale_are_refused(array, reason):
    with pytest.raises(Unreadable, match=reason):
        load(array)


# large ones


def test_a_large_jpeg_is_decoded_smaller_and_looks_the_same():
    ramp = np.linspace(0, 255, 1600).astype(np.uint8)
    large = Image.fromarray(
        np.dstack([np.tile(ramp, (1600, 1)), np.tile(ramp[:, None], (1, 1600)), np.full((1600,) * 2, 90, "u1")])
    )
    chosen = image.Settings(column="c", size=32)
    fast, whole = load(saved(large, "JPEG", quality=95), chosen), load(saved(large), chosen)
    assert np.abs(fast.astype(int) - whole).max() <= 4


def test_a_hundred_megapixels_are_refused_before_they_are_decoded():
    content = saved(Image.new("L", (10_000, 10_000)))
    assert len(content) < 200_000
    with pytest.raises(Unreadable, match=r"10000 x 10000 pixels: too large|exceeds"):
        load(content)


# several of a row


def test_each_column_has_its_place(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "a.png")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    cell = {"a": "a.png", "b": None, "c": "broken.png", "d": RGB[::-1]}
    digest, item, remark = image.load(FOUR, cell, tmp_path)
    assert item.shape == (4, 8, 8, 4) and item.dtype == np.uint8
    assert np.array_equal(item[0, ..., :3], RGB) and np.array_equal(item[3, ..., :3], RGB[::-1])
    assert (item[[0, 3], ..., 3] == 255).all() and (item[[1, 2]] == 0).all()
    assert remark == "2 of 4 pictures missing: b: empty cell; c: not a picture in a known format"
    moved = image.load(FOUR, {**cell, "a": None, "b": "a.png"}, tmp_path)
    assert moved[0] != digest  # the same pictures at other places
    assert image.load(FOUR, dict(zip("abcd", [RGB] * 4, strict=True)), tmp_path)[2] == ""


def test_a_list_fills_places_from_the_first(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "a.png")
    ways = [
        ["a.png", RGB[::-1]],
        ("a.png", Image.fromarray(RGB[::-1])),
        np.array(["a.png", {"bytes": saved(Image.fromarray(RGB[::-1]))}], dtype=object),
    ]
    expected = image.load(LIST, ways[0], tmp_path)
    assert image.real(expected[1][None]).tolist() == [[True, True, False]] and expected[2] == ""
    for way in ways:
        assert np.array_equal(load(way, LIST, tmp_path), expected[1])
    as_json = json.dumps(["a.png", "a.png"])
    assert np.array_equal(load(as_json, LIST, tmp_path), load(["a.png", "a.png"], LIST, tmp_path))
    assert np.array_equal(load("a.png", LIST, tmp_path), load(["a.png"], LIST, tmp_path))
    assert np.array_equal(load(["a.png"], EIGHT, tmp_path), RGB)  # a list of one, where a row has one


def test_all_missing_is_absent_or_unreadable(tmp_path):
    for empty in (None, "", [], [None, ""], {"a": None, "b": "", "c": None, "d": float("nan")}):
        with pytest.raises(Absent):
            load(empty, FOUR if isinstance(empty, dict) else LIST, tmp_path)
    with pytest.raises(Unreadable, match="a: no such file"):
        load({"a": "gone.png", "b": None}, FOUR, tmp_path)
    for cell, chosen, reason in (
        ([RGB] * 4, LIST, "4 pictures, expected 3"),
        ([RGB, RGB], EIGHT, "2 pictures, expected one"),
        ('["a.png"', LIST, "not a JSON list"),
    ):
        with pytest.raises(Unreadable, match=reason):
            load(cell, chosen, tmp_path)


def test_settings_of_several():
    assert (EIGHT.places, FOUR.places, LIST.places) == (1, 4, 3)
    assert image.stored(FOUR) == ((4, 8, 8, 4), "uint8") and image.stored(EIGHT) == ((8, 8, 3), "uint8")
    with pytest.raises(ValueError, match="got max_images 2 for 3 columns"):
        image.Settings(column=("a", "b", "c"), max_images=2)


def test_statistics_are_of_real_pictures_alone():
    items = np.stack([load([RGB], LIST), load([RGB[::-1] // 2, RGB], LIST)])
    found = image.fit(LIST, items)
    pictures = np.concatenate([RGB, RGB[::-1] // 2, RGB]).reshape(-1, 3) / 255
    np.testing.assert_allclose(found["mean"], pictures.mean(0))
    np.testing.assert_allclose(found["std"], pictures.std(0))
    assert found["places"] == 3
    filled = items.copy()
    filled[~image.real(items), ..., :3] = 99
    assert image.fit(LIST, filled) == found


# views and damage

STILL = dict(zip(range(image_ops.DRAWS), [0.9, 0.5, 0.5, 0.5, 0.5, 0.5, 0.1, 0.5, 0.5], strict=True))


def draws(**changed: float) -> np.ndarray:
    names = ("flip", "down", "right", "zoom", "brightness", "contrast", "erase", "top", "left")
    return np.array([[changed.get(name, STILL[n]) for n, name in enumerate(names)]])


def view(how: dict, numbers: np.ndarray) -> np.ndarray:
    return image_ops.views(image_ops.View(**how), RGB[None], numbers)[0]


def test_every_change_does_what_it_says():
    every = {"flip": True, "shift": 0.5, "zoom": 0.5, "brightness": 1.0, "contrast": 1.0, "erase": 0.5}
    assert np.array_equal(view(every, draws()), RGB)  # in the middle of every range stands the picture itself
    assert np.array_equal(view({"flip": True}, draws(flip=0.1)), RGB[:, ::-1])
    down = view({"shift": 0.25}, draws(down=0.0))  # two rows lower; what is new repeats the edge
    assert np.array_equal(down[2:], RGB[:-2]) and (down[:2] == RGB[0]).all()
    left = view({"shift": 0.25}, draws(right=0.9999))
    assert np.array_equal(left[:, :-2], RGB[:, 2:]) and (left[:, -2:] == RGB[:, -1:]).all()
    near = view({"zoom": 0.5}, draws(zoom=0.9999))
    assert set(map(tuple, near.reshape(-1, 3))) <= set(map(tuple, RGB[1:7, 1:7].reshape(-1, 3)))
    bright = view({"brightness": 0.2}, draws(brightness=0.9999)).astype(int)
    assert np.abs(bright - np.minimum(RGB.astype(int) + 51, 255)).max() <= 1
    soft = view({"contrast": 0.5}, draws(contrast=0.0)).astype(int)
    assert np.abs(soft - (127.5 + (RGB - 127.5) / 2)).max() <= 1
    hidden = (view({"erase": 0.25}, draws(erase=0.9999)) == 127).all(2)
    assert hidden.sum() == 16 and not (view({"erase": 0.25}, draws(erase=0.4)) == 127).all(2).any()


@budget(deadline=None, max_examples=40)
@given(st.integers(0, 999), st.integers(1, 5), st.sampled_from(image_ops.DAMAGES))
def test_damage_is_replayed(seed, severity, kind):
    pictures = np.random.default_rng(seed).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
    found = image_ops.damaged(pictures, severity, seed, kind)
    assert np.array_equal(found, image_ops.damaged(pictures, severity, seed, kind)) and found.dtype == np.uint8
    assert np.array_equal(found[1:2], image_ops.damaged(pictures[1:2], severity, seed, kind))


def test_all_sorts_of_damage_come_by_chance():
    pictures = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 3), dtype=np.uint8)
    mixed = image_ops.damaged(pictures, 3, 0)
    alone = {kind: image_ops.damaged(pictures, 3, 0, kind) for kind in image_ops.DAMAGES}
    blurred = [np.array_equal(m, a) for m, a in zip(mixed, alone["blur"], strict=True)]
    assert 3 <= sum(blurred) <= 30  # about one in five; blur and JPEG draw nothing after the choice
