"""The items: each is guarded, by tests that are there or by a check that can fail."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from suffuse.audit import ITEMS
from suffuse.audit.checks import CHECKS

ROOT = Path(__file__).parents[2]


def test_there_are_thirty_four_and_each_is_guarded():
    assert [item.number for item in ITEMS] == list(range(1, 35))
    assert all(item.guards or item.check for item in ITEMS)
    assert {item.check for item in ITEMS} - {""} == set(CHECKS)


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: str(item.number))
def test_its_tests_are_there(item):
    for guard in item.guards:
        file, name = guard.split("::")
        text = (ROOT / file).read_text(encoding="utf-8")
        assert re.search(rf"^\s*def {name}\(", text, re.MULTILINE), guard


def test_the_page_says_what_the_items_say():
    page = (ROOT / "docs" / "trust.md").read_text(encoding="utf-8")
    for item in ITEMS:
        (line,) = [row for row in page.splitlines() if row.startswith(f"| {item.number} |")]
        assert item.says in line
        assert all(f"`{guard}`" in line for guard in item.guards)
        assert ("`suffuse doctor`" in line) == bool(item.check)
