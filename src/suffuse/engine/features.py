"""Vectors of frozen encoders: computed once for every distinct entry, kept in the run, read by every training.

``features/THREADS/NAME-HASH.npy`` holds a modality's vectors (U, D) float32. The hash is of the encoder's settings
and weights and of the column's content, so that whatever else changes in a recipe finds them again. They are made in
parts that depend on the entries alone, each written whole or not at all: killed and called again, the bits are the
same.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from ..data import Columns
from ..files import TEMPORARY, new_array, read_json, write_bytes, write_json
from ..model import Encoder, FusionModel
from ..progress import Tell, progress, say
from ..recipe import Network
from ..run import Run
from ..types import Batch

PART = 256  # entries
TOGETHER = 16  # of them at a time: what a convolution net makes of more doesn't stay in a processor's cache
FORMAT = 2  # raised when the same encoder gives other vectors


def place(run: Run) -> Path:
    """Where a run keeps them; the number of threads is part of what decides a result's bits."""
    return run.path("features", str(run.recipe.compute.threads))


def foresee(run: Run, network: Network, columns: Columns) -> None:
    """Say what a network's encoders start from, and compute what is missing, before trainings side by side need it."""
    columns = columns.of(network.encoders)
    ready(columns, FusionModel(network, columns.spec).initialise(say), place(run))


def ready(columns: Columns, model: FusionModel, folder: Path) -> Columns:
    """The columns with vectors in place of the entries that a frozen encoder reads, computed where they aren't there
    yet."""
    frozen = {name: model.encoder(name) for name in model.spec.names if model.encoder(name).frozen}
    files = {n: folder / f"{n}-{fingerprint(encoder, columns, n, folder)}.npy" for n, encoder in frozen.items()}
    lacking = [name for name, file in files.items() if not file.exists()]
    if lacking:
        with progress("features") as tell:
            for number, name in enumerate(lacking):
                compute(model.encoder(name), columns, files[name], _part_of(tell, number, len(lacking), name))
    return columns.with_ready({name: np.load(file, mmap_mode="c") for name, file in files.items()})


@torch.inference_mode()
@torch.no_grad()
def compute(encoder: Encoder, columns: Columns, file: Path, tell: Tell) -> None:
    """Vectors of every entry of the encoder's modality -> one file."""
    count = len(columns.entries[encoder.field.name])
    parts, total = file.with_name(f".{file.stem}"), -(-count // PART)
    for number, batch in enumerate(_batches(columns, encoder.field.name)):
        part = parts / f"part-{number:06d}.npy"
        if not part.exists():
            content = io.BytesIO()
            entries = _trimmed(batch.inputs[encoder.field.name]).split(TOGETHER)
            np.save(content, torch.cat([encoder.vectors(some).float().cpu() for some in entries]).numpy())
            write_bytes(part, content.getvalue())
        tell((number + 1) / total, f"{min((number + 1) * PART, count):,} of {count:,}")
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}{TEMPORARY}")
    whole = new_array(temporary, np.float32, (count, encoder.width))
    for number in range(total):
        whole[number * PART : (number + 1) * PART] = np.load(parts / f"part-{number:06d}.npy")
    whole.flush()
    temporary.replace(file)
    shutil.rmtree(parts, ignore_errors=True)


def fingerprint(encoder: Encoder, columns: Columns, name: str, folder: Path) -> str:
    """Hash of all that decides the vectors."""
    made = hashlib.blake2b(digest_size=10)
    facts = {"format": FORMAT, "settings": encoder.settings.model_dump(mode="json"), "kind": encoder.kind}
    made.update(json.dumps(facts, sort_keys=True).encode())
    weights = {key: tensor for key, tensor in encoder.state_dict().items() if key not in ("centre", "scale")}
    for key, tensor in sorted(weights.items()):
        made.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}".encode())
        made.update(tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    made.update(content(columns, name, folder).encode())
    return made.hexdigest()


def content(columns: Columns, name: str, folder: Path) -> str:
    """Hash of a column's entries; of an array on disk not taken again while its size and time are the same."""
    column, memory = columns.entries[name], folder / f".{name}.json"
    file = Path(str(getattr(column, "filename", "") or ""))
    facts = [str(file), list(column.shape), file.stat().st_size, file.stat().st_mtime_ns] if file.is_file() else None
    known = read_json(memory) if facts else None
    if known and known["seen"] == facts:
        return known["hash"]
    made = hashlib.blake2b(digest_size=16)
    for batch in _batches(columns, name):
        entries = batch.inputs[name]
        made.update(f"{entries.dtype} {tuple(entries.shape)}".encode())
        made.update(entries.contiguous().numpy().tobytes())
    if facts:
        write_json(memory, {"seen": facts, "hash": made.hexdigest()})
    return made.hexdigest()


def _batches(columns: Columns, name: str) -> Iterator[Batch]:
    """Every entry of a modality once, in order, as a batch of rows would have it."""
    count, one = len(columns.entries[name]), columns.of([name])
    rows = np.arange(count)
    one = replace(one, entry=rows[:, None], present=np.ones((count, 1), dtype=bool), ready=frozenset())
    nothing = torch.zeros(count)
    for start in range(0, count, PART):
        yield one.batch(rows[start : start + PART], nothing)


def _trimmed(x: torch.Tensor) -> torch.Tensor:
    """Token ids as long as the longest text among them; what is padding changes nothing."""
    if x.ndim != 2 or x.is_floating_point():
        return x
    return x[:, : max(1, int((x != 0).sum(1).max()))]


def _part_of(tell: Tell, number: int, total: int, name: str) -> Callable[[float, str], None]:
    return lambda share, words: tell((number + share) / total, f"{name}: {words}")
