"""Tables of any length: the same file however often the command was killed, and all that is wrong told row by row."""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from prediction_files import read_predictions

from suffuse.errors import UsageError
from suffuse.predictor import Predictor, batch_predict
from suffuse.sources import row_stream
from suffuse.sources.table_format import TableFormat
from suffuse.stages.predict import Options, predict

FORMS = ["csv", "jsonl", "parquet"]


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(row_stream, "BLOCK_ROWS", 4)
    monkeypatch.setattr(batch_predict, "PART", 2)


@pytest.fixture(scope="module")
def source(prepared_run) -> str:
    """72 rows: empty cells, a file that is no picture."""
    return prepared_run.recipe.data.source


class Killed(BaseException):
    """Nothing catches it, as nothing catches a SIGKILL."""


def killed_at(monkeypatch, block: int) -> list[int]:
    """Every later prediction dies at this block of rows; the list counts the blocks that were answered."""
    answered: list[int] = []
    whole = Predictor.predict_cells

    def some(self, *args):
        if len(answered) == block:
            raise Killed
        answered.append(1)
        return whole(self, *args)

    monkeypatch.setattr(Predictor, "predict_cells", some)
    return answered


@pytest.mark.parametrize("form", FORMS)
def test_a_killed_command_goes_on_to_the_same_bits(export, source, tmp_path, form, monkeypatch, capsys):
    whole, out = tmp_path / f"whole.{form}", tmp_path / f"out.{form}"
    assert predict(export, source, whole).resumed == 0
    for block in (3, 4, 1, 0, 7):
        with monkeypatch.context() as patch, pytest.raises(Killed):
            killed_at(patch, block)
            predict(export, source, out)
        assert not out.exists()
    with monkeypatch.context() as patch:
        answered = killed_at(patch, 99)
        done = predict(export, source, out)
    # of 3, 4, 1, 0 and 7 blocks the pairs were kept: 2 + 4 + 0 + 0 + 6 of 18
    assert (done.resumed, len(answered)) == (12 * 4, 6)
    assert "going on after 48 rows" in capsys.readouterr().err
    assert out.read_bytes() == whole.read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(
        [out.name, whole.name, "out.problems.csv", "whole.problems.csv"]
    )
    assert (tmp_path / "out.problems.csv").read_bytes() == (tmp_path / "whole.problems.csv").read_bytes()


def test_killed_while_the_parts_are_put_together(export, source, tmp_path, monkeypatch):
    from suffuse.predictor.output_chunks import OutputChunks

    predict(export, source, tmp_path / "whole.parquet")
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(
            OutputChunks, "_parquet", lambda self, made: (made.write_bytes(b"half"), (_ for _ in ()).throw(Killed))
        )
        predict(export, source, tmp_path / "out.parquet")
    assert predict(export, source, tmp_path / "out.parquet").resumed == 72
    assert (tmp_path / "out.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()


@pytest.mark.parametrize("change", ["options", "source", "model"])
def test_what_was_begun_with_something_else_is_begun_anew(
    export, signed, source, tmp_path, change, monkeypatch, capsys
):
    rows = tmp_path / "rows.csv"
    rows.write_bytes(Path(source).read_bytes())
    options = Options(root=str(Path(source).parent), top=1)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        killed_at(patch, 5)
        predict(export, str(rows), tmp_path / "out.csv", options)
    if change == "options":
        options = Options(root=options.root, top=2)
    elif change == "source":
        rows.write_text(rows.read_text(encoding="utf-8").replace("thing 1", "thing 2"), encoding="utf-8")
    else:
        export = signed(name="another")
    done = predict(export, str(rows), tmp_path / "out.csv", options)
    assert f"out.csv was begun with another {change}: it is started again" in capsys.readouterr().err
    assert (done.resumed, done.rows) == (0, 72)
    predict(export, str(rows), tmp_path / "plain.csv", options)
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "plain.csv").read_bytes()


def _hold(out: str, held, let) -> None:
    from suffuse.predictor.output_chunks import open_chunks

    with open_chunks(Path(out), {}):
        held.set()
        let.wait(60)


def test_two_processes_don_t_write_one_file(export, source, tmp_path):
    spawn = multiprocessing.get_context("fork")
    held, let = spawn.Event(), spawn.Event()
    other = spawn.Process(target=_hold, args=(str(tmp_path / "out.csv"), held, let))
    other.start()
    try:
        assert held.wait(60)
        with pytest.raises(UsageError, match="another process is writing this file"):
            predict(export, source, tmp_path / "out.csv")
    finally:
        let.set()
        other.join()
    assert predict(export, source, tmp_path / "out.csv").rows == 72


