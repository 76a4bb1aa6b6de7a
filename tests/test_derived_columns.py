"""Derived columns and tables of numbers on the whole way: prepared, exported, made again when a student predicts."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from suffuse import pipeline
from suffuse.data.columns import Columns
from suffuse.errors import UsageError
from suffuse.exporters import export_folder as exporter
from suffuse.files import read_json
from suffuse.modalities import text_tokenizers
from suffuse.model import FusionModel
from suffuse.predictor import Predictor, digest
from suffuse.run import Run
from suffuse.stages.predict import predict

LABELS = ("Red Shoes", "Hats", "Belt")


def write_table(file: Path, rows: int = 90) -> Path:
    random = np.random.default_rng(0)
    with file.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(("id", "title", "price", "kind", "sold", "label"))
        for row in range(rows):
            label = LABELS[row % 3]
            title = f"nice {label.lower()} no {row} for {random.choice(['her', 'him', 'a belt fan'])}"
            price = f"{10 * (row % 3) + random.normal():.2f}"
            sold = f"2024-{row % 12 + 1:02}-{row % 28 + 1:02}"
            writer.writerow((f"r{row}", title if row != 4 else "Hat", price, "xyz"[row % 3], sold, label))
        writer.writerow(("r90", "", "1,5", "x", "2024-01-01", "Hats"))
    return file


def recipe(source: Path) -> dict:
    encoders = {"title": {"kind": "gru", "embedding": 4, "width": 4}}
    return {
        "data": {
            "source": str(source),
            "target": "label",
            "id": "id",
            "derive": {"masked": {"kind": "mask_words", "column": "title", "words": "labels"}},
        },
        "modalities": {
            "title": {"kind": "text", "column": "masked", "tokens": "words", "length": 12},
            "facts": {"kind": "tabular", "column": ["price", "kind", "sold"], "types": {"price": "number"}},
        },
        "teacher": {"encoders": {**encoders, "facts": {"kind": "mlp", "widths": [8]}}},
        "student": {"encoders": {**encoders, "facts": {"kind": "mlp", "widths": [4]}}},
    }


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    folder = tmp_path_factory.mktemp("derived")
    made = Run.of(recipe(write_table(folder / "rows.csv")), folder / "run")
    pipeline.run_stage(made, "prepare")
    return made


def notes(run: Run) -> list[tuple[str, ...]]:
    with run.path("data", "quarantine.csv").open(encoding="utf-8", newline="") as file:
        return [tuple(n.values()) for n in csv.DictReader(file)]


def test_what_went_wrong_is_written_down_row_by_row(run):
    found = notes(run)
    assert ("6", "r4", "masked", "underived", "nothing is left without the masked words") in found
    assert ("6", "r4", "title", "absent", "empty cell") in found
    assert ("92", "r90", "facts.price", "partly", "not a number: '1,5'") in found
    assert ("92", "r90", "title", "absent", "empty cell") in found
    assert len(found) == 4
    counts = read_json(run.path("data", "schema.json"))["notes"]
    assert counts["partly"] == {"facts.price: not a number": 1}
    assert counts["underived"] == {"masked: nothing is left without the masked words": 1}


def test_no_label_s_word_is_left_in_any_row(run):
    facts = read_json(run.path("data", "schema.json"))["derive"]["masked"]["facts"]
    assert facts == {"words": ["belt", "hat", "red", "shoe"]}
    vocabulary = json.loads(read_json(run.path("data", "statistics.json"))["title"]["tokenizer"])["model"]["vocab"]
    assert not {"belt", "hat", "hats", "red", "shoes"} & set(vocabulary)
    assert {"nice", "her", "fan"} <= set(vocabulary)


def test_encoded_rows_are_those_of_the_table(run):
    columns = Columns.open(run.path("data"))
    assert columns.entries["facts"].shape[1] == 2 * 6 + 1
    lines = pq.read_table(run.path("data", "rows.parquet"))["line"].to_pylist()
    place = lines.index(92)
    row = columns.entries["facts"][columns.entry[place, 1]]
    assert row[0] == 0 and row[6] == 1 and columns.present[place].tolist() == [False, True]


@pytest.fixture(scope="module")
def export(run, tmp_path_factory) -> Path:
    """Exported without training: what it answers doesn't matter, that it answers the same does."""
    torch.manual_seed(0)
    model = FusionModel(run.recipe.student, Columns.open(run.path("data")).spec).eval()
    place = tmp_path_factory.mktemp("export")
    exporter.write(model, run.recipe, place, read_json(run.path("data", "schema.json"))["derive"])
    return place


