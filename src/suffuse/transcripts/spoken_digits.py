"""Numbers in a text as their digits are spoken one by one, in English: "91472" -> "nine one four seven two".

A number here is a group of digits 0 to 9 that stands by itself, also with commas or hyphens between its digits
("914-72", "1,200"). What holds anything else stays: "3.5", "2nd", "$5", "50%", "12:30".
"""

from __future__ import annotations

import re

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
BOUND = r"\w$£€%+:/'’"  # beside a group of digits, each of these makes it another number
NUMBER = re.compile(rf"(?<![{BOUND}.,-])[0-9]+(?:[,-][0-9]+)*(?![{BOUND}]|[.,-]\w)", re.ASCII)


def spell_digits(text: str) -> str:
    """The text with each number's digits as words."""
    return NUMBER.sub(lambda match: " ".join(DIGITS[int(c)] for c in match[0] if c.isdigit()), text)
