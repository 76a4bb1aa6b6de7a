"""Sources: where rows come from, as one Arrow table with the place of every row, or as a stream of blocks.

A file is read by its suffix; a folder is a saved Hugging Face dataset, questions on pictures as VQA-RAD lays them out,
or pictures or recordings by class; a name in ``TABLE`` is a known set that comes inside an installed package. Each of
them is one module that follows :class:`ReaderPart`, or :class:`KnownSetPart`. A name that begins as one in ``SCHEMES``
is read by a module that follows :class:`RemotePart`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import SuffuseError, UsageError, did_you_mean
from ..files import plain_file
from ..object_store import LIBRARIES, local_path
from ..registry import load_part
from .row_stream import Rows, Stream, in_memory
from .table_format import AS_IS, TableFormat, split_sheet, without_missing

if TYPE_CHECKING:
    import pyarrow as pa

TABLE = {"easy-vqa": "suffuse.sources.easy_vqa"}

SUFFIXES = {
    ".csv": "suffuse.sources.csv",
    ".tsv": "suffuse.sources.csv",
    ".txt": "suffuse.sources.csv",
    ".xlsx": "suffuse.sources.sheets",
    ".ods": "suffuse.sources.sheets",
    ".parquet": "suffuse.sources.parquet",
    ".pq": "suffuse.sources.parquet",
    ".jsonl": "suffuse.sources.json_lines",
    ".ndjson": "suffuse.sources.json_lines",
    ".json": "suffuse.sources.json",
}
CLASSES = "classes"  # the layout of a folder of files by class
FOLDERS = {
    "dataset": "suffuse.sources.huggingface",
    "questions": "suffuse.sources.questions",
    CLASSES: "suffuse.sources.class_folder",
}
SCHEMES = {  # of a source that is SCHEME://NAME
    "hf": "suffuse.sources.hub",
    **dict.fromkeys(LIBRARIES, "suffuse.sources.stored_table"),
}
MAX_SHOWN = 200  # characters of a name that is no source's
SAVED_DATASET = ("dataset_dict.json", "state.json")  # one of these stands in a saved dataset


class ReaderPart(Protocol):
    """The interface of the module that reads a file or folder."""

    def read(self, path: Any, table_format: TableFormat, /) -> Rows | Stream:
        """The rows of a Path, of a table's file also of an ``ObjectPath``; a ``Stream`` where the format can be read in
        blocks. Raises SuffuseError where they can't be read, UsageError where the path holds no table."""
        ...


class KnownSetPart(Protocol):
    """The interface of the module that reads a known set, which comes inside an installed package."""

    def read(self) -> Rows | Stream:
        """The rows. Raises SuffuseError where the package isn't installed."""
        ...


class RemotePart(Protocol):
    """The interface of the module that reads sources by a name, SCHEME://NAME."""

    def read(self, source: str, table_format: TableFormat, /) -> Rows | Stream:
        """The rows. Raises SuffuseError where they can't be read, UsageError where it is no such name or a library
        isn't installed."""
        ...

    def folder(self, source: str, /) -> Path | None:
        """The folder on this machine that holds it; None where it lies elsewhere."""
        ...

    def identity(self, source: str, /) -> str | None:
        """What decides the content of a source that lies elsewhere; None where it can't be told now."""
        ...

    def placed(self, source: str, base: Path, /) -> str:
        """The source with relative paths in it made absolute, from ``base``."""
        ...

    def relative(self, source: str, place: Path, /) -> str:
        """The source with paths in it made relative to ``place``."""
        ...

    def pinned(self, source: str, /) -> str:
        """The source by a name of which the content stays the same. Raises SuffuseError where it can't be told now."""
        ...

    def short_name(self, source: str, /) -> str:
        """What a run of this source is called."""
        ...


def load_remote(source: str) -> RemotePart | None:
    """The module that reads a source SCHEME://NAME; None of any other source."""
    scheme, slashes, _ = source.partition("://")
    scheme = scheme.lower()
    return load_part(SCHEMES, scheme, RemotePart) if slashes and scheme in SCHEMES else None


def load_reader(module: str) -> ReaderPart:
    """The module that reads a file or folder, one of ``SUFFIXES`` or ``FOLDERS``."""
    return load_part({module: module}, module, ReaderPart)


def load_known_set(name: str) -> KnownSetPart:
    """The known set of this name. Raises UsageError where there is none."""
    return load_part(TABLE, name, KnownSetPart)


def read(source: str, key: str = "data.source", table_format: TableFormat = AS_IS) -> Rows:
    """Rows of a file, a saved dataset or a known set, with empty cells in place of the format's missing values.

    Raises UsageError, naming the ``key`` that names the source, where there is no such source; SuffuseError where it
    can't be read.
    """
    import pyarrow as pa

    opened = _open(source, key, table_format)
    try:
        rows = opened.read_all() if isinstance(opened, Stream) else opened
    except pa.ArrowException as error:
        raise SuffuseError("can't read the table", where=source, got=error) from None
    if not rows.table.num_rows:
        raise no_rows(source, rows.broken)
    return without_missing(rows, table_format.missing_values)


