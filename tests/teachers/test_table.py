"""A table of answers: probabilities, logits, hard labels, records; abstentions; what is wrong is told by its line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from teacher_tools import CLASSES, raw_rows, said, softmax, write_answers

from suffuse import write_answers as write
from suffuse.errors import SuffuseError, UsageError
from suffuse.prepare.raw_cells import RawRows
from suffuse.registry import settings
from suffuse.teachers import TABLE, Question
from suffuse.teachers.factory import open_external
from suffuse.teachers.matching import FLOOR


@pytest.fixture
def asked(teach_by, columns, prepared):
    """Logits (N, C) that a table's settings give, in the order of the run's rows."""

    def ask(**raw) -> np.ndarray:
        teacher = open_external(teach_by({"kind": "table", **raw}), columns)
        return teacher.answer(Question(np.arange(len(columns.split))))["logits"]

    return ask


@pytest.fixture
def exact(prepared) -> np.ndarray:
    """(N, C) what the linear teacher says of the prepared rows, found by their ids."""
    by_id = {row["id"]: said(row, CLASSES) for row in raw_rows(prepared)}
    return np.array([by_id[name] for name in RawRows(prepared).ids])


def test_probabilities_are_found_by_id_and_become_log_probabilities(asked, exact, prepared, tmp_path):
    rows = raw_rows(prepared)[::-1]  # another order than the run's
    found = asked(file=str(write_answers(tmp_path / "a.csv", rows, ("red", "blue", "green"))))
    np.testing.assert_allclose(np.exp(found), softmax(exact.astype(np.float64)), atol=1e-6)
    np.testing.assert_allclose(np.exp(found).sum(1), 1, atol=1e-5)


def test_empty_cells_and_lacking_rows_are_abstentions(asked, prepared, tmp_path):
    rows, ids = raw_rows(prepared), np.array(RawRows(prepared).ids)
    found = asked(file=str(write_answers(tmp_path / "a.csv", rows[:-5], CLASSES, silent=["r3", "r8"])))
    silent = np.isin(ids, ["r3", "r8", *(row["id"] for row in rows[-5:])])
    assert np.isnan(found[silent]).all()
    assert not np.isnan(found[~silent]).any()


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl"])
def test_logits_stay_as_they_are(asked, exact, prepared, tmp_path, suffix):
    rows, file = raw_rows(prepared), tmp_path / f"a{suffix}"
    lines = [
        {"row": r["id"], **{f"z({c})": float(z) for c, z in zip(CLASSES, said(r, CLASSES), strict=True)}} for r in rows
    ]
    if suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist([{**line, "model": "large"} for line in lines]), file)
    else:
        file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    np.testing.assert_allclose(asked(file=str(file), id="row", form="logits", pattern="z({class})"), exact, atol=1e-5)


def test_records_of_class_and_probability(asked, exact, prepared, tmp_path):
    file = tmp_path / "a.jsonl"
    with file.open("w", encoding="utf-8") as out:
        for row in raw_rows(prepared):
            p = dict(zip(CLASSES, softmax(said(row, CLASSES)).tolist(), strict=True))
            out.write(json.dumps({"id": row["id"], "p": None if row["id"] == "r2" else p}) + "\n")
    found = asked(file=str(file), column="p")
    silent = np.isnan(found).any(1)
    assert silent.sum() == 1
    np.testing.assert_allclose(np.exp(found[~silent]), softmax(exact)[~silent], atol=1e-5)


def test_hard_labels_are_clipped_at_the_floor(asked, prepared, tmp_path):
    file = tmp_path / "a.csv"
    lines = ["id,says", *(f"{r['id']},{'rot' if r['answer'] == 'red' else r['answer']}" for r in raw_rows(prepared))]
    lines[2] = lines[2].partition(",")[0] + ","
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    found = asked(file=str(file), form="labels", column="says", classes={"rot": "red"})
    labels = {r["id"]: CLASSES.index(r["answer"]) for r in raw_rows(prepared)}
    there = ~np.isnan(found).any(1)
    assert (~there).sum() == 1
    wanted = np.array([labels[name] for name in RawRows(prepared).ids])
    np.testing.assert_array_equal(found[there].argmax(1), wanted[there])
    assert set(np.unique(found[there])) == {np.float32(0), np.float32(np.log(FLOOR))}


@pytest.mark.parametrize(
    ("lines", "more", "words"),
    [
        (["r0,0.5,,0.5"], {}, ("a.csv:2", "1 of 3 cells empty")),
        (["r0,1,0,0", "r0,0,1,0"], {}, ("a.csv:3", "answered twice", "'r0'")),
        (["r0,0.5,0.4,0.3"], {}, ("add up to 1.2",)),
        (["r0,1.5,-0.3,-0.2"], {}, ("expected 0 to 1",)),
        (["r0,many,0,1"], {}, ("a.csv:2", "'many'", "'blue'")),
        (["x0,1,0,0"], {}, ("no row of this run", "'x0'", "'r0'")),
        (["r0,1,0,0"], {"id": "row"}, ("no such column", "'row'")),
        (["r0,1,0,0"], {"pattern": "p({class})"}, ("no column of a class",)),
        (["r0,1,0,0"], {"form": "labels", "column": "red"}, ("doesn't have", "'0'")),
        (["r0,1,0,0"], {"column": "red"}, ("no record",)),
        (["r0,1,0,0"], {"ignore": "red"}, ("not all", "red")),
    ],
)
def test_what_is_wrong_is_one_clear_line(asked, tmp_path, lines, more, words):
    file = tmp_path / "a.csv"
    file.write_text("id,blue,green,red\n" + "\n".join(lines) + "\n", encoding="utf-8")
    with pytest.raises(SuffuseError) as caught:
        asked(file=str(file), **more)
    for word in words:
        assert word in caught.value.text()
    assert "\n" not in caught.value.line()


def test_a_column_too_many_is_no_class_and_can_be_ignored(asked, prepared, tmp_path):
    file = write_answers(tmp_path / "a.csv", raw_rows(prepared), CLASSES)
    lines = file.read_text(encoding="utf-8").splitlines()
    file.write_text(
        "\n".join(f"{line},{'cost' if n == 0 else n}" for n, line in enumerate(lines)) + "\n", encoding="utf-8"
    )
    with pytest.raises(UsageError) as caught:
        asked(file=str(file))
    assert caught.value.got == "cost"
    assert not np.isnan(asked(file=str(file), ignore=["cost"])).any()


def test_answers_of_a_fitted_estimator_are_written_and_read(asked, prepared, tmp_path):
    from sklearn.linear_model import LogisticRegression

    rows = raw_rows(prepared)
    x = np.array([[float(r["x1"]), float(r["x2"])] for r in rows])
    fitted = LogisticRegression(random_state=0).fit(x, [r["answer"] for r in rows])
    file = write(tmp_path / "a.parquet", [r["id"] for r in rows], fitted.classes_, fitted.predict_proba(x))
    found, at = asked(file=str(file)), {r["id"]: n for n, r in enumerate(rows)}
    place = [at[name] for name in RawRows(prepared).ids]
    np.testing.assert_allclose(np.exp(found), fitted.predict_proba(x)[place], atol=1e-6)
    with pytest.raises(UsageError, match="can't write"):
        write(file, ["r0"], fitted.classes_, fitted.predict_proba(x))


def test_relative_paths_start_from_the_recipe():
    placed = settings(TABLE, {"kind": "table", "file": "sub/a.csv"}).placed(Path("/base"))
    assert placed.file == "/base/sub/a.csv"  # pyright: ignore
