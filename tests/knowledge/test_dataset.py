"""``suffuse.Knowledge``: a store as a map-style dataset, keyed by id."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from torch.utils.data import DataLoader

from suffuse import Knowledge, Run, SuffuseError, UsageError, pipeline
from suffuse.data.columns import Columns
from suffuse.knowledge.store import Knowledge as Store


@pytest.fixture(scope="module")
def stored(build_once: Callable[..., Path], write_table: Callable[..., Path], tiny_recipe: Any) -> Path:
    """A run with a store of every subset and of two views."""

    def make(folder: Path) -> None:
        recipe = tiny_recipe(write_table(folder / "table"))
        recipe["modalities"]["picture"]["augment"] = {"brightness": 0.5}
        recipe["distill"]["train"]["augment"] = True
        recipe["extract"] = {"subsets": "all", "views": 2, "dtype": "float32"}
        run = Run.of(recipe, folder / "run")
        for verb in ("prepare", "teach", "extract"):
            pipeline.run_stage(run, verb)

    return build_once("stored", {}, make) / "run"


def test_rows_are_those_of_the_store(stored: Path) -> None:
    knowledge, columns = Knowledge.open(stored), Columns.open(stored / "data")
    store = Store.open(stored / "knowledge", columns)
    table = pq.read_table(stored / "data" / "rows.parquet").to_pydict()
    assert len(knowledge) == store.manifest["rows"] == len(set(knowledge.ids)) and knowledge.classes == (
        "blue",
        "green",
        "red",
    )
    assert knowledge.modalities == ("picture", "question") and knowledge.subsets[0] == ("picture", "question")
    for number in (0, 5, len(knowledge) - 1):
        item, row = knowledge[number], table["id"].index(knowledge.ids[number])
        assert item["id"] == knowledge.ids[number]
        assert item["label"] == columns.target[row]
        assert item["present"].tolist() == columns.present[row].tolist()
        expected = store.gather(torch.tensor([row]), ["logits", "fused", "gates", "picture"])
        assert torch.equal(item["logits"], expected["logits"][0].float())
        assert torch.equal(item["gates"], expected["gates"][0].float()) and item["logits"].dtype == torch.float32
        assert item["picture"].isnan().all() != item["present"][0]
        again = knowledge[item["id"]]
        assert all(np.array_equal(item[k], again[k], equal_nan=k != "id") for k in item)


def test_subsets_views_and_splits(stored: Path) -> None:
    whole, alone = Knowledge.open(stored), Knowledge.open(stored, subset=["question"])
    one, two = (Knowledge.open(stored, view=view) for view in (0, 1))
    assert whole.views == 2 and alone.subset == ("question",) and two.view == 1
    train, validation = (Knowledge.open(stored, split=split) for split in ("train", "validation"))
    assert {*train.ids} | {*validation.ids} == {*whole.ids} and not {*train.ids} & {*validation.ids}
    assert one.ids == two.ids == train.ids
    both = [name for name in train.ids if train[name]["present"].all()]
    views = [k.gather(both)["logits"] for k in (train, one, two, alone)]
    assert all(not torch.equal(views[a], views[b]) for a in range(4) for b in range(a))
    gates = alone.gather(both)["gates"]
    assert (gates[:, 0] == 0).all() and not alone.gather(both)["present"][:, 0].any()


def test_it_works_in_a_loader_and_in_other_processes(stored: Path) -> None:
    knowledge = Knowledge.open(stored, taps=["logits", "gates"])
    batch = next(iter(DataLoader(knowledge, batch_size=7)))
    assert batch["id"] == list(knowledge.ids[:7]) and batch["logits"].shape == (7, 3) and batch["gates"].shape == (7, 2)
    assert set(batch) == {"id", "label", "present", "logits", "gates"}
    copy = pickle.loads(pickle.dumps(knowledge))  # noqa: S301  # as a worker process gets it
    assert copy.ids == knowledge.ids and torch.equal(copy[3]["logits"], knowledge[3]["logits"])
    assert Knowledge.open(stored / "knowledge").ids == knowledge.ids


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"split": "test"}, UsageError, "train or validation"),
        ({"taps": ["logit"]}, UsageError, "logits"),
        ({"subset": ["sound"]}, SuffuseError, "lacks a subset or view"),
        ({"view": 2}, SuffuseError, "lacks a subset or view"),
    ],
)
def test_what_a_store_lacks_is_told(
    stored: Path, options: dict[str, Any], error: type[SuffuseError], words: str
) -> None:
    with pytest.raises(error) as caught:
        Knowledge.open(stored, **options)
    assert words in caught.value.text()


def test_other_ids_and_folders_are_refused(stored: Path, tmp_path: Path) -> None:
    knowledge = Knowledge.open(stored)
    with pytest.raises(KeyError, match="r999"):
        knowledge["r999"]
    with pytest.raises(IndexError):
        knowledge[len(knowledge)]
    assert knowledge[-1]["id"] == knowledge.ids[-1]
    with pytest.raises(SuffuseError, match="no run with a knowledge store"):
        Knowledge.open(tmp_path)
