"""Objects by URL: names, ranges, and what becomes of a store's errors."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from s3_server import BUCKET, SECRETS, Fault, Proxy

from suffuse import object_store, sources
from suffuse.errors import SuffuseError, UsageError
from suffuse.modalities.cell import Root, Unreadable, read_file
from suffuse.object_store import ObjectPath, checked, facts, joined, local_path, placed, read, read_range

CONTENT = bytes(range(256)) * 40


def put(url: str, content: bytes = CONTENT) -> str:
    """Write an object past the checks; returns its URL."""
    scheme, _, path = url.partition("://")
    object_store._opened(scheme, os.getpid()).pipe_file(path, content)
    return url


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("s3://KEYNAME:hidden@bucket/a.csv", "credentials"),
        ("s3://hidden@bucket/a.csv", "credentials"),
        ("gs://bucket/a.csv?X-Goog-Signature=hidden", "query"),
        ("s3:///hidden", "no bucket"),
        ("s3://bucket/../hidden", "out of its bucket"),
    ],
)
def test_url_that_cannot_be_used_is_refused(url: str, word: str):
    with pytest.raises(UsageError, match=word) as caught:
        checked(url)
    assert "KEYNAME" not in caught.value.text()
    if word in ("credentials", "query"):
        assert "hidden" not in caught.value.text()


def test_keys_are_resolved():
    assert checked("S3://bucket//a/./b/../c.csv") == "s3://bucket/a/c.csv"
    assert checked("s3://bucket/") == "s3://bucket"
    assert joined("s3://bucket/a", "b/../c.png") == "s3://bucket/a/c.png"
    assert joined("s3://bucket/a", "../c.png") == "s3://bucket/c.png"
    assert joined("s3://bucket/a", "../../c.png") is None
    assert joined("s3://bucket/a", "/c.png") is None
    assert joined("s3://bucket/a", "what?.png") == "s3://bucket/a/what?.png"


def test_file_urls_are_local_paths(tmp_path: Path):
    assert local_path("file:///a%20b/c.csv") == "/a b/c.csv"
    assert local_path("file://localhost/c.csv") == "/c.csv"
    assert local_path("a.csv") == "a.csv"
    assert placed("b/../a.csv", tmp_path) == str(tmp_path / "a.csv")
    assert placed("s3://bucket/b/../a.csv", tmp_path) == "s3://bucket/a.csv"
    with pytest.raises(UsageError, match="no file of this machine"):
        local_path("file://server/share/a.csv")


def test_object_is_read_by_ranges(memory: None, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(object_store, "RANGE", 1000)
    url = put("memory://rows/a.bin")
    assert facts(url).size == len(CONTENT)
    assert read(url, len(CONTENT)) == CONTENT
    with ObjectPath(url).open(buffering=100) as file:
        assert file.seek(-10, io.SEEK_END) == len(CONTENT) - 10
        assert file.read() == CONTENT[-10:]
        file.seek(5)
        assert file.read(3000) == CONTENT[5:3005]
        assert file.tell() == 3005
        assert file.read() == CONTENT[3005:]
        assert file.read() == b""


def test_missing_object_is_told_apart(memory: None):
    put("memory://rows/folder/a.bin")
    with pytest.raises(FileNotFoundError):
        facts("memory://rows/b.bin")
    assert facts("memory://rows/folder").is_folder
    with pytest.raises(UsageError, match="folder of objects"):
        ObjectPath("memory://rows/folder")


def test_replaced_object_is_an_error(memory: None):
    path = ObjectPath(put("memory://rows/a.bin"))
    with path.open(buffering=16) as file:
        file.read(16)
        put("memory://rows/a.bin", b"z" + CONTENT[1:])
        with pytest.raises(SuffuseError, match="replaced"):
            file.read()
    with pytest.raises(SuffuseError, match="replaced"):
        path.open()


def test_short_body_is_repeated_and_never_whole(memory: None, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(object_store, "BACKOFF", 0.0)
    url = put("memory://rows/a.bin")
    system, whole = object_store.system_of(url), CONTENT
    answers = [whole[:10], whole[:100], whole]
    monkeypatch.setattr(system, "cat_file", lambda *_, **__: answers.pop(0))
    assert read_range(url, 0, len(whole)) == whole
    answers[:] = [whole[:10]] * object_store.ATTEMPTS
    with pytest.raises(SuffuseError, match="cut off") as caught:
        read_range(url, 0, len(whole))
    assert (caught.value.exit_code, answers) == (1, [])


@pytest.mark.parametrize("scheme", ["s3", "gs", "az"])
def test_missing_library_names_the_way_to_install_it(scheme: str, monkeypatch: pytest.MonkeyPatch):
    library, package = object_store.LIBRARIES[scheme]
    monkeypatch.setitem(sys.modules, library, None)
    object_store._opened.cache_clear()
    try:
        with pytest.raises(UsageError, match=f"{library} isn't installed") as caught:
            sources.read(f"{scheme}://bucket/rows.csv")
        assert caught.value.hint == f"pip install '{package}'"
    finally:
        object_store._opened.cache_clear()


def test_libraries_are_loaded_when_asked_for():
    code = "import sys, suffuse.cli, suffuse.sources, suffuse.modalities.cell\n"
    code += "sys.exit(bool({'fsspec', 's3fs', 'botocore'} & {*sys.modules}))"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_s3_object_is_whole(s3: Proxy):
    url = put(f"s3://{BUCKET}/whole.bin")
    assert read(url, facts(url).size) == CONTENT
    first = facts(url)
    assert facts(put(url)) == first  # the same content written again
    assert facts(put(url, CONTENT[::-1])) != first


@pytest.mark.parametrize("kind", ["status", "cut", "short"])
def test_s3_fault_that_ends_is_survived(s3: Proxy, kind: str):
    url = put(f"s3://{BUCKET}/{kind}.bin")
    s3.faults.append(Fault(kind, f"{kind}.bin", times=1))
    assert read(url, len(CONTENT)) == CONTENT
    assert s3.faults[0].seen == 1


@pytest.mark.parametrize("kind", ["status", "short"])
def test_s3_outage_is_one_line(s3: Proxy, kind: str):
    url = put(f"s3://{BUCKET}/out-{kind}.bin")
    s3.faults.append(Fault(kind, f"out-{kind}.bin"))
    with pytest.raises(SuffuseError, match="the store failed") as caught:
        read(url, len(CONTENT))
    assert caught.value.exit_code == 1
    assert url in caught.value.line()
    assert 1 < s3.faults[0].seen < 30


@pytest.mark.long
def test_s3_body_that_is_always_cut_is_an_outage(s3: Proxy):
    url = put(f"s3://{BUCKET}/cut.bin")
    s3.faults.append(Fault("cut", "cut.bin"))
    with pytest.raises(SuffuseError, match="the store failed"):
        read(url, len(CONTENT))


@pytest.mark.parametrize("times", [1, float("inf")])
def test_s3_body_that_trickles_ends(s3: Proxy, times: float, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(object_store, "DEADLINE", 0.3)
    monkeypatch.setattr(object_store, "ATTEMPTS", 2)
    url = put(f"s3://{BUCKET}/slow.bin")
    s3.faults.append(Fault("slow", "slow.bin", times=times, seconds=0.05))
    if times == 1:
        assert read(url, len(CONTENT)) == CONTENT
        return
    with pytest.raises(SuffuseError, match="no answer in"):
        read(url, len(CONTENT))


def test_s3_expired_credential_is_one_line(s3: Proxy):
    url = put(f"s3://{BUCKET}/expired.bin")
    s3.faults.append(Fault("ExpiredToken", methods=("GET", "HEAD")))
    for request in (lambda: facts(url), lambda: read(url, len(CONTENT)), lambda: sources.read(f"{url}.csv")):
        with pytest.raises(SuffuseError, match="the store refuses the credentials") as caught:
            request()
        text = caught.value.text()
        assert "got ExpiredToken" in text
        assert not any(secret in text for secret in (*SECRETS.values(), "SECRET-TOKEN"))


def test_s3_object_that_may_not_be_read_is_told_apart(s3: Proxy):
    url = put(f"s3://{BUCKET}/denied.csv", b"a,b\n1,2\n")
    s3.faults.append(Fault("AccessDenied", "denied.csv", methods=("GET", "HEAD")))
    with pytest.raises(PermissionError):
        facts(url)
    with pytest.raises(SuffuseError, match="doesn't let this object be read"):
        sources.read(url)
    with pytest.raises(Unreadable, match="Permission denied"):
        read_file("denied.csv", Root.of(f"s3://{BUCKET}"))


def test_s3_bucket_that_is_not_there_is_named(s3: Proxy):
    for request in (lambda: facts("s3://no-such-bucket/a.csv"), lambda: sources.read("s3://no-such-bucket/a.csv")):
        with pytest.raises(UsageError, match="no such bucket") as caught:
            request()
        assert caught.value.where == "s3://no-such-bucket"


def test_s3_object_that_is_not_there(s3: Proxy):
    with pytest.raises(FileNotFoundError):
        facts(f"s3://{BUCKET}/nothing.bin")
    with pytest.raises(UsageError, match="no such object"):
        sources.read(f"s3://{BUCKET}/nothing.csv")


@pytest.mark.long
def test_s3_without_any_credential_is_one_line(s3: Proxy, monkeypatch: pytest.MonkeyPatch):
    for name in SECRETS:
        monkeypatch.delenv(name)
    object_store._opened.cache_clear()
    try:
        with pytest.raises(SuffuseError, match="the store refuses the credentials"):
            facts(f"s3://{BUCKET}/a.bin")
    finally:
        object_store._opened.cache_clear()
