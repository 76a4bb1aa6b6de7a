"""Pictures: path, bytes or array -> (size, size, 3) uint8, RGB; several of a row (P, size, size, 4). Pillow alone.

EXIF rotation is applied, transparency is laid on white, the first frame of an animation is taken. Of several
pictures the fourth channel is 255 where there is one and 0 in an empty place. The same lines run in training and in
the torch-free predictor, so both see the same bits.

What is white: 255 of 8 bits, 65535 of 16 bits; of fractions and of whole numbers of 32 bits and more the least of
1 (fractions only), 255 and 65535 that no value exceeds, unless ``white`` says it.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from pydantic import Field, FiniteFloat, model_validator

from ..registry import ModalitySettings, PartDocs
from ..registry import Settings as Base
from ..registry import Statistics as BaseStatistics
from . import image_ops
from .cell import MAX_PIXELS, Absent, Root, Unreadable, as_array, content, from_json, is_empty, limits_of

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")
PADDING = (255, 255, 255)
RESIZE = Image.Resampling.BILINEAR
DRAWS, DAMAGES = image_ops.DRAWS, image_ops.DAMAGES
LAYOUT = "uint8 (rows, size, size, 3), RGB"
SEVERAL = "uint8 (rows, {places}, size, size, 4), RGB, and 255 where there is a picture"

DOCS = PartDocs(
    summary=(
        "JPEG, PNG, WebP, GIF (first frame), BMP or TIFF to (size, size, 3) uint8 RGB, decoded by Pillow. EXIF "
        "rotation is applied; transparency is composited on white."
    ),
    example="photo: {kind: image, column: photo, size: 96, fit: crop}",
)
EXAMPLES = (
    {"size": 8, "fit": "pad"},
    {"size": 8, "fit": "crop"},
    {"size": 8, "fit": "stretch"},
    {"size": 8, "max_images": 3},
    {"size": 8, "column": ["front", "side"]},
)
AUGMENTED = {"flip": True, "shift": 0.2, "zoom": 0.2, "brightness": 0.2, "contrast": 0.2, "erase": 0.3}


class Augment(Base):
    """How far a training view may differ from the picture."""

    flip: bool = Field(default=False, description="Mirror half of the views horizontally.")
    shift: float = Field(
        default=0.0, ge=0, le=0.5, description="Largest shift in each direction, as a share of the side."
    )
    zoom: float = Field(default=0.0, ge=0, le=0.5, description="Largest zoom: 0.1 scales by 0.9 to 1.1.")
    brightness: float = Field(default=0.0, ge=0, le=1, description="Largest change of brightness, as a share of white.")
    contrast: float = Field(
        default=0.0, ge=0, le=1, description="Largest change of contrast: 0.2 scales by 0.8 to 1.2."
    )
    erase: float = Field(
        default=0.0,
        ge=0,
        le=0.5,
        description="Largest share of the area that a gray square hides in half of the views (Zhong et al. 2020).",
    )


class Settings(ModalitySettings):
    """Settings of an image modality."""

    kind: Literal["image"] = "image"
    column: str | tuple[str, ...] = Field(description="Column, or a list of columns: several pictures per row.")
    size: int = Field(default=64, ge=8, le=1024, description="Height and width in pixels.")
    fit: Literal["pad", "crop", "stretch"] = Field(
        default="pad", description="How a picture becomes square: `pad`, `crop` or `stretch`."
    )
    max_images: int | None = Field(
        default=None, ge=1, le=32, description="Largest number of pictures per row. Default: the number of columns."
    )
    channels: Literal["rgb", "bgr"] = Field(
        default="rgb",
        description="Channel order of arrays and tensors, `rgb` or `bgr` (OpenCV). Files define their own.",
    )
    white: float | None = Field(
        default=None,
        gt=0,
        description=(
            "Value of white in pixels with more than 8 bits, e.g. 4095 for a 12-bit scanner. Larger values are white "
            "too. Default: [by the values](modalities.md#image)."
        ),
    )
    augment: Augment | None = Field(
        default=None, description="Augmentation of training views, used if `train.augment` is set (next table)."
    )

    @property
    def places(self) -> int:
        """P: pictures that a row may have."""
        return self.max_images or len(self.columns)

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        if len(self.columns) > 1 and self.places != len(self.columns):
            raise ValueError(
                f"got max_images {self.max_images} for {len(self.columns)} columns, expected one picture of each"
            )
        return self


class Statistics(BaseStatistics):
    """Of the training pictures, as :func:`fit` has it."""

    size: int
    mean: list[FiniteFloat] = Field(min_length=3, max_length=3)
    std: list[FiniteFloat] = Field(min_length=3, max_length=3)
    places: int = 1

    def check(self, settings: Settings) -> None:
        """Raises ValueError where a picture would have another size."""
        if (self.size, self.places) != (settings.size, settings.places):
            got = f"{self.places} pictures of {self.size} pixels"
            raise ValueError(f"got {got}, and settings of {settings.places} of {settings.size}")


def load(settings: Settings, value: Any, root: Path | Root) -> tuple[str, np.ndarray] | tuple[str, np.ndarray, str]:
    """A cell -> hash of the files' bytes and the picture (size, size, 3) uint8, or (P, size, size, 4) and what of
    it is missing.

    A picture is a path, bytes, {bytes, path}, an array or tensor, or a Pillow picture. Several are a dictionary
    column -> picture where ``column`` names several, else a list of them, or its JSON.
    """
    if settings.places == 1:
        found = content(packed(settings, _single_picture(value)), root)
        return _digest(found), decode(settings, found, limits_of(root).pixels)
    names, pictures = _several(settings, value)
    item, digests, missing, broken = blank(settings), [], [], False
    for place, (name, picture) in enumerate(zip(names, pictures, strict=True)):
        try:
            found = content(packed(settings, picture), root)
            item[place, ..., :3], item[place, ..., 3] = decode(settings, found, limits_of(root).pixels), 255
            digests.append(found)
        except (Absent, Unreadable) as error:
            if isinstance(error, Unreadable) and isinstance(root, Root) and root.strict:
                raise Unreadable(f"{name}: {error}") from None
            digests.append(b"")
            missing.append(f"{name}: {error}")
            broken = broken or isinstance(error, Unreadable)
    if len(missing) == len(pictures):
        raise (Unreadable if broken else Absent)("no picture: " + "; ".join(missing))
    remark = f"{len(missing)} of {len(pictures)} pictures missing: " + "; ".join(missing) if missing else ""
    return _digest(b"".join(_digest(d).encode() for d in digests)), item, remark


def decode(settings: Settings, content: bytes, pixels: int = MAX_PIXELS) -> np.ndarray:
    """Bytes -> (size, size, 3) uint8. Raises Unreadable with the decoder's reason, and beyond so many pixels before
    one of them is decoded."""
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as picture:
            if picture.width * picture.height > pixels:
                raise Unreadable(f"{picture.width} x {picture.height} pixels: too large, expected at most {pixels:,}")
            # a JPEG far larger than needed is decoded at a half, a quarter or an eighth of its size
            picture.draft(None, (2 * settings.size, 2 * settings.size))
            made = _square(_rgb(picture, settings.white), settings)
            # what np.asarray does, in half the time
            return np.frombuffer(made.tobytes(), dtype=np.uint8).reshape(settings.size, settings.size, 3)
    except UnidentifiedImageError:
        raise Unreadable("not a picture in a known format") from None
    except Unreadable:
        raise
    except Exception as error:  # Pillow's decoders raise many kinds on broken files
        raise Unreadable(f"broken picture: {error}") from None


def packed(settings: Settings, value: Any) -> Any:
    """Arrays, tensors and Pillow pictures as PNG bytes; lists of them too. What names a file or holds one stays."""
    if isinstance(value, (str, bytes)) and (settings.places == 1 or isinstance(value, bytes)):
        return value
    value = from_json(value) if settings.places > 1 else value
    if isinstance(value, (list, tuple)):
        return [packed(settings, one) for one in value]
    if isinstance(value, Image.Image):
        return _png(value, settings.white)
    array = as_array(value)
    if array is None:
        return value
    tensor = not isinstance(value, np.ndarray)
    return _png(picture_of(array, settings.channels, settings.white, tensor), None)


def stored(settings: Settings) -> tuple[tuple[int, ...], str]:
    """Shape and dtype of one decoded item."""
    single = settings.places == 1
    return (settings.size, settings.size, 3) if single else (settings.places, settings.size, settings.size, 4), "uint8"


def blank(settings: Settings) -> np.ndarray:
    """What fills an absent slot."""
    return np.zeros(*stored(settings))


def fit(settings: Settings, items: np.ndarray) -> dict:
    """Mean and standard deviation of each channel in 0..1, over the real pictures; ``places``: P of several."""
    total, square, count = np.zeros(3), np.zeros(3), 0
    for start in range(0, len(items), 256):
        chunk = np.asarray(items[start : start + 256])
        chunk = chunk[real(chunk)][..., :3] if settings.places > 1 else chunk
        chunk = chunk.reshape(-1, 3).astype(np.float64) / 255
        total, square, count = total + chunk.sum(0), square + (chunk**2).sum(0), count + len(chunk)
    mean = total / max(count, 1)
    deviation = np.sqrt(np.maximum(square / max(count, 1) - mean**2, 1e-6))
    found = {"size": settings.size, "mean": mean.tolist(), "std": deviation.tolist()}
    return found if settings.places == 1 else {**found, "places": settings.places}


def encode(settings: Settings, statistics: dict, items: list[np.ndarray] | np.ndarray) -> np.ndarray:
    """Decoded pictures -> (U, size, size, 3) or (U, P, size, size, 4) uint8; the model itself subtracts the mean."""
    if isinstance(items, list) and len(items) == 1:
        return np.asarray(items[0], dtype=np.uint8)[None]  # a single record's, without a copy
    return np.asarray(items, dtype=np.uint8).reshape(-1, *stored(settings)[0])


def real(entries: np.ndarray) -> np.ndarray:
    """(U, P, H, W, 4) -> (U, P) bool: which places hold a picture."""
    return entries[:, :, 0, 0, 3] > 0


def augment(settings: Settings, entries: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """A training view of each entry; the pictures of one row are changed alike."""
    how = image_ops.View(**settings.augment.model_dump()) if settings.augment else image_ops.View()
    if settings.places == 1:
        return image_ops.views(how, entries, draws)
    seen = entries.copy()
    for place, here in enumerate(real(entries).T):
        seen[here, place, ..., :3] = image_ops.views(how, entries[here, place, ..., :3], draws[here])
    return seen


def corrupt(
    settings: Settings, statistics: dict, entries: np.ndarray, severity: int, seed: int, kind: str | None = None
) -> np.ndarray:
    """Noise, blur, a hidden square, wrong brightness or JPEG's blocks (:mod:`suffuse.modalities.image_ops` has the
    amounts)."""
    if settings.places == 1:
        return image_ops.damaged(entries, severity, seed, kind)
    found, here = entries.copy(), real(entries)
    found[here, ..., :3] = image_ops.damaged(entries[here][..., :3], severity, seed, kind)
    return found


def traced(statistics: dict) -> np.ndarray:
    """Three entries for the export: black pictures, or as many white ones as a row may have."""
    return np.full((3, *axes(statistics)), 255 if "places" in statistics else 0, dtype=np.uint8)


def axes(statistics: dict) -> tuple[int, ...]:
    """Of an entry: (size, size, 3), or (P, size, size, 4) where a row may have several pictures."""
    side = statistics["size"]
    return (statistics["places"], side, side, 4) if "places" in statistics else (side, side, 3)


def layout(statistics: dict) -> str:
    """The model's input in words."""
    return (SEVERAL if "places" in statistics else LAYOUT).format(**statistics)


