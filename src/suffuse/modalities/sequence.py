"""Steps of numbers: sensors over time, or features that were computed elsewhere -> (L, features) float32.

A ``.npy`` file (never a pickle), a list, its JSON, an array or a tensor. Of two dimensions it is (L, features). A flat
one is L steps where ``features`` is 1, and else one step, a plain vector. Where ``column`` names several, each holds
one feature, a number or a flat list. What is longer than ``length`` is cut. NaN and infinity are unreadable: a gap
must be filled, or its steps left out, by whoever knows what it means. On disk a step takes 4 bytes a feature.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, FiniteFloat

from ..content_rng import generator
from ..registry import ModalitySettings, PartDocs
from ..registry import Settings as Base
from ..registry import Statistics as BaseStatistics
from .cell import Absent, Root, Unreadable, as_array, content, from_json, is_empty
from .ragged import LAYOUT as LAYOUT
from .ragged import Ragged, changed, masked, moments, padded
from .ragged import axes as axes
from .ragged import traced as traced

SUFFIXES = (".npy",)
MAGIC = b"\x93NUMPY"
MASKS = 4  # at the most
DRAWS = 2 * MASKS + 1
DAMAGES = ("noise", "dropout", "silence")
NOISE = (0.1, 0.25, 0.5, 1.0, 2.0)  # of each feature's deviation in training
LOST = (0.05, 0.1, 0.2, 0.35, 0.5)  # of the steps, or of the features

DOCS = PartDocs(
    summary=(
        "Numeric time steps (sensor data, precomputed features) to (L, features) float32: `.npy` files (never a "
        "pickle), lists, lists of lists, their JSON, arrays or tensors. A flat list is L steps if `features` is 1, "
        "otherwise one step. With several columns, each holds one feature. NaN and infinity are unreadable: fill gaps "
        "before. The model subtracts each feature's training mean and divides by its standard deviation."
    ),
    example="sensor: {kind: sequence, column: readings, features: 6, length: 200}",
)
EXAMPLES = ({"features": 3, "length": 12}, {"features": 1}, {"column": ["a", "b"], "features": 2})
AUGMENTED = {"masks": 2, "share": 0.3, "scale": 0.2}


class Augment(Base):
    """How a training view may differ."""

    masks: int = Field(default=2, ge=0, le=MASKS, description="Number of masks; masked steps get the sequence's mean.")
    share: float = Field(default=0.1, ge=0, le=0.5, description="Largest length of a mask, as a share of the steps.")
    scale: float = Field(
        default=0.0, ge=0, le=1, description="Largest scaling around the sequence's mean: 0.1 scales by 0.9 to 1.1."
    )


class Settings(ModalitySettings):
    """Settings of a sequence modality."""

    kind: Literal["sequence"] = "sequence"
    column: str | tuple[str, ...] = Field(description="Column, or a list of columns with one feature each.")
    features: int = Field(ge=1, le=65_536, description="Numbers per step.")
    length: int = Field(
        default=512,
        ge=1,
        le=100_000,
        description="Cut longer sequences to this many steps; a cut is reported as *partly*.",
    )
    augment: Augment | None = Field(
        default=None, description="Augmentation of training views, used if `train.augment` is set (next table)."
    )


class Statistics(BaseStatistics):
    """Of the training rows, as :func:`fit` has it."""

    features: int
    length: int = Field(ge=1, le=2**31 - 1)
    mean: list[FiniteFloat]
    std: list[FiniteFloat]

    def check(self, settings: Settings) -> None:
        """Raises ValueError where a step would have another number of features."""
        if {self.features, len(self.mean), len(self.std)} != {settings.features}:
            got = f"{self.features} features, {len(self.mean)} means and {len(self.std)} deviations"
            raise ValueError(f"got {got}, expected {settings.features} of each")


def load(settings: Settings, value: Any, root: Path | Root) -> tuple[str, np.ndarray, str]:
    """A cell -> hash of the numbers, the item (L, features) float32, and whether it was cut."""
    if isinstance(settings.column, tuple) and isinstance(value, dict):
        array = _beside([numbers(value.get(name), root) for name in settings.columns])
    else:
        array = numbers(value, root)
    item = _steps(settings, array)
    remark = f"cut: {len(item)} steps, the first {settings.length} are kept" if len(item) > settings.length else ""
    item = np.ascontiguousarray(item[: settings.length])
    digest = hashlib.blake2b(f"{item.shape}".encode() + item.tobytes(), digest_size=16)
    return digest.hexdigest(), item, remark


def packed(settings: Settings, value: Any) -> Any:
    """Arrays, tensors and lists as the bytes of a .npy file; what names a file or holds one stays."""
    value = from_json(value)
    array = _listed(value) if isinstance(value, (list, tuple)) and len(value) else as_array(value)
    if array is None:
        return value
    array = _listed(list(array)) if array.dtype == object else array
    if array.dtype.kind not in "buif":
        raise Unreadable(f"not numbers: an array of {array.dtype}")
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def stored(settings: Settings) -> tuple[tuple[None, int], str]:
    """Items are (any number of steps, features)."""
    return (None, settings.features), "float32"


def blank(settings: Settings) -> np.ndarray:
    """What fills an absent slot: one step."""
    return np.zeros((1, settings.features), dtype=np.float32)


def fit(settings: Settings, items: Any) -> dict:
    """Mean and standard deviation of each feature over the training rows' steps, and the longest row's steps."""
    mean, deviation = moments(iter(items), settings.features)
    longest = max((len(item) for item in items), default=1)
    return {
        "features": settings.features,
        "length": int(longest),
        "mean": mean.tolist(),
        "std": deviation.tolist(),
    }


def encode(settings: Settings, statistics: dict, items: Any) -> np.ndarray:
    """Items -> (U, L, features + 1) float32: the steps and, last, 1 where one is real. The model subtracts the mean.

    What is longer than the longest training row is cut.
    """
    if isinstance(items, Ragged):
        return items.cut(statistics["length"])[np.arange(len(items))]
    return padded([item[: statistics["length"]] for item in items], settings.features)


def augment(settings: Settings, entries: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """A training view of each entry; draws (U, DRAWS): masks, scale."""
    how = settings.augment or Augment.model_validate({"masks": 0})

    def view(number: int, steps: np.ndarray) -> np.ndarray:
        mean, draw = steps.mean(0, dtype=np.float64), draws[number]
        if how.scale:
            steps = mean + (steps - mean) * (1 + how.scale * (2 * draw[-1] - 1))
        return masked(steps, how.share, draw[: 2 * how.masks], mean)

    return changed(entries, view)


def corrupt(
    settings: Settings, statistics: dict, entries: np.ndarray, severity: int, seed: int, kind: str | None = None
) -> np.ndarray:
    """Noise, lost steps, or features that say nothing (both get the training mean); without ``kind`` one of them by
    chance."""
    mean, deviation = np.array(statistics["mean"]), np.array(statistics["std"])

    def damage(number: int, steps: np.ndarray) -> np.ndarray:
        random = generator(steps, seed)
        name = DAMAGES[random.integers(len(DAMAGES))] if kind is None else kind
        if name == "noise":
            return steps + random.normal(0, NOISE[severity - 1] * deviation, steps.shape)
        axis = 0 if name == "dropout" else 1
        size = steps.shape[axis]
        lost = random.permutation(size) < max(round(LOST[severity - 1] * size), 1)
        return np.where(lost[:, None] if axis == 0 else lost, mean, steps)

    return changed(entries, damage)


def examples(settings: Settings) -> list[Any]:
    """Noise of 2 to 14 steps; of several columns one feature each, the second the square of the first."""
    random = np.random.default_rng(7)
    values = [random.normal(n, 1, (2 + 3 * n, settings.features)) for n in range(5)]
    if len(settings.columns) == 1:
        return values
    first, second = settings.columns
    return [{first: value[:, 0], second: (value[:, 0] ** 2).tolist()} for value in values]


def explain(settings: Settings, statistics: dict) -> list[str]:
    """What is done to a cell, for people."""
    return [
        f"Steps of {settings.features} numbers, cut after {statistics['length']}, the longest in training.",
        "The model subtracts the training rows' mean of each number and divides by its deviation.",
    ]


def numbers(value: Any, root: Path | Root) -> np.ndarray:
    """A cell -> an array of any shape. Raises Absent and Unreadable."""
    if is_empty(value):
        raise Absent("empty cell")
    value = from_json(value)
    array = as_array(value)
    if isinstance(value, (list, tuple, int, float, np.number)):
        array = _listed(value)
    if array is None:
        array = _npy(content(value, root))
    if array.dtype == object:  # a list column as pandas and Arrow give it: arrays in an array
        array = _listed(list(array))
    if array.dtype.kind not in "buif":
        raise Unreadable(f"not numbers: {array.dtype}")
    return array


def _listed(value: Any) -> np.ndarray:
    """A number, a list, or lists in a list; what is None among numbers is NaN."""
    try:
        return np.array(value, dtype=np.float64)
    except (ValueError, TypeError, OverflowError):
        raise Unreadable("not numbers, or steps of different sizes") from None


def _npy(content: bytes) -> np.ndarray:
    """The array in a .npy file; its header is checked against what is there before any memory is taken."""
    file = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
        if dtype.hasobject:
            raise Unreadable("a .npy file of Python objects: not read")
        expected, actual = int(np.prod(shape, dtype=object)) * dtype.itemsize, len(content) - file.tell()
        if expected != actual:
            broken = "cut off: " if actual < expected else ""
            raise Unreadable(f"{broken}the header says {expected:,} bytes, {actual:,} are there")
        file.seek(0)
        return np.load(file, allow_pickle=False)
    except Unreadable:
        raise
    except Exception as error:  # a broken header is evaluated as Python, and raises nearly anything
        raise Unreadable(f"not a .npy file: {str(error).splitlines()[0][:80] if str(error) else 'broken'}") from None


def _beside(columns: list[np.ndarray]) -> np.ndarray:
    """One flat list (or number) per feature -> (L, features)."""
    flat = [np.atleast_1d(np.squeeze(column)) for column in columns]
    if any(column.ndim != 1 for column in flat) or len({len(column) for column in flat}) != 1:
        raise Unreadable(f"columns of different shapes: {', '.join(str(c.shape) for c in columns)}")
    return np.stack(flat, axis=1)


def _steps(settings: Settings, array: np.ndarray) -> np.ndarray:
    """An array of any shape -> (L, features) float32, finite."""
    if not array.size:
        raise Absent("no steps")
    if array.ndim < 2:
        array = array.reshape(-1, 1) if settings.features == 1 else array.reshape(1, -1)
    if array.ndim != 2 or array.shape[1] != settings.features:
        raise Unreadable(f"an array {array.shape}, expected (steps, {settings.features}): `features` says how many")
    with np.errstate(over="ignore"):
        steps = array.astype(np.float32)
    if not np.isfinite(steps).all():
        where = int(np.flatnonzero(~np.isfinite(steps).all(1))[0])
        raise Unreadable(f"NaN or infinite numbers: first in step {where}")
    return steps
