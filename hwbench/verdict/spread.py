"""The spread over seeds, and what else makes a number uncertain."""

from __future__ import annotations

import itertools
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

NEGLIGIBLE = 0.1  # nats of doubt in log Z that are not worth a word


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
    """Return the mean variance of one run through the Monte Carlo error of its evaluation.

    Results without such an error, as of an exact evaluation, count as 0.
    """
    errors = [r.metrics[metric].mc_se or 0.0 for r in results if metric in r.metrics]
    return float(np.mean(np.square(errors))) if errors else 0.0


def draw_variance(
    results: Sequence[Result], metric: str, published: Published, store: Store
) -> float | None:
    """Return what the draw of its test pixels adds to a published value's variance, if known.

    Where pixels are drawn anew for each seed, each point's spread over seeds estimates its
    variance (and what training adds, so not too little); the published value rests on one such
    draw, which its published error does not include. Without a published error, our spread is
    used, which includes the draw.
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
    """Return how much worse a log-likelihood may be because annealing did not find log Z.

    Annealing upwards gives log Z from below, annealing downwards from above. Where their 3σ
    intervals leave a gap, the truth may lie anywhere in it: the mean of such gaps over results.
    """
    if metric not in (vocabulary.LOG_LIKELIHOOD, vocabulary.NLL):
        return 0.0
    gaps = []
    for result in results:
        high = result.diagnostics.get(vocabulary.LOG_Z_HIGH)
        low = result.diagnostics.get(vocabulary.LOG_Z_REVERSE_LOW)
        gaps.append(0.0 if high is None or low is None else max(0.0, low - high))
    return float(np.mean(gaps)) if gaps else 0.0


def notable_doubt(nats: float) -> float:
    """Return the doubt in log Z where it is worth a word, else 0."""
    return nats if nats >= NEGLIGIBLE else 0.0


def with_doubt(estimate: Estimate, better: Literal["higher", "lower"], nats: float) -> Estimate:
    """Return measured − published where the measured number may be worse by so much."""
    if better == "higher":
        return replace(estimate, below=nats)
    return replace(estimate, above=nats)


def no_spread(sd: float | None) -> Untested:
    """Return why seeds that a seed does move have no spread to judge by."""
    return Untested("single" if sd is None else "equal")


def is_fixed(
    groups: Sequence[Sequence[Result]], sd: float | None, declared: bool, store: Store
) -> bool:
    """Return whether no seed moves these rows: none did, or one ran and the spec declares it.

    Two nets may err on as many points by chance; a model that no seed moves errs on the same ones.
    """
    if sd is not None:
        return sd == 0 and all(_same_predictions(group, store) for group in groups)
    return declared


def spread_over_seeds(stored: StoredResults, measured: Measured) -> float | None:
    """Return a row's standard deviation over seeds, 0 where no seed moves it; None if not known."""
    declared = stored.spec.deterministic(measured.row)
    fixed = is_fixed([measured.results], measured.sd, declared, stored.store)
    return 0.0 if fixed else measured.sd or None


def all_deterministic(spec: Spec, rows: Iterable[Row]) -> bool:
    """Return whether the spec declares that no seed moves any of these rows."""
    return all(spec.deterministic(row) for row in rows)


def _same_predictions(results: Sequence[Result], store: Store) -> bool:
    """Return whether all seeds are right on the same points, as far as arrays are stored."""
    found = [store.per_point(result).get(vocabulary.CORRECT) for result in results]
    known = [correct for correct in found if correct is not None]
    return all(np.array_equal(correct, known[0]) for correct in known)
