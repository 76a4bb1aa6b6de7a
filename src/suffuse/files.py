"""Files written whole or not at all, and read without surprises."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TEMPORARY = ".tmp"  # how the name of a half-written file ends


def read_json(path: Path) -> Any:
    """A JSON file, or None where there is none or it was cut off."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError):
        return None


def write_json(path: Path, facts: Any) -> None:
    """Write JSON atomically."""
    write_text(path, json.dumps(facts, indent=1, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """To a temporary name, fsync, rename: a reader sees the old file or the new one, never half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY}")
    try:
        with naming(path), temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_array(file: Path, array: Any) -> None:
    """Write a NumPy array as .npy."""
    made = new_array(file, array.dtype, array.shape)
    made[...] = array
    made.flush()


def new_array(file: Path, dtype: Any, shape: tuple[int, ...]) -> Any:
    """A new .npy file, memory-mapped. Its space is taken at once: a full disk is an error here, and not a signal
    that ends the process when a page is written."""
    import numpy as np

    with naming(file):
        made = np.lib.format.open_memmap(file, mode="w+", dtype=dtype, shape=shape)
        with file.open("rb+") as open_file:
            os.posix_fallocate(open_file.fileno(), 0, file.stat().st_size)
    return made


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Give an OSError from inside this file's name, where it has none: a full disk's has none."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def file_facts(path: Path) -> list:
    """[size, hash] of a file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16))
    return [path.stat().st_size, digest.hexdigest()]
