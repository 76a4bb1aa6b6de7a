"""fetch: every address once, a manifest that init reads, failures in the open, and the same result after a kill."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fetch_tools import Server, png

from suffuse import sources
from suffuse.errors import SuffuseError, UsageError
from suffuse.fetching import fetch as fetch_module
from suffuse.fetching.download import Limits
from suffuse.fetching.fetch import FAILED, FetchOptions, fetch, summary_lines
from suffuse.fetching.journal import JOURNAL, Journal
from suffuse.prepare.recipe_proposal import propose

LIMITS = Limits(timeout=2, retries=0, allow_private=True)
OPEN = FetchOptions(limits=LIMITS, parallel=3)


def write(folder: Path, rows: list[dict[str, Any]], name: str = "rows.csv") -> str:
    with (folder / name).open("w", newline="", encoding="utf-8") as file:
        out = csv.DictWriter(file, list(rows[0]))
        out.writeheader()
        out.writerows(rows)
    return str(folder / name)


def rows_of(server: Server, count: int = 12) -> list[dict[str, Any]]:
    """Rows with pictures, two rows to a picture, and one address that leads nowhere."""
    addresses = [server.address(f"picture/{row // 2}.png") for row in range(count - 1)]
    addresses.append(server.address("none/1.png"))
    return [
        {"id": f"r{row}", "photo": address, "kind": "ab"[row % 2], "price": row * 3}
        for row, address in enumerate(addresses)
    ]


def contents(folder: Path) -> dict[str, bytes]:
    """Everything below a folder, without the journal, whose order is that of the answers."""
    files = (file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): file.read_bytes() for file in files if file.name != JOURNAL}


def test_the_manifest(tmp_path: Path, server: Server) -> None:
    table = rows_of(server)
    done = fetch(write(tmp_path, table), options=OPEN)
    assert done.manifest == tmp_path / "rows-fetched.parquet"
    assert (done.rows, done.files, done.resumed, len(done.failures)) == (12, 6, 0, 1)
    found = pq.read_table(done.manifest).to_pylist()
    assert [row["id"] for row in found] == [row["id"] for row in table]
    assert [row["price"] for row in found] == ["0", "3", "6", "9", *(str(3 * row) for row in range(4, 12))]
    for row, written in zip(found[:-1], table, strict=False):
        assert (tmp_path / row["photo"]).read_bytes() == png(int(written["photo"].rpartition("/")[2][:-4]))
        assert (row["photo_address"], row["photo_status"]) == (written["photo"], "ok")
        assert len(row["photo_sha256"]) == 64
    assert found[-1]["photo"] == found[-1]["photo_address"] == table[-1]["photo"]
    assert (found[-1]["photo_sha256"], found[-1]["photo_status"]) == (None, "404 Not Found")


def test_every_address_is_asked_once(tmp_path: Path, server: Server) -> None:
    fetch(write(tmp_path, rows_of(server)), options=OPEN)
    assert set(server.requests.values()) == {1} and len(server.requests) == 7


def test_failures_are_listed(tmp_path: Path, server: Server) -> None:
    source = write(tmp_path, rows_of(server))
    done = fetch(source, options=OPEN)
    listed = (tmp_path / "rows-fetched" / FAILED).read_text().splitlines()
    assert listed == ["address,kind,reason", f"{server.address('none/1.png')},image,404 Not Found"]
    said = "\n".join(summary_lines(source, done))
    assert "WARNING: 1 addresses gave no file (404 Not Found: 1):" in said
    assert f"  {server.address('none/1.png')}: 404 Not Found" in said
    assert done.to_json()["reasons"] == {"404 Not Found": 1}


def test_a_second_call_asks_only_for_what_failed(tmp_path: Path, server: Server) -> None:
    rows = [*rows_of(server), {"id": "last", "photo": server.address("picture/99.png"), "kind": "a", "price": 1}]
    source = write(tmp_path, rows)
    server.broken.add("picture/99.png")
    assert len(fetch(source, options=OPEN).failures) == 2
    server.broken.clear()
    again = fetch(source, options=OPEN)
    assert (again.files, again.resumed, len(again.failures)) == (7, 6, 1)
    assert server.requests["/picture/0.png"] == 1 and server.requests["/picture/99.png"] == 2


class Killed(BaseException):
    """Stands for the end of the process."""


def kill_after(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Let the journal's ``count + 1``-th line end everything, half written."""
    add = Journal.add

    def interrupted(self: Journal, outcome: Any) -> None:
        if len(self.outcomes) == count:
            with (self.folder / JOURNAL).open("a") as file:
                file.write('{"address": "http://127.0')
            raise Killed
        add(self, outcome)

    monkeypatch.setattr(Journal, "add", interrupted)


