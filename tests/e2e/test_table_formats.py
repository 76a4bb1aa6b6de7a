"""Tables in the formats that users have, each through ``init``, ``check`` and ``prepare``, some to predictions."""

from __future__ import annotations

import base64
import csv
import io
import json
import random
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from e2e_tools import check_failure, check_success, suffuse
from PIL import Image
from spreadsheet_tools import write_ods, write_xlsx

ROWS = 150
Table = list[list[Any]]  # a header and rows
FAST = {
    "teacher": {"train": {"epochs": 1}, "portfolio": None},
    "distill": {"train": {"epochs": 1}, "num_seeds": 1, "unimodal_baselines": False},
    "export": {"int8": "off", "teacher": False},
}


def german(value: float) -> str:
    """1234.5 as 1.234,50."""
    return f"{value:,.2f}".translate(str.maketrans(",.", ".,"))


def shop(words: str = "schönes großes neues Kleid Kühlschrank Stuhl Tisch Hose", seed: int = 0) -> Table:
    """Titles, numbers with missing ones, a colour, a day and a class that the discount decides."""
    chance = random.Random(seed)
    rows: Table = [["Nr", "Titel", "Farbe", "Preis", "Einkommen", "Rabatt", "Datum", "Klasse"]]
    for number in range(ROWS):
        title = f"{' '.join(chance.choices(words.split(), k=5))} {number}"
        income = None if number % 20 == 0 else chance.randint(1000, 90000)
        colour = None if number % 16 == 0 else chance.choice(("rot", "grün", "weiß"))
        discount = chance.randint(1, 99) / 2
        day = date(2024, 1 + number % 12, 1 + number % 28)
        label = "A" if discount + chance.random() * 20 > 30 else "B"
        rows.append([f"A{number}", title, colour, chance.uniform(1, 3000), income, discount, day, label])
    return rows


def as_written(rows: Table) -> Table:
    """With numbers, units and missing values as people write them in German."""
    header, *body = rows
    written: Table = [header]
    for n, title, colour, price, income, discount, day, label in body:
        numbers = [f"{german(price)} €", "NULL" if income is None else income, f"{discount:.1f} %".replace(".", ",")]
        written.append([n, title, colour or "N/A", *numbers, f"{day.day}.{day.month}.{day.year}", label])
    return written


def text(rows: Table, delimiter: str) -> str:
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter).writerows(rows)
    return out.getvalue()


def write_text(file: Path, rows: Table, encoding: str, delimiter: str) -> Path:
    file.write_bytes(text(rows, delimiter).encode(encoding))
    return file


CHINESE = "红色 连衣裙 夏季新款 男士 运动鞋 透气 蓝牙耳机 保温杯 书包 电饭煲"
TAIWANESE = "紅色 連衣裙 夏季新款 男士 運動鞋 透氣 藍牙耳機 保溫杯 書包 電飯煲"
JAPANESE = "赤い ワンピース 新作 メンズ スニーカー ボトル 子供用 リュック 炊飯器 椅子"


def translated(rows: Table, missing: str) -> Table:
    """With column names that any encoding has, in CJK numbers, and other words for missing values."""
    header = ["id", "title", "colour", "price", "income", "discount", "bought", "label"]
    written: Table = [header]
    for n, title, colour, price, income, discount, day, label in rows[1:]:
        letter = {None: missing, "rot": "a", "grün": "b", "weiß": "c"}[colour]
        numbers = [f"{price:,.2f}", missing if income is None else income, f"{discount}%"]
        written.append([n, title, letter, *numbers, day.isoformat(), label])
    return written


def as_text(name: str, encoding: str, delimiter: str) -> Callable[[Path], Path]:
    """What writes the shop's rows into a folder, as a text table."""
    return lambda folder: write_text(folder / name, as_written(shop()), encoding, delimiter)


