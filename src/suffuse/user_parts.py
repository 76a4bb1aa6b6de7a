"""Parts of the user's own: a class or module in a Python file, ``kind: my_parts.py:MyLoss``, or of an installed package
that names it as an entry point of the group ``suffuse.losses``, ``suffuse.encoders``, ``suffuse.fusions``,
``suffuse.modalities``, ``suffuse.probes`` or ``suffuse.teachers``.

Code is imported for a recipe that the user gives, and for parts that :func:`allow_parts` names; what a run folder, a
saved model or an export names is never imported otherwise. The permission is an environment variable, so that the
processes which share a training have it too.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from .errors import SuffuseError, UsageError, did_you_mean

VARIABLE = "SUFFUSE_USER_PARTS"  # what may be imported, one reference a line; ``all``: whatever an artefact names
ALL = "all"
PREFIX = "suffuse."  # of entry points' groups
GROUPS = ("losses", "encoders", "fusions", "modalities", "probes", "teachers")
HINT = "run it by your own recipe file, or allow it with --run-code; in Python, suffuse.allow_parts('{}')"

_loaded: dict[tuple[str, str], ModuleType] = {}  # (kind, group) -> the part
_files: dict[str, tuple[str, ModuleType]] = {}  # file -> hash of its content, and its module


def in_file(kind: str) -> bool:
    """Whether a kind names a Python file, or a class in one."""
    file, colon, name = kind.rpartition(":")
    return kind.endswith(".py") or (bool(colon) and file.endswith(".py") and name.isidentifier())


def file_of_kind(kind: str) -> str:
    """The file of such a kind."""
    return kind if kind.endswith(".py") else kind.rpartition(":")[0]


def short(kind: str) -> str:
    """A kind without the folders of its file: ``my_parts.py:MyLoss``."""
    return Path(file_of_kind(kind)).name + kind[len(file_of_kind(kind)) :] if in_file(kind) else kind


@cache
def installed(group: str) -> dict[str, EntryPoint]:
    """Name -> entry point of the parts that installed packages bring to a group."""
    return {point.name: point for point in entry_points(group=PREFIX + group)} if group in GROUPS else {}


def package_of(kind: str) -> str:
    """The installed package that brings a kind; "" where none does."""
    points = [installed(group)[kind] for group in GROUPS if kind in installed(group)]
    return points[0].dist.name if points and points[0].dist else ""


def is_user_part(kind: str, group: str) -> bool:
    """Whether a kind that is none of suffuse's own names a part of the user's, or of an installed package."""
    return in_file(kind) or (kind, group) in _loaded or kind in installed(group)


def register(found: Any, group: str) -> str:
    """A class, module or object as a part of a group, in this process; returns its kind."""
    kind = f"{getattr(found, '__module__', '')}:{getattr(found, '__qualname__', getattr(found, '__name__', found))}"
    _loaded[kind, group] = _as_module(found, kind)
    allow_parts(kind)
    return kind


def placed(raw: Any, base: Path) -> Any:
    """A recipe's plain values with the files of its kinds and probes as absolute paths, which start from ``base``."""
    if isinstance(raw, dict):
        values = cast("dict[Any, Any]", raw)
        return {k: _placed_kind(v, base) if k in ("kind", "probes") else placed(v, base) for k, v in values.items()}
    return [placed(item, base) for item in cast("list[Any]", raw)] if isinstance(raw, (list, tuple)) else raw


def _placed_kind(value: Any, base: Path) -> Any:
    if isinstance(value, (list, tuple)):
        return [_placed_kind(item, base) for item in cast("list[Any]", value)]
    if not isinstance(value, str) or not in_file(value):
        return value
    file = file_of_kind(value)
    return f"{(base / file).resolve()}{value[len(file) :]}"


def kinds(raw: Any) -> Iterator[str]:
    """The kinds and probes among a recipe's plain values that are the user's own or a package's."""
    if isinstance(raw, dict):
        for key, value in cast("dict[Any, Any]", raw).items():
            named = value if isinstance(value, (list, tuple)) else [value]
            if key in ("kind", "probes"):
                names = (str(name) for name in cast("list[Any]", named))
                yield from (name for name in names if any(is_user_part(name, group) for group in GROUPS))
            else:
                yield from kinds(value)
    elif isinstance(raw, (list, tuple)):
        for item in cast("list[Any]", raw):
            yield from kinds(item)