def stream(source: str, table_format: TableFormat = AS_IS) -> Stream:
    """Rows of a file, a saved dataset or a known set, or of records as JSON, block by block. A JSON list, a saved
    dataset and a known set are read whole. Missing values stay as they are.

    Raises as :func:`read` does.
    """
    from . import json

    inline = json.is_inline(source) and not exists(source)
    opened = json.read_inline(source) if inline else _open(source, "rows", table_format)
    return opened if isinstance(opened, Stream) else in_memory(opened)


def _open(source: str, key: str, table_format: TableFormat) -> Rows | Stream:
    if remote := load_remote(source):
        return remote.read(source, table_format)
    source = local_path(source)
    module, path = _locate(source, key)
    return load_known_set(source).read() if path is None else load_reader(module).read(path, table_format)


def no_rows(where: object, broken: Sequence[tuple[int, str]]) -> UsageError:
    """That a table has no rows, with the first reason where there are only broken ones."""
    got = f"{len(broken):,} broken rows, the first in line {broken[0][0]}: {broken[0][1]}" if broken else ""
    return UsageError("the table has no rows", where=where, got=got)


def _locate(source: str, key: str = "data.source") -> tuple[str, Path | None]:
    """The module that reads a source, and the path that it reads; none of a known set.

    Raises UsageError, naming the ``key``, where there is no such source.
    """
    path, is_path = Path(source), exists(source)
    file, sheet = split_sheet(source)
    if sheet and exists(str(file)):
        plain_file(file)
        return SUFFIXES[file.suffix.lower()], path
    if source in TABLE and not is_path:
        return TABLE[source], None
    if not is_path:
        got, known = source if len(source) <= MAX_SHOWN else f"{source[:MAX_SHOWN]}...", ", ".join(TABLE)
        raise UsageError("no such source", where=key, got=got, expected=f"a file, a folder, a URL, or one of: {known}")
    if path.is_dir():
        return FOLDERS[layout(path)], path
    if path.suffix.lower() not in SUFFIXES:
        got, expected = path.suffix or "no suffix", " ".join(SUFFIXES)
        raise UsageError("unknown kind of table", where=path, got=got, expected=expected)
    return SUFFIXES[path.suffix.lower()], plain_file(path)


def file_of(source: str) -> Path:
    """The path of a source, without the name of a sheet behind ``#``."""
    return split_sheet(local_path(source))[0]


def name_of(source: str) -> str:
    """What a source is called: the file's name without its ending, the folder's, or the dataset's."""
    remote = load_remote(source)
    return remote.short_name(source) if remote else file_of(source).absolute().stem


def exists(source: str) -> bool:
    """Whether a source is a path that leads somewhere; a text that can be no path leads nowhere."""
    try:
        return Path(source).exists()
    except (OSError, ValueError):
        return False


def is_table(path: Path) -> bool:
    """Whether a path is a source of rows: a file of a table's kind, a saved dataset, a folder of pictures or recordings
    by class, or a known set's name."""
    if not exists(str(path)):
        return str(path) in TABLE
    if not path.is_dir():
        return path.suffix.lower() in SUFFIXES
    return _is_saved(path) or is_class_folder(path)


def is_class_folder(folder: Path) -> bool:
    """Whether a folder holds pictures or recordings by class."""
    from . import class_folder

    return folder.is_dir() and layout(folder) == CLASSES and class_folder.is_class_folder(folder)


def layout(folder: Path) -> str:
    """How a folder of rows is laid out, one of ``FOLDERS``; files by class where it is nothing else."""
    from . import class_folder, questions

    if _is_saved(folder):
        return "dataset"
    if not any(folder.glob("*.json")):
        return CLASSES
    by_class = class_folder.is_class_folder(folder) and not questions.holds_questions(folder)
    return CLASSES if by_class else "questions"


def _is_saved(folder: Path) -> bool:
    return any((folder / name).exists() for name in SAVED_DATASET)


def column(rows: Rows, name: str, key: str) -> pa.ChunkedArray:
    """A column by name. Raises UsageError naming the recipe's ``key`` where it isn't there."""
    if name not in rows.table.column_names:
        raise UsageError("no such column", where=key, got=f"'{name}'", hint=did_you_mean(name, rows.table.column_names))
    return rows.table.column(name)


def cells(rows: Rows, columns: str | tuple[str, ...], key: str) -> pa.ChunkedArray:
    """The cells of one column; of several, dictionaries column -> value. Raises as :func:`column` does."""
    if isinstance(columns, str):
        return column(rows, columns, key)
    import pyarrow as pa

    parts = [column(rows, name, key).combine_chunks() for name in columns]
    return pa.chunked_array([pa.StructArray.from_arrays(parts, names=list(columns))])


def texts(values: Iterable[Any]) -> list[str | None]:
    """Cells as stripped strings; None where a cell is empty."""
    stripped = (None if v is None or v != v else str(v).strip() for v in values)
    return [v or None for v in stripped]