TABLES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "semicolons and decimal commas in cp1252": (
        as_text("rows.csv", "cp1252", ";"),
        "cp1252, delimiter semicolon",
    ),
    "tabs in UTF-8": (
        as_text("rows.txt", "utf-8", "\t"),
        "UTF-8, delimiter tab",
    ),
    "Excel's Unicode text": (
        as_text("rows.txt", "utf-16", "\t"),
        "UTF-16, delimiter tab",
    ),
    "a byte order mark": (
        as_text("rows.csv", "utf-8-sig", ";"),
        "UTF-8, delimiter semicolon",
    ),
    "pipes in cp1252": (
        as_text("rows.csv", "cp1252", "|"),
        "cp1252, delimiter pipe",
    ),
    "GB18030": (
        lambda folder: write_text(folder / "rows.csv", translated(shop(CHINESE), "无"), "gb18030", ","),
        "gb18030, delimiter comma",
    ),
    "Big5": (
        lambda folder: write_text(folder / "rows.csv", translated(shop(TAIWANESE), "?"), "big5", ","),
        "big5, delimiter comma",
    ),
    "Shift-JIS": (
        lambda folder: write_text(folder / "rows.csv", translated(shop(JAPANESE), "-"), "cp932", "\t"),
        "cp932, delimiter tab",
    ),
    "xlsx": (lambda folder: write_xlsx(folder / "rows.xlsx", {"Blatt 1": shop()}), ""),
    "ods": (lambda folder: write_ods(folder / "rows.ods", {"Blatt 1": shop()}), ""),
    "xlsx with texts": (lambda folder: write_xlsx(folder / "rows.xlsx", {"Blatt 1": as_written(shop())}), ""),
}


QUICK = {"semicolons and decimal commas in cp1252", "Excel's Unicode text", "GB18030", "Shift-JIS", "xlsx with texts"}


def written(name: str, folder: Path) -> Path:
    """One of the tables as a file; the test is skipped where the reader of its format isn't installed."""
    if "xlsx" in name or "ods" in name:
        pytest.importorskip("python_calamine")
    return TABLES[name][0](folder)


