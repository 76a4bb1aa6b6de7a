"""Targets that are sequences of units: transcripts -> units of training rows, what is stored of each row, and frames.

CTC (Graves et al. 2006) gives a label to every frame of the recording, so a transcript of U units, of which R equal the
unit before, needs U + R frames. A training row whose recording has fewer can't be learned from its transcript.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from ..errors import SuffuseError, UsageError
from ..recipe import Task
from ..registry import ModalitySettings
from ..transcripts.units import codes_of, split
from ..types import TIMED, TOKENS, UNLABELLED, Head

MAX_UNITS = 10_000
MAX_OUTPUTS = 1_000_000  # of a row: frames times units


def head(name: str, task: Task, values: Sequence[str | None], is_train: np.ndarray) -> Head:
    """The head of transcripts: the units of training rows, sorted. Its frames are known when the recordings are read.

    Raises SuffuseError where there are fewer than two units, or too many.
    """
    sequences = [() if value is None else split(value, task.units) for value in values]
    units = sorted({unit for sequence, train in zip(sequences, is_train, strict=True) if train for unit in sequence})
    if not 2 <= len(units) <= MAX_UNITS:
        got, expected = f"{len(units):,} different {task.units}", f"2 to {MAX_UNITS:,} in training rows"
        hint = f"data.tasks.{name}.units: characters" if len(units) > MAX_UNITS else ""
        raise SuffuseError("nothing to learn", where=f"column '{name}'", got=got, expected=expected, hint=hint)
    longest = max(map(len, sequences), default=0)
    return Head(name, TOKENS, tuple(units), weight=task.weight, units=task.units, length=longest)


def encode(head: Head, values: Sequence[str | None]) -> np.ndarray:
    """(N, 1 + L) int32: how many units, then each unit's output; V of one that training never has. -1 all over where
    there is no transcript."""
    encoded = np.full((len(values), head.columns), UNLABELLED, dtype=np.int32)
    rows = [row for row, value in enumerate(values) if value is not None]
    for row, codes in zip(rows, codes_of((values[r] or "" for r in rows), head.units, head.classes), strict=True):
        encoded[row, : 1 + len(codes)] = [len(codes), *codes]
    return encoded


def unseen(head: Head, value: str) -> list[str]:
    """The units of a transcript that no training row has."""
    known = set(head.classes)
    return sorted({unit for unit in split(value, head.units) if unit not in known})


def timed(modalities: Mapping[str, ModalitySettings], network: Sequence[str]) -> str:
    """The modality of a network along which a transcript's frames lie: its first recording, in the recipe's order. A
    recipe whose network has none was refused (:func:`suffuse.recipe.sequence_targets.check`)."""
    return next(name for name, settings in modalities.items() if name in network and settings.kind in TIMED)


def recordings(
    modalities: Mapping[str, ModalitySettings], networks: Iterable[Sequence[str]], name: str
) -> dict[str, float]:
    """The recordings along which the networks' frames lie -> length of a step in the unit of
    :attr:`suffuse.types.Head.frame`: seconds of ``audio``, 1 of ``sequence``.

    Raises UsageError where one is of ``audio`` and another of ``sequence``.
    """
    names = dict.fromkeys(timed(modalities, network) for network in networks)
    kinds = {modalities[n].kind for n in names}
    if len(kinds) > 1:
        got, expected = ", ".join(f"{n}: {modalities[n].kind}" for n in names), "recordings of one kind"
        raise UsageError("frames of different kinds", where=f"data.tasks.{name}", got=got, expected=expected)
    return {n: modalities[n].step if modalities[n].kind == "audio" else 1.0 for n in names}  # pyright: ignore


def framed(head: Head, task: Task, lengths: Mapping[str, int], steps: Mapping[str, float]) -> Head:
    """The head with its frames. ``lengths``: recording -> steps of its longest training entry; ``steps``: the length of
    one, as :func:`recordings` gives it.

    Raises UsageError where a frame isn't a number of steps, or a row would have too many outputs.
    """
    frame = task.frame if set(steps.values()) == {1.0} else task.frame / 1000
    for name, step in steps.items():
        ratio = frame / step
        if ratio < 1 - 1e-6 or abs(ratio - round(ratio)) > 1e-6:
            unit = "" if step == 1.0 else " milliseconds"
            expected = f"a multiple of {1 if step == 1.0 else 1000 * step:g}{unit}, the step of modality '{name}'"
            raise UsageError(
                "frames don't fit", where=f"data.tasks.{head.name}.frame", got=task.frame, expected=expected
            )
    frames = max(math.ceil(count * steps[name] / frame - 1e-9) for name, count in lengths.items())
    found = replace(head, frames=frames, frame=frame)
    if found.outputs > MAX_OUTPUTS:
        got, expected = f"{frames:,} frames of {head.frame_outputs:,} outputs", f"at most {MAX_OUTPUTS:,} numbers a row"
        hint = f"a longer data.tasks.{head.name}.frame, or cut recordings (modalities.NAME.seconds)"
        raise UsageError("too many outputs", where=f"data.tasks.{head.name}", got=got, expected=expected, hint=hint)
    return found


def needed_frames(target: np.ndarray) -> np.ndarray:
    """(N, 1 + L) -> (N,) frames that each transcript needs at least; 0 where there is none."""
    count, codes = np.maximum(target[:, 0], 0), target[:, 1:]
    inside = np.arange(1, codes.shape[1]) < count[:, None]
    repeated = ((codes[:, 1:] == codes[:, :-1]) & inside).sum(1) if codes.shape[1] > 1 else 0
    return count + repeated
