"""Example rows of an export: what they hold, that they are answered as their rows are, and that they are checked."""

from __future__ import annotations

import base64
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from serving_tools import MODEL, as_json, ask, client, steps

from suffuse.data.columns import Columns
from suffuse.errors import SuffuseError
from suffuse.export_integrity import read_signature, seal
from suffuse.exporters import example_rows as example_module
from suffuse.exporters.example_rows import FILE, example_rows
from suffuse.exporters.export_card import card
from suffuse.modalities import image, sequence
from suffuse.predictor import Predictor
from suffuse.run import Run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(export: Path) -> Run:
    return Run.open(export.parent / "run")


@pytest.fixture(scope="module")
def columns(run: Run) -> Columns:
    return Columns.open(run.path("data"))


@pytest.fixture(scope="module")
def source(export: Path) -> list[dict[str, Any]]:
    """The table's rows."""
    return pq.read_table(export.parent / "rows.parquet").to_pylist()


def raw(record: dict[str, Any]) -> dict[str, Any]:
    """A record of JSON as Python gives it to a predictor."""
    return {k: base64.b64decode(v["base64"]) if isinstance(v, dict) else v for k, v in record.items()}


def row_of(record: dict[str, Any], source: list[dict[str, Any]]) -> dict[str, Any]:
    """The row of the table that an example was."""
    keys = ("note", "weight", "shop", "steps")
    return next(row for row in source if all(row[k] == record[k] for k in keys))


def test_they_are_validation_rows_with_all_that_the_model_reads_and_their_targets(
    run: Run, columns: Columns, source: list[dict[str, Any]], predictor: Predictor
) -> None:
    found = example_rows(run, columns, 3)
    assert len(found) == 3
    for example in found:
        row = row_of(example["record"], source)
        assert set(example["record"]) == {"photo", "note", "clip", "weight", "shop", "steps"}
        assert example["targets"] == {k: row[k] for k in ("kind", "tags", "price") if row[k] != ""}
        assert columns.split[source.index(row)] == 1
        ours, exact = predictor.predict(raw(example["record"])), predictor.predict(row)
        assert ours.used == exact.used == predictor.names
        for target, answer in exact.answers.items():
            assert ours.answers[target].probabilities == pytest.approx(answer.probabilities, abs=1e-6)
            if target == "price":
                assert ours.answers[target].value == pytest.approx(answer.value, rel=1e-6)
    assert example_rows(run, columns, 3) == found
    assert len(example_rows(run, columns, 5)) == 5


def test_nothing_of_a_file_but_its_contents_is_in_them(run: Run, columns: Columns) -> None:
    text = json.dumps(example_rows(run, columns, 2))
    assert '"id"' not in text and str(run.folder) not in text
    for example in json.loads(text):
        content = base64.b64decode(example["record"]["photo"]["base64"])
        assert content.startswith(b"\x89PNG") and not any(c in content for c in (b"eXIf", b"tEXt", b"iTXt"))


def test_a_table_that_was_changed_is_an_error(run: Run, columns: Columns, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run.folder.parent, tmp_path / "copy"))
    table = pq.read_table(copy / "rows.parquet")
    pq.write_table(table.slice(0, 20), copy / "rows.parquet")
    changed = Run.open(copy / "run", [f"data.source={copy / 'rows.parquet'}"])
    with pytest.raises(SuffuseError, match="changed since"):
        example_rows(changed, columns, 2)


@pytest.fixture(scope="module")
def with_examples(export: Path, run: Run, columns: Columns, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(export, tmp_path_factory.mktemp("examples") / "export", {"rows": example_rows(run, columns, 3)})


def written(export: Path, place: Path, document: Any) -> Path:
    """A copy of the export with this file of examples."""
    shutil.copytree(export, place)
    (place / FILE).write_text(json.dumps(document), encoding="utf-8")
    seal(place, {**read_signature(place), "examples": 3})
    return place


def test_a_server_gives_them_and_answers_them(with_examples: Path) -> None:
    predictor = Predictor.load(with_examples)
    with client({MODEL: predictor}) as server:
        found = server.get(f"/v1/models/{MODEL}/examples").json()["examples"]
        assert len(found) == 3
        assert len(ask(server, *(example["record"] for example in found))) == 3
    assert [e.record["note"] for e in predictor.facts.examples] == [e["record"]["note"] for e in found]


def test_an_export_without_them_has_none(server: Any) -> None:
    assert server.get(f"/v1/models/{MODEL}/examples").json() == {"examples": []}


def test_the_model_card_says_that_they_are_rows_of_the_data(with_examples: Path, export: Path) -> None:
    assert "examples.json` holds 3 validation rows" in card(read_signature(with_examples), {})
    assert "Example rows" not in card(read_signature(export), {})


@pytest.mark.parametrize("column", ["p", ("a", "b", "c")])
def test_several_pictures_of_a_row_are_several_files(column: Any) -> None:
    settings = image.Settings(column=column, max_images=3 if column == "p" else None, size=8)
    item = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 4), dtype=np.uint8)
    item[..., 3], item[1] = 255, 0  # the second is missing
    cells = raw_pictures(example_module._pictures(settings, item))
    _, again, _ = image.load(settings, cells if isinstance(column, tuple) else cells["p"], Path())
    kept = item if isinstance(column, tuple) else item[[0, 2, 1]]
    np.testing.assert_array_equal(again, kept)


def raw_pictures(cells: dict[str, Any]) -> dict[str, Any]:
    read = {
        k: [base64.b64decode(x["base64"]) for x in (v if isinstance(v, list) else [v]) if x] for k, v in cells.items()
    }
    return {k: v if isinstance(cells[k], list) else (v or [None])[0] for k, v in read.items()}


@pytest.mark.parametrize(("column", "features"), [("a", 2), ("a", 1), (("a", "b"), 2)])
def test_steps_become_the_same_steps(column: Any, features: int) -> None:
    settings = sequence.Settings(column=column, features=features)
    steps = np.array([[1, 2.5], [3, 0.1]], np.float32)[:, :features]
    item = np.concatenate([steps, np.ones((2, 1), np.float32)], 1)
    padded = np.concatenate([item, np.zeros((2, features + 1), np.float32)])
    cells = json.loads(json.dumps(example_module._steps(settings, padded)))
    _, again, _ = sequence.load(settings, cells if isinstance(column, tuple) else cells["a"], Path())
    np.testing.assert_array_equal(again, steps)


RECORD = {"note": "a", "steps": steps(1)}


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ([], "an object"),
        ({"rows": [{"record": {}, "targets": {}}]}, "rows.0.record"),
        ({"rows": [{"record": {"nte": "a"}, "targets": {}}]}, "no column 'nte'"),
        ({"rows": [{"record": {"note": {"path": "/etc/passwd"}}, "targets": {}}]}, "rows.0.record.note"),
        ({"rows": [{"record": as_json(RECORD), "targets": {}, "id": 4}]}, "id"),
        ({"rows": [{"record": as_json(RECORD), "targets": {}}] * 21}, "at most 20"),
    ],
)
def test_a_file_that_says_something_else_is_refused(export: Path, tmp_path: Path, document: Any, said: str) -> None:
    place = written(export, tmp_path / "export", document)
    with pytest.raises(SuffuseError, match=r"can't read the export: .*examples\.json") as error:
        Predictor.load(place)
    assert said in str(error.value)
