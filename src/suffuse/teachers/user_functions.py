"""Functions of the user, named in the recipe as ``file.py:function``. No other code of a recipe is run: files that came
with a model or a data set are never searched for code, and a run folder, which may come from somebody else, can't name
code inside itself or relative to where it is opened.
"""

from __future__ import annotations

import contextlib
import hashlib
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .. import user_parts
from ..errors import SuffuseError, UsageError, did_you_mean


def split(reference: str) -> tuple[str, str]:
    """``file.py:function`` -> its two parts. Raises ValueError where it isn't of this form."""
    file, colon, name = reference.rpartition(":")
    if not colon or not file.endswith(".py") or not name.isidentifier():
        raise ValueError(f"got '{reference}', expected file.py:function")
    return file, name


def placed(reference: str, base: Path) -> str:
    """The reference with its file's path resolved from ``base``."""
    file, name = split(reference)
    return f"{(base / file).resolve()}:{name}"


def call(reference: str, where: str, run: Path, /, **options: Any) -> Any:
    """Import the file, call the function, and return what it returns. ``run`` is the run's folder.

    Raises UsageError (``where`` names the recipe's key) where there is no such function, it is part of the run folder,
    or it fails.
    """
    file, name = split(reference)
    if not Path(file).is_absolute() or Path(file).resolve().is_relative_to(run.resolve()):
        hint = "a run folder's own code isn't run: name a file of your project in the recipe"
        raise UsageError("this code isn't run", where=where, got=f"'{file}'", hint=hint)
    with guarded(where, reference):
        module_object = user_parts.import_file(Path(file), where, again=True)
        if not hasattr(module_object, name):
            functions = [n for n, value in vars(module_object).items() if callable(value)]
            raise UsageError("no such function", where=where, got=f"'{name}'", hint=did_you_mean(name, functions))
        return getattr(module_object, name)(**options)


@contextlib.contextmanager
def guarded(where: str, reference: str) -> Iterator[None]:
    """Reports an exception of a user's function in one line, with its place."""
    try:
        yield
    except SuffuseError:
        raise
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        lines = str(error).splitlines()
        message = f"{type(error).__name__}: {lines[0] if lines else ''} ({Path(frame.filename).name}:{frame.lineno})"
        raise UsageError("your function failed", where=f"{where}, {reference}", got=message) from None


def record_batches(source: Any, rows: np.ndarray, hidden: frozenset[str]) -> Iterator[tuple[list[int], list[dict]]]:
    """(positions in ``rows``, their records) of a source with settings and raw rows, ``settings.batch`` rows at a time.
    Rows whose cells are all empty are left out."""
    settings = source.settings
    for start in range(0, len(rows), settings.batch):
        batch = rows[start : start + settings.batch]
        records = source.raw.records(settings.columns, batch, hidden, settings.files)
        usable = [n for n, record in enumerate(records) if any(v is not None for v in record.values())]
        if usable:
            yield [start + n for n in usable], [records[n] for n in usable]


def file_hash(reference: str) -> str:
    """Hash of the file's content."""
    return hashlib.sha256(Path(split(reference)[0]).read_bytes()).hexdigest()
