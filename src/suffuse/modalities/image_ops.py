"""uint8 pictures in batches: views of them for training, and damage for tests. (U, H, W, 3), NumPy and Pillow.

A view is a pure function of a picture and a few numbers in [0, 1); damage depends on a picture and a seed alone, so
that it is the same in whatever company the picture comes.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from ..content_rng import generator

DAMAGES = ("noise", "blur", "occlusion", "brightness", "jpeg")
NOISE = (8, 16, 28, 44, 64)  # standard deviation, of 255
BLUR = (1 / 64, 1 / 40, 1 / 28, 1 / 20, 1 / 14)  # radius, as a share of the side
OCCLUDED = (0.05, 0.1, 0.2, 0.35, 0.5)  # of the area, in one gray square
BRIGHTNESS = (0.15, 0.25, 0.35, 0.45, 0.55)  # of the full range, brighter or darker
JPEG = (40, 25, 15, 10, 5)  # quality
DRAWS = 9  # numbers that a view is made from


@dataclass(frozen=True)
class View:
    """How far a view may differ; all of it 0: not at all."""

    flip: bool = False
    shift: float = 0.0
    zoom: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    erase: float = 0.0


def views(settings: View, pictures: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """(U, H, W, 3) uint8 and (U, DRAWS) in [0, 1) -> a view of each. What a view lacks at its edge is repeated.

    The numbers say, in order: flip, shift down and right, zoom, brightness, contrast, and the erased square's size,
    row and column (random erasing, Zhong et al. 2020; half of the views keep all).
    """
    augmented = np.empty_like(pictures)
    for picture, draw, place in zip(pictures, draws, augmented, strict=True):
        rows = _line(picture.shape[0], settings, draw[1], draw[3], False)
        columns = _line(picture.shape[1], settings, draw[2], draw[3], settings.flip and draw[0] < 0.5)
        np.take(_toned(settings, picture, draw)[rows], columns, axis=1, out=place)
        _erase(settings, place, draw)
    return augmented


def damaged(pictures: np.ndarray, severity: int, seed: int, kind: str | None = None) -> np.ndarray:
    """(U, H, W, 3) uint8 with damage of severity 1 to 5 (in the manner of Hendrycks & Dietterich 2019).

    ``kind`` is one of ``DAMAGES``; without it each picture gets one of them by chance.
    """
    damaged_pictures = np.empty_like(pictures)
    for picture, place in zip(pictures, damaged_pictures, strict=True):
        random = generator(picture, seed)
        name = DAMAGES[random.integers(len(DAMAGES))] if kind is None else kind
        place[...] = _DAMAGE[name](picture, severity - 1, random)
    return damaged_pictures


def _line(side: int, settings: View, shift: float, zoom: float, turned: bool) -> np.ndarray:
    """Which row (or column) of the picture stands in each of the view's."""
    middle = (side - 1) / 2
    scale = 1 + settings.zoom * (2 * zoom - 1)
    at = (np.arange(side) - middle) / scale + middle + settings.shift * (2 * shift - 1) * side
    line = np.clip(np.rint(at), 0, side - 1).astype(np.intp)
    return line[::-1] if turned else line


def _toned(settings: View, picture: np.ndarray, draw: np.ndarray) -> np.ndarray:
    """Brighter or darker, and harder or softer around middle gray."""
    if not (settings.brightness or settings.contrast):
        return picture
    levels = np.arange(256, dtype=np.float64)
    levels = (levels - 127.5) * (1 + settings.contrast * (2 * draw[5] - 1)) + 127.5
    levels += 255 * settings.brightness * (2 * draw[4] - 1)
    return np.clip(np.rint(levels), 0, 255).astype(np.uint8)[picture]


def _erase(settings: View, view: np.ndarray, draw: np.ndarray) -> None:
    """Half of the views lose a square of up to so large a share, which becomes middle gray."""
    if settings.erase and draw[6] >= 0.5:
        side = round(float((settings.erase * (2 * draw[6] - 1)) ** 0.5 * min(view.shape[:2])))
        _blot(view, side, draw[7], draw[8])


def _blot(picture: np.ndarray, side: int, down: float, right: float) -> None:
    top = int(down * (picture.shape[0] - side + 1))
    left = int(right * (picture.shape[1] - side + 1))
    picture[top : top + side, left : left + side] = 127


def _noise(picture: np.ndarray, level: int, random: np.random.Generator) -> np.ndarray:
    return np.clip(np.rint(picture + random.normal(0, NOISE[level], picture.shape)), 0, 255)


def _blur(picture: np.ndarray, level: int, random: np.random.Generator) -> np.ndarray:
    radius = max(BLUR[level] * max(picture.shape[:2]), 0.3 * (level + 1))
    return np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(radius)))


def _occlude(picture: np.ndarray, level: int, random: np.random.Generator) -> np.ndarray:
    covered = picture.copy()
    side = max(round(OCCLUDED[level] ** 0.5 * min(picture.shape[:2])), 1)
    _blot(covered, side, random.random(), random.random())
    return covered


def _light(picture: np.ndarray, level: int, random: np.random.Generator) -> np.ndarray:
    change = 255 * BRIGHTNESS[level] * (1 if random.random() < 0.5 else -1)
    return np.clip(np.rint(picture + change), 0, 255)


def _compress(picture: np.ndarray, level: int, random: np.random.Generator) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=JPEG[level])
    return np.asarray(Image.open(file))


_DAMAGE = {"noise": _noise, "blur": _blur, "occlusion": _occlude, "brightness": _light, "jpeg": _compress}
