"""What a model takes and gives, as JSON."""

from __future__ import annotations

import json

import suffuse.modalities.image
import suffuse.modalities.tabular
from suffuse.modalities.cell import Limits
from suffuse.predictor import Derivation, Input, Predictor
from suffuse.predictor.loader import Facts
from suffuse.predictor.model_schema import describe
from suffuse.types import Field, Head


def test_of_an_export(signed):
    limits = {"pixels": 100, "seconds": 2.5, "characters": 20, "cell_bytes": 1000, "records": 7}
    said = Predictor.load(signed(name="things", limits=limits)).describe()
    assert json.loads(json.dumps(said, allow_nan=False)) == said
    assert said == {
        "name": "things",
        "form": "fp32",
        "device": "cpu",
        "inputs": [
            {
                "name": "picture",
                "kind": "image",
                "columns": [{"name": "image", "type": "image", "choices": []}],
                "optional": True,
            },
            {
                "name": "question",
                "kind": "text",
                "columns": [{"name": "text", "type": "text", "choices": []}],
                "optional": True,
            },
        ],
        "targets": [{"name": "answer", "kind": "classes", "classes": ["blue", "green", "red"]}],
        "limits": limits,
    }


def test_a_name_where_none_is_said(signed, predictor):
    folder = signed()
    assert Predictor.load(folder).describe()["name"] == folder.name
    moved = folder.rename(folder.with_name("export"))
    assert Predictor.load(moved).describe()["name"] == folder.parent.name
    assert predictor.describe()["limits"]["seconds"] == 600
    unlimited = Predictor.load(signed(limits=None))
    assert unlimited.describe()["limits"]["seconds"] is None  # nothing is said, and JSON has no infinity


def test_columns_of_a_table_and_several_pictures():
    columns = [
        {"name": "rooms", "type": "number", "low": [1.0], "high": [9.0], "mean": [3.0], "std": [1.0]},
        {"name": "town", "type": "category", "names": ["Bonn", "Ulm"]},
        {"name": "sold", "type": "date", "low": [0.0], "high": [1.0], "mean": [0.0], "std": [1.0]},
    ]
    table = suffuse.modalities.tabular
    facts = table.Settings(kind="tabular", column=("rooms", "town", "sold"))
    pictures = suffuse.modalities.image.Settings(kind="image", column="views", max_images=3)
    inputs = (
        Input(Field("facts", "tabular", {"columns": columns}), facts, table),
        Input(Field("views", "image", {"places": 3}), pictures, suffuse.modalities.image),
    )
    made = {"views": Derivation(pictures.model_copy(update={"column": "film"}), table, {})}  # type: ignore[arg-type]
    said = describe((Head("price", "number"),), inputs, made, Facts("houses", limits=Limits(seconds=3.0)))
    assert said["inputs"][0]["columns"] == [
        {"name": "rooms", "type": "number", "choices": [], "low": 1.0, "high": 9.0},
        {"name": "town", "type": "category", "choices": ["Bonn", "Ulm"]},
        {"name": "sold", "type": "text", "choices": [], "format": "date"},
    ]
    assert said["inputs"][1]["columns"] == [
        {"name": "views", "type": "image", "choices": [], "most": 3, "derived_from": "film"}
    ]
    assert said["targets"] == [{"name": "price", "kind": "number", "classes": []}]
