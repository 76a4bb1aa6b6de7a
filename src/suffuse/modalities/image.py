"""Pictures: path, bytes or array -> (size, size, 3) uint8, RGB, by Pillow alone.

EXIF rotation is applied, transparency is laid on white, the first frame of an animation is taken. The same
lines run in training and in the torch-free predictor, so both see the same bits.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from pydantic import Field

from ..parts import ModalitySettings
from .cell import Absent, Unreadable, is_empty

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")
MAX_PIXELS = 64_000_000  # a larger picture is refused before it is decoded
PADDING = (255, 255, 255)
RESIZE = Image.Resampling.BILINEAR


class Settings(ModalitySettings):
    """Settings of an image modality."""

    kind: Literal["image"] = "image"
    size: int = Field(64, ge=8, le=1024)  # pixels, both sides
    fit: Literal["pad", "crop", "stretch"] = "pad"  # how a picture that isn't square becomes so


def load(settings: Settings, value: Any, root: Path) -> tuple[str, np.ndarray]:
    """A cell -> hash of the file's bytes and the picture (size, size, 3) uint8.

    ``value`` is a path (relative to ``root``), bytes, {bytes, path}, an array or a Pillow picture.
    """
    content = _content(value, root)
    return hashlib.blake2b(content, digest_size=16).hexdigest(), decode(settings, content)


def decode(settings: Settings, content: bytes) -> np.ndarray:
    """Bytes -> (size, size, 3) uint8. Raises Unreadable with the decoder's reason."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit below is stricter
            with Image.open(io.BytesIO(content), formats=FORMATS) as picture:
                if picture.width * picture.height > MAX_PIXELS:
                    raise Unreadable(f"{picture.width} x {picture.height} pixels: too large")
                return np.asarray(_square(_rgb(picture), settings))
    except UnidentifiedImageError:
        raise Unreadable("not a picture in a known format") from None
    except Unreadable:
        raise
    except Exception as error:  # Pillow's decoders raise many kinds on broken files
        raise Unreadable(f"broken picture: {error}") from None


def stored(settings: Settings) -> tuple[tuple[int, ...], str]:
    """Shape and dtype of one decoded item."""
    return (settings.size, settings.size, 3), "uint8"


def blank(settings: Settings) -> np.ndarray:
    """What fills an absent slot."""
    return np.zeros((settings.size, settings.size, 3), dtype=np.uint8)


def fit(settings: Settings, items: np.ndarray) -> dict:
    """Mean and standard deviation per channel (of values in 0..1) over training pictures (U, H, W, 3)."""
    total, square, count = np.zeros(3), np.zeros(3), 0
    for start in range(0, len(items), 256):
        chunk = np.asarray(items[start : start + 256], dtype=np.float64).reshape(-1, 3) / 255
        total, square, count = total + chunk.sum(0), square + (chunk**2).sum(0), count + len(chunk)
    mean = total / max(count, 1)
    deviation = np.sqrt(np.maximum(square / max(count, 1) - mean**2, 1e-6))
    return {"size": settings.size, "mean": mean.tolist(), "std": deviation.tolist()}


def encode(settings: Settings, statistics: dict, items: list[np.ndarray] | np.ndarray) -> np.ndarray:
    """Decoded pictures -> (U, size, size, 3) uint8; the model itself subtracts the mean."""
    return np.asarray(items, dtype=np.uint8).reshape(-1, settings.size, settings.size, 3)


def _content(value: Any, root: Path) -> bytes:
    if isinstance(value, dict):  # the Hugging Face form
        value = value.get("bytes") or value.get("path")
    if is_empty(value):
        raise Absent("empty cell")
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, (np.ndarray, Image.Image)):
        return as_png(value)
    try:
        return (root / str(value)).read_bytes()
    except FileNotFoundError:
        raise Unreadable("no such file") from None
    except (OSError, ValueError) as error:
        raise Unreadable(f"can't read the file: {getattr(error, 'strerror', None) or error}") from None


def _rgb(picture: Image.Image) -> Image.Image:
    """Upright, first frame, three channels."""
    picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith("I") or picture.mode == "F":  # 16 and 32 bits: scale to what is there
        values = np.asarray(picture, dtype=np.float64)
        top = 65535.0 if values.max(initial=0) > 255 else 255.0
        return Image.fromarray(np.clip(values / top * 255, 0, 255).astype(np.uint8)).convert("RGB")
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        ground = Image.new("RGBA", picture.size, (*PADDING, 255))
        picture = Image.alpha_composite(ground, picture)
    return picture.convert("RGB")


def _square(picture: Image.Image, settings: Settings) -> Image.Image:
    """To size x size, by the recipe's way."""
    size = (settings.size, settings.size)
    if picture.size == size:
        return picture
    if settings.fit == "stretch":
        return picture.resize(size, RESIZE)
    if settings.fit == "crop":
        return ImageOps.fit(picture, size, RESIZE)
    least = -(-max(picture.size) // settings.size)  # what is narrower than this would vanish
    if min(picture.size) < least:
        picture = picture.resize((max(picture.width, least), max(picture.height, least)), RESIZE)
    return ImageOps.pad(picture, size, RESIZE, color=PADDING)


def as_png(value: np.ndarray | Image.Image) -> bytes:
    """An array (H, W), (H, W, 3) RGB or (H, W, 4), uint8, or a Pillow picture, as PNG bytes (lossless)."""
    try:
        if isinstance(value, np.ndarray) and (value.ndim not in (2, 3) or value.dtype.kind not in "bu"):
            raise Unreadable(f"not a picture: an array {value.shape} of {value.dtype}, expected (H, W, 3) of uint8")
        picture = value if isinstance(value, Image.Image) else Image.fromarray(value)
        file = io.BytesIO()
        _rgb(picture).save(file, "PNG", compress_level=1)  # PNG keeps neither EXIF nor every mode
    except (TypeError, ValueError, OSError, SystemError) as error:
        raise Unreadable(f"not a picture: {error}") from None
    return file.getvalue()
