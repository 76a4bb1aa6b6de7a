"""The server that the tests of downloads share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fetch_tools import Server, serving


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running
