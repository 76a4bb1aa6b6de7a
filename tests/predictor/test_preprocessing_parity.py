"""The predictor's preprocessing is bit-identical to the training's: every kind of modality, single and batched rows,
from records and from tables that are read in chunks."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from PIL import Image

from suffuse import encoders, export_integrity, modalities, onnx_safety, pipeline
from suffuse.data.columns import Columns
from suffuse.exporters import export_folder as exporter
from suffuse.model import FusionModel
from suffuse.predictor import Predictor, loader
from suffuse.predictor.batch_predict import make_reader
from suffuse.predictor.input_encoding import encode
from suffuse.registry import settings
from suffuse.run import Run
from suffuse.sources import stream

ROWS = 40
MODALITIES = {
    "padded": {"kind": "image", "column": "image", "size": 12},
    "cropped": {"kind": "image", "column": "image", "size": 9, "fit": "crop"},
    "views": {"kind": "image", "column": ["image", "other"], "size": 8},
    "words": {"kind": "text", "column": "text", "tokens": "words", "length": 6},
    "pieces": {"kind": "text", "column": ["text", "title"], "vocabulary": 300, "length": 24},
    "mel": {"kind": "audio", "column": "sound", "rate": 4000, "mels": 8, "seconds": 0.2, "trim": 40},
    "wave": {"kind": "audio", "column": "sound", "rate": 2000, "seconds": 0.05, "form": "wave"},
    "facts": {"kind": "tabular", "column": ["price", "town", "day"]},
    "steps": {"kind": "sequence", "column": "steps", "features": 2, "length": 5},
}
TEXTS = ["Ein  roter Ball", "什么颜色", "a bal\u006c\u0301 of WOOL nobody knows", "x " * 9]
ENCODERS = {
    "image": {"kind": "conv", "widths": [2]},
    "text": {"kind": "gru", "embedding": 2, "width": 2},
    "audio": {"kind": "gru", "width": 2},
    "sequence": {"kind": "gru", "width": 2},
    "tabular": {"kind": "mlp", "widths": [2]},
}
FURTHER = sorted(set(modalities.TABLE) - set(ENCODERS))  # kinds by their first example, with cells as JSON
for KIND in FURTHER:
    MODALITIES[f"further_{KIND}"] = {"column": KIND, **modalities.load_modality(KIND).EXAMPLES[0], "kind": KIND}
    READERS = (name for name in encoders.TABLE if KIND in encoders.load_encoder(name).MODALITIES)
    ENCODERS[KIND] = {"kind": next(READERS)}


def further_cells(number: int) -> dict[str, str]:
    """A row's cells of the further kinds."""
    cells = {}
    for kind in FURTHER:
        chosen = settings(modalities.TABLE, MODALITIES[f"further_{kind}"])
        examples = modalities.load_modality(kind).examples(chosen)  # type: ignore[arg-type]
        cells[kind] = json.dumps(np.asarray(examples[number % len(examples)]).tolist())
    return cells


def picture(folder: Path, number: int, chance: random.Random) -> str:
    """Of several formats, modes and sizes; some of them turned by EXIF, some transparent."""
    size = (chance.randrange(6, 40), chance.randrange(6, 40))
    mode, suffix = chance.choice([("RGB", "jpg"), ("RGB", "png"), ("RGBA", "png"), ("L", "png"), ("RGB", "webp")])
    noise = np.random.default_rng(number).integers(0, 256, (size[1], size[0], len(mode)), dtype=np.uint8)
    made = Image.fromarray(noise[..., 0] if mode == "L" else noise, mode)
    exif = Image.Exif()
    exif[0x0112] = chance.choice([1, 3, 6])
    more = {} if suffix == "png" and chance.random() < 0.5 else {"exif": exif.tobytes()}
    made.save(folder / f"{number}.{suffix}", **more)
    return f"{number}.{suffix}"


def sound(folder: Path, number: int, chance: random.Random) -> str:
    rate, suffix = chance.choice([4000, 8000, 11025]), chance.choice(["wav", "flac"])
    noise = np.random.default_rng(number).normal(0, 0.1, (chance.randrange(400, 3000), chance.choice([1, 2])))
    soundfile.write(folder / f"{number}.{suffix}", noise, rate)
    return f"{number}.{suffix}"


