"""Intervals and verdicts against closed forms: what seeds add, what rows add, what one seed can't say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st
from scipy import stats

from suffuse.evaluation.comparisons import correct_rows, exact_p, mcnemar, mid_p
from suffuse.evaluation.intervals import UNBOUNDED, Size, Spread, bounds, interval, spread, summary
from suffuse.evaluation.verdict import compare, required_size, verdict_of
from suffuse.report.verdict_text import to_settle
from suffuse.types import Head, Spec


def seeds(values: list[float], rows: float = 0.0, own: float = 0.0, resamples: int = 4000) -> list[np.ndarray]:
    """Scores whose resamples vary by ``rows`` together and by ``own`` each."""
    random = np.random.default_rng(0)
    common = rows * random.standard_normal(resamples)
    return [np.concatenate([[v], v + common + own * random.standard_normal(resamples)]) for v in values]


def test_where_rows_say_nothing_it_is_the_t_interval():
    values = [0.81, 0.84, 0.80, 0.86]
    low, high = interval(spread(seeds(values)), 0.95)
    assert (low, high) == pytest.approx(stats.t.interval(0.95, 3, np.mean(values), stats.sem(values)))


def test_where_seeds_agree_it_is_the_bootstrap_of_the_rows():
    facts = summary(seeds([0.8, 0.8, 0.8], rows=0.01), 0.95, UNBOUNDED)
    assert facts["low"] == pytest.approx(0.8 - 1.96 * 0.01, abs=0.001)
    assert facts["high"] == pytest.approx(0.8 + 1.96 * 0.01, abs=0.001)


def test_margins_join_by_squares():
    values = [0.80, 0.82, 0.81]
    t = stats.t.ppf(0.975, 2) * stats.sem(values)
    low, high = interval(spread(seeds(values, rows=0.02)), 0.95)
    assert high - low == pytest.approx(2 * np.hypot(t, 1.96 * 0.02), rel=0.03)


def test_what_rows_do_to_each_seed_alone_is_not_counted_twice():
    values = [0.80, 0.82, 0.84]
    found = spread(seeds(values, rows=0.02, own=0.03))
    assert found.by_seeds == pytest.approx(np.var(values, ddof=1) / 3)
    assert found.residual == pytest.approx(0.03**2, rel=0.05) and found.by_rows == pytest.approx(0.02**2, rel=0.1)


def test_seeds_that_agree_by_chance_prove_nothing():
    """Three equal values, though each one's rows move it by 3 points: as wide as the rows alone make it."""
    low, high = interval(spread(seeds([0.8, 0.8, 0.8], own=0.03)), 0.95)
    assert high - low == pytest.approx(2 * 1.96 * 0.03 / np.sqrt(3), rel=0.05)


def test_few_groups_widen_it():
    wide, narrow = (interval(spread(seeds([0.8], rows=0.01)), 0.95, Size(600, groups)) for groups in (6, 600))
    factor = stats.t.ppf(0.975, 5) / stats.norm.ppf(0.975) * np.sqrt(6 / 5)
    assert (wide[1] - wide[0]) / (narrow[1] - narrow[0]) == pytest.approx(factor, rel=0.01)


def test_an_interval_stays_where_the_metric_can_be():
    facts = summary(seeds([0.99, 0.95]), 0.95, bounds("accuracy"))
    assert facts["high"] == 1.0 and facts["low"] > 0
    assert bounds("price:rmse") == (0, np.inf) and bounds("r2") == (-np.inf, 1)
    with pytest.raises(KeyError):
        bounds("a metric without a range")


def test_resamples_without_a_score_are_left_out():
    values = seeds([0.8, 0.82], rows=0.01)
    values[0][5] = np.nan
    facts = summary(values, 0.95, UNBOUNDED)
    assert np.isfinite([facts["low"], facts["high"]]).all()
    nothing = summary([np.full(20, np.nan)], 0.95, UNBOUNDED)
    assert np.isnan([nothing["mean"], nothing["low"], nothing["high"]]).all()


@budget(deadline=None, max_examples=50)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=8), st.floats(0, 0.05), st.floats(0, 0.05))
def test_turned_round_it_is_the_opposite(values, rows, own):
    ours, theirs = seeds(values, rows, own, 200), seeds([0.5] * len(values), resamples=200)
    there, back = compare(ours, theirs, 0.95, UNBOUNDED), compare(theirs, ours, 0.95, UNBOUNDED)
    assert there["difference"] == pytest.approx(-back["difference"])
    assert (there["low"], there["high"]) == pytest.approx((-back["high"], -back["low"]))
    turned = {"helps": "hurts", "hurts": "helps", "no evidence": "no evidence"}
    assert back["verdict"] == turned[there["verdict"]]