@pytest.mark.parametrize("form", FORMS)
def test_what_is_wrong_is_told_row_by_row_and_the_rest_is_answered(export, tmp_path, form, capsys):
    lines = ["image,text", "none.png,what colour", ",what colour", "a,b,c", "junk.png,", f",{'x' * 9}", "\xff,x"]
    (tmp_path / "rows.csv").write_bytes("\n".join(lines).encode("latin-1"))
    (tmp_path / "junk.png").write_bytes(b"junk")
    utf8 = Options(table_format=TableFormat(encoding="utf-8"))
    done = predict(export, str(tmp_path / "rows.csv"), tmp_path / f"out.{form}", utf8)
    assert (done.rows, done.lacking, done.unreadable, done.broken) == (4, 4, 2, 2)
    assert [int(row["line"]) for row in read_predictions(tmp_path / f"out.{form}")] == [2, 3, 5, 6]
    assert [row["used"] for row in read_predictions(tmp_path / f"out.{form}")] == [
        "question",
        "question",
        "",
        "question",
    ]
    assert done.problems == str(tmp_path / "out.problems.csv")
    assert read_predictions(tmp_path / "out.problems.csv") == [
        {"line": "4", "modality": "", "reason": "broken row: got 3 cells, expected 2"},
        {"line": "2", "modality": "picture", "reason": "no such file"},
        {"line": "5", "modality": "picture", "reason": "not a picture in a known format"},
        {"line": "7", "modality": "", "reason": "broken row: not UTF-8: byte 0xff"},
    ]
    told = capsys.readouterr().err
    assert "line 4 has no answer: broken row: got 3 cells" in told and "out.problems.csv" in told
    (tmp_path / "rows.csv").write_text("image,text\n,what colour\n")
    again = predict(export, str(tmp_path / "rows.csv"), tmp_path / f"out.{form}")
    assert f"out.{form} was there, and is replaced" in capsys.readouterr().err
    assert (again.rows, again.unreadable) == (1, 0)
    assert read_predictions(tmp_path / "out.problems.csv") == []  # nothing of the earlier table is left


@pytest.mark.parametrize("form", FORMS)
def test_the_most_probable_and_who_abstains(export, source, tmp_path, form):
    plain, out = tmp_path / "plain.jsonl", tmp_path / f"out.{form}"
    predict(export, source, plain)
    wanted = read_predictions(plain)
    middle = sorted(row["confidence"] for row in wanted)[36]
    done = predict(export, source, out, Options(top=2, threshold=middle))
    found = read_predictions(out)
    assert list(found[0]) == [
        "id", "answer", "confidence", "abstained", "top1", "p(top1)", "top2", "p(top2)", "line", "absent", "used",
    ]  # fmt: skip
    unsure = [row["confidence"] < middle for row in wanted]
    assert done.abstained == sum(unsure) > 10
    for row, other, abstained in zip(found, wanted, unsure, strict=True):
        assert row["abstained"] == (abstained if form != "csv" else str(abstained).lower())
        assert row["answer"] == (other["answer"] if not abstained else "" if form == "csv" else None)
        best = sorted(((-v, n, k[2:-1]) for n, (k, v) in enumerate(other.items()) if k.startswith("p(")))[:2]
        assert [row["top1"], row["top2"]] == [name for _, _, name in best]
        assert [float(row["p(top1)"]), float(row["p(top2)"])] == [-p for p, _, _ in best]
        assert float(row["confidence"]) == other["confidence"] == float(row["p(top1)"])
        assert (int(row["line"]), row["used"], row["absent"]) == (other["line"], other["used"], other["absent"])


def test_what_can_t_be_asked(export, source, tmp_path):
    with pytest.raises(UsageError, match="threshold"):
        predict(export, source, tmp_path / "o.csv", Options(threshold=1.5))
    with pytest.raises(UsageError, match="no such number"):
        predict(export, source, tmp_path / "o.csv", Options(top=0))
    with pytest.raises(UsageError, match="no such form"):
        predict(export, source, tmp_path / "o.csv", Options(form="int4"))
    with pytest.raises(UsageError, match="folder"):
        (tmp_path / "f.csv").mkdir()
        predict(export, source, tmp_path / "f.csv")
    rows = tmp_path / "rows.csv"
    rows.write_text("image,text\n")
    with pytest.raises(UsageError, match="would replace the rows"):
        predict(export, str(rows), rows)
    with pytest.raises(UsageError, match="no rows"):
        predict(export, str(rows), tmp_path / "o.csv")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["f.csv", "rows.csv"]


def command(export: Path, rows: Path, out: Path) -> subprocess.Popen:
    """The real command line, in a process of its own."""
    arguments = [sys.executable, "-m", "suffuse", "predict", str(export), str(rows), "-o", str(out), "--json"]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
@pytest.mark.long
def test_a_process_that_is_killed_with_9_goes_on(export, tmp_path):
    rows = tmp_path / "rows.csv"
    rows.write_text("text\n" + "".join(f"what colour has thing {n % 61}\n" for n in range(30_000)))
    whole = command(export, rows, tmp_path / "whole.parquet")
    said = json.loads(whole.communicate(timeout=300)[0])
    assert (whole.returncode, said["rows"], said["resumed"], said["lacking"]) == (0, 30_000, 0, 30_000)
    first = command(export, rows, tmp_path / "out.parquet")
    part = tmp_path / ".out.parquet.partial" / "00000001.json"
    while not part.exists():
        assert first.poll() is None, first.communicate()
        time.sleep(0.02)
    first.kill()
    first.communicate()
    assert not (tmp_path / "out.parquet").exists()
    second = command(export, rows, tmp_path / "out.parquet")
    out, err = second.communicate(timeout=300)
    said = json.loads(out)
    assert second.returncode == 0, err
    assert 8192 <= said["resumed"] < 30_000 and said["rows"] == 30_000
    assert f"going on after {said['resumed']:,} rows" in err
    assert (tmp_path / "out.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()
    assert not part.parent.exists()
    assert pq.read_table(tmp_path / "out.parquet")["line"].to_pylist() == list(range(2, 30_002))


def test_a_record_on_the_command_line_is_answered(export, predictor, records, tmp_path, prepared_run):
    record = next(one for one in records if all(one.values()))
    root = str(Path(prepared_run.recipe.data.source).parent)
    done = predict(export, json.dumps(record), tmp_path / "out.jsonl", Options(root=root))
    assert done.rows == 1 and done.lacking == 0
    answer = json.loads((tmp_path / "out.jsonl").read_text())
    assert answer["line"] == 1 and predictor.predict(record, root=root).label == answer["answer"]