@pytest.fixture(scope="module")
def predictor(export) -> Predictor:
    return Predictor.load(export)


def test_a_derived_column_is_made_where_it_lacks(predictor, run):
    record = {"title": "nice red shoes for him", "price": 3.5, "kind": "y", "sold": "2024-05-05"}
    one = predictor.predict(record)
    given = {**record, "masked": "nice for him"}
    del given["title"]
    assert one == predictor.predict(given) and one.absent == {} and one.partly == {}
    assert predictor.predict({**record, "title": "Red Hats"}).absent == {
        "title": "nothing is left without the masked words"
    }
    assert predictor.predict({**record, "title": None}).absent == {"title": "empty cell"}
    assert predictor.predict({**record, "price": "$3"}).partly == {"facts": "price: not a number: '$3'"}
    with pytest.raises(UsageError, match="no such input"):
        predictor.predict({"tittle": "a"})


def test_predicting_a_table_that_lacks_it(export, run, tmp_path, capsys):
    count = predict(export, run.recipe.data.source, tmp_path / "answers.csv").rows
    assert count == 91
    with (tmp_path / "answers.csv").open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    assert found[4]["absent"] == "title: nothing is left without the masked words"
    assert found[90]["absent"] == "title: empty cell; facts: price: not a number: '1,5'"
    assert all(not f["absent"] for n, f in enumerate(found) if n not in (4, 90))
    assert "no column 'masked': it is made from 'title'" in capsys.readouterr().err


def test_preparing_again_is_needed_only_where_the_data_s_keys_change(run):
    """Another model, or another way to train, reads the same prepared columns."""
    raw = run.recipe.model_dump(mode="json")
    raw["student"]["hidden"] = 9
    raw["teacher"]["train"]["epochs"] = 3
    same = Run.of(raw, run.folder)
    assert pipeline.plan(same)["prepare"] == []
    before = (run.path("data", "column-title.npy").stat().st_mtime_ns, run.stamp("prepare"))
    assert pipeline.run_stage(same, "prepare") is False
    assert (run.path("data", "column-title.npy").stat().st_mtime_ns, run.stamp("prepare")) == before
    raw["data"]["derive"]["masked"]["plurals"] = False
    assert pipeline.plan(Run.of(raw, run.folder))["prepare"] == ["data.derive.masked.plurals: True -> False"]


def test_words_from_a_file_are_part_of_what_decides(run, tmp_path):
    (tmp_path / "words.txt").write_text("nice\n", encoding="utf-8")
    raw = run.recipe.model_dump(mode="json")
    raw["data"]["derive"]["masked"]["words"] = "words.txt"
    other = Run.of(raw, tmp_path / "run", tmp_path)
    pipeline.run_stage(other, "prepare")
    assert read_json(other.path("data", "schema.json"))["derive"]["masked"]["facts"] == {"words": ["nice"]}
    assert pipeline.plan(other)["prepare"] == []
    (tmp_path / "words.txt").write_text("other\n", encoding="utf-8")
    assert "data.derive.masked.words names has changed" in pipeline.plan(other)["prepare"][0]


def test_an_export_that_needs_a_library_says_which(export, tmp_path, monkeypatch):
    place = Path(shutil.copytree(export, tmp_path / "export"))
    facts = json.loads((place / "signature.json").read_text())
    facts["modalities"][0]["settings"]["tokens"] = "nltk"
    facts["digest"] = digest(facts)
    (place / "signature.json").write_text(json.dumps(facts))
    monkeypatch.setitem(sys.modules, "nltk", None)
    text_tokenizers.word_splitter.cache_clear()
    with pytest.raises(UsageError, match="nltk isn't installed") as caught:
        Predictor.load(place)
    assert "suffuse[words]" in caught.value.hint
    text_tokenizers.word_splitter.cache_clear()
