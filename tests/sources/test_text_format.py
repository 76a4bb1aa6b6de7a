"""Encoding and delimiter of a text table are detected from its beginning, and can be given."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from suffuse import sources
from suffuse.recipe.data_settings import Data
from suffuse.sources import text_format
from suffuse.sources.table_format import MISSING_VALUES, TableFormat, is_missing, without_missing
from suffuse.sources.text_format import detect_encoding

WORDS = {
    "gb18030": ("红色连衣裙 夏季", "男士运动鞋 透气", "蓝牙耳机 降噪", "不锈钢保温杯"),
    "big5": ("紅色連衣裙 夏季", "男士運動鞋 透氣", "藍牙耳機 降噪", "電飯煲 智能"),
    "cp932": ("赤いワンピース 夏", "メンズ スニーカー", "ステンレス ボトル", "オフィスチェア"),
    "cp1252": ("Rotes Kleid für Mädchen", "Süßer Bär, groß", "Crème brûlée", "Élégant garçon à vélo", "12 €"),
    "cp1251": ("Красное платье", "Синие кроссовки", "Рюкзак детский", "Чайник"),
    "cp1250": ("Spodnie dla chłopców", "Książka, łóżko", "Półka na książki", "Źródło światła"),
    "cp949": ("빨간 원피스 여름", "남성 운동화 통기성", "무선 이어폰", "보온병"),
}


def table(encoding: str, delimiter: str, rows: int = 60) -> str:
    words = WORDS.get(encoding, WORDS["cp1252"])
    header = delimiter.join(("id", "title", "price"))
    cells = ((str(n), f'"{words[n % len(words)]}"', f"{n},5" if delimiter != "," else f"{n}.5") for n in range(rows))
    return "\r\n".join([header, *(delimiter.join(row) for row in cells)]) + "\r\n"


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", [*WORDS, "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_a_table_in_any_of_these_is_read_as_it_was_written(tmp_path: Path, encoding: str, delimiter: str) -> None:
    text = table(encoding, delimiter)
    (tmp_path / "rows.txt").write_bytes(text.encode(encoding))
    rows = sources.read(str(tmp_path / "rows.txt"))
    words = WORDS.get(encoding, WORDS["cp1252"])
    assert rows.table.column_names == ["id", "title", "price"] and not rows.broken
    assert rows.table["title"].to_pylist() == [words[n % len(words)] for n in range(60)]
    assert rows.line == list(range(2, 62))
    assert rows.text_format is not None and rows.text_format.delimiter == delimiter


def test_a_byte_that_the_encoding_lacks_costs_its_row_alone(tmp_path: Path) -> None:
    for encoding, bad in (("cp1252", b"\x81"), ("gb18030", b"\xff"), ("cp932", b"\x85 "), ("utf-8", b"\xe9")):
        lines = table(encoding, ";", 400).encode(encoding).splitlines(keepends=True)
        lines[300] = lines[300].replace(b'"\r', b"\r").replace(b';"', b';"' + bad)
        (tmp_path / "rows.csv").write_bytes(b"".join(lines))
        rows = sources.read(str(tmp_path / "rows.csv"), table_format=TableFormat(encoding))
        name = "UTF-8" if encoding == "utf-8" else encoding
        assert [line for line, _ in rows.broken] == [301] and len(rows.line) == 399
        assert rows.broken[0][1].startswith(f"broken row: not {name}: byte 0x")


def test_the_beginning_decides_and_a_later_byte_is_a_broken_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_format, "SAMPLE", 200)
    (tmp_path / "rows.csv").write_bytes(b"a;b\n" + b"1;x\n" * 100 + "2;é\n".encode("latin-1") + b"3;y\n")
    rows = sources.read(str(tmp_path / "rows.csv"))
    assert rows.broken == [(102, "broken row: not UTF-8: byte 0xe9")] and len(rows.line) == 101


def test_single_rows_that_are_not_utf_8_don_t_change_the_encoding() -> None:
    lines = [f"{n},Mädchen".encode() for n in range(20)]
    assert detect_encoding(b"\n".join([*lines, "x,Bär".encode("latin-1")])) == "utf-8"
    assert detect_encoding("a,b\n1,ž\n".encode("cp1250"), likely="cp1250") == "cp1250"


@pytest.mark.parametrize(
    ("content", "delimiter", "names"),
    [
        ("a,b\n1;2,3;4\n5,6\n", ",", ["a", "b"]),
        ("name;preis, EUR;menge\nx;1,5;3\ny;2,5;4\n", ";", ["name", "preis, EUR", "menge"]),
        ("text\nit is; well\nfine; or\n", ",", ["text"]),
        ('a;b\n"x;y,z";2\n"1,2\n3;4";5\n', ";", ["a", "b"]),
        ("sep=|\na|b;c\n1|2\n", "|", ["a", "b;c"]),
        ("sep=;\na;b\n1;2\n", ";", ["a", "b"]),
    ],
)
def test_the_delimiter_is_the_one_of_the_header_and_most_rows(
    tmp_path: Path, content: str, delimiter: str, names: list[str]
) -> None:
    (tmp_path / "rows.csv").write_text(content, encoding="utf-8")
    rows = sources.read(str(tmp_path / "rows.csv"))
    assert rows.text_format is not None
    assert (rows.text_format.delimiter, rows.table.column_names) == (delimiter, names)


def test_what_is_given_isn_t_detected(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_bytes("a;b,c\n1;é,2\n".encode("latin-1"))
    rows = sources.read(str(tmp_path / "rows.csv"), table_format=TableFormat("latin-1", ","))
    assert rows.table.to_pylist() == [{"a;b": "1;é", "c": "2"}]
    raw = {"source": "rows.csv", "target": "b", "encoding": "latin-1", "delimiter": ";"}
    assert Data.model_validate(raw).table_format == TableFormat("latin-1", ";", MISSING_VALUES)
    for name in ("latin-99", "base64"):
        with pytest.raises(ValueError, match="expected an encoding"):
            Data.model_validate({**raw, "encoding": name})


def test_missing_values_are_empty_cells_and_counted() -> None:
    cells = ["5", " NULL ", "N/A", "NULL", None, "Na", "none", "无"]
    rows = without_missing(sources.Rows(pa.table({"a": cells, "n": range(8)}), list(range(8)), Path()), MISSING_VALUES)
    assert rows.table["a"].to_pylist() == ["5", None, None, None, None, "Na", "none", None]
    assert rows.missing == {"a": {"NULL": 2, "N/A": 1, "无": 1}} and rows.table["n"].to_pylist() == list(range(8))
    assert [is_missing(cell, MISSING_VALUES) for cell in (" ? ", "??", 5, None)] == [True, False, False, False]
