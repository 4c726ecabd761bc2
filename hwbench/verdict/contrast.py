"""The test of two sides of a claim."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from hwbench import vocabulary
from hwbench.store import Result, Store
from hwbench.verdict.evidence import metric_value, values_by_seed
from hwbench.verdict.facts import Method, Neighbours
from hwbench.verdict.outcome import Pair
from hwbench.verdict.reasons import Untested
from hwbench.verdict.spread import doubt, is_fixed, notable_doubt
from hwbench.verdict.statistics import Estimate, mcnemar, mean_and_sd, near


@dataclass(frozen=True)
class Sample:
    """The results of one side, a group for each of its rows; values are averaged over rows.

    Attributes:
        deterministic: whether the spec declares these rows deterministic.
    """

    groups: Sequence[Sequence[Result]]
    deterministic: bool = False


@dataclass(frozen=True)
class Question:
    """Is `a` better than `b` by more than `threshold`?

    With `tolerance`: do they differ by at most that?
    """

    a: Sample
    b: Sample
    metric: str
    better: Literal["higher", "lower"]
    threshold: float = 0.0
    tolerance: float | None = None

    @property
    def sign(self) -> float:
        """Return the sign that makes a better number the greater one."""
        return 1.0 if self.better == "higher" else -1.0


@dataclass(frozen=True)
class _Seeds:
    """A side's values by seed; `fixed` if it is deterministic."""

    values: Mapping[int, float]
    mean: float
    sd: float | None
    fixed: bool

    @property
    def part(self) -> tuple[float, float]:
        """Return the variance of the mean and its degrees of freedom."""
        n = len(self.values)
        return (self.sd or 0.0) ** 2 / n, n - 1.0


def _seeds(sample: Sample, metric: str, store: Store) -> _Seeds | None:
    """Return the mean over rows for each seed that all of them have; None where none is common."""
    values = [values_by_seed(group, metric) for group in sample.groups]
    common = sorted(set.intersection(*(set(v) for v in values)))
    if not common:
        return None
    found = {seed: float(np.mean([v[seed] for v in values])) for seed in common}
    mean, sd = mean_and_sd(list(found.values()))
    return _Seeds(found, mean, sd, is_fixed(sample.groups, sd, sample.deterministic, store))


def contrast(question: Question, store: Store) -> Pair | Untested:
    """Test two sides; seeds are the units.

    A paired t test over common seeds if both sides saw the same data, else Welch's test; a
    deterministic side has no variance. Two deterministic classifiers are compared point by point
    (McNemar). Returns `Untested` if there is not even an effect.
    """
    a, b = (_seeds(side, question.metric, store) for side in (question.a, question.b))
    if a is None or b is None:
        return Untested("apart")
    effect = question.sign * (a.mean - b.mean) + 0.0  # no −0.0
    if a.fixed and b.fixed:
        return _by_points(question, effect, store) or _no_test(effect, Untested("fixed"))
    differences = _differences(question, a, b)
    chance = bool(a.sd and b.sd) and any(differences) and np.ptp(differences) < 1e-9
    if len(differences) >= 2 and not chance:  # shares of few points may differ by the same
        found = _paired(differences, a, b)
    else:
        found = _unpaired(effect, a, b)
    if isinstance(found, Untested):
        return _no_test(differences[0] if differences else effect, found)
    return _judge(question, *found)


def _no_test(effect: float, why: Untested) -> Pair:
    return Pair(effect, None, None, None, why)


def _differences(question: Question, a: _Seeds, b: _Seeds) -> list[float]:
    """Return a − b, in the better direction, for seeds that saw the same data."""
    blocks = _blocks(question)
    if any(block != blocks[0] for block in blocks):
        return []
    common = sorted(set(a.values) & set(b.values))
    return [question.sign * (a.values[seed] - b.values[seed]) + 0.0 for seed in common]


def _results(question: Question) -> list[Result]:
    return list(itertools.chain(*question.a.groups, *question.b.groups))


def _blocks(question: Question) -> list[Mapping[str, Any]]:
    return [result.case.data for result in _results(question)]


def _paired(
    differences: Sequence[float], a: _Seeds, b: _Seeds
) -> tuple[Estimate, Method] | Untested:
    """Return the paired t test; equal numbers on both sides are chance unless both are fixed."""
    mean, sd = mean_and_sd(differences)
    if not sd and not a.sd and not b.sd:
        return Untested("equal")
    n = len(differences)
    return Estimate(mean, (sd or 0.0) / math.sqrt(n), n - 1.0), Method("paired", (n,))


