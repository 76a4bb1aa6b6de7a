"""Folders of pictures or recordings by class: which files are rows, of which class and split."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from PIL import Image

from suffuse import sources
from suffuse.errors import UsageError
from suffuse.sources import class_folder, is_class_folder, is_table, stream


def picture(file: Path, shade: int = 0) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    content = io.BytesIO()
    Image.new("RGB", (8, 8), (shade, 0, 0)).save(content, "PNG")
    file.write_bytes(content.getvalue())
    return file


def make(folder: Path, *names: str) -> Path:
    for shade, name in enumerate(names):
        picture(folder / name, shade)
    return folder


def rows(folder: Path) -> list[dict]:
    return sources.read(str(folder)).table.to_pylist()


def test_classes_are_the_folders_names(tmp_path: Path) -> None:
    make(tmp_path, "dog/2.png", "dog/1.png", "cat/deep/1.JPG", "cat/1.png")
    assert rows(tmp_path) == [
        {"id": name, "image": name, "label": name.split("/")[0]}
        for name in ("cat/1.png", "cat/deep/1.JPG", "dog/1.png", "dog/2.png")
    ]
    read = sources.read(str(tmp_path))
    assert (read.root, read.line, read.broken) == (tmp_path, [1, 2, 3, 4], [])
    assert (read.known.id, read.known.target) == ("id", "label")


@pytest.mark.parametrize("names", [("train", "val", "test"), ("Training", "dev", "TESTING")])
def test_splits_are_known(tmp_path: Path, names: tuple[str, ...]) -> None:
    make(tmp_path, *(f"{split}/{label}/1.png" for split in names for label in ("a", "b")))
    found = {(row["split"], row["label"]) for row in rows(tmp_path)}
    assert found == {(split, label) for split in names for label in ("a", "b")}


def test_one_split_is_no_column(tmp_path: Path) -> None:
    make(tmp_path, "train/a/1.png", "train/b/1.png")
    assert rows(tmp_path)[0] == {"id": "train/a/1.png", "image": "train/a/1.png", "label": "a"}


def test_test_pictures_may_have_no_class(tmp_path: Path) -> None:
    make(tmp_path, "train/a/1.png", "train/b/1.png", "test/1.png")
    assert rows(tmp_path)[0] == {"id": "test/1.png", "image": "test/1.png", "label": None, "split": "test"}


def test_splits_without_classes(tmp_path: Path) -> None:
    make(tmp_path, "train/1.png", "test/1.png")
    assert rows(tmp_path)[0] == {"id": "test/1.png", "image": "test/1.png", "split": "test"}


def test_a_class_may_be_called_test(tmp_path: Path) -> None:
    make(tmp_path, "test/1.png", "control/1.png")
    assert {row["label"] for row in rows(tmp_path)} == {"test", "control"}


def test_a_flat_folder_has_no_labels(tmp_path: Path) -> None:
    make(tmp_path, "1.png", "2.png")
    (tmp_path / "README.md").write_text("about them")
    assert rows(tmp_path) == [{"id": f"{n}.png", "image": f"{n}.png"} for n in (1, 2)]
    assert sources.read(str(tmp_path)).known.target is None and not is_table(tmp_path)


def test_recordings_by_class(tmp_path: Path) -> None:
    for name in ("yes/1.wav", "yes/2.m4a", "no/1.flac", "no/cover.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    found = rows(tmp_path)
    assert [row["audio"] for row in found] == ["no/1.flac", "no/cover.png", "yes/1.wav", "yes/2.m4a"]


def test_every_file_of_a_class_is_a_row_but_what_file_browsers_leave(tmp_path: Path) -> None:
    make(tmp_path, "a/1.png", "b/1.png", ".cache/x.png", "__MACOSX/a/1.png")
    for name in ("a/notes.txt", "a/.DS_Store", "a/Thumbs.db", "b/desktop.ini", "labels.txt", "docs/about.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "empty").mkdir()
    assert [row["id"] for row in rows(tmp_path)] == ["a/1.png", "a/notes.txt", "b/1.png"]


def test_linked_folders_are_classes_and_circles_end(tmp_path: Path) -> None:
    make(tmp_path, "all/a/1.png", "other/1.png")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a").symlink_to(tmp_path / "all" / "a")
    (tmp_path / "set" / "b").symlink_to(tmp_path / "other")
    (tmp_path / "other" / "again").symlink_to(tmp_path / "set")
    (tmp_path / "set" / "gone").symlink_to(tmp_path / "nowhere")
    assert [row["id"] for row in rows(tmp_path / "set")] == ["a/1.png", "b/1.png"]


@pytest.mark.skipif(os.name == "nt", reason="names are texts there")
def test_a_name_that_is_no_text_is_a_broken_row(tmp_path: Path) -> None:
    make(tmp_path, "a/1.png", "b/1.png")
    (tmp_path / "b" / "1.png").rename(tmp_path / "b" / os.fsdecode(b"\xff.png"))
    make(tmp_path, "b/2.png")
    read = sources.read(str(tmp_path))
    assert [row["id"] for row in read.table.to_pylist()] == ["a/1.png", "b/2.png"]
    assert read.line == [1, 2] and read.broken[0][0] == 3 and "not UTF-8" in read.broken[0][1]


def test_a_stream_of_a_folder(tmp_path: Path) -> None:
    make(tmp_path, *(f"{'ab'[n % 2]}/{n}.png" for n in range(5)))
    opened = stream(str(tmp_path))
    assert opened.names == ["id", "image", "label"]
    assert [block.cells("label") for block in opened.blocks(["label"], 1, 2)] == [["a", "b"], ["b"]]


def test_a_folder_that_holds_a_table_is_not_read_past_it(tmp_path: Path) -> None:
    make(tmp_path, "images/1.png", "images/2.png")
    (tmp_path / "rows.csv").write_text("id,image,label\n1,images/1.png,a\n")
    with pytest.raises(UsageError, match=r"this folder is no table .*a table in it: rows\.csv") as caught:
        sources.read(str(tmp_path))
    assert str(tmp_path / "rows.csv") in caught.value.hint and not is_table(tmp_path)
    make(tmp_path, "masks/1.png")  # two classes: a list of the files may stand beside them
    assert {row["label"] for row in rows(tmp_path)} == {"images", "masks"}


@pytest.mark.parametrize("content", ["[]", '{"a": 1}', '[{"name": "a", "number": 0}]'])
def test_json_beside_the_classes(tmp_path: Path, content: str) -> None:
    make(tmp_path, "a/1.png", "b/1.png")
    (tmp_path / "classes.json").write_text(content)
    assert len(rows(tmp_path)) == 2 and is_class_folder(tmp_path)


def test_questions_beside_pictures_are_questions(tmp_path: Path) -> None:
    make(tmp_path, "a/1.png", "b/2.png")
    (tmp_path / "q.json").write_text('[{"image_name": "1.png", "question": "what is it?", "answer": "yes"}]')
    assert rows(tmp_path)[0]["question"] == "what is it?" and not is_class_folder(tmp_path)


def test_a_folder_without_pictures_is_no_table(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.txt").write_text("x")
    with pytest.raises(UsageError, match=r"this folder is no table .*pictures or recordings by class"):
        sources.read(str(tmp_path))


def test_files_whose_content_counts(tmp_path: Path) -> None:
    make(tmp_path, "a/1.png", "b/1.png")
    (tmp_path / "README.md").write_text("x")
    assert class_folder.file_paths(tmp_path) == [tmp_path / "a" / "1.png", tmp_path / "b" / "1.png"]
