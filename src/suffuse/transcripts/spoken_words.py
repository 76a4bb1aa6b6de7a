"""When which word was said: units with their frames, merged into words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .ctc_decoding import Hypothesis
from .units import CJK, units_of


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a decoded transcript."""

    text: str
    start: int  # its first frame
    end: int  # the frame after its last
    confidence: float  # the mean of its units'


def words_of(hypothesis: Hypothesis, units: str, classes: Sequence[str]) -> list[Word]:
    """A hypothesis -> its words. Units of kind ``words`` are words; of ``characters``, a word is what stands between
    spaces, and each CJK character, as :func:`suffuse.transcripts.units.tokens_of` has them."""
    words: list[Word] = []
    open_places: list[int] = []
    texts = units_of(hypothesis.units, classes)

    def close() -> None:
        if open_places:
            first, last = hypothesis.frames[open_places[0]], hypothesis.frames[open_places[-1]]
            confidence = sum(hypothesis.confidences[place] for place in open_places) / len(open_places)
            words.append(Word("".join(texts[place] for place in open_places), first[0], last[1], confidence))
            open_places.clear()

    for place, text in enumerate(texts):
        if units == "words" or CJK.fullmatch(text) or text.isspace():
            close()
        if not text.isspace():
            open_places.append(place)
        if units == "words" or CJK.fullmatch(text):
            close()
    close()
    return words
