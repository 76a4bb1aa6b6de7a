"""Do the verdicts keep what they promise? Simulated pairs of recipes, whose true difference is known.

    python benchmarks/evidence.py [--pairs 2000] [--only verdicts|undertrained|families|teachers] [--write]

A model of a pair answers row i rightly where a normal number is positive: the row's own difficulty and its group's
(both models find the same rows hard), what this recipe makes of the row, the training's luck (a standard deviation of
0.5 to 2 points of accuracy between seeds), and what this seed makes of the row. Sums of normal numbers are normal, so
the true accuracy of each recipe is known exactly. Intervals and verdicts are those of ``suffuse evaluate``: the same
functions, on resamples of the same kind. ``plain`` is what drawing seeds with replacement would have said (the
hierarchical bootstrap as it is mostly written), for comparison.

``undertrained``: the baseline learns as well as the student, and needs longer (:class:`Curve`). Training and validation
scores follow the curve too; whether longer baselines are trained, and the verdict, are decided by the functions of
``suffuse distill`` and ``suffuse evaluate``. ``families``: four comparisons without a difference in one run.
``teachers``: no difference over all teachers, but each teacher's seed makes the students that it teaches better or
worse, by a standard deviation of 0 or 1 point; every student has a teacher of its own (``distill.teachers: each``), or
all share one.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import ndtri
from scipy.stats import norm

from result_file import write_result
from suffuse.evaluation.convergence import (
    FACTORS,
    LONGER,
    NO_LEAD,
    TRAINED,
    Scores,
    doubts,
    is_ahead,
    is_rising,
    outcome,
    rise,
    with_lead,
)
from suffuse.evaluation.family import family_verdicts
from suffuse.evaluation.intervals import SHARE, Size, spread, summary
from suffuse.evaluation.verdict import compare

HERE = Path(__file__).resolve().parent
ACCURACY, CONFIDENCE, RESAMPLES = 0.85, 0.95, 400
COMMON, RECIPE, OWN, GROUP = 0.6, 0.15, 1.0, 0.3  # variances: row, recipe by row, seed by row, group
SEEDS, DEVIATIONS = (1, 2, 3, 5, 10), (0.005, 0.01, 0.02)
SIZES = ((500, 1), (2000, 4), (10_000, 1))  # rows, rows of a group
FAMILY = 4  # comparisons of a run


@dataclass(frozen=True)
class World:
    """What is true of a pair."""

    seeds: int
    rows: int
    together: int  # rows of a group
    deviation: float  # between seeds, of the accuracy
    effect: float  # accuracy of ours less theirs
    teacher: float = 0.0  # deviation of the accuracy of ours that the teacher's seed makes
    shared: bool = False  # whether one teacher teaches all seeds

    @property
    def groups(self) -> int:
        """How many there are."""
        return self.rows // self.together


def pair(world: World, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Right answers of each seed in each group, (S, G), of ours and theirs."""
    group = np.arange(world.rows) // world.together
    grouped = GROUP if world.together > 1 else 0.0
    own = RECIPE if world.effect else 0.0  # two trainings of one recipe find the same rows hard
    normal = partial(random.standard_normal, dtype=np.float32)
    common = np.sqrt(COMMON) * normal(world.rows) + (np.sqrt(grouped) * normal(world.groups))[group]
    found = []
    for accuracy in (ACCURACY + world.effect, ACCURACY):
        slope = norm.pdf(ndtri(accuracy))  # of the accuracy by the mean, in deviations of the sum
        rest = COMMON + grouped + own + OWN
        by_seed = (world.deviation / slope) ** 2
        by_teacher = 0.0 if found else (world.teacher / slope) ** 2  # theirs has none
        luck = rest / (1 - by_seed - by_teacher)
        mean = ndtri(accuracy) * np.sqrt(rest + luck * (by_seed + by_teacher))
        row = common + (np.sqrt(own) * normal(world.rows) if own else 0.0)
        seed = np.sqrt(luck * by_seed) * normal((world.seeds, 1))
        if by_teacher:
            seed = seed + np.sqrt(luck * by_teacher) * normal((1 if world.shared else world.seeds, 1))
        right = np.sqrt(OWN) * normal((world.seeds, world.rows)) > -(mean + row + seed).astype(np.float32)
        found.append(right.reshape(world.seeds, world.groups, world.together).sum(2).astype(np.float32))
    return found[0], found[1]


