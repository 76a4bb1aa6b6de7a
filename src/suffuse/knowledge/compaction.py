"""Compacts all parts into one store: an array for each tap, block after block, and the manifest with their hashes.

Parts are written to their places while the teacher still answers others, so that little is left to do at the end.
Arrays are written with plain writes (:class:`RowFile`): through mapped memory every page costs a fault, and every flush
searches the whole mapping, about three times the processor time. What comes in order is hashed on the way, so that it
needn't be read again.
"""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..files import naming, new_array
from . import manifest
from .chunks import FACTS, PER_ROW, Part, block_starts, of_modality, read_part
from .logit_encoding import INDEX, LOGITS, VALUES

if TYPE_CHECKING:
    from .builder import StoreBuild

HASHED = 4  # arrays at a time


@dataclass
class Compaction:
    """The arrays of a store that is being built. Each part is added once."""

    build: StoreBuild
    folder: Path
    starts: dict[str, list[int]] = field(default_factory=lambda: {})  # array -> where each block begins in it
    shared: dict[str, RowFile] = field(default_factory=lambda: {})  # array that all blocks share -> (K,)
    files: dict[str, RowFile] = field(default_factory=lambda: {})  # array -> (S, ...)
    arrays: dict[str, np.ndarray] = field(default_factory=lambda: {})  # the same, once they are whole
    waiting: list[Part] = field(
        default_factory=lambda: []
    )  # until a part of the full subset shows which arrays there are

    def add(self, part: Part) -> None:
        """Write a part to its place in the arrays."""
        self.waiting.append(part)
        if not self.files and self.build.blocks[part.block].subset == self.build.blocks[0].subset:
            self._open(read_part(part.file(self.build.place)))
        while self.files and self.waiting:
            ready = self.waiting.pop()
            content = read_part(ready.file(self.build.place))
            for name in content.keys() - {"slot"}:
                self.files[name].put(self.starts[name][ready.block] + content["slot"], content[name])

    def share(self, per_row: dict[str, np.ndarray]) -> None:
        """Write what all blocks share, as :func:`suffuse.knowledge.builder.per_row` gives it, and the labels. Call
        once."""
        build, columns = self.build, self.build.columns
        target = columns.target[build.rows]
        per_row = {**per_row, "label": target.astype(np.int32 if columns.spec.plain else np.float32)}
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in PER_ROW:
            if name in per_row:
                self.shared[name] = RowFile.new(self.folder / f"{name}.npy", per_row[name].dtype, per_row[name].shape)
                self.shared[name].put(np.arange(len(build.rows)), per_row[name])

    def finish(self) -> None:
        """Call after the last part. The manifest is written last: without it there is no store."""
        build, columns, files = self.build, self.build.columns, self.shared | self.files
        with ThreadPoolExecutor(HASHED) as pool:  # bytes alone: two threads that read headers at once can trip Python
            hashes = list(pool.map(RowFile.digest, files.values()))  # 3.11 (its parser's depth is shared: gh-106905)
        self.arrays = {name: file.open() for name, file in self.files.items()}
        described = {
            name: manifest.describe(file.path, digest, self.starts.get(name))
            for (name, file), digest in zip(files.items(), hashes, strict=True)
        }
        total = _cost(self.arrays["error"], self.arrays["same"])
        taps = dict.fromkeys(LOGITS if n in (VALUES, INDEX) else n for n in self.arrays if n not in FACTS)
        facts = {
            "format": manifest.FORMAT,
            "rows": len(build.rows),
            "train_rows": int((columns.split[build.rows] == 0).sum()),
            "unlabelled": int((~columns.spec.known(columns.target[build.rows])).sum()),
            "taps": list(taps),
            "dtype": build.encoding.dtype,
            "encoding": {**build.fingerprint["encoding"], "kept": [list(k) for k in build.encoding.kept], **total},
            "targets": [{"name": h.name, "kind": h.kind, "outputs": h.outputs} for h in columns.spec.heads],
            "reused": build.copied_count,
            "answered": build.queried_count,
            "blocks": [{**b.to_json(), **self._block_facts(n)} for n, b in enumerate(build.blocks)],
            "fingerprint": build.fingerprint,
            "arrays": described,
        }
        manifest.write(self.folder, facts)

    def _open(self, example: dict[str, np.ndarray]) -> None:
        """Create the arrays that a part of the full subset has."""
        build, several = self.build, any(b.subset != self.build.blocks[0].subset for b in self.build.blocks)
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in sorted(example.keys() - {"slot"}):
            alone = several and of_modality(name, build.fingerprint["modalities"])
            full = build.blocks[0].subset
            row_counts = [c for b, c in zip(build.blocks, build.counts, strict=True) if b.subset == full or not alone]
            shape = (sum(row_counts), *example[name].shape[1:])
            self.starts[name] = block_starts(build.blocks, build.counts, alone)
            self.files[name] = RowFile.new(self.folder / f"{name}.npy", example[name].dtype, shape)

    def _block_facts(self, number: int) -> dict[str, Any]:
        """A block's facts for the manifest: its rows, the error of the encoding, and the abstentions."""
        build, count = self.build, self.build.counts[number]

        def block_rows(name: str) -> np.ndarray:
            return self.arrays[name][self.starts[name][number] : self.starts[name][number] + count]

        silent = build.encoding.abstained(block_rows(LOGITS if LOGITS in self.arrays else VALUES))
        names = [h.name for h in build.columns.spec.heads]
        return {
            "rows": count,
            **_cost(block_rows("error"), block_rows("same")),
            "abstentions": {name: int(rows.sum()) for name, rows in zip(names, silent, strict=True)},
        }


