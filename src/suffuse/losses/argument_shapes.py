"""Shapes of the arguments of loss functions, checked where a user calls one: the error names argument and shape.

A shape is written as in docstrings: ``B C``. A letter is one size in all arguments of a call; ``...`` stands for any
further axes. Trainings call the functions without this check: their arrays come from networks and stores.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, wraps
from typing import Any

from ..errors import UsageError
from ..types import CLASSES, LABELS, TOKENS

LOGITS = {"student": "B C", "teacher": "B C", "target": "B", "weight": "B"}
EQUAL = {"student": "B D", "teacher": "B D", "weight": "B"}
FRAMES = {"student": "B T V", "teacher": "B T V", "weight": "B"}
FEATURES = {"student": "B D_s", "teacher": "B D_t", "logits": "B C"}
SHAPES: dict[str, Mapping[str, str]] = {
    **dict.fromkeys(("kd", "dkd", "nkd", "dist", "lskd", "js", "reverse_kd", "multilabel_kd"), LOGITS),
    "task": {"student": "B C", "weight": "B"},  # and its target, as the kind of target wants it
    "hard_label": {"student": "B C", "label": "B", "weight": "B"},
    "regression_kd": {"student": "B ...", "teacher": "B ...", "target": "B", "weight": "B"},
    **dict.fromkeys(("ctc_kd", "guided_ctc", "sequence_kd"), FRAMES),
    "hint": EQUAL,
    "crd": EQUAL,
    **dict.fromkeys(("similarity", "rkd_distance", "rkd_angle", "cka", "entropy_relations"), FEATURES),
    "affinity": {"student": "B ...", "teacher": "B ..."},
    "attention_transfer": {"student": "B ...", "teacher": "B ...", "weight": "B"},
    "query_attention_transfer": {"student": "B Q K", "teacher": "B Q K", "weight": "B"},
    "gate_transfer": {"student": "B M", "teacher": "B M", "present": "B M", "weight": "B"},
    "modality_hints": {"student": "B D", "teacher": "B D", "present": "B", "weight": "B"},
    "cross_modal_relation": {"student": "B D_s", "teacher": "B D_t"},
    "subset_consistency": {"student": "B C ...", "full_logits": "B C ...", "weight": "B"},
}


@cache
def checked(kind: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A loss function that first checks its arguments' shapes. Raises UsageError for one that doesn't fit."""
    signature, shapes = inspect.signature(function), SHAPES[kind]

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        arguments = signature.bind(*args, **kwargs).arguments
        sizes: dict[str, tuple[int, str]] = {}
        for name, value in arguments.items():
            shape = _target_shape(arguments) if kind == "task" and name == "target" else shapes.get(name)
            if shape is not None:
                for label, tensor in _tensors(name, value):
                    _check(kind, label, tensor, shape, sizes)
        return function(*args, **kwargs)

    return call


def _target_shape(arguments: Mapping[str, Any]) -> str:
    """Of the task loss: labels have a column each, sequences their own, classes and numbers one value a row."""
    return {LABELS: "B C", TOKENS: "B L"}.get(getattr(arguments.get("head"), "kind", CLASSES), "B")


def _tensors(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The tensors of an argument, which may be several, by modality or in order."""
    if isinstance(value, Mapping):
        yield from ((f"{name}['{key}']", tensor) for key, tensor in value.items())
    elif isinstance(value, (list, tuple)):
        yield from ((f"{name}[{number}]", tensor) for number, tensor in enumerate(value))
    elif value is not None:
        yield name, value


def _check(kind: str, name: str, tensor: Any, shape: str, sizes: dict[str, tuple[int, str]]) -> None:
    """Compare one tensor with its shape, and with the sizes of those before it, to which its own are added."""
    import torch

    letters, where = shape.split(), f"{kind}: {name}"
    if not isinstance(tensor, torch.Tensor):
        raise UsageError("this argument is no tensor", where=where, got=type(tensor).__name__, expected=_text(letters))
    plain = [letter for letter in letters if letter != "..."]
    got, several = tuple(tensor.shape), "[" in name
    fits = len(got) >= len(plain) if "..." in letters else len(got) == len(plain)
    wanted = [sizes.get(_scope(letter, name, several)) for letter in plain]
    if fits and all(known is None or known[0] == size for known, size in zip(wanted, got, strict=False)):
        for letter, size in zip(plain, got, strict=False):
            sizes.setdefault(_scope(letter, name, several), (size, name))
        return
    expected = _text(letters)
    if known := {letter: size for letter, size in zip(plain, wanted, strict=True) if size}:
        expected += ", " + ", ".join(f"{letter} = {size} as in {source}" for letter, (size, source) in known.items())
    raise UsageError("this argument has another shape", where=where, got=_text(map(str, got)), expected=expected)


def _scope(letter: str, name: str, several: bool) -> str:
    """What a size is compared by: of several tensors each has widths of its own, and all have the same rows."""
    return letter + name[name.index("[") :] if several and letter != "B" else letter


def _text(letters: Any) -> str:
    parts: Sequence[str] = list(letters)
    return f"({', '.join(parts)}{',' if len(parts) == 1 else ''})"
