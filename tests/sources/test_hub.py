"""``hf://`` names: their parts, folders on this machine, and commits of the Hub without a network."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import datasets
import huggingface_hub
import pytest
from hub_tools import COMMIT, repository

from suffuse import sources
from suffuse.errors import SuffuseError, UsageError
from suffuse.prepare.recipe_proposal import propose
from suffuse.sources import hub, stream


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The library's cache, empty."""
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return repository(tmp_path / "reviews")


# names


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("hf://datasets/user/name", hub.HubName("user/name", False)),
        ("hf://user/name", hub.HubName("user/name", False)),
        ("hf://datasets/squad", hub.HubName("squad", False)),
        ("hf://datasets/user/name@main", hub.HubName("user/name", False, "main")),
        ("hf://datasets/user/name@refs/pr/1", hub.HubName("user/name", False, "refs/pr/1")),
        ("hf://datasets/user/name@refs%2Fpr%2F1", hub.HubName("user/name", False, "refs/pr/1")),
        (f"hf://user/name@{COMMIT}?config=en", hub.HubName("user/name", False, COMMIT, "en")),
        ("hf://user/name?split=train,test", hub.HubName("user/name", False, splits=("train", "test"))),
        ("hf://./reviews?config=en&split=train", hub.HubName("./reviews", True, None, "en", ("train",))),
        ("hf:///data/reviews", hub.HubName("/data/reviews", True)),
    ],
)
def test_the_parts_of_a_name(source: str, expected: hub.HubName) -> None:
    assert hub.parse(source) == expected
    assert hub.parse(str(expected)) == expected


@pytest.mark.parametrize(
    "source",
    ["hf://", "hf://a/b/c", "hf://a b", "hf://models/user/name", "hf://user/name?subset=en", "hf://user/name@a b"],
)
def test_names_that_are_none(source: str) -> None:
    with pytest.raises(UsageError, match=r"can't read this name .*hf://datasets/USER/NAME"):
        hub.parse(source)


def test_a_folder_that_is_there_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "user" / "name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert hub.parse("hf://user/name").is_local and not hub.parse("hf://datasets/user/name").is_local


# folders


def test_a_folder_with_its_splits_and_class_names(folder: Path) -> None:
    rows = sources.read(f"hf://{folder}?config=en")
    assert rows.table.column_names == ["text", "photo", "y", "split"]
    assert rows.table["split"].to_pylist() == ["train"] * 40 + ["test"] * 20
    assert rows.table["y"].to_pylist() == ["neg", "pos"] * 30
    assert rows.line == list(range(1, 61)) and rows.table["text"][0].as_py().startswith("en number 0 ")
    assert rows.table["photo"][0].as_py()["bytes"][:4] == b"\x89PNG"


def test_one_split_is_no_column(folder: Path) -> None:
    rows = sources.read(f"hf://{folder}?config=de&split=test")
    assert "split" not in rows.table.column_names and rows.table.num_rows == 20
    assert rows.table["text"][0].as_py().startswith("de number 40 ")


def test_splits_are_read_in_the_asked_order(folder: Path) -> None:
    rows = sources.read(f"hf://{folder}?config=en&split=test,train")
    assert rows.table["split"].to_pylist() == ["test"] * 20 + ["train"] * 40


@pytest.mark.parametrize("skip", [0, 1, 5, 7])
def test_blocks_are_those_of_all_files(folder: Path, skip: int) -> None:
    opened = stream(f"hf://{folder}?config=en")
    whole = list(opened.blocks(["y", "split"], 0, 7))
    blocks = list(opened.blocks(["y", "split"], skip, 7))
    assert [b.line for b in blocks] == [b.line for b in whole][skip:]
    assert [line for block in whole for line in block.line] == list(range(1, 61))
    assert [b.share for b in whole] == sorted(b.share for b in whole) and whole[-1].share == 1.0
    assert {name for block in whole for name in block.names()} == {"y", "split"}


def test_files_are_inside_also_where_the_folder_names_them(tmp_path: Path) -> None:
    from PIL import Image

    for label, shade in (("cat", 10), ("dog", 200)):
        (tmp_path / "pets" / label).mkdir(parents=True)
        for number in range(3):
            Image.new("RGB", (8, 8), (shade, number, 0)).save(tmp_path / "pets" / label / f"{number}.png")
    rows = sources.read(f"hf://{tmp_path / 'pets'}")
    assert rows.table["label"].to_pylist() == ["cat"] * 3 + ["dog"] * 3
    assert all(cell["bytes"] for cell in rows.table["image"].to_pylist())


def test_it_is_written_once_until_the_folder_changes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = sources.read(f"hf://{folder}?config=en&split=test").table.num_rows
    load = datasets.load_dataset_builder
    monkeypatch.setattr(datasets, "load_dataset_builder", lambda *_, **__: pytest.fail("loaded again"))
    assert sources.read(f"hf://{folder}?config=en&split=test").table.num_rows == before
    monkeypatch.setattr(datasets, "load_dataset_builder", load)
    shutil.copy(folder / "en" / "train-00000-of-00002.parquet", folder / "en" / "test-00000-of-00001.parquet")
    changed = sources.read(f"hf://{folder}?config=en&split=test").table
    assert changed["text"][0].as_py().startswith("en number 0 ")