def test_one_seed_is_no_evidence_of_a_recipe_and_says_so():
    ours, theirs = seeds([0.9], rows=0.01), seeds([0.7], rows=0.01)
    facts = compare(ours, theirs, 0.95, UNBOUNDED, Size(1000, 1000))
    assert facts["verdict"] == "no evidence" and facts["low"] > 0 and facts["method"] == "rows"
    assert "one seed: the interval covers rows only" in to_settle(facts) and "3 seeds" in to_settle(facts)
    assert compare(ours, theirs, 0.95, UNBOUNDED, fixed=True)["verdict"] == "helps"  # of these two networks


@pytest.mark.parametrize(
    ("ends", "verdict"),
    [((0.0, 2.0), "no evidence"), ((0.09, 1.91), "no evidence"), ((0.1, 1.9), "helps"), ((-1.9, -0.1), "hurts")],
)
def test_an_interval_must_be_clear_of_nothing_by_a_tenth_of_its_reach(ends, verdict):
    assert verdict_of(sum(ends) / 2, *ends) == verdict
    assert verdict_of(float("nan"), float("nan"), float("nan")) == "no evidence"


def test_two_seeds_rarely_suffice():
    ours = seeds([0.86, 0.88], rows=0.002)
    assert compare(ours, seeds([0.85, 0.86]), 0.95, UNBOUNDED)["verdict"] == "no evidence"


def test_what_would_settle_it_by_seeds():
    """Rows say nothing: the fewest seeds by the t test's own power."""
    values = np.array([0.03, -0.01, 0.02, 0.0, 0.02]) - 0.002
    facts = compare(seeds(values.tolist()), seeds([0.0] * 5), 0.95, UNBOUNDED, Size(4000, 4000))
    assert facts["verdict"] == "no evidence" and facts["settles"]["seeds"] > 5
    for count, enough in ((facts["settles"]["seeds"], True), (facts["settles"]["seeds"] - 1, False)):
        ncp, critical = values.mean() / values.std(ddof=1) * np.sqrt(count), 1.1 * stats.t.ppf(0.975, count - 1)
        assert (1 - stats.nct.cdf(critical, count - 1, ncp) >= 0.8) is np.bool_(enough)
    assert f"about {facts['settles']['seeds']} seeds would settle it" in to_settle(facts)


def test_what_would_settle_it_by_rows():
    """All seeds suffer from the same rows: more seeds don't help, (3 sd / difference)^2 times the rows do."""
    ours = [v + 0.01 for v in seeds([0.0] * 5, rows=0.01)]
    facts = compare(ours, seeds([0.0] * 5), 0.95, UNBOUNDED, Size(1000, 1000))
    assert facts["verdict"] == "no evidence" and "seeds" not in facts["settles"]
    assert facts["settles"]["rows"] == pytest.approx(1000 * (1.1 * 1.96 + 0.84) ** 2, rel=0.1)
    assert "test rows would settle it" in to_settle(facts)


@pytest.mark.parametrize("rows", [0.0, 0.004, 0.007])
def test_so_many_seeds_do_find_it_in_80_of_100_tries(rows):
    """Differences are drawn as the model has them, with the number of seeds that was proposed."""
    found = Spread(0.025, 3, 0.03**2 / 3, rows**2, 0.0, np.zeros(9))
    count = required_size(found, 0.95, Size(1000, 1000))["seeds"]
    random = np.random.default_rng(1)
    scores = 0.025 + random.normal(0, 0.03, (20_000, count)) + random.normal(0, rows, (20_000, 1))
    margin = stats.t.ppf(0.975, count - 1) * scores.std(1, ddof=1) / np.sqrt(count)
    assert (scores.mean(1) - 1.1 * np.hypot(margin, 1.96 * rows) > 0).mean() == pytest.approx(0.82, abs=0.04)


def test_what_would_settle_it_by_both():
    ours = [v + 0.01 for v in seeds([-0.06, 0.06, 0.05, -0.05], rows=0.01)]
    facts = compare(ours, seeds([0.0] * 4), 0.95, UNBOUNDED, Size(1000, 1000))
    assert facts["settles"]["together"] and "together would settle it" in to_settle(facts)


def test_what_nothing_would_settle_and_what_is_to_settle():
    same = seeds([0.8, 0.8, 0.8], rows=0.01)
    assert compare(same, same, 0.95, UNBOUNDED, Size(10, 10))["settles"] == {}
    assert "can't be settled" in to_settle(compare(same, same, 0.95, UNBOUNDED, Size(10, 10)))
    better = compare(seeds([0.9, 0.91, 0.9]), seeds([0.5, 0.51, 0.5]), 0.95, UNBOUNDED, Size(10, 10))
    assert better["verdict"] == "helps" and better["settles"] is None and to_settle(better) == ""
    assert required_size(spread(seeds([0.5])), 0.95, None) == {"seeds": 3, "least": True}


