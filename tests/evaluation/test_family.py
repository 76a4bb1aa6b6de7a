"""Verdicts of a run as a family: which are claimed beside how many, and against which baselines."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from suffuse import evaluation_log
from suffuse.checked_json import write_checked
from suffuse.evaluation.comparisons import References, comparisons
from suffuse.evaluation.family import family_verdicts
from suffuse.evaluation.intervals import UNBOUNDED, Size
from suffuse.evaluation.metrics import draw
from suffuse.evaluation.verdict import compare, holm
from suffuse.types import Head, Spec


def record(why: str = "trained", epochs: tuple[int, ...] = (), ahead: bool = True) -> dict[str, Any]:
    """What convergence.json holds of a student of 8 epochs."""
    settled = why in ("trained", "longer", "no lead")
    doubts = [] if why in ("trained", "no lead") else ["training score"]
    facts = {"settled": settled, "why": why, "claimed": 0.1, "training_gap": 0.08, "doubts": doubts}
    facts |= {
        "deviations": {"student": 0.0, "baseline": 0.0},
        "lengths": [{"epochs": e, "ahead": ahead} for e in epochs],
    }
    return {"epochs": 8, "baseline_epochs": 8, "automatic": why != "off", "comparisons": {"student": facts}}


def entry(p: float | None, difference: float = 0.1, **more: Any) -> dict[str, Any]:
    return {"about": "distillation", "who": "student", "against": "baseline", "difference": difference, "p": p,
            "longer": [], **more}  # fmt: skip


def longer(p: float, difference: float = 0.1, factor: int = 2) -> dict[str, Any]:
    return {"against": f"baseline-x{factor}", "factor": factor, "difference": difference, "p": p}


def verdict(facts: dict[str, Any], convergence: dict[str, Any] | None) -> str:
    return family_verdicts([facts], 0.95, convergence)[0]["verdict"]


@pytest.mark.parametrize(
    ("facts", "why", "expected"),
    [
        (entry(0.01), "trained", "helps"),
        (entry(0.06), "trained", "no evidence"),
        (entry(0.01, -0.1), "trained", "hurts"),
        (entry(None), "trained", "no evidence"),
        (entry(0.01, longer=[longer(0.01)]), "longer", "helps"),
        (entry(0.01, longer=[longer(0.2)]), "longer", "faster"),
        (entry(0.01, longer=[longer(0.001, -0.1)]), "longer", "faster"),
        (entry(0.01, longer=[longer(0.2), longer(0.01, factor=4)]), "longer", "faster"),
        (entry(0.2, longer=[longer(0.01)]), "longer", "no evidence"),
        (entry(0.01, -0.1, longer=[longer(0.01, -0.2)]), "longer", "hurts"),
        (entry(0.01, longer=[longer(0.01)]), "rising", "faster"),
        (entry(0.01), "off", "faster"),
    ],
)
def test_to_help_a_student_beats_every_baseline_of_a_settled_comparison(facts, why, expected):
    assert verdict(facts, record(why, (16,))) == expected


def test_a_baseline_that_caught_up_on_validation_rows_is_not_beaten():
    facts = entry(0.01, longer=[longer(0.01)])
    assert verdict(facts, record("longer", (16,))) == "helps"
    assert verdict(facts, record("longer", (16,), ahead=False)) == "faster"


def test_without_a_record_of_convergence_nothing_helps():
    assert verdict(entry(0.01), None) == "faster"
    (facts,) = family_verdicts([entry(0.01)], 0.95, None)
    assert facts["settled"] is False and facts["why"] == "unknown" and facts["reason"]


def test_the_reason_names_the_doubt_and_the_last_length():
    (facts,) = family_verdicts([entry(0.01, longer=[longer(0.3)])], 0.95, record("longer", (16,)))
    assert facts["settled"] is True
    assert facts["reason"] == (
        "of the claimed difference of 0.1000 the training rows have 0.0800; the baseline stopped rising at 16 epochs"
    )
    assert [length["epochs"] for length in facts["longer"]] == [16] and facts["epochs"] == 8


def test_holm_multiplies_the_smallest_by_all_and_each_next_by_one_less():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.02, 0.011, 0.02]) == pytest.approx([0.04, 0.033, 0.04])
    assert holm([None, 0.02]) == [None, pytest.approx(0.04)] and holm([0.7, 0.9]) == [1.0, 1.0] and holm([]) == []


def test_one_of_four_verdicts_needs_a_p_value_of_a_quarter():
    entries = [entry(0.02), *(entry(0.5, who=f"student-0.{n}") for n in range(1, 4))]
    first, *_ = family_verdicts(entries, 0.95, record())
    assert (first["verdict"], first["p_adjusted"], first["family"]) == ("no evidence", 0.08, 4)
    entries[0]["p"] = 0.01
    assert family_verdicts(entries, 0.95, record())[0]["verdict"] == "helps"


@budget(deadline=None, max_examples=100)
@given(st.lists(st.floats(-0.02, 0.1), min_size=2, max_size=8), st.floats(0.001, 0.02), st.floats(0, 0.02))
def test_p_values_and_intervals_agree(values, rows, own):
    random = np.random.default_rng(0)
    common = rows * random.standard_normal(200)
    ours = [np.concatenate([[v], v + common + own * random.standard_normal(200)]) for v in values]
    facts = compare(ours, [np.zeros(201)] * len(values), 0.95, UNBOUNDED, Size(200, 50), plan=False)
    assert (facts["p"] <= 0.05) is (facts["verdict"] != "no evidence")


SPEC = Spec((), (Head("answer", "classes", ("no", "yes")),), (0.0, 0.0))


def measured(*accuracies: float) -> list[dict[str, np.ndarray]]:
    return [{"accuracy": np.full(101, accuracy)} for accuracy in accuracies]


def test_lengths_are_multiples_of_the_baselines_own_epochs():
    facts = record("longer", (24,)) | {"baseline_epochs": 12}
    (found,) = family_verdicts([entry(0.001, longer=[longer(0.001)])], 0.95, facts)
    assert (found["epochs"], found["baseline_epochs"], found["longer"][0]["epochs"]) == (8, 12, 24)


def test_longer_baselines_of_the_same_share_are_compared_in_order():
    metrics = {
        "student": measured(0.9, 0.92), "baseline": measured(0.7, 0.71), "baseline-x4": measured(0.9, 0.93),
        "baseline-x2": measured(0.8, 0.8), "student-0.5": measured(0.7, 0.7), "baseline-0.5": measured(0.6, 0.6),
        "baseline-0.5-x2": measured(0.6, 0.6),
    }  # fmt: skip
    rows = np.tile([1.0, 0.0], (40, 1))
    target, draws = np.zeros(40, dtype=np.int64), draw(np.arange(40), 100, 0.95)
    references = References("", record("longer", (16, 32)), (1,))
    whole, half = comparisons(metrics, {m: [rows] for m in metrics}, (SPEC, target), "accuracy", draws, references)
    assert [length["against"] for length in whole["longer"]] == ["baseline-x2", "baseline-x4"]
    assert [length["against"] for length in half["longer"]] == ["baseline-0.5-x2"]
    assert whole["per_seed"] == {"student": [0.9, 0.92], "baseline": [0.7, 0.71]} and whole["earlier_seeds"] == [1]
    assert whole["longer"][1]["per_seed"] == [0.9, 0.93] and whole["family"] == 2
    assert (whole["verdict"], half["verdict"], half["why"]) == ("faster", "faster", "unknown")


def stamp(folder: Any, moment: str, verb: str, **facts: Any) -> None:
    place = folder / "previous" / moment
    place.mkdir(parents=True, exist_ok=True)
    write_checked(place / f"{verb}.stamp.json", {"inputs": {}, **facts})


def test_fewer_seeds_that_were_evaluated_before_are_known(tmp_path):
    stamp(tmp_path, "1", "distill", digest="a", inputs={"distill.num_seeds": 3})
    stamp(tmp_path, "1", "evaluate", inputs={"stage distill": "a"})
    stamp(tmp_path, "2", "distill", digest="b", inputs={"distill.num_seeds": 4})  # nobody saw its scores
    assert evaluation_log.earlier_seeds(tmp_path, 5) == [3]
    assert evaluation_log.earlier_seeds(tmp_path, 3) == []
