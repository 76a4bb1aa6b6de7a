"""Examples to click and tables to drop, on the page of a true server."""

from __future__ import annotations

import base64
import csv
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from page_browser import Browser
from page_checks import CONTRAST, OVER
from page_server import serving
from serving_tools import picture, record

from suffuse.data.columns import Columns
from suffuse.export_integrity import read_signature, seal
from suffuse.exporters.example_rows import FILE, example_rows
from suffuse.predictor import Predictor
from suffuse.run import Run
from suffuse.serving.app import application
from suffuse.serving.limits import Limits

HEADER = ["id", "note", "weight", "shop", "photo", "kind"]
KEEP = """URL.createObjectURL = (create => blob => { window.kept = blob.text(); return create.call(URL, blob); })(
  URL.createObjectURL)"""


@pytest.fixture(scope="module")
def examples(export: Path) -> list[dict[str, Any]]:
    run = Run.open(export.parent / "run")
    return example_rows(run, Columns.open(run.path("data")), 3)


@pytest.fixture(scope="module")
def place(export: Path, examples: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = Path(shutil.copytree(export, tmp_path_factory.mktemp("examples") / "export"))
    (folder / FILE).write_text(json.dumps({"rows": examples}), encoding="utf-8")
    seal(folder, read_signature(folder))
    models = {"things": Predictor.load(folder), "others": Predictor.load(export)}
    with serving(application(models, Limits(), 1), "on") as address:
        yield address


@pytest.fixture
def opened(browser: Browser, place: str) -> Iterator[Browser]:
    """The page in English."""
    browser.open(place)
    browser.wait("document.querySelector('#many')")
    browser.run("localStorage.clear()")
    if browser.run("document.documentElement.lang") != "en":
        browser.run("document.querySelector('#language').click(); localStorage.clear()")
    browser.complaints.clear()
    browser.asked.clear()
    yield browser
    assert not browser.complaints


def table(rows: list[list[Any]], header: list[str] = HEADER, delimiter: str = ",") -> str:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter).writerows([header, *rows])
    return text.getvalue()


def drop(page: Browser, files: dict[str, bytes], longer: int = 0) -> None:
    """Several files at once. Each is ``longer`` by so many letters x, which the page makes: to send them takes long."""
    given = [[name, base64.b64encode(content).decode()] for name, content in files.items()]
    page.run(f"""(() => {{ const carried = new DataTransfer();
      for (const [name, content] of {json.dumps(given)}) {{
        carried.items.add(new File(
          [Uint8Array.from(atob(content), c => c.charCodeAt(0)), new Uint8Array({longer}).fill(120)], name));
      }}
      const event = new DragEvent("drop", {{dataTransfer: carried, bubbles: true, cancelable: true}});
      document.querySelector("main").dispatchEvent(event); }})()""")


def said(page: Browser, where: str = "#table-said") -> str:
    return page.run(f"document.querySelector({where!r}).innerText")


def downloaded(page: Browser) -> list[dict[str, str]]:
    page.run(f"{KEEP}; document.querySelector('#table .main').click()")
    text = page.run("window.kept")
    return list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))


def predicted(page: Browser, rows: list[list[Any]], files: dict[str, bytes], **how: Any) -> list[dict[str, str]]:
    drop(page, {"rows.csv": table(rows, **how).encode(), **files})
    page.wait("document.querySelector('.sheet')")
    return downloaded(page)


def test_an_example_fills_the_form_and_is_answered_as_python_answers_it(
    opened: Browser, examples: list[dict[str, Any]], predictor: Predictor
) -> None:
    opened.wait("document.querySelectorAll('.example').length === 3")
    opened.run("document.querySelectorAll('.example')[1].click()")
    opened.wait("document.querySelector('#said .target') && !document.querySelector('[aria-busy=true]')")
    given = examples[1]["record"]
    exact = predictor.predict(
        {k: base64.b64decode(v["base64"]) if isinstance(v, dict) else v for k, v in given.items()}
    )
    assert opened.run("document.querySelectorAll('.rests .used').length") == len(predictor.names)
    assert said(opened, "[data-target=kind] .value") == exact.answers["kind"].value
    price = said(opened, "[data-target=price] .value")
    assert float(price.replace(",", "")) == pytest.approx(exact.answers["price"].value, rel=1e-4)
    known = said(opened, "#said > .note")
    assert known.startswith("In the table: ") and str(examples[1]["targets"]["kind"]) in known
    opened.run("document.querySelector('[data-kind=text] textarea').focus()")
    opened.type(" more")
    assert opened.run("document.querySelectorAll('.example[aria-pressed=true]').length") == 0
    opened.run("document.querySelector('#form').requestSubmit()")
    opened.wait("!document.querySelector('#said > .note')")  # it is another row now


