"""Texts in any language -> token ids, by a tokenizer that is trained on the training split.

``words`` splits at white space and punctuation (small vocabularies, languages with spaces). ``bpe`` is
byte-level byte-pair encoding (Sennrich et al. 2016): any language and any script, nothing unknown.
Ids: 0 is padding, 1 is a word that training never saw.
"""

from __future__ import annotations

import hashlib
import unicodedata
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from ..parts import ModalitySettings
from .cell import Absent, Unreadable, is_empty

PAD, UNKNOWN = 0, 1
MAX_CHARACTERS = 100_000  # what a tokenizer is given at the most


class Settings(ModalitySettings):
    """Settings of a text modality."""

    kind: Literal["text"] = "text"
    tokens: Literal["words", "bpe"] = "bpe"
    vocabulary: int = Field(8000, ge=300, le=200_000)  # entries at the most
    length: int = Field(64, ge=1, le=4096)  # tokens at the most; what is longer is cut
    lowercase: bool = True


def load(settings: Settings, value: Any, root: Path) -> tuple[str, str]:
    """A cell -> hash of the normalised text and the text."""
    text = decode(settings, _content(value))
    return hashlib.blake2b(text.encode("utf-8"), digest_size=16).hexdigest(), text


def decode(settings: Settings, content: str) -> str:
    """Composed Unicode (NFC), white space folded; a text with nothing left is absent."""
    text = unicodedata.normalize("NFC", content[:MAX_CHARACTERS].replace("\x00", " "))
    text = " ".join(text.encode("utf-8", "replace").decode("utf-8").split())
    if not text:
        raise Absent("empty text")
    return text.lower() if settings.lowercase else text


def stored(settings: Settings) -> None:
    """Texts have no fixed shape before the tokenizer is trained."""
    return


def blank(settings: Settings) -> str:
    """What fills an absent slot."""
    return ""


def fit(settings: Settings, items: list[str]) -> dict:
    """Train the tokenizer on the training texts; the statistics hold it whole, as JSON."""
    tokenizer = _words() if settings.tokens == "words" else _bytes()
    special = ["[PAD]", "[UNK]"]
    if settings.tokens == "words":
        trainer = trainers.WordLevelTrainer(vocab_size=settings.vocabulary, special_tokens=special, show_progress=False)
    else:
        trainer = trainers.BpeTrainer(
            vocab_size=settings.vocabulary,
            special_tokens=special,
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        )
    tokenizer.train_from_iterator(items, trainer)
    longest = max((len(e.ids) for e in tokenizer.encode_batch(items)), default=1)
    return {
        "vocabulary": tokenizer.get_vocab_size(),
        "length": int(min(settings.length, longest)),
        "tokenizer": tokenizer.to_str(),
    }


def encode(settings: Settings, statistics: dict, items: list[str]) -> np.ndarray:
    """Texts -> (U, L) int32 ids, padded with 0; L is the longest here, at most the recipe's length."""
    encodings = _load(statistics["tokenizer"]).encode_batch(list(items))
    cut = [e.ids[: statistics["length"]] or [UNKNOWN] for e in encodings]
    ids = np.zeros((len(cut), max((len(c) for c in cut), default=1)), dtype=np.int32)
    for row, tokens in enumerate(cut):
        ids[row, : len(tokens)] = tokens
    return ids


def _content(value: Any) -> str:
    if is_empty(value):
        raise Absent("empty text" if isinstance(value, str) else "empty cell")
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError as error:
            raise Unreadable(f"not UTF-8: {error.reason} at byte {error.start}") from None
    if isinstance(value, (dict, list, tuple, np.ndarray)):
        raise Unreadable(f"expected a text, got {type(value).__name__}")
    return str(value)


@lru_cache(maxsize=16)
def _load(tokenizer: str) -> Tokenizer:
    made = Tokenizer.from_str(tokenizer)
    made.encode_special_tokens = True  # a text that spells "[PAD]" is only a text
    return made


def _words() -> Tokenizer:
    tokenizer = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer


def _bytes() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer
