"""What is written to a store is there whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from s3_server import BUCKET, Fault, Proxy

from suffuse import object_store, object_upload
from suffuse.errors import SuffuseError, UsageError
from suffuse.object_store import facts, read
from suffuse.object_upload import check_writable, publish, staging

OLD, NEW = b"old", bytes(range(256)) * 500


def keys(url: str) -> list[str]:
    """All keys of a bucket."""
    scheme, _, place = url.partition("://")
    return sorted(object_store._opened(scheme, os.getpid()).find(place))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    place = tmp_path / "new.bin"
    place.write_bytes(NEW)
    return place


def test_published_file_replaces_the_object(memory: None, file: Path):
    url = f"memory://{BUCKET}/folder/a.bin"
    object_store.system_of(url).pipe_file(f"{BUCKET}/folder/a.bin", OLD)
    publish(file, url)
    assert read(url, facts(url).size) == NEW
    assert keys(f"memory://{BUCKET}") == [f"/{BUCKET}/folder/a.bin"]


def test_half_written_file_is_never_published(memory: None, file: Path, monkeypatch: pytest.MonkeyPatch):
    url = f"memory://{BUCKET}/a.bin"
    system = object_store.system_of(url)
    system.pipe_file(f"{BUCKET}/a.bin", OLD)
    monkeypatch.setattr(system, "put_file", lambda source, key: system.pipe_file(key, Path(source).read_bytes()[:100]))
    with pytest.raises(SuffuseError, match="wasn't written whole"):
        publish(file, url)
    assert read(url, len(OLD)) == OLD
    assert keys(f"memory://{BUCKET}") == [f"/{BUCKET}/a.bin"]


def test_killed_upload_leaves_the_old_object(memory: None, file: Path, monkeypatch: pytest.MonkeyPatch):
    url = f"memory://{BUCKET}/a.bin"
    system = object_store.system_of(url)
    system.pipe_file(f"{BUCKET}/a.bin", OLD)

    class Killed(BaseException):
        pass

    def killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(system, "cp_file", killed)
        patch.setattr(system, "rm_file", lambda *_: None)
        with pytest.raises(Killed):
            publish(file, url)
    assert read(url, len(OLD)) == OLD
    assert len(keys(f"memory://{BUCKET}")) == 2
    publish(file, url)
    assert keys(f"memory://{BUCKET}") == [f"/{BUCKET}/a.bin"]


def test_s3_object_is_published(s3: Proxy, file: Path):
    url = f"s3://{BUCKET}/published/a.bin"
    check_writable(url)
    s3.faults.append(Fault("status", times=1, methods=("PUT",)))
    publish(file, url)
    assert read(url, facts(url).size) == NEW
    assert keys(f"s3://{BUCKET}/published") == [f"{BUCKET}/published/a.bin"]


def test_s3_outage_leaves_nothing(s3: Proxy, file: Path):
    url = f"s3://{BUCKET}/outage/a.bin"
    s3.faults.append(Fault("status", methods=("PUT",)))
    for call in (lambda: check_writable(url), lambda: publish(file, url)):
        with pytest.raises(SuffuseError, match="the store failed") as caught:
            call()
        assert caught.value.exit_code == 1
    s3.faults.clear()
    assert keys(f"s3://{BUCKET}/outage") == []


def test_bucket_that_is_not_there_is_known_before_the_work(s3: Proxy):
    with pytest.raises(UsageError, match="no such bucket"):
        check_writable("s3://no-such-bucket/a.bin")


def test_folder_is_no_file(memory: None):
    object_store.system_of("memory://").pipe_file(f"{BUCKET}/folder/a.bin", OLD)
    with pytest.raises(UsageError, match="folder of objects"):
        check_writable(f"memory://{BUCKET}/folder")


def test_staging_is_the_same_for_a_url_and_another_for_another():
    assert staging("s3://a/x.csv") == staging("s3://a/x.csv") != staging("s3://b/x.csv")
    assert staging("s3://a/x.csv").name == "x.csv"
    assert object_upload.sibling("s3://a/b/x.csv", "y.csv") == "s3://a/b/y.csv"
