"""Typing errors, lost words and a lost end, for the robustness probe."""

from __future__ import annotations

import numpy as np


def damage(text: str, share: float, random: np.random.Generator) -> str:
    """A text with a share of its words lost, sometimes its end too, and typing errors in a quarter of that share of its
    letters. What is damaged is never empty."""
    words = text.split()
    words = [w for w in words if random.random() >= share] or words[:1]
    if random.random() < 0.5:
        words = words[: max(1, round(len(words) * (1 - share)))]
    letters = list(" ".join(words))
    for at in np.flatnonzero(random.random(len(letters)) < share / 4):
        if letters[at] == " " or letters[at] == "\ufffd":
            continue
        how = int(random.integers(3))  # twice, not at all, or after its neighbour
        if how == 0:
            letters[at] *= 2
        elif how == 1:
            letters[at] = ""
        elif at + 1 < len(letters) and letters[at + 1] not in (" ", "\ufffd"):
            letters[at], letters[at + 1] = letters[at + 1], letters[at]
    return "".join(letters) if "".join(letters).strip() else text
