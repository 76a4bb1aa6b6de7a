"""The example's preprocessing, bit for bit against Python's, on what chance draws and what is meant to break it."""

from __future__ import annotations

import base64
import io
import json
import math
import random
import struct
import zlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import PIL
import pytest
from PIL import Image

from suffuse.modalities import audio_ops, image, tabular, text

pytestmark = pytest.mark.slow

OLD = int(PIL.__version__.split(".")[0]) < 13  # resizes what shrinks more in height in another order
TEXTS = [
    "What shape is in the image?",
    "  tabs\tand\nlines\u3000wide\u00a0hard \x1c\x85 ",
    "İstanbul ΣΑΣ straße ﬁ ǅ",
    "请问 这是什么？圆形！",
    "e\u0301 versus \u00e9, q\u0307\u0323",
    "emoji 👩‍👩‍👧 and flags 🇩🇪",
    "don't we'll I'm 'tis rock'n'roll",
    "1,234.5 ½ ² ٣ x_y-z --- ...",
    "हिन्दी தமிழ் العربية עברית",
    "[PAD] [UNK] <s> \ufeffbom",
    "a\x00b",
    "x" * 300,
    "",
    " \t ",
]


def png(picture: Image.Image, **how) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG", **how)
    return file.getvalue()


def drawn(seed: int) -> bytes:
    """A PNG of any mode and shape."""
    noise = np.random.default_rng(seed)
    sides = [1, 2, 3, 7, 16, 33, 64, 65, 200]
    width, height = int(noise.choice(sides)), int(noise.choice(sides))
    mode = ["RGB", "RGBA", "L", "LA", "P", "PA", "1", "P256"][seed % 8]
    bands = {"RGB": 3, "RGBA": 4, "L": 1, "LA": 2, "1": 1}.get(mode, 3)
    array = noise.integers(0, 256, (height, width, bands), dtype=np.uint8)
    if mode == "1":
        return png(Image.fromarray(array[..., 0] > 127))
    if mode.startswith("P"):
        picture = Image.fromarray(array).quantize(256 if mode == "P256" else 16)
        return png(picture, **({"transparency": bytes(range(0, 256, 16))} if mode == "PA" else {}))
    return png(Image.fromarray(array[..., 0] if bands == 1 else array, mode))


