"""A table with addresses -> the same table with the paths of the files that were downloaded from them.

The manifest, Parquet, has all rows and columns of the table. In a column that was fetched, a cell is the file's path
from the manifest's folder; where there is no file the address stays, and the row is read without it. A cell with a
list of addresses becomes a list of paths. Beside the column stand ``COLUMN_address``, ``COLUMN_sha256`` and
``COLUMN_status`` (``ok``, or the reason), which no model reads.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from .. import sources
from ..csv_output import csv_lines
from ..errors import SuffuseError, UsageError
from ..file_lock import lock
from ..files import new_file, remove_temporaries
from ..progress import progress, say
from ..sources.parquet import ORIGIN_KEY
from ..sources.row_stream import Rows
from ..sources.table_format import AS_IS, TableFormat
from .address_columns import addresses, chosen_columns, joined, parts
from .download import Downloader, Limits, Rejected
from .journal import Journal, Outcome

OK = "ok"
FAILED = "failed.csv"
ADDED = ("address", "sha256", "status")  # behind the column's name: what the manifest says of each cell
LISTED = 5  # addresses that are listed on the screen; the file of failures has all of them


@dataclass(frozen=True)
class FetchOptions:
    """What is asked for besides table and manifest."""

    kinds: Mapping[str, str] = field(default_factory=dict)  # column -> image or audio; none: by the addresses' endings
    parallel: int = 8
    limits: Limits = field(default_factory=Limits)
    table_format: TableFormat = AS_IS


@dataclass(frozen=True)
class Fetched:
    """What became of the addresses."""

    manifest: Path
    rows: int
    files: int  # different addresses that gave one
    resumed: int  # of these, those that an earlier command had fetched
    failures: tuple[Outcome, ...]
    broken: int  # lines of the table that are no row

    def reasons(self) -> dict[str, int]:
        """Reason without its details -> addresses, the commonest first."""
        return dict(Counter(outcome.reason.split(":")[0] for outcome in self.failures).most_common())

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "manifest": str(self.manifest), "rows": self.rows, "files": self.files, "resumed": self.resumed,
            "failed": len(self.failures), "reasons": self.reasons(), "broken": self.broken,
        }  # fmt: skip


def fetch(source: str, out: Path | None = None, options: FetchOptions = FetchOptions()) -> Fetched:
    """Download every address of a table once, and write the manifest; by default ``NAME-fetched.parquet`` beside the
    table, where paths in other columns stay valid. Files are in the folder of the same name.

    Killed, it goes on where it was, with the same result. Called again, it tries those that failed once more.
    Raises UsageError where no column holds addresses, SuffuseError where none of them gives a file.
    """
    rows = sources.read(source, "rows", options.table_format)
    columns = chosen_columns(rows, options.kinds)
    _check_names(rows, columns)
    manifest = _manifest(source, rows, out)
    folder = manifest.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        try:
            lock(file, folder)
        except BlockingIOError:
            raise SuffuseError("another process fetches into this folder", where=folder, hint="wait for it") from None
        remove_temporaries(folder, lambda *_: True)  # of a command that was killed
        journal = Journal(folder)
        if (folder / FAILED).exists():  # the last command wasn't killed
            journal.forget_failures()
        wanted = list(dict.fromkeys(key for name, kind in columns.items() for key in _keys(rows, name, kind)))
        resumed = sum(key in journal.outcomes and bool(journal.outcomes[key].file) for key in wanted)
        _download(wanted, journal, options)
        outcomes = [journal.outcomes[key] for key in wanted]
        failures = tuple(outcome for outcome in outcomes if not outcome.file)
        _write_failures(folder / FAILED, failures)
        if len(failures) == len(wanted):
            got = "; ".join(f"{failure.address}: {failure.reason}" for failure in failures[:2])
            raise SuffuseError("no address gave a file", where=source, got=got, hint=_hint(folder, failures))
        _write_manifest(manifest, rows, columns, journal)
    return Fetched(manifest, rows.table.num_rows, len(wanted) - len(failures), resumed, failures, len(rows.broken))


def summary_lines(source: str, done: Fetched) -> Iterator[str]:
    """What is said at the end: counts, reasons, and some addresses that gave no file."""
    earlier = f", {done.resumed:,} of them before" if done.resumed else ""
    yield f"{done.files:,} files fetched{earlier}; {done.rows:,} rows in {done.manifest}"
    if done.broken:
        yield f"WARNING: {done.broken:,} lines of {source} are no row, and not in it: `suffuse check` lists such lines"
    if done.failures:
        reasons = "; ".join(f"{reason}: {count:,}" for reason, count in islice(done.reasons().items(), LISTED))
        yield f"WARNING: {len(done.failures):,} addresses gave no file ({reasons}):"
        yield from (f"  {outcome.address}: {outcome.reason}" for outcome in done.failures[:LISTED])
        rest = len(done.failures) - LISTED
        yield f"{f'{rest:,} more; ' if rest > 0 else ''}{_hint(done.manifest.with_suffix(''), done.failures)}"


def _hint(folder: Path, failures: Sequence[Outcome]) -> str:
    private = any(outcome.reason.startswith("not a public address") for outcome in failures)
    flag = "; --allow-private opens addresses of your own network" if private else ""
    return f"{folder / FAILED} lists all of them; called again, fetch tries them once more{flag}"


def _manifest(source: str, rows: Rows, out: Path | None) -> Path:
    """The file to write. Raises UsageError where it can't be one."""
    if out is None:
        is_here = sources.exists(str(sources.file_of(source)))
        beside = Path(rows.root) if is_here else Path()
        return beside / f"{sources.name_of(source)}-fetched.parquet"
    if out.suffix != ".parquet":
        raise UsageError("can't write this kind of table", where="--out", got=out.name, expected="a .parquet file")
    if out.exists() and sources.exists(str(sources.file_of(source))) and out.samefile(sources.file_of(source)):
        raise UsageError("the manifest would replace the table", where="--out", got=out, hint="choose another name")
    return out


