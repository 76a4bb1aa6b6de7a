"""Folders of pictures or recordings by class, as torchvision's ``ImageFolder`` and Hugging Face's lay them out:
``root/CLASS/file``, or ``root/SPLIT/CLASS/file`` where the folders are named train, validation, test and the like.

Columns: ``id`` (the path from the folder), ``image`` or ``audio`` (the same path; which of them, most endings say),
``label`` (the folder's name), and ``split`` where there are several. Rows are in the order of their paths.

Every file below a class is a row, whatever its ending: what no picture can be read of is quarantined as in a table.
Above the classes pictures and recordings are rows without a label, and other files none. Hidden files and those that
a file browser leaves (``Thumbs.db``) are no rows, and folders without any picture or recording no classes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath

import pyarrow as pa

from ..errors import UsageError, listed
from ..modalities import audio, image
from ..types import SPLIT_NAMES
from .row_stream import Broken, KnownRoles, Rows
from .table_format import TableFormat

IMAGE, AUDIO = "image", "audio"
AUDIO_SUFFIXES = (*audio.SUFFIXES, *audio.UNREAD_SUFFIXES)
SPLITS = {alias for aliases in SPLIT_NAMES.values() for alias in aliases}
LEFT_BEHIND = {"thumbs.db", "desktop.ini", "__macosx"}  # by file browsers and archives
TABLES = (".csv", ".tsv", ".parquet", ".jsonl", ".xlsx", ".ods")
MAX_EXAMINED = 20_000  # files, to see what a folder is


@dataclass(frozen=True)
class File:
    """A file that is a row."""

    path: str  # from the folder, with slashes
    label: str | None
    split: str | None


def read(folder: Path, table_format: TableFormat) -> Rows:
    """All files. Raises UsageError where the folder holds no pictures or recordings, or those of a table."""
    return rows_of(list(_walk(folder)), folder)


def rows_of(paths: list[str], folder: Path | str) -> Rows:
    """The rows of a folder, or of a URL, with these files. Raises as :func:`read` does."""
    found = list_files(paths)
    if len(_classes(found)) < 2 and (tables := _tables(paths)):
        hint = f"name the table: {folder}/{tables[0]}"
        raise UsageError("this folder is no table", where=folder, got=f"a table in it: {listed(tables)}", hint=hint)
    if not found:
        expected = "pictures or recordings by class, a dataset saved by save_to_disk, or a .json file of questions"
        raise UsageError("this folder is no table", where=folder, expected=expected)
    kind = media_kind(paths)
    kept: list[File] = []
    lines: list[int] = []
    broken: Broken = []
    for line, file in enumerate(found, 1):
        if _is_text(file.path):
            kept.append(file)
            lines.append(line)
        else:
            broken.append((line, f"a file's name is not UTF-8: {os.fsencode(file.path)!r}"))
    columns: dict[str, list] = {"id": [file.path for file in kept], kind: [file.path for file in kept]}
    if classes := _classes(kept):
        columns["label"] = [file.label for file in kept]
    if len({file.split for file in kept}) > 1:
        columns["split"] = [file.split for file in kept]
    known = KnownRoles("id", "label" if classes else None)
    return Rows(pa.table({n: pa.array(c, pa.string()) for n, c in columns.items()}), lines, folder, broken, known=known)


def is_class_folder(folder: Path) -> bool:
    """Whether a folder holds pictures or recordings of two classes or more. Of a large one the first files decide."""
    return len(_classes(list_files(list(islice(_walk(folder), MAX_EXAMINED))))) > 1


def file_paths(folder: Path) -> list[Path]:
    """All files that are rows."""
    return [folder / file.path for file in list_files(list(_walk(folder)))]


def list_files(paths: list[str]) -> list[File]:
    """Paths from the folder -> those that are rows, with class and split; none where no file is a picture or sound."""
    media = [path for path in paths if _is_media(path)]
    tops = {path.split("/")[0] for path in media if "/" in path}
    has_splits = all(top.lower() in SPLITS for top in tops) and bool(tops)
    has_splits = has_splits and (any(path.count("/") > 1 for path in media) or _has_training(tops))
    depth = 1 if has_splits else 0  # of the folders' names that are classes
    classes = {tuple(path.split("/")[: depth + 1]) for path in media if path.count("/") > depth}
    found: list[File] = []
    for path in sorted(paths):
        parts = tuple(path.split("/"))
        split = parts[0] if has_splits and parts[0] in tops and len(parts) > 1 else None
        if parts[: depth + 1] in classes and len(parts) > depth + 1:
            found.append(File(path, parts[depth], split))
        elif _is_media(path):
            found.append(File(path, None, split))
    return found


def media_kind(paths: list[str]) -> str:
    """``image`` or ``audio``: what most files of either kind are."""
    sounds = sum(_suffix(path) in AUDIO_SUFFIXES for path in paths)
    return AUDIO if sounds > sum(_suffix(path) in image.SUFFIXES for path in paths) else IMAGE


def _walk(folder: Path) -> Iterator[str]:
    """Paths of all files below a folder that aren't hidden. Linked folders are followed, unless they lead in a circle;
    where the files lie is judged when they are read."""
    waiting = [("", frozenset[str]())]
    while waiting:
        place, above = waiting.pop()
        real = os.path.realpath(folder / place)
        if real in above:
            continue
        with os.scandir(folder / place) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if entry.name.startswith(".") or entry.name.lower() in LEFT_BEHIND:
                    continue
                path = f"{place}/{entry.name}" if place else entry.name
                if entry.is_dir():
                    waiting.append((path, above | {real}))
                else:
                    yield path


def is_row(path: str) -> bool:
    """Whether a path from a folder is no hidden file and none that a file browser leaves."""
    return not any(part.startswith(".") or part.lower() in LEFT_BEHIND for part in path.split("/"))


def _classes(files: list[File]) -> set[str]:
    return {file.label for file in files if file.label is not None}


def _is_media(path: str) -> bool:
    return _suffix(path) in image.SUFFIXES or _suffix(path) in AUDIO_SUFFIXES


def _suffix(path: str) -> str:
    return PurePosixPath(path).suffix.lower()


def _has_training(names: set[str]) -> bool:
    """Whether folders without classes are splits: one for training among several."""
    return len(names) > 1 and any(name.lower() in SPLIT_NAMES["train"] for name in names)


def _tables(paths: list[str]) -> list[str]:
    """Tables that stand beside the pictures."""
    return sorted(path for path in paths if "/" not in path and _suffix(path) in TABLES)


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