@pytest.mark.parametrize("fit", ["pad", "crop", "stretch"])
@pytest.mark.parametrize("size", [16, 63])
def test_pictures_become_the_same_bits(ask, fit: str, size: int) -> None:
    files = [drawn(seed) for seed in range(64)]
    given = [base64.b64encode(f).decode() for f in files]
    facts = {"name": "p", "settings": {"column": "p", "fit": fit}, "statistics": {"size": size}}
    expression = f"""(p => given.map(base64 => Buffer.from(p.load({{base64}}, ".").item).toString("base64")))(
      m.picture({facts!r}.valueOf(), {{limits: {{}}}}))"""
    got = ask("picture.mjs", expression, given)
    settings = image.Settings(column="p", size=size, fit=fit)  # pyright: ignore[reportArgumentType]
    for number, (file, made) in enumerate(zip(files, got, strict=True)):
        with Image.open(io.BytesIO(file)) as picture:
            width, height = picture.size
        if OLD and height - size > max(0, 2 * (width - size)):
            continue
        expected = image.decode(settings, file)
        np.testing.assert_array_equal(
            np.frombuffer(base64.b64decode(made), np.uint8).reshape(size, size, 3), expected, str(number)
        )


ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def interlaced(array: np.ndarray, depth: int = 8) -> bytes:
    """(H, W) or (H, W, 3) uint8 -> an interlaced PNG, which Pillow reads and doesn't write."""
    passes = [array[top::down, left::across] for left, top, across, down in ADAM7]
    rows = b"".join(b"\0" + row.tobytes() for part in passes if part.size for row in part)
    head = struct.pack(">IIBBBBB", array.shape[1], array.shape[0], depth, 2 if array.ndim == 3 else 0, 0, 0, 1)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    parts = [struct.pack(">I", len(c)) + n + c + struct.pack(">I", zlib.crc32(n + c)) for n, c in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize("colours", [1, 3])
def test_interlaced_pictures_and_a_transparent_colour_become_the_same_bits(ask, colours: int) -> None:
    noise = np.random.default_rng(colours)
    files = []
    for shape in ((16, 16), (9, 13), (1, 5), (3, 1)):
        array = noise.integers(0, 256, (*shape, 3) if colours == 3 else shape, dtype=np.uint8)
        chosen = tuple(map(int, array[0, 0])) if colours == 3 else int(array[0, 0])
        files += [interlaced(array), png(Image.fromarray(array), transparency=chosen)]
    expression = """given.map(one => Buffer.from(m.decoded(Buffer.from(one, "base64")).data).toString("base64"))"""
    got = ask("picture.mjs", expression, [base64.b64encode(f).decode() for f in files])
    for file, made in zip(files, got, strict=True):
        with Image.open(io.BytesIO(file)) as picture:
            expected = np.asarray(image._rgb(picture, None))
        np.testing.assert_array_equal(np.frombuffer(base64.b64decode(made), np.uint8), expected.reshape(-1))


@pytest.mark.parametrize("columns, most", [(("a", "b", "c"), None), ("a", 3)])
def test_several_pictures_of_a_row_become_the_same_bits(ask, columns, most) -> None:
    files = [{"base64": base64.b64encode(drawn(seed)).decode()} for seed in (0, 1, 2)]
    broken, none = {"base64": base64.b64encode(b"broken").decode()}, None
    rows = [files, files[:2], [none, files[0]], [broken, files[1], none], [none] * 3, [broken, none], files + files, []]
    named = isinstance(columns, tuple)
    given = [dict(zip("abc", row, strict=False)) for row in rows] if named else rows
    settings = image.Settings(column=columns, max_images=most, size=16)
    facts = {"settings": settings.model_dump(), "statistics": {"size": 16, "places": 3}}
    expression = f"""(p => given.map(row => {{ try {{ const {{item, partly}} = p.load(row, ".");
      return [Buffer.from(item).toString("base64"), partly ?? ""]; }} catch (error) {{ return error.message; }} }}))(
      m.picture({json.dumps(facts)}, {{limits: {{}}}}))"""
    for row, found in zip(given, ask("picture.mjs", expression, given), strict=True):
        cells = [v and {"bytes": base64.b64decode(v["base64"])} for v in (row.values() if named else row)]
        try:
            value = dict(zip("abc", cells, strict=False)) if named else cells
            _, item, remark = image.load(settings, value, Path())
        except Exception as error:
            assert isinstance(found, str) and found.split(":")[0] == str(error).split(":")[0], (row, found, error)
            continue
        assert base64.b64decode(found[0]) == item.tobytes()
        assert found[1].split(":")[0] == remark.split(":")[0]


def test_pictures_that_could_differ_are_refused(ask) -> None:
    jpeg, exif = io.BytesIO(), Image.Exif()
    Image.new("RGB", (8, 8)).save(jpeg, "JPEG")
    exif[0x0112] = 6
    deep = Image.fromarray(np.zeros((8, 8), np.uint16))
    whole = png(Image.new("RGB", (64, 64), "red"))
    files = [
        interlaced(np.zeros((8, 8), np.uint8), depth=4),
        jpeg.getvalue(),
        png(deep),
        png(Image.new("RGB", (8, 8)), exif=exif),
        whole[:-30],
        b"",
        b"\x89PNG\r\n\x1a\n",
    ]
    given = [base64.b64encode(f).decode() for f in files]
    tried = """given.map(one => { try { m.decoded(Buffer.from(one, "base64")); return ""; }
      catch (error) { return `${error.constructor.name}: ${error.message}`; } })"""
    got = ask("picture.mjs", tried, given)
    words = ["interlaced", "not a PNG", "16 bits", "EXIF", "broken", "not a PNG", "broken"]
    assert [w for w, said in zip(words, got, strict=True) if said.startswith("Unreadable") and w in said] == words, got


@pytest.mark.parametrize("tokens", ["words", "bpe", "ngrams"])
@pytest.mark.parametrize("lowercase", [True, False])
def test_texts_become_the_same_tokens(ask, tokens: str, lowercase: bool) -> None:
    noise = random.Random(3)
    letters = "".join(TEXTS) + "abc éßøñ \u2028\u202f'’-_.,!?09٠１ΩЖ字\U0001f600\u0301\u200d"
    made = ["".join(noise.choices(letters, k=noise.randrange(1, 60))) for _ in range(300)]
    settings = text.Settings(column="t", tokens=tokens, lowercase=lowercase, vocabulary=400, length=40)  # pyright: ignore
    known = [text.decode(settings, t) for t in TEXTS + made[:150] if t.replace("\x00", " ").strip()]
    facts = text.fit(settings, known)
    tokenizer = facts.pop("tokenizer")
    given = {"texts": TEXTS + made, "tokenizer": tokenizer, "settings": settings.model_dump(), "statistics": facts}
    expression = """(t => given.texts.map(one => {
      try { return t.load(one).item; } catch (error) { return error.message; } }))(
      m.text({name: "t", ...given}, {tokenizer: JSON.parse(given.tokenizer), limits: {}}))"""
    got = ask("text.mjs", expression, given)
    for one, ids in zip(TEXTS + made, got, strict=True):
        try:
            _, item = text.load(settings, one, SimpleNamespace())  # pyright: ignore[reportArgumentType]
        except Exception as error:
            assert ids == str(error), repr(one)
            continue
        assert ids == text.encode(settings, {**facts, "tokenizer": tokenizer}, [item])[0].tolist(), repr(one)


CELLS = [
    "1",
    "1.0",
    "-2.5e3",
    " 7 ",
    "1,5",
    "nan",
    "",
    None,
    True,
    3,
    2.5,
    1e300,
    1e17,
    0.1,
    "red",
    "Red ",
    "blue\u00a0sky",
    1e-7,
    "2024-02-29",
    "2023-02-29",
    "2024/3/5 14:30",
    "1969-12-31T23:59:59.5+05:30",
    "5.3.2024",
    "3/4/2020",
    "13-4-2020 7:05 Z",
    "5 March 2024",
    "Sept 5, 2024",
    "Mai 5, 2024",
    "0001-01-01",
    "0000-01-01",
    "2024-01-01 24:00",
]


@pytest.mark.parametrize("day_first", [True, False, None])
def test_columns_become_the_same_numbers(ask, day_first: bool | None) -> None:
    noise = random.Random(1)
    types = {"a": "number", "b": "category", "c": "category", "d": "date"}
    settings = tabular.Settings(column=tuple(types), types=types, day_first=day_first)  # pyright: ignore
    rows = [
        {"a": noise.gauss(5, 2), "b": noise.choice(["red", "blue sky", "1"]), "c": noise.choice([0, 1, 2.0])}
        | {"d": f"20{noise.randrange(10, 30)}-{noise.randrange(1, 13)}-{noise.randrange(1, 29)}"}
        for _ in range(90)
    ]
    known = [tabular.load(settings, row, None)[1] for row in rows]  # pyright: ignore[reportArgumentType]
    facts = tabular.fit(settings, known)
    asked = [{k: noise.choice(CELLS) for k in types if noise.random() < 0.9} for _ in range(400)]
    asked += [{"a": [1]}, {"a": "x"}, *({"d": cell} for cell in CELLS)]
    given = {"settings": settings.model_dump(), "statistics": facts, "rows": asked}
    expression = """(t => given.rows.map(row => {
      try { const {item, partly} = t.load(row); return [[...item], partly ?? ""]; }
      catch (error) { return error.message; } }))(
      m.tabular({name: "t", ...given}))"""
    got = ask("tabular.mjs", expression, given)
    for row, found in zip(asked, got, strict=True):
        try:
            _, item = tabular.load(settings, row, None)  # pyright: ignore[reportArgumentType]
        except Exception as error:
            assert isinstance(found, str), (row, error)
            continue
        exact = tabular.encode(settings, facts, [item])[0].tolist()
        assert found[0] == pytest.approx(exact, rel=1e-6, abs=1e-6), row  # two sines may differ in the last bit
        assert bool(found[1]) == bool(tabular.problems(settings, facts, [item])), row


@pytest.mark.parametrize(
    "rate, mels, window, hop", [(8000, 24, 25.0, 10.0), (16_000, 64, 25.0, 10.0), (22_050, 40, 46.4, 20.0)]
)
def test_sounds_become_the_same_power(ask, rate: int, mels: int, window: float, hop: float) -> None:
    noise = np.random.default_rng(2)
    time = np.arange(rate) / rate
    samples = (0.3 * np.sin(2 * math.pi * 300 * time * (1 + time)) + 0.01 * noise.normal(size=rate)).astype(np.float32)
    samples[: rate // 5] *= 1e-4
    length, step = max(round(rate * window / 1000), 1), max(round(rate * hop / 1000), 1)
    expression = """(s => { const kept = m.trimmed(s, 40, given.window, given.hop);
      return [kept.length, m.logMel(kept, given.rate, given.mels, given.window, given.hop)]; })(
      Float32Array.from(given.samples))"""
    given = {"samples": samples.tolist(), "rate": rate, "mels": mels, "window": length, "hop": step}
    count, got = ask("mel.mjs", expression, given)
    kept = audio_ops.trimmed(samples, 40, length, step)
    assert count == len(kept) < len(samples)
    np.testing.assert_allclose(got, audio_ops.log_mel(kept, rate, mels, length, step), atol=1e-9)


def test_numbers_of_sixteen_bits_are_rounded_alike(ask) -> None:
    noise = np.random.default_rng(4)
    values = np.concatenate(
        [noise.normal(size=500) * 10.0 ** noise.integers(-9, 5, 500), [0, 2049, 2051, 65519, 65520, 6e-8, 3e-8]]
    )
    got = ask("sound.mjs", "given.map(x => m.half(x)).map(x => Number.isFinite(x) ? x : null)", values.tolist())
    with np.errstate(over="ignore"):
        expected = values.astype(np.float16).astype(np.float64)
    assert got == [x if math.isfinite(x) else None for x in expected.tolist()]


@pytest.mark.parametrize("kind", ["i2", "i4", "u1", "f4"])
@pytest.mark.parametrize("channels", [1, 2])
def test_wav_files_give_the_same_samples(ask, kind: str, channels: int) -> None:
    noise = np.random.default_rng(5)
    wave = noise.uniform(-0.9, 0.9, (101, channels))
    scaled = {"i2": wave * 32767, "i4": wave * (2**31 - 200), "u1": wave * 127 + 128, "f4": wave}[kind].astype(kind)
    content = audio_ops.as_wav(scaled, 8000)
    expression = "(w => [w.rate, [...w.samples]])(m.wav(Buffer.from(given, 'base64')))"
    rate, got = ask("wav.mjs", expression, base64.b64encode(content).decode())
    expected, _, _ = audio_ops.read(content)
    assert rate == 8000
    assert got == expected.astype(np.float64).tolist()
