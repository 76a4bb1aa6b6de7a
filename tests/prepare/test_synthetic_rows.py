"""Synthetic rows: what they are made of, what they must not change, and that teacher and student use them."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from suffuse import Run, run_stage
from suffuse.data.columns import Columns
from suffuse.knowledge import manifest
from suffuse.modalities import item_synthesis, load_modality, tabular
from suffuse.modalities.tabular import SEPARATOR
from suffuse.prepare.raw_cells import RawRows
from suffuse.teachers.out_of_fold import fold_of
from suffuse.types import UNLABELLED

COPIES = 3
TEXTS = [
    "the film has a slow start but a fine end",
    "too long",
    "dull",
    "这部电影开头很慢但是结尾非常好看",
    "a b c d e f g h i j k",
]


def runs(seed: int = 0, copies: int = 200) -> list[list[str]]:
    return list(item_synthesis.runs_of_words(TEXTS, copies, np.random.default_rng(seed)))


def test_a_text_is_cut_to_a_run_of_its_words() -> None:
    made = runs()
    assert made == runs() and made != runs(1)
    for texts in made:
        for text, source in zip(texts, TEXTS, strict=True):
            assert text and text in source and text == text.strip()
    words, lengths = TEXTS[0].split(), {len(texts[0].split()) for texts in made}
    assert lengths == set(range(2, len(words) + 1))
    assert {texts[0].split()[0] for texts in made} >= set(words[:-2]), "some words never begin a run"
    assert {texts[1] for texts in made} == {"too long"} and {texts[2] for texts in made} == {"dull"}


def test_a_script_without_spaces_is_cut_between_characters() -> None:
    assert {len(texts[3]) for texts in runs()} == set(range(2, len(TEXTS[3]) + 1))


def test_a_cell_is_the_row_s_own_or_a_near_row_s() -> None:
    rows = 40
    items = [SEPARATOR.join((str(n), str(1000 + n), "left" if n < rows // 2 else "right")) for n in range(rows)]
    settings = tabular.Settings(column=("a", "b", "side"), types={"side": "category"}, clip=0)
    made = list(tabular.synthesise(settings, items, 30, np.random.default_rng(0)))
    assert made == list(tabular.synthesise(settings, items, 30, np.random.default_rng(0)))
    changed = 0
    for copy in made:
        for row, item in enumerate(copy):
            first, second, side = item.split(SEPARATOR)
            assert abs(int(first) - row) <= 2 * item_synthesis.NEIGHBOURS
            assert abs(int(second) - 1000 - row) <= 2 * item_synthesis.NEIGHBOURS
            assert side == ("left" if row < rows // 2 else "right") or abs(row - rows / 2) <= item_synthesis.NEIGHBOURS
            changed += (int(first) != row) + (int(second) != 1000 + row)
    assert changed / (2 * 30 * rows) == pytest.approx(item_synthesis.SWAPPED, abs=0.05)


@pytest.mark.parametrize("items", [["1"], ["1", "1"], ["", "2"]])
def test_few_rows_lend_what_they_have(items: list[str]) -> None:
    settings = tabular.Settings(column="a", types={"a": "number"})
    for copy in tabular.synthesise(settings, items, 2, np.random.default_rng(0)):
        assert len(copy) == len(items) and set(copy) <= set(items)


def table(folder: Path, rows: int = 60) -> Path:
    folder.mkdir(exist_ok=True)
    noise = random.Random(2)
    file = folder / "rows.csv"
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["id", "words", "size", "colour", "owner", "answer"])
        for row in range(rows):
            words = (
                "" if row % 10 == 9 else " ".join(noise.choice(["red", "blue", "old", "new", "big"]) for _ in range(9))
            )
            size = "" if row % 7 == 6 else f"{noise.random():.3f}"
            writer.writerow([f"r{row}", words, size, noise.choice("ab"), row // 2, noise.choice(["yes", "no"])])
    return file


def recipe(file: Path, copies: int, **data: Any) -> dict[str, Any]:
    def network(width: int) -> dict[str, Any]:
        encoders = {"words": {"kind": "ngrams", "embedding": width}, "facts": {"kind": "mlp", "widths": [width]}}
        return {"encoders": encoders, "fusion": {"kind": "concat", "width": width}}

    return {
        "data": {
            "source": str(file),
            "target": "answer",
            "id": "id",
            "group": "owner",
            "synthetic_rows": copies,
            **data,
        },
        "modalities": {
            "words": {"kind": "text", "column": "words", "tokens": "ngrams", "vocabulary": 300, "length": 80},
            "pieces": {"kind": "text", "column": "words", "tokens": "words", "vocabulary": 300, "length": 16},
            "facts": {
                "kind": "tabular",
                "column": ["size", "colour"],
                "types": {"size": "number", "colour": "category"},
            },
        },
        "teacher": {
            **network(8),
            "encoders": {**network(8)["encoders"], "pieces": {"kind": "bag", "embedding": 4}},
            "train": {"epochs": 1, "batch": 16},
            "portfolio": {"folds": 3},
            "unimodal_baselines": False,
        },
        "student": network(4),
        "distill": {"train": {"epochs": 1, "batch": 16}, "num_seeds": 1, "unimodal_baselines": False},
        "compute": {"threads": 1},
    }


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Run]:
    """The same table prepared without and with synthetic rows, the second with a store too."""
    folder = tmp_path_factory.mktemp("synthetic")
    file = table(folder / "table")
    plain, synthetic = (Run.of(recipe(file, n), folder / f"run-{n}") for n in (0, COPIES))
    run_stage(plain, "prepare")
    for stage in ("prepare", "teach", "extract", "distill"):
        run_stage(synthetic, stage)
    return plain, synthetic


def opened(run: Run) -> tuple[Columns, list[str | None], dict[str, Any]]:
    names = pq.read_table(run.path("data", "rows.parquet"), columns=["id"])["id"].to_pylist()
    return (
        Columns.open(run.path("data")),
        names,
        json.loads(run.path("data", "schema.json").read_text(encoding="utf-8")),
    )


def test_rows_of_the_table_and_statistics_stay_as_they_are(pair: tuple[Run, Run]) -> None:
    (plain, names, facts), (columns, more, schema) = map(opened, pair)
    count = len(names)
    assert more[:count] == names and len(more) == len(columns.key) == count + schema["synthetic"]
    for name in ("target", "split", "group", "key", "present"):
        assert (getattr(columns, name)[:count] == getattr(plain, name)).all(), name
    for m, name in enumerate(plain.spec.names):
        rows = np.flatnonzero(plain.present[:, m])
        ours, theirs = columns.entries[name][columns.entry[rows, m]], plain.entries[name][plain.entry[rows, m]]
        assert np.array_equal(ours, theirs), name
    for name in ("statistics.json", "quarantine.csv", "leaks.json"):
        assert pair[0].path("data", name).read_bytes() == pair[1].path("data", name).read_bytes(), name
    for name in ("rows", "labelled", "fitted_on", "duplicates", "notes"):
        assert schema[name] == facts[name], name


def test_synthetic_rows_are_training_rows_without_a_label(pair: tuple[Run, Run]) -> None:
    columns, names, schema = opened(pair[1])
    made = np.arange(len(names) - schema["synthetic"], len(names))
    train = schema["rows"]["train"]
    assert 0.8 * COPIES * train < len(made) <= COPIES * train, "those that equal their source are left out, no others"
    assert (columns.split[made] == 0).all() and (columns.target[made] == UNLABELLED).all()
    assert len(np.unique(columns.key)) == len(names)
    position = {name: row for row, name in enumerate(names)}
    words, pieces, facts = (columns.spec.names.index(name) for name in ("words", "pieces", "facts"))
    changed = np.zeros(3)
    for row in made:
        source = position[str(names[row]).rpartition("~")[0]]
        assert columns.split[source] == 0 and columns.group[row] == columns.group[source]
        assert (columns.present[row] == columns.present[source]).all()
        differs = columns.entry[row] != columns.entry[source]
        assert differs.any() and differs[words] == differs[pieces]
        changed += differs
    assert changed[facts] > 0 and changed[words] > 0


def test_two_modalities_of_one_column_get_the_same_run(pair: tuple[Run, Run]) -> None:
    columns, names, schema = opened(pair[1])
    words, pieces = columns.spec.names.index("words"), columns.spec.names.index("pieces")
    made = np.arange(len(names) - schema["synthetic"], len(names))
    made = made[columns.present[made, words]]
    pairs = {(int(a), int(b)) for a, b in columns.entry[made][:, [words, pieces]]}
    assert len({a for a, _ in pairs}) == len(pairs) == len({b for _, b in pairs})


def test_raw_cells_of_synthetic_rows_are_read_to_their_items(pair: tuple[Run, Run]) -> None:
    run = pair[1]
    columns, raw = opened(run)[0], RawRows(run)
    rows = np.arange(len(columns.key))
    for m, (name, settings) in enumerate(run.recipe.modalities.items()):
        part, statistics = load_modality(settings.kind), columns.spec.fields[m].statistics
        for row, record in zip(rows, raw.records(settings.columns, rows), strict=True):
            if columns.present[row, m]:
                value = record if len(settings.columns) > 1 else record[settings.columns[0]]
                entry = part.encode(settings, statistics, [part.load(settings, value, raw.root)[1]])[0]
                expected = columns.entries[name][columns.entry[row, m]]
                assert np.array_equal(entry, expected[: len(entry)]) and not expected[len(entry) :].any(), (name, row)


def test_raw_cells_keep_the_table_s_types(tmp_path: Path) -> None:
    rows = 60
    made = {"n": list(range(rows)), "f": [n / 7 for n in range(rows)], "c": ["ab"[n % 2] for n in range(rows)]}
    pq.write_table(
        pa.table({**made, "answer": ["yes" if n % 3 else "no" for n in range(rows)]}), tmp_path / "rows.parquet"
    )
    wanted = recipe(tmp_path / "rows.parquet", COPIES)
    wanted["data"] = {"source": wanted["data"]["source"], "target": "answer", "synthetic_rows": COPIES}
    wanted["modalities"] = {"facts": {"kind": "tabular", "column": ["n", "f", "c"]}}
    for network in ("teacher", "student"):
        wanted[network]["encoders"] = {"facts": {"kind": "mlp", "widths": [4]}}
    run = Run.of(wanted, tmp_path / "run")
    run_stage(run, "prepare")
    raw = RawRows(run)
    everything = np.arange(len(raw.ids))
    assert len(everything) > 2 * rows
    for name, kind in (("n", int), ("f", float), ("c", str)):
        cells = raw.cells(name, everything)
        assert {type(cell) for cell in cells} == {kind}
        assert set(cells[rows:]) <= set(cells[:rows]) and cells[rows:] != cells[:rows]


def test_the_teacher_answers_them_by_models_that_did_not_learn_from_their_source(pair: tuple[Run, Run]) -> None:
    run = pair[1]
    columns, names, schema = opened(run)
    facts = manifest.read(run.path("knowledge"))
    assert facts["train_rows"] == schema["rows"]["train"] + schema["synthetic"]
    fold = fold_of(columns, 3, run.recipe.seed)
    position = {name: row for row, name in enumerate(names)}
    for row in range(len(names) - schema["synthetic"], len(names)):
        assert fold[row] == fold[position[str(names[row]).rpartition("~")[0]]] >= 0


def test_only_the_student_learns_from_them(pair: tuple[Run, Run]) -> None:
    run = pair[1]
    labelled = opened(run)[2]["labelled"]["train"]
    for model in ("student", "baseline"):
        record = json.loads(next(run.path(model).glob("seed-*/training.json")).read_text(encoding="utf-8"))
        assert record["rows"]["labels"]["train"]["rows"] == labelled, model
