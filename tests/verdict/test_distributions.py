"""Quantiles and tail probabilities come from scipy.special: the same numbers as scipy.stats."""

import math

import numpy as np
import pytest
from scipy import stats

from hwbench.verdict.statistics import Estimate, mcnemar

DEGREES = [1.0, 1.5, 2.0, 2.7, 4.0, 9.0, 29.9, 1e3, 1e6, 1e12, math.inf]


@pytest.mark.parametrize("df", DEGREES)
@pytest.mark.parametrize("level", [0.5, 0.9, 0.95, 0.999])
def test_half_widths_are_quantiles_of_student_t(df, level):
    expected = 0.3 * stats.t.ppf((1 + level) / 2, df)
    assert Estimate(1.0, 0.3, df).half_width(level) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("df", DEGREES)
@pytest.mark.parametrize("t", [-300.0, -8.0, -1.0, -1e-3, 0.0, 1e-9, 0.7, 2.5, 30.0, 1e5])
def test_p_values_are_tails_of_student_t(df, t):
    estimate = Estimate(0.5 * t, 0.5, df)
    assert estimate.p_above() == pytest.approx(stats.t.sf(t, df), rel=1e-12, abs=1e-300)
    assert estimate.p_below() == pytest.approx(stats.t.cdf(t, df), rel=1e-12, abs=1e-300)


@pytest.mark.parametrize("n", [0, 1, 2, 7, 101, 2000])
def test_mcnemar_is_the_tail_of_a_fair_coin(n):
    """Every split of n points between the classifiers, or every hundredth."""
    for only_a in {*range(0, n, max(1, n // 20)), n}:
        a = np.arange(n) < only_a
        _, _, p = mcnemar(a, ~a)
        assert p == pytest.approx(stats.binom.sf(only_a - 1, n, 0.5), rel=1e-12, abs=1e-300)
