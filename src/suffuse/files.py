"""Files written whole or not at all, and read without surprises."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import IO, Any

from .errors import SuffuseError, UsageError

PUT_BACK = "put it back from a copy, or remove it"
TEMPORARY = ".tmp"  # how the name of a half-written file ends
UNREADABLE = (  # of NumPy, Arrow, safetensors and JSON, about what a damaged file holds: sizes and types come from it
    ValueError, LookupError, TypeError, AttributeError, EOFError, ArithmeticError, OSError, NotImplementedError,
    MemoryError, AssertionError, SyntaxError,
)  # fmt: skip
OWNED = re.compile(r"\..+\.(?P<pid>[0-9]{1,10})" + re.escape(TEMPORARY))  # such a name, with its process
PACKAGE = "package:"  # how a reference to a file of an installed package begins


def read_json(path: Path, hint: str = PUT_BACK) -> Any:
    """A JSON file, or None where there is none.

    Raises SuffuseError where it holds no JSON. Files are written whole or not at all: one that was cut off is damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, RecursionError) as error:  # a JSONDecodeError and a UnicodeDecodeError are ValueErrors
        got = "an empty file" if not path.stat().st_size else str(error) or type(error).__name__
        raise SuffuseError("a JSON file can't be read", where=path, got=got, hint=hint) from None


def read_lines(path: Path) -> list[Any]:
    """JSON, a value a line. Raises SuffuseError where a line holds none."""
    with parsing(path):
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@contextlib.contextmanager
def parsing(path: Path, hint: str = "") -> Iterator[None]:
    """What a library raises inside about the content of a file, as a SuffuseError that names it. A missing file stays a
    FileNotFoundError."""
    try:
        yield
    except (SuffuseError, FileNotFoundError):
        raise
    except UNREADABLE as error:
        got = (str(error) or type(error).__name__).splitlines()[0]
        raise SuffuseError("a file can't be read", where=path, got=got, hint=hint) from None


def plain_file(path: Path) -> Path:
    """The path itself. Raises UsageError where it leads to a pipe, a device or a folder: reading one may never end.

    A path that leads nowhere is left to whoever opens it.
    """
    try:
        mode = path.stat().st_mode
    except OSError:
        return path
    if not stat.S_ISREG(mode):
        kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
        got = kinds.get(stat.S_IFMT(mode), "a device")
        raise UsageError("not a regular file", where=path, got=got, expected="a regular file")
    return path


def check_writable(path: Path | None) -> None:
    """Raise UsageError where a file can't be written to this path, so that it is known before the work and not after.
    The folders that it lacks are made when it is written. No path: nothing is written."""
    if path is None:
        return
    if path.is_dir():
        raise UsageError("this is a folder", where=path, expected="the name of a file")
    folder = next(above for above in path.absolute().parents if above.exists())
    if not folder.is_dir():
        raise UsageError("can't make this folder", where=path.parent, got=f"{folder} is a file")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError("can't write here", where=path, got=f"the folder {folder} isn't writable")


def write_json(path: Path, facts: Any) -> None:
    """Write JSON atomically."""
    write_text(path, json.dumps(facts, indent=1, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """Write bytes atomically."""
    with new_file(path) as file:
        file.write(content)


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[IO[bytes]]:
    """To a temporary name, fsync, rename: a reader sees the old file or the new one, never half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_of(path)
    try:
        temporary.unlink(missing_ok=True)  # of another process that had this number; a link would be written through
        with naming(path), temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def temporary_of(path: Path) -> Path:
    """The name under which this process writes a file until it is whole."""
    return path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY}")


def remove_temporaries(folder: Path, is_abandoned: Callable[[Path, int], bool]) -> None:
    """Remove half-written files below a folder that killed processes left. ``is_abandoned(file, pid)`` says whether
    nobody writes one any more."""
    for where, _, names in os.walk(folder):
        for name in names:
            written = OWNED.fullmatch(name)
            file = Path(where, name)
            if written and is_abandoned(file, int(written["pid"])):
                file.unlink(missing_ok=True)


def write_array(file: Path, array: Any) -> None:
    """Write a NumPy array as .npy."""
    mapped = new_array(file, array.dtype, array.shape)
    mapped[...] = array
    mapped.flush()


def new_array(file: Path, dtype: Any, shape: tuple[int, ...]) -> Any:
    """A new .npy file, memory-mapped. Its space is taken at once: a full disk is an error here, and not a signal
    that ends the process when a page is written."""
    import numpy as np

    with naming(file):
        made = np.lib.format.open_memmap(file, mode="w+", dtype=dtype, shape=shape)
        if hasattr(os, "posix_fallocate"):  # macOS hasn't
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


def read_array(file: Path, mode: Any = None) -> Any:
    """A NumPy array, memory-mapped where there is a mode. Raises SuffuseError where the file holds none."""
    import numpy as np

    with parsing(file):
        return np.load(file, mmap_mode=mode, allow_pickle=False)


def file_facts(path: Path) -> list[int | str]:
    """[size, hash] of a file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16))
    return [path.stat().st_size, digest.hexdigest()]


