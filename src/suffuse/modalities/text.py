"""Texts in any language -> token ids, by a tokenizer that is trained on the training split, or a given one.

``words`` splits at white space and punctuation (small vocabularies, languages with spaces); ``nltk`` and ``spacy``
split as these libraries do. ``bpe`` is byte-level byte-pair encoding (Sennrich et al. 2016): any language and any
script, nothing unknown. Ids: 0 is padding, 1 is a word that training never saw. ``ngrams`` gives a set of hashed
n-grams of words and characters instead of a sequence (:mod:`suffuse.modalities.text_ngrams`), for the encoder `ngrams`.

With ``tokenizer`` a pretrained one is used as it is, special tokens ([CLS], [SEP]) and unknown words included; but
0 is padding all the same. Where its own padding has another id, that is ``pad`` in the statistics, and the two ids
are swapped; where it has none, ``pad`` is a new id at the end of the vocabulary, swapped with 0 too.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from ..errors import UsageError, listed
from ..registry import ModalitySettings, PartDocs
from ..registry import Statistics as BaseStatistics
from . import text_ngrams
from .cell import Absent, Root, Unreadable, is_empty, limits_of, pieces
from .item_synthesis import runs_of_words
from .text_damage import damage
from .text_tokenizers import (
    load_tokenizer,
    pretrained_tokenizer,
    tokenizer_input,
    train_tokenizer,
    word_level,
    word_splitter,
)

PAD, UNKNOWN = 0, 1
MAX_CHARACTERS = 100_000  # what a tokenizer is given at the most
DRAWS = 2  # numbers that one augmented view takes
DROPPED = 0.2  # of the tokens at the most
LAYOUT = "int64 (rows, length), 0 is padding"

DOCS = PartDocs(
    summary="Text in any language to token ids.",
    example="title: {kind: text, column: [title, subtitle], tokens: words, length: 32}",
)
EXAMPLES = (
    {"tokens": "words", "vocabulary": 300, "length": 8},
    {"tokens": "bpe", "vocabulary": 300, "length": 8},
    {"tokens": "ngrams", "vocabulary": 300, "length": 40},
)


class Settings(ModalitySettings):
    """Settings of a text modality."""

    FILES: ClassVar[tuple[str, ...]] = ("tokenizer",)

    kind: Literal["text"] = "text"
    column: str | tuple[str, ...] = Field(
        description="Column, or a list of columns whose texts are joined in this order; empty ones are skipped."
    )
    tokens: Literal["words", "bpe", "ngrams", "nltk", "spacy"] = Field(
        default="bpe",
        description=(
            "Tokenizer that is trained on the training split: `words` (split at spaces and punctuation), `bpe` "
            "(subwords, for any language and script), `nltk`, `spacy`; or `ngrams`: hashed n-grams of words and "
            "characters, for the encoder `ngrams`."
        ),
    )
    vocabulary: int = Field(
        default=8000,
        ge=300,
        le=200_000,
        description="Largest vocabulary; with `ngrams` the number of ids that n-grams are hashed to.",
    )
    word_ngrams: int = Field(default=2, ge=1, le=5, description="With `ngrams`: the longest run of words.")
    char_ngrams: tuple[int, int] | None = Field(
        default=(3, 5),
        description=("With `ngrams`: lengths of character n-grams, the shortest and the longest; none: words only."),
    )
    length: int = Field(default=64, ge=1, le=4096, description="Cut longer texts to this many tokens.")
    lowercase: bool = Field(default=True, description="Fold case.")
    language: str | None = Field(
        default=None, description="Language of `tokens: spacy`: `en`, `zh`, `ar`, ... or `xx`."
    )
    tokenizer: str | None = Field(
        default=None, description="Pretrained tokenizer instead: a `tokenizer.json`, its folder, or `package:NAME`."
    )
    augment: bool = Field(
        default=False, description="Drop up to a fifth of the tokens in training views, if `train.augment` is set."
    )
    separator: str = Field(default=" | ", description="Text between the texts of several columns.")

    @model_validator(mode="after")
    def _spoken(self) -> Settings:
        if self.tokens == "spacy" and self.tokenizer is None and not self.language:
            raise ValueError("language: got none, expected the code of one for 'tokens: spacy', e.g. en, zh or xx")
        if self.char_ngrams and not 1 <= self.char_ngrams[0] <= self.char_ngrams[1] <= 10:
            low, high = self.char_ngrams
            raise ValueError(f"char_ngrams: got [{low}, {high}], expected the shortest and the longest, from 1 to 10")
        return self

    @property
    def hashing(self) -> text_ngrams.Hashing | None:
        """How ``tokens: ngrams`` become ids; None for all other tokens."""
        if self.tokens != "ngrams" or self.tokenizer is not None:
            return None
        return text_ngrams.Hashing.of(self.vocabulary, self.word_ngrams, self.char_ngrams)


class Statistics(BaseStatistics):
    """Of the training texts, as :func:`fit` has it."""

    vocabulary: int = Field(ge=1, le=2**31 - 1)
    length: int = Field(ge=1, le=2**31 - 1)
    tokenizer: str
    pad: int = Field(default=PAD, ge=0, le=2**31 - 2)
    idf: list[float] | None = None  # of n-grams, the inverse document frequency of each id; not in an export

    def check(self, settings: Settings) -> None:
        """Raises ValueError where the tokenizer can't be read, or gives ids that the model doesn't have."""
        if settings.hashing and self.vocabulary != settings.vocabulary:
            raise ValueError(f"vocabulary: got {self.vocabulary:,}, expected the settings' {settings.vocabulary:,}")
        try:
            ids = load_tokenizer(self.tokenizer, self.length).get_vocab().values()
            given = encode(settings, self.model_dump(), [""]).max()
        except (KeyboardInterrupt, SystemExit, UsageError):
            raise
        except BaseException as error:  # the library raises no class of its own, and where it panics no Exception
            raise ValueError(f"tokenizer: {next(iter(str(error).splitlines()), type(error).__name__)}") from None
        if (most := max(*ids, self.pad, int(given))) >= self.vocabulary:
            raise ValueError(f"the tokenizer has the id {most:,}, expected less than {self.vocabulary:,}")


def ready(settings: Settings, fitted: bool) -> None:
    """Raises UsageError where a library, or the file of a tokenizer that isn't in statistics yet, is lacking."""
    if settings.tokenizer is not None:
        if not fitted:
            pretrained_tokenizer(settings)
    elif settings.tokens in ("nltk", "spacy"):
        word_splitter(settings.tokens, settings.language)