def write_table(folder: Path) -> list[dict[str, str]]:
    """Every third cell is empty, and some hold what can't be read."""
    chance, rows = random.Random(5), []
    for n in range(ROWS):
        steps = [[n, m + 0.1] for m in range(chance.randrange(1, 8))]
        row = {
            "image": picture(folder, 2 * n, chance),
            "other": picture(folder, 2 * n + 1, chance),
            "text": f"{chance.choice(TEXTS)} {n % 7}",
            "title": f"Title {n % 5}",
            "sound": sound(folder, n, chance),
            "price": f"{chance.gauss(20, 5):.3f}",
            "town": chance.choice(["Ulm", "Bonn", "Köln"]),
            "day": f"2024-0{chance.randrange(1, 9)}-1{n % 9}",
            "steps": json.dumps(steps),
            **further_cells(n),
        }
        row = {key: "" if chance.random() < 0.3 else value for key, value in row.items()}
        rows.append({"id": str(n), **row, "label": "ab"[n % 2]})
    rows[3] |= {"image": "none.png", "sound": "0.png", "steps": "[[1]]", "price": "dear", "text": "there is some"}
    rows[10] |= {key: "" for key in rows[10] if key not in ("id", "image", "label")}
    rows[11] |= {key: "" for key in rows[11] if key not in ("id", "price", "label")}
    rows[10]["image"], rows[11]["price"] = picture(folder, 999, chance), "3"
    with (folder / "rows.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return rows


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> tuple[Columns, Predictor, Path, list[int]]:
    """The columns that training sees, the predictor of an export (without a network: none is asked), and the table."""
    folder = tmp_path_factory.mktemp("bits")
    write_table(folder)
    encoders = {name: ENCODERS[m["kind"]] for name, m in MODALITIES.items()}
    network = {"encoders": encoders, "fusion": {"kind": "transformer", "width": 4, "heads": 1}}
    made = {
        "data": {"source": str(folder / "rows.csv"), "target": "label", "id": "id", "split": {"stratify": False}},
        "modalities": MODALITIES,
        "teacher": network,
        "student": network,
    }
    run = Run.of(made, folder / "run")
    pipeline.run_stage(run, "prepare")
    columns = Columns.open(run.path("data"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exporter, "export", lambda model, file: file.write_bytes(b"no network"))
        patch.setattr(loader, "_session", lambda *args: None)
        patch.setattr(export_integrity, "check_shapes", lambda *args: None)
        patch.setattr(onnx_safety, "check", lambda *args: None)
        exporter.write(FusionModel(run.recipe.student, columns.spec), run.recipe, folder / "export")
        predictor = Predictor.load(folder / "export")
    lines = pq.read_table(run.path("data", "rows.parquet"))["line"].to_pylist()
    return columns, predictor, folder, lines


def check(columns: Columns, name: str, got: np.ndarray, present: np.ndarray) -> None:
    """Equal where the modality is there, up to the zeros that a longer neighbour adds."""
    m = columns.spec.names.index(name)
    here = columns.present[:, m]
    assert (present == here).all() and 0 < here.sum() < len(here)
    stored = columns.entries[name][columns.entry[:, m]]
    assert got.dtype == stored.dtype
    wide = min(stored.shape[1], got.shape[1])
    assert got[here, :wide].tobytes() == np.ascontiguousarray(stored[here, :wide]).tobytes()
    assert not got[here, wide:].any() and not stored[here, wide:].any()


def test_every_kind_is_tried():
    assert {m["kind"] for m in MODALITIES.values()} == set(modalities.TABLE)


def test_records_become_the_bits_that_training_saw(prepared):
    columns, predictor, folder, lines = prepared
    with (folder / "rows.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    records = [{k: v for k, v in rows[line - 2].items() if k not in ("id", "label")} for line in lines]
    entries, present = predictor.encoded(records, predictor.place(folder))
    for m, name in enumerate(columns.spec.names):
        check(columns, name, entries[name], present[:, m])
    for row in range(0, len(records), 5):  # alone as in company
        alone, there = predictor.encoded(records[row : row + 1], predictor.place(folder))
        assert (there[0] == present[row]).all()
        for name, one in alone.items():
            both = min(one.shape[1], entries[name].shape[1])
            assert one[0, :both].tobytes() == entries[name][row, :both].tobytes()


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_tables_become_the_bits_that_training_saw(prepared, form):
    columns, predictor, folder, lines = prepared
    with (folder / "rows.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    table = folder / f"rows.{form}"
    if form == "jsonl":
        table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif form == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), table, row_group_size=7)
    source, place = stream(str(table)), predictor.place(folder)
    read = make_reader(predictor, source.names, place)
    cells: list[list] = [[] for _ in predictor.inputs]
    for block in source.read(read.columns_read, 0):
        for kept, some in zip(cells, read.cells(block), strict=True):
            kept += some
    for one, column in zip(predictor.inputs, cells, strict=True):
        found = encode(one, [column[line - 2] for line in lines], place)
        there = np.array([row not in found.absent for row in range(len(lines))])
        check(columns, one.field.name, found.entries, there)
