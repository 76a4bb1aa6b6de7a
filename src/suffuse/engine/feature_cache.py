"""Vectors of frozen encoders: computed once for every distinct entry, kept in the run, read by every training.

``features/THREADS/NAME-HASH.npy`` holds a modality's vectors (U, D) float32. The hash is of the encoder's settings
and weights and of the column's content, so that whatever else changes in a recipe finds them again. They are made in
parts that depend on the entries alone, each written whole or not at all: killed and called again, the bits are the
same. ``NAME-HASH.json`` holds the hashes of the files, which are verified before vectors are used.

``NAME-HASH.keys``, an array as well, says which encoder's vectors of which entries they are. Where rows were added to a
table, or taken away, the column is another one, and its vectors are taken from the columns before: only the entries
that none of them had are computed.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from ..checked_json import read_checked, write_checked
from ..data.columns import Columns
from ..errors import SuffuseError
from ..files import bytes_facts, file_facts, new_array, temporary_of, write_bytes
from ..integrity import Memory
from ..model import Encoder, FusionModel
from ..progress import Tell, progress, say
from ..recipe import Network
from ..run import Run
from ..types import Batch

PART = 256  # entries
TOGETHER = 16  # of them at a time: what a convolution net makes of more doesn't stay in a processor's cache
FORMAT = 2  # raised when the same encoder gives other vectors
AGAIN = "remove it: what it held is computed again"
KEYS, KEY = ".keys", 16  # beside the vectors: bytes that tell an entry, and the encoder that read it


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
    memory = Memory.open(folder) if folder.is_dir() else Memory(folder)
    lacking = [name for name, file in files.items() if not written(file, memory)]
    memory.save()
    if lacking:
        with progress("features") as tell:
            for number, name in enumerate(lacking):
                compute(model.encoder(name), columns, files[name], _part_of(tell, number, len(lacking), name))
    return columns.with_ready({name: load(file, "c") for name, file in files.items()})


@torch.inference_mode()
@torch.no_grad()
def compute(encoder: Encoder, columns: Columns, file: Path, tell: Tell) -> None:
    """Vectors of every entry of the encoder's modality -> one file; those that an earlier file has are taken there."""
    name = encoder.field.name
    count, keys = len(columns.entries[name]), entry_keys(encoder, columns.entries[name])
    known, unknown = earlier(file.parent, keys)
    lacking = np.flatnonzero(unknown)
    parts = file.with_name(f".{file.stem}-{hashlib.blake2b(lacking.tobytes(), digest_size=4).hexdigest()}")
    total = -(-len(lacking) // PART)
    for number, batch in enumerate(_batches(columns, name, lacking)):
        part = parts / f"part-{number:06d}.npy"
        if not part.exists():
            content = io.BytesIO()
            entries = _trimmed(batch.inputs[name]).split(TOGETHER)
            np.save(content, torch.cat([encoder.vectors(some).float().cpu() for some in entries]).numpy())
            write_bytes(part, content.getvalue())
        tell((number + 1) / total, f"{min((number + 1) * PART, len(lacking)):,} of {len(lacking):,}")
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_of(file)
    whole = new_array(temporary, np.float32, (count, encoder.width))
    for other, mine, theirs in known:
        whole[mine] = load(other, "r")[theirs]
    for number in range(total):
        whole[lacking[number * PART : (number + 1) * PART]] = load(parts / f"part-{number:06d}.npy")
    whole.flush()
    content = io.BytesIO()
    np.save(content, keys)
    write_bytes(file.with_name(f"{file.stem}{KEYS}"), content.getvalue())  # first: without its vectors it is nothing
    facts = {"vectors": file_facts(temporary), "keys": bytes_facts(content.getvalue())}
    write_checked(file.with_suffix(".json"), facts)
    temporary.replace(file)
    for left in file.parent.glob(f".{file.stem}*/"):
        shutil.rmtree(left, ignore_errors=True)


def written(file: Path, memory: Memory) -> bool:
    """Whether these vectors are there as they were written; not where a version before wrote no hash of them.

    Raises SuffuseError where they, or the keys beside them, were changed since.
    """
    facts, keys = read_checked(file.with_suffix(".json"), AGAIN), file.with_name(f"{file.stem}{KEYS}")
    if facts is None or not file.exists() or not keys.exists():
        return False
    for one, wanted in ((file, facts.get("vectors")), (keys, facts.get("keys"))):
        if memory.facts(one.name, one) != wanted:
            raise SuffuseError("a file was changed after it was written", where=one, hint=AGAIN)
    return True


def load(file: Path, mode: Literal["c", "r"] | None = None) -> np.ndarray:
    """An array that was written here; SuffuseError where something has damaged it since."""
    try:
        return np.load(file, mmap_mode=mode)
    except (ValueError, EOFError) as error:
        raise SuffuseError("a file of vectors is damaged", where=file, got=error, hint=AGAIN) from error


def entry_keys(encoder: Encoder, column: Any) -> np.ndarray:
    """A column of U entries -> (U,) of KEY bytes each: hashes of the encoder and of the entry as it is stored."""
    own = _hash_of(encoder).digest()

    def key(entry: np.ndarray) -> bytes:
        made = hashlib.blake2b(f"{entry.dtype} {entry.shape}".encode(), digest_size=KEY, key=own)
        made.update(np.ascontiguousarray(entry).data)
        return made.digest()

    return np.array([key(entry) for entry in column], dtype=f"V{KEY}")


def earlier(folder: Path, keys: np.ndarray) -> tuple[list[tuple[Path, np.ndarray, np.ndarray]], np.ndarray]:
    """Files of vectors that have some of these entries (U,), each with the entries' positions here and there, every
    entry from one file alone; and which entries are in none of them, (U,) bool."""
    found, lacking, memory = [], np.ones(len(keys), dtype=bool), Memory.open(folder)
    for file in sorted(folder.glob(f"*{KEYS}")):
        vectors = file.with_name(file.name.removesuffix(KEYS) + ".npy")
        if not written(vectors, memory):  # killed between the two
            continue
        theirs = load(file)
        _, number = np.unique(np.concatenate([theirs, keys]), return_inverse=True)
        at = np.full(len(number), -1)
        at[number[: len(theirs)]] = np.arange(len(theirs))
        there = at[number[len(theirs) :]]
        mine = np.flatnonzero(lacking & (there >= 0))
        if len(mine):
            found.append((vectors, mine, there[mine]))
            lacking[mine] = False
    return found, lacking


def fingerprint(encoder: Encoder, columns: Columns, name: str, folder: Path) -> str:
    """Hash of all that decides the vectors."""
    made = _hash_of(encoder)
    made.update(content(columns, name, folder).encode())
    return made.hexdigest()


def _hash_of(encoder: Encoder) -> Any:
    """The hash so far: what decides a vector beside the entry."""
    made = hashlib.blake2b(digest_size=10)
    facts = {"format": FORMAT, "settings": encoder.settings.model_dump(mode="json"), "kind": encoder.kind}
    made.update(json.dumps(facts, sort_keys=True).encode())
    weights = {key: tensor for key, tensor in encoder.state_dict().items() if key not in ("centre", "scale")}
    for key, tensor in sorted(weights.items()):
        made.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}".encode())
        made.update(tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return made


def content(columns: Columns, name: str, folder: Path) -> str:
    """Hash of a column's entries; of an array on disk not taken again while its size and time are the same."""
    column, memory = columns.entries[name], folder / f".{name}.json"
    file = Path(str(getattr(column, "filename", "") or ""))
    facts = [str(file), list(column.shape), file.stat().st_size, file.stat().st_mtime_ns] if file.is_file() else None
    known = read_checked(memory, AGAIN) if facts else None
    if known and known.get("seen") == facts:
        return known["hash"]
    made = hashlib.blake2b(digest_size=16)
    for batch in _batches(columns, name):
        entries = batch.inputs[name]
        made.update(f"{entries.dtype} {tuple(entries.shape)}".encode())
        made.update(entries.contiguous().numpy().tobytes())
    if facts:
        with contextlib.suppress(OSError):  # of a run that can only be read
            write_checked(memory, {"seen": facts, "hash": made.hexdigest()})
    return made.hexdigest()


def _batches(columns: Columns, name: str, which: np.ndarray | None = None) -> Iterator[Batch]:
    """Every entry of a modality once, or these, in order, as a batch of rows would have it."""
    count, one = len(columns.entries[name]), columns.of([name])
    rows = np.arange(count)
    one = replace(one, entry=rows[:, None], present=np.ones((count, 1), dtype=bool), ready=frozenset())
    rows, nothing = rows if which is None else which, torch.zeros(count)
    for start in range(0, len(rows), PART):
        yield one.batch(rows[start : start + PART], nothing)


def _trimmed(x: torch.Tensor) -> torch.Tensor:
    """Token ids as long as the longest text among them; what is padding changes nothing."""
    if x.ndim != 2 or x.is_floating_point():
        return x
    return x[:, : max(1, int((x != 0).sum(1).max()))]


def _part_of(tell: Tell, number: int, total: int, name: str) -> Callable[[float, str], None]:
    return lambda share, words: tell((number + share) / total, f"{name}: {words}")