def bytes_facts(content: bytes) -> list[int | str]:
    """What :func:`file_facts` says of a file that holds these bytes."""
    return [len(content), hashlib.blake2b(content, digest_size=16).hexdigest()]


def package_file(reference: str, *names: str, where: str = "") -> Path:
    """The file that a setting names, found without running any code of a package.

    ``reference`` is a file; a folder that holds one of ``names`` (patterns such as ``*.safetensors``, the first that
    is there wins); ``package:NAME``, an installed package with such a file inside, by the name it is installed or
    imported by; or ``package:NAME/inner/path``, where the path is a file or such a folder in it.
    Raises UsageError (``where`` names the setting) where there is none.
    """
    if not reference.startswith(PACKAGE):
        path = Path(reference)
        if path.is_dir():
            return _named(path, (p.relative_to(path) for p in sorted(path.iterdir()) if p.is_file()), names, where)
        if not path.is_file():
            raise UsageError(
                "no such file", where=where, got=f"'{reference}'", expected="a file, a folder or package:NAME"
            )
        return path
    package, _, inner = reference.removeprefix(PACKAGE).partition("/")
    root, files = _package(package, where)
    below = [f for f in files if not inner or f.as_posix() == inner or f.as_posix().startswith(f"{inner}/")]
    below = below or [f for f in files if f"/{inner}/" in f"/{f.as_posix()}/"]
    if not below:
        raise UsageError("the package holds no such file", where=where, got=f"'{reference}'")
    exact = [f for f in below if f"/{f.as_posix()}".endswith(f"/{inner}")] if inner else []
    return root / exact[0] if exact else _named(root, below, names, where)


def absolute_file(reference: str, base: Path) -> str:
    """A setting's reference with its path starting from ``base``; one into a package stays as it is."""
    return reference if reference.startswith(PACKAGE) else str((base / reference).resolve())


def _named(root: Path, files: Iterable[Path], names: tuple[str, ...], where: str) -> Path:
    """The file of one of these names that lies least deep; the earlier name goes first."""
    found = sorted(files, key=lambda f: (len(f.parts), f.as_posix()))
    for name in names:
        for file in found:
            if fnmatch(file.name, name):
                return root / file
    raise UsageError("no such file in it", where=where, got=root, expected=" or ".join(names) or "a file's name")


def _package(name: str, where: str) -> tuple[Path, list[Path]]:
    """An installed package's folder and its files, relative to it."""
    from importlib import metadata
    from importlib.util import find_spec

    try:
        made = metadata.distribution(name)
        root, files = Path(str(made.locate_file(""))), [Path(str(f)) for f in made.files or ()]
        kept = [f for f in files if ".." not in f.parts and f.suffix != ".pyc"]
        if any(f.suffix != ".pth" and not f.parts[0].endswith(".dist-info") for f in kept):
            return root, sorted(kept)
    except (metadata.PackageNotFoundError, ValueError):
        pass
    plain = name.replace("-", "_")
    spec = find_spec(plain) if plain.isidentifier() else None  # of a name without dots: only its place is looked up
    if spec is None or not spec.submodule_search_locations:
        raise UsageError("this package isn't installed", where=where, got=f"'{name}'", hint=f"pip install {name}")
    root = Path(next(iter(spec.submodule_search_locations)))
    return root, sorted(p.relative_to(root) for p in root.rglob("*") if p.is_file() and p.suffix != ".pyc")


def json_text(value: Any) -> str:
    """What a program reads: no NaN, which isn't JSON, and words as they are."""
    return json.dumps(_finite(value), indent=1, ensure_ascii=False, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
