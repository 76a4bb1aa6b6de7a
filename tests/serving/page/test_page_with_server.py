"""The page with a real server, and a model of five modalities and three targets."""

from __future__ import annotations

import io
from collections.abc import Iterator
from urllib.request import urlopen

import pytest
from page_browser import Browser
from page_server import serving
from PIL import Image
from serving_tools import clip, picture

from suffuse.predictor import Predictor
from suffuse.serving import page as files
from suffuse.serving.app import application
from suffuse.serving.limits import Limits


@pytest.fixture(scope="module")
def true(predictor: Predictor) -> Iterator[str]:
    """Where it is."""
    with serving(application({"things": predictor, "others": predictor}, Limits(), 1), "on") as address:
        yield address


@pytest.fixture
def tried(browser: Browser, true: str) -> Iterator[Browser]:
    """Its page, in English, empty."""
    browser.open(true)
    browser.wait("!document.querySelector('#form').hidden")
    browser.run(
        "localStorage.clear(); if (document.documentElement.lang !== 'en') document.querySelector('#language').click()"
    )
    browser.complaints.clear()
    yield browser
    assert not browser.complaints


def ask(page: Browser) -> None:
    page.run("document.querySelector('#said').replaceChildren()")
    page.run("document.querySelector('#form').requestSubmit()")
    page.wait("document.querySelector('#said').children.length && !document.querySelector('[aria-busy=true]')")


def test_the_page_and_its_files_come_with_its_policy_and_nothing_else_does(true: str) -> None:
    for name in files.files():
        with urlopen(true if name == files.INDEX else f"{true}static/{name}") as reply:
            assert reply.read() == files.content(name)
            assert reply.headers["content-type"] == files.files()[name]
            assert {k: reply.headers[k] for k in files.HEADERS} == files.HEADERS
    for name in ("__init__.py", "%2e%2e/app.py", "..%2fapp.py", "none.js"):
        with pytest.raises(OSError, match="404"):
            urlopen(f"{true}static/{name}")


def test_all_that_is_given_is_answered_as_python_answers_it(tried: Browser, predictor: Predictor) -> None:
    tried.drop(picture(4), "look.png", "image/png", "main")
    tried.drop(clip(4), "noise.wav", "audio/wav", "main")
    tried.wait("document.querySelectorAll('.card[data-state=given]').length === 2")
    for where, text in (
        ("[data-kind=text] textarea", "a thing 4 of the shop"),
        ("[data-kind=sequence] textarea", "4, 0\n4, 0.5\n4, 1"),
        ("[data-kind=tabular] input", "6"),
    ):
        tried.run(f"document.querySelector({where!r}).focus()")
        tried.type(text)
    shop = "(e => { e.value = 'south'; e.dispatchEvent(new Event('change')); })(document.querySelector('.card select'))"
    tried.run(shop)
    ask(tried)
    record = {"photo": picture(4), "clip": clip(4), "note": "a thing 4 of the shop", "weight": 6, "shop": "south"}
    record["steps"] = [[4, 0], [4, 0.5], [4, 1]]
    exact, shares = predictor.predict(record), predictor.contributions(record)
    assert exact.used == predictor.names
    for target, answer in exact.answers.items():
        value = tried.run(f"document.querySelector('[data-target={target}] .value').innerText")
        if isinstance(answer.value, float):
            assert float(value.replace(",", "")) == pytest.approx(answer.value, rel=1e-4)
        elif isinstance(answer.value, str):
            assert value == answer.value
        else:
            assert value.split() == list(answer.value) or (not answer.value and value == "none of the labels")
        moved = tried.run(
            f"[...document.querySelectorAll('[data-target={target}] .shifts .share')].map(e => e.innerText)"
        )
        scale = 1 if isinstance(answer.value, float) else 100
        exactly = [scale * x for x in shares[target].values()]
        assert [float(x.replace(",", "").replace("−", "-")) for x in moved] == pytest.approx(
            exactly, rel=0.01, abs=0.06
        )
    assert tried.run("document.querySelectorAll('.rests .used').length") == len(predictor.names)


def test_what_can_not_be_read_is_said_where_it_belongs(tried: Browser) -> None:
    tried.drop(b"no picture", "look.png", "image/png", "main")
    tried.wait("document.querySelectorAll('.card[data-state=given]').length === 1")
    ask(tried)
    said = tried.run("document.querySelector('#said').textContent")
    assert "can't read one of these inputs" in said and "'look' can't be read: not a picture in a known format" in said
    tried.complaints.clear()  # the browser can't show it either


def test_a_picture_beyond_the_limit_is_refused_in_plain_words(tried: Browser) -> None:
    file = io.BytesIO()
    Image.new("1", (9000, 9000)).save(file, "PNG")
    tried.drop(file.getvalue(), "huge.png", "image/png", "main")
    tried.wait("document.querySelectorAll('.card[data-state=given]').length === 1")
    ask(tried)
    said = tried.run("document.querySelector('#said').textContent")
    assert "more pixels than the model takes" in said and "9,000 x 9,000" in said
    tried.complaints.clear()


def test_one_of_several_models_is_chosen(tried: Browser) -> None:
    tried.run("(e => { e.value = 'others'; e.dispatchEvent(new Event('change')); })(document.querySelector('#models'))")
    tried.wait("document.querySelector('h1').textContent === 'others'")
    ask(tried)
    assert tried.run("document.querySelectorAll('#said .target').length") == 3
