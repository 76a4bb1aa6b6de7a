"""The parts of a search by themselves: the front, the median rule, the choice, what the evidence says, the study."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tuning_tools import ground

from suffuse.data.training_views import COMPLEMENTARY
from suffuse.recipe import to_yaml
from suffuse.tuning import heuristics, search_space
from suffuse.tuning.options import QUALITY, SMALL, STUDENT
from suffuse.tuning.pareto import dominates, front
from suffuse.tuning.reruns import choose, paired_difference
from suffuse.tuning.samplers import OptunaSampler
from suffuse.tuning.study import BEHIND, MIN_CURVES, Study, excess_cost, pruning_reason, score_at


def points(count: int, latency: bool) -> list[dict[str, Any]]:
    random = np.random.default_rng(count)
    return [
        {
            "quality": float(random.integers(5)) / 5,
            "latency": float(random.integers(5)) if latency else None,
            "size": int(random.integers(5)),
        }
        for _ in range(count)
    ]


@pytest.mark.parametrize("count", [1, 2, 30])
@pytest.mark.parametrize("latency", [True, False])
def test_the_front_has_no_dominated_point_and_dominates_all_others(count: int, latency: bool) -> None:
    every = points(count, latency)
    best = front(every)
    assert best and not any(dominates(a, b) for a in best for b in best)
    for one in every:
        assert one in best or any(dominates(b, one) or b == one for b in best)
    assert len({tuple(b.values()) for b in best}) == len(best)


def test_the_median_rule_by_hand() -> None:
    others = [([(0.5, q), (1.0, 0.9)], 100) for q in (0.2, 0.4, 0.6, 0.8)]
    assert pruning_reason([(0.25, 0.0)], 100, others) == ""  # too early
    assert pruning_reason([(0.25, 0.0), (0.5, 0.51)], 100, others) == ""
    assert "median" in pruning_reason([(0.25, 0.0), (0.5, 0.49)], 100, others)
    assert pruning_reason([(0.5, 0.0), (0.6, 0.0)], 100, others) == ""  # judged at this rung already
    assert pruning_reason([(0.5, 0.0)], 99, others) == ""  # all others are larger
    assert pruning_reason([(0.5, 0.0)], 100, others[: MIN_CURVES - 1]) == ""
    assert pruning_reason([(0.25, 0.7), (0.5, 0.1)], 100, others) == ""  # its best so far counts
    assert score_at([(0.5, 0.2), (1.0, 0.9)], 0.75) == 0.2
    assert score_at([(0.5, 0.2)], 0.75) is None


def scored(*means: float, noise: float = 0.0, seeds: int = 3) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    found = [np.full((seeds, 201), m) for m in means]
    for one in found:
        one[:, 1:] += noise * random.normal(size=(seeds, 200))  # the first column is the rows themselves
    return found


def test_a_candidate_must_beat_the_recipe_by_more_than_one_standard_error() -> None:
    assert choose(["recipe", "trial 1"], scored(0.8, 0.9), [10, 10], QUALITY).number == 1
    noisy = choose(["recipe", "trial 1"], scored(0.8, 0.81, noise=0.1), [10, 10], QUALITY)
    assert noisy.number == 0 and "within one standard error" in noisy.words
    assert choose(["recipe", "trial 1"], scored(0.9, 0.8), [10, 10], QUALITY).number == 0
    assert choose(["recipe", "trial 1"], scored(0.9, 0.9), [10, 20], QUALITY).number == 0
    assert choose(["recipe"], scored(0.9), [10], QUALITY).number == 0


def test_the_smallest_within_one_standard_error() -> None:
    names, sizes = ["recipe", "a", "b"], [100, 50, 20]
    assert choose(names, scored(0.9, 0.9, 0.5), sizes, SMALL).number == 1
    assert choose(names, scored(0.9, 0.8, 0.5), sizes, SMALL).number == 0
    assert choose(names, scored(0.9, 0.95, 0.95), sizes, SMALL).number == 2


def test_the_paired_error_is_that_of_the_difference() -> None:
    random = np.random.default_rng(1)
    shared = random.normal(0, 0.1, size=(1, 1001)).repeat(3, 0)
    gain, error = paired_difference(0.9 + shared, 0.8 + shared)  # what meets both cancels
    assert gain == pytest.approx(0.1) and error < 1e-9
    seeds = np.array([[0.0], [0.1], [0.2]]) + np.zeros((3, 2001))
    gain, error = paired_difference(seeds, np.zeros((3, 2001)))
    assert gain == pytest.approx(0.1)
    assert error == pytest.approx(np.std([0, 0.1, 0.2]) / np.sqrt(3), rel=0.05)  # of the mean of three drawn seeds


def facts(**student: Any) -> dict[str, Any]:
    return {"metric": "accuracy", "teacher": {}, "student": {"score": 0.8, "best_epochs": [1], **student}}


@pytest.mark.parametrize(
    "known, word, tried",
    [
        ({"teacher": {"validation_sure": {"score": 0.8, "ece": 0.1, "confidence": 0.93, "excess": 0.13}}},
         "overconfident", ("soft.dkd.temperature", 4.0)),
        ({"teacher": {"validation_sure": {"score": 0.9, "ece": 0.0, "confidence": 0.9, "excess": 0.0},
                      "train_sure": {"confidence": 0.999}}}, "sure of its training rows", ("hint", True)),
        (facts(without={"picture": 0.3, "question": 0.6}) | {"floors": {"question": 0.5, "picture": 0.4}}, "is missing",
         ("modality_dropout", "uniform")),
        (facts(gates={"picture": 0.9, "question": 0.1}) | {"teacher": {"gates": {"picture": 0.5, "question": 0.5}}},
         "drift", ("gate_transfer.weight", 10.0)),
        (facts(shares={"whole": 0.001}), "hardly anything", ("whole.kept", False)),
        (facts(best_epochs=[2, 2]), "still learning", ("epochs", 2.0)),
        (facts(best_epochs=[1, 1]), "best early", ("ema", 0.99)),
        (facts(train=0.99, validation={"score": 0.9}), "by heart", ("mixup", 0.3)),
        (facts(agreement=0.7), "answers as its teacher", ("picture.depth", 1)),
        (facts(spread=0.05), "seeds differ", ("ema", 0.99)),
        (facts() | {"baseline": {"score": 0.85}}, "doesn't help", ("labels.share", 0.5)),
    ],
)  # fmt: skip
def test_what_the_evidence_makes_worth_trying(tmp_path: Path, known: dict, word: str, tried: tuple[str, Any]) -> None:
    there, _ = ground(tmp_path, "everything")
    if word == "drift":
        losses = {n: loss for n, loss in there.recipe.distill.losses.items() if n != "gate_transfer"}
        distill = there.recipe.distill.model_copy(update={"losses": losses})
        there = dataclasses.replace(there, recipe=there.recipe.model_copy(update={"distill": distill}))
        tried = ("gate_transfer", True)
    found = heuristics.findings({"teacher": {}, **known}, there)
    one = next(f for f in found if word in f.because)
    key, value = tried
    assert any(t.get(key) == value for t in one.tries)
    points = [search_space.point_with(STUDENT, there, values) for values in one.tries]
    for values, point in zip(one.tries, points, strict=True):  # what is tried is something that the space asks
        assert any(name in point for name in values), values
    assert any(point != search_space.recipe_point(STUDENT, there) for point in points)


def test_a_student_that_is_weak_without_a_modality_is_tried_with_halves_where_subsets_count(tmp_path: Path) -> None:
    weak = facts(without={"picture": 0.3, "question": 0.6}) | {
        "floors": {"question": 0.5, "picture": 0.4},
        "teacher": {},
    }
    (tmp_path / "whole").mkdir()
    for kind, folder in (("subsets", tmp_path), ("two classes", tmp_path / "whole")):
        there, _ = ground(folder, kind)
        one = next(f for f in heuristics.findings(weak, there) if "is missing" in f.because)
        assert ({"modality_dropout": COMPLEMENTARY} in one.tries) == there.by_subsets == (kind == "subsets")
        assert ("checkpoint_metric: subsets" in one.because) != there.by_subsets
        tried = search_space.point_with(STUDENT, there, {"modality_dropout": COMPLEMENTARY})
        assert (tried["modality_dropout"] == COMPLEMENTARY) == there.by_subsets


def on_scorecards(student: dict[str, float], teacher: dict[str, float], **floors: float) -> dict[str, Any]:
    def card(scores: dict[str, float]) -> dict[str, Any]:
        return {"missing": {subset: {"mean": score} for subset, score in scores.items()}}

    return {"teacher": {}, "scorecards": {"student": card(student), "teacher": card(teacher), "floors": floors}}


def test_a_weak_subset_of_the_scorecards_is_tried_first(tmp_path: Path) -> None:
    there, _ = ground(tmp_path, "two classes")
    sure = {"validation_sure": {"score": 0.8, "ece": 0.1, "confidence": 0.93, "excess": 0.13}}
    scores = {"picture+question": 0.80, "picture": 0.70, "question": 0.50, "nothing": 0.1}
    known = on_scorecards(scores, {**scores, "picture+question": 0.82, "question": 0.60, "nothing": 0.5})
    first = heuristics.findings(known | {"teacher": sure}, there)[0]
    assert "on question alone 0.500 (teacher 0.600), on the scorecard" in first.because
    assert "picture alone" not in first.because and "nothing" not in first.because
    assert {"modality_dropout": "uniform", "subset_consistency": True} in first.tries
    point = search_space.point_with(STUDENT, there, first.tries[-1])
    assert point["modality_dropout"] == "uniform" and point["subset_consistency"] is True


def test_a_subset_below_one_modality_s_own_network_is_weak_and_as_far_below_as_on_all_is_not(tmp_path: Path) -> None:
    there, _ = ground(tmp_path, "two classes")
    scores = {"picture+question": 0.70, "picture": 0.60, "question": 0.50}
    above = {subset: score + 0.1 for subset, score in scores.items()}  # the gap is everywhere the same
    said = [f.because for f in heuristics.findings(on_scorecards(scores, above), there)]
    assert not any("is missing" in one for one in said)
    first = heuristics.findings(on_scorecards(scores, above, picture=0.65, question=0.505), there)[0]
    assert "on picture alone 0.600 (a network of one modality 0.650)" in first.because
    assert "question alone" not in first.because


def test_without_evidence_only_what_often_pays_is_tried(tmp_path: Path) -> None:
    there, _ = ground(tmp_path, "two classes")
    assert [f.because for f in heuristics.findings({"teacher": {}}, there)] == [
        "these often pay: longer trainings, averaged weights, gentle augmentation, the teacher's features"
    ]


def test_voices_of_another_speed_and_height_are_tried_where_the_recipe_augments_sound(tmp_path: Path) -> None:
    there, _ = ground(tmp_path, "queries")
    (common,) = heuristics.findings({"teacher": {}}, there)
    assert "voices faster and slower" in common.because
    first = search_space.point_with(STUDENT, there, common.tries[0])
    assert first["augment"] == "more" and first["ema"] == 0.99
    (tmp_path / "whole.yaml").write_text(to_yaml(there.recipe))  # as a search reads it: with every key
    again = dataclasses.replace(there, recipe=search_space.read_point(tmp_path / "whole.yaml", []))
    assert search_space.point_with(STUDENT, again, common.tries[0])["augment"] == "more"


def test_an_augmentation_that_there_isn_t_leaves_the_recipe_s(tmp_path: Path) -> None:
    there, _ = ground(tmp_path, "queries")
    train = there.recipe.distill.train.model_copy(update={"augment": True})
    distill = there.recipe.distill.model_copy(update={"train": train})
    there = dataclasses.replace(there, recipe=there.recipe.model_copy(update={"distill": distill}))
    assert search_space.point_with(STUDENT, there, {"augment": "gentle", "epochs": 2.0})["augment"] is True


def told(quality: float, size: int = 10) -> dict[str, Any]:
    return {"quality": quality, "latency": 1.0, "size": size, "over": 0.0, "validation": {"log_loss": 1.0}}


def test_the_study_is_kept_on_disk_and_goes_on(tmp_path: Path) -> None:
    there, _ = ground(tmp_path, "two classes")
    study = Study(tmp_path, "student", ("quality", "latency", "size"), 7)
    study.propose(search_space.recipe_point(STUDENT, there), "as it is", as_is=True)
    first = study.ask(3)
    assert first.user_attrs["as_is"]
    search_space.point(STUDENT, OptunaSampler(first, {}), there)
    study.tell(first, told(0.5))
    left = study.ask(3)
    found = search_space.point(STUDENT, OptunaSampler(left, {}), there)
    again = Study(tmp_path, "student", ("quality", "latency", "size"), 7)
    assert again.running() == [1] and again.count_ended() == 1
    same = again.resume(1)
    assert search_space.point(STUDENT, OptunaSampler(same, {}), there) == found
    again.prune(same, BEHIND, "why")
    assert again.running() == [] and again.count_ended() == 2
    third = again.ask(3)
    assert third.number == 2 and again.ask(3) is None
    assert again.trials()[1].user_attrs["pruned"] == {"kind": "behind", "why": "why"}


def test_a_point_depends_on_the_trials_and_not_on_who_asked(tmp_path: Path) -> None:
    there, _ = ground(tmp_path, "two classes")
    found = []
    for place, again in ((tmp_path / "a", False), (tmp_path / "b", True)):
        study = Study(place, "student", ("quality",), 7)
        for number in range(15):
            study = Study(place, "student", ("quality",), 7) if again and number in (6, 13) else study
            trial = study.ask(None)
            search_space.point(STUDENT, OptunaSampler(trial, {}), there)
            study.tell(trial, told(number % 4 / 4))
        found.append([t.params for t in study.trials()])
    assert found[0] == found[1]


def test_bounds_that_the_evidence_narrows_never_shut_the_recipe_out(tmp_path: Path) -> None:
    there, _ = ground(tmp_path, "two classes")
    study = Study(tmp_path, "student", ("quality",), 1)
    narrow = {"soft.kd.temperature": [3.0, 8.0], "fusion": ["gated"]}
    seen = []
    for _ in range(20):
        trial = study.ask(None)
        search_space.point(STUDENT, OptunaSampler(trial, narrow), there)
        seen.append(trial.params)
        study.tell(trial, told(0.5))
    assert {p["fusion"] for p in seen} <= {"gated", "concat"}
    assert all(2.0 <= p["soft.kd.temperature"] <= 8.0 for p in seen if "soft.kd.temperature" in p)


def test_over_is_by_size_and_by_latency() -> None:
    own = {"parameters": 100, "ratio": 1.0}
    assert excess_cost({"parameters": 100, "ratio": 1.0}, own, 1.0) <= 0
    assert excess_cost({"parameters": 100, "ratio": 1.04}, own, 1.0) <= 0  # two measurements of one network differ
    assert excess_cost({"parameters": 100, "ratio": 1.2}, own, 1.0) > 0
    assert excess_cost({"parameters": 101, "ratio": 0.5}, own, 1.0) > 0
    assert excess_cost({"parameters": 150, "ratio": None}, own, 1.5) <= 0