def weights(world: World, random: np.random.Generator) -> np.ndarray:
    """(R + 1, G) as :func:`suffuse.evaluation.metrics.draw` makes them."""
    drawn = random.multinomial(world.groups, np.full(world.groups, 1 / world.groups), size=RESAMPLES)
    return np.concatenate([np.ones((1, world.groups)), drawn]).astype(np.float32)


def simulate(world: World, pairs: int, seed: int = 0) -> dict[str, float]:
    """Shares of so many pairs: ``covers`` the true difference, ``helps``, ``hurts``, ``no evidence``, ``summary``
    covers the true accuracy of theirs; of the plain bootstrap ``plain`` covers, ``plain_verdict`` finds a
    difference."""
    facts = [int(1000 * value) for value in asdict(world).values()][: None if world.teacher else -2]
    random = np.random.default_rng([seed, *facts])  # every cell its own
    drawn, size = weights(world, random), Size(world.rows, world.groups)
    count = dict.fromkeys(("covers", "helps", "hurts", "no evidence", "summary", "plain", "plain_verdict"), 0.0)
    for _ in range(pairs):
        ours, theirs = ((one @ drawn.T / world.rows).astype(float) for one in pair(world, random))
        facts = compare(list(ours), list(theirs), CONFIDENCE, SHARE, size, plan=False)
        count["covers"] += facts["low"] <= world.effect <= facts["high"]
        count[facts["verdict"]] += 1
        alone = summary(list(theirs), CONFIDENCE, SHARE, size)
        count["summary"] += alone["low"] <= ACCURACY <= alone["high"]
        low, high = plain(ours - theirs, random)
        count["plain"] += low <= world.effect <= high
        count["plain_verdict"] += low > 0 or high < 0
    return {name: value / pairs for name, value in count.items()}


