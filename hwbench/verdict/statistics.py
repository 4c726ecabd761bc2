"""Estimates, intervals and tests: numbers in, numbers out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

LEVEL = 0.9  # coverage of every interval
ALPHA = 0.05  # of every one-sided test: what one end of an interval leaves out


@dataclass(frozen=True)
class Interval:
    """A central interval with its coverage."""

    low: float
    high: float
    level: float = LEVEL

    @property
    def half(self) -> float:
        """Return half its width."""
        return (self.high - self.low) / 2


@dataclass(frozen=True)
class Estimate:
    """A difference with its standard error and degrees of freedom: Student t around the truth.

    `below` and `above` extend the interval for a systematic error that more seeds would not
    reduce; the tests use the extended ends.
    """

    effect: float
    se: float
    df: float
    below: float = 0.0
    above: float = 0.0

    @classmethod
    def combined(cls, effect: float, parts: Iterable[tuple[float, float]]) -> Estimate:
        """Combine independent (variance v, degrees of freedom ν) parts.

        The sum has ν = (Σ v)² / Σ v²/ν_i degrees of freedom (Satterthwaite, 1946; Welch, 1947).

        >>> Estimate.combined(0.0, [(1.0, 4.0), (1.0, 4.0)]).df
        8.0
        """
        kept = [(v, df) for v, df in parts if v > 0]
        total = sum(v for v, _ in kept)
        spread = sum(v * v / df for v, df in kept)
        return cls(effect, math.sqrt(total), total * total / spread if spread > 0 else math.inf)

    def half_width(self, level: float = LEVEL) -> float:
        """Return half the width of the central interval, chance alone."""
        if self.se > 0:
            from scipy.special import stdtrit  # scipy.stats takes a second to import

            return float(stdtrit(self.df, (1 + level) / 2)) * self.se
        return 0.0

    def interval(self, level: float = LEVEL) -> Interval:
        """Return the central interval."""
        half = self.half_width(level)
        low, high = self.effect - self.below, self.effect + self.above
        return Interval(low - half, high + half, level)

    def p_above(self, threshold: float = 0.0) -> float:
        """Return the one-sided p value of 'the true difference is at most `threshold`'."""
        least = self.effect - self.below
        if self.se > 0:
            from scipy.special import stdtr

            return float(stdtr(self.df, (threshold - least) / self.se))
        return 0.0 if least > threshold else 1.0

    def p_below(self, threshold: float = 0.0) -> float:
        """Return the one-sided p value of 'the true difference is at least `threshold`'."""
        flipped = Estimate(-self.effect, self.se, self.df, self.above, self.below)
        return flipped.p_above(-threshold)


def prediction(
    difference: float,
    sd: float,
    n: int,
    published_error: float | None = None,
    rounding: float = 0.0,
    trials: int | None = None,
    draw: float = 0.0,
    noise: float = 0.0,
) -> Estimate:
    """Return measured − published with everything that makes it uncertain.

    Our mean of n seeds adds s²/n. The published value adds its standard error; without one, it
    counts as a mean over `trials` runs (one by default) with our spread, s²/trials.
    Rounding to ± r is uniform: r²/3.

    A few seeds may agree by luck. The Monte Carlo error of each evaluation is known, so our part
    never counts for less than it: of (s², n − 1 degrees of freedom) and (noise, ∞) the one with the
    wider interval counts.

    Args:
        difference: measured − published.
        sd: our standard deviation s over seeds.
        n: how many seeds.
        published_error: published standard error, None if there is none.
        rounding: half a unit of the last published digit.
        trials: runs behind the published value; they also give its error degrees of freedom,
            without them it is taken as known.
        draw: variance of the published value from its own draw of the test pixels.
        noise: variance of one run from the Monte Carlo error of its evaluation.
    """
    candidates = Estimate(0.0, sd, n - 1.0), Estimate(0.0, math.sqrt(noise), math.inf)
    one = max(candidates, key=Estimate.half_width) if noise else candidates[0]
    own = one.se * one.se
    parts = [(rounding * rounding / 3, math.inf), (draw, math.inf)]
    if published_error is None:
        parts.append((own / n + own / (trials or 1), one.df))
    else:
        df = trials - 1.0 if trials is not None and trials > 1 else math.inf
        parts += [(own / n, one.df), (published_error**2, df)]
    return Estimate.combined(difference, parts)


def smallest_difference(
    sd: float,
    n: int,
    published_error: float | None = None,
    rounding: float = 0.0,
    trials: int | None = None,
    draw: float = 0.0,
    noise: float = 0.0,
) -> float:
    """Return the detectable difference from a published value; infinite for n < 2.

    >>> round(smallest_difference(0.1, 5), 3)  # t(0.95, 4) · 0.1 · √(1 + 1/5)
    0.234
    """
    if n < 2:
        return math.inf
    estimate = prediction(0.0, sd, n, published_error, rounding, trials, draw, noise)
    return estimate.half_width()


def holm(p: Sequence[float]) -> list[float]:
    """Return p values adjusted for their number m: the running maximum of (m − rank) p.

    Holm (1979).

    >>> [round(q, 3) for q in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    adjusted, running = [0.0] * len(p), 0.0
    for rank, i in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        running = max(running, min(1.0, (len(p) - rank) * p[i]))
        adjusted[i] = running
    return adjusted


def mcnemar(a: np.ndarray, b: np.ndarray) -> tuple[int, int, float]:
    """Compare two classifiers by McNemar's exact test; a and b, [N], say which points are right.

    Returns:
        how many points only a, and only b, has right, and the one-sided p value of 'a is not
        better'.
    """
    only_a, only_b = int(np.sum(a & ~b)), int(np.sum(b & ~a))
    if only_a == 0:
        return only_a, only_b, 1.0
    from scipy.special import betainc

    # P(X ≥ a) = I_p(a, n − a + 1) of a binomial X with n = a + b trials and p = 1/2
    return only_a, only_b, float(betainc(only_a, only_b + 1, 0.5))


def mean_and_sd(values: Sequence[float]) -> tuple[float, float | None]:
    """Return the mean, and the standard deviation (over n − 1), which one value does not have."""
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else None
    if sd is not None and len(set(values)) == 1:
        sd = 0.0  # equal numbers have no spread; floating point may give them one
    return float(np.mean(values)), sd


def error_of_mean(sd: float | None, n: int) -> float | None:
    """Return the standard error sd/√n of a mean; None without a standard deviation."""
    return None if sd is None else sd / math.sqrt(n)


def mean_and_error(values: Sequence[float]) -> tuple[float, float | None]:
    """Return the mean and its standard error sd/√n, which one value does not have.

    >>> mean_and_error([0.014] * 5)[1], mean_and_error([0.014])[1]
    (0.0, None)
    """
    mean, sd = mean_and_sd(values)
    return mean, error_of_mean(sd, len(values))


def near(x: float, y: float) -> bool:
    """Return whether two numbers agree to four digits."""
    return math.isclose(x, y, rel_tol=1e-4, abs_tol=1e-9)


def adjust_known(p: Sequence[float | None]) -> list[float | None]:
    """Return Holm-adjusted p values; None stays, and does not count."""
    known = iter(holm([q for q in p if q is not None]))
    return [None if q is None else next(known) for q in p]
