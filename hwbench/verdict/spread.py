"""The spread over seeds, and other sources of uncertainty."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from hwbench import vocabulary
from hwbench.spec import Case, Published, Row, Spec
from hwbench.store import Result, Store
from hwbench.verdict.evidence import BEST_FIRST, Measured, StoredResults, values_by_seed
from hwbench.verdict.reasons import Untested
from hwbench.verdict.statistics import Estimate, mean_and_sd, smallest_difference

NEGLIGIBLE = 0.1  # uncertainty of log Z, in nats, below which it is not mentioned
LOOSE = 0.5  # share of points with unreliable weights from which a bound is called loose


def detectable_difference(stored: StoredResults, row: Row, planned: Sequence[Case]) -> float | None:
    """Return the detectable difference of a row once the planned cases have run.

    Stored seeds at their profile count with them. The spread is that of the fullest profile with
    at least two results of today's spec and code on the same data set. None without such a spread,
    without a published value, or with one seed.
    """
    spec, published = stored.spec, stored.spec.judged(row)
    use, at = planned[0].data.get("use"), planned[0].profile
    found = []
    seeds = {case.seed for case in planned}
    for profile in BEST_FIRST:
        groups = stored.evidence(row, profile).measured(spec.metric)
        same = [
            result
            for result in itertools.chain(*groups)
            if result.case.data.get("use") == use and not stored.changed([result])
        ]
        found.append(same)
        if profile == at:
            seeds |= {result.case.seed for result in same}
    several = next((same for same in found if len(same) > 1), None)
    if several is None or published is None or len(seeds) < 2:
        return None
    sd = mean_and_sd(list(values_by_seed(several, spec.metric).values()))[1]
    assert sd is not None
    draw = draw_variance(several, spec.metric, published, stored.store) or 0.0
    return smallest_difference(
        sd,
        len(seeds),
        published.error,
        published.rounding,
        trials=spec.trials(row),
        draw=draw,
        noise=monte_carlo_variance(several, spec.metric),
    )


def monte_carlo_variance(results: Sequence[Result], metric: str) -> float:
    """Return the variance of one run due to the Monte Carlo error of its evaluation: the mean.

    Results without such an error, such as exact ones, count as 0; unknown errors (NaN) are left
    out. If all are unknown, it is 0.
    """
    errors = [r.metrics[metric].mc_se or 0.0 for r in results if metric in r.metrics]
    known = [error for error in errors if not math.isnan(error)]
    return float(np.mean(np.square(known))) if known else 0.0


def draw_variance(
    results: Sequence[Result], metric: str, published: Published, store: Store
) -> float | None:
    """Return the variance that the draw of test pixels adds to a published value; None if unknown.

    If pixels are drawn anew for each seed, the variance of each point over seeds estimates the
    variance of a draw (training adds to it, so the estimate is not too small). The published value
    rests on one such draw, which its error does not include. Without a published error, our own
    spread is used, which includes the draw.
    """
    if published.error is None or results[0].case.pixels != "dynamic":
        return 0.0
    name = vocabulary.TERMS.get(metric)
    if name is None:
        return None
    arrays = []
    for result in results:
        values = store.per_point(result).get(name)
        if values is None or not np.all(np.isfinite(values)):
            return None
        arrays.append(values.astype(float))
    if len(arrays) < 2 or len({a.shape for a in arrays}) != 1:
        return None
    return float(np.var(arrays, axis=0, ddof=1).mean() / arrays[0].size)


def doubt(results: Sequence[Result], metric: str) -> float:
    """Return by how much a log-likelihood may be worse because annealing did not find log Z.

    Annealing upwards approaches log Z from below, annealing downwards from above. If their 3σ
    intervals leave a gap, the true value may lie anywhere in it. Returns the mean gap over results.
    """
    if metric not in (vocabulary.LOG_LIKELIHOOD, vocabulary.NLL):
        return 0.0
    gaps = []
    for result in results:
        high = result.diagnostics.get(vocabulary.LOG_Z_HIGH)
        low = result.diagnostics.get(vocabulary.LOG_Z_REVERSE_LOW)
        gaps.append(0.0 if high is None or low is None else max(0.0, low - high))
    return float(np.mean(gaps)) if gaps else 0.0


def is_loose(results: Sequence[Result], metric: str) -> bool:
    """Return whether a log-likelihood is a bound that its evaluator calls loose, in any result.

    An ELBO is compared as the bound that it is.
    """
    return metric in (vocabulary.LOG_LIKELIHOOD, vocabulary.NLL) and any(
        result.metrics[metric].kind in ("lower bound", "upper bound")
        and (result.diagnostics.get(vocabulary.PARETO_K_BAD) or 0.0) > LOOSE
        for result in results
    )


def notable_doubt(nats: float) -> float:
    """Return the uncertainty of log Z, or 0 if it is negligible."""
    return nats if nats >= NEGLIGIBLE else 0.0


def with_doubt(estimate: Estimate, better: Literal["higher", "lower"], nats: float) -> Estimate:
    """Return measured − published, extended on the side where the measured number may be worse."""
    if better == "higher":
        return replace(estimate, below=nats)
    return replace(estimate, above=nats)


def no_spread(sd: float | None) -> Untested:
    """Return why the spread over seeds of a random method is unknown."""
    return Untested("single" if sd is None else "equal")


def is_fixed(
    groups: Sequence[Sequence[Result]], sd: float | None, declared: bool, store: Store
) -> bool:
    """Return whether rows are deterministic: all seeds agree, or the spec declares its one seed so.

    Two nets may make the same number of errors by chance; a deterministic model errs on the same
    points.
    """
    if sd is not None:
        return sd == 0 and all(_same_predictions(group, store) for group in groups)
    return declared


def spread_over_seeds(stored: StoredResults, measured: Measured) -> float | None:
    """Return a row's standard deviation over seeds, 0 if it is deterministic; None if unknown."""
    declared = stored.spec.deterministic(measured.row)
    fixed = is_fixed([measured.results], measured.sd, declared, stored.store)
    return 0.0 if fixed else measured.sd or None


def all_deterministic(spec: Spec, rows: Iterable[Row]) -> bool:
    """Return whether the spec declares all these rows deterministic."""
    return all(spec.deterministic(row) for row in rows)


def _same_predictions(results: Sequence[Result], store: Store) -> bool:
    """Return whether all seeds are right on the same points, as far as arrays are stored."""
    found = [store.per_point(result).get(vocabulary.CORRECT) for result in results]
    known = [correct for correct in found if correct is not None]
    return all(np.array_equal(correct, known[0]) for correct in known)