def examples(settings: Settings) -> list[Any]:
    """Noise of 8 to 12 x 12 pixels; one or two pictures in a cell where there may be several."""
    pictures = [np.random.default_rng(n).integers(0, 256, (8 + n, 12, 3), dtype=np.uint8) for n in range(5)]
    if settings.max_images:
        return [pictures[:1], pictures[1:3], [pictures[3]], [pictures[4], pictures[0]], pictures[:3]]
    if len(settings.columns) == 1:
        return [*pictures]
    front, side = settings.columns
    return [{front: pictures[n], side: pictures[n - 1] if n % 2 else None} for n in range(5)]


def explain(settings: Settings, statistics: dict) -> list[str]:
    """What is done to a cell, for people."""
    square = {"pad": "padded with white to a square", "crop": "cropped to its middle square", "stretch": "stretched"}
    several = f"Up to {settings.places} pictures of a row are encoded alike and their features averaged."
    return [
        f"Turned upright, transparency laid on white, {square[settings.fit]}, {settings.size} pixels both sides.",
        *([several] if settings.places > 1 else []),
        "The model subtracts the training pictures' mean colour and divides by its deviation.",
    ]


def picture_of(array: np.ndarray, channels: str, white: float | None, tensor: bool = False) -> Image.Image:
    """(H, W), (H, W, C) or (C, H, W), C 1, 3 or 4, of any type -> a Pillow picture.

    Where both ends could be the channels, they are last in an array and first in a tensor.
    """
    ends = [axis for axis in (0, -1) if array.ndim == 3 and array.shape[axis] in (1, 3, 4)]
    if array.dtype.kind not in "buif" or not (array.ndim == 2 or ends) or not array.size:
        raise Unreadable(f"not a picture: an array {array.shape} of {array.dtype}, expected (H, W, 3)")
    if ends and (ends == [0] or (len(ends) == 2 and tensor)):
        array = np.moveaxis(array, 0, -1)
    array = array[..., 0] if array.ndim == 3 and array.shape[-1] == 1 else array
    array = to_uint8(array, white)
    if channels == "bgr" and array.ndim == 3:
        array = array[..., [2, 1, 0, 3][: array.shape[-1]]]
    return Image.fromarray(np.ascontiguousarray(array))