def _unpaired(effect: float, a: _Seeds, b: _Seeds) -> tuple[Estimate, Method] | Untested:
    """Return Welch's t test, or that of one side against a fixed one."""
    moved = [side for side in (a, b) if not side.fixed]
    if not all(side.sd for side in moved):
        return Untested("few" if any(side.sd is None for side in moved) else "equal")
    kind: Literal["welch", "fixed"] = "welch" if len(moved) == 2 else "fixed"
    method = Method(kind, tuple(len(side.values) for side in moved))
    return Estimate.combined(effect, [side.part for side in moved]), method


def _judge(question: Question, estimate: Estimate, method: Method) -> Pair:
    """Return the p values of an estimate, allowing for the uncertainty of log Z on both sides."""
    below, above = (
        float(np.mean([doubt(group, question.metric) for group in side.groups]))
        for side in (question.a, question.b)
    )
    estimate = replace(estimate, below=below, above=above)
    tolerance = question.tolerance
    method = replace(method, doubt=notable_doubt(below + above), equivalence=tolerance is not None)
    if tolerance is None:
        p_for = estimate.p_above(question.threshold)
        p_against = estimate.p_below(question.threshold)
    else:  # Equivalence is shown by two one-sided tests.
        p_for = max(estimate.p_above(-tolerance), estimate.p_below(tolerance))
        p_against = _p_outside(estimate, tolerance)
    return Pair(estimate.effect, estimate.interval(), p_for, p_against, method)


def _p_outside(estimate: Estimate, tolerance: float) -> float:
    """Return the probability of an effect at least as far from 0, if the true one is ± tolerance.

    Both tails count: the test is two-sided for a small tolerance and one-sided for a large one.
    """
    distance = max(estimate.effect - estimate.below, -estimate.effect - estimate.above)
    away = Estimate(distance, estimate.se, estimate.df)
    return min(1.0, away.p_above(tolerance) + away.p_above(-tolerance))


def _same_test(question: Question) -> bool:
    """Return whether all results have the same test points, possibly in different views.

    Data sets that read the same files are views of the same points (raw and preprocessed
    pictures). The choice of validation points does not affect the test points.
    """
    # A data set cannot declare this itself, since results rest on its code.
    results = _results(question)
    views = [
        {k: v for k, v in r.case.data.items() if k not in ("use", "validation")} for r in results
    ]
    classes = {r.case.data.get("use") for r in results}
    files = {tuple(r.files) for r in results}
    one_source = len(classes) == 1 or (len(files) == 1 and files != {()})
    return one_source and all(view == views[0] for view in views)


def _by_points(question: Question, effect: float, store: Store) -> Pair | None:
    """Return McNemar's test of two classifiers with predictions on the same points, or None."""
    a, b, metric = question.a.groups, question.b.groups, question.metric
    if question.threshold or question.tolerance is not None or not _same_test(question):
        return None
    if metric not in (vocabulary.ERROR, vocabulary.ACCURACY):
        return None
    if len(a) != 1 or len(b) != 1 or a[0][0].case.seed != b[0][0].case.seed:
        return None
    right = []
    for result in (a[0][0], b[0][0]):
        correct, value = (
            store.per_point(result).get(vocabulary.CORRECT),
            metric_value(result, metric),
        )
        if correct is None or value is None:
            return None
        share = float(correct.astype(bool).mean())
        if not near(value, {vocabulary.ERROR: 1 - share, vocabulary.ACCURACY: share}[metric]):
            return None
        right.append(correct.astype(bool))
    if right[0].shape != right[1].shape:
        return None
    (only_a, only_b, p), against = mcnemar(*right), mcnemar(right[1], right[0])[2]
    n = right[0].size
    se = math.sqrt(only_a + only_b - (only_a - only_b) ** 2 / n) / n  # of a paired difference
    interval = Estimate(effect, se, math.inf).interval()
    return Pair(effect, interval, p, against, Method("mcnemar", points=n, only=(only_a, only_b)))


def weakest_pair(pairs: Sequence[Pair]) -> Pair:
    """Return neighbours of an order as one: smallest effect, largest p (intersection-union).

    Any reversed neighbours refute it, even if others cannot be tested.
    """
    weakest = min(pairs, key=lambda pair: pair.effect)
    if len(pairs) == 1:
        return weakest
    methods = [pair.method for pair in pairs if isinstance(pair.method, Method)]
    if not methods:
        return replace(weakest, method=pairs[0].method)
    p_for = [pair.p_for for pair in pairs if pair.p_for is not None]
    p_against = [pair.p_against for pair in pairs if pair.p_against is not None]
    return replace(
        weakest,
        p_for=max(p_for) if len(methods) == len(pairs) else None,
        p_against=min(1.0, len(pairs) * min(p_against)),
        method=Neighbours(tuple(methods), len(methods), len(pairs)),
    )
