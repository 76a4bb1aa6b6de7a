"""A suffuse network, or its export, on another run's rows: several targets, exported files, derived columns."""

from __future__ import annotations

import csv
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from suffuse import pipeline
from suffuse.activations import activate
from suffuse.data.columns import Columns
from suffuse.engine.inference import logits
from suffuse.errors import UsageError
from suffuse.exporters.export_folder import write
from suffuse.modalities import text
from suffuse.model import open_model
from suffuse.prepare.raw_cells import RawRows
from suffuse.run import Run
from suffuse.teachers import Question
from suffuse.teachers.factory import open_external
from suffuse.types import Batch


def write_mixed(folder: Path, rows: int, scale: float) -> Path:
    """A class, labels and a number, told by a text; the number stands on another scale."""
    noise, lines = random.Random(rows), []
    for number in range(rows):
        one, other = noise.choice(["cat", "dog"]), noise.choice(["small", "large", "small large"])
        price = scale * (len(other) + noise.random())
        lines.append([f"m{number}", f"a {other} {one} of {noise.randrange(99)}", one, other.replace(" ", ";"), price])
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "rows.csv"
    with file.open("w", newline="", encoding="utf-8") as out:
        csv.writer(out).writerows([["id", "text", "animal", "tags", "price"], *lines])
    return file


def mixed(source: Path, **more) -> dict:
    """Three targets at once, read from one text."""
    network = {"encoders": {"words": {"kind": "gru", "embedding": 4, "width": 6}}}
    return {
        "data": {
            "source": str(source), "target": ["price", "animal", "tags"], "id": "id",
            "tasks": {"price": {"kind": "number"}, "tags": {"kind": "labels"}},
        },
        "modalities": {"words": {"kind": "text", "column": "text", "tokens": "words", "length": 8}},
        "teacher": {**network, "train": {"epochs": 2, "batch": 16}},
        "student": {"encoders": {"words": {"kind": "gru", "embedding": 2, "width": 3}}},
        "compute": {"threads": 1},
        **more,
    }  # fmt: skip


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> tuple[Run, Run]:
    """A taught run, and one that asks it; targets in another order, prices with another mean and deviation."""
    folder = tmp_path_factory.mktemp("mixed")
    first = Run.of(mixed(write_mixed(folder / "first", 60, 1.0)), folder / "one")
    for verb in ("prepare", "teach"):
        pipeline.run_stage(first, verb)
    made = mixed(write_mixed(folder / "second", 80, 7.0))
    made["data"]["target"] = ["tags", "price", "animal"]
    made["teacher"] = {"kind": "run", "folder": str(first.folder)}
    second = Run.of(made, folder / "two")
    pipeline.run_stage(second, "prepare")
    return first, second


def test_each_target_is_found_by_its_name_and_a_number_keeps_its_unit(runs):
    first, second = runs
    columns = Columns.open(second.path("data"))
    rows = np.arange(len(columns.split))
    found = activate(columns.spec.heads, open_external(second, columns).answer(Question(rows))["logits"])
    model = open_model(first.path("teacher"))
    texts = RawRows(second).cells("text", rows)
    settings, field = first.recipe.modalities["words"], model.spec.fields[0]
    ids = torch.from_numpy(text.encode(settings, field.statistics, [t.strip() for t in texts])).long()
    nothing = torch.zeros(len(rows))
    with torch.inference_mode():
        z = model.eval()(Batch({"words": ids}, {}, torch.ones(len(rows), 1, dtype=torch.bool), nothing, nothing)).logits
    theirs = activate(model.spec.heads, z.numpy())
    assert [h.name for h in columns.spec.heads] == ["tags", "price", "animal"]
    assert [h.name for h in model.spec.heads] == ["price", "animal", "tags"]
    assert columns.spec.heads[1].mean != pytest.approx(model.spec.heads[0].mean)
    np.testing.assert_allclose(found, theirs[:, [3, 4, 0, 1, 2]], rtol=1e-4, atol=1e-4)


def test_its_validation_score_is_that_over_all_targets(runs):
    _, second = runs
    pipeline.run_stage(second, "teach")
    from suffuse.files import read_json

    facts = read_json(second.path("teacher", "training.json"))
    assert next(iter(facts["validation"])) == "score"
    assert facts["rows"] > 0