@pytest.mark.parametrize("count", [0, 1, 4])
def test_killed_and_resumed_the_result_is_the_same(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
        write(tmp_path / name, rows_of(server))
    fetch(str(tmp_path / "whole" / "rows.csv"), options=OPEN)
    server.requests.clear()
    with monkeypatch.context() as patched:
        kill_after(patched, count)
        with pytest.raises(Killed):
            fetch(str(tmp_path / "killed" / "rows.csv"), options=OPEN)
    assert not (tmp_path / "killed" / "rows-fetched.parquet").exists()
    noted = [
        json.loads(line) for line in (tmp_path / "killed" / "rows-fetched" / JOURNAL).read_text().splitlines()[:-1]
    ]
    assert len(noted) == count
    server.requests.clear()
    fetch(str(tmp_path / "killed" / "rows.csv"), options=OPEN)
    assert not {server.address(path[1:]) for path in server.requests} & {line["address"] for line in noted}
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")
    assert len(Journal(tmp_path / "killed" / "rows-fetched").outcomes) == 7  # none of them behind the cut line


def test_a_file_that_was_changed_is_fetched_again(tmp_path: Path, server: Server) -> None:
    source = write(tmp_path, rows_of(server))
    done = fetch(source, options=OPEN)
    first = tmp_path / pq.read_table(done.manifest)["photo"][0].as_py()
    first.write_bytes(b"something else")
    again = fetch(source, options=OPEN)
    assert again.resumed == 5 and first.read_bytes() == png(0)


def test_downloads_side_by_side_are_bounded(tmp_path: Path, server: Server) -> None:
    server.delay = 0.05
    rows = [{"photo": server.address(f"picture/{row}.png"), "kind": "a"} for row in range(20)]
    fetch(write(tmp_path, rows), options=OPEN)
    assert 1 < server.most_running <= OPEN.parallel


def test_the_proposed_recipe_reads_the_files_and_not_where_they_came_from(tmp_path: Path, server: Server) -> None:
    done = fetch(write(tmp_path, rows_of(server, 40)), options=OPEN)
    proposal = propose(str(done.manifest), "kind", place=tmp_path)
    roles = {column.name: column.role for column in proposal.columns}
    assert roles["photo"] == "image" and roles["kind"] == "target"
    assert {roles[f"photo_{fact}"] for fact in ("address", "sha256", "status")} == {"ignored"}
    assert not any(name.startswith("photo_") for name, _ in proposal.unused)


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.csv"])
def test_lists_of_addresses_become_lists_of_paths(tmp_path: Path, server: Server, name: str) -> None:
    """One and two pictures a row, as lists and as texts that are JSON lists; every seventh second picture is gone."""
    table: list[dict[str, Any]] = []
    for row in range(42):
        second = server.address(f"none/{row}.png" if row % 7 == 6 else f"picture/{row + 50}.png")
        photos = [server.address(f"picture/{row}.png"), second][: 1 + row % 2]
        table.append({"photos": photos, "kind": "ab"[row % 2]})
    if name == "rows.csv":
        write(tmp_path, [{**row, "photos": json.dumps(row["photos"])} for row in table])
    else:
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in table))
    done = fetch(str(tmp_path / name), options=OPEN)
    assert (done.files, len(done.failures)) == (42 + 18, 3)
    for row, written in zip(pq.read_table(done.manifest).to_pylist(), table, strict=True):
        files, addresses, statuses = (
            json.loads(row[key]) if name == "rows.csv" else row[key]
            for key in ("photos", "photos_address", "photos_status")
        )
        assert addresses == written["photos"] and len(files) == len(statuses) == len(addresses)
        for file, address, status in zip(files, addresses, statuses, strict=True):
            if status == "ok":
                assert (tmp_path / file).read_bytes() == png(int(address.rpartition("/")[2][:-4]))
            else:
                assert (file, status) == (address, "404 Not Found")
    photos = next(c for c in propose(str(done.manifest), "kind", place=tmp_path).columns if c.name == "photos")
    assert photos.role == "image"


def test_paths_in_other_columns_stay_valid(tmp_path: Path, server: Server) -> None:
    (tmp_path / "scan.png").write_bytes(png(9))
    rows = [{**row, "scan": "scan.png"} for row in rows_of(server)]
    done = fetch(write(tmp_path, rows), options=OPEN)
    manifest = sources.read(str(done.manifest))
    assert (manifest.root / manifest.table["scan"][0].as_py()).exists()
    assert (manifest.root / manifest.table["photo"][0].as_py()).exists()