def load(settings: Settings, value: Any, root: Path | Root) -> tuple[str, str]:
    """A cell, or a dictionary of cells -> hash of the normalised text and the text."""
    found = _content(value) if isinstance(settings.column, str) else _joined(settings, value)
    if len(found) > (most := limits_of(root).characters):
        raise Unreadable(f"{len(found):,} characters: too long, expected at most {most:,}")
    text = decode(settings, found)
    return hashlib.blake2b(text.encode("utf-8"), digest_size=16).hexdigest(), text


def decode(settings: Settings, content: str) -> str:
    """Composed Unicode (NFC), white space folded; a text with nothing left is absent."""
    text = content[:MAX_CHARACTERS].replace("\x00", " ")
    if not text.isascii():
        text = unicodedata.normalize("NFC", text).encode("utf-8", "replace").decode("utf-8")
    text = " ".join(text.split())
    if not text:
        raise Absent("empty text")
    return text.lower() if settings.lowercase and settings.tokenizer is None else text


def stored(settings: Settings) -> None:
    """Texts have no fixed shape before the tokenizer is trained."""
    return


def blank(settings: Settings) -> str:
    """What fills an absent slot."""
    return ""


def fit(settings: Settings, items: Sequence[str]) -> dict:
    """Train the tokenizer on the training texts, or take the given one; the statistics hold it whole, as JSON."""
    facts: dict[str, Any] = {}
    if settings.hashing:
        words, idf = text_ngrams.fit(settings.hashing, chain.from_iterable(pieces(items)))
        written, size, facts = word_level({"[PAD]": PAD, "[UNK]": UNKNOWN, **words}), settings.vocabulary, {"idf": idf}
    elif settings.tokenizer is not None:
        tokenizer, facts["pad"] = pretrained_tokenizer(settings)
        written, size = tokenizer.to_str(), max(max(tokenizer.get_vocab().values()), facts["pad"]) + 1
    else:
        tokenizer = train_tokenizer(settings, items)
        written, size = tokenizer.to_str(), tokenizer.get_vocab_size()
    facts = {"vocabulary": size, "length": settings.length, "tokenizer": written, **facts}
    if not facts.get("pad", 1):  # padding is 0 as it comes
        del facts["pad"]
    longest = max((encode(settings, facts, piece).shape[1] for piece in pieces(items)), default=1)
    return {**facts, "length": longest}


