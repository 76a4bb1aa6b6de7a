"""Networks are built and tried as a run would, for every kind of target, before there is a run."""

from __future__ import annotations

import numpy as np
import pytest

from suffuse.evaluation.training_time import estimate_training, synthetic_columns
from suffuse.model import FusionModel
from suffuse.prepare.check.findings import Sample
from suffuse.recipe import make_recipe
from suffuse.types import Field, Head, Spec

FIELDS = (
    Field("picture", "image", {"size": 16, "mean": [0.5] * 3, "std": [0.25] * 3}),
    Field("question", "text", {"vocabulary": 12, "length": 6}),
)
HEADS = {
    "classes": Head("answer", "classes", ("a", "b", "c")),
    "labels": Head("answer", "labels", ("a", "b")),
    "number": Head("answer", "number"),
}


def sample(*kinds: str, cells: float = 0.5) -> Sample:
    random = np.random.default_rng(0)
    entries = {
        "picture": random.integers(0, 256, (5, 16, 16, 3), dtype=np.uint8),
        "question": random.integers(1, 12, (7, 6), dtype=np.int32),
    }
    heads = tuple(HEADS[k] if len(kinds) == 1 else Head(f"answer_{k}", k, HEADS[k].classes) for k in kinds)
    return Sample(FIELDS, entries, {"picture": cells, "question": cells}, heads)


def recipe(*kinds: str):
    def network(width: int) -> dict:
        encoders = {"picture": {"kind": "conv", "widths": [width]}, "question": {"kind": "gru", "width": width}}
        return {"encoders": encoders, "fusion": {"kind": "gated", "width": width}}

    names = ["answer"] if len(kinds) == 1 else [f"answer_{k}" for k in kinds]
    return make_recipe(
        {
            "data": {
                "source": "x",
                "target": names,
                "tasks": {n: {"kind": k} for n, k in zip(names, kinds, strict=True)},
            },
            "modalities": {
                "picture": {"kind": "image", "column": "p", "size": 16},
                "question": {"kind": "text", "column": "q"},
            },
            "teacher": {**network(8), "train": {"batch": 12}},
            "student": network(4),
            "distill": {"train": {"batch": 20}},
        }
    )


@pytest.mark.parametrize("kinds", [("classes",), ("labels",), ("number",), ("classes", "labels", "number")])
def test_every_kind_of_target(kinds):
    made, some = recipe(*kinds), sample(*kinds)
    found = estimate_training(made, some)
    spec = Spec(FIELDS, some.heads, (0.0,) * sum(h.outputs for h in some.heads))
    teacher = FusionModel(made.teacher.bare(), spec)
    assert found["teacher"]["parameters"] == teacher.size()
    assert found["teacher"]["kept"] == spec.outputs + teacher.joint + sum(teacher.widths().values()) + 2  # two gates
    assert 0 < found["student"]["step"] < 60 and 0 < found["teacher"]["step"] < 60


def test_maps_and_second_answers_are_tried_too():
    made, some = recipe("classes"), sample("classes")
    raw = made.model_dump(mode="json")
    raw["distill"]["train"]["modality_dropout"] = 0.5
    raw["distill"]["losses"] = {
        "where": {"kind": "attention_transfer", "map": "picture"},
        "fewer": {"kind": "subset_consistency"},
        "counts": {"kind": "gate_transfer"},
    }
    found = estimate_training(make_recipe(raw), some)
    assert found["teacher"]["kept"] == estimate_training(made, some)["teacher"]["kept"] + 16
    assert 0 < found["student"]["step"] < 60


def test_a_batch_has_as_many_different_entries_as_the_table_s_would():
    spec = Spec(FIELDS, (HEADS["classes"],), (0.0,) * 3)
    for cells, wanted in ((1.0, 64), (0.25, 16), (0.001, 4)):  # rows of one content stand together, 16 at the most
        columns = synthetic_columns(sample("classes", cells=cells), spec, 64)
        assert [len(e) for e in columns.entries.values()] == [wanted] * 2
        assert all(len(np.unique(columns.entry[:, m])) == wanted for m in range(2))
