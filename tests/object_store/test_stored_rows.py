"""Tables and files of a store against the same ones on the disk: prepared, proposed and predicted."""

from __future__ import annotations

import csv
import hashlib
import json
import os
from pathlib import Path
from random import Random
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from e2e_tools import check_failure, check_success, draw, make_recipe, make_rows, suffuse, write_csv, write_recipe
from s3_server import BUCKET, SECRETS, Fault, Proxy

from suffuse import object_store, sources
from suffuse.errors import SuffuseError, UsageError
from suffuse.modalities.cell import Root, Unreadable, read_file
from suffuse.prepare.recipe_proposal import propose
from suffuse.sources import stored_table

MEMORY, S3 = f"memory://{BUCKET}", f"s3://{BUCKET}"


def upload(folder: Path, url: str) -> None:
    """All files of a folder -> objects below a URL."""
    scheme, _, place = url.partition("://")
    system = object_store._opened(scheme, os.getpid())
    for file in sorted(f for f in folder.rglob("*") if f.is_file()):
        system.pipe_file(f"{place}/{file.relative_to(folder).as_posix()}", file.read_bytes())


def make_table(folder: Path) -> Path:
    """A table with pictures; of one row the picture is missing, of another one it is none."""
    rows = make_rows(folder, pictures=24)
    write_csv(folder / "rows.csv", rows)
    (folder / "images" / "3.png").unlink()
    (folder / "images" / "5.png").write_bytes(b"no picture")
    (folder / "images" / "7.png").write_bytes(b"")
    return folder


def content(folder: Path) -> dict[str, str]:
    """Name -> hash of each file of prepared data."""
    return {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in sorted(folder.iterdir()) if f.is_file()}


def prepared(folder: Path, source: str, **changes: object) -> dict[str, str]:
    """``suffuse prepare`` of a source into a new run; the hashes of its data."""
    folder.mkdir()
    write_recipe(folder / "recipe.yaml", make_recipe(data__source=source, **changes))
    check_success(suffuse("prepare", "recipe.yaml", "--out", "run", cwd=folder))
    return content(folder / "run" / "data")


def test_prepared_data_have_the_bytes_of_local_ones(tmp_path: Path, memory: None):
    upload(make_table(tmp_path / "local"), f"{MEMORY}/set")
    local = prepared(tmp_path / "a", str(tmp_path / "local" / "rows.csv"))
    assert "quarantine.csv" in local
    assert prepared(tmp_path / "b", f"{MEMORY}/set/rows.csv") == local
    quarantined = (tmp_path / "b" / "run" / "data" / "quarantine.csv").read_text()
    assert quarantined.count("no such file") == quarantined.count("the file is empty") == 2


@pytest.mark.long
def test_table_and_files_lie_in_different_places(tmp_path: Path, memory: None):
    upload(make_table(tmp_path / "local"), f"{MEMORY}/set")
    local = prepared(tmp_path / "a", str(tmp_path / "local" / "rows.csv"))
    root = {"data__root": f"{MEMORY}/set"}
    assert prepared(tmp_path / "c", str(tmp_path / "local" / "rows.csv"), **root) == local
    assert prepared(tmp_path / "d", f"{MEMORY}/set/rows.csv", data__root=str(tmp_path / "local")) == local


def test_prepared_data_of_s3_have_the_bytes_of_local_ones(tmp_path: Path, s3: Proxy):
    upload(make_table(tmp_path / "local"), f"{S3}/set")
    local = prepared(tmp_path / "a", str(tmp_path / "local" / "rows.csv"))
    s3.faults += [
        Fault("status", "images/1.png", times=1),
        Fault("short", "images/2.png", times=1),
        Fault("cut", "images/4.png", times=1),
        Fault("short", "set/rows.csv", times=1),
    ]
    assert prepared(tmp_path / "b", f"{S3}/set/rows.csv") == local
    assert all(fault.seen == 1 for fault in s3.faults)
    written = b"".join(f.read_bytes() for f in (tmp_path / "b").rglob("*") if f.is_file())
    assert not any(secret.encode() in written for secret in SECRETS.values())


class Outage(OSError):
    """As an SDK raises it, once it has repeated the request."""

    response: ClassVar = {"Error": {"Code": "503"}}