def encode(settings: Settings, statistics: dict, items: Sequence[str]) -> np.ndarray:
    """Texts -> (U, L) int32 ids, padded with 0; L is the longest here, at most the recipe's length."""
    length, pad = statistics["length"], statistics.get("pad", PAD)
    if settings.hashing:
        encoded = [text_ngrams.encode(settings.hashing, length, piece) for piece in pieces(items)]
        return _stacked(encoded)
    tokenizer = load_tokenizer(statistics["tokenizer"], length)
    if len(items) == 1:  # a single record: without the threads that a batch is cut by
        (text,) = tokenizer_input(settings, items if isinstance(items, list) else next(pieces(items)))
        ids = np.array([_ids(tokenizer.encode(text).ids, pad)], dtype=np.int32)
        return ids if pad == PAD else swap(ids, pad)
    rows: list[list[int]] = []
    for piece in pieces(items):
        rows.extend(e.ids for e in tokenizer.encode_batch_fast(tokenizer_input(settings, piece)))
    kept = [_ids(r, pad) for r in rows]
    lengths = np.array([len(r) for r in kept], dtype=np.int64)
    ids = np.full((len(kept), lengths.max(initial=1)), pad, dtype=np.int32)
    ids[np.arange(ids.shape[1]) < lengths[:, None]] = np.fromiter(chain.from_iterable(kept), np.int32, lengths.sum())
    return swap(ids, pad)


def _ids(row: list[int], pad: int) -> list[int]:
    """A text's ids: one that spells padding has none of it, and one without any is unknown."""
    return ([i for i in row if i != pad] if pad in row else row) or [UNKNOWN]


def swap(ids: np.ndarray, pad: int) -> np.ndarray:
    """Ids of a pretrained tokenizer <-> ids of the model: 0 and its own padding change places."""
    return ids if pad == PAD else np.where(ids == pad, PAD, np.where(ids == PAD, pad, ids))


def texts(settings: Settings, statistics: dict, entries: np.ndarray) -> list[str]:
    """Encoded entries (U, L) -> texts, as far as their tokens tell; an unknown word is one strange sign."""
    tokenizer = load_tokenizer(statistics["tokenizer"])
    rows = [row[row != PAD] for row in entries]
    rows = [swap(row, statistics.get("pad", PAD)).tolist() for row in rows]
    if settings.tokenizer is not None or tokenizer.decoder is not None:
        return [tokenizer.decode(row, skip_special_tokens=settings.tokenizer is not None) for row in rows]
    if settings.hashing:  # only ids of words have a token
        return [" ".join(token for i in row if i != UNKNOWN and (token := tokenizer.id_to_token(i))) for row in rows]
    return [" ".join("\ufffd" if i == UNKNOWN else tokenizer.id_to_token(i) or "\ufffd" for i in row) for row in rows]