def test_another_kind_of_target_is_refused(runs, tmp_path):
    first, _ = runs
    made = mixed(write_mixed(tmp_path, 60, 1.0))
    made["data"] |= {"target": ["price", "animal", "tags"], "tasks": {"tags": {"kind": "labels"}}}
    made["teacher"] = {"kind": "run", "folder": str(first.folder)}
    lines = Path(made["data"]["source"]).read_text(encoding="utf-8").splitlines()
    rounded = [lines[0], *(",".join([*x.split(",")[:-1], str(n % 3)]) for n, x in enumerate(lines[1:]))]
    Path(made["data"]["source"]).write_text("\n".join(rounded) + "\n", encoding="utf-8")
    run = Run.of(made, tmp_path / "run")
    pipeline.run_stage(run, "prepare")
    with pytest.raises(UsageError) as caught:
        open_external(run, Columns.open(run.path("data")))
    assert caught.value.got == "number for 'price'"
    assert caught.value.expected == "classes"


@pytest.mark.parametrize("kind", ["run", pytest.param("onnx", marks=pytest.mark.long)])
def test_an_exported_folder_says_what_the_network_does(finished_run, tmp_path, kind):
    """Without torch, by the preprocessing in it; its labels and inputs need no words."""
    from dataclasses import replace

    from suffuse import teachers
    from suffuse.registry import settings

    model = open_model(finished_run.path("teacher"))
    write(model, finished_run.recipe, tmp_path / "export")
    raw = {"kind": "run", "folder": str(tmp_path), "model": "export"}
    raw = raw if kind == "run" else {"kind": "onnx", "file": str(tmp_path / "export" / "model.onnx")}
    chosen = settings(teachers.TABLE, raw)
    asking = replace(finished_run, recipe=finished_run.recipe.model_copy(update={"teacher": chosen}))
    columns = Columns.open(finished_run.path("data"))
    rows = np.arange(len(columns.split))
    teacher = open_external(asking, columns)
    found = teacher.answer(Question(rows))["logits"]
    np.testing.assert_allclose(found, logits(model, columns, rows), atol=1e-4)
    assert teacher.fingerprint() == open_external(asking, columns).fingerprint()
    assert teacher.facts()["parameters"] is None


def test_a_run_whose_teacher_came_from_outside_has_none_to_give(runs, tmp_path):
    """Its recipe names code or files of somebody else's: none of that is followed."""
    _, second = runs
    made = mixed(write_mixed(tmp_path, 60, 1.0))
    made["teacher"] = {"kind": "run", "folder": str(second.folder)}
    run = Run.of(made, tmp_path / "run")
    pipeline.run_stage(run, "prepare")
    with pytest.raises(UsageError) as caught:
        open_external(run, Columns.open(run.path("data")))
    assert "name that one here" in caught.value.hint


@pytest.mark.parametrize("derived_here", [False, True])
def test_a_derived_column_is_made_for_a_teacher_too(tmp_path, derived_here):
    """`mask_words` of the asking run, and one of the answering run that the table lacks."""
    source = write_mixed(tmp_path, 60, 1.0)
    made = {
        "data": {"source": str(source), "target": "animal", "id": "id",
                 "derive": {"masked": {"kind": "mask_words", "column": "text"}}},
        "modalities": {"words": {"kind": "text", "column": "masked", "tokens": "words", "length": 8}},
        "teacher": {"encoders": {"words": {"kind": "gru", "embedding": 4, "width": 6}}, "train": {"epochs": 1}},
        "student": {"encoders": {"words": {"kind": "gru", "embedding": 2, "width": 3}}},
        "compute": {"threads": 1},
    }  # fmt: skip
    first = Run.of(made, tmp_path / "one")
    for verb in ("prepare", "teach"):
        pipeline.run_stage(first, verb)
    cells = RawRows(first).cells("masked", np.arange(5))
    assert all("cat" not in cell and "dog" not in cell for cell in cells)
    plain = {**made, "data": {key: one for key, one in made["data"].items() if key != "derive"}}
    plain["modalities"] = {"words": {**made["modalities"]["words"], "column": "text"}}
    if derived_here:  # by the same name, of another column: theirs is made as it was there
        plain["data"]["derive"] = {"masked": {"kind": "mask_words", "column": "tags"}}
    second = Run.of({**plain, "teacher": {"kind": "run", "folder": str(first.folder)}}, tmp_path / "two")
    pipeline.run_stage(second, "prepare")
    columns, theirs = Columns.open(second.path("data")), Columns.open(first.path("data"))
    ids, own = RawRows(second).ids, RawRows(first).ids
    both = [name for name in own if name in ids]
    assert len(both) > 20
    place, own_place = np.array([ids.index(n) for n in both]), np.array([own.index(n) for n in both])
    found = open_external(second, columns).answer(Question(place))["logits"]
    wanted = logits(open_model(first.path("teacher")), theirs, own_place)
    np.testing.assert_allclose(found, wanted, atol=1e-5)
