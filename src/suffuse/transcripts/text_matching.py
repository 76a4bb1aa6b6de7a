"""Another recogniser's text in the units of a run: what is normalised, and what isn't in the units.

Characters that some unit has stay as they are. Of the others, in this order:

1. The Unicode NFKC form (full-width letters, ligatures), its lower case or its upper case, where the units have it.
2. Punctuation (Unicode P*): dashes and connectors become a space, other marks go.

White space is folded. Numbers stay as they are written: "3" isn't "three". A text that then holds a unit that the run
doesn't have can't be used; nothing is replaced by something that sounds alike.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from ..types import BLANK, Head
from .units import normalise, split

DASHES = ("Pd", "Pc")  # Unicode categories of dashes and connectors


@dataclass(frozen=True)
class TextMatcher:
    """Turns texts into outputs of a head of kind ``tokens``."""

    units: str
    outputs: dict[str, int]  # unit -> output 1..V-1
    characters: frozenset[str]  # all that the units have, and a space

    @classmethod
    def of(cls, head: Head) -> TextMatcher:
        """For the units of this head."""
        outputs = {unit: code for code, unit in enumerate(head.classes, BLANK + 1)}
        return cls(head.units, outputs, frozenset("".join(head.classes)) | {" "})

    def normalised(self, text: str) -> str:
        """The text with the run's case and punctuation."""
        return normalise("".join(map(self._character, normalise(text))))

    def encode(self, text: str) -> tuple[int, ...] | None:
        """A normalised text -> its outputs; None where it has a unit that the run doesn't have."""
        codes = [self.outputs.get(unit) for unit in split(text, self.units)]
        known = tuple(code for code in codes if code is not None)
        return known if len(known) == len(codes) else None

    def _character(self, character: str) -> str:
        if character in self.characters:
            return character
        plain = unicodedata.normalize("NFKC", character)
        for form in (plain, plain.lower(), plain.upper()):
            if self.characters.issuperset(form):
                return form
        category = unicodedata.category(character)
        if not category.startswith("P"):
            return character
        return " " if category in DASHES else ""
