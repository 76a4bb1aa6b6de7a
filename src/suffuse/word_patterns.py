"""Words in any script."""

from __future__ import annotations

import re
import sys
import unicodedata
from functools import lru_cache

# scripts that set no spaces between words: Thai, Lao, Burmese, Khmer, Japanese, Chinese
UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)


def stem(word: str) -> str:
    """A word in lower case, without the ending of an English plural; a rule of thumb, the same for both."""
    word = word.casefold()
    if word.endswith(("ches", "shes", "sses", "xes", "zes")):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") and len(word) > 3 else word


@lru_cache(maxsize=1)
def word_pattern() -> re.Pattern[str]:
    """A word: letters, digits and the marks that belong to them (vowel signs, accents, joiners); _ and - part words."""
    marks = [c for c in map(chr, range(sys.maxunicode + 1)) if unicodedata.category(c)[0] == "M"]
    spans: list[list[int]] = []
    for code in map(ord, marks):
        if spans and spans[-1][1] == code - 1:
            spans[-1][1] = code
        else:
            spans.append([code, code])
    inside = "".join(f"\\U{a:08x}-\\U{b:08x}" for a, b in spans)
    return re.compile(f"[^\\W_](?:[^\\W_]|[{inside}\u200c\u200d])*")
