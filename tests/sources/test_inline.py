"""Records on the command line: one, or a list of them, is a source of rows for predict."""

from __future__ import annotations

from pathlib import Path

import pytest

from suffuse import sources
from suffuse.errors import UsageError
from suffuse.sources import stream


@pytest.mark.parametrize(
    ("source", "cells"),
    [
        ('{"a": "x", "n": 1}', {"a": ["x"], "n": [1]}),
        (' [{"a": "x"}, {"n": null, "a": "ü"}]', {"a": ["x", "ü"], "n": [None, None]}),
        ('{"a": {"path": "x.png", "bytes": null}}', {"a": [{"path": "x.png", "bytes": None}]}),
    ],
)
def test_a_record_is_a_row_and_paths_start_from_the_working_folder(source: str, cells: dict) -> None:
    made = stream(source)
    (block,) = made.read(made.names, 0)
    assert ({name: block.cells(name) for name in made.names}, block.line, block.broken) == (
        cells,
        list(range(1, len(block.line) + 1)),
        [],
    )
    assert made.root == Path.cwd()


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("{a: x}", ("this record is not JSON", "single quotes")),
        ('{"a": "x"', ("this record is not JSON",)),
        ("[" * 100_000, ("this record is not JSON", "too many brackets")),
        ('{"a": ' + "9" * 5000 + "}", ("this record is not JSON", "4300 digits")),
        ('{"a": "\\ud800"}', ("this record is not JSON", "surrogates")),
        ('["x"]', ("these are no records", "got a list with str")),
        ("[]", ("these are no records", "an empty list")),
        ('{"' + "a" * 5000, ("this record is not JSON",)),  # no file can have such a name
        ("a" * 5000, ("no such source (rows)",)),
        ("a\0b", ("no such source (rows)",)),
        ("gone.csv", ("no such source (rows): got gone.csv, expected a file",)),
    ],
)
def test_what_is_none_is_one_clear_error(source: str, words: tuple[str, ...]) -> None:
    with pytest.raises(UsageError) as caught:
        stream(source)
    said = caught.value.text()
    assert all(word in said for word in words) and "data.source" not in said and len(said) < 600


def test_a_file_whose_name_is_like_json_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("{a}.csv").write_text("a\n1\n")
    assert stream("{a}.csv").names == ["a"] and sources.read("{a}.csv").line == [2]


def test_a_recipe_s_source_is_never_a_record() -> None:
    with pytest.raises(UsageError, match=r"no such source \(data.source\)"):
        sources.read('{"a": "x"}')
