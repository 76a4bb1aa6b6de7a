"""Cache of what frozen encoders give, vectors and on request tokens: computed once for every distinct entry, stored in
the run, read by every training.

``features/THREADS/NAME-HASH.npy`` holds a modality's vectors (U, D) float32, with ``keep_tokens`` vectors and tokens
(U, 1 + T, W + 1) float16 (:mod:`suffuse.token_packing`). The hash is of the encoder's settings
and weights and of the column's content, so other changes of a recipe keep the cache. Vectors are computed in parts that
depend on the entries only, each written atomically: an interrupted computation continues with the same bits.
``NAME-HASH.json`` holds the hashes of the files, which are verified before vectors are used.

``NAME-HASH.keys``, also an array, identifies encoder and entry of each vector. Where rows were added to a table,
or removed, the vectors of known entries are copied from earlier files, and only new entries are computed.
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
from ..data.device_transfer import to_array, to_device
from ..errors import SuffuseError
from ..files import bytes_facts, file_facts, new_array, temporary_of, write_bytes
from ..integrity import Memory
from ..modality_encoder import Encoder
from ..model import FusionModel
from ..progress import Tell, progress, say
from ..recipe import Network
from ..run import Run
from ..token_packing import halved, joined, put_steps
from ..types import Batch
from .inference import in_halves
from .runtime import device_of, explained

PART = 256  # entries
BATCH = 16  # of them at a time: what a convolution net makes of more doesn't stay in a processor's cache
FORMAT = 2  # raised when the same encoder gives other vectors
LATER_SETTINGS = ("keep_tokens", "pad_end")  # caches that were written before them are still read
STANDARD = ("centre", "scale", "token_centre", "token_scale")  # that no kept vector depends on
AGAIN = "remove it: what it held is computed again"
KEYS, KEY = ".keys", 16  # beside the vectors: bytes that tell an entry, and the encoder that read it


def place(run: Run) -> Path:
    """The folder of the vectors in a run. The number of threads is part of its path, since bits depend on it."""
    return run.path("features", str(run.recipe.compute.threads))


def foresee(run: Run, network: Network, columns: Columns) -> None:
    """Report what a network's encoders are initialised from, and compute missing vectors before parallel trainings need
    them."""
    columns = columns.of(network.encoders)
    model = FusionModel(network, columns.spec).initialise(say).to(device_of(run.recipe.compute))
    ready(columns, model, place(run))


def ready(columns: Columns, model: FusionModel, folder: Path) -> Columns:
    """The columns with vectors in place of the entries that a frozen encoder reads. Missing vectors are computed."""
    frozen = {name: model.encoder(name) for name in model.spec.names if model.encoder(name).frozen}
    files = {n: folder / f"{n}-{fingerprint(encoder, columns, n, folder)}.npy" for n, encoder in frozen.items()}
    memory = Memory.open(folder) if folder.is_dir() else Memory(folder)
    missing = [name for name, file in files.items() if not is_written(file, memory)]
    memory.save()
    if missing:
        with progress("features") as tell:
            for number, name in enumerate(missing):
                compute(model.encoder(name), columns, files[name], _sub_progress(tell, number, len(missing), name))
    return columns.with_ready({name: load(file, "c") for name, file in files.items()})


@torch.inference_mode()
@torch.no_grad()
def compute(encoder: Encoder, columns: Columns, file: Path, tell: Tell) -> None:
    """Write the vectors of every entry of the encoder's modality to one file. Vectors that an earlier file has are
    copied."""
    name = encoder.field.name
    count, keys = len(columns.entries[name]), entry_keys(encoder, columns.entries[name])
    reused, is_missing = find_reusable(file.parent, keys)
    missing = np.flatnonzero(is_missing)
    parts = file.with_name(f".{file.stem}-{hashlib.blake2b(missing.tobytes(), digest_size=4).hexdigest()}")
    total = -(-len(missing) // PART)
    for number, batch in enumerate(_batches(columns, name, missing)):
        part = parts / f"part-{number:06d}.npy"
        if not part.exists():
            content = io.BytesIO()
            found = _vectors(encoder, _trim_padding(batch.inputs[name]))
            np.save(content, halved(found) if encoder.keeps_tokens else found)
            write_bytes(part, content.getvalue())
        tell((number + 1) / total, f"{min((number + 1) * PART, len(missing)):,} of {len(missing):,}")
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_of(file)
    part_files = [parts / f"part-{number:06d}.npy" for number in range(total)]
    vectors = new_array(temporary, *_layout(encoder, count, [*(other for other, _, _ in reused), *part_files]))
    for other_file, positions, their_positions in reused:
        their_vectors = load(other_file, "r")
        for start in range(0, len(positions), PART):
            some = slice(start, start + PART)
            put_steps(vectors, positions[some], their_vectors[their_positions[some]])
    for number, part in enumerate(part_files):
        put_steps(vectors, missing[number * PART : (number + 1) * PART], load(part))
    vectors.flush()
    content = io.BytesIO()
    np.save(content, keys)
    write_bytes(file.with_name(f"{file.stem}{KEYS}"), content.getvalue())  # first: without its vectors it is nothing
    facts = {"vectors": file_facts(temporary), "keys": bytes_facts(content.getvalue())}
    write_checked(file.with_suffix(".json"), facts)
    temporary.replace(file)
    for leftover in file.parent.glob(f".{file.stem}*/"):
        shutil.rmtree(leftover, ignore_errors=True)


def _layout(encoder: Encoder, count: int, files: list[Path]) -> tuple[Any, tuple[int, ...]]:
    """Type and shape of the array of ``count`` entries: float32 vectors, or float16 steps where tokens are kept, as
    many as the longest entry of the files has."""
    if not encoder.keeps_tokens:
        return np.float32, (count, encoder.width)
    steps = max((load(file, "r").shape[1] for file in files), default=1)
    return np.float16, (count, steps, max(encoder.width, encoder.tokens) + 1)


def _vectors(encoder: Encoder, entries: torch.Tensor) -> np.ndarray:
    """Entries (U, ...) -> what is kept of them, vectors (U, D) or steps (U, L, W + 1), as float32: a few of similar
    length at a time on the processor, on a device as many as it holds."""
    device = encoder.centre.device
    if device.type == "cpu":
        order = _by_length(entries)
        batches = [encoder.vectors(_trim_padding(entries[part])).float() for part in torch.split(order, BATCH)]
        return joined(batches)[torch.argsort(order)].numpy()
    with explained(device):
        parts = in_halves(
            np.arange(len(entries)), lambda part: to_array(encoder.vectors(to_device(entries[part], device)))
        )
        return joined([torch.as_tensor(vectors) for _, vectors in parts]).numpy()


def is_written(file: Path, memory: Memory) -> bool:
    """Whether these vectors exist with their hash.

    Raises SuffuseError where they, or their keys, were changed after they were written.
    """
    facts, keys = read_checked(file.with_suffix(".json"), AGAIN), file.with_name(f"{file.stem}{KEYS}")
    if facts is None or not file.exists() or not keys.exists():
        return False
    for path, expected in ((file, facts.get("vectors")), (keys, facts.get("keys"))):
        if memory.facts(path.name, path) != expected:
            raise SuffuseError("a file was changed after it was written", where=path, hint=AGAIN)
    return True


def load(file: Path, mode: Literal["c", "r"] | None = None) -> np.ndarray:
    """Open an array that was written here. Raises SuffuseError where it is damaged."""
    try:
        return np.load(file, mmap_mode=mode)
    except (ValueError, EOFError) as error:
        raise SuffuseError("a file of vectors is damaged", where=file, got=error, hint=AGAIN) from error


def entry_keys(encoder: Encoder, column: Any) -> np.ndarray:
    """A column of U entries -> (U,) of KEY bytes each: hashes of the encoder and of the stored entry."""
    encoder_hash = _hash_of(encoder).digest()

    def key(entry: np.ndarray) -> bytes:
        digest = hashlib.blake2b(f"{entry.dtype} {entry.shape}".encode(), digest_size=KEY, key=encoder_hash)
        digest.update(np.ascontiguousarray(entry).data)
        return digest.digest()

    return np.array([key(entry) for entry in column], dtype=f"V{KEY}")


def find_reusable(folder: Path, keys: np.ndarray) -> tuple[list[tuple[Path, np.ndarray, np.ndarray]], np.ndarray]:
    """Files that have vectors of some of these entries (U,), with the positions of those entries here and there, every
    entry from one file only; and which entries no file has, (U,) bool."""
    sources: list[tuple[Path, np.ndarray, np.ndarray]] = []
    is_missing, memory = np.ones(len(keys), dtype=bool), Memory.open(folder)
    for file in sorted(folder.glob(f"*{KEYS}")):
        vectors = file.with_name(file.name.removesuffix(KEYS) + ".npy")
        if not is_written(vectors, memory):  # killed between the two
            continue
        stored_keys = load(file)
        _, key_ids = np.unique(np.concatenate([stored_keys, keys]), return_inverse=True)
        stored_positions = np.full(len(key_ids), -1)
        stored_positions[key_ids[: len(stored_keys)]] = np.arange(len(stored_keys))
        source_positions = stored_positions[key_ids[len(stored_keys) :]]
        positions = np.flatnonzero(is_missing & (source_positions >= 0))
        if len(positions):
            sources.append((vectors, positions, source_positions[positions]))
            is_missing[positions] = False
    return sources, is_missing


def fingerprint(encoder: Encoder, columns: Columns, name: str, folder: Path) -> str:
    """Hash of everything that decides the vectors."""
    digest = _hash_of(encoder)
    digest.update(column_hash(columns, name, folder).encode())
    return digest.hexdigest()


def _hash_of(encoder: Encoder) -> Any:
    """Hash object of the encoder: everything but the entry that decides a vector."""
    digest = hashlib.blake2b(digest_size=10)
    unset = {key for key in LATER_SETTINGS if not encoder.settings.get(key)}
    facts = {
        "format": FORMAT,
        "settings": encoder.settings.model_dump(mode="json", exclude={"finetune", *unset}),
        "kind": encoder.kind,
    }
    digest.update(json.dumps(facts, sort_keys=True).encode())
    weights = {key: tensor for key, tensor in encoder.state_dict().items() if key not in STANDARD}
    for key, tensor in sorted(weights.items()):
        digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest


def column_hash(columns: Columns, name: str, folder: Path) -> str:
    """Hash of a column's entries. Cached for an array on disk while its size and time are unchanged."""
    column, memory = columns.entries[name], folder / f".{name}.json"
    file = Path(str(getattr(column, "filename", "") or ""))
    facts = [str(file), list(column.shape), file.stat().st_size, file.stat().st_mtime_ns] if file.is_file() else None
    cached = read_checked(memory, AGAIN) if facts else None
    if cached and cached.get("seen") == facts:
        return cached["hash"]
    digest = hashlib.blake2b(digest_size=16)
    for batch in _batches(columns, name):
        entries = batch.inputs[name]
        digest.update(f"{entries.dtype} {tuple(entries.shape)}".encode())
        digest.update(entries.contiguous().numpy().tobytes())
    if facts:
        with contextlib.suppress(OSError):  # of a run that can only be read
            write_checked(memory, {"seen": facts, "hash": digest.hexdigest()})
    return digest.hexdigest()