@pytest.mark.slow
@pytest.mark.parametrize("name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.long) for n in TABLES])
def test_a_table_is_understood(name: str, tmp_path: Path) -> None:
    reading, source = TABLES[name][1], written(name, tmp_path)
    target = (
        "Klasse" if name in ("xlsx", "ods", "xlsx with texts") or "cp1252" in reading or "UTF" in reading else "label"
    )
    made = check_success(
        suffuse("init", source.name, "--target", target, "--preset", "fast", "-o", "in/recipe.yaml", cwd=tmp_path)
    )
    assert reading in made.err
    recipe = yaml.safe_load((tmp_path / "in" / "recipe.yaml").read_text(encoding="utf-8"))
    facts = recipe["modalities"]["facts"]
    kinds = list(facts["types"].values())
    assert kinds == ["category", "number", "number", "number", "date"], made.err
    assert [m["kind"] for m in recipe["modalities"].values()] == ["text", "tabular"]
    assert "left out" not in made.err
    checked = check_success(suffuse("check", "in/recipe.yaml", "--json", cwd=tmp_path))
    said = json.loads(checked.out)
    assert said["runs"] and said["rows"] == ROWS and said["broken"] == 0
    assert not [f for f in said["findings"] if f["code"] in ("unreadable", "used_in_part")]
    prepared = check_success(suffuse("prepare", "in/recipe.yaml", "--out", "run", cwd=tmp_path))
    assert "8 cells (5 %)" in prepared.err or reading == ""
    statistics = json.loads((tmp_path / "run" / "data" / "statistics.json").read_text())["facts"]
    colour, price, income, discount, day = statistics["columns"]
    assert len(colour["names"]) == 3
    assert 0.5 < price["low"][0] < 200 and 2800 < price["high"][0] < 3000
    assert income["low"][0] >= 1000 and income["high"][0] <= 90000
    assert (0.5 <= discount["low"][0] < 5) and 45 < discount["high"][0] <= 49.5
    assert 19700 < day["low"][0] < day["high"][0] < 20100


def shorten(recipe_file: Path) -> None:
    """Write the settings of FAST into a recipe."""
    recipe = yaml.safe_load(recipe_file.read_text(encoding="utf-8"))
    for section, keys in FAST.items():
        old = recipe.setdefault(section, {})
        for key, value in keys.items():
            old[key] = {**old.get(key, {}), **value} if isinstance(value, dict) else value
    recipe_file.write_text(yaml.safe_dump(recipe, allow_unicode=True), encoding="utf-8")


@pytest.mark.long
@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_learned_and_predicted(name: str, tmp_path: Path) -> None:
    source = written(name, tmp_path)
    target = "label" if name in ("GB18030", "Big5", "Shift-JIS") else "Klasse"
    check_success(suffuse("init", source.name, "--target", target, "--preset", "fast", cwd=tmp_path))
    shorten(tmp_path / "recipe.yaml")
    ran = check_success(suffuse("run", "recipe.yaml", "--out", "run", "--set", "evaluate.probes=[size]", cwd=tmp_path))
    assert "quarantined: none of 150 rows" in ran.err + ran.out
    answers = predicted("run/export", source.name, cwd=tmp_path)
    assert len(answers) == ROWS and {row[target] for row in answers} <= {"A", "B"}
    record = next(iter(shop()[1:]))
    assert answers[0][next(iter(answers[0]))] == record[0], "rows are named by their id"
    assert not any("facts" in row["absent"] for row in answers), "no row's numbers were lost on the way"


@pytest.fixture(scope="module")
def trained(build_once: Callable[..., Path]) -> Path:
    """A student of the German table."""

    def make(folder: Path) -> None:
        write_text(folder / "rows.csv", as_written(shop()), "cp1252", ";")
        check_success(suffuse("init", "rows.csv", "--target", "Klasse", "--preset", "fast", cwd=folder))
        shorten(folder / "recipe.yaml")
        for verb in ("prepare", "teach", "extract", "distill", "export"):
            check_success(suffuse(verb, "recipe.yaml", "--out", "run", cwd=folder))

    return build_once("people", FAST, make)


def predicted(*args: object, cwd: Path) -> list[dict[str, str]]:
    result = check_success(suffuse("predict", *args, cwd=cwd))
    return list(csv.DictReader(io.StringIO(result.out)))


@pytest.mark.slow
@pytest.mark.long
def test_a_student_reads_other_forms_of_its_table_alike(trained: Path, tmp_path: Path) -> None:
    run = trained / "run" / "export"
    wanted = predicted(run, trained / "rows.csv", cwd=tmp_path)
    assert list(wanted[0]) == ["Nr", "Klasse", "confidence", "p(A)", "p(B)", "line", "absent", "used"]
    write_text(tmp_path / "utf16.txt", as_written(shop()), "utf-16", "\t")
    for other in (tmp_path / "utf16.txt",):
        assert predicted(run, other, cwd=tmp_path) == wanted
    with pytest.MonkeyPatch.context() as patched:
        content = (trained / "rows.csv").read_bytes()
        patched.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        assert predicted(run, "-", cwd=tmp_path) == wanted
    pytest.importorskip("python_calamine")
    header, *body = shop()
    typed = write_xlsx(
        tmp_path / "typed.xlsx", {"x": [header, *([*row[:3], round(row[3], 2), *row[4:]] for row in body)]}
    )
    found = predicted(run, f"{typed}#x", cwd=tmp_path)
    assert [{**row, "line": "", "absent": ""} for row in found] == [{**row, "line": "", "absent": ""} for row in wanted]


@pytest.mark.slow
def test_what_is_asked_for_is_in_the_output(trained: Path, tmp_path: Path) -> None:
    run, rows = trained / "run" / "export", trained / "rows.csv"
    kept = predicted(run, rows, "--keep", "Farbe,Klasse", "--digits", "2", cwd=tmp_path)
    assert list(kept[0])[:5] == ["Nr", "Klasse", "confidence", "Farbe", "table(Klasse)"]
    assert kept[0]["Farbe"] == "N/A" and all(len(row["confidence"]) <= 4 for row in kept)
    every = predicted(run, rows, "--keep", "all", "-o", "-", cwd=tmp_path)
    assert {"Titel", "Datum", "table(Klasse)"} <= set(every[0])
    check_failure(suffuse("predict", run, rows, "--keep", "Frabe", cwd=tmp_path), 2, "--keep", "'Farbe'")
    check_failure(suffuse("predict", run, rows, "--json", cwd=tmp_path), 2, "standard output")
    record = json.dumps({"Titel": "neues Kleid", "Farbe": "lila", "Rabatt": "7,5 %", "Einkommen": "NULL", "more": 1})
    result = check_success(suffuse("predict", run, record, "--digits", "3", cwd=tmp_path))
    assert json.loads(result.out)["Klasse"] in ("A", "B") and "Farbe 'lila'" in result.err
    assert "1 rows have a category that the model doesn't know" in result.err
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(f"{record}\n{record}\n".encode())))
        assert len(predicted(run, "-", cwd=tmp_path)) == 2


