"""The shipped recipes, as benchmarks run them: as they are, or, after :func:`as_toys`, so small that a run takes
seconds."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Collection, Sequence
from pathlib import Path

from suffuse import Run

RECIPES = Path(__file__).resolve().parents[1] / "recipes"
BRIEF = (
    "teacher.train.epochs=1", "teacher.num_seeds=2", "distill.train.epochs=1", "distill.num_seeds=2",
    "export.int8=off", "export.teacher=false",
    "evaluate.resamples=100", "evaluate.controls=false", "evaluate.probes=[size]",
)  # fmt: skip
CONV = "{kind: conv, widths: [4], stride: 2}"
TOYS: dict[str, tuple[str, ...]] = {  # nothing pretrained, one pass, two seeds, narrow networks
    "products": (
        *BRIEF,
        "teacher.unimodal_baselines=false",
        "modalities.photo.size=16",
        "modalities.photo_large={kind: image, column: image, size: 16}",
        "modalities.title_pieces={kind: text, column: text_masked, tokens: words, length: 8}",
        f"teacher.encoders.photo_large={CONV}",
        "teacher.encoders.title_pieces={kind: bag, embedding: 4}",
        "teacher.fusion.width=8",
        "teacher.hidden=8",
        f"student.encoders.photo={CONV}",
        "student.encoders.title.embedding=4",
        "student.fusion.width=8",
        "student.hidden=8",
    ),
    "easy-vqa": (
        *BRIEF,
        "data.split.validation=0.4",
        "modalities.picture.size=16",
        f"teacher.encoders.picture={CONV}",
        "teacher.encoders.question={kind: gru, embedding: 4, width: 8}",
        f"student.encoders.picture={CONV}",
        "student.encoders.question={kind: gru, embedding: 4, width: 4}",
    ),
    "orders": (
        *BRIEF,
        "data.split.validation=0.2",
        "modalities.speech={kind: audio, column: audio, rate: 8000, mels: 8, seconds: 1}",
        "modalities.sound.mels=16",
        "modalities.sound.seconds=1",
        "teacher.encoders.speech.width=8",
        "teacher.encoders.transcript.width=8",
        "student.encoders.sound.channels=[4, 4]",
        "student.encoders.sound.width=8",
        "student.encoders.sound.depth=1",
    ),
    "digits": (
        *BRIEF,
        "teacher.fusion={kind: frames, width: 8, depth: 0}",
        "student.fusion={kind: frames, width: 8, depth: 0}",
    ),
    "houses": (
        *BRIEF,
        "modalities.photos.size=16",
        f"teacher.encoders.photos={CONV}",
        f"student.encoders.photos={CONV}",
    ),
}
_at_the_end: dict[str, tuple[str, ...]] = {}  # recipe -> what it is overridden with after everything else


def opened(recipe: str, folder: Path, overrides: Sequence[str]) -> Run:
    """A run of a shipped recipe with these overrides; of a toy, with the toy's after them."""
    return Run.open(RECIPES / f"{recipe}.yaml", (*overrides, *_at_the_end.get(recipe, ())), folder)


def toys() -> bool:
    """Whether recipes are toys."""
    return bool(_at_the_end)


def as_toys(data: Path) -> None:
    """Make every recipe that is opened from now on a toy, on data as ``toy_data.py`` writes them."""
    _at_the_end.update(TOYS)
    sys.path.insert(0, str(data))  # where its easy_vqa is


def folds_run(folds: int) -> range:
    """Which folds of a cross-validation are run: all; of a toy two."""
    return range(min(folds, 2) if toys() else folds)


def add_cases(parser: ArgumentParser, what: str, cases: Collection[str]) -> None:
    """Which cases are asked for: all, where none is named. ``choices`` refuses such a default in Python 3.11."""

    def known(name: str) -> str:
        if name not in cases:
            raise ArgumentTypeError(f"got {name}, expected {', '.join(cases)}")
        return name

    parser.add_argument(what, nargs="*", type=known, default=list(cases), metavar=f"{{{','.join(cases)}}}")


def add_toy(parser: ArgumentParser) -> None:
    """The switch ``--toy``."""
    parser.add_argument("--toy", action="store_true", help="tiny networks on what toy_data.py writes: a smoke test")


def arguments_of(parser: ArgumentParser) -> Namespace:
    """What is asked for. With ``--toy`` recipes are toys from then on, and nothing can be kept of it."""
    asked = parser.parse_args()
    if asked.toy and asked.write:
        parser.error("--toy measures nothing that --write could keep")
    if asked.toy:
        as_toys(asked.data.resolve())
    return asked
