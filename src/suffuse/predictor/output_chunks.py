"""A long output file in chunks: an interrupted command continues where it was, and the file has the same bits.

``.OUT.partial/`` stands beside OUT until it is finished: ``what.json`` identifies the inputs, and each chunk is a file
with its facts beside it, written atomically. Chunks are cut by the source only, never by time. At the end they are
joined under a temporary name, and OUT is replaced in one step.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from ..errors import UsageError
from ..file_lock import lock
from ..files import naming, read_json, write_bytes, write_json
from ..progress import say

MERGED_FILES = 16  # parts of one group of rows in a Parquet file
COPIED = 2**20  # bytes at a time


class OutputChunks:
    """The finished chunks of one output file."""

    def __init__(self, out: Path, folder: Path):
        self.out, self.folder = out, folder
        self.facts: list[dict[str, Any]] = []  # of each part that is there, without its problems

    def write(self, content: bytes, facts: dict[str, Any]) -> None:
        """Write the next chunk. It counts once its facts are written."""
        number = len(self.facts)
        write_bytes(self.folder / f"{number:08}.part", content)
        write_json(self.folder / f"{number:08}.json", facts)
        self._keep(facts)

    def take_over(self) -> None:
        """Reuse the chunks that an earlier attempt finished."""
        while (facts := self._facts(len(self.facts))) is not None:
            self._keep(facts)

    def problems(self) -> Iterator[list[Any]]:
        """Problems of all chunks, in order: (line, modality, reason)."""
        for number, kept in enumerate(self.facts):
            if kept["counts"]["problems"]:
                yield from (self._facts(number) or {})["problems"]

    def drop(self) -> None:
        """Delete all chunks."""
        shutil.rmtree(self.folder)

    def finish(self, head: bytes) -> None:
        """Join the chunks into the finished file."""
        whole_file = self.folder / "whole"
        with naming(self.out):
            if self.out.suffix.lower() == ".parquet":
                self._parquet(whole_file)
            else:
                with whole_file.open("wb") as file:
                    file.write(head)
                    for part in self._files():
                        with part.open("rb") as content:
                            shutil.copyfileobj(content, file, COPIED)
            with whole_file.open("rb") as file:
                os.fsync(file.fileno())
            whole_file.replace(self.out)
        shutil.rmtree(self.folder)

    def _keep(self, facts: dict[str, Any]) -> None:
        self.facts.append({key: value for key, value in facts.items() if key != "problems"})

    def _facts(self, number: int) -> dict[str, Any] | None:
        return read_json(self.folder / f"{number:08}.json")

    def _files(self) -> Iterator[Path]:
        return (self.folder / f"{number:08}.part" for number in range(len(self.facts)))

    def _parquet(self, whole_file: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        files = list(self._files())
        with pa.ipc.open_stream(pa.memory_map(str(files[0]))) as first:
            schema = first.schema
        with pq.ParquetWriter(whole_file, schema) as out:
            for start in range(0, len(files), MERGED_FILES):
                tables: list[Any] = []
                for file in files[start : start + MERGED_FILES]:
                    with pa.ipc.open_stream(pa.memory_map(str(file))) as content:
                        tables.append(content.read_all())
                out.write_table(pa.concat_tables(tables).combine_chunks())


@contextmanager
def open_chunks(out: Path, inputs: Mapping[str, Any]) -> Generator[OutputChunks]:
    """The chunks of ``out`` for these ``inputs`` (name -> value). Chunks of an interrupted attempt are reused; where
    any input changed they are written again.

    Raises UsageError where another process is writing this file.
    """
    folder = out.with_name(f".{out.name}.partial")
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("wb") as file:
        _lock(file, out)
        chunks = OutputChunks(out, folder)
        saved_inputs = read_json(folder / "what.json")
        changed = [name for name in inputs if saved_inputs is not None and saved_inputs.get(name) != inputs[name]]
        if changed:
            say(f"          {out.name} was begun with another {' and '.join(changed)}: it is started again")
        if saved_inputs is None or changed:
            for old in folder.iterdir():
                if old.name != "lock":
                    old.unlink()
            write_json(folder / "what.json", dict(inputs))
        chunks.take_over()
        yield chunks


def _lock(file: IO[bytes], out: Path) -> None:
    """The lock is held until the process ends."""
    try:
        lock(file, out)
    except BlockingIOError:
        raise UsageError("another process is writing this file", where=out) from None
