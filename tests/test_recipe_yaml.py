"""A recipe's YAML is bounded before anything is built from it: each limit is one clear error, at once."""

from __future__ import annotations

import os
import re
import time
import tracemalloc
from pathlib import Path

import pytest
import yaml

import suffuse
from suffuse.errors import UsageError
from suffuse.recipe import read_recipe
from suffuse.recipe.yaml_io import MAX_BYTES, MAX_LEVELS, parse_yaml, yaml_text

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
HOSTILE = {
    "an alias bomb of nine levels": (BOMB, ":1", "no anchors and aliases", "&a"),
    "an alias": ("a: 1\nb: *a\n", ":2", "no anchors and aliases", "*a"),
    "a recursive alias": ("a: &a [*a]\n", ":1", "no anchors and aliases", "&a"),
    "5,000 brackets": ("a: " + "[" * 5000, ":1", "nested too deep", f"at most {MAX_LEVELS} levels"),
    "5,000 braces": ("a: " + "{a: " * 5000, ":1", "nested too deep", ""),
    "5,000 dashes": ("a:\n  " + "- " * 5000 + "x", ":2", "nested too deep", ""),
    "5,000 question marks": ("? " * 5000 + "x", ":1", "nested too deep", ""),
    "brackets as a key": ("? " + "[" * 5000 + "\n: x", ":1", "nested too deep", ""),
    "5,000 digits": ("seed: " + "9" * 5000, ":1", "a number in the recipe is too long", "5,000 characters"),
    "5,000 hexadecimal digits": ("seed: 0x" + "f" * 5000, ":1", "too long", ""),
    "5,000 parts of sixty": ("seed: " + "1:" * 5000 + "1", ":1", "too long", ""),
    "a long fraction": ("seed: " + "1:" * 500 + "1.5", ":1", "too long", ""),
    "no such month": ("version: 1\nname: 2024-13-45\n", ":2", "can't read this value", "2024-13-45"),
    "a tag that doesn't fit": ("a: !!int x\n", ":1", "can't read this value", "x"),
    "a truth that is none": ("a: !!bool maybe\n", ":1", "can't read this value", "maybe"),
    "a time that is none": ("a: !!timestamp x\n", ":1", "can't read this value", "x"),
    "a list as a key": ("? [a]\n: b\n", ":1", "not YAML", "unhashable key"),
    "two documents": ("a: 1\n---\nb: 2\n", ":2", "not YAML", ""),
}


def refused(path: Path) -> UsageError:
    with pytest.raises(UsageError) as caught:
        read_recipe(path)
    assert caught.value.exit_code == 2 and "\n" not in caught.value.line() and len(caught.value.line()) < 400
    return caught.value


@pytest.mark.parametrize("case", HOSTILE)
def test_each_is_one_error_with_its_line_and_takes_neither_time_nor_memory(case: str, tmp_path: Path) -> None:
    text, line, what, facts = HOSTILE[case]
    (tmp_path / "recipe.yaml").write_text(text)
    tracemalloc.start()
    start = time.process_time()
    error = refused(tmp_path / "recipe.yaml")
    seconds, memory = time.process_time() - start, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert error.where.endswith(f"recipe.yaml{line}") and what in error.line() and facts in error.line()
    assert memory < 2**23
    assert seconds < 5  # some milliseconds; what it guards against takes minutes


@pytest.mark.parametrize("case", ["an alias bomb of nine levels", "5,000 brackets", "5,000 digits"])
def test_overrides_have_the_same_bounds(case: str, tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("seed: 1\n")
    with pytest.raises(UsageError, match=r"can't read this override \(--set seed\)") as caught:
        read_recipe(tmp_path / "recipe.yaml", ["seed=" + HOSTILE[case][0]])
    assert HOSTILE[case][2].removeprefix("a number in the recipe ") in caught.value.hint.replace("it is", "is")
    with pytest.raises(UsageError, match="can't read this override"):
        read_recipe(tmp_path / "recipe.yaml", [".".join("a" * 5000) + "=1"])


def test_a_large_file_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("a: 1\n" + "# é\n" * (MAX_BYTES // 5 + 1))
    error = refused(tmp_path / "recipe.yaml")
    assert "the recipe is too large" in error.line() and f"at most {MAX_BYTES:,}" in error.line()


def test_what_is_no_regular_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "recipe.yaml")
    assert "got a pipe" in refused(tmp_path / "recipe.yaml").line()
    (tmp_path / "endless.yaml").symlink_to("/dev/zero")
    assert "got a device" in refused(tmp_path / "endless.yaml").line()


@pytest.mark.parametrize("name", ["rows.csv", "rows.TSV", "rows.parquet", "rows.jsonl", "rows.json", "my rows.csv"])
def test_a_table_in_place_of_a_recipe(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b'[{"a": 1}]' if name.endswith("json") else b"a,b\n1,2\n")
    error = refused(tmp_path / name)
    assert "this is a table, and no recipe" in error.line() and "a teacher and a student" in error.line()
    where = str(tmp_path / name)
    assert f"`suffuse init {repr(where) if ' ' in where else where} --target COLUMN`" in error.hint


def test_a_saved_dataset_in_place_of_a_recipe(tmp_path: Path) -> None:
    from suffuse.run import Run

    (tmp_path / "state.json").write_text("{}")
    with pytest.raises(UsageError, match="this is a table") as caught:
        Run.open(tmp_path)
    assert f"suffuse init {tmp_path} --target COLUMN" in caught.value.hint
    with pytest.raises(UsageError, match="this is a table"):
        read_recipe(Path("easy-vqa"))


@pytest.mark.parametrize("name", ["gone.yaml", "gone.json", "gone.csv", "a" * 300 + ".json"])
def test_a_recipe_that_is_not_there(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="^no such recipe" if name.startswith("gone") else "^can't read the recipe"):
        read_recipe(tmp_path / name)


def test_a_recipe_may_be_json(tmp_path: Path) -> None:
    (tmp_path / "recipe.json").write_text('{"sed": 1}')
    assert "a key is missing" in refused(tmp_path / "recipe.json").line()


def test_what_is_written_can_be_read(tmp_path: Path) -> None:
    both = [1, {"a": "x"}]
    text = yaml_text({"one": both, "other": both, "ü": "ä"})
    assert parse_yaml(text) == yaml.safe_load(text) == {"one": both, "other": both, "ü": "ä"}
    deep: list = []
    for _ in range(MAX_LEVELS - 2):
        deep = [deep]
    assert parse_yaml(yaml_text(deep)) == deep


def test_nothing_else_loads_yaml() -> None:
    """Whoever reads YAML imports PyYAML: only the bounded loader does."""
    source = Path(suffuse.__file__).parent
    files = [f for f in source.rglob("*.py") if re.search(r"^\s*(import|from) yaml\b", f.read_text("utf-8"), re.M)]
    assert [f.name for f in files] == ["yaml_io.py"]
