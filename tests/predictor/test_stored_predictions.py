"""Rows and files of a store are predicted as local ones are."""

from __future__ import annotations

import json
from pathlib import Path

import fsspec
import pytest

from suffuse import object_store
from suffuse.errors import SuffuseError, UsageError
from suffuse.exporters.store_upload import push_to_store
from suffuse.predictor import SIGNATURE, batch_predict
from suffuse.sources import row_stream
from suffuse.stages.predict import Options, predict, predict_to_store

URL = "memory://predicted"


@pytest.fixture
def stored(prepared_run, monkeypatch: pytest.MonkeyPatch) -> str:
    """The table of the run and its pictures, in memory; its URL."""
    monkeypatch.setattr(row_stream, "BLOCK_ROWS", 4)
    monkeypatch.setattr(batch_predict, "PART", 2)
    system = fsspec.filesystem("memory")
    place = Path(prepared_run.recipe.data.source)
    for file in (f for f in place.parent.rglob("*") if f.is_file()):
        system.pipe_file(f"predicted/{file.relative_to(place.parent).as_posix()}", file.read_bytes())
    return f"{URL}/{place.name}"


def test_predictions_have_the_bytes_of_local_ones(export, prepared_run, stored: str, tmp_path: Path):
    source = prepared_run.recipe.data.source
    local, remote, mixed = (tmp_path / name for name in ("local.csv", "remote.csv", "mixed.csv"))
    counts = predict(export, source, local)
    assert counts.unreadable
    assert predict(export, stored, remote).rows == counts.rows
    predict(export, source, mixed, Options(root=URL))
    problems = [f.with_name(f"{f.stem}.problems.csv").read_bytes() for f in (local, remote, mixed)]
    assert local.read_bytes() == remote.read_bytes() == mixed.read_bytes()
    assert problems[0] == problems[1] == problems[2]


def test_outage_stops_predictions_and_they_go_on(export, stored: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    whole, out = tmp_path / "whole.csv", tmp_path / "out.csv"
    predict(export, stored, whole)
    reads, read_range = [], object_store.read_range

    def failing(url: str, start: int, end: int) -> bytes:
        reads.append(url)
        if len(reads) > 30:
            raise SuffuseError("the store failed", where=url)
        return read_range(url, start, end)

    monkeypatch.setattr(object_store, "read_range", failing)
    with pytest.raises(SuffuseError, match="the store failed"):
        predict(export, stored, out)
    assert not out.exists()
    monkeypatch.undo()
    monkeypatch.setattr(row_stream, "BLOCK_ROWS", 4)
    monkeypatch.setattr(batch_predict, "PART", 2)
    assert predict(export, stored, out).resumed
    assert out.read_bytes() == whole.read_bytes()


def test_a_record_names_objects(predictor, prepared_run, records, root: Path, stored: str):
    local = predictor.predict(records[:6], root=root)
    assert predictor.predict(records[:6], root=URL) == local
    assert predictor.predict(records[0], root=URL) == predictor.predict(records[0], root=root)
    absolute = [{**r, "image": f"{URL}/{r['image']}" if r["image"] else r["image"]} for r in records[:6]]
    assert predictor.predict(absolute, allowed_dir=URL) == local
    assert any("a store's URL" in reason for reason in predictor.predict(absolute[0]).absent.values())


def test_predictions_are_written_to_a_store(export, stored: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    system = fsspec.filesystem("memory")
    predict(export, stored, Path("local.csv"))
    url = f"{URL}/out/answers.csv"
    system.pipe_file("predicted/out/answers.problems.csv", b"of an earlier command")
    done = predict_to_store(export, stored, url)
    assert (done.file, done.problems) == (url, f"{URL}/out/answers.problems.csv")
    assert system.cat_file("predicted/out/answers.csv") == Path("local.csv").read_bytes()
    assert system.cat_file("predicted/out/answers.problems.csv") == Path("local.problems.csv").read_bytes()
    assert sorted(system.find("predicted/out")) == [
        "/predicted/out/answers.csv", "/predicted/out/answers.problems.csv",
    ]  # fmt: skip
    assert sorted(f.name for f in tmp_path.iterdir()) == ["local.csv", "local.problems.csv"]


def test_interrupted_predictions_to_a_store_go_on(export, stored: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    url = f"{URL}/resumed/answers.parquet"
    with monkeypatch.context() as patch:
        answered, keep = [], batch_predict.BatchPredictor._keep

        def killed(self, part, chunks) -> None:
            if len(answered) == 3:
                raise KeyboardInterrupt
            answered.append(part)
            keep(self, part, chunks)

        patch.setattr(batch_predict.BatchPredictor, "_keep", killed)
        with pytest.raises(KeyboardInterrupt):
            predict_to_store(export, stored, url)
    assert not fsspec.filesystem("memory").exists("predicted/resumed/answers.parquet")
    assert predict_to_store(export, stored, url).resumed == 3 * 2 * 4
    predict(export, stored, Path("whole.parquet"))
    system = fsspec.filesystem("memory")
    assert system.cat_file("predicted/resumed/answers.parquet") == Path("whole.parquet").read_bytes()


def test_failed_upload_keeps_the_answers_here(export, stored: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)

    def refused(file: Path, url: str) -> None:
        raise SuffuseError("the store failed", where=url, hint="again")

    monkeypatch.setattr("suffuse.stages.predict.publish", refused)
    with pytest.raises(SuffuseError) as caught:
        predict_to_store(export, stored, f"{URL}/failed/answers.csv")
    assert "the answers are in" in caught.value.hint
    assert [f for f in tmp_path.rglob("answers.csv") if f.stat().st_size]


def test_answers_never_replace_the_rows(export, stored: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="would replace the rows"):
        predict_to_store(export, stored, stored)


def test_export_is_pushed_with_its_signature_last(export, monkeypatch: pytest.MonkeyPatch):
    written: list[str] = []
    system = object_store.system_of(URL)
    copy = system.cp_file
    monkeypatch.setattr(system, "cp_file", lambda source, key: (written.append(key), copy(source, key)))
    assert push_to_store(export, f"{URL}/model/") == f"{URL}/model"
    assert written[-1] == "predicted/model/signature.json"
    names = sorted(key.rpartition("/")[2] for key in system.find("predicted/model"))
    assert names == sorted([*json.loads((export / SIGNATURE).read_text())["files"], SIGNATURE])
    for name in names:
        assert system.cat_file(f"predicted/model/{name}") == (export / name).read_bytes()
