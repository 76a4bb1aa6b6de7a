"""Do the verdicts keep what they promise? Simulated pairs of recipes, whose true difference is known.

    python benchmarks/evidence.py [--pairs 2000] [--write]

A model of a pair answers row i rightly where a normal number is positive: the row's own difficulty and its group's
(both models find the same rows hard), what this recipe makes of the row, the training's luck (a standard deviation of
0.5 to 2 points of accuracy between seeds), and what this seed makes of the row. Sums of normal numbers are normal, so
the true accuracy of each recipe is known exactly. Intervals and verdicts are those of ``suffuse evaluate``: the same
functions, on resamples of the same kind. ``plain`` is what drawing seeds with replacement would have said (the
hierarchical bootstrap as it is mostly written), for comparison.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
from scipy.special import ndtri
from scipy.stats import norm

from result_file import write_result
from suffuse.evaluation.intervals import SHARE, Size, summary
from suffuse.evaluation.verdict import compare

HERE = Path(__file__).resolve().parent
ACCURACY, CONFIDENCE, RESAMPLES = 0.85, 0.95, 400
COMMON, RECIPE, OWN, GROUP = 0.6, 0.15, 1.0, 0.3  # variances: row, recipe by row, seed by row, group
SEEDS, DEVIATIONS = (1, 2, 3, 5, 10), (0.005, 0.01, 0.02)
SIZES = ((500, 1), (2000, 4), (10_000, 1))  # rows, rows of a group


@dataclass(frozen=True)
class World:
    """What is true of a pair."""

    seeds: int
    rows: int
    together: int  # rows of a group
    deviation: float  # between seeds, of the accuracy
    effect: float  # accuracy of ours less theirs

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
        luck = rest * (world.deviation / slope) ** 2 / (1 - (world.deviation / slope) ** 2)
        mean = ndtri(accuracy) * np.sqrt(rest + luck)
        row = common + (np.sqrt(own) * normal(world.rows) if own else 0.0)
        seed = np.sqrt(luck) * normal((world.seeds, 1))
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
    facts = [int(1000 * value) for value in asdict(world).values()]
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


def main() -> int:
    """Every cell, with and without an effect."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=2000)
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    found = []
    for effect in (0.0, 0.03):
        for seeds in SEEDS:
            for rows, together in SIZES:
                for deviation in DEVIATIONS:
                    world = World(seeds, rows, together, deviation, effect)
                    found.append({**asdict(world), **simulate(world, asked.pairs)})
                    print("  ".join(f"{k} {v:g}" for k, v in found[-1].items()), flush=True)
    if asked.write:
        write_result("evidence", {"pairs": asked.pairs, "cells": found})
    return 0


if __name__ == "__main__":
    sys.exit(main())
