"""Files inside installed packages: ``package:NAME`` in a recipe, found without running any of the package's code.

Some packages carry pretrained weights, tokenizers or word vectors. Where a setting takes a path it also takes
``package:NAME`` or ``package:NAME/inner/path``, so that a recipe reads the same on every machine.
"""

from __future__ import annotations

from fnmatch import fnmatch
from importlib import import_module, metadata
from pathlib import Path
from types import ModuleType

from .errors import UsageError

PREFIX = "package:"


def find(reference: str, wanted: str) -> Path:
    """The file whose name fits ``wanted`` ("config.json", "*.pth"): itself, in a folder, or in a package.

    Of several in a package the one nearest to its top. Raises UsageError where there is none, or no single one.
    """
    if not reference.startswith(PREFIX):
        path = Path(reference)
        found = [path] if path.is_file() else sorted(path.glob(wanted))
        return _one(found, reference, wanted)
    name, _, inner = reference.removeprefix(PREFIX).partition("/")
    try:
        files = metadata.files(name)
    except (metadata.PackageNotFoundError, ValueError):
        hint = f"pip install {name}" if name else ""
        raise UsageError("this package isn't installed", got=reference, hint=hint) from None
    located = [(len(f.parts), Path(str(f.locate()))) for f in files or () if _fits(f, inner, wanted)]
    nearest = min((depth for depth, _ in located), default=0)
    return _one(sorted(path for depth, path in located if depth == nearest), reference, wanted)


def needed(module: str, extra: str) -> ModuleType:
    """Import an optional library. Raises UsageError with the command that installs it."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0]:
            raise
        hint = f"pip install 'suffuse[{extra}]'"
        raise UsageError("this needs a package that isn't installed", got=module, hint=hint) from None


def _fits(file: metadata.PackagePath, inner: str, wanted: str) -> bool:
    """``inner`` is a path below the package's own folder: of a file, or of a folder that holds it."""
    below = "/".join(file.parts[1:])
    if inner and below == inner:
        return True
    return fnmatch(file.name, wanted) and (not inner or below.startswith(inner + "/"))


def _one(found: list[Path], reference: str, wanted: str) -> Path:
    if len(found) == 1 and found[0].is_file():
        return found[0]
    got = ", ".join(p.name for p in found[:4]) if found else "none"
    raise UsageError(f"can't find one file {wanted}", where=reference, got=got)
