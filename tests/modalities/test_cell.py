"""The one place where files that a cell names are read: nothing outside the data root, nothing endless."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from suffuse.modalities import cell
from suffuse.modalities.cell import Absent, Root, Unreadable, content, is_empty, locate, read_file


@pytest.fixture
def tree(tmp_path) -> Path:
    """data/root/in.bin, data/beside.bin, secret.bin, and links from the root to both of the latter."""
    root = tmp_path / "data" / "root"
    (root / "deep").mkdir(parents=True)
    (root / "in.bin").write_bytes(b"in")
    (root / "deep" / "in.bin").write_bytes(b"deep")
    (tmp_path / "data" / "beside.bin").write_bytes(b"beside")
    (tmp_path / "secret.bin").write_bytes(b"secret")
    (root / "link.bin").symlink_to(tmp_path / "secret.bin")
    (root / "folder").symlink_to(tmp_path)
    (root / "inner.bin").symlink_to(root / "deep" / "in.bin")
    (tmp_path / "data" / "rootless").mkdir()
    (tmp_path / "data" / "rootless" / "x.bin").write_bytes(b"x")
    return tmp_path


def test_paths_inside_are_read_however_they_are_written(tree):
    root = tree / "data" / "root"
    for path, expected in (
        ("in.bin", b"in"),
        (Path("in.bin"), b"in"),
        ("./deep/../in.bin", b"in"),
        ("deep//in.bin", b"deep"),
        ("inner.bin", b"deep"),
        (str(root / "in.bin"), b"in"),
        ("../root/in.bin", b"in"),
    ):
        assert read_file(path, root) == read_file(path, Root.of(root)) == expected


def test_paths_that_lead_out_are_not(tree):
    root = tree / "data" / "root"
    for path in (
        "../beside.bin",
        "deep/../../beside.bin",
        "../rootless/x.bin",
        "link.bin",
        "folder/secret.bin",
        str(tree / "secret.bin"),
        "/etc/passwd",
        "../../../../../../../etc/passwd",
        "/dev/zero",
    ):
        with pytest.raises(Unreadable, match="outside the data root"):
            content(path, root)


def test_the_recipe_may_widen_the_bounds(tree):
    root = tree / "data" / "root"
    wider = Root.of(root, tree / "data")
    assert content("../beside.bin", wider) == b"beside" and content("in.bin", wider) == b"in"
    for path in ("link.bin", "../../secret.bin"):
        with pytest.raises(Unreadable, match="outside"):
            content(path, wider)
    assert content("link.bin", Root.of(root, Path("/"))) == b"secret"


def test_a_root_that_is_a_link_itself_is_followed(tree):
    (tree / "way").symlink_to(tree / "data" / "root")
    assert content("in.bin", tree / "way") == content("in.bin", Root.of(tree / "way")) == b"in"


def test_only_plain_files_of_a_sane_size(tree, monkeypatch):
    root = tree / "data" / "root"
    os.mkfifo(root / "pipe")
    (root / "nothing").touch()
    for path, reason in (
        ("gone", "no such file"),
        ("deep", "directory"),
        ("pipe", "not a plain file"),
        ("nothing", "empty"),
        ("\0", "can't read the file"),
        ("x" * 5000, "can't read the file"),
        ("https://example.org/a.png", "nothing is downloaded"),
        ("S3://bucket/a.png", "nothing is downloaded"),
        (7, "no such file"),
    ):
        with pytest.raises(Unreadable, match=reason):
            content(path, root)
    assert read_file("deep/in.bin", root, 4) == b"deep"
    with pytest.raises(Unreadable, match="more than 3 bytes"):
        read_file("deep/in.bin", root, 3)
    monkeypatch.setattr(cell, "LARGEST_FILE", 3)
    with pytest.raises(Unreadable, match="too large"):
        content(b"1234", root)


def test_a_file_that_may_not_be_read(tree, monkeypatch):
    def refuse(*_, **__):  # a file's mode would not stop root
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    place = tree / "data" / "root" / "in.bin"
    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(Unreadable, match="Permission denied"):
        content("in.bin", place.parent)


def test_the_hugging_face_form(tree):
    root = tree / "data" / "root"
    assert content({"bytes": b"x", "path": "in.bin"}, root) == b"x"
    assert content({"bytes": None, "path": "in.bin"}, root) == b"in"
    assert content({"path": "in.bin"}, root) == b"in"
    for empty in ({}, {"bytes": None, "path": None}, {"bytes": b"", "path": " "}):
        with pytest.raises(Absent):
            content(empty, root)
    for wrong in (["in.bin"], {"path": {"path": "in.bin"}}, np.zeros(3)):
        with pytest.raises(Unreadable, match="expected a path or bytes"):
            content(wrong, root)


def test_what_is_empty():
    import pandas

    nothing = (None, float("nan"), np.float32("nan"), pandas.NA, pandas.NaT, "", " \n\t", b"", [], (), {})
    assert all(is_empty(value) for value in nothing)
    assert not any(is_empty(value) for value in ("a", 0, 0.0, b"\0", [None], np.zeros(0), False, np.float64(1)))


def test_locating_reads_nothing(tree):
    assert locate("gone.bin", tree) == f"{os.path.realpath(tree)}/gone.bin"


def test_a_root_or_a_folder_that_is_moved_is_seen_at_the_next_look(tmp_path):
    """Folders' real names are remembered, and must not outlive what they are names of."""
    for name in ("old", "new", "secret"):
        (tmp_path / name / "deep").mkdir(parents=True)
        (tmp_path / name / "deep" / "a.bin").write_bytes(name.encode())
    link = tmp_path / "link"
    for name in ("old", "new", "old"):
        link.unlink(missing_ok=True)
        link.symlink_to(tmp_path / name)
        assert content("deep/a.bin", Root.of(link)) == content(link / "deep" / "a.bin", Root.of(link)) == name.encode()
    (tmp_path / "old" / "deep").rename(tmp_path / "old" / "aside")
    (tmp_path / "old" / "deep").symlink_to(tmp_path / "secret" / "deep")
    with pytest.raises(Unreadable, match="outside the data root"):
        content("deep/a.bin", Root.of(link))
    (tmp_path / "old" / "deep").unlink()
    with pytest.raises(Unreadable, match="no such file"):
        content("deep/a.bin", Root.of(link))


def test_of_very_many_folders_only_some_are_remembered(tmp_path, monkeypatch):
    monkeypatch.setattr(cell, "MAX_FOLDERS", 3)
    root = Root.of(tmp_path)
    for number in range(10):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "a.bin").write_bytes(b"%d" % number)
        assert content(f"{number}/a.bin", root) == b"%d" % number
        assert len(root.folders) <= 3 and len(cell._REAL) <= 3
