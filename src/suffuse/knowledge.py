"""The knowledge store: what the teacher knows of each row, memory-mapped, keyed by row id and contents.

While it is being made it is a folder of parts, each written atomically; compacted, it is one array per tap
and a manifest with the fingerprint of what made it. Taps are stored as float16; the manifest holds the
error of that, measured. Positions are found once, at opening; a batch's gather is one ``index_select`` a tap.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .data import Columns
from .errors import SuffuseError
from .files import new_array, write_bytes, write_json

PART = 4096  # rows
LARGEST_HALF = 65504.0
FACTS = ("key", "label", "error", "same")  # arrays of a part that are no taps


@dataclass(frozen=True)
class Knowledge:
    """An open store. N rows of the data, K rows of the store."""

    manifest: dict
    taps: dict[str, Tensor]  # tap -> (K, ...) float16, memory-mapped
    place: Tensor  # (N,) int64, where a data row stands in the store; -1 where it doesn't

    @classmethod
    def open(cls, folder: Path, columns: Columns) -> Knowledge:
        """Map the arrays and find every data row by its key.

        Raises SuffuseError where there is no whole store, or it was made with other classes or modalities.
        """
        try:
            manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
            made_with = manifest["fingerprint"]
            arrays = {n: np.load(folder / f"{n}.npy", mmap_mode="c") for n in ("key", *manifest["taps"])}
            for name, array in arrays.items():
                if len(array) != manifest["rows"]:
                    raise ValueError(f"{name}.npy has {len(array):,} rows, expected {manifest['rows']:,}")
        except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
            raise SuffuseError(
                "can't open the knowledge store", where=folder, got=error, hint="`suffuse extract`"
            ) from None
        for what, here in (("classes", columns.spec.classes), ("modalities", columns.spec.names)):
            if made_with[what] != list(here):
                raise SuffuseError(
                    f"the knowledge store was made with other {what}",
                    where=folder,
                    got=made_with[what],
                    expected=list(here),
                )
        place = find(arrays.pop("key"), columns.key)
        return cls(manifest, {n: torch.from_numpy(a) for n, a in arrays.items()}, torch.from_numpy(place))

    def widths(self) -> dict[str, int]:
        """Width of every feature tap, for projectors."""
        return {name: tap.shape[1] for name, tap in self.taps.items() if tap.ndim == 2}

    def require(self, rows: np.ndarray, needs: Iterable[str]) -> None:
        """Raise SuffuseError where the store lacks some of these rows or taps."""
        lacking = [n for n in needs if n not in self.taps]
        if lacking:
            raise SuffuseError("the knowledge store lacks a tap", got=", ".join(self.taps), expected=lacking[0])
        missing = int((self.place[torch.from_numpy(rows)] < 0).sum())
        if missing:
            raise SuffuseError(
                "the knowledge store lacks rows",
                got=f"{len(rows) - missing:,} of {len(rows):,}",
                hint="`suffuse extract` again",
            )

    def gather(self, rows: Tensor, needs: Iterable[str]) -> dict[str, Tensor]:
        """Data rows (B,) -> tap -> (B, ...), for the taps that the losses read."""
        place = self.place.index_select(0, rows)
        return {name: self.taps[name].index_select(0, place) for name in needs}


def find(keys: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Position of each wanted key in ``keys``, -1 where it isn't there. (K,), (N,) uint64 -> (N,) int64."""
    if not len(keys):
        return np.full(len(wanted), -1, dtype=np.int64)
    order = np.argsort(keys)
    at = np.minimum(np.searchsorted(keys, wanted, sorter=order), len(keys) - 1)
    return np.where(keys[order[at]] == wanted, order[at], -1)


def half(values: np.ndarray) -> np.ndarray:
    """float32 -> float16; what is too large for it is cut, not made infinite."""
    return np.clip(values, -LARGEST_HALF, LARGEST_HALF).astype(np.float16)


def write_part(folder: Path, number: int, arrays: Mapping[str, np.ndarray]) -> None:
    """One part, atomically: it is there whole, or not at all."""
    from safetensors.numpy import save

    write_bytes(part_file(folder, number), save({k: np.ascontiguousarray(v) for k, v in arrays.items()}))


def part_file(folder: Path, number: int) -> Path:
    """Where a part stands."""
    return folder / f"part-{number:06d}.safetensors"


def compact(parts: Path, count: int, folder: Path, manifest: dict) -> None:
    """All parts, in order -> one array per tap, and the manifest with each array's hash."""
    from safetensors.numpy import load_file

    folder.mkdir(parents=True, exist_ok=True)
    first = load_file(part_file(parts, 0))
    rows = manifest["rows"]
    arrays = {name: new_array(folder / f"{name}.npy", a.dtype, (rows, *a.shape[1:])) for name, a in first.items()}
    start = 0
    for number in range(count):
        part = load_file(part_file(parts, number))
        for name, array in arrays.items():
            array[start : start + len(part[name])] = part[name]
        start += len(next(iter(part.values())))
    for array in arrays.values():
        array.flush()
    facts = {
        "taps": [name for name in arrays if name not in FACTS],
        "encoding": {"mean_kl": float(arrays["error"].mean()), "same_argmax": float(arrays["same"].mean())},
        "hashes": {name: digest(folder / f"{name}.npy") for name in sorted(arrays)},
    }
    write_json(folder / "manifest.json", {**manifest, **facts})


def digest(file: Path) -> str:
    """Hash of a file."""
    with file.open("rb") as open_file:
        return hashlib.file_digest(open_file, "sha256").hexdigest()
