"""A few seeds that agree by luck do not hide the known Monte Carlo error of each evaluation."""

import math

import numpy as np
import pytest
from scipy import stats

from hwbench.store import Result, StoredMetric
from hwbench.verdict.spread import monte_carlo_variance
from hwbench.verdict.statistics import prediction, smallest_difference

from .conftest import ONE, Bench


def test_seeds_that_agree_count_for_their_known_error():
    """Two annealed estimates with an error of 0.1 each: z · 0.1/√2, however close they are."""
    half = prediction(0.0, 1e-4, 2, published_error=0.0, noise=0.01).half_width()
    assert half == pytest.approx(stats.norm.ppf(0.95) * 0.1 / math.sqrt(2))
    assert smallest_difference(1e-4, 2, 0.0, noise=0.01) == pytest.approx(half)


def test_seeds_that_spread_more_count_as_before():
    plain, noisy = (prediction(1.0, 0.5, 3, 0.2, noise=noise) for noise in (0.0, 0.01))
    assert noisy == plain


def test_the_published_run_is_as_noisy_as_ours():
    """Without a published error, the published value is one run with our variance."""
    half = prediction(0.0, 0.0, 4, noise=0.04).half_width()
    assert half == pytest.approx(stats.norm.ppf(0.95) * 0.2 * math.sqrt(1 / 4 + 1))


@pytest.mark.statistical
@pytest.mark.parametrize("n", [2, 3, 5])
@pytest.mark.parametrize("sigma", [0.0, 0.1, 0.3])
def test_coverage_is_at_least_the_level(n, sigma):
    """Runs N(0, σ² + 0.1²): with the floor, the interval covers 0 in at least 90 %, 5 sigma."""
    trials, noise = 20_000, 0.01
    values = np.random.default_rng(n).normal(0.0, math.sqrt(sigma**2 + noise), (trials, n))
    means, sds = values.mean(1), values.std(1, ddof=1)
    halves = np.maximum(
        stats.t.ppf(0.95, n - 1) * sds / math.sqrt(n),
        stats.norm.ppf(0.95) * math.sqrt(noise / n),
    )
    for mean, sd, half in list(zip(means, sds, halves, strict=True))[:50]:
        found = prediction(mean, sd, n, published_error=0.0, noise=noise)
        assert found.half_width() == pytest.approx(half)
    covered = float(np.mean(np.abs(means) <= halves))
    assert covered >= 0.9 - 5 * math.sqrt(0.09 / trials)
    if sigma == 0:  # the floor matters: luck no longer makes intervals of nearly no width
        plain = stats.t.ppf(0.95, n - 1) * sds / math.sqrt(n)
        assert (halves > plain).mean() > 0.05
        assert halves.min() == pytest.approx(stats.norm.ppf(0.95) * math.sqrt(noise / n))


@pytest.mark.parametrize(
    ("errors", "variance"),
    [
        ([0.3, 0.1], 0.05),
        ([0.3, math.nan], 0.09),  # one unknown error does not hide the others
        ([0.3, None], 0.045),  # an exact number has none
        ([math.nan, math.nan], 0.0),
        ([], 0.0),
    ],
)
def test_unknown_errors_are_left_out(tmp_path, errors, variance):
    bench = Bench(tmp_path, ONE)
    found = []
    for seed, error in enumerate(errors):
        case = bench.case("A", seed)
        metrics = {"nll": StoredMetric(value=90.0, mc_se=error)}
        found.append(Result(case=case, key=case.key, fingerprint="now", metrics=metrics))
    assert monte_carlo_variance(found, "nll") == pytest.approx(variance)
