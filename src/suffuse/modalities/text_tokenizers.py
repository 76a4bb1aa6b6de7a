"""Tokenizers of texts: trained on the training split, pretrained, or a library's, all as Hugging Face tokenizers."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from ..errors import UsageError
from ..files import package_file
from ..registry import optional
from .cell import pieces

if TYPE_CHECKING:
    from .text import Settings

PADS = ("[PAD]", "<pad>", "<PAD>", "[pad]", "<|pad|>", "<|padding|>", "<blank>")  # how padding is called


@lru_cache(maxsize=16)
def load_tokenizer(tokenizer: str, length: int = 0) -> Tokenizer:
    """From its JSON; with a length, what is longer is cut before special tokens are set around it."""
    made = Tokenizer.from_str(tokenizer)
    made.encode_special_tokens = True  # a text that spells "[PAD]" is only a text
    made.no_padding()  # rows are padded here; one that comes from anywhere could ask for terabytes
    if length:
        made.enable_truncation(length)
    return made


def word_level(vocabulary: dict[str, int]) -> str:
    """The JSON of a tokenizer that names the words of hashed n-grams, to show them; :func:`encode` doesn't use it.

    tokenizers before 0.23 print a line to standard output where they write ids with holes, so the words are put into
    the JSON of a tokenizer that has none.
    """
    tokenizer = Tokenizer(models.WordLevel({}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    facts = json.loads(tokenizer.to_str())
    facts["model"]["vocab"] = dict(sorted(vocabulary.items(), key=lambda word: word[1]))
    return json.dumps(facts, ensure_ascii=False, separators=(",", ":"))


def train_tokenizer(settings: Settings, items: Sequence[str]) -> Tokenizer:
    """A tokenizer of words or byte pairs, trained on these texts."""
    special: list[Any] = ["[PAD]", "[UNK]"]
    size = settings.vocabulary
    if settings.tokens == "bpe":
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        tokenizer.decoder = decoders.ByteLevel()
        letters = sorted(pre_tokenizers.ByteLevel.alphabet())
        trainer: Any = trainers.BpeTrainer(
            vocab_size=size, special_tokens=special, initial_alphabet=letters, show_progress=False
        )
    else:
        tokenizer = Tokenizer(models.WordLevel(unk_token="[UNK]"))
        whole = settings.tokens == "words"
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace() if whole else pre_tokenizers.WhitespaceSplit()
        trainer = trainers.WordLevelTrainer(vocab_size=size, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(
        chain.from_iterable(tokenizer_input(settings, piece) for piece in pieces(items)), trainer
    )
    return tokenizer


def pretrained_tokenizer(settings: Settings) -> tuple[Tokenizer, int]:
    """The given tokenizer, as it is but for its own ideas of padding and length, and its padding's id."""
    where = "modalities: tokenizer"
    file = package_file(str(settings.tokenizer), "tokenizer.json", where=where)
    try:
        tokenizer = Tokenizer.from_str(file.read_text(encoding="utf-8"))
    except Exception as error:  # the library raises no class of its own
        raise UsageError("can't read the tokenizer", where=file, got=str(error).splitlines()[0]) from None
    special = tokenizer.num_special_tokens_to_add(False)
    if settings.length <= special:
        got, expected = f"{settings.length} tokens", f"more than its {special} special ones"
        raise UsageError("no room for a text", where="modalities: length", got=got, expected=expected)
    names = [tokenizer.padding["pad_token"]] if tokenizer.padding else []
    ids = [i for name in (*names, *PADS) if (i := tokenizer.token_to_id(name)) is not None]
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer, ids[0] if ids else max(tokenizer.get_vocab().values()) + 1


def tokenizer_input(settings: Settings, piece: list[str]) -> list[str]:
    """What the tokenizer is given: the texts; cut by a library into words with a space between them."""
    if settings.tokenizer is not None or settings.tokens not in ("nltk", "spacy"):
        return piece
    words = word_splitter(settings.tokens, settings.language)
    return [" ".join(w.replace(" ", "\u2581") for w in words(text) if w.strip()) for text in piece]


@lru_cache(maxsize=8)
def word_splitter(tokens: str, language: str | None) -> Callable[[str], list[str]]:
    """A library's cutter of words; neither needs any language data. Raises UsageError where it isn't installed."""
    if tokens == "nltk":
        return optional("nltk.tokenize.destructive", "words").NLTKWordTokenizer().tokenize
    spacy = optional("spacy", "words")
    try:
        made = spacy.blank(language)
    except (ImportError, ValueError) as error:
        got = str(error).splitlines()[0]
        raise UsageError("spaCy can't cut this language into words", where=f"language '{language}'", got=got) from None
    return lambda text: [token.text for token in made.make_doc(text)]
