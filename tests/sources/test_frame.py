"""Python objects as rows: written once, by the modality that reads them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from suffuse import modalities, sources
from suffuse.errors import UsageError
from suffuse.modalities import audio, image, sequence
from suffuse.modalities.cell import Absent
from suffuse.registry import settings
from suffuse.sources.frame import save_rows

RGB = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
NOISE = np.random.default_rng(0).normal(0, 0.1, 900).astype(np.float32)
READ = {
    name: settings(modalities.TABLE, asked)
    for name, asked in {
        "photo": {"kind": "image", "column": "photo", "size": 8, "channels": "bgr"},
        "photos": {"kind": "image", "column": "photos", "size": 8, "max_images": 2},
        "sound": {"kind": "audio", "column": "sound", "rate": 8000, "mels": 8},
        "steps": {"kind": "sequence", "column": "steps", "features": 2},
    }.items()
}


def cells(rows: object, folder: Path, column: str) -> list:
    save_rows(rows, folder / "rows.parquet", READ)
    return sources.read(str(folder / "rows.parquet")).table[column].to_pylist()


@pytest.fixture
def folder(tmp_path) -> Path:
    Image.fromarray(RGB).save(tmp_path / "a.png")
    (tmp_path / "a.wav").write_bytes(audio.packed(READ["sound"], (NOISE, 8000)))
    np.save(tmp_path / "a.npy", np.ones((3, 2)))
    return tmp_path


def frame(column: str, values: list) -> pd.DataFrame:
    made = pd.DataFrame({"id": range(len(values))})
    made[column] = pd.Series(values, dtype=object)
    return made


@pytest.mark.parametrize("kind", ["frame", "records"])
def test_pictures_of_every_sort_in_one_column(folder, kind):
    values = [RGB[..., ::-1], Image.fromarray(RGB), "a.png", Path("a.png"), {"bytes": None, "path": "a.png"}, None]
    values += [(folder / "a.png").read_bytes(), torch.from_numpy(RGB[..., ::-1].copy()).permute(2, 0, 1), float("nan")]
    rows = frame("photo", values) if kind == "frame" else [{"photo": v} for v in values]
    for cell, value in zip(cells(rows, folder, "photo"), values, strict=True):
        if value is None or isinstance(value, float):
            assert cell is None
        else:
            assert np.array_equal(image.load(READ["photo"], cell, folder)[1], RGB)


def test_lists_of_pictures(folder):
    values = [[RGB, "a.png"], [Path("a.png")], "a.png", [Image.fromarray(RGB), None], (RGB, RGB), None, []]
    found = cells(frame("photos", values), folder, "photos")
    for cell, places in zip(found[:5], ([1, 1], [1, 0], [1, 0], [1, 0], [1, 1]), strict=True):
        item = image.load(READ["photos"], cell, folder)[1]
        assert image.real(item[None])[0].tolist() == [bool(p) for p in places]
        assert np.array_equal(item[0, ..., :3], RGB)
    for cell in found[5:]:
        with pytest.raises(Absent):
            image.load(READ["photos"], cell, folder)


def test_recordings_of_every_sort(folder):
    double = NOISE.astype(np.float64)
    values = [(NOISE, 8000), {"array": double, "sampling_rate": 8000}, (8000, torch.from_numpy(NOISE)), "a.wav", None]
    expected = audio.load(READ["sound"], (NOISE, 8000), folder)[1]
    for cell, value in zip(cells(frame("sound", values), folder, "sound"), values, strict=True):
        assert cell is None if value is None else np.array_equal(audio.load(READ["sound"], cell, folder)[1], expected)


def test_steps_of_every_sort(folder):
    ones = np.ones((3, 2))
    values = [ones, ones.tolist(), torch.ones(3, 2), "a.npy", "[[1, 1], [1, 1], [1, 1]]", list(ones), None]
    for cell, value in zip(cells(frame("steps", values), folder, "steps"), values, strict=True):
        item = None if value is None else sequence.load(READ["steps"], cell, folder)[1]
        assert cell is None if item is None else (item == 1).all() and item.shape == (3, 2)


def test_columns_that_nothing_reads_are_kept_as_they_can_be(folder):
    rows = [
        {"photo": RGB, "extra": np.arange(3), "view": RGB, "when": pd.NaT, "odd": [1, "a"]},
        {"photo": RGB, "extra": np.arange(4), "view": None, "when": pd.Timestamp("2024-01-01"), "odd": 5},
    ]
    save_rows(rows, folder / "rows.parquet", READ)
    table = pq.read_table(folder / "rows.parquet")
    assert table["extra"].to_pylist() == [[0, 1, 2], [0, 1, 2, 3]]
    assert table["when"].to_pylist()[0] is None
    assert np.array_equal(image.load(READ["photos"], [table["view"].to_pylist()[0]], folder)[1][0, ..., :3], RGB)
    assert save_rows(rows, folder / "plain.parquet") and pq.read_table(folder / "plain.parquet").num_rows == 2


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("photo", np.zeros((8, 8, 5)), "not a picture"),
        ("sound", NOISE, "without their rate"),
        ("steps", np.array(["a"]), "not numbers"),
    ],
)
def test_what_can_t_be_read_is_told_with_its_row(folder, column, value, reason):
    with pytest.raises(UsageError, match=rf"column '{column}', row 2.*{reason}"):
        save_rows(frame(column, [None, value]), folder / "rows.parquet", READ)


def test_a_hugging_face_dataset_with_sound_and_pictures(folder):
    datasets = pytest.importorskip("datasets")
    made = datasets.Dataset.from_dict({"photo": [str(folder / "a.png")] * 2, "sound": [str(folder / "a.wav")] * 2})
    made = made.cast_column("photo", datasets.Image()).cast_column("sound", datasets.Audio())
    found = cells(made, folder, "sound")
    expected = audio.load(READ["sound"], (NOISE, 8000), folder)[1]
    assert all(np.array_equal(audio.load(READ["sound"], cell, folder)[1], expected) for cell in found)
    kept = sources.read(str(folder / "rows.parquet")).table["photo"].to_pylist()
    assert all(np.array_equal(image.load(READ["photo"], cell, folder)[1], RGB) for cell in kept)
