"""Without a mouse, and without eyes: what the keys do, where the focus is, what has a name."""

from __future__ import annotations

import pytest
from page_browser import Browser
from page_server import Fake

QUESTION = "Is there a red circle?"
AT_TEXT = "e.tagName === 'TEXTAREA' && !!e.closest('[data-kind=text]')"
NAMED = {"button", "textbox", "combobox", "checkbox", "link", "searchbox", "Audio", "image", "Date", "spinbutton"}


def ask(page: Browser) -> None:
    page.run("document.querySelector('#form').requestSubmit()")
    page.wait("document.querySelector('#said .target')")


def test_a_question_is_asked_by_keys_alone(page: Browser, fake: Fake) -> None:
    page.tab_to(AT_TEXT)
    page.type(QUESTION)
    page.press("Enter")
    page.wait("document.querySelector('#said .value')?.textContent === 'class 0'")
    assert fake.records == [{"question": QUESTION}]
    assert page.run("document.activeElement.tagName") == "TEXTAREA"  # the next question begins where this one was
    assert page.run("document.querySelector('#status').textContent").startswith(
        "Answer: answer: class 0, confidence 58"
    )


def test_enter_in_every_field_asks(page: Browser, fake: Fake) -> None:
    page.tab_to("e.inputMode === 'decimal' && e.id !== 'threshold'")
    page.type("12.5")
    page.press("Enter")
    page.wait("document.querySelector('#said .value')")
    assert fake.records == [{"price": 12.5}]


def test_shift_and_enter_begins_a_line(page: Browser, fake: Fake) -> None:
    page.tab_to(AT_TEXT)
    page.type("one")
    page.press("Enter", shift=True)
    page.type("two")
    assert page.run("document.activeElement.value") == "one\ntwo"
    assert not fake.records


def test_enter_that_ends_a_chinese_word_asks_nothing(page: Browser, fake: Fake) -> None:
    page.tab_to(AT_TEXT)
    page.type("圆")
    composing = "new KeyboardEvent('keydown', {key: 'Enter', isComposing: true, bubbles: true, cancelable: true})"
    assert page.run(f"document.activeElement.dispatchEvent({composing})")  # nobody prevented it
    assert not fake.records
    page.press("Enter")
    page.wait("document.querySelector('#said .value')")
    assert fake.records == [{"question": "圆"}]


def test_tab_goes_through_everything_in_order_and_one_sees_where(page: Browser) -> None:
    page.run("""window.places = [...document.querySelectorAll('a, button, input, textarea, select, summary')]
      .filter(e => e.checkVisibility())""")
    seen: list[int] = []
    for _ in range(80):
        page.press("Tab")
        place = page.run("places.indexOf(document.activeElement)")
        if place == -1 and seen:
            break
        outline = """(e => { const s = x => getComputedStyle(x); const b = e.closest('label.button');
          const width = x => s(x).outlineStyle === 'none' ? 0 : parseFloat(s(x).outlineWidth);
          return Math.max(width(e), b ? width(b) : 0);
        })(document.activeElement)"""
        assert page.run(outline) >= 2, place
        if not seen or place != seen[-1]:  # a date has a stop for each of its parts
            seen.append(place)
    assert seen == sorted(set(seen)), "the focus jumps"
    assert len(seen) == page.run("places.length")


@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_whatever_can_be_used_has_a_name(page: Browser, language: str) -> None:
    if language != "en":
        page.run("document.querySelector('#language').click()")
    ask(page)
    nodes = page.nodes()
    assert {"main", "form", "heading", "status"} <= {role for role, _ in nodes} | {"form"}
    assert not [(role, name) for role, name in nodes if role in NAMED and not name.strip()]
    assert sum(role in NAMED for role, _ in nodes) > 15
    assert [name for role, name in nodes if role == "textbox" and name == "question"]


def test_what_is_wrong_gets_the_focus_and_is_not_sent(page: Browser, fake: Fake) -> None:
    page.tab_to("e.inputMode === 'decimal' && e.id !== 'threshold'")
    page.type("twelve")
    page.tab_to(AT_TEXT.replace("text]", "sequence]"))
    page.type("1, 2")
    page.run("document.querySelector('#form').requestSubmit()")
    assert page.run("document.activeElement.getAttribute('aria-invalid')") == "true"
    assert page.run("document.activeElement.value") == "twelve"
    told = page.run("document.getElementById(document.activeElement.getAttribute('aria-describedby')).textContent")
    assert told == "This is not a number."
    assert not fake.records


def test_a_picture_can_be_chosen_left_out_and_removed_by_keys(page: Browser, fake: Fake) -> None:
    page.drop(b"GIF89a\x01\x00\x01\x00\x00\x00\x00;", "dot.gif", "image/gif", "[data-kind=image] .drop")
    page.wait("document.querySelector('[data-kind=image]').dataset.state === 'given'")
    page.tab_to("e.classList.contains('mute')")
    page.press("Enter")
    assert page.run("document.activeElement.textContent") == "Use it"
    assert page.run("document.querySelector('[data-kind=image]').dataset.state") == "out"
    ask(page)
    page.press("Space")
    assert page.run("document.querySelector('[data-kind=image]').dataset.state") == "given"
    page.run("document.querySelector('#answer').hidden = true; document.querySelector('#said').replaceChildren()")
    ask(page)
    without, given = fake.records
    assert without == {"picture": None}  # an empty record is refused
    assert list(given) == ["picture"] and given["picture"] is not None
