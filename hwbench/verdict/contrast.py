"""The test of two sides of a claim."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from hwbench.store import Result, Store
from hwbench.verdict.evidence import metric_value, values_by_seed
from hwbench.verdict.outcome import Pair
from hwbench.verdict.spread import doubt, is_fixed
from hwbench.verdict.statistics import Estimate, mcnemar, mean_and_sd, near
from hwbench.verdict.wording import CHANCE, FEW, doubt_texts


def _averaged(groups: Sequence[Sequence[Result]], metric: str) -> dict[int, float]:
    """Return the mean over rows for each seed that all of them have."""
    values = [values_by_seed(group, metric) for group in groups]
    common = sorted(set.intersection(*(set(v) for v in values)))
    return {seed: float(np.mean([v[seed] for v in values])) for seed in common}


def contrast(
    a: Sequence[Sequence[Result]],
    b: Sequence[Sequence[Result]],
    metric: str,
    better: Literal["higher", "lower"],
    store: Store,
    threshold: float = 0.0,
    tolerance: float | None = None,
    single: tuple[bool, bool] = (False, False),
) -> Pair | str:
    """Test that a is better than b by more than `threshold`; a and b hold results for each row.

    With `tolerance`, test that they differ by at most that. Seeds are the units: a paired t test
    over common seeds where both sides saw the same data, else Welch's; a side that no seed moves
    has no variance. Two classifiers that no seed moves are compared point by point (McNemar). Where
    nothing can be compared, the reason is returned. `single` says of a and of b whether their specs
    ask for one seed only.
    """
    values_a, values_b = _averaged(a, metric), _averaged(b, metric)
    if not values_a or not values_b:
        return "no seed is common to all rows of a side"
    sign = 1.0 if better == "higher" else -1.0
    blocks = [result.case.data for result in itertools.chain(*a, *b)]
    same_data = all(block == blocks[0] for block in blocks)
    common = sorted(set(values_a) & set(values_b)) if same_data else []
    differences = [sign * (values_a[seed] - values_b[seed]) + 0.0 for seed in common]  # no −0.0
    mean_a, sd_a = mean_and_sd([*values_a.values()])
    mean_b, sd_b = mean_and_sd([*values_b.values()])
    effect = sign * (mean_a - mean_b) + 0.0
    fixed_a, fixed_b = is_fixed(a, sd_a, single[0], store), is_fixed(b, sd_b, single[1], store)
    if fixed_a and fixed_b:
        if _same_test(blocks) and threshold == 0 and tolerance is None:
            found = _by_points(a, b, metric, effect, store)
            if found is not None:
                return found
        return Pair(effect, None, None, None, "none: the seed moves neither side")
    chance = bool(sd_a and sd_b) and any(differences) and np.ptp(differences) < 1e-9
    if len(differences) >= 2 and not chance:  # shares of few points may differ by the same
        mean, sd = mean_and_sd(differences)
        n = len(differences)
        estimate = Estimate(mean, (sd or 0.0) / math.sqrt(n), n - 1.0)
        test = f"paired t test over {n} seeds"
    else:
        n_a, n_b = len(values_a), len(values_b)
        moved = [sd for sd, fixed in ((sd_a, fixed_a), (sd_b, fixed_b)) if not fixed]
        if not all(moved):
            why = FEW if None in moved else f"none: {CHANCE}"
            return Pair(differences[0] if differences else effect, None, None, None, why)
        parts = [((sd_a or 0.0) ** 2 / n_a, n_a - 1.0), ((sd_b or 0.0) ** 2 / n_b, n_b - 1.0)]
        estimate = Estimate.of(effect, parts)
        test = f"Welch's t test over {n_a} and {n_b} seeds"
        if fixed_a or fixed_b:
            test = f"t test over {n_b if fixed_a else n_a} seeds against a fixed model"
    if estimate.se == 0 and not sd_a and not sd_b:  # not both are fixed
        return Pair(estimate.effect, None, None, None, f"none: {CHANCE}")
    of_a, of_b = (np.mean([doubt(group, metric) for group in side]) for side in (a, b))
    estimate = replace(estimate, below=float(of_a), above=float(of_b))
    test = ", ".join([test, *doubt_texts(float(of_a + of_b))])
    if tolerance is None:
        p_for, p_against = estimate.p_above(threshold), estimate.p_below(threshold)
    else:
        p_for = max(estimate.p_above(-tolerance), estimate.p_below(tolerance))
        p_against = min(estimate.p_above(tolerance), estimate.p_below(-tolerance))
        test = f"two one-sided tests ({test})"
    return Pair(estimate.effect, estimate.interval(), p_for, p_against, test)


def _same_test(blocks: Sequence[Mapping[str, Any]]) -> bool:
    """Say whether data blocks have the same test points, maybe in other views.

    Sets of one file of the shelf are views of the same points (raw pictures, and what a
    preprocessing makes of them); what is held out for validation leaves the test points alone.
    """
    views = [
        {k: v for k, v in block.items() if k not in ("use", "validation")}
        | {"file": str(block.get("use")).rpartition(".")[0]}
        for block in blocks
    ]
    return all(view == views[0] for view in views)


def _by_points(
    a: Sequence[Sequence[Result]],
    b: Sequence[Sequence[Result]],
    metric: str,
    effect: float,
    store: Store,
) -> Pair | None:
    """Return McNemar's test of two classifiers with predictions on the same points, or None."""
    if len(a) != 1 or len(b) != 1 or a[0][0].case.seed != b[0][0].case.seed:
        return None
    right, units = [], []
    for result in (a[0][0], b[0][0]):
        correct, value = store.per_point(result).get("correct"), metric_value(result, metric)
        if correct is None or value is None:
            return None
        share = float(correct.astype(bool).mean())
        units += [u for u in (1, 100) if any(near(value, u * x) for x in (share, 1 - share))][:1]
        right.append(correct.astype(bool))
    if right[0].shape != right[1].shape or len(units) != 2:
        return None  # other points, or a metric that is no share of right or wrong ones
    (only_a, only_b, p), against = mcnemar(*right), mcnemar(right[1], right[0])[2]
    n = right[0].size
    se = math.sqrt(only_a + only_b - (only_a - only_b) ** 2 / n) / n  # of a paired difference
    interval = Estimate(effect, max(units) * se, math.inf).interval()
    test = f"McNemar's exact test between two fixed models over {n} points"
    return Pair(effect, interval, p, against, f"{test} ({only_a} against {only_b})")


def weakest_pair(pairs: Sequence[Pair]) -> Pair:
    """Return neighbours of an order as one: smallest effect, largest p (intersection-union).

    Any reversed neighbours refute it, also where others cannot be tested.
    """
    weakest = min(pairs, key=lambda pair: pair.effect)
    if len(pairs) == 1:
        return weakest
    tested = [pair for pair in pairs if pair.p_for is not None]
    if not tested:
        return replace(weakest, test=pairs[0].test)
    p_for = [pair.p_for for pair in tested if pair.p_for is not None]
    p_against = [pair.p_against for pair in tested if pair.p_against is not None]
    tests = "; ".join(dict.fromkeys(pair.test for pair in tested))
    some = len(tested) < len(pairs)
    number = f"{len(tested)} of {len(pairs)}" if some else f"each of {len(pairs)}"
    return replace(
        weakest,
        p_for=None if some else max(p_for),
        p_against=min(1.0, len(pairs) * min(p_against)),
        test=f"{tests}, for {number} neighbours",
    )
