"""What the page shows: predictions, languages, errors, any width, light and dark."""

from __future__ import annotations

import io

import pytest
from fastapi import FastAPI
from page_browser import Browser
from page_checks import CONTRAST, OVER
from page_server import Fake, serving
from PIL import Image


def fill(page: Browser) -> None:
    file = io.BytesIO()
    Image.new("RGB", (900, 500), "red").save(file, "PNG")
    page.drop(file.getvalue(), "a-very-long-name-without-any-space-" * 4 + ".png", "image/png", "main")
    page.wait("document.querySelector('.preview').naturalWidth === 900")
    page.run("document.querySelector('[data-kind=text] textarea').focus()")
    page.type("Donaudampfschifffahrtsgesellschaft" * 5)


def ask(page: Browser) -> None:
    page.run("document.querySelector('#said').replaceChildren()")
    page.run("document.querySelector('#form').requestSubmit()")
    page.wait("document.querySelector('#said').children.length")


def said(page: Browser, where: str = "#said") -> str:
    return page.run(f"document.querySelector({where!r}).textContent")


def test_answers_of_every_kind_with_what_each_input_contributed(page: Browser, fake: Fake) -> None:
    fill(page)
    ask(page)
    assert page.run("[...document.querySelectorAll('.value')].map(e => e.textContent)")[0::2] == ["class 0", "1,234.6"]
    assert page.run("[...document.querySelectorAll('.label')].map(e => e.textContent)") == ["new", "<b>bold</b>"]
    first = "[data-target=answer]"
    shares = page.run(f"[...document.querySelectorAll('{first} .bars .share')].map(e => parseFloat(e.textContent))")
    assert len(shares) == 12
    assert shares == sorted(shares, reverse=True)
    widths = page.run(f"[...document.querySelectorAll('{first} .bars i')].map(e => parseFloat(e.style.width))")
    assert widths == pytest.approx(shares, abs=0.06)
    moved = page.run(f"[...document.querySelectorAll('{first} .shifts li')].map(e => e.textContent)")
    assert moved == ["picture+10.0", "question-4.0"]  # what was left out contributed nothing
    assert "from 60.0% knowing nothing to 66.0%" in said(page, f"{first} .block:last-of-type")
    assert "from 1,234.51 knowing nothing to 1,234.57" in said(page, "[data-target=amount]")
    rests = page.run(
        "Object.fromEntries([...document.querySelectorAll('.rests li')].map(e => [e.dataset.input, e.className]))"
    )
    assert [name for name, state in rests.items() if state == "used"] == ["picture", "question"]
    assert set(rests.values()) == {"used", "absent"}


@pytest.mark.parametrize(
    "share, shown",
    [
        (0.5, "50.0%"),
        (1, "100.0%"),
        (0.99999, "> 99.9%"),
        (0.9994, "99.9%"),
        (0, "0.0%"),
        (1e-9, "< 0.1%"),
        (0.0006, "0.1%"),
    ],
)
def test_what_is_not_certain_never_reads_as_if_it_were(page: Browser, share: float, shown: str) -> None:
    assert page.run(f"import('./static/language.js').then(m => m.percent({share}))") == shown


def test_below_the_threshold_it_abstains_and_says_what_it_would_have_said(page: Browser, fake: Fake) -> None:
    page.run("document.querySelector('.options').open = true; document.querySelector('#threshold').focus()")
    page.type("95")
    page.press("Enter")
    page.wait("document.querySelector('#said .abstained')")
    assert fake.bodies[0]["threshold"] == 0.95
    assert "Not sure enough" in said(page, ".abstained")
    assert "class 0" in said(page, ".abstained .value")
    page.run("document.querySelector('#threshold').select()")
    page.type("150")
    page.press("Enter")
    assert page.run("document.activeElement.getAttribute('aria-invalid')") == "true"
    assert len(fake.bodies) == 1


def test_the_language_changes_everything_and_is_remembered(page: Browser, address: str) -> None:
    fill(page)
    ask(page)
    english = page.run("document.body.innerText")
    page.run("document.querySelector('#language').click()")
    chinese = page.run("document.body.innerText")
    left = ("Choose", "used", "Answer", "left out", "confidence", "Probabilities", "Options", "Clear", "Ask", "Model")
    assert all(word in english for word in left)
    assert not [word for word in left if word in chinese]
    assert page.run("document.documentElement.lang") == "zh-CN"
    assert page.run("document.querySelector('[data-kind=text] textarea').value").startswith("Donau")
    assert "回答" in page.run("document.querySelector('#status').textContent")
    page.open(address)
    page.wait("!document.querySelector('#form').hidden")
    assert page.run("document.documentElement.lang") == "zh-CN"
    assert said(page, "#ask") == "询问模型"
    assert page.run("document.querySelector('#language').textContent") == "English"