def test_a_killed_writing_leaves_nothing_that_is_read(
    folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(hub, "write_json", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            sources.read(f"hf://{folder}?config=en")
    assert not list((cache / "suffuse").glob("*/splits.json"))
    assert sources.read(f"hf://{folder}?config=en").table.num_rows == 60


def test_a_configuration_must_be_chosen(folder: Path) -> None:
    with pytest.raises(SuffuseError, match=r"can't load the dataset .*\['en', 'de'\]") as caught:
        sources.read(f"hf://{folder}")
    assert "?config=NAME" in caught.value.hint
    with pytest.raises(SuffuseError, match=r"'fr' not found. Available: \['en', 'de'\]"):
        sources.read(f"hf://{folder}?config=fr")


def test_a_split_that_is_not_there(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"no such split .*'trian'") as caught:
        sources.read(f"hf://{folder}?config=en&split=trian")
    assert caught.value.hint == "did you mean 'train'?"


def test_folders_that_cannot_be_loaded(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "code.py").write_text("raise SystemExit('was run')")
    with pytest.raises(SuffuseError, match="can't load the dataset"):
        sources.read(f"hf://{tmp_path / 'code'}")
    with pytest.raises(UsageError, match="no such folder"):
        sources.read(f"hf://{tmp_path / 'nowhere'}")


def test_the_library_is_not_installed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UsageError, match="datasets isn't installed") as caught:
        sources.read(f"hf://{folder}?config=en")
    assert caught.value.hint == "pip install 'suffuse[datasets]'"


def test_the_recipe_names_a_folder_from_where_it_stands(folder: Path, tmp_path: Path) -> None:
    text = propose(f"hf://{folder}?config=en", "y", place=tmp_path / "recipes").text
    assert "source: 'hf://../reviews?config=en'" in text
    assert hub.placed("hf://../reviews?config=en", tmp_path / "recipes") == f"hf://{folder}?config=en"


# the Hub


class Hub:
    """Stands for the Hub: commits of revisions, and a folder for the library to load."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch):
        self.commits: dict[str | None, str] = {None: COMMIT, "v1": COMMIT[::-1]}
        self.is_down = False
        self.loaded: list[tuple[str, str | None, str | None]] = []
        load = datasets.load_dataset_builder

        def load_builder(path: str, name: str | None = None, revision: str | None = None, **more: Any) -> Any:
            self.loaded.append((path, name, revision))
            assert "trust_remote_code" not in more
            return load(str(folder), name, **more)

        monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", self.info)
        monkeypatch.setattr(datasets, "load_dataset_builder", load_builder)

    def info(self, name: str, *, revision: str | None = None, timeout: float | None = None) -> Any:
        if self.is_down:
            raise ConnectionError("Name or service not known")
        return SimpleNamespace(sha=self.commits[revision])


@pytest.fixture
def server(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Hub:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return Hub(folder, monkeypatch)


def test_a_name_is_loaded_at_one_commit(server: Hub) -> None:
    assert sources.read("hf://datasets/user/reviews?config=en").table.num_rows == 60
    assert sources.read("hf://datasets/user/reviews@v1?config=en").table.num_rows == 60
    assert server.loaded == [("user/reviews", "en", COMMIT), ("user/reviews", "en", COMMIT[::-1])]


def test_the_recipe_names_the_commit(server: Hub, tmp_path: Path) -> None:
    text = propose("hf://user/reviews?config=en&split=train,test", "y", place=tmp_path).text
    assert f"source: 'hf://datasets/user/reviews@{COMMIT}?config=en&split=train,test'" in text


def test_a_commit_that_was_loaded_needs_no_network(server: Hub) -> None:
    source = f"hf://datasets/user/reviews@{COMMIT}?config=en"
    before = sources.read(source).table.num_rows
    server.is_down = True
    assert sources.read(source).table.num_rows == before and len(server.loaded) == 1


def test_a_branch_without_network_is_what_was_downloaded_last(server: Hub, tmp_path: Path) -> None:
    server.is_down = True
    with pytest.raises(SuffuseError, match=r"can't load the dataset .*Name or service not known") as caught:
        sources.read("hf://user/reviews?config=en")
    assert "hf://FOLDER" in caught.value.hint and hub.identity("hf://user/reviews") is None
    reference = tmp_path / "hub" / "datasets--user--reviews" / "refs" / "main"
    reference.parent.mkdir(parents=True)
    reference.write_text(COMMIT)
    assert hub.identity("hf://user/reviews") == COMMIT
    assert sources.read("hf://user/reviews?config=en").table.num_rows == 60


def test_what_a_run_is_called(folder: Path) -> None:
    assert sources.name_of("hf://datasets/user/reviews@main?config=en") == "reviews"
    assert sources.name_of(f"hf://{folder}?config=en") == "reviews"