def augment(settings: Settings, entries: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Token dropout: (U, L) and draws (U, 2) in [0, 1) -> (U, L). Up to a fifth of a text's tokens go, one stays.

    Of our own tokenizers they become 1, the unknown word, which is trained that way; of a pretrained one, whose 1 is
    something else, they are taken out, but for the first and the last, which may be special.
    """
    places = np.arange(entries.shape[1])
    seed = (draws[:, 1:2] * 2.0**53).astype(np.uint64)
    chance = _mixed(seed + (places[None] + 1).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15))
    real = entries != PAD
    chance = np.where(real, chance, -1.0)
    kept = (chance >= DROPPED * draws[:, :1]) | (chance == chance.max(1, keepdims=True))
    if settings.tokenizer is None:
        return np.where(real & ~kept, UNKNOWN, entries).astype(entries.dtype)
    kept |= (places[None] == 0) | (places[None] == real.sum(1, keepdims=True) - 1)
    order = np.argsort(~(kept & real), axis=1, kind="stable")
    moved = np.take_along_axis(entries, order, axis=1)
    return np.where(places[None] < (kept & real).sum(1, keepdims=True), moved, PAD).astype(entries.dtype)


def synthesise(
    settings: Settings, items: Sequence[str], copies: int, random: np.random.Generator
) -> Iterator[list[str]]:
    """``copies`` times a run of words of each text."""
    return runs_of_words(items, copies, random)


def as_cells(settings: Settings, item: str) -> dict[str, str]:
    """The text in the first of the columns."""
    return dict.fromkeys(settings.columns, "") | {settings.columns[0]: item}


def corrupt(settings: Settings, statistics: dict, entries: np.ndarray, severity: int, seed: int) -> np.ndarray:
    """Typing errors, lost words and a lost end, on 5 to 30 % of a text; (U, L) -> (U, L).

    What happens to a text depends on itself and the seed alone.
    """
    share = (0.05, 0.1, 0.15, 0.2, 0.3)[severity - 1]
    damaged = []
    for row, text in zip(entries, texts(settings, statistics, entries), strict=True):
        own = hashlib.blake2b(row[row != PAD].astype("<i4").tobytes(), digest_size=8).digest()
        damaged.append(damage(text, share, np.random.default_rng([seed, severity, int.from_bytes(own, "little")])))
    made = encode(settings, statistics, damaged)[:, : entries.shape[1]]
    return np.pad(made, ((0, 0), (0, entries.shape[1] - made.shape[1]))).astype(entries.dtype)


def traced(statistics: dict) -> np.ndarray:
    """Three entries for the export; a network may have no more positions than the longest text."""
    return np.ones((3, min(17, max(2, statistics["length"]))), dtype=np.int64)


def axes(statistics: dict) -> tuple[int | None, ...]:
    """Of an entry: (L,)."""
    return (None,)


def examples(settings: Settings) -> list[Any]:
    """Questions in several languages and scripts."""
    return ["A red circle?", "请问这是什么", "ما لون الدائرة؟", "ünï 🎉", "a red red square, please: now!"]


def explain(settings: Settings, statistics: dict) -> list[str]:
    """What is done to a text."""
    how = {
        "words": "cut at spaces and punctuation",
        "ngrams": f"hashed: {_ngram_names(settings)}",
        "bpe": "cut into pieces of words, learnt from the training texts",
        "nltk": "cut into words by NLTK",
        "spacy": f"cut into words by spaCy ({settings.language})",
    }[settings.tokens]
    how = "cut by the given tokenizer" if settings.tokenizer is not None else how
    folded = " and lower case" if settings.lowercase and settings.tokenizer is None else ""
    columns = ", ".join(settings.columns)
    joined = [f"The columns {columns} are joined by '{settings.separator}'; empty ones are skipped."]
    known, longest = statistics["vocabulary"], statistics["length"]
    return [
        *(joined if not isinstance(settings.column, str) else []),
        f"White space is folded; Unicode is composed (NFC){folded}.",
        f"The text is {how}: {known:,} different tokens, of a text the first {longest:,}.",
    ]


def _joined(settings: Settings, value: Any) -> str:
    """The texts of several columns in their order, with the separator between them."""
    if not isinstance(value, dict):
        if is_empty(value):
            raise Absent("empty cell")
        raise Unreadable(f"expected a cell for each of {listed(settings.columns)}, got {type(value).__name__}")
    found = []
    for name in settings.columns:
        try:
            text = _content(value.get(name))
        except Absent:
            continue
        except Unreadable as error:
            raise Unreadable(f"{name}: {error}") from None
        if text.replace("\x00", " ").strip():
            found.append(text)
    return settings.separator.join(found)


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


def _stacked(parts: list[np.ndarray]) -> np.ndarray:
    """(U_i, L_i) ids -> (U, L), padded."""
    if len(parts) == 1:
        return parts[0]
    longest = max((part.shape[1] for part in parts), default=1)
    padded = [np.pad(part, ((0, 0), (0, longest - part.shape[1]))) for part in parts]
    return np.concatenate(padded) if padded else np.zeros((0, 1), np.int32)


def _ngram_names(settings: Settings) -> str:
    words = "words" if settings.word_ngrams == 1 else f"runs of 1 to {settings.word_ngrams} words"
    if not settings.char_ngrams:
        return words
    return f"{words}, and {settings.char_ngrams[0]} to {settings.char_ngrams[1]} neighbouring characters of each word"


def _mixed(numbers: np.ndarray) -> np.ndarray:
    """uint64 -> uniform in [0, 1), by SplitMix64 (Steele et al. 2014): the same numbers give the same chance."""
    z = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((z ^ (z >> np.uint64(31))) >> np.uint64(11)).astype(np.float64) / 2.0**53