@pytest.mark.parametrize(("gained", "lost"), [(3, 9), (9, 3), (5, 5), (0, 6), (1, 0), (40, 71), (0, 0)])
def test_mcnemar_is_the_sign_test(gained, lost):
    both = gained + lost
    assert exact_p(gained, lost) == pytest.approx(stats.binomtest(gained, both).pvalue if both else 1)
    at = stats.binom.pmf(np.arange(both + 1), both, 0.5)
    as_likely = np.isclose(at, at[gained])
    wanted = at[(at < at[gained]) & ~as_likely].sum() + at[as_likely].sum() / 2
    assert mid_p(gained, lost) == pytest.approx(wanted if both else 1)


def test_mcnemar_on_rows_and_on_groups():
    theirs = np.zeros(12, dtype=bool)
    ours = np.array([1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1], dtype=bool)
    alone = mcnemar(ours, theirs, np.arange(12))
    assert (alone["gained"], alone["lost"]) == (8, 0) and "p_groups" not in alone
    assert alone["p"] == pytest.approx(2 * 0.5**8)
    grouped = mcnemar(ours, theirs, np.arange(12) // 4)  # two groups of four rows each say the same twice
    assert grouped["p_groups"] == pytest.approx(stats.chi2.sf((1 + 1) ** 2 / (1 + 1), 1))
    assert grouped["p_groups"] > grouped["p"]
    assert mcnemar(ours, ours, np.arange(12) // 4)["p_groups"] == 1


def test_of_groups_each_ones_rate_counts_whatever_its_size():
    """Groups of four, two and one row: (b - c) / n is 3/4, -1/2 and 1, so chi2 is 1.25^2 / (0.5625 + 0.25 + 1)."""
    ours = np.array([1, 1, 1, 0, 0, 0, 1], dtype=bool)
    theirs = np.array([0, 0, 0, 0, 1, 0, 0], dtype=bool)
    found = mcnemar(ours, theirs, np.array([5, 5, 5, 5, 0, 0, 7]))
    assert (found["gained"], found["lost"]) == (4, 1)
    assert found["p_groups"] == pytest.approx(stats.chi2.sf(1.5625 / 1.8125, 1))


def test_the_statistic_of_groups_is_durkalskis():
    """Five clusters of 70 to 98 pairs with b and c discordant ones each: chi2 is 3.8412 by hand."""
    b, c, n = (51, 67, 44, 58, 47), (18, 26, 43, 21, 28), (70, 98, 88, 83, 81)
    kinds = [np.repeat([1, -1, 0], (x, y, z - x - y)) for x, y, z in zip(b, c, n, strict=True)]
    gap, group = np.concatenate(kinds), np.repeat(np.arange(5), n)
    found = mcnemar(gap > 0, gap < 0, group)
    assert found["p_groups"] == pytest.approx(stats.chi2.sf(3.8412, 1), abs=1e-5)


def test_rows_are_right_or_wrong_where_there_is_one_target_of_classes():
    answers, target = np.array([[0.2, 0.8], [0.9, 0.1]]), np.array([1, 1])
    classes, number = Head("a", "classes", ("x", "y")), Head("b", "number", (), 0.0, 1.0)
    found = correct_rows(Spec((), (classes,), (0.0, 0.0)), answers, target)
    assert found is not None and found.tolist() == [True, False]
    assert correct_rows(Spec((), (number,), (0.0,)), answers, target) is None
    assert correct_rows(Spec((), (classes, number), (0.0,) * 3), answers, target) is None


# Test accuracies on easy-VQA, measured once: ten trainings of a student of 6,323 parameters, ten of its baseline.
SCORES_BY_SEED = {
    "student": (0.9539, 0.9858, 0.9631, 0.9214, 0.9426, 0.9328, 0.9448, 0.9865, 0.9726, 0.9746),
    "baseline": (0.9357, 0.9329, 0.9349, 0.8706, 0.8708, 0.9347, 0.8069, 0.9025, 0.8710, 0.9336),
}


@pytest.mark.parametrize("who", SCORES_BY_SEED)
def test_two_samples_of_seeds_of_one_recipe_show_no_evidence(who):
    """Seeds of one recipe spread over 6 and 13 points here. Two disjoint samples of them are compared, many times."""
    random, scores, verdicts = np.random.default_rng(0), np.array(SCORES_BY_SEED[who]), []
    for count in (2, 3, 4):
        for _ in range(300):
            sample = [np.full(3, score) for score in random.permutation(scores)[: 2 * count]]
            verdicts.append(compare(sample[:count], sample[count:], 0.95, UNBOUNDED)["verdict"])
    assert verdicts.count("no evidence") >= 0.95 * len(verdicts)
