"""Tables and records that lack columns of the model, and the column of ids."""

from __future__ import annotations

import csv
import json
import warnings
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from prediction_files import read_predictions
from serving_tools import record, write_export

from suffuse.errors import UsageError
from suffuse.predictor import Predictor
from suffuse.stages.predict import Options, predict

FORMS = ["csv", "jsonl", "parquet"]


@pytest.fixture(scope="module")
def things(build_once: Callable[..., Path]) -> Path:
    """An export of five modalities without a column of ids; `facts` reads the columns weight and shop."""
    return build_once("things", {}, write_export) / "export"


def written(file: Path, rows: list[list[str]]) -> str:
    with file.open("w", newline="", encoding="utf-8") as out:
        csv.writer(out).writerows(rows)
    return str(file)


def test_a_table_with_none_of_the_model_s_columns_is_refused(export: Path, tmp_path: Path) -> None:
    source = written(tmp_path / "rows.csv", [["id", "Imgae", "texts", "price"], *[["1", "a.png", "what", "3"]] * 5])
    with pytest.raises(UsageError) as caught:
        predict(export, source, tmp_path / "out.csv")
    assert caught.value.exit_code == 2
    assert caught.value.line() == (
        f"the table has none of the model's columns ({source}): got 'id', 'Imgae', 'texts', 'price', "
        "expected 'image', 'text'"
    )
    assert caught.value.hint == "did you mean 'image' by 'Imgae', 'text' by 'texts'?"
    assert [p.name for p in tmp_path.iterdir()] == ["rows.csv"]


def test_some_columns_are_missing(export: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = written(tmp_path / "rows.csv", [["TEXT", "image"], ["what colour", ""]])
    done = predict(export, source, tmp_path / "out.csv")
    assert done.missing_columns == ("text",) and done.to_json()["missing_columns"] == ("text",)
    (warning,) = [line for line in capsys.readouterr().err.splitlines() if "WARNING" in line]
    assert warning == "WARNING: no column 'text': question is absent in every row; did you mean 'text' by 'TEXT'?"
    source = written(tmp_path / "rows.csv", [["text", "image"], ["what colour", ""]])
    assert predict(export, source, tmp_path / "out.csv").missing_columns == ()
    assert "WARNING" not in capsys.readouterr().err


def test_columns_of_a_modality_that_has_others(
    things: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = written(tmp_path / "rows.csv", [["weight", "note"], ["2.5", "a thing"]])
    done = predict(things, source, tmp_path / "out.jsonl")
    assert done.missing_columns == ("photo", "clip", "shop", "steps")
    (warning,) = [line for line in capsys.readouterr().err.splitlines() if "WARNING" in line]
    assert warning == (
        "WARNING: no column 'photo', 'clip', 'shop', 'steps': look, noise, path are absent in every row; "
        "facts has 1 of its 2 columns, the others count as empty"
    )
    (row,) = read_predictions(tmp_path / "out.jsonl")
    assert row["used"] == "words; facts"
    predictor = Predictor.load(things)
    same = predictor.predict({**dict.fromkeys(record(0)), "weight": 2.5, "note": "a thing"})
    assert row["confidence(kind)"] == pytest.approx(same.confidence, abs=1e-6)


def test_records_that_lack_columns(things: Path) -> None:
    predictor = Predictor.load(things)
    for records in ({}, [{}], [{"note": "a"}, {}]):
        with pytest.raises(UsageError, match="none of the model's inputs"):
            predictor.predict(records)
    with pytest.warns(UserWarning, match="no record has 'shop' of 'facts': they count as empty"):
        predictor.predict([{"weight": 1.0}, {"weight": 2.0}])
    with pytest.warns(UserWarning, match="'shop' of 'facts'"):
        predictor.predict({"weight": 1.0})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        predictor.predict([{"weight": 1.0}, {"shop": "north"}, {"note": "a"}])
        predictor.predict({"note": "a"})
        predictor.predict({"weight": 1.0, "shop": None})


@pytest.mark.parametrize("form", FORMS)
def test_the_ids_come_first(export: Path, tmp_path: Path, form: str) -> None:
    source = written(tmp_path / "rows.csv", [["text", "id"], ["what", "r1"], ["colour", ""], ["thing", "-7"], ["a"]])
    predict(export, source, tmp_path / f"out.{form}")
    found = read_predictions(tmp_path / f"out.{form}")
    assert list(found[0])[:3] == ["id", "answer", "confidence"]
    assert [row["id"] for row in found] == ["r1", "", "-7"]
    assert [int(row["line"]) for row in found] == [2, 3, 4]
    table = pa.table({"text": ["what", "colour"], "id": pa.array([7, None], pa.int64())})
    pq.write_table(table, tmp_path / "rows.parquet")
    predict(export, str(tmp_path / "rows.parquet"), tmp_path / f"out.{form}")
    assert [row["id"] for row in read_predictions(tmp_path / f"out.{form}")] == ["7", "" if form == "csv" else None]


def test_a_table_without_ids_and_an_export_that_names_none(
    export: Path, things: Path, signed: Callable[..., Path], tmp_path: Path
) -> None:
    source = written(tmp_path / "rows.csv", [["text"], ["what"]])
    predict(export, source, tmp_path / "out.csv")
    assert list(read_predictions(tmp_path / "out.csv")[0])[:2] == ["line", "answer"]
    source = written(tmp_path / "rows.csv", [["id", "text", "line"], ["r1", "what", "a"]])
    predict(signed(id=None), source, tmp_path / "out.csv")  # an older export
    assert list(read_predictions(tmp_path / "out.csv")[0])[:2] == ["line", "answer"]
    predict(signed(id="line"), source, tmp_path / "out.csv")
    assert list(read_predictions(tmp_path / "out.csv")[0].items())[:2] == [("id(line)", "a"), ("answer", "green")]
    assert "id" not in json.loads((things / "signature.json").read_text())


def test_formulas_and_escapes_of_a_table(export: Path, tmp_path: Path) -> None:
    rows = [["text", "id", "image"], ["what", "=HYPERLINK(1)", ""], ["a", "-1.5", "x\x1b[31m.png"], ["b", "@a;=b", ""]]
    source = written(tmp_path / "rows.csv", rows)
    raw = [row[1] for row in rows[1:]]
    predict(export, source, tmp_path / "out.csv")
    assert [row["id"] for row in read_predictions(tmp_path / "out.csv")] == ["'=HYPERLINK(1)", "-1.5", "'@a;=b"]
    assert b"\x1b" not in (tmp_path / "out.csv").read_bytes()
    assert b"\x1b" not in (tmp_path / "out.problems.csv").read_bytes()
    predict(export, source, tmp_path / "out.csv", Options(raw=True))
    assert [row["id"] for row in read_predictions(tmp_path / "out.csv")] == raw
    for form in ("jsonl", "parquet"):
        predict(export, source, tmp_path / f"out.{form}")
        assert [row["id"] for row in read_predictions(tmp_path / f"out.{form}")] == raw


def test_what_cannot_be_read_is_counted_and_shown(
    export: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = written(tmp_path / "rows.csv", [["text", "image"], ["what", "gone.png"], ["a", ""], ["b", "gone.png"]])
    assert predict(export, source, tmp_path / "out.csv").unreadable == 2
    err = capsys.readouterr().err
    assert "2 rows hold something that can't be read, e.g. line 2: picture: no such file" in err
    assert [row["absent"] for row in read_predictions(tmp_path / "out.csv")] == [
        "picture: no such file", "picture: empty cell", "picture: no such file",
    ]  # fmt: skip
