"""``suffuse.testing``: a user's own parts pass the checks, and a broken one is told what is wrong."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from suffuse import testing, user_parts

FILE = Path(__file__).parents[1] / "e2e" / "own_parts.py"


@pytest.fixture(scope="module")
def own() -> ModuleType:
    """The parts that the tests of whole runs use."""
    return user_parts.import_file(FILE, "own parts")


@pytest.fixture(autouse=True)
def nothing_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(user_parts.VARIABLE, "")
    monkeypatch.setattr(user_parts, "_loaded", {})


def test_parts_of_one_s_own_pass(own: ModuleType) -> None:
    testing.check_loss(own.SquaredLogits)
    testing.check_loss(own.SquaredLogits, [{"scale": 3.0}])
    testing.check_fusion(own.MeanFusion, export=False)
    testing.check_modality(own.TextSize)
    testing.check_encoder(own.MeanColour, export=False)
    testing.check_encoder(own.Linear, modality=own.TextSize, export=False)


@pytest.mark.slow
def test_what_can_be_exported_is_compared(own: ModuleType) -> None:
    testing.check_encoder(own.MeanColour)


@pytest.mark.slow
@pytest.mark.long
def test_a_fusion_that_can_be_exported_is_compared(own: ModuleType) -> None:
    testing.check_fusion(own.MeanFusion)


def test_a_teacher_of_one_s_own_passes(own: ModuleType, prepared_run: Any) -> None:
    testing.check_teacher(own.FirstClass, prepared_run, {"certainty": 1.5})


def test_suffuse_s_own_kinds_can_be_named() -> None:
    testing.check_loss("kd")
    testing.check_fusion("gated", export=False)


def broken(part: type, **members: Any) -> type:
    return type(f"Broken{part.__name__}", (part,), members)


def test_a_broken_loss_is_told(own: ModuleType) -> None:
    def pulls_teacher(self: Any, settings: Any, layers: Any, student: Any, teacher: Any, target: Any) -> Any:
        return (student.logits - teacher["logits"]).square().mean()

    def reads_more(self: Any, settings: Any, layers: Any, student: Any, teacher: Any, target: Any) -> Any:
        return (
            own.SquaredLogits().loss(settings, layers, student, teacher, target) + 0 * teacher["fused"].detach().sum()
        )

    def sums(self: Any, settings: Any, layers: Any, student: Any, teacher: Any, target: Any) -> Any:
        return (student.logits - teacher["logits"].detach()).square().sum()

    for loss, words in ((pulls_teacher, "reaches the teacher"), (reads_more, "fused"), (sums, "not close")):
        with pytest.raises((AssertionError, KeyError), match=words):
            testing.check_loss(broken(own.SquaredLogits, loss=loss))


def test_a_broken_fusion_is_told(own: ModuleType) -> None:
    from suffuse.types import Fused

    def ignores_mask(self: Any, settings: Any, layers: Any, encoded: Any, present: Any) -> Any:
        return Fused(torch.stack([layers[str(m)](e.vector) for m, e in enumerate(encoded)]).mean(0))

    with pytest.raises(AssertionError, match="absent slot is read"):
        testing.check_fusion(broken(own.MeanFusion, fuse=ignores_mask), export=False)


def test_a_broken_encoder_is_told(own: ModuleType) -> None:
    from suffuse.types import Encoded

    def centred(settings: Any, layers: Any, x: Any) -> Any:
        vectors = layers["linear"](x.mean((2, 3)))
        return Encoded(vectors - vectors.mean(0))

    with pytest.raises(AssertionError, match="depends on others"):
        testing.check_encoder(broken(own.MeanColour, encode=staticmethod(centred)), export=False)


def test_a_broken_modality_and_teacher_are_told(own: ModuleType, prepared_run: Any) -> None:
    def plain(self: Any, settings: Any, value: Any, root: Any) -> Any:
        return str(value), str(value)

    with pytest.raises((AssertionError, ValueError)):
        testing.check_modality(broken(own.TextSize, load=plain))
    opened = own.FirstClass().open

    def sees_all(self: Any, settings: Any, raw: Any, heads: Any, where: str) -> Any:
        source = opened(settings, raw, heads, where)
        answer = source.answer
        source.answer = lambda rows, hidden: {k: np.nan_to_num(v) for k, v in answer(rows, frozenset()).items()}
        return source

    with pytest.raises(AssertionError, match="may see nothing"):
        testing.check_teacher(broken(own.FirstClass, open=sees_all), prepared_run)
