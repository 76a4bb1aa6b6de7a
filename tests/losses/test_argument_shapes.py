"""A loss function called with arguments of other shapes names the argument, its shape and the expected one."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch

from suffuse import UsageError, losses
from suffuse.losses.argument_shapes import SHAPES
from suffuse.types import LABELS, NUMBER, Head


def x(*shape: int) -> torch.Tensor:
    return torch.rand(shape)


TARGET = torch.tensor([0, 1, 2, 0])
CASES: list[tuple[str, tuple[Any, ...], dict[str, Any], str]] = [
    ("kd", (x(4, 3), x(4, 5)), {"temperature": 2.0}, "kd: teacher): got (4, 5), expected (B, C), B = 4 as in student"),
    ("kd", (x(4, 3), x(2, 3)), {"temperature": 2.0}, "kd: teacher): got (2, 3), expected (B, C), B = 4 as in student"),
    ("kd", (x(3), x(3)), {"temperature": 2.0}, "kd: student): got (3,), expected (B, C)"),
    ("kd", (x(4, 3), x(4, 3)), {"temperature": 2.0, "weight": x(4, 1)}, "kd: weight): got (4, 1), expected (B,)"),
    ("task", (x(4, 3), x(4, 3)), {}, "task: target): got (4, 3), expected (B,), B = 4 as in student"),
    ("task", (x(4, 3), x(4)), {"head": Head("t", LABELS, ("a", "b", "c"))}, "task: target): got (4,), expected (B, C)"),
    ("hard_label", (x(4, 3), TARGET[:3]), {}, "hard_label: label): got (3,), expected (B,), B = 4 as in student"),
    ("dkd", (x(4, 3), x(4, 3), TARGET[:, None], 2.0, 1.0, 1.0), {}, "dkd: target): got (4, 1), expected (B,)"),
    ("hint", (x(4, 3), x(4, 5)), {}, "hint: teacher): got (4, 5), expected (B, D), B = 4 as in student, D = 3"),
    ("rkd_distance", (x(4, 3), x(5, 9)), {}, "rkd_distance: teacher): got (5, 9), expected (B, D_t), B = 4"),
    ("gate_transfer", (x(4, 2), x(4, 2), x(4, 3) > 0), {}, "gate_transfer: present): got (4, 3), expected (B, M)"),
    ("modality_hints", ({"a": x(4, 3)}, {"a": x(4, 2)}), {}, "modality_hints: teacher['a']): got (4, 2)"),
    ("cross_modal_relation", ([x(4, 3), x(3, 3)], [x(4, 3), x(4, 3)]), {}, "cross_modal_relation: student[1]): got"),
    ("subset_consistency", (x(4, 3), x(4, 2)), {"temperature": 1.0}, "subset_consistency: full_logits): got (4, 2)"),
    ("query_attention_transfer", (x(4, 2, 5), x(4, 5)), {}, "query_attention_transfer: teacher): got (4, 5)"),
    ("kd", (x(4, 3), [[0.5] * 3] * 4), {"temperature": 2.0}, "kd: teacher[0]): got list, expected (B, C)"),
    ("kd", (x(4, 3), x(4, 3).numpy()), {"temperature": 2.0}, "kd: teacher): got ndarray, expected (B, C)"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "args", "more", "words"), CASES, ids=[c[3].partition("):")[0] for c in CASES])
def test_an_argument_of_another_shape_is_named(name: str, args: Any, more: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        getattr(losses, name)(*args, **more)
    assert words in caught.value.line()


def test_every_tensor_of_every_function_has_a_shape() -> None:
    assert set(SHAPES) == set(losses.KINDS)
    for kind, shapes in SHAPES.items():
        parameters = inspect.signature(getattr(losses, kind)).parameters
        tensors = {name for name, p in parameters.items() if "Tensor" in str(p.annotation)} - {"target"}
        assert tensors <= set(shapes), kind


def test_what_fits_is_computed_as_without_the_check() -> None:
    from suffuse.losses.kinds.kd import kd

    student, teacher = x(4, 3), x(4, 3)
    assert losses.kd is losses.kd and losses.kd is not kd
    assert torch.equal(losses.kd(student, teacher, 2.0), kd(student, teacher, 2.0))
    assert losses.regression_kd(x(4), x(4)).shape == losses.regression_kd(x(4, 1), x(4, 1)).shape == ()
    assert losses.task(x(4, 1), x(4), head=Head("n", NUMBER)).shape == ()
    assert losses.modality_hints({"a": x(4, 3), "b": x(4, 2)}, {"a": x(4, 3), "b": x(4, 2)}).shape == ()