def allow_parts(*references: str) -> None:
    """Let these parts be imported, here and in processes that are started from here: ``my_parts.py:MyLoss``, the name
    of an entry point, or ``all`` for whatever an artefact names. Files that changed are read again."""
    wanted = [_placed_kind(reference, Path.cwd()) for reference in references]
    listed = dict.fromkeys([*_allowed(), *wanted])
    if wanted:
        os.environ[VARIABLE] = "\n".join(listed)
    for key in [key for key in _loaded if key[0] in wanted and in_file(key[0])]:
        if _digest(Path(file_of_kind(key[0]))) != _files.get(file_of_kind(key[0]), ("",))[0]:
            del _loaded[key]


def is_allowed(kind: str) -> bool:
    """Whether the code of a kind may be imported."""
    return bool({kind, ALL} & {*_allowed()})


def _allowed() -> list[str]:
    return os.environ.get(VARIABLE, "").splitlines()


def open_part(kind: str, group: str) -> ModuleType:
    """The part that a kind names, as a module: its members are those of a module, or of an instance of a class.

    Raises UsageError where its code may not be imported, isn't there, or fails.
    """
    if (kind, group) not in _loaded:
        if not is_allowed(kind):
            raise UsageError(
                "this part is code that isn't run unasked", where=f"kind: {kind}", hint=HINT.format(short(kind))
            )
        found = _from_file(kind) if in_file(kind) else _from_package(kind, group)
        _loaded[kind, group] = _as_module(found, kind)
    return _loaded[kind, group]


def _from_package(kind: str, group: str) -> Any:
    try:
        return installed(group)[kind].load()
    except SuffuseError:
        raise
    except Exception as error:  # whatever the package's import raises
        raise _failed(kind, error) from None


def _from_file(kind: str) -> Any:
    file, name = Path(file_of_kind(kind)), kind[len(file_of_kind(kind)) + 1 :]
    if not file.is_absolute():
        hint = "a recipe file's own folder is where such a path starts; an artefact can't name one"
        raise UsageError("this code isn't run", where=f"kind: {kind}", got=f"'{file}'", hint=hint)
    module = import_file(file, f"kind: {kind}")
    if not name:
        return module
    if not hasattr(module, name):
        names = [n for n, value in vars(module).items() if isinstance(value, type)]
        raise UsageError("no such class", where=f"kind: {kind}", got=f"'{name}'", hint=did_you_mean(name, names))
    return getattr(module, name)


def import_file(file: Path, where: str, again: bool = False) -> ModuleType:
    """The module of a Python file; imported again where its content changed, or ``again`` asks for it.

    Raises UsageError (``where`` names the recipe's key) where there is no such file, or it fails.
    """
    if not file.is_file():
        raise UsageError("no such file", where=where, got=f"'{file}'", expected="a Python file of your own")
    digest = _digest(file)
    known = _files.get(str(file))
    if known and known[0] == digest and not again:
        return known[1]
    name = f"suffuse_own_{hashlib.blake2b(str(file).encode(), digest_size=8).hexdigest()}"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # as an import does: dataclasses and type hints look a module up by its name
    try:
        # compiled from the text: a cached compilation of a file that changed within a second would be taken for it
        exec(compile(file.read_bytes(), str(file), "exec"), module.__dict__)
    except SuffuseError:
        raise
    except Exception as error:
        raise _failed(where.removeprefix("kind: "), error) from None
    _files[str(file)] = digest, module
    return module


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""


def _failed(kind: str, error: Exception) -> UsageError:
    frames = traceback.extract_tb(error.__traceback__)
    lines = str(error).splitlines()
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    got = f"{type(error).__name__}: {lines[0] if lines else ''}{place}"
    return UsageError("your code failed", where=f"kind: {kind}", got=got)


def _as_module(found: Any, kind: str) -> ModuleType:
    """A module, a class or an object as a new module with its members, those of a Protocol that it inherits aside."""
    if isinstance(found, type):
        try:
            found = found()
        except Exception as error:
            raise _failed(kind, error) from None
    part = ModuleType(short(kind), found.__doc__)
    classes: Iterable[type] = () if isinstance(found, ModuleType) else type(found).__mro__
    for name in dir(found):
        owner = next((c for c in classes if name in vars(c)), None)
        if not name.startswith("_") and not getattr(owner, "_is_protocol", False):
            setattr(part, name, getattr(found, name))
    return part
