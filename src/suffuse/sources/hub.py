"""Datasets by name, as Hugging Face's ``datasets`` loads them: ``hf://datasets/USER/NAME`` or ``hf://USER/NAME`` on the
Hub, ``hf://FOLDER`` of the same layout on this machine.

``@REVISION`` behind the name is a branch, a tag or a commit; ``?config=NAME&split=train,test`` chooses a configuration
and splits. Several splits give a column ``split``. No code of a dataset is run: the library loads data files alone.

The library writes the dataset as Parquet, pictures and sounds inside, into ``suffuse`` in its own cache; from there it
is read as any Parquet file. A commit, or an unchanged folder, is written once, and needs no network afterwards.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote

from ..errors import SuffuseError, UsageError, did_you_mean
from ..file_lock import lock
from ..files import read_json, write_json
from ..registry import optional
from . import parquet
from .row_stream import Block, Rows, Stream
from .table_format import TableFormat

SCHEME, EXTRA = "hf://", "datasets"
NAME = re.compile(r"(?P<name>[\w.-]+(?:/[\w.-]+)?)(?:@(?P<revision>[\w./-]+))?")
COMMIT = re.compile(r"[0-9a-f]{40}")
OTHER_REPOSITORIES = ("models/", "spaces/", "buckets/")
FORM = "hf://datasets/USER/NAME, with @REVISION, ?config=NAME and &split=NAME,NAME where they are wanted"
SECONDS = 10.0  # that the Hub has to say which commit a revision is
FILES = "splits.json"  # split -> its Parquet files


@dataclass(frozen=True)
class HubName:
    """What a source of this kind names."""

    path: str  # on the Hub, or a folder's
    is_local: bool
    revision: str | None = None
    config: str | None = None
    splits: tuple[str, ...] = ()  # none named: all

    def __str__(self) -> str:
        chosen = {"config": self.config, "split": ",".join(self.splits)}
        query = "&".join(f"{key}={quote(value, safe=',/')}" for key, value in chosen.items() if value)
        place = f"{SCHEME}{self.path}" if self.is_local else f"{SCHEME}datasets/{self.path}"
        return place + (f"@{self.revision}" if self.revision else "") + (f"?{query}" if query else "")


def read(source: str, table_format: TableFormat) -> Rows | Stream:
    """All rows of the named splits, one split behind the other.

    Raises UsageError where the library isn't installed or the name isn't one; SuffuseError where it can't be loaded.
    """
    name = parse(source)
    files = _files(name)
    splits = name.splits or tuple(files)
    for split in splits:
        if split not in files:
            raise UsageError("no such split", where=source, got=f"'{split}'", hint=did_you_mean(split, files))
    parts = [(split, parquet.read(file, table_format)) for split in splits for file in files[split]]
    return _chained(parts, has_split=len(splits) > 1)


def parse(source: str, base: Path = Path()) -> HubName:
    """A source's name in its parts; whether there is a folder of the name is looked up from ``base``. Raises UsageError
    where it is no such name."""
    place, _, query = source.removeprefix(SCHEME).partition("?")
    chosen = dict(parse_qsl(query, keep_blank_values=True))
    for key in chosen:
        if key not in ("config", "split"):
            raise UsageError("can't read this name", where=source, got=f"'{key}'", expected=FORM)
    splits = tuple(split for split in chosen.get("split", "").split(",") if split)
    config = chosen.get("config") or None
    if place.startswith((".", "/")) or (place and not place.startswith("datasets/") and (base / place).is_dir()):
        return HubName(place, True, config=config, splits=splits)
    matched = NAME.fullmatch(unquote(place.removeprefix("datasets/")))
    if not matched or place.startswith(OTHER_REPOSITORIES):
        raise UsageError("can't read this name", where=source, got=f"'{place}'", expected=FORM)
    return HubName(matched["name"], False, matched["revision"], config, splits)


def folder(source: str) -> Path | None:
    """The folder on this machine that a source names; None of a name on the Hub."""
    name = parse(source)
    return Path(name.path) if name.is_local else None


def identity(source: str) -> str | None:
    """The commit of a name on the Hub; None where it can't be told now."""
    name = parse(source)
    try:
        return None if name.is_local else _commit(name)
    except SuffuseError:
        return None


def placed(source: str, base: Path) -> str:
    """The source with a folder's path as an absolute one, from ``base``."""
    name = parse(source, base)
    return str(replace(name, path=str((base / name.path).resolve()))) if name.is_local else source


def pinned(source: str) -> str:
    """The source at the commit that its revision is now; a folder stays. Raises SuffuseError where it can't be told."""
    name = parse(source)
    return source if name.is_local else str(replace(name, revision=_commit(name)))


def relative(source: str, place: Path) -> str:
    """The source with a folder's path from ``place``."""
    name = parse(source)
    path = Path(os.path.relpath(Path(name.path).resolve(), place.resolve())).as_posix()
    return str(replace(name, path=path if path.startswith(".") else f"./{path}")) if name.is_local else source


def short_name(source: str) -> str:
    """What a run of this source is called."""
    return Path(parse(source).path).resolve().name if parse(source).is_local else parse(source).path.split("/")[-1]


