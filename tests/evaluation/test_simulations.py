"""Verdicts on simulated pairs whose truth is known hold what they promise. docs/evidence.md has the full table."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from suffuse.evaluation.comparisons import mcnemar

PAIRS = 300
CELLS = [(rows, together, deviation) for rows, together in ((500, 1), (2000, 4)) for deviation in (0.005, 0.01, 0.02)]


@pytest.fixture(scope="module")
def evidence() -> ModuleType:
    file = Path(__file__).parents[2] / "benchmarks" / "evidence.py"
    spec = importlib.util.spec_from_file_location("evidence", file)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["evidence"] = module  # a dataclass looks its module up
    spec.loader.exec_module(module)
    return module


def mean(found: list[dict[str, float]], name: str) -> float:
    return sum(one[name] for one in found) / len(found)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
def test_of_the_same_recipe_with_other_seeds_there_is_no_evidence(evidence, seeds):
    found = [evidence.simulate(evidence.World(seeds, *cell, 0.0), PAIRS, seed=4) for cell in CELLS]
    assert mean(found, "no evidence") >= 0.95
    assert min(one["no evidence"] for one in found) >= 0.95 - 3 * 0.0126  # a cell: three deviations of 300 pairs
    assert mean(found, "covers") >= 0.95 and mean(found, "summary") >= 0.94


@pytest.mark.slow
@pytest.mark.long
def test_one_seed_is_never_evidence(evidence):
    found = evidence.simulate(evidence.World(1, 2000, 4, 0.02, 0.0), PAIRS)
    assert found["no evidence"] == 1 and found["plain_verdict"] > 0.2  # what rows alone would have said of it


@pytest.mark.slow
@pytest.mark.long
def test_three_points_are_found_with_ten_seeds(evidence):
    found = [evidence.simulate(evidence.World(10, *cell, 0.03), PAIRS, seed=5) for cell in CELLS]
    assert mean(found, "helps") >= 0.8 and mean(found, "hurts") == 0
    sure = [n for n, (rows, _, luck) in enumerate(CELLS) if luck <= 0.005 or (rows >= 2000 and luck <= 0.01)]
    assert all(found[n]["helps"] >= 0.8 for n in sure)
    assert 0.93 <= mean(found, "covers") <= 0.985


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("seeds", [3, 10])
def test_intervals_of_a_true_difference_cover_it(evidence, seeds):
    found = [evidence.simulate(evidence.World(seeds, *cell, 0.03), PAIRS, seed=6) for cell in CELLS]
    assert 0.94 <= mean(found, "covers") <= 0.99 and 0.93 <= mean(found, "summary") <= 0.99


@pytest.mark.slow
@pytest.mark.long
def test_drawing_three_seeds_with_replacement_would_have_been_too_sure(evidence):
    """The check can fail: what was said before is found wanting by it."""
    found = evidence.simulate(evidence.World(3, 2000, 4, 0.02, 0.0), PAIRS)
    assert found["plain"] < 0.9 < found["covers"]


@pytest.mark.slow
@pytest.mark.long
def test_mcnemar_of_groups_rejects_as_often_as_it_says_and_of_rows_far_more_often():
    """Two networks that are equally good, on groups of 1 to 12 rows: within a group the same one tends to be right.
    Of 4,000 tests at 5 % 200 reject, give or take 14."""
    random, rejected = np.random.default_rng(0), {"p_groups": 0, "p_mid": 0}
    for _ in range(4000):
        sizes = random.integers(1, 13, 120)
        group = np.repeat(np.arange(120), sizes)
        lean = random.choice([0.1, 0.4], 120)  # chance of the first being right alone; the second's is the rest of 0.5
        chance, draw = lean[group], random.random(len(group))
        ours, theirs = draw < chance, (draw >= chance) & (draw < 0.5)
        facts = mcnemar(ours, theirs, group)
        for name in rejected:
            rejected[name] += facts[name] < 0.05
    assert 0.04 <= rejected["p_groups"] / 4000 <= 0.06
    assert rejected["p_mid"] / 4000 > 0.1


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("leaves", [8.0, 16.0, 40.0])
def test_a_baseline_that_needs_longer_is_never_said_to_be_helped(evidence, leaves):
    """It becomes as good as the student: of 300 runs none is *helps*, though the comparison of equal lengths is."""
    curve, world = evidence.Curve(leaves=leaves), evidence.World(3, 2000, 4, 0.0, 0.0)
    found = evidence.simulate_curve(curve, world, 8, PAIRS)
    assert found["helps"] == 0 and found["hurts"] <= 0.025
    assert found["faster"] >= 0.9 * found["plain helps"]


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("seeds", [3, 10])
def test_of_four_verdicts_without_a_difference_any_is_wrong_in_5_of_100_runs(evidence, seeds):
    found = evidence.simulate_family(evidence.World(seeds, 500, 1, 0.01, 0.0), PAIRS)
    assert found["any"] <= 0.05 and found["any"] <= found["unadjusted"]
