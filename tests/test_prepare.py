"""prepare over pictures, recordings and sequences: a corrupt row changes itself alone, and nothing goes in silence."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from suffuse import pipeline
from suffuse.data.columns import Columns
from suffuse.errors import UsageError
from suffuse.files import read_json
from suffuse.modalities import audio_ops
from suffuse.modalities.ragged import Ragged
from suffuse.report.dataset_view import DatasetView
from suffuse.run import Run

ROWS = 40
NAMES = ("photo", "both", "sound", "wave", "steps")
MODALITIES = {
    "photo": {"kind": "image", "column": "photo", "size": 8},
    "both": {"kind": "image", "column": ["photo", "side"], "size": 8},
    "sound": {"kind": "audio", "column": "sound", "rate": 8000, "mels": 10, "seconds": 0.1},
    "wave": {"kind": "audio", "column": "sound", "rate": 8000, "form": "wave", "trim": 60},
    "steps": {"kind": "sequence", "column": "steps", "features": 2, "length": 9},
}
ENCODERS = {
    "photo": {"kind": "conv", "widths": [4]},
    "both": {"kind": "conv", "widths": [4]},
    "sound": {"kind": "gru", "width": 4},
    "wave": {"kind": "conv1d", "widths": [4], "stride": 8, "kernel": 9},
    "steps": {"kind": "gru", "width": 4},
}


def recipe(source: Path | str, **data) -> dict:
    network = {"encoders": ENCODERS, "fusion": {"kind": "gated", "width": 4}}
    return {
        "data": {"source": str(source), "target": "label", "id": "id", "split": {"column": "split"}, **data},
        "modalities": MODALITIES,
        "teacher": {**network, "train": {"epochs": 1, "batch": 8}},
        "student": network,
        "distill": {"train": {"epochs": 1, "batch": 8}, "num_seeds": 1, "unimodal_baselines": False},
        "compute": {"threads": 1},
    }


def row(number: int, folder: Path) -> dict:
    """Files of a row, and its cells."""
    random = np.random.default_rng(number)
    for name in ("photo", "side"):
        pixels = random.integers(0, 256, (9, 7 + number % 3, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{name}{number}.png")
    samples = random.normal(0, 0.1, 300 + 31 * number).astype(np.float32)
    (folder / f"{number}.wav").write_bytes(audio_ops.as_wav(samples, 8000))
    steps = random.normal(5, 2, (1 + number % 7, 2)).round(3).tolist()
    return {
        "id": f"r{number}",
        "split": ("train", "train", "validation", "test")[number % 4],
        "label": "ab"[number % 2 ^ number // 4 % 2],
        "photo": f"photo{number}.png",
        "side": f"side{number}.png" if number % 5 else "",
        "sound": f"{number}.wav",
        "steps": json.dumps(steps),
    }


def write(folder: Path, rows: list[dict]) -> Path:
    with (folder / "rows.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder / "rows.csv"


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("table")
    return write(folder, [row(number, folder) for number in range(ROWS)])


def prepared(source: Path, folder: Path, **data) -> Run:
    run = Run.of(recipe(source, **data), folder)
    pipeline.run_stage(run, "prepare")
    return run


@pytest.fixture(scope="module")
def run(table, tmp_path_factory) -> Run:
    return prepared(table, tmp_path_factory.mktemp("run"))


def contents(run: Run) -> dict[str, dict[str, tuple]]:
    """id -> modality -> the bytes of its entry (None: absent), and its other columns."""
    columns = Columns.open(run.path("data"))
    ids = pq.read_table(run.path("data", "rows.parquet"))["id"].to_pylist()
    found = {}
    for place, name in enumerate(ids):
        entries = {}
        for m, modality in enumerate(columns.spec.names):
            entry = columns.entries[modality][int(columns.entry[place, m])]
            entries[modality] = entry.tobytes() if columns.present[place, m] else None
        found[name] = (entries, int(columns.target[place]), int(columns.split[place]))
    return found


def notes(run: Run) -> dict[tuple[str, str], tuple[str, str]]:
    with run.path("data", "quarantine.csv").open(encoding="utf-8") as file:
        return {(n["id"], n["column"]): (n["action"], n["reason"]) for n in csv.DictReader(file)}


def test_columns_hold_what_the_cells_say(run, table):
    columns = Columns.open(run.path("data"))
    assert columns.entries["both"].shape[1:] == (2, 8, 8, 4)
    for name, features in (("sound", 10), ("wave", 1), ("steps", 2)):
        entries = columns.entries[name]
        assert isinstance(entries, Ragged) and isinstance(entries.flat, np.memmap)
        facts = columns.spec.fields[columns.spec.names.index(name)].statistics
        assert facts["features"] == features and entries.shape[1] <= facts["length"]
    first = json.loads(row(0, table.parent)["steps"])
    np.testing.assert_allclose(columns.entries["steps"][int(columns.entry[0, 4])][:, :2], first, rtol=1e-6)
    said = notes(run)
    assert said["r5", "both"] == ("partly", "1 of 2 pictures missing: side: empty cell")
    assert said["r39", "sound"][0] == "partly" and said["r39", "sound"][1].startswith("cut: 0.19 s")
    assert len(said) == 8 + sum(300 + 31 * n > 800 for n in range(ROWS))


def test_a_batch_is_what_encode_gives(run):
    from suffuse import modalities
    from suffuse.registry import load

    columns = Columns.open(run.path("data"))
    batch = columns.batch(np.array([3, 11, 4]))
    for m, name in enumerate(columns.spec.names):
        settings, column = run.recipe.modalities[name], columns.entries[name]
        if not isinstance(column, Ragged):
            continue
        distinct = np.unique(columns.entry[[3, 11, 4], m])
        part = load(modalities.TABLE, settings.kind)
        items = [column.item(int(n)) for n in distinct]
        assert np.array_equal(
            batch.inputs[name].numpy(), part.encode(settings, columns.spec.fields[m].statistics, items)
        )


BROKEN = {
    "photo": (lambda folder: (folder / "photo6.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken"), {"photo"}),
    "sound": (lambda folder: (folder / "6.wav").write_bytes((folder / "6.wav").read_bytes()[:-40]), {"sound", "wave"}),
    "gone": (lambda folder: (folder / "6.wav").unlink(), {"sound", "wave"}),
    "silent": (
        lambda folder: (folder / "6.wav").write_bytes(audio_ops.as_wav(np.zeros(900, "f4"), 8000)),
        {"sound", "wave"},
    ),
}


@pytest.mark.parametrize("what", [*BROKEN, "steps", "outside"])
def test_a_corrupt_row_changes_itself_alone(what, run, table, tmp_path):
    """Row 6 is a validation row, so that statistics stay what they were."""
    shutil.copytree(table.parent, tmp_path / "table")
    rows = [row(number, tmp_path / "table") for number in range(ROWS)]
    if what == "steps":
        rows[6]["steps"] = "[[1, 2], [3, NaN]]"
        lost = {"steps"}
    elif what == "outside":
        (tmp_path / "secret.wav").write_bytes((tmp_path / "table" / "6.wav").read_bytes())
        rows[6]["sound"], lost = "../secret.wav", {"sound", "wave"}
    else:
        damage, lost = BROKEN[what]
        damage(tmp_path / "table")
    other = prepared(write(tmp_path / "table", rows), tmp_path / "run")
    before, after = contents(run), contents(other)
    assert list(before) == list(after)
    assert read_json(run.path("data", "statistics.json")) == read_json(other.path("data", "statistics.json"))
    for name in before:
        if name != "r6":
            assert before[name] == after[name], name
    was, now = before["r6"], after["r6"]
    assert was[1:] == now[1:]
    for modality in MODALITIES:
        if modality in lost:
            assert now[0][modality] is None and notes(other)["r6", modality][0] == "absent"
        elif (what, modality) == ("photo", "both"):  # one of two
            assert now[0][modality] not in (None, was[0][modality])
            assert notes(other)["r6", "both"][0] == "partly"
        else:
            assert now[0][modality] == was[0][modality]


def test_the_recipe_may_widen_the_bounds(table, tmp_path):
    shutil.copytree(table.parent, tmp_path / "set" / "table")
    (tmp_path / "set" / "6.wav").write_bytes((table.parent / "6.wav").read_bytes())
    rows = [row(number, tmp_path / "set" / "table") for number in range(ROWS)]
    rows[6]["sound"] = "../6.wav"
    source = write(tmp_path / "set" / "table", rows)
    assert notes(prepared(source, tmp_path / "strict"))["r6", "sound"] == ("absent", "outside the data root")
    wider = prepared(source, tmp_path / "wider", allowed_dir=str(tmp_path / "set"))
    assert ("r6", "wave") not in notes(wider) and contents(wider)["r6"][0]["wave"] is not None


def test_python_objects_give_the_same_columns(run, table, tmp_path):
    """Pictures, samples and lists in records instead of files."""
    rows = [row(number, table.parent) for number in range(ROWS)]
    for one in rows:
        one["photo"] = np.asarray(Image.open(table.parent / one["photo"]))
        one["side"] = Image.open(table.parent / one["side"]) if one["side"] else None
        samples, rate, _ = audio_ops.read((table.parent / one["sound"]).read_bytes())
        one["sound"] = {"array": samples, "sampling_rate": rate}
        one["steps"] = np.array(json.loads(one["steps"]))
    made = Run.of(recipe("ignored"), tmp_path / "run", rows=rows)
    pipeline.run_stage(made, "prepare")
    assert contents(made) == contents(run)
    kinds = {f.name: f.type for f in pq.read_schema(tmp_path / "run" / "source.parquet")}
    assert {str(kinds[n]) for n in ("photo", "side", "sound", "steps")} == {"binary"}


def test_an_object_that_can_t_be_read_is_told_with_its_row(tmp_path):
    rows = [{"id": "a", "label": "x", "photo": np.zeros((8, 8, 3), np.uint8)}, {"photo": np.full((8, 8), np.nan)}]
    with pytest.raises(UsageError, match=r"a cell can't be read.*column 'photo', row 2.*NaN"):
        Run.of(recipe("ignored"), tmp_path / "run", rows=rows)


def test_people_see_sounds_and_steps(run):
    shown = DatasetView.open(run)
    cells = {cell.name: cell for cell in shown.cells(1)}
    assert cells["photo"].picture.startswith("data:image/png") and cells["both"].picture != cells["photo"].picture
    assert cells["sound"].picture.startswith("data:image/") and not cells["sound"].absent
    assert cells["wave"].sound.startswith("data:audio/wav;base64,UklGR") and len(cells["wave"].sound) < 25_000
    assert cells["steps"].text.startswith("2 × 2: ")