def to_uint8(values: np.ndarray, white: float | None) -> np.ndarray:
    """Values of any type to 0..255; what is white, the top of the file says. Raises Unreadable beyond it."""
    if values.dtype == np.uint8:
        return values
    if values.dtype == bool:
        return values.astype(np.uint8) * 255
    low, high = float(values.min()), float(values.max())
    if not np.isfinite([low, high]).all():
        raise Unreadable("NaN or infinite pixels")
    if values.dtype.kind == "u" and values.dtype.itemsize == 2:
        top = 65535.0
    else:
        top = next((t for t in (1.0, 255.0, 65535.0) if high <= t and (t > 1 or values.dtype.kind == "f")), 0.0)
    top = top if white is None else white
    if low < 0 or not top:
        raise Unreadable(f"pixels from {low:g} to {high:g}: `white` must say which value is white")
    return np.clip(np.rint(values.astype(np.float32) * (255 / top)), 0, 255).astype(np.uint8)


def _several(settings: Settings, value: Any) -> tuple[list[str], list]:
    """Names and cells of a row's pictures."""
    if isinstance(settings.column, tuple) and isinstance(value, dict):
        return list(settings.columns), [value.get(name) for name in settings.columns]
    value = from_json(value)
    array = as_array(value)
    pictures = list(array) if array is not None and array.dtype == object else value
    pictures = list(pictures) if isinstance(pictures, (list, tuple)) else [pictures]
    if all(is_empty(p) for p in pictures):
        raise Absent("empty cell")
    if len(pictures) > settings.places:
        raise Unreadable(
            f"{len(pictures)} pictures, expected {settings.places} at the most: `max_images` says how many"
        )
    return [f"picture {n}" for n in range(1, len(pictures) + 1)], pictures