def test_outage_stops_the_run_and_is_gone_on_from(tmp_path: Path, memory: None, monkeypatch: pytest.MonkeyPatch):
    upload(make_table(tmp_path / "local"), f"{MEMORY}/out")
    write_recipe(tmp_path / "recipe.yaml", make_recipe(data__source=f"{MEMORY}/out/rows.csv"))
    system = object_store.system_of(MEMORY)
    reads, cat_file = [], system.cat_file

    def failing(path: str, **options: object) -> bytes:
        reads.append(path)
        if len(reads) > 12:
            raise Outage
        return cat_file(path, **options)

    with monkeypatch.context() as patch:
        patch.setattr(system, "cat_file", failing)
        stopped = suffuse("prepare", "recipe.yaml", "--out", "run", cwd=tmp_path)
    check_failure(stopped, 1, "the store failed", f"{MEMORY}/out/images/", "got 503")
    assert not (tmp_path / "run" / "data").exists()
    check_success(suffuse("prepare", "recipe.yaml", "--out", "run", cwd=tmp_path))
    assert "no such file" in (tmp_path / "run" / "data" / "quarantine.csv").read_text()


@pytest.mark.long
def test_s3_outage_stops_the_run_and_is_gone_on_from(tmp_path: Path, s3: Proxy):
    upload(make_table(tmp_path / "local"), f"{S3}/out")
    local = prepared(tmp_path / "a", str(tmp_path / "local" / "rows.csv"))
    write_recipe(tmp_path / "recipe.yaml", make_recipe(data__source=f"{S3}/out/rows.csv"))
    s3.faults.append(Fault("status", ".png", methods=("GET", "HEAD")))
    stopped = suffuse("prepare", "recipe.yaml", "--out", "run", cwd=tmp_path)
    check_failure(stopped, 1, "the store failed", f"{S3}/out/images/")
    assert not (tmp_path / "run" / "data").exists()
    s3.faults.clear()
    check_success(suffuse("prepare", "recipe.yaml", "--out", "run", cwd=tmp_path))
    assert content(tmp_path / "run" / "data") == local


def test_changed_object_is_prepared_again(tmp_path: Path, memory: None):
    upload(make_table(tmp_path / "local"), f"{MEMORY}/set")
    prepared(tmp_path / "a", f"{MEMORY}/set/rows.csv")
    again = suffuse("prepare", "recipe.yaml", "--out", "run", cwd=tmp_path / "a")
    assert "up to date" in check_success(again).err
    rows = list(csv.reader((tmp_path / "local" / "rows.csv").read_text().splitlines()))
    write_csv(tmp_path / "local" / "rows.csv", [dict(zip(rows[0], row, strict=True)) for row in rows[1:-3]])
    upload(tmp_path / "local", f"{MEMORY}/set")
    changed = check_success(suffuse("prepare", "recipe.yaml", "--out", "run", cwd=tmp_path / "a"))
    assert "up to date" not in changed.err


def test_objects_are_read_at_the_same_time_but_not_all(memory: None, monkeypatch: pytest.MonkeyPatch):
    assert Root.of(MEMORY).readers() == object_store.READERS
    assert Root.of(".").readers() == os.cpu_count()


@pytest.mark.parametrize(
    ("root", "allowed", "cell", "reason"),
    [
        (f"{MEMORY}/in", None, "a.bin", None),
        (f"{MEMORY}/in/", None, "deep/../a.bin", None),
        (f"{MEMORY}/in", None, f"{MEMORY}/in/a.bin", None),
        (f"{MEMORY}/in", None, "../b.bin", "outside the data root"),
        (f"{MEMORY}/in", None, "../inner/c.bin", "outside the data root"),
        (f"{MEMORY}/in", None, "../../other/b.bin", "outside the data root"),
        (f"{MEMORY}/in", None, "/etc/passwd", "outside the data root"),
        (f"{MEMORY}/in", None, f"{MEMORY}/b.bin", "outside the data root"),
        (f"{MEMORY}/in", None, "memory://x:y@rows/in/a.bin", "outside the data root"),
        (f"{MEMORY}/in", None, "s3://rows/in/a.bin", "outside the data root"),
        (f"{MEMORY}/in", MEMORY, "../b.bin", None),
        (".", None, f"{MEMORY}/in/a.bin", "a store's URL"),
        (".", f"{MEMORY}/in", f"{MEMORY}/in/a.bin", None),
        (".", f"{MEMORY}/in", "pyproject.toml", "outside the data root"),
        (f"{MEMORY}/in", None, "http://127.0.0.1/a.bin", "a web address"),
        (f"{MEMORY}/in", None, "nothing.bin", "no such file"),
        (f"{MEMORY}/in", None, "deep", "not a file: a directory"),
        (f"{MEMORY}/in", None, "empty.bin", "the file is empty"),
    ],
)
def test_cells_stay_below_the_root(memory: None, root: str, allowed: str | None, cell: str, reason: str | None):
    system = object_store._opened("memory", os.getpid())
    for key in ("in/a.bin", "in/deep/d.bin", "b.bin", "inner/c.bin"):
        system.pipe_file(f"{BUCKET}/{key}", b"content")
    system.pipe_file(f"{BUCKET}/in/empty.bin", b"")
    if reason is None:
        assert read_file(cell, Root.of(root, allowed)) == b"content"
        return
    with pytest.raises(Unreadable) as caught:
        read_file(cell, Root.of(root, allowed))
    assert str(caught.value).startswith(reason)