def _batches(columns: Columns, name: str, entries: np.ndarray | None = None) -> Iterator[Batch]:
    """The entries of a modality (all, or the given positions), each once and in order, as batches."""
    count, single = len(columns.entries[name]), columns.of([name])
    rows = np.arange(count)
    single = replace(single, entry=rows[:, None], present=np.ones((count, 1), dtype=bool), ready=frozenset())
    rows, no_targets = rows if entries is None else entries, torch.zeros(count)
    for start in range(0, len(rows), PART):
        yield single.batch(rows[start : start + PART], no_targets)


def _by_length(x: torch.Tensor) -> torch.Tensor:
    """Order of entries (U, ...), (U,) int64: token ids from the shortest text to the longest, others unchanged. Texts
    of one length need no padding."""
    if x.ndim != 2 or x.is_floating_point():
        return torch.arange(len(x))
    return torch.argsort((x != 0).sum(1), stable=True)


def _trim_padding(x: torch.Tensor) -> torch.Tensor:
    """Token ids cut to the longest text among them. Padding changes no vector."""
    if x.ndim != 2 or x.is_floating_point():
        return x
    return x[:, : max(1, int((x != 0).sum(1).max()))]


def _sub_progress(tell: Tell, number: int, total: int, name: str) -> Callable[[float, str], None]:
    return lambda share, words: tell((number + share) / total, f"{name}: {words}")