@pytest.mark.slow
def test_the_export_reads_numbers_in_python(trained: Path) -> None:
    from suffuse import Predictor

    predictor = Predictor.load(trained / "run" / "export")
    header, *body = as_written(shop())
    frame = [dict(zip(header, row, strict=True)) for row in body]
    metrics = predictor.evaluate(frame)["Klasse"]
    assert metrics["rows"] == ROWS and 0 <= metrics["accuracy"] <= 1
    prediction = predictor.predict({"Preis": "12 $"})
    assert prediction.partly == {"facts": "Preis: not a number: '12 $'"}


@pytest.mark.slow
def test_pictures_in_the_cells_of_a_table(tmp_path: Path) -> None:
    chance, rows = random.Random(0), [["id", "photo", "thumb", "label"]]
    for number in range(60):
        label = chance.choice(("red", "blue"))
        out = io.BytesIO()
        Image.new("RGB", (24, 24), (200 + number % 50, 0, 0) if label == "red" else (0, number, 200)).save(out, "PNG")
        encoded = base64.b64encode(out.getvalue()).decode()
        rows.append([str(number), f"data:image/png;base64,{encoded}", encoded, label])
    write_text(tmp_path / "rows.csv", rows, "utf-8", ",")
    made = check_success(suffuse("init", "rows.csv", "--target", "label", cwd=tmp_path))
    recipe = yaml.safe_load((tmp_path / "recipe.yaml").read_text(encoding="utf-8"))
    assert {name: m["kind"] for name, m in recipe["modalities"].items()} == {"photo": "image", "thumb": "image"}, (
        made.err
    )
    said = json.loads(check_success(suffuse("check", "recipe.yaml", "--json", cwd=tmp_path)).out)
    assert said["runs"] and not [f for f in said["findings"] if f["code"] == "unreadable"]


def test_what_is_left_out_ends_the_output_and_one_flag_takes_it_in(tmp_path: Path) -> None:
    header, *body = as_written(shop())
    rows = [[*header, "Seriennummer"], *([*row, 7 * n] for n, row in enumerate(body))]
    write_text(tmp_path / "rows.csv", rows, "cp1252", ";")
    made = check_success(suffuse("init", "rows.csv", "--target", "Klasse", "-o", "a/b.yaml", cwd=tmp_path))
    last = made.err.strip().splitlines()[-4:]
    assert last[0] == "WARNING: 1 column left out, and read by no model:" and "Seriennummer" in last[1]
    assert last[-1] == "next: suffuse check a/b.yaml"
    flags = ("--number", "Seriennummer", "--ignore", "Titel", "-o", "c.yaml")
    made = check_success(suffuse("init", "rows.csv", "--target", "Klasse", *flags, cwd=tmp_path))
    assert "WARNING" not in made.err
    recipe = yaml.safe_load((tmp_path / "c.yaml").read_text(encoding="utf-8"))
    assert recipe["modalities"]["facts"]["types"]["Seriennummer"] == "number" and "titel" not in recipe["modalities"]
    options = ("--number", "Titel", "-o", "d.yaml")
    check_failure(suffuse("init", "rows.csv", "--target", "Klasse", *options, cwd=tmp_path), 2, "--number", "'Titel'")