def _commit(name: HubName) -> str:
    """The commit that a revision is now, by the Hub, or else by what was last downloaded of it. Raises SuffuseError
    where neither tells."""
    if name.revision and COMMIT.fullmatch(name.revision):
        return name.revision
    hub: Any = optional("huggingface_hub", EXTRA)
    try:
        return str(hub.HfApi().dataset_info(name.path, revision=name.revision, timeout=SECONDS).sha)
    except Exception as error:  # of the library, and of the HTTP client that it uses
        constants: Any = optional("huggingface_hub.constants", EXTRA)  # the package alone doesn't load it
        cache = Path(constants.HF_HUB_CACHE) / f"datasets--{name.path.replace('/', '--')}"
        reference = cache / "refs" / (name.revision or "main")
        if reference.is_file():
            return reference.read_text().strip()
        raise _not_loaded(name, error) from None


def _files(name: HubName) -> dict[str, list[Path]]:
    """Split -> its Parquet files, in the library's cache; they are written where they aren't there."""
    if name.is_local and not Path(name.path).is_dir():
        raise UsageError("no such folder", where=name, got=name.path)
    name = name if name.is_local else replace(name, revision=_commit(name))
    content = _facts(Path(name.path)) if name.is_local else [name.path, name.revision]
    digest = hashlib.blake2b(json.dumps([content, name.config]).encode(), digest_size=16).hexdigest()
    place = _cache() / "suffuse" / digest
    if not (place / FILES).exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.with_suffix(".lock").open("w") as file:
            lock(file, place, wait=True)
            if not (place / FILES).exists():
                _write(name, place)
    return {split: [place / file for file in files] for split, files in read_json(place / FILES).items()}


def _write(name: HubName, place: Path) -> None:
    """Let the library write a dataset as Parquet: into a folder beside the place, which is then renamed."""
    datasets: Any = optional("datasets", EXTRA)
    work = place.with_suffix(".partial")
    shutil.rmtree(work, ignore_errors=True)
    path = str(Path(name.path).resolve()) if name.is_local else name.path
    try:
        with _quiet(datasets):
            builder = datasets.load_dataset_builder(
                path, name.config, revision=name.revision, cache_dir=str(_cache() / "suffuse" / "builders")
            )
            builder.download_and_prepare(str(work), file_format="parquet")
    except Exception as error:  # of the library, of the readers and of the HTTP client that it uses
        raise _not_loaded(name, error) from None
    files = {str(split): _shards(work, f"{builder.dataset_name}-{split}") for split in builder.info.splits or ()}
    if not any(files.values()):
        raise UsageError("the dataset has no rows", where=name)
    write_json(work / FILES, files)
    shutil.rmtree(place, ignore_errors=True)
    work.replace(place)


def _not_loaded(name: HubName, error: Exception) -> SuffuseError:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    hint = "HF_TOKEN is the token of private ones; without a network a folder works: hf://FOLDER"
    if lines[0].startswith("Config name is missing"):
        hint = "?config=NAME behind it chooses one"
    elif name.is_local:
        hint = "the folder must be laid out as a dataset on the Hub is: data files of one kind"
    return SuffuseError("can't load the dataset", where=name, got=" ".join(lines[:2]), hint=hint)


def _shards(folder: Path, start: str) -> list[str]:
    """The names of a split's files, in order."""
    pattern = re.compile(re.escape(start) + r"(-\d+-of-\d+)?\.parquet")
    return sorted(file.name for file in folder.iterdir() if pattern.fullmatch(file.name))


def _facts(folder: Path) -> list[Any]:
    """Path, and names, sizes and times of all files in a folder."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return [str(folder.resolve()), [[str(f), f.stat().st_size, f.stat().st_mtime_ns] for f in files]]


def _cache() -> Path:
    """The library's folder for datasets."""
    constants: Any = optional("huggingface_hub.constants", EXTRA)
    chosen = os.environ.get("HF_DATASETS_CACHE")
    return Path(chosen).expanduser() if chosen else Path(constants.HF_HOME) / "datasets"


@contextmanager
def _quiet(datasets: Any) -> Iterator[None]:
    """Without the library's progress bars, where stderr is no terminal."""
    if sys.stderr.isatty() or datasets.are_progress_bars_disabled():
        yield
        return
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        datasets.enable_progress_bars()


def _chained(parts: list[tuple[str, Stream]], has_split: bool) -> Stream:
    """Files as one stream, with numbers of rows that go on, and the split's name where there are several."""
    known = parts[0][1].names
    adds_split = has_split and "split" not in known

    def names() -> list[str]:
        return [*known, "split"] if adds_split else known

    def all_blocks(columns: Collection[str] | None, size: int) -> Iterator[Block]:
        before = 0
        for number, (split, stream) in enumerate(parts):
            rows = 0
            for block in stream.blocks(columns, 0, size):
                table: Any = block.columns
                if adds_split and (columns is None or "split" in columns):
                    table = _with_split(table, split, len(block.line))
                broken = [(before + line, reason) for line, reason in block.broken]
                lines, share = [before + line for line in block.line], (number + block.share) / len(parts)
                rows += len(lines) + len(broken)
                yield Block(table, lines, broken, share)
            before += rows

    def blocks(columns: Collection[str] | None, skip: int, size: int) -> Iterator[Block]:
        return islice(all_blocks(columns, size), skip, None)

    return Stream(parts[0][1].root, names, blocks)


def _with_split(table: Any, split: str, count: int) -> Any:
    import pyarrow as pa

    return table.append_column("split", pa.array([split] * count, pa.string()))