def _single_picture(value: Any) -> Any:
    """The only picture of a row, also where it is in a list or a dictionary of one."""
    if isinstance(value, (list, tuple)) and len(value) > 1:
        raise Unreadable(f"{len(value)} pictures, expected one: `max_images` says how many a row may have")
    if isinstance(value, dict):
        return next(iter(value.values())) if len(value) == 1 else value
    return value[0] if isinstance(value, (list, tuple)) and value else value


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _rgb(picture: Image.Image, white: float | None) -> Image.Image:
    """Upright, first frame, three channels. A picture that is turned is turned in place."""
    picture.load()
    if hasattr(picture, "tag_v2") or any("exif" in key or "xmp" in key for key in map(str, picture.info)):
        ImageOps.exif_transpose(picture, in_place=True)
    if picture.mode == "RGB" and "transparency" not in picture.info:
        return picture
    if picture.mode.startswith("I") or picture.mode == "F":  # 16 and 32 bits
        return Image.fromarray(to_uint8(np.asarray(picture), white)).convert("RGB")
    if picture.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        ground = Image.new("RGBA", picture.size, (*PADDING, 255))
        picture = Image.alpha_composite(ground, picture)
    return picture if picture.mode == "RGB" else picture.convert("RGB")


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


def _png(picture: Image.Image, white: float | None) -> bytes:
    """A Pillow picture as PNG bytes (lossless)."""
    try:
        file = io.BytesIO()
        _rgb(picture.copy(), white).save(file, "PNG", compress_level=1)  # PNG keeps neither EXIF nor every mode
    except Unreadable:
        raise
    except Exception as error:  # Pillow's decoders raise many kinds on broken files
        raise Unreadable(f"not a picture: {error}") from None
    return file.getvalue()