def test_too_large_object_is_not_read(memory: None, monkeypatch: pytest.MonkeyPatch):
    system = object_store._opened("memory", os.getpid())
    system.pipe_file(f"{BUCKET}/a.bin", b"content")
    monkeypatch.setattr(system, "cat_file", lambda *_, **__: pytest.fail("it was read"))
    with pytest.raises(Unreadable, match="too large"):
        read_file("a.bin", Root.of(MEMORY), limit=3)


def table() -> pa.Table:
    numbers = np.arange(5000)
    return pa.table({"a": numbers, "b": [f"text {n}, \u00e4" for n in numbers], "c": numbers / 7})


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.jsonl", "t.json", "t.parquet", "t.xlsx"])
def test_tables_are_read_as_local_ones(tmp_path: Path, memory: None, name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(object_store, "RANGE", 4096)
    place, rows = tmp_path / name, table()
    if name.endswith("parquet"):
        pq.write_table(rows, place, row_group_size=700)
    elif name.endswith("xlsx"):
        write_sheet(place, rows.slice(0, 50))
    elif name.endswith(("jsonl", "json")):
        lines = [json.dumps(row) for row in rows.to_pylist()]
        place.write_text("\n".join(lines) if name.endswith("l") else f"[{','.join(lines)}]")
    else:
        with place.open("w", newline="") as file:
            writer = csv.writer(file, delimiter="\t" if name.endswith("tsv") else ",")
            writer.writerows([rows.column_names, *zip(*rows.to_pydict().values(), strict=True)])
    upload(tmp_path, MEMORY)
    local, stored = sources.read(str(place)), sources.read(f"{MEMORY}/{name}")
    assert stored.table.equals(local.table)
    assert (stored.line, stored.broken) == (local.line, local.broken)
    assert stored.root == MEMORY
    by_block = [block.cells("a") for block in sources.stream(f"{MEMORY}/{name}").read(["a"], 2)]
    assert by_block == [block.cells("a") for block in sources.stream(str(place)).read(["a"], 2)]


def write_sheet(place: Path, rows: pa.Table) -> None:
    import openpyxl

    book = openpyxl.Workbook()
    sheet = book.create_sheet("second")
    for line in [rows.column_names, *zip(*rows.to_pydict().values(), strict=True)]:
        sheet.append(list(line))
        book.worksheets[0].append(list(line))
    book.save(place)


def test_sheet_of_a_stored_book(tmp_path: Path, memory: None):
    write_sheet(tmp_path / "t.xlsx", table().slice(0, 9))
    upload(tmp_path, MEMORY)
    assert sources.read(f"{MEMORY}/t.xlsx#second").table.num_rows == 9
    with pytest.raises(UsageError, match="no such sheet"):
        sources.read(f"{MEMORY}/t.xlsx#third")


def test_parquet_whose_store_fails_is_no_broken_table(tmp_path: Path, s3: Proxy):
    pq.write_table(table(), tmp_path / "t.parquet")
    upload(tmp_path, S3)
    s3.faults.append(Fault("status", "t.parquet"))
    with pytest.raises(SuffuseError, match="the store failed"):
        sources.read(f"{S3}/t.parquet")


def test_file_url_is_the_local_file(tmp_path: Path):
    make_table(tmp_path / "local")
    url = (tmp_path / "local" / "rows.csv").as_uri()
    assert sources.read(url).root == tmp_path / "local"
    proposed = propose(url, "answer", place=tmp_path)
    assert "source: local/rows.csv" in proposed.text


def test_recipe_of_a_stored_table_runs(tmp_path: Path, memory: None):
    upload(make_table(tmp_path / "local"), f"{MEMORY}/set")
    check_success(suffuse("init", f"{MEMORY}/set/rows.csv", "--target", "answer", "-o", "recipe.yaml", cwd=tmp_path))
    text = (tmp_path / "recipe.yaml").read_text()
    assert yaml.safe_load(text)["data"]["source"] == f"{MEMORY}/set/rows.csv"
    assert "kind: image" in text
    check_success(suffuse("check", "recipe.yaml", cwd=tmp_path))


def test_credential_in_a_recipe_is_refused_and_not_repeated(tmp_path: Path):
    for key in ("data__source", "data__root", "data__allowed_dir"):
        write_recipe(tmp_path / "recipe.yaml", make_recipe(**{key: "s3://KEYNAME:hidden@rows/set.csv"}))
        failed = suffuse("prepare", "recipe.yaml", "--out", "run", cwd=tmp_path)
        check_failure(failed, 2, "a URL holds credentials", key.replace("__", "."))
        assert "hidden" not in failed.err + failed.out
        assert not (tmp_path / "run").exists()
    (tmp_path / "recipe.yaml").unlink()
    for command in (("init", "--target", "answer"), ("run", "--target", "answer")):
        failed = suffuse(command[0], "s3://KEYNAME:hidden@rows/set.csv", *command[1:], cwd=tmp_path)
        check_failure(failed, 2, "a URL holds credentials")
        assert "hidden" not in failed.err + failed.out
    assert not list(tmp_path.iterdir())


def test_folder_by_class(tmp_path: Path, memory: None):
    for number, path in enumerate(("cat/1.png", "cat/2.png", "dog/1.png", "dog/notes.txt", ".git/a.png", "Thumbs.db")):
        draw(
            tmp_path / "local" / path if path.endswith("png") else tmp_path / "x.png",
            "red",
            "circle",
            8,
            Random(number),
        )
        if not path.endswith("png"):
            (tmp_path / "local" / path).write_bytes(b"text")
    upload(tmp_path / "local", f"{MEMORY}/photos")
    local, stored = sources.read(str(tmp_path / "local")), sources.read(f"{MEMORY}/photos/")
    assert stored.table.equals(local.table)
    assert (stored.known, stored.root) == (local.known, f"{MEMORY}/photos")
    assert sources.name_of(f"{MEMORY}/photos") == "photos"
    remote = sources.load_remote(MEMORY)
    assert remote is not None
    before = remote.identity(f"{MEMORY}/photos")
    assert before == remote.identity(f"{MEMORY}/photos/")
    object_store.system_of(MEMORY).mv(f"{BUCKET}/photos/cat/2.png", f"{BUCKET}/photos/dog/2.png")
    assert remote.identity(f"{MEMORY}/photos") != before
    with pytest.raises(UsageError, match="nothing is there"):
        sources.read(f"{MEMORY}/nothing")


def test_folder_by_class_of_s3(tmp_path: Path, s3: Proxy):
    for path in ("cat/1.png", "dog/1.png"):
        draw(tmp_path / path, "red", "circle", 8, Random(1))
    upload(tmp_path, f"{S3}/photos")
    assert sources.read(f"{S3}/photos").table.equals(sources.read(str(tmp_path)).table)
    assert sources.load_remote(S3).identity(f"{S3}/photos")  # type: ignore[union-attr]


def test_store_that_fails_is_not_waited_for_again_and_again(memory: None, monkeypatch: pytest.MonkeyPatch):
    url = f"{MEMORY}/often.csv"
    system = object_store.system_of(url)
    system.pipe_file(f"{BUCKET}/often.csv", b"a,b\n1,2\n")
    remote, asked = sources.load_remote(url), []
    assert remote is not None

    def failing(path: str) -> None:
        asked.append(path)
        raise Outage

    before = remote.identity(url)
    with monkeypatch.context() as patch:
        patch.setattr(system, "info", failing)
        assert [remote.identity(url) for _ in range(3)] == [None] * 3
    assert len(asked) == 1
    monkeypatch.setattr(stored_table, "FORGOTTEN", 0.0)
    assert remote.identity(url) == before
