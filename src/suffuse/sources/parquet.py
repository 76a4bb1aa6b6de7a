"""Parquet."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import SuffuseError
from . import Rows


def read(path: Path) -> Rows:
    """All rows. Raises SuffuseError where the file is no Parquet or is cut off."""
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise SuffuseError("can't read the table", where=path, got=str(error).splitlines()[0]) from None
    return Rows(table, list(range(1, table.num_rows + 1)), path.parent)