def test_pictures_and_recordings_by_their_endings(tmp_path: Path, server: Server) -> None:
    rows = [
        {
            "picture": server.address(f"picture/{row}.png?size=large"),
            "clip": server.address(f"sound/{row}.wav"),
            "page": server.address("page/1"),
        }
        for row in range(4)
    ]
    done = fetch(write(tmp_path, rows), options=OPEN)
    table = pq.read_table(done.manifest)
    assert table["picture"][0].as_py().endswith(".png") and table["clip"][0].as_py().endswith(".wav")
    assert table["page"][0].as_py() == server.address("page/1") and "/page/1" not in server.requests


def test_addresses_without_an_ending_need_a_word(tmp_path: Path, server: Server) -> None:
    rows = [{"photo": server.address(f"picture/{row}"), "kind": "a"} for row in range(4)]
    source = write(tmp_path, rows)
    with pytest.raises(UsageError, match="there is nothing to fetch") as caught:
        fetch(source, options=OPEN)
    assert "--image COLUMN" in caught.value.hint and not server.requests
    done = fetch(source, options=FetchOptions({"photo": "image"}, limits=LIMITS))
    assert pq.read_table(done.manifest)["photo"][0].as_py().endswith(".png")  # by its content


def test_empty_cells_and_paths_stay(tmp_path: Path, server: Server) -> None:
    cells = [server.address("picture/1.png"), "", "own/photo.png", server.address("picture/2.png")]
    done = fetch(write(tmp_path, [{"photo": cell, "kind": "a"} for cell in cells]), options=OPEN)
    table = pq.read_table(done.manifest)
    assert table["photo"].to_pylist()[1:3] == ["", "own/photo.png"]
    assert table["photo_status"].to_pylist() == ["ok", None, None, "ok"]


def test_types_of_other_columns_stay(tmp_path: Path, server: Server) -> None:
    table = pa.table({"photo": [server.address("picture/1.png")] * 2, "price": [1.5, 2.5], "tags": [["a"], ["b", "c"]]})
    pq.write_table(table, tmp_path / "rows.parquet")
    written = pq.read_table(fetch(str(tmp_path / "rows.parquet"), options=OPEN).manifest)
    assert written.select(["price", "tags"]).to_pylist() == table.select(["price", "tags"]).to_pylist()


def test_no_address_gives_a_file(tmp_path: Path, server: Server) -> None:
    source = write(tmp_path, [{"photo": server.address(f"none/{row}.png"), "kind": "a"} for row in range(3)])
    for _ in range(2):  # tried again
        with pytest.raises(SuffuseError, match=r"no address gave a file .*404 Not Found"):
            fetch(source, options=OPEN)
    assert set(server.requests.values()) == {2}
    assert not (tmp_path / "rows-fetched.parquet").exists()


def test_this_machine_is_not_asked_unless_allowed(tmp_path: Path, server: Server) -> None:
    source = write(tmp_path, rows_of(server))
    with pytest.raises(SuffuseError, match="not a public address") as caught:
        fetch(source)
    assert "--allow-private" in caught.value.hint and not server.requests


@pytest.mark.parametrize("added", ["address", "sha256", "status"])
def test_names_that_are_taken(tmp_path: Path, server: Server, added: str) -> None:
    source = write(tmp_path, [{**row, f"photo_{added}": "x"} for row in rows_of(server)])
    with pytest.raises(UsageError, match=f"such a column already.*photo_{added}"):
        fetch(source, options=OPEN)


def test_columns_that_hold_no_addresses(tmp_path: Path, server: Server) -> None:
    source = write(tmp_path, rows_of(server))
    with pytest.raises(UsageError, match=r"the column holds no addresses \(--image\): got 'kind'"):
        fetch(source, options=FetchOptions({"kind": "image"}))
    with pytest.raises(UsageError, match=r"no such column \(--audio\)"):
        fetch(source, options=FetchOptions({"kin": "audio"}))


def test_a_manifest_elsewhere(tmp_path: Path, server: Server) -> None:
    done = fetch(write(tmp_path, rows_of(server)), tmp_path / "new" / "m.parquet", OPEN)
    assert (tmp_path / "new" / pq.read_table(done.manifest)["photo"][0].as_py()).exists()
    with pytest.raises(UsageError, match=r"expected a \.parquet file"):
        fetch(str(tmp_path / "rows.csv"), tmp_path / "m.csv", OPEN)


def test_a_full_disk_ends_the_command(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(fetch_module.Journal, "store", full)
    with pytest.raises(OSError, match="No space left"):
        fetch(write(tmp_path, rows_of(server)), options=OPEN)
