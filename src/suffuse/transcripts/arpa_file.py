r"""ARPA files, the common form of n-gram language models (SRILM, KenLM): base-10 logarithms, a line per n-gram.

    \data\
    ngram 1=4
    \1-grams:
    -0.6<tab>a<tab>-0.3        log p, the units, and the back-off where there is one
    \end\

Units stand apart by spaces or tabs, so a space that is a unit itself is written ``<space>``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from ..errors import UsageError
from ..files import new_file, plain_file
from .ngram_language_model import END, NEVER, RESERVED, START, UNKNOWN_UNIT, NgramLanguageModel, State

SPACE = "<space>"
LARGEST_FILE = 2**29  # bytes; read, a model takes several times as much memory
LONGEST_LINE = 2**14
LARGEST_ORDER = 20
PER_DECADE = math.log(10)
HINT = "write it again, e.g. by KenLM's lmplz --arpa FILE"
SECTION, COUNT = re.compile(r"\\(\d{1,3})-grams:"), re.compile(r"ngram (\d{1,3})\s*=\s*(\d{1,12})")


def write_arpa(model: NgramLanguageModel, path: Path) -> None:
    """Write a model as an ARPA file. Raises UsageError where a unit can't stand in one."""
    words = [_written(unit) for unit in model.vocabulary]
    ngrams: dict[int, list[State]] = {n: [] for n in range(1, model.order + 1)}
    ngrams[1].append((model.number(START),))
    for history, known in model.followers.items():
        ngrams[len(history) + 1] += [(*history, w) for w in known]
    with new_file(path) as file:
        counts = "".join(f"ngram {n}={len(own)}\n" for n, own in ngrams.items())
        file.write(f"\\data\\\n{counts}".encode())
        for n, own in ngrams.items():
            file.write(f"\n\\{n}-grams:\n".encode())
            for ngram in sorted(own):
                value = model.followers.get(ngram[:-1], {}).get(ngram[-1], NEVER)
                line = f"{value / PER_DECADE:.12g}\t{' '.join(words[w] for w in ngram)}"
                if ngram in model.backoffs:
                    line += f"\t{model.backoffs[ngram] / PER_DECADE:.12g}"
                file.write(f"{line}\n".encode())
        file.write(b"\n\\end\\\n")


def _written(unit: str) -> str:
    if unit == " ":
        return SPACE
    if unit == SPACE or not unit or re.search(r"\s", unit):
        raise UsageError(
            "an ARPA file can't hold this unit", got=repr(unit), expected=f"no spaces inside, and not {SPACE}"
        )
    return unit


def read_arpa(path: Path) -> NgramLanguageModel:
    """The model that an ARPA file holds.

    Raises FileNotFoundError where there is none; UsageError, naming file and line, where it is too large or no whole
    ARPA file.
    """
    with plain_file(path).open("rb") as file:
        size = file.seek(0, 2)
        if size > LARGEST_FILE:
            raise UsageError(
                "the language model is too large", where=path, got=f"{size:,} bytes",
                expected=f"at most {LARGEST_FILE:,}", hint="prune it, e.g. by lmplz --prune",
            )  # fmt: skip
        file.seek(0)
        return _Reader(path, iter(lambda: file.readline(LONGEST_LINE + 1), b"")).model()


