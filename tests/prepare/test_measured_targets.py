"""Which targets of numbers are classes, and which are measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import pytest

from suffuse.prepare.target_type import is_measured


@pytest.mark.parametrize(
    ("values", "measured"),
    [
        (range(100), False),  # classes by number
        (range(1, 31), False),
        ((n for n in range(100) if n % 9), False),  # some classes don't occur
        (range(17, 90), True),  # years of age
        (range(999, 5000, 50), True),  # prices
        ((n / 2 for n in range(60)), True),
        (range(-40, 41), True),
        (range(15), False),  # few
    ],
    ids=["from 0", "from 1", "with gaps", "age", "price", "fractions", "below 0", "few"],
)
def test_numbers_that_repeat(values: Iterable[float], measured: bool) -> None:
    assert is_measured(Counter(str(value) for value in values for _ in range(8))) is measured


def test_numbers_that_hardly_repeat_are_measured() -> None:
    assert is_measured(Counter(str(value) for value in range(100)))
    assert not is_measured(Counter(["a", *map(str, range(100))]))
