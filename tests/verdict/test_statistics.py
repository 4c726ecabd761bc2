"""Estimates, intervals and tests, against closed forms and simulation."""

import math

import numpy as np
import pytest
from scipy import stats

from hwbench.verdict.statistics import (
    Estimate,
    Interval,
    holm,
    mcnemar,
    prediction,
    smallest_difference,
)


def test_interval_without_a_printed_error_is_that_of_one_more_run():
    """measured − published of one run with our spread: t(n − 1) s √(1 + 1/n)."""
    estimate = prediction(0.3, sd=0.2, n=5)
    half = stats.t.ppf(0.95, 4) * 0.2 * math.sqrt(1 + 1 / 5)
    assert estimate.df == pytest.approx(4)
    interval = estimate.interval()
    assert (interval.low, interval.high) == pytest.approx((0.3 - half, 0.3 + half))
    assert smallest_difference(0.2, 5) == pytest.approx(half)


def test_interval_with_a_printed_error_combines_variances():
    """s²/n + e² + r²/3, with the degrees of freedom of Welch and Satterthwaite."""
    s, n, e, r = 0.2, 5, 0.05, 0.005
    own, total = s**2 / n, s**2 / n + e**2 + r**2 / 3
    known = prediction(0.0, s, n, e, r)
    assert known.se == pytest.approx(math.sqrt(total))
    assert known.df == pytest.approx(total**2 / (own**2 / 4))
    trials = prediction(0.0, s, n, e, r, trials=5)
    assert trials.df == pytest.approx(total**2 / (own**2 / 4 + e**4 / 4))
    assert smallest_difference(s, n, e, r) == pytest.approx(stats.t.ppf(0.95, known.df) * known.se)
    assert smallest_difference(s, n, e, r, trials=5) > smallest_difference(s, n, e, r)


def test_a_published_mean_over_trials_scatters_less():
    assert prediction(0.0, 0.2, 5, trials=4).se == pytest.approx(0.2 * math.sqrt(1 / 5 + 1 / 4))


def test_one_trial_gives_its_printed_error_no_degrees_of_freedom():
    """A printed error of a single run is over test points; it is taken as known."""
    assert prediction(0.0, 0.0, 5, 0.1, trials=1).df == math.inf


def test_limits_of_the_smallest_difference():
    assert smallest_difference(0.2, 1) == math.inf
    assert smallest_difference(0.0, 5) == 0.0
    assert smallest_difference(0.0, 5, 0.1) == pytest.approx(0.1 * stats.norm.ppf(0.95))
    many = [smallest_difference(0.2, n, 0.0) for n in (2, 3, 5, 10, 100)]
    assert many == sorted(many, reverse=True)


@pytest.mark.statistical
@pytest.mark.parametrize("n", [2, 3, 5, 10])
def test_coverage_against_a_single_published_run_is_exact(n):
    """The interval covers the true difference in 90 % of 200 000 repetitions (5 sigma)."""
    repeats, rng = 200_000, np.random.default_rng(n)
    ours, print_ = rng.normal(0.0, 0.3, (repeats, n)), rng.normal(0.0, 0.3, repeats)
    half = np.array([smallest_difference(1.0, n)]) * ours.std(1, ddof=1)
    covered = np.abs(ours.mean(1) - print_) <= half
    assert abs(covered.mean() - 0.9) < 5 * math.sqrt(0.9 * 0.1 / repeats)


def _covered(n: int, ratio: float, trials: int, repeats: int, rng: np.random.Generator) -> float:
    """Return how often the interval covers, where print is a mean with its own error."""
    ours = rng.normal(0.0, 1.0, (repeats, n))
    theirs = rng.normal(0.0, ratio, (repeats, trials))
    own, error = ours.var(1, ddof=1) / n, theirs.var(1, ddof=1) / trials
    df = (own + error) ** 2 / (own**2 / (n - 1) + error**2 / (trials - 1))
    half = stats.t.ppf(0.95, df) * np.sqrt(own + error)
    first = prediction(0.0, ours[0].std(ddof=1), n, math.sqrt(error[0]), trials=trials)
    assert first.half_width() == pytest.approx(half[0])  # the vectorised form is the library's
    return float((np.abs(ours.mean(1) - theirs.mean(1)) <= half).mean())


@pytest.mark.statistical
@pytest.mark.parametrize("ratio", [0.3, 1.0, 3.0])
@pytest.mark.parametrize(("n", "at_least"), [(2, 0.85), (3, 0.88), (5, 0.89)])
def test_coverage_with_a_printed_error_is_near_nominal(n, at_least, ratio):
    """Welch's approximation is a little short for few seeds, as documented (5 sigma)."""
    repeats = 40_000
    covered = _covered(n, ratio, 5, repeats, np.random.default_rng(7))
    sigma = math.sqrt(0.9 * 0.1 / repeats)
    assert at_least - 5 * sigma < covered < 0.92 + 5 * sigma


def test_holm_by_hand():
    """0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1 is 0.02, 0.03, 0.06, 0.04; the last follows up."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    assert holm([0.02]) == [0.02]
    assert holm([0.6, 0.9]) == [1.0, 1.0]


@pytest.mark.statistical
def test_holm_keeps_the_family_wise_error():
    """Of families without effect at most 5 % have a rejection, and nearly as many do (5 sigma)."""
    repeats, rng = 5_000, np.random.default_rng(2)
    wrong = np.mean([min(holm(p)) < 0.05 for p in rng.uniform(size=(repeats, 6)).tolist()])
    expected = 1 - (1 - 0.05 / 6) ** 6
    assert abs(wrong - expected) < 5 * math.sqrt(expected * (1 - expected) / repeats)
    assert expected < 0.05


def test_mcnemar_by_hand():
    """8 points only a has right and 2 only b: P(X ≥ 8), X ~ Bin(10, ½), is (45 + 10 + 1)/1024."""
    a = np.array([True] * 8 + [False] * 2 + [True] * 50 + [False] * 7)
    b = np.array([False] * 8 + [True] * 2 + [True] * 50 + [False] * 7)
    assert mcnemar(a, b) == (8, 2, pytest.approx(56 / 1024))
    assert mcnemar(b, a) == (2, 8, pytest.approx(1 - 11 / 1024))
    assert mcnemar(a, a) == (0, 0, 1.0)


def test_one_sided_p_values_are_the_ends_of_the_interval():
    estimate = Estimate(1.0, 0.4, 6.0)
    interval = estimate.interval()
    assert estimate.p_above(interval.low) == pytest.approx(0.05)
    assert estimate.p_below(interval.high) == pytest.approx(0.05)
    assert estimate.p_above(0.3) + estimate.p_below(0.3) == pytest.approx(1.0)
    exact = Estimate(1.0, 0.0, 4.0)
    assert [exact.p_above(0.9), exact.p_above(1.0)] == [0.0, 1.0]
    assert [exact.p_below(1.0), exact.p_below(1.1)] == [1.0, 0.0]
    assert exact.interval() == Interval(1.0, 1.0)