class _Reader:
    """The lines of a file, and what they have said so far."""

    def __init__(self, path: Path, lines: Iterator[bytes]):
        self.path, self.lines, self.number = path, lines, 0
        self.vocabulary: dict[str, int] = {unit: number for number, unit in enumerate(RESERVED)}
        self.followers: dict[State, dict[int, float]] = {}
        self.backoffs: dict[State, float] = {}

    def model(self) -> NgramLanguageModel:
        """The whole file."""
        while (line := self.next("\\data\\")) != "\\data\\":
            if SECTION.fullmatch(line):
                self.refuse(line, "\\data\\ first")
        counts, line = self.counts()
        for n, count in enumerate(counts, 1):
            if line != f"\\{n}-grams:":
                self.refuse(line, f"\\{n}-grams:")
            line = self.section(n, count, n == len(counts))
        if line != "\\end\\":
            self.refuse(line, "\\end\\")
        first = self.followers.get((), {})
        for unit in (START, END):
            if self.vocabulary[unit] not in first:
                raise UsageError(
                    "a language model lacks a unit that every one has", where=self.path, expected=unit, hint=HINT
                )
        first.setdefault(self.vocabulary[UNKNOWN_UNIT], NEVER)
        first.pop(self.vocabulary[START])  # it follows nothing
        # KenLM writes a back-off of 1 after all that nothing follows: such histories say no more than shorter ones
        backoffs = {history: factor for history, factor in self.backoffs.items() if factor or history in self.followers}
        return NgramLanguageModel(len(counts), tuple(self.vocabulary), self.followers, backoffs)

    def counts(self) -> tuple[list[int], str]:
        """How many n-grams the header names for each order, and the line after it."""
        counts: list[int] = []
        while found := COUNT.fullmatch(line := self.next("ngram 1=COUNT")):
            if int(found[1]) != len(counts) + 1 or len(counts) == LARGEST_ORDER:
                self.refuse(line, f"ngram {len(counts) + 1}=COUNT, of at most {LARGEST_ORDER} units")
            counts.append(int(found[2]))
        if not counts:
            self.refuse(line, "ngram 1=COUNT")
        return counts, line

    def section(self, n: int, count: int, last: bool) -> str:
        """The n-grams of one order; the line after them."""
        seen = 0
        while not (line := self.next(f"{count:,} n-grams of {n} units")).startswith("\\"):
            seen += 1
            if seen > count:
                self.refuse(f"more n-grams of {n} units", f"{count:,}, as the header says")
            self.ngram(line, n, last)
        if seen != count:
            self.refuse(f"{seen:,} n-grams of {n} units", f"{count:,}, as the header says")
        return line

    def ngram(self, line: str, n: int, last: bool) -> None:
        """One n-gram: its log-probability, its units, and maybe its back-off."""
        fields = re.split("[ \t]+", line)
        if len(fields) not in (n + 1, n + 2):
            self.refuse(line[:60], f"a logarithm, {n} units, and maybe a back-off")
        value = self.logarithm(fields[0])
        if value > 0:
            self.refuse(fields[0], "a logarithm of a probability, at most 0")
        units = [" " if unit == SPACE else unit for unit in fields[1 : n + 1]]
        if n == 1:
            self.vocabulary.setdefault(units[0], len(self.vocabulary))
        ngram = tuple(self.vocabulary.get(unit, -1) for unit in units)
        if -1 in ngram:
            self.refuse(f"'{units[ngram.index(-1)]}'", "a unit that stands among the 1-grams")
        if n > 1 and ngram[-2] not in self.followers.get(ngram[:-2], {}):
            self.refuse(f"'{' '.join(units)}'", f"that its beginning stands among the {n - 1}-grams")
        known = self.followers.setdefault(ngram[:-1], {})
        if ngram[-1] in known:
            self.refuse(f"'{' '.join(units)}' once more", "each n-gram once")
        known[ngram[-1]] = value
        if len(fields) == n + 2 and not last:
            self.backoffs[ngram] = self.logarithm(fields[-1])

    def logarithm(self, text: str) -> float:
        """A base-10 logarithm as a natural one; -99 and less is a probability of 0."""
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if math.isnan(value) or value == math.inf:
            self.refuse(f"'{text}'", "a logarithm")
        return max(value * PER_DECADE, NEVER)

    def next(self, expected: str) -> str:
        """The next line that isn't empty."""
        for content in self.lines:
            self.number += 1
            if len(content) > LONGEST_LINE:
                self.refuse(f"more than {LONGEST_LINE:,} bytes", "a line of an ARPA file")
            try:
                line = content.decode("utf-8").strip(" \t\r\n")
            except UnicodeDecodeError as error:
                self.refuse(error, "UTF-8")
            if line:
                return line
        return self.refuse("the end of the file", expected)

    def refuse(self, got: object, expected: str) -> NoReturn:
        """Raise UsageError about the current line."""
        where = f"{self.path}:{self.number}"
        raise UsageError("this is no whole ARPA file", where=where, got=got, expected=expected, hint=HINT)