def plain(values: np.ndarray, random: np.random.Generator) -> tuple[float, float]:
    """(S, R + 1) -> percentile interval with seeds drawn with replacement too."""
    seeds, resamples = len(values), values.shape[1] - 1
    times = random.multinomial(seeds, np.full(seeds, 1 / seeds), size=resamples)
    low, high = np.quantile((values[:, 1:] * times.T).sum(0) / seeds, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


@dataclass(frozen=True)
class Curve:
    """A baseline's learning curve with the shape of easy-VQA's: a plateau, which each seed leaves after a number of
    epochs of its own, and then the student's accuracy. Training rows have the same curve, or are all learned from the
    first length on (``fitted``), as with few labels: scores on them then say nothing about the plateau."""

    student: float = 0.998
    plateau: float = 0.87
    leaves: float = 16.0  # epochs after which half of the seeds have left the plateau
    spread: float = 0.5  # standard deviation of the logarithm of that number
    noise: float = 0.01  # standard deviation of a seed's score on the plateau
    fitted: bool = False

    def accuracies(self, seeds: int, lengths: Sequence[int], random: np.random.Generator) -> np.ndarray:
        """(L, S): the accuracy of each seed after each number of epochs."""
        leaves = self.leaves * np.exp(self.spread * random.standard_normal(seeds))
        share = 1 / (1 + (np.array(lengths)[:, None] / leaves) ** -6)
        noise = self.noise * random.standard_normal((len(lengths), seeds)) * (1 - share)
        return np.clip(self.plateau + (self.student - self.plateau) * share + noise, 0, self.student)


def simulate_curve(curve: Curve, world: World, epochs: int, runs: int) -> dict[str, float]:
    """Shares of so many runs: verdicts on a student that is as good as its baseline becomes, ``settled`` comparisons,
    and the mean number of epochs of the longest baseline."""
    random = np.random.default_rng([11, world.seeds, world.rows, epochs, int(curve.leaves)])  # alike if fitted
    drawn, size = weights(world, random), Size(world.rows, world.groups)
    count = dict.fromkeys(("helps", "faster", "no evidence", "hurts", "settled", "epochs", "plain helps"), 0.0)
    for _ in range(runs):
        lengths = [epochs, *(epochs * factor for factor in FACTORS)]
        true = curve.accuracies(world.seeds, lengths, random)
        student = np.full(world.seeds, curve.student)
        scores: dict[str, list[list[np.ndarray]]] = {}
        for split in ("validation", "test"):
            hard = random.standard_normal(world.rows)  # for both models
            scores[split] = [scored(level, hard, world, drawn, random) for level in (student, *true)]
        training = np.full_like(true, curve.student) if curve.fitted else true
        facts = decided(scores["validation"], (student, training), size)
        compared = compare(scores["test"][0], scores["test"][1], CONFIDENCE, SHARE, size, plan=False)
        longer = []
        for number in range(len(facts["lengths"])):
            longest = compare(scores["test"][0], scores["test"][2 + number], CONFIDENCE, SHARE, size, plan=False)
            longer.append({"factor": FACTORS[number], "difference": longest["difference"], "p": longest["p"]})
        record = {"epochs": epochs, "comparisons": {"student": facts}}
        (verdict,) = family_verdicts([{**compared, "who": "student", "longer": longer}], CONFIDENCE, record)
        count[verdict["verdict"]] += 1
        count["settled"] += verdict["settled"]
        count["epochs"] += facts["lengths"][-1]["epochs"] if facts["lengths"] else epochs
        count["plain helps"] += compared["verdict"] == "helps"
    return {name: value / runs for name, value in count.items()}


def decided(validation: list[list[np.ndarray]], training: tuple[np.ndarray, np.ndarray], size: Size) -> dict[str, Any]:
    """As :class:`suffuse.evaluation.convergence.Convergence` decides. ``validation``: of the student and of each
    length, S seeds (R + 1,). ``training``: accuracies on training rows, (S,) of the student, (L, S) of the lengths."""

    def side(known: np.ndarray, seeds: list[np.ndarray]) -> Scores:
        return Scores(list(known), [float(seed[0]) for seed in seeds])

    def doubted(number: int) -> dict[str, Any]:
        own = validation[number + 1]
        return doubts(side(training[0], validation[0]), side(training[1][number], own), lambda: spread(own).residual)

    facts, lengths = with_lead(doubted(0), lambda: is_ahead(validation[0], validation[1], CONFIDENCE, size)), []
    while True:
        why, factor = outcome(facts["doubts"], lengths, True)
        if factor is None:
            return {**facts, "lengths": lengths, "why": why, "settled": why in (NO_LEAD, TRAINED, LONGER)}
        number = len(lengths) + 1
        facts_of_length = rise(validation[number + 1], validation[number], CONFIDENCE, SHARE, size)
        lengths.append({**facts_of_length, **doubted(number), "epochs": factor})
        lengths[-1]["ahead"] = is_ahead(validation[0], validation[number + 1], CONFIDENCE, size)
        lengths[-1]["doubts"] = lengths[-1]["doubts"] if lengths[-1]["ahead"] else []
        lengths[-1]["rising"] = is_rising(lengths[-1])


def scored(
    accuracies: np.ndarray, hard: np.ndarray, world: World, drawn: np.ndarray, random: np.random.Generator
) -> list[np.ndarray]:
    """Accuracies (S,) of the seeds of one model -> S scores (R + 1,) on rows that are ``hard`` (N,) for all models."""
    found = []
    for accuracy in accuracies:
        own = random.standard_normal(world.rows)
        right = (np.sqrt(COMMON) * hard + np.sqrt(1 - COMMON) * own) < ndtri(accuracy)
        groups = right.reshape(world.groups, world.together).sum(1).astype(np.float32)
        found.append((groups @ drawn.T / world.rows).astype(float))
    return found


def simulate_family(world: World, runs: int) -> dict[str, float]:
    """Shares of so many runs of FAMILY comparisons in which there is ``any`` verdict, adjusted for their number, and
    without that; and in which there is any *helps*."""
    random = np.random.default_rng([13, world.seeds, world.rows, int(1000 * world.deviation)])
    drawn, size = weights(world, random), Size(world.rows, world.groups)
    count = dict.fromkeys(("any", "any helps", "unadjusted"), 0.0)
    for _ in range(runs):
        entries = []
        for number in range(FAMILY):
            ours, theirs = ((one @ drawn.T / world.rows).astype(float) for one in pair(world, random))
            facts = compare(list(ours), list(theirs), CONFIDENCE, SHARE, size, plan=False)
            entries.append({**facts, "who": f"student-{number}"})
        verdicts = [facts["verdict"] for facts in family_verdicts(entries, CONFIDENCE, None)]
        count["any"] += any(verdict != "no evidence" for verdict in verdicts)
        count["any helps"] += "helps" in verdicts
        count["unadjusted"] += any(facts["verdict"] != "no evidence" for facts in entries)
    return {name: value / runs for name, value in count.items()}


def undertrained(runs: int) -> list[dict[str, Any]]:
    """Baselines that leave the plateau early and late, for several numbers of epochs and seeds."""
    found = []
    cases = product((False, True), (8.0, 16.0, 40.0), (8, 16), (3, 5, 10), ((500, 1), (2000, 4)))
    for fitted, leaves, epochs, seeds, (rows, together) in cases:
        curve, world = Curve(leaves=leaves, fitted=fitted), World(seeds, rows, together, 0.0, 0.0)
        facts = {"fitted": fitted, "leaves": leaves, "epochs": epochs, "seeds": seeds, "rows": rows,
                 "together": together}  # fmt: skip
        shares = simulate_curve(curve, world, epochs, runs)
        found.append({**facts, **{name: share for name, share in shares.items() if name != "epochs"}})
        print("  ".join(f"{k} {v:g}" for k, v in found[-1].items()), flush=True)
    return found


def families(runs: int) -> list[dict[str, Any]]:
    """Runs of four comparisons without a difference."""
    found = []
    for seeds in (2, 3, 5, 10):
        for rows, together in SIZES[:2]:
            for deviation in DEVIATIONS:
                world = World(seeds, rows, together, deviation, 0.0)
                found.append({**asdict(world), **simulate_family(world, runs)})
                print("  ".join(f"{k} {v:g}" for k, v in found[-1].items()), flush=True)
    return found


def teachers(runs: int) -> list[dict[str, Any]]:
    """Pairs without a difference whose students have teachers with luck of their own."""
    found = []
    for teacher, shared in ((0.0, False), (0.01, False), (0.01, True)):
        for seeds in (3, 5, 10):
            for together in (1, 4, 10):
                for deviation in (0.0, 0.005, 0.02, 0.04):
                    world = World(seeds, 2000, together, deviation, 0.0, teacher, shared)
                    facts = simulate(world, runs)
                    wrong = {"helps": facts["helps"], "any": facts["helps"] + facts["hurts"]}
                    found.append({**asdict(world), **wrong})
                    print("  ".join(f"{k} {v:g}" for k, v in found[-1].items()), flush=True)
    return found


def main() -> int:
    """Every cell, with and without an effect."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=2000)
    parser.add_argument("--only", choices=("verdicts", "undertrained", "families", "teachers"))
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    results: dict[str, Any] = {"pairs": asked.pairs}
    if asked.only in (None, "undertrained"):
        results["undertrained"] = undertrained(asked.pairs)
    if asked.only in (None, "families"):
        results["families"] = families(asked.pairs)
    if asked.only in (None, "teachers"):
        results["teachers"] = teachers(asked.pairs)
    if asked.only in (None, "verdicts"):
        results["cells"] = verdicts(asked.pairs)
    if asked.write:
        write_result("evidence" if asked.only in (None, "verdicts") else f"evidence-{asked.only}", results)
    return 0


def verdicts(pairs: int) -> list[dict[str, Any]]:
    """Pairs of recipes, with and without an effect."""
    found = []
    for effect in (0.0, 0.03):
        for seeds in SEEDS:
            for rows, together in SIZES:
                for deviation in DEVIATIONS:
                    world = World(seeds, rows, together, deviation, effect)
                    found.append({**asdict(world), **simulate(world, pairs)})
                    print("  ".join(f"{k} {v:g}" for k, v in found[-1].items()), flush=True)
    return found


if __name__ == "__main__":
    sys.exit(main())