@pytest.mark.parametrize("language", ["en", "zh-CN"])
@pytest.mark.parametrize("width", [320, 375, 390, 768, 1280])
def test_nothing_stands_out_of_the_window(page: Browser, address: str, width: int, language: str) -> None:
    page.open(f"{address}?model=every%20kind", width)
    page.wait("!document.querySelector('#form').hidden")
    if page.run("document.documentElement.lang") != language:
        page.run("document.querySelector('#language').click()")
    assert page.run("document.documentElement.lang") == language
    assert page.run(OVER) == []
    fill(page)
    ask(page)
    page.run("for (const e of document.querySelectorAll('details')) e.open = true")
    assert page.run(OVER) == []
    assert page.run("document.querySelectorAll('input[capture=environment]').length") == (6 if width < 600 else 0)
    small = """[...document.querySelectorAll('button, .button, select, input:not([type=file])')].filter(
      e => e.checkVisibility() && e.getBoundingClientRect().height < 36).map(e => e.outerHTML)"""
    assert width > 560 or page.run(small) == []


@pytest.mark.parametrize("dark", [False, True])
def test_everything_can_be_read_in_light_and_in_dark(page: Browser, fake: Fake, address: str, dark: bool) -> None:
    page.open(f"{address}?model=every%20kind", dark=dark)
    page.wait("!document.querySelector('#form').hidden")
    ground = page.run("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert (max(ground) < 60) == dark
    fill(page)
    ask(page)
    assert page.run(CONTRAST) == []
    fake.fails = (422, {"code": "text_too_long", "message": "m", "hint": "h"})
    page.run("document.querySelector('#form').requestSubmit()")
    page.wait("document.querySelector('#answer.failed')")
    assert page.run(CONTRAST) == []
    page.complaints.clear()


@pytest.mark.parametrize(
    "status, code, words",
    [
        (413, "body_too_large", "more than the server takes"),
        (422, "too_many_pixels", "more pixels than the model takes"),
        (422, "a code that is new", "can't use one of these inputs"),
        (429, "too_many_requests", "Try again in a few seconds"),
        (503, "shutting_down", "busy or shutting down"),
        (504, "too_slow", "took too long"),
        (418, "teapot", "refused"),
    ],
)
def test_an_error_is_said_in_plain_words_with_what_the_server_told(
    page: Browser, fake: Fake, status: int, code: str, words: str
) -> None:
    fake.fails = (status, {"code": code, "message": "<i>told</i> 1 & 2", "hint": "and a hint"})
    ask(page)
    assert words in said(page, "#said .alert")
    assert "<i>told</i> 1 & 2" in said(page) and "and a hint" in said(page)
    assert words in said(page, "#alert")
    assert all(str(status) in line for line in page.complaints)  # the browser itself notes a failed request
    page.complaints.clear()
    fake.fails = None
    ask(page)
    assert said(page, ".value") == "class 0"
    assert not page.run("document.querySelector('#answer.failed')")


def test_a_server_that_is_gone_is_said_in_plain_words(page: Browser) -> None:
    page.offline(True)
    ask(page)
    page.offline(False)
    assert "doesn't answer" in said(page, "#said .alert")
    page.complaints.clear()


def test_another_model_can_be_chosen_and_its_address_kept(page: Browser, fake: Fake) -> None:
    page.run("(e => { e.value = 'small'; e.dispatchEvent(new Event('change')); })(document.querySelector('#models'))")
    page.wait("document.querySelectorAll('.card').length === 2")
    assert said(page, "h1") == "small"
    assert page.run("location.search") == "?model=small"
    ask(page)
    assert page.run("[...document.querySelectorAll('#said .bars li')].map(e => e.textContent)") == [
        "yes50.0%",
        "no50.0%",
    ]


def test_it_asks_its_own_server_alone_and_runs_nothing_from_elsewhere(page: Browser, address: str) -> None:
    fill(page)
    ask(page)
    page.open(address)
    page.wait("!document.querySelector('#form').hidden")
    assert page.asked
    assert not [url for url in page.asked if not url.startswith((address, "blob:", "data:"))]
    assert (
        page.run("""(() => { const s = document.createElement("script"); s.textContent = "window.bad = 1";
      document.head.append(s); return window.bad ?? 0; })()""")
        == 0
    )
    page.complaints.clear()


def test_it_works_behind_a_proxys_prefix(browser: Browser, fake: Fake) -> None:
    outer = FastAPI()
    outer.mount("/some/prefix", fake.app)
    with serving(outer) as address:
        browser.open(f"{address}some/prefix/?model=small")
        browser.wait("!document.querySelector('#form').hidden")
        ask(browser)
        assert browser.run("document.querySelector('#said pre').textContent").startswith(
            f"curl '{address}some/prefix/v1/"
        )
    assert fake.records == [{"picture": None}]
    browser.complaints.clear()
