"""Hashes of what a recipe names: the source's content, and files and packages that parts' settings name. A stage is
stale where they differ from those that it was made of."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from . import sources
from .checked_json import read_checked, write_checked
from .errors import SuffuseError
from .files import PACKAGE, file_facts
from .progress import say
from .run import Run


def source_content(run: Run, then: Any) -> Any:
    """What decides a source's content; None where it isn't there. ``then``: what it was when the stage was made, which
    stands where a source elsewhere can't be asked."""
    source = run.recipe.data.source
    if remote := sources.load_remote(source):
        folder = remote.folder(source)
        if folder is None:
            return remote.identity(source) or then
        return _named_hash(run, folder, _files(folder)) if folder.is_dir() else None
    path = sources.file_of(source)
    if not path.exists():
        return None
    if path.is_dir() and sources.layout(path) == sources.CLASSES:
        from .sources import class_folder

        return _named_hash(run, path, class_folder.file_paths(path))
    return _hashes(run, _files(path), "source")


def reference_content(run: Run, reference: str) -> Any:
    """Hashes of a file or folder, or a package's version; None where it isn't there."""
    if reference.startswith(PACKAGE):
        try:
            return metadata.version(reference.removeprefix(PACKAGE).partition("/")[0])
        except (metadata.PackageNotFoundError, ValueError):
            return None
    if not Path(reference).exists():
        return None
    name = f"file-{hashlib.blake2b(reference.encode(), digest_size=8).hexdigest()}"
    return _hashes(run, _files(Path(reference)), name)


def _named_hash(run: Run, folder: Path, files: Sequence[Path]) -> list[str]:
    """One hash of the files of a folder and of their names: another name may be another class, or another split."""
    hashes = _hashes(run, files, "source")
    named = [[str(file.relative_to(folder)), content] for file, content in zip(files, hashes, strict=True)]
    return [hashlib.blake2b(json.dumps(named).encode(), digest_size=16).hexdigest()]


def _files(path: Path) -> list[Path]:
    return [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())


def _hashes(run: Run, files: Sequence[Path], name: str) -> list[str]:
    """A hash of each file; not read again while sizes and times are those of the last look. One that can't be read, as
    where a link leads nowhere, has its reason."""
    facts = [_facts(file) for file in files]
    memory = run.path("stamps", f"{name}.json")
    try:
        known = read_checked(memory)
    except SuffuseError as error:  # it only saves work
        say(f"notice: {error.line()}; what it is of is read again")
        known = None
    if known is None or known.get("seen") != facts or not isinstance(known.get("hashes"), list):
        known = {"seen": facts, "hashes": [_hash(file) for file in files]}
        with contextlib.suppress(OSError):  # of a run that can only be read
            write_checked(memory, known)
    return known["hashes"]


def _facts(file: Path) -> list[Any]:
    try:
        return [str(file), file.stat().st_size, file.stat().st_mtime_ns]
    except OSError as error:
        return [str(file), error.strerror, 0]


def _hash(file: Path) -> str:
    try:
        return str(file_facts(file)[1]) if file.is_file() else "no file"
    except OSError as error:
        return str(error.strerror)
