"""One browser for all of these tests, and a server that answers by rules."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from page_browser import Browser, opened
from page_server import Fake, serving


@pytest.fixture(scope="session")
def browser(tmp_path_factory) -> Iterator[Browser]:
    yield from opened(tmp_path_factory.mktemp("profile"))


@pytest.fixture(scope="session")
def _served() -> Iterator[tuple[Fake, str]]:
    fake = Fake()
    with serving(fake.app) as address:
        yield fake, address


@pytest.fixture
def fake(_served) -> Fake:
    """The server, with nothing remembered."""
    _served[0].records.clear()
    _served[0].bodies.clear()
    _served[0].fails = None
    return _served[0]


@pytest.fixture
def address(_served) -> str:
    """Where it is."""
    return _served[1]


@pytest.fixture
def page(browser: Browser, fake: Fake, address: str) -> Iterator[Browser]:
    """The page of the model that has every kind of input, in English, new. It may complain of nothing."""
    browser.open(f"{address}?model=every%20kind")
    browser.wait("!document.querySelector('#form').hidden")
    browser.run("localStorage.clear()")
    if browser.run("document.documentElement.lang") != "en":
        browser.run("document.querySelector('#language').click(); localStorage.clear()")
    browser.complaints.clear()
    browser.asked.clear()
    yield browser
    assert not browser.complaints