def _cost(error: np.ndarray, same: np.ndarray) -> dict[str, float]:
    return {
        "mean_kl": float(error.mean(dtype=np.float64)),
        "max_kl": float(error.max()),
        "same_argmax": float(same.mean()),
    }


@dataclass
class RowFile:
    """A .npy file of a known size. Use :meth:`new`."""

    path: Path
    dtype: np.dtype
    shape: tuple[int, ...]
    offset: int  # bytes before the first row
    hashed: int  # bytes of the file, from its beginning, that the hash has seen
    hash: Any

    @classmethod
    def new(cls, path: Path, dtype: np.dtype, shape: tuple[int, ...]) -> RowFile:
        """Create the file at its full size."""
        header = new_array(path, dtype, shape).offset
        with path.open("rb") as file:
            return cls(path, dtype, shape, header, header, hashlib.sha256(file.read(header)))

    def put(self, at: np.ndarray, rows: np.ndarray) -> None:
        """Write rows (B, ...) to the places ``at`` (B,), each place once; consecutive rows in one write. They are
        synced at once: syncing all of it at the end would keep the teacher's thread waiting."""
        assert rows.dtype == self.dtype and rows.shape == (len(at), *self.shape[1:]), "a part is as the first one was"
        if not len(at):
            return
        rows, ends = np.ascontiguousarray(rows), [*np.flatnonzero(np.diff(at) != 1) + 1, len(at)]
        wide = rows[:1].nbytes
        with naming(self.path), self.path.open("rb+") as file:
            for begin, end in pairwise([0, *ends]):
                piece, place = rows[begin:end].data, self.offset + int(at[begin]) * wide
                file.seek(place)
                file.write(piece)
                if place == self.hashed:
                    self.hash.update(rows[begin:end].reshape(-1).view(np.uint8))
                    self.hashed += piece.nbytes
            file.flush()
            os.fsync(file.fileno())

    def digest(self) -> str:
        """The file's hash, after the last row."""
        return self.hash.hexdigest() if self.hashed == self.path.stat().st_size else manifest.digest(self.path)

    def open(self) -> np.ndarray:
        """The array for reading, after the last row."""
        return np.load(self.path, mmap_mode="r")