def test_a_model_without_examples_offers_none(opened: Browser) -> None:
    opened.run(
        "(e => { e.value = 'others'; e.dispatchEvent(new Event('change')); })(document.querySelector('#models'))"
    )
    opened.wait("document.querySelector('#examples').hidden")


def test_rows_are_answered_as_python_answers_them_in_bounded_batches(opened: Browser, predictor: Predictor) -> None:
    rows, files = [], {}
    for n in range(150):
        made = record(n)
        if "photo" in made:
            files[f"{n}.png"] = made["photo"]
        rows.append([f"r{n}", made.get("note", ""), made.get("weight", ""), made.get("shop", ""), "", "kind 0"])
        rows[-1][4] = f"photos/{n}.png" if "photo" in made else ""
    found = predicted(opened, rows, files)
    assert len([url for url in opened.asked if url.endswith("/predict")]) == 3
    cells = [{k: v for k, v in record(n).items() if k not in ("clip", "steps")} for n in range(150)]
    exact = predictor.predict(cells)
    assert [row["line"] for row in found] == [str(n) for n in range(2, 152)]
    assert [row["id"] for row in found] == [row[0] for row in rows]
    assert {row["table(kind)"] for row in found} == {"kind 0"}
    for row, answer in zip(found, exact, strict=True):
        assert row["kind"] == answer.answers["kind"].value and row["problem"] == ""
        assert row["used"] == "; ".join(answer.used)
        assert float(row["price"]) == pytest.approx(answer.answers["price"].value, rel=1e-5)
        for label, share in answer.answers["kind"].probabilities.items():
            assert float(row[f"p(kind={label})"]) == pytest.approx(share, abs=1e-5)
    assert "150 rows answered" in said(opened, "#table-rows")


def test_bad_rows_stay_with_their_reason_and_cost_no_other_row(opened: Browser) -> None:
    rows = [["a", "a thing", 3, "south", "", ""] for _ in range(70)]
    rows[4] = ["b", "too few"]
    rows[9] = ["c", "a thing", "9" * 1001, "south", "", ""]
    rows[20] = ["d", "a thing", "much", "south", "", ""]
    rows[33] = ["e", "a thing", 3, "south", "none.png", ""]
    rows[34] = ["f", "a thing", 3, "south", "broken.png", ""]
    rows[35] = ["g", "a thing", 3, "south", "", "", "and", "more"]
    drop(opened, {"rows.csv": table(rows).encode(), "broken.png": b"no picture"})
    opened.wait("document.querySelector('#table .note')")
    assert "1 in all: none.png" in said(opened)
    opened.run("[...document.querySelectorAll('#table-said button')].at(-1).click()")
    opened.wait("document.querySelector('.sheet')")
    found = downloaded(opened)
    problems = {row["id"]: row["problem"] for row in found if row["problem"]}
    assert problems.keys() == {"b", "c", "g"}
    assert problems["b"] == "2 cells, the first line has 6" and "1,001 characters" in problems["c"]
    remarks = {row["id"]: row["absent"] for row in found if row["absent"] and row["id"] in "def"}
    assert "not a number" in remarks["d"] and "no file 'none.png'" in remarks["e"]
    assert "not a picture in a known format" in remarks["f"]
    assert len(found) == 70 and sum(row["kind"] != "" for row in found) == 67
    assert next(row for row in found if row["id"] == "g")["table(kind)"].endswith("and,more")
    assert "67 rows answered, of which 3 with a remark; 3 without an answer" in said(opened, "#table-rows")
    opened.run("document.querySelector('.check input').click()")
    assert opened.run("document.querySelectorAll('.sheet tbody tr').length") == 6
    opened.complaints.clear()  # the browser's own, of answers with the status 422


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "no rows below the first line"),
        (b"note,weight\n", "no rows below the first line"),
        (b'note,weight\n"a thing,3\n', "quotation mark"),
        (b"note,note\na,b\n", "Two columns are called 'note'"),
        (b"text,size\na,3\n", "None of the model's columns is in this table: photo, note"),
        (b"note\n" + 5001 * b"a thing\n", "5,001 rows, and the page takes 5,000"),
    ],
)
def test_tables_that_are_not_read_are_refused_in_plain_words(opened: Browser, content: bytes, told: str) -> None:
    drop(opened, {"rows.csv": content})
    opened.wait("document.querySelector('#table .alert')")
    assert told in said(opened)
    assert not [url for url in opened.asked if url.endswith("/predict")]