def _check_names(rows: Rows, columns: Mapping[str, str]) -> None:
    for name in columns:
        for added in ADDED:
            if f"{name}_{added}" in rows.table.column_names:
                hint = "rename the column, or fetch the table that this one was made from"
                raise UsageError("the table has such a column already", got=f"'{name}_{added}'", hint=hint)


def _keys(rows: Rows, name: str, kind: str) -> Iterator[tuple[str, str]]:
    return ((part, kind) for cell in addresses(rows.table.column(name)) for part in cell if part is not None)


def _download(wanted: Sequence[tuple[str, str]], journal: Journal, options: FetchOptions) -> None:
    """Fetch what the journal hasn't, several at a time; outcomes are noted as they come."""
    missing = [key for key in wanted if key not in journal.outcomes]
    waiting, count = iter(missing), len(wanted) - len(missing)
    failed = sum(not journal.outcomes[key].file for key in wanted if key in journal.outcomes)
    downloader = Downloader(options.limits, options.parallel)

    def fetch_one(key: tuple[str, str]) -> Outcome:
        try:
            return journal.store(*key, downloader.download(*key))
        except Rejected as rejection:
            return Outcome(*key, reason=str(rejection))

    executor = ThreadPoolExecutor(options.parallel)
    running: set[Future[Outcome]] = set()
    try:
        with progress("fetch") as tell:
            while True:
                room = 2 * options.parallel - len(running)
                running |= {executor.submit(fetch_one, key) for key in islice(waiting, room)}
                if not running:
                    break
                finished, running = wait(running, return_when=FIRST_COMPLETED)
                for outcome in (future.result() for future in finished):
                    journal.add(outcome)
                    count, failed = count + 1, failed + (not outcome.file)
                tell(count / len(wanted), f"{count:,} of {len(wanted):,} addresses, {failed:,} without a file")
    finally:
        downloader.stopped.set()
        executor.shutdown(wait=True, cancel_futures=True)
        journal.close()


def _write_failures(file: Path, failures: Sequence[Outcome]) -> None:
    lines = csv_lines([("address", "kind", "reason"), *((f.address, f.kind, f.reason) for f in failures)])
    with new_file(file) as out:
        out.writelines(line.encode() for line in lines)


def _write_manifest(manifest: Path, rows: Rows, columns: Mapping[str, str], journal: Journal) -> None:
    table, folder = rows.table, manifest.with_suffix("").name
    facts: dict[str, pa.Array] = {}
    for name, kind in columns.items():
        column = table.column(name)
        added: dict[str, list[Any]] = {fact: [] for fact in ("file", *ADDED)}
        for cell, found in zip(column.to_pylist(), addresses(column), strict=True):
            outcomes = [None if address is None else journal.outcomes[address, kind] for address in found]
            files = [
                f"{folder}/{outcome.file}" if outcome and outcome.file else part
                for part, outcome in zip(parts(cell), outcomes, strict=True)
            ]
            hashes = [outcome and (outcome.sha256 or None) for outcome in outcomes]
            statuses = [outcome and (outcome.reason or OK) for outcome in outcomes]
            for fact, values in zip(added, (files, found, hashes, statuses), strict=True):
                added[fact].append(joined(cell, values))
        table = table.set_column(table.column_names.index(name), name, pa.array(added.pop("file"), column.type))
        facts |= {f"{name}_{fact}": pa.array(cells, column.type) for fact, cells in added.items()}
    for name, cells in facts.items():
        table = table.append_column(name, cells)
    table = table.replace_schema_metadata({ORIGIN_KEY: json.dumps([*rows.known.origin, *facts])})
    with new_file(manifest) as out:
        pq.write_table(table, out)
    if rows.broken:
        say(f"          {len(rows.broken):,} broken lines, the first in line {rows.broken[0][0]}: {rows.broken[0][1]}")
