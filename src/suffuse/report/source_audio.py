"""The sounds of a run's rows as they were recorded, where the table and its files are still there: what is prepared of
a sound may be no sound (log-mel power, an embedding)."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from .. import sources
from ..errors import SuffuseError
from ..files import parsing
from ..modalities.audio_ops import read
from ..modalities.cell import Limits, Root, Unreadable, content, is_empty
from ..run import Run

MOST = 8  # sounds on a page: each takes 21 kB in each language
SECONDS = 2.0  # that are read
LARGEST = 2**26  # bytes of a table that is read again for them
LIMITS = Limits(cell_bytes=2**25)


@dataclass
class Originals:
    """Sounds of rows by modality; asked again for the same one, it answers the same."""

    run: Run
    known: dict[tuple[str, int], tuple | None] = field(default_factory=dict)  # modality, row
    columns: set[tuple[str, int]] = field(default_factory=set)  # column, row

    def sound(self, name: str, row: int) -> tuple | None:
        """(samples (N,), rate) of a row's clip, its first seconds; None where it can't be read, or enough are shown."""
        column = getattr(self.run.recipe.modalities.get(name), "column", None)
        if not isinstance(column, str) or self._table is None or column not in self._table.column_names:
            return None
        if (name, row) not in self.known:
            shown = sum(found is not None for found in self.known.values())
            twice = (column, row) in self.columns  # two modalities that are made of one recording
            self.known[name, row] = self._read(column, row) if shown < MOST and not twice else None
            self.columns.add((column, row))
        return self.known[name, row]

    def _read(self, column: str, row: int) -> tuple | None:
        assert self._table is not None
        line, said = (self._rows.column(key)[row].as_py() for key in ("line", "id"))
        at, data = self._at.get(line), self.run.recipe.data
        if at is None or (data.id and str(self._table.column(data.id)[at].as_py()).strip() != said):
            return None  # another table than the one that was prepared
        value = self._table.column(column)[at].as_py()
        try:
            return None if is_empty(value) else read(content(value, self._root), SECONDS)[:2]
        except (ValueError, OSError, SuffuseError, Unreadable):  # gone or changed since: its picture is there
            return None

    @cached_property
    def _source(self) -> sources.Rows | None:
        path = Path(self.run.recipe.data.source)
        try:
            return sources.read(str(path)) if path.is_file() and path.stat().st_size <= LARGEST else None
        except (SuffuseError, OSError, ValueError):
            return None

    @property
    def _table(self) -> pa.Table | None:
        return self._source.table if self._source else None

    @cached_property
    def _at(self) -> dict[int, int]:
        return {line: at for at, line in enumerate(self._source.line)} if self._source else {}

    @cached_property
    def _root(self) -> Root:
        data = self.run.recipe.data
        folder = Path(data.root) if data.root else self._source.root if self._source else Path()
        return Root.of(folder, Path(data.within) if data.within else None, LIMITS)

    @cached_property
    def _rows(self) -> pa.Table:
        with parsing(self.run.path("data", "rows.parquet")):
            return pq.read_table(self.run.path("data", "rows.parquet"), columns=["line", "id"])
