"""``init`` with the user's word: roles of columns, short texts, missing values, files that stand in cells."""

from __future__ import annotations

import base64
import csv
import io
import random
from pathlib import Path

import pytest
import yaml
from PIL import Image

from suffuse.cli.inspect_commands import _unused_lines
from suffuse.errors import UsageError
from suffuse.modalities.cell import Absent, Root, Unreadable, content, embedded
from suffuse.prepare.recipe_proposal import Choices, Proposal, propose
from suffuse.recipe import Recipe, make_recipe

ROWS = 240


def columns(**more: list) -> dict[str, list]:
    chance = random.Random(0)
    words = ["red", "green", "blue", "old", "new", "small", "large", "soft"]
    title = [" ".join(chance.choices(words, k=6)) + f" {n}" for n in range(ROWS)]
    return {"title": title, "label": [chance.choice(("yes", "no")) for _ in range(ROWS)], **more}


def proposed(folder: Path, table: dict[str, list], **roles: str) -> Proposal:
    with (folder / "rows.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow(table)
        writer.writerows(zip(*table.values(), strict=True))
    target = "price" if "label" not in table else "label"
    return propose(str(folder / "rows.csv"), target, place=folder, choices=Choices(roles=roles))


def recipe(proposal: Proposal) -> Recipe:
    return make_recipe(yaml.safe_load(proposal.text))


def roles(proposal: Proposal) -> dict[str, str]:
    return {c.name: c.role for c in proposal.columns}


def test_a_role_that_is_given_is_taken(tmp_path: Path) -> None:
    chance = random.Random(1)
    table = columns(
        serial=[f"{n}" for n in range(ROWS)],
        size=[chance.choice("123") for _ in range(ROWS)],
        brand=[chance.choice(("acme", "zeta")) for _ in range(ROWS)],
        user_id=[str(n % 7) for n in range(ROWS)],
    )
    guessed = proposed(tmp_path, table)
    assert roles(guessed) == {"title": "text", "label": "target", "serial": "number", "size": "number"} | {
        "brand": "category",
        "user_id": "number",
    }
    assert [name for name, _ in guessed.unused] == ["serial", "user_id"]
    made = proposed(
        tmp_path, table, serial="number", size="category", brand="text", user_id="category", title="ignored"
    )
    assert roles(made) == {"title": "ignored", "label": "target", "serial": "number", "size": "category"} | {
        "brand": "text",
        "user_id": "category",
    }
    assert not made.unused
    facts = recipe(made).modalities["facts"]
    assert facts.get("types") == {"serial": "number", "size": "category", "user_id": "category"}
    assert "title" not in recipe(made).modalities and "brand" in recipe(made).modalities


def test_the_target_may_be_called_a_number_or_a_category(tmp_path: Path) -> None:
    table = columns()
    del table["label"]
    table["price"] = [f"{n % 8},50 €" for n in range(ROWS)]
    assert recipe(proposed(tmp_path, table)).data.task("price").kind == "classes"
    made = recipe(proposed(tmp_path, table, price="number"))
    assert made.data.task("price").kind == "number"
    assert made.data.task("price").format.short() == {"decimal": ",", "thousands": ".", "unit": "€"}
    table["price"] = [f"{n},50 €" for n in range(ROWS)]
    assert recipe(proposed(tmp_path, table)).data.task("price").kind == "number"
    with pytest.raises(UsageError, match="no classes"):
        proposed(tmp_path, table, price="category")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"titel": "text"}, ("--text", "did you mean 'title'?")),
        ({"title": "number"}, ("--number: column 'title'", "0 % of its cells")),
        ({"title": "image"}, ("--image: column 'title'", "expected pictures")),
        ({"title": "audio"}, ("--audio: column 'title'", "expected recordings")),
        ({"label": "image"}, ("the target can't be this",)),
    ],
)
def test_a_role_that_a_column_can_t_have(tmp_path: Path, given: dict[str, str], words: tuple[str, ...]) -> None:
    with pytest.raises(UsageError) as caught:
        proposed(tmp_path, columns(), **given)
    assert all(word in caught.value.text() for word in words), caught.value.text()


def test_what_is_left_out_ends_the_output() -> None:
    lines = list(_unused_lines([("a", "always 'x'"), ("long name", "web addresses")]))
    assert lines[1:3] == ["WARNING: 2 columns left out, and read by no model:", "  a          always 'x'"]
    assert "--ignore" in lines[-1] and not list(_unused_lines([]))


def test_short_texts_with_many_new_values_are_texts(tmp_path: Path) -> None:
    chance = random.Random(2)
    parts = [f"{a} {b}" for a in ("red", "blue", "old", "new") for b in ("cup", "bag", "hat", "shoe", "coat", "pen")]
    common = [chance.choice(parts) for _ in range(ROWS)]
    short = [f"rare thing{n}" if n % 10 == 0 else common[n] for n in range(ROWS)]
    found = proposed(tmp_path, columns(short=short, common=common))
    assert roles(found)["short"] == "text" and len(set(short)) == 48
    assert roles(found)["common"] == "category"


def test_missing_values_turn_no_number_into_names(tmp_path: Path) -> None:
    chance = random.Random(3)
    income = ["NULL" if n % 20 == 0 else str(chance.randint(1000, 90000)) for n in range(ROWS)]
    colour = ["N/A" if n % 16 == 0 else chance.choice(("red", "blue")) for n in range(ROWS)]
    sign = [chance.choice("+-") for _ in range(ROWS)]
    found = proposed(tmp_path, columns(income=income, colour=colour))
    assert roles(found)["income"] == "number" and "data.missing_values" not in found.text
    assert next(c for c in found.columns if c.name == "colour").distinct == 2
    assert any("income: 12 cells (5 %) 'NULL'" in line for line in found.reading)
    found = proposed(tmp_path, columns(sign=sign, colour=colour))
    assert "-" not in recipe(found).data.missing_values and "N/A" in recipe(found).data.missing_values
    assert roles(found)["sign"] == "category"


def test_cells_that_are_no_number_are_counted(tmp_path: Path) -> None:
    found = proposed(tmp_path, columns(price=["on request" if n in (3, 4) else f"{n},5" for n in range(ROWS)]))
    price = next(c for c in found.columns if c.name == "price")
    assert price.role == "number" and "2 cells (0.8 %) are none and count as missing, e.g. 'on request'" in price.reason


def picture(number: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (20, 24), (number % 256, 0, 0)).save(out, "PNG")
    return out.getvalue()


def test_pictures_in_cells(tmp_path: Path) -> None:
    plain = [base64.b64encode(picture(n)).decode() for n in range(ROWS)]
    address = [f"data:image/png;base64,{text}" for text in plain]
    found = proposed(tmp_path, columns(plain=plain, address=address))
    assert roles(found)["plain"] == roles(found)["address"] == "image"
    root = Root.of(tmp_path)
    assert content(plain[7], root) == content(address[7], root) == picture(7)
    assert embedded("iVBO") is None and embedded("/9j/" + "a" * 80 + ".jpg") is None
    for text in ("data:image/png,abc", "data:image/png;base64,%%%"):
        with pytest.raises(Unreadable):
            content(text, root)
    with pytest.raises(Absent):
        content("data:image/png;base64,", root)
