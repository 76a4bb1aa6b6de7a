"""Sources: where rows come from, as one Arrow table with the place of every row, or as a stream of blocks.

A file is read by its suffix; a folder is a saved Hugging Face dataset, or questions on pictures as VQA-RAD lays them
out; a name in ``TABLE`` is a known set that comes inside an installed package. Each of them is one module that follows
:class:`ReaderPart`, or :class:`KnownSetPart`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import SuffuseError, UsageError, did_you_mean
from ..files import plain_file
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
FOLDERS = {"dataset": "suffuse.sources.huggingface", "questions": "suffuse.sources.questions"}
MAX_SHOWN = 200  # characters of a name that is no source's
SAVED_DATASET = ("dataset_dict.json", "state.json")  # one of these stands in a saved dataset


class ReaderPart(Protocol):
    """The interface of the module that reads a file or folder."""

    def read(self, path: Path, table_format: TableFormat, /) -> Rows | Stream:
        """The rows; a ``Stream`` where the format can be read in blocks. Raises SuffuseError where they can't be read,
        UsageError where the path holds no table."""
        ...


class KnownSetPart(Protocol):
    """The interface of the module that reads a known set, which comes inside an installed package."""

    def read(self) -> Rows | Stream:
        """The rows. Raises SuffuseError where the package isn't installed."""
        ...


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
        raise SuffuseError("can't read the table", where=Path(source), got=error) from None
    if not rows.table.num_rows:
        raise no_rows(Path(source), rows.broken)
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
        raise UsageError("no such source", where=key, got=got, expected=f"a file, or one of: {known}")
    if path.is_dir():
        return FOLDERS[_layout(path)], path
    if path.suffix.lower() not in SUFFIXES:
        got, expected = path.suffix or "no suffix", " ".join(SUFFIXES)
        raise UsageError("unknown kind of table", where=path, got=got, expected=expected)
    return SUFFIXES[path.suffix.lower()], plain_file(path)


def file_of(source: str) -> Path:
    """The path of a source, without the name of a sheet behind ``#``."""
    return split_sheet(source)[0]


def exists(source: str) -> bool:
    """Whether a source is a path that leads somewhere; a text that can be no path leads nowhere."""
    try:
        return Path(source).exists()
    except (OSError, ValueError):
        return False


def is_table(path: Path) -> bool:
    """Whether a path is a source of rows: a file of a table's kind, a saved dataset or a known set's name."""
    if not exists(str(path)):
        return str(path) in TABLE
    return _is_saved(path) if path.is_dir() else path.suffix.lower() in SUFFIXES


def _layout(folder: Path) -> str:
    return "questions" if not _is_saved(folder) and any(folder.glob("*.json")) else "dataset"


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