def test_a_table_of_more_than_20_mb_is_refused(opened: Browser) -> None:
    drop(opened, {"rows.csv": b"note\n"}, 21_000_000)
    opened.wait("document.querySelector('#table .alert')")
    assert "larger than 20 MB" in said(opened)
    assert not [url for url in opened.asked if url.endswith("/predict")]


def test_of_another_encoding_the_reader_says_which(opened: Browser) -> None:
    drop(opened, {"rows.csv": table([["1", "一件蓝色的东西", "3", "south", "", ""]], delimiter=";").encode("gb18030")})
    opened.wait("document.querySelector('#encoding')")
    assert "not UTF-8" in said(opened)
    choose = (
        "(e => { e.value = 'gb18030'; e.dispatchEvent(new Event('change')); })(document.querySelector('#encoding'))"
    )
    opened.run(choose)
    opened.wait("document.querySelector('.sheet')")
    assert "separated by semicolons" in said(opened)
    assert "一件蓝色的东西" in said(opened, ".sheet")
    assert downloaded(opened)[0]["note"] == "一件蓝色的东西"


# fetch, of which the second request does something else
SECOND = """window.fetch = (real => {{ let count = 0; return (url, options) => {{
  count += 1; return count === 2 ? {instead} : real(url, options); }}; }})(window.fetch)"""
HANGS = """new Promise((_, failed) => options.signal.addEventListener(
  "abort", () => failed(new DOMException("", "AbortError"))))"""
BUSY = """Promise.resolve(new Response('{"error": {"code": "too_many_requests", "message": "busy"}}', {status: 429}))"""
GONE = """Promise.reject(new TypeError("gone"))"""


def test_a_table_can_be_stopped_and_keeps_what_it_has(opened: Browser) -> None:
    opened.run(SECOND.format(instead=HANGS))
    drop(opened, {"rows.csv": table([[n, "a thing", 3, "south", "", ""] for n in range(100)]).encode()})
    opened.wait("document.querySelector('progress')?.value === 64")
    opened.run("document.querySelector('#table-said button').click()")
    opened.wait("document.querySelector('.sheet')")
    assert "64 rows answered, of which 0 with a remark; 36 without" in said(opened, "#table-rows")
    found = downloaded(opened)
    assert [row["problem"] for row in found] == 64 * [""] + 36 * ["not predicted: stopped before"]


def test_a_busy_server_is_asked_again_and_one_that_is_gone_is_said(opened: Browser) -> None:
    rows = {"rows.csv": table([[n, "a thing", 3, "south", "", ""] for n in range(100)]).encode()}
    opened.run(SECOND.format(instead=BUSY))
    drop(opened, rows)
    opened.wait("document.querySelector('.sheet')")
    assert "100 rows answered" in said(opened, "#table-rows")
    opened.run(SECOND.format(instead=GONE))
    drop(opened, rows)
    opened.wait("document.querySelector('#table-rows .alert')")
    assert "The server doesn't answer" in said(opened, "#table-rows")
    assert "64 rows answered, of which 0 with a remark; 36 without" in said(opened, "#table-rows")


def test_what_a_spreadsheet_would_run_is_marked_and_markup_is_text(opened: Browser) -> None:
    cells = ["=HYPERLINK(1)", "<img src=x onerror=alert(1)>", "-5", "south", "", "@x"]
    found = predicted(opened, [cells], {})
    assert (found[0]["id"], found[0]["table(kind)"]) == ("'=HYPERLINK(1)", "'@x")
    assert found[0]["note"] == cells[1] and found[0]["weight"] == "-5"
    assert opened.run("document.querySelectorAll('.sheet img').length") == 0


def test_a_picture_for_a_card_is_no_table(opened: Browser) -> None:
    drop(opened, {"look.csv.png": picture(1)})
    assert said(opened) == ""


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_any_window_and_is_readable_in_both_languages(
    browser: Browser, place: str, width: int, dark: bool
) -> None:
    browser.open(place, width=width, dark=dark)
    browser.wait("document.querySelectorAll('.example').length === 3")
    browser.run("document.querySelectorAll('.example')[0].click()")
    browser.wait("document.querySelector('#said .target')")
    rows = [["r1", "Donaudampfschifffahrtsgesellschaft" * 5, "3", "south", "", "x"], ["r2", "few"]] * 60
    drop(browser, {"a-very-long-name-without-any-space-" * 4 + ".csv": table(rows).encode()})
    browser.wait("document.querySelector('.sheet')")
    for _ in range(2):
        assert browser.run(OVER) == []
        assert browser.run(CONTRAST) == []
        browser.run("document.querySelector('#language').click()")
        browser.wait("document.querySelector('.sheet')")
    browser.run("localStorage.clear()")
