"""Rows and files of a store are predicted as local ones are."""

from __future__ import annotations

from pathlib import Path

import fsspec
import pytest

from suffuse import object_store
from suffuse.errors import SuffuseError
from suffuse.predictor import batch_predict
from suffuse.sources import row_stream
from suffuse.stages.predict import Options, predict

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
            raise SuffuseError("the store can't be read", where=url)
        return read_range(url, start, end)

    monkeypatch.setattr(object_store, "read_range", failing)
    with pytest.raises(SuffuseError, match="the store can't be read"):
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
