"""JSON files: a list of objects is a table; what isn't one is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from suffuse import sources
from suffuse.errors import SuffuseError, UsageError


def read(folder: Path, content: str | bytes) -> sources.Rows:
    file = folder / "rows.json"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return sources.read(str(file))


def test_objects_are_rows_and_the_rest_is_broken(tmp_path):
    rows = read(tmp_path, '[{"a": 1, "text": "x"}, [1], {"a": null, "more": [1, 2]}, "text", {"text": "\\ud83d"}]')
    assert rows.table.to_pylist() == [{"a": 1, "text": "x", "more": None}, {"a": None, "text": None, "more": [1, 2]}]
    assert rows.line == [1, 3] and rows.root == tmp_path
    assert [number for number, _ in rows.broken] == [2, 4, 5]
    assert rows.broken[0][1] == "broken row: expected an object, got list"
    assert rows.broken[2][1].startswith("broken row: 'utf-8' codec can't encode")


def test_columns_of_mixed_types_and_numbers_beyond_64_bits_become_texts(tmp_path):
    rows = read(tmp_path, json.dumps([{"a": 1, "b": 2**70}, {"a": "x", "b": 1}]))
    assert rows.table["a"].to_pylist() == ["1", "x"]
    assert rows.table["b"].to_pylist() == [str(2**70), "1"]


@pytest.mark.parametrize(
    ("content", "error", "said"),
    [
        (b"", SuffuseError, "not JSON .*: got nothing"),
        (b'[{"a": 1},\n{"a": }]', SuffuseError, r"not JSON \(.*rows.json:2\)"),
        (b'[{"a": "caf\xe9"}]', SuffuseError, r"not UTF-8 \(.*:1\): got byte 0xe9"),
        (b"\xef\xbb\xbf[\n\xff]", SuffuseError, r"not UTF-8 \(.*:2\): got byte 0xff"),
        (b"[" * 200_000, SuffuseError, "not JSON"),
        (b'{"a": 1}', UsageError, "no table .*: got dict, expected a list of objects"),
        (b"[]", UsageError, "no rows"),
        (b"[1, 2]", UsageError, "no rows"),
    ],
)
def test_what_is_no_table(tmp_path, content, error, said):
    with pytest.raises(error, match=said) as caught:
        read(tmp_path, content)
    assert type(caught.value) is error


def test_a_byte_order_mark_is_no_part_of_it(tmp_path):
    assert read(tmp_path, b'\xef\xbb\xbf[{"a": "x"}]').table["a"].to_pylist() == ["x"]


text = st.text(st.characters(exclude_categories=("Cs",)), max_size=6)


@budget(deadline=None, max_examples=60)
@given(st.lists(st.fixed_dictionaries({"a": text, "b": st.none() | text}), min_size=1, max_size=6), st.booleans())
def test_what_the_standard_library_writes_is_read_back(tmp_path_factory, rows, plain):
    found = read(tmp_path_factory.mktemp("json"), json.dumps(rows, ensure_ascii=plain))
    assert found.table.to_pylist() == rows and found.broken == []
