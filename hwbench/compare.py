"""Results against published values and claims: a verdict for each row and each claim.

Definitions stand in `docs/verdicts.md`; this module is torch-free and reads results through
`store` only. In short: seeds are the units; every interval is a central 90 % one, so that each of
its ends is a one-sided test at 5 %; a row is judged by an equivalence test against its margin, a
claim by one-sided t tests with Holm's adjustment.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from hwbench.spec import (
    PROFILES,
    Calibrate,
    Case,
    Claim,
    Gap,
    Profile,
    Published,
    Row,
    Scalar,
    Spec,
    SpecError,
    seeds_of,
    variants,
)
from hwbench.store import Failure, Result, Store

Verdict = Literal[
    "agrees",
    "better",
    "worse",
    "undecided",
    "reduced",
    "incomparable",
    "calibrated",
    "missing",
    "failed",
    "unpublished",
]
ClaimVerdict = Literal["holds", "fails", "undecided", "missing"]
Fingerprint = Callable[[Case], str]

LEVEL = 0.9  # coverage of every interval
ALPHA = 0.05  # of every one-sided test: what one end of an interval leaves out
FEW = "none: fewer than 2 seeds"
CHANCE = "the seeds' numbers coincide by chance"
CHANCELESS = "exemplars."  # fits of this file of the shelf draw nothing: k-NN and SVM
BEST_FIRST: tuple[Profile, ...] = tuple(reversed(PROFILES))


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
class RowOutcome:
    """What is measured and what was published of one row, and how they compare.

    Attributes:
        results: results that count, one per seed (profile chosen: full before quick before smoke
            unless asked).
        profile: the profile they were run at, None without results.
        mean, sd: over seeds, of the spec's metric; sd is None for one seed.
        se_points: mean standard error over test points, shown but not counted.
        difference: measured − published, with the prediction `interval`, both None where nothing
            was published.
        smallest: the smallest difference that this many seeds could have told from zero (half
            width of interval).
        verdict, reason: see the module; `reason` is one sentence for people.
        flags: 'stale', 'code changed', 'from memory', 'stand-in: …', 'score, not a likelihood',
            'log Z in doubt by 130 nats', 'plugin: …', 'smoke', '2 seeds failed', 'against' (a row
            of the user's own spec).
        expected_seeds: how many seeds the profile asks for.
        also: further metrics that were published: (measured mean, published value).
    """

    row: Row
    results: list[Result]
    profile: Profile | None
    mean: float | None
    sd: float | None
    se_points: float | None
    published: Published | None
    difference: float | None
    interval: Interval | None
    smallest: float | None
    verdict: Verdict
    reason: str
    flags: list[str] = field(default_factory=list)
    expected_seeds: int = 0
    also: dict[str, tuple[float | None, float | None]] = field(default_factory=dict)


@dataclass(frozen=True)
class ClaimPart:
    """A claim at one combination of the coordinates that it holds equal.

    Attributes:
        at: those coordinates.
        verdict: holds, fails, undecided, missing.
        effect: the difference tested (the smallest of an order), in the better direction.
        interval: its confidence interval, level 0.9 unless said.
        p: Holm-adjusted one-sided p value of what the verdict says (that the claim fails, or else
            that it holds), None where none is defined.
        test: which test was used, in words, with the number of units ('paired t test over 5
            seeds').
        profile: lowest profile among the results used.
        reason: one sentence for people.
        counts: whether the part enters the verdict on the claim; not where calibration chose
            another setting.
        changed: rows whose results, used here, ran with other code than today's.
    """

    at: dict[str, object]
    verdict: ClaimVerdict
    effect: float | None
    interval: Interval | None
    p: float | None
    test: str
    profile: Profile | None
    reason: str
    counts: bool = True
    changed: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class ClaimOutcome:
    """A claim of the document with its verdict over all its parts; see `conclude`."""

    claim: Claim
    parts: list[ClaimPart]
    verdict: ClaimVerdict
    reason: str

    @property
    def profile(self) -> Profile | None:
        """Return the lowest profile among the parts that count, None without any results."""
        found = {part.profile for part in _counted(self.parts) or self.parts}
        return next((profile for profile in PROFILES if profile in found), None)


@dataclass(frozen=True)
class Comparison:
    """A spec beside its results; what the report prints.

    Attributes:
        profile: the profile asked for, else the one at which all rows with results ran, None
            where they differ.
        banner: what the results themselves say in large letters (a fall-back to smoke).
    """

    spec: Spec
    rows: list[RowOutcome]
    claims: list[ClaimOutcome]
    warnings: list[str]
    profile: Profile | None
    banner: str | None = None


# --- statistics -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Estimate:
    """A difference with its standard error and degrees of freedom: Student t around the truth.

    The truth may also lie up to `below` less, or up to `above` more, for a reason that is no
    chance: the interval is as much longer there, and tests count on it.
    """

    effect: float
    se: float
    df: float
    below: float = 0.0
    above: float = 0.0

    @classmethod
    def of(cls, effect: float, parts: Iterable[tuple[float, float]]) -> Estimate:
        """Combine independent (variance v, degrees of freedom ν) parts.

        The sum has ν = (Σ v)² / Σ v²/ν_i degrees of freedom (Satterthwaite, 1946; Welch, 1947).

        >>> Estimate.of(0.0, [(1.0, 4.0), (1.0, 4.0)]).df
        8.0
        """
        kept = [(v, df) for v, df in parts if v > 0]
        total = sum(v for v, _ in kept)
        spread = sum(v * v / df for v, df in kept)
        return cls(effect, math.sqrt(total), total * total / spread if spread > 0 else math.inf)

    def half_width(self, level: float = LEVEL) -> float:
        """Return half the width of the central interval, chance alone."""
        from scipy import stats

        return float(stats.t.ppf((1 + level) / 2, self.df)) * self.se if self.se > 0 else 0.0

    def interval(self, level: float = LEVEL) -> Interval:
        """Return the central interval."""
        half = self.half_width(level)
        low, high = self.effect - self.below, self.effect + self.above
        return Interval(low - half, high + half, level)

    def p_above(self, threshold: float = 0.0) -> float:
        """Return the one-sided p value of 'the true difference is at most `threshold`'."""
        from scipy import stats

        least = self.effect - self.below
        if self.se > 0:
            return float(stats.t.sf((least - threshold) / self.se, self.df))
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
) -> Estimate:
    """Return measured − published with all that could have moved it.

    Our mean of n seeds adds s²/n. The published number adds its printed standard error; where
    none is printed, it is a mean over `trials` runs (one unless said) with our spread, s²/trials.
    Rounding to ± r is uniform: r²/3.

    Args:
        difference: measured − published.
        sd: our standard deviation s over seeds.
        n: how many seeds.
        published_error: printed standard error, None if none is printed.
        rounding: half a unit of the last printed digit.
        trials: runs behind the published number; they also give a printed error its degrees of
            freedom, without them it is taken as known.
        draw: variance of the published number through its own draw of the test pixels.
    """
    own = sd * sd
    parts = [(rounding * rounding / 3, math.inf), (draw, math.inf)]
    if published_error is None:
        parts.append((own / n + own / (trials or 1), n - 1.0))
    else:
        df = trials - 1.0 if trials is not None and trials > 1 else math.inf
        parts += [(own / n, n - 1.0), (published_error**2, df)]
    return Estimate.of(difference, parts)


def smallest_difference(
    sd: float,
    n: int,
    published_error: float | None = None,
    rounding: float = 0.0,
    level: float = LEVEL,
    trials: int | None = None,
    draw: float = 0.0,
) -> float:
    """Return the smallest difference from print that n seeds can tell; infinite for n < 2.

    >>> round(smallest_difference(0.1, 5), 3)  # t(0.95, 4) · 0.1 · √(1 + 1/5)
    0.234
    """
    if n < 2:
        return math.inf
    return prediction(0.0, sd, n, published_error, rounding, trials, draw).half_width(level)


def foreseen(on_file: OnFile, row: Row, planned: Sequence[Case]) -> float | None:
    """Return the smallest difference from print that a row can tell once the planned cases ran.

    Seeds on file at their profile count with them. The spread is that of the fullest profile with
    at least two results that today's spec and code gave on the same data set. None where there is
    no such spread, nothing printed, or one seed.
    """
    spec, published = on_file.spec, on_file.spec.judged(row)
    use, at = planned[0].data.get("use"), planned[0].profile
    found = []
    seeds = {case.seed for case in planned}
    for profile in BEST_FIRST:
        groups = on_file.at(row, profile).measured(spec.metric)
        same = [
            result
            for result in itertools.chain(*groups)
            if result.case.data.get("use") == use and not on_file.changed([result])
        ]
        found.append(same)
        if profile == at:
            seeds |= {result.case.seed for result in same}
    several = next((same for same in found if len(same) > 1), None)
    if several is None or published is None or len(seeds) < 2:
        return None
    sd = mean_and_sd(list(_values(several, spec.metric).values()))[1]
    assert sd is not None
    draw = _draw_variance(several, spec.metric, published, on_file.store) or 0.0
    return smallest_difference(
        sd, len(seeds), published.error, published.rounding, trials=spec.trials(row), draw=draw
    )


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
    from scipy import stats

    only_a, only_b = int(np.sum(a & ~b)), int(np.sum(b & ~a))
    return only_a, only_b, float(stats.binom.sf(only_a - 1, only_a + only_b, 0.5))


def mean_and_sd(values: Sequence[float]) -> tuple[float, float | None]:
    """Return the mean, and the standard deviation (over n − 1), which one value does not have."""
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else None
    if sd is not None and len(set(values)) == 1:
        sd = 0.0  # equal numbers have no spread; floating point may give them one
    return float(np.mean(values)), sd


# --- what is on file ------------------------------------------------------------------------------


@dataclass
class Evidence:
    """What is on file of one row at one profile.

    Attributes:
        runs: results that fit the spec, one list for each data set that may serve the row, the
            preferred one first.
        stale: results that fit no longer.
        failures: cases of the spec that came to no number.
    """

    runs: list[list[Result]]
    stale: list[Result] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)

    def lost(self, metric: str) -> list[int]:
        """Return the seeds that failed or whose `metric` is not finite, where no result has it."""
        have = {r.case.seed for group in self.measured(metric) for r in group}
        odd = {r.case.seed for group in self.runs for r in group if metric in r.metrics}
        failed = {f.case.seed for f in self.failures if f.kind == "failed"}
        return sorted((odd | failed) - have)

    def measured(self, metric: str) -> list[list[Result]]:
        """Return the non-empty lists of results that have a finite value of `metric`."""
        kept = [[r for r in group if _value(r, metric) is not None] for group in self.runs]
        return [group for group in kept if group]


def _value(result: Result, metric: str) -> float | None:
    found = result.metrics.get(metric)
    return found.value if found is not None and math.isfinite(found.value) else None


def _values(results: Iterable[Result], metric: str) -> dict[int, float]:
    """Return the metric by seed."""
    return {r.case.seed: v for r in results if (v := _value(r, metric)) is not None}


class OnFile:
    """The results and failures of a spec, sorted by row and profile.

    Args:
        spec: the table.
        store: the results.
        fingerprint: as for `compare`.
    """

    def __init__(self, spec: Spec, store: Store, fingerprint: Fingerprint | None = None) -> None:
        self.spec, self.store, self.fingerprint = spec, store, fingerprint
        results, self.warnings = store.results(spec.id)
        rows = {row.name: row for row in spec.rows}
        self._evidence: dict[tuple[str, Profile], Evidence] = {}
        gone: defaultdict[str, int] = defaultdict(int)
        for result in sorted(results, key=lambda r: r.case.seed):
            row = rows.get(result.case.row)
            if row is None:
                gone["/".join(map(str, result.case.at.values()))] += 1
                continue
            evidence = self.at(row, result.case.profile)
            place = self._variant(row, result.case)
            (evidence.stale if place is None else evidence.runs[place]).append(result)
        for failure in store.failures(spec.id):
            row = rows.get(failure.case.row)
            if row is None or self._variant(row, failure.case) is None:
                continue
            evidence = self.at(row, failure.case.profile)
            if failure.case.seed not in {r.case.seed for group in evidence.runs for r in group}:
                evidence.failures.append(failure)
        self.warnings += [
            f"{spec.id} has no row {name}: {n} results left aside" for name, n in gone.items()
        ]
        for (name, profile), evidence in self._evidence.items():
            if evidence.stale:
                n = f"{len(evidence.stale)} {profile} result{'s' * (len(evidence.stale) > 1)}"
                self.warnings.append(f"{label(rows[name])}: {n} stale: the spec has changed since")

    def at(self, row: Row, profile: Profile) -> Evidence:
        """Return what is on file of a row at a profile."""
        key = (row.name, profile)
        if key not in self._evidence:
            self._evidence[key] = Evidence([[] for _ in variants(self.spec, row, profile, 0)])
        return self._evidence[key]

    def changed(self, results: Sequence[Result]) -> bool:
        """Say whether a row's results come from other sources than today's."""
        if self.fingerprint is None or not results:
            return False
        today = self.fingerprint(results[0].case)
        return any(result.fingerprint != today for result in results)

    def _variant(self, row: Row, case: Case) -> int | None:
        """Return which data set a case used, None if the spec would no longer run it."""
        keys = [variant.key for variant in variants(self.spec, row, case.profile, case.seed)]
        return keys.index(case.key) if case.key in keys else None


def label(row: Row | Mapping[str, Any]) -> str:
    """Return coordinates for people, as 'MNIST/fixed/IWAE'."""
    return "/".join(str(v) for v in (row.at if isinstance(row, Row) else row).values())


def _number(x: float, scale: float | None = None, *, sign: bool = False) -> str:
    """Return a number with two significant digits of a `scale` below 1000, or four of its own."""
    if scale is None or not 0 < scale < 1000:
        return f"{x:+.4g}" if sign else f"{x:.4g}"
    places = max(0, min(6, 1 - math.floor(math.log10(scale))))
    return f"{x:+.{places}f}" if sign else f"{x:.{places}f}"


def _range(interval: Interval) -> str:
    ends = (_number(x, interval.half, sign=True) for x in (interval.low, interval.high))
    return f"[{', '.join(ends)}]"


def _seeds(n: int) -> str:
    return f"{n} seed{'s' * (n != 1)}"


# --- rows -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Measured:
    """The results of a row that count, at the fullest profile on file (or the one asked for)."""

    row: Row
    profile: Profile | None
    results: list[Result]
    mean: float | None = None
    sd: float | None = None

    @property
    def stand_in(self) -> str | None:
        """Return which data set stood in for which, if one did."""
        case = self.results[0].case if self.results else None
        if case is None or case.stands_in_for is None:
            return None
        return f"{case.data.get('use')} for {case.stands_in_for}"


def measure(on_file: OnFile, row: Row, profiles: Sequence[Profile]) -> Measured:
    """Return what counts of a row: its fullest profile with numbers, on its preferred data."""
    metric = on_file.spec.metric
    for profile in profiles:
        groups = on_file.at(row, profile).measured(metric)
        if groups:
            mean, sd = mean_and_sd(list(_values(groups[0], metric).values()))
            return Measured(row, profile, groups[0], mean, sd)
    return Measured(row, None, [])


def _absent(on_file: OnFile, row: Row, profiles: Sequence[Profile]) -> tuple[Verdict, str]:
    """Return why a row has no number."""
    metric = on_file.spec.metric
    found = [(profile, on_file.at(row, profile)) for profile in profiles]
    kinds: tuple[Literal["failed", "missing"], ...] = ("failed", "missing")
    for kind, (profile, evidence) in itertools.product(kinds, found):
        reasons = [f"seed {f.case.seed}: {f.reason}" for f in evidence.failures if f.kind == kind]
        if reasons:
            more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
            return kind, f"{profile}, {reasons[0]}{more}"
    for profile, evidence in found:
        for result in itertools.chain(*evidence.runs):
            if metric in result.metrics:
                return "failed", f"{profile}, seed {result.case.seed}: {metric} is not a number"
            known = ", ".join(sorted(result.metrics)) or "nothing"
            return "missing", f"the {profile} results do not measure {metric} (they hold {known})"
    if any(evidence.stale for _, evidence in found):
        return "missing", "stale: the spec has changed since"
    return "missing", "not run yet"


@dataclass(frozen=True)
class Setting:
    """What calibration found for one combination of the coordinates beside it.

    Attributes:
        chosen: the row that chose the coordinate's value; None where none was near enough, or it
            is still `open`.
    """

    chosen: Row | None
    open: bool
    reason: str


def _place(spec: Spec, row: Row) -> tuple[str, ...]:
    """Return the combination of coordinates that a row shares with the rows that calibrate it."""
    assert spec.calibrate is not None
    named = {spec.calibrate.coordinate, *spec.calibrate.by}
    return tuple(str(v) for k, v in row.at.items() if k not in named)


def calibrations(
    on_file: OnFile, measured: Mapping[str, Measured]
) -> dict[tuple[str, ...], Setting]:
    """Choose the value of the open coordinate at each combination of the others.

    See `spec.Calibrate`. A row that failed at full is out of the race; one that has not run yet
    keeps the choice open.
    """
    spec, rule = on_file.spec, on_file.spec.calibrate
    if rule is None:
        return {}
    groups: defaultdict[tuple[str, ...], list[Row]] = defaultdict(list)
    for row in spec.rows:
        if row.matches(rule.by) and spec.judged(row) is not None and row.incomparable is None:
            groups[_place(spec, row)].append(row)
    found = {}
    for place, rows in groups.items():
        distances: list[tuple[float, Row]] = []
        waiting = []
        for row in rows:
            of, published = measured[row.name], spec.judged(row)
            if of.profile == "full" and of.mean is not None and published and not of.stand_in:
                distances.append((abs(of.mean - published.value), row))
            elif not any(f.kind == "failed" for f in on_file.at(row, "full").failures):
                waiting.append(label(row))
        nearest = min(distances, key=lambda pair: pair[0], default=None)
        found[place] = _choose(spec, rule, nearest, waiting)
    return found


def _choose(
    spec: Spec, rule: Calibrate, nearest: tuple[float, Row] | None, waiting: Sequence[str]
) -> Setting:
    name, by = rule.coordinate, label(rule.by)
    if waiting:
        why = f"{name} is not chosen yet: no full results of {', '.join(waiting)}"
        return Setting(None, True, why)
    if nearest is None:
        return Setting(None, False, f"{name} cannot be chosen: every {by} failed")
    value, away = nearest[1].at[name], f"{nearest[0]:.3g} {spec.unit} away"
    if nearest[0] > rule.tolerance:
        why = f"no {name} brought {by} within {rule.tolerance:g} {spec.unit} of print"
        return Setting(None, False, f"{why} (nearest: {value}, {away})")
    why = f"{name} {value} was chosen: there {by} is nearest to print ({away})"
    return Setting(nearest[1], False, why)


def _draw_variance(
    results: Sequence[Result], metric: str, published: Published, store: Store
) -> float | None:
    """Return what the draw of its test pixels adds to a printed number's variance, if known.

    Where pixels are drawn anew for each seed, each point's spread over seeds estimates its
    variance (and what training adds, so not too little); the published number rests on one such
    draw, which its printed error does not show. Without one it has our spread, the draw in it.
    """
    if published.error is None or results[0].case.pixels != "dynamic":
        return 0.0
    arrays = []
    for result in results:
        values, stored = store.per_point(result).get("log_px"), _value(result, metric)
        if values is None or stored is None or not np.all(np.isfinite(values)):
            return None
        if abs(abs(float(values.mean(dtype=float))) - abs(stored)) > 1e-3 * max(1.0, abs(stored)):
            return None  # the array is of another metric
        arrays.append(values.astype(float))
    if len(arrays) < 2 or len({a.shape for a in arrays}) != 1:
        return None
    return float(np.var(arrays, axis=0, ddof=1).mean() / arrays[0].size)


def doubt(results: Sequence[Result], metric: str) -> float:
    """Return how much worse a log-likelihood may be because annealing did not find log Z.

    Annealing upwards gives log Z from below, annealing downwards from above. Where their 3σ
    intervals leave a gap, the truth may lie anywhere in it: the mean of such gaps over results.
    """
    if metric not in ("log_likelihood", "nll"):
        return 0.0
    gaps = []
    for result in results:
        high, low = (result.diagnostics.get(k) for k in ("log_z_high", "log_z_reverse_low"))
        gaps.append(0.0 if high is None or low is None else max(0.0, low - high))
    return float(np.mean(gaps)) if gaps else 0.0


def _doubts(by: float) -> list[str]:
    """Say that log Z is in doubt, where that is worth saying."""
    return [f"log Z in doubt by {_number(by, by)} nats"] if by >= 0.1 else []


def _position(spec: Spec, estimate: Estimate, margin: float) -> tuple[Verdict, str]:
    """Judge measured − published against ± margin by its interval."""
    interval, half = estimate.interval(), estimate.half_width()
    where = f"90 % interval {_range(interval)}"
    edge = f"±{margin:g} {spec.unit}"
    if -margin <= interval.low and interval.high <= margin:
        return "agrees", f"{where} lies inside {edge}"
    if interval.low > margin or interval.high < -margin:
        if (interval.low > margin) == (spec.better == "higher"):
            return "better", f"{where} lies beyond {edge}, on the good side"
        return "worse", f"{where} lies beyond {edge}, on the bad side"
    can = f"these seeds can tell {_number(half, half)} {spec.unit}"
    return "undecided", f"{where} crosses the margin {edge}; {can}"


def _flags(on_file: OnFile, of: Measured) -> list[str]:
    spec, flags = on_file.spec, []
    if of.profile == "smoke":
        flags.append("smoke")
    if of.stand_in:
        flags.append(f"stand-in: {of.stand_in}")
    flags += _doubts(doubt(of.results, spec.metric))
    if any(r.metrics[spec.metric].kind == "score" for r in of.results):
        flags.append("score, not a likelihood")
    if spec.judged(of.row) is not None and spec.known(of.row) == "memory":
        flags.append("from memory")
    flags += [f"plugin: {name}" for name in sorted({p for r in of.results for p in r.plugins})]
    fuller = PROFILES[PROFILES.index(of.profile) :] if of.profile else PROFILES
    if any(on_file.at(of.row, profile).stale for profile in fuller):
        flags.append("stale")
    if on_file.changed(of.results):
        flags.append("code changed")
    lost = on_file.at(of.row, of.profile).lost(spec.metric) if of.profile else []
    if lost:
        flags.append(f"{_seeds(len(lost))} failed")
    return flags


def differs_in_source(row: Row) -> bool:
    """Say whether the original source prints another number than the document does."""
    return row.source is not None and (
        row.published is None or row.published.text != row.source.text
    )


def _verdict(
    on_file: OnFile,
    of: Measured,
    profiles: Sequence[Profile],
    setting: Setting | None,
    difference: float | None,
    estimate: Estimate | None,
) -> tuple[Verdict, str]:
    """Ask the questions of `docs/verdicts.md` in their order; the first that applies decides."""
    spec, row = on_file.spec, of.row
    if of.profile is None:
        return _absent(on_file, row, profiles)
    if difference is None:
        return "unpublished", "nothing was published to compare with"
    if row.incomparable is not None:
        return "incomparable", row.incomparable
    away = _number(difference, estimate.half_width() if estimate else None, sign=True)
    by_source = spec.judged(row) is row.source and differs_in_source(row)
    away = f"{away} {spec.unit} from {'the source' if by_source else 'print'}"
    if of.profile != "full" and of.stand_in:
        return (
            "reduced",
            f"run at {of.profile} on other data ({of.stand_in}), so no distance counts",
        )
    if of.profile != "full":
        return "reduced", f"run at {of.profile}, not by the published protocol; {away}"
    if of.stand_in:
        return "incomparable", f"run on other data: {of.stand_in}"
    if setting is not None:
        if setting.open:
            return "undecided", setting.reason
        if setting.chosen == row:
            return "calibrated", f"{setting.reason}; it cannot agree with what it was fitted to"
        if setting.chosen is None or not _same_value(spec, row, setting.chosen):
            return "incomparable", setting.reason
    sure = spec.confidence(row)
    if spec.known(row) == "memory" and sure != "high":
        return "undecided", f"published from memory ({sure} confidence), so only shown; {away}"
    if estimate is None:
        return "undecided", f"{_no_spread(of.sd)}, so the spread over seeds is unknown; {away}"
    margin = spec.margin(row)
    if margin is None:
        return "undecided", "the spec states no margin"
    verdict, reason = _position(spec, estimate, margin)
    lost = on_file.at(row, of.profile).lost(spec.metric)
    if lost and verdict in ("agrees", "better"):
        why = f"{_seeds(len(lost))} failed, so those that are left are a selection"
        return "undecided", f"{why}; {reason}"
    return verdict, reason


def judge_row(
    on_file: OnFile,
    of: Measured,
    profiles: Sequence[Profile],
    setting: Setting | None,
) -> RowOutcome:
    """Return the outcome of one row."""
    spec, row, published = on_file.spec, of.row, on_file.spec.judged(of.row)
    difference = None if of.mean is None or published is None else of.mean - published.value
    estimate: Estimate | None = None
    notes = []
    spread = _spread(on_file, of)
    if difference is not None and published is not None and spread is not None:
        draw = _draw_variance(of.results, spec.metric, published, on_file.store)
        if draw is None:
            notes.append("the draw of test pixels is not counted: no values per image on file")
        estimate = prediction(
            difference,
            spread,
            len(of.results),
            published.error,
            published.rounding,
            spec.trials(row),
            draw or 0.0,
        )
        estimate = _doubted(estimate, spec.better, doubt(of.results, spec.metric))
    verdict, reason = _verdict(on_file, of, profiles, setting, difference, estimate)
    fuller = profiles[: profiles.index(of.profile)] if of.profile else ()
    notes += [_absent(on_file, row, [p])[1] for p in fuller if on_file.at(row, p).failures]
    errors = [r.metrics[spec.metric].se for r in of.results]
    points = [se for se in errors if se is not None and math.isfinite(se)]
    return RowOutcome(
        row=row,
        results=of.results,
        profile=of.profile,
        mean=of.mean,
        sd=of.sd,
        se_points=float(np.mean(points)) if points else None,
        published=published,
        difference=difference,
        interval=estimate.interval() if estimate else None,
        smallest=estimate.half_width() if estimate else None,
        verdict=verdict,
        reason="; ".join([reason, *notes]),
        flags=_flags(on_file, of),
        expected_seeds=seeds_of(spec, row, of.profile or profiles[0]),
        also=_also(row, of.results),
    )


def _doubted(estimate: Estimate, better: Literal["higher", "lower"], by: float) -> Estimate:
    """Return measured − published where the measured number may be worse by so much."""
    if better == "higher":
        return replace(estimate, below=by)
    return replace(estimate, above=by)


def _same_value(spec: Spec, a: Row, b: Row) -> bool:
    assert spec.calibrate is not None
    name = spec.calibrate.coordinate
    return str(a.at.get(name)) == str(b.at.get(name))


def _also(row: Row, results: Sequence[Result]) -> dict[str, tuple[float | None, float | None]]:
    out: dict[str, tuple[float | None, float | None]] = {}
    for name, published in (row.also or {}).items():
        values = list(_values(results, name).values())
        out[name] = (float(np.mean(values)) if values else None, published)
    return out


# --- claims ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Side:
    """One of the groups of rows that a claim compares; values are averaged over rows, by seed."""

    name: str
    rows: list[Row]


@dataclass(frozen=True)
class Pair:
    """What a test of two sides found; p values for and against are None without a test."""

    effect: float
    interval: Interval | None
    p_for: float | None
    p_against: float | None
    test: str


@dataclass(frozen=True)
class Draft:
    """A part of a claim before the p values are adjusted for their number."""

    part: ClaimPart
    p_for: float | None = None
    p_against: float | None = None


def parts_of(spec: Spec, claim: Claim) -> list[tuple[dict[str, Scalar], list[Side]]]:
    """Return the combinations of coordinates that a claim holds equal, each with its sides.

    Sides stand best first. Values of an order that have no row at a combination are left out
    there; what is left with one side is no part.
    """
    wanted: list[tuple[str, Mapping[str, Scalar]]]
    if claim.order is not None:
        ((coordinate, values),) = claim.order.items()
        named = {coordinate}
        wanted = [(str(value), {coordinate: value}) for value in values]
    elif claim.gap is not None:
        named = {*claim.gap.better, *claim.gap.worse}
        wanted = [(label(side), side) for side in (claim.gap.better, claim.gap.worse)]
    else:
        assert claim.within is not None
        named = {*claim.within.a, *claim.within.b}
        wanted = [(label(side), side) for side in (claim.within.a, claim.within.b)]
    groups: dict[tuple[tuple[str, str], ...], list[Row]] = {}
    for row in spec.rows:
        if row.matches(claim.where):
            held = tuple((k, str(v)) for k, v in row.at.items() if k not in named)
            groups.setdefault(held, []).append(row)
    out = []
    for rows in groups.values():
        sides = [Side(name, [r for r in rows if r.matches(at)]) for name, at in wanted]
        sides = [side for side in sides if side.rows]
        if len(sides) >= 2:
            out.append(({k: v for k, v in rows[0].at.items() if k not in named}, sides))
    return out


def _one_data(results: Iterable[Result]) -> bool:
    """Say whether results go together: all on their rows' own data, or each set by one stand-in."""
    uses: dict[str, set[str]] = defaultdict(set)
    standing = set()
    for result in results:
        use = str(result.case.data.get("use"))
        uses[result.case.stands_in_for or use].add(use)
        standing.add(result.case.stands_in_for is not None)
    return len(standing) <= 1 and all(len(found) == 1 for found in uses.values())


def evidence_for(
    on_file: OnFile, rows: Sequence[Row], metric: str, profiles: Sequence[Profile]
) -> tuple[Profile, dict[str, list[Result]]] | str:
    """Return the fullest profile at which all rows have the metric on data that go together.

    With it come those results, by row; where there is none, the reason is returned.
    """
    apart = ""
    for profile in profiles:
        options = [on_file.at(row, profile).measured(metric) for row in rows]
        if not all(options):
            continue
        for choice in itertools.product(*options):  # the rows' preferred data sets come first
            if _one_data(group[0] for group in choice):
                return profile, {row.name: group for row, group in zip(rows, choice, strict=True)}
        apart = f"at {profile} the rows were measured on different data, some on stand-ins"
    if apart:
        return apart
    never = [r for r in rows if not any(on_file.at(r, p).measured(metric) for p in profiles)]
    if never:
        return f"no results with {metric} of {', '.join(label(r) for r in never)}"
    return "no profile at which all its rows have results"


def _averaged(groups: Sequence[Sequence[Result]], metric: str) -> dict[int, float]:
    """Return the mean over rows for each seed that all of them have."""
    values = [_values(group, metric) for group in groups]
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
    fixed_a, fixed_b = _fixed(a, sd_a, single[0], store), _fixed(b, sd_b, single[1], store)
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
    test = ", ".join([test, *_doubts(float(of_a + of_b))])
    if tolerance is None:
        p_for, p_against = estimate.p_above(threshold), estimate.p_below(threshold)
    else:
        p_for = max(estimate.p_above(-tolerance), estimate.p_below(tolerance))
        p_against = min(estimate.p_above(tolerance), estimate.p_below(-tolerance))
        test = f"two one-sided tests ({test})"
    return Pair(estimate.effect, estimate.interval(), p_for, p_against, test)


def _fixed(
    groups: Sequence[Sequence[Result]], sd: float | None, single: bool, store: Store
) -> bool:
    """Say whether the seed changes nothing: it did not, or the spec has one seed of k-NN or SVM.

    Two nets may err on as many points by chance; a model that no seed moves errs on the same ones.
    """
    if sd is not None:
        return sd == 0 and all(_same_predictions(group, store) for group in groups)
    stages = [stage for group in groups for result in group for stage in result.case.train]
    fits = [str((stage.get("fit") or {}).get("use")) for stage in stages]
    return single and all(use.startswith(CHANCELESS) for use in fits)


def _spread(on_file: OnFile, of: Measured) -> float | None:
    """Return a row's standard deviation over seeds, 0 where no seed moves it; None if not known."""
    fixed = _fixed([of.results], of.sd, _single(on_file.spec, [of.row]), on_file.store)
    return 0.0 if fixed else of.sd or None


def _no_spread(sd: float | None) -> str:
    """Say why seeds that a seed does move have no spread to judge by."""
    return "one seed only" if sd is None else CHANCE


def _single(spec: Spec, rows: Iterable[Row]) -> bool:
    """Say whether a spec asks for one seed of each of these rows even where all is run."""
    return all(seeds_of(spec, row, "full") == 1 for row in rows)


def _same_predictions(results: Sequence[Result], store: Store) -> bool:
    """Say whether all seeds are right on the same points, as far as that is on file."""
    found = [store.per_point(result).get("correct") for result in results]
    known = [correct for correct in found if correct is not None]
    return all(np.array_equal(correct, known[0]) for correct in known)


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
        correct, value = store.per_point(result).get("correct"), _value(result, metric)
        if correct is None or value is None:
            return None
        share = float(correct.astype(bool).mean())
        units += [u for u in (1, 100) if any(_near(value, u * x) for x in (share, 1 - share))][:1]
        right.append(correct.astype(bool))
    if right[0].shape != right[1].shape or len(units) != 2:
        return None  # other points, or a metric that is no share of right or wrong ones
    (only_a, only_b, p), against = mcnemar(*right), mcnemar(right[1], right[0])[2]
    n = right[0].size
    se = math.sqrt(only_a + only_b - (only_a - only_b) ** 2 / n) / n  # of a paired difference
    interval = Estimate(effect, max(units) * se, math.inf).interval()
    test = f"McNemar's exact test between two fixed models over {n} points"
    return Pair(effect, interval, p, against, f"{test} ({only_a} against {only_b})")


def _near(x: float, y: float) -> bool:
    return math.isclose(x, y, rel_tol=1e-4, abs_tol=1e-9)


def _missing(at: Mapping[str, object], reason: str) -> Draft:
    return Draft(ClaimPart(dict(at), "missing", None, None, None, "", None, reason))


def _lost(on_file: OnFile, rows: Iterable[Row], profile: Profile, metric: str) -> str:
    """Return which seeds failed, as a reason to leave a claim undecided; empty if none did."""
    lost = [f"{label(row)} seed {s}" for row in rows for s in on_file.at(row, profile).lost(metric)]
    return f"{', '.join(lost)} failed, and the rest is a selection" if lost else ""


def _draft(
    at: Mapping[str, object],
    pair: Pair,
    profile: Profile,
    reason: str,
    lost: str,
    changed: Iterable[str],
) -> Draft:
    if pair.p_for is None and pair.p_against is None:
        reason += f"; {pair.test.removeprefix('none: ')}"
    if lost:
        reason += f"; {lost}"
    part = ClaimPart(
        at=dict(at),
        verdict="undecided",
        effect=pair.effect,
        interval=pair.interval,
        p=None,
        test=pair.test,
        profile=profile,
        reason=reason,
        changed=list(dict.fromkeys(changed)),
    )
    return Draft(part) if lost else Draft(part, pair.p_for, pair.p_against)


def _signed(pair: Pair, unit: str) -> str:
    half = pair.interval.half if pair.interval else None
    return f"{_number(pair.effect, half, sign=True)} {unit}".strip()


def draft_part(
    on_file: OnFile,
    claim: Claim,
    at: Mapping[str, Scalar],
    sides: Sequence[Side],
    profiles: Sequence[Profile],
) -> Draft:
    """Test one part of a claim; an order needs every neighbours' gap (intersection-union)."""
    spec = on_file.spec
    metric, better = claim.metric or spec.metric, claim.better or spec.better
    unit = spec.unit if metric == spec.metric else ""
    threshold = claim.gap.at_least if claim.gap else 0.0
    tolerance = claim.within.tolerance if claim.within else None
    pairs: dict[str, Pair] = {}
    used: list[Profile] = []
    lost: list[str] = []
    changed: list[str] = []
    for a, b in itertools.pairwise(sides):
        rows = [*a.rows, *b.rows]
        found = evidence_for(on_file, rows, metric, profiles)
        if isinstance(found, str):
            return _missing(at, found)
        profile, results = found
        groups = [[results[row.name] for row in side.rows] for side in (a, b)]
        single = _single(spec, a.rows), _single(spec, b.rows)
        pair = contrast(
            groups[0], groups[1], metric, better, on_file.store, threshold, tolerance, single
        )
        if isinstance(pair, str):
            return _missing(at, f"{a.name} and {b.name}: {pair}")
        pairs[f"{a.name} {'over' if tolerance is None else 'and'} {b.name}"] = pair
        used.append(profile)
        lost.append(_lost(on_file, rows, profile, metric))
        changed += [label(row) for row in rows if on_file.changed(results[row.name])]
    name = min(pairs, key=lambda name: pairs[name].effect)
    reason = f"{name}: {_signed(pairs[name], unit)}"
    if claim.gap and claim.gap.published:
        reason += f", published {claim.gap.published.text}"
    if claim.order and len(sides) < len(next(iter(claim.order.values()))):
        reason += f"; here only {', '.join(side.name for side in sides)} have rows"
    pair = _weakest(list(pairs.values()))
    if pair.p_for is None and pair.p_against is not None:
        untested = {n: p.test.removeprefix("none: ") for n, p in pairs.items() if p.p_for is None}
        reason += "".join(f"; {name} cannot be tested: {why}" for name, why in untested.items())
    lowest = min(used, key=PROFILES.index)
    return _draft(at, pair, lowest, reason, "; ".join(dict.fromkeys(filter(None, lost))), changed)


def _weakest(pairs: Sequence[Pair]) -> Pair:
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


def _adjusted(p: Sequence[float | None]) -> list[float | None]:
    """Return Holm-adjusted p values; None stays, and does not count."""
    known = iter(holm([q for q in p if q is not None]))
    return [None if q is None else next(known) for q in p]


def settle(drafts: Sequence[Draft]) -> list[ClaimPart]:
    """Return the parts with Holm-adjusted p values and verdicts; a table's parts are one family."""
    upheld = _adjusted([draft.p_for for draft in drafts])
    opposed = _adjusted([draft.p_against for draft in drafts])
    out = []
    for draft, p, q in zip(drafts, upheld, opposed, strict=True):
        part, verdict, says = draft.part, draft.part.verdict, ""
        if q is not None:
            says = f"p = {q:.2g} for the opposite" if p is None or q < p else f"p = {p:.2g}"
        if p is not None and p < ALPHA:
            verdict = "holds"
        elif q is not None and q < ALPHA:
            verdict, p = "fails", q
        if says:
            says = f" ({says}{', too little to tell' * (verdict == 'undecided')})"
        if part.changed:
            says += f"; the code has changed since {', '.join(part.changed)} ran"
        out.append(replace(part, verdict=verdict, p=p, reason=part.reason + says))
    return out


def settle_all(plan: Sequence[tuple[Claim, list[Draft]]]) -> list[ClaimOutcome]:
    """Return the verdicts on claims whose parts are one family."""
    parts = iter(settle([draft for _, drafts in plan for draft in drafts]))
    return [conclude(claim, list(itertools.islice(parts, len(drafts)))) for claim, drafts in plan]


def conclude(claim: Claim, parts: list[ClaimPart]) -> ClaimOutcome:
    """Return the verdict over the parts that count; undecided where none does.

    It is the first that any part has of: fails, undecided, missing, holds.
    """
    counted = _counted(parts)
    order: tuple[ClaimVerdict, ...] = ("fails", "undecided", "missing", "holds")
    tally = {v: sum(p.verdict == v for p in counted) for v in order}
    verdict: ClaimVerdict = next((v for v in order if tally[v]), "undecided")
    if not counted:
        reason = "no part has the setting that was chosen"
    elif len(counted) == 1:
        reason = counted[0].reason
    else:
        words = ", ".join(f"{v} in {n}" for v, n in tally.items() if n)
        reason = f"of {len(counted)} parts: {words}"
    aside = len(parts) - len(counted)
    return ClaimOutcome(
        claim, parts, verdict, reason + (f"; {aside} shown but not counted" if aside else "")
    )


def _counted(parts: Sequence[ClaimPart]) -> list[ClaimPart]:
    return [part for part in parts if part.counts]


def judge_claims(
    on_file: OnFile, profiles: Sequence[Profile], settings: Mapping[tuple[str, ...], Setting]
) -> list[ClaimOutcome]:
    """Return the verdict on every claim of the spec."""
    spec = on_file.spec
    plan: list[tuple[Claim, list[Draft]]] = []
    for claim in spec.claims:
        drafts = []
        for at, sides in parts_of(spec, claim):
            draft = draft_part(on_file, claim, at, sides, profiles)
            rows = [row for side in sides for row in side.rows]
            if any(_elsewhere(spec, row, settings) for row in rows):
                reason = f"{draft.part.reason}; not the setting that calibration chose"
                draft = replace(draft, part=replace(draft.part, counts=False, reason=reason))
            drafts.append(draft)
        plan.append((claim, drafts or [_missing({}, "the spec has no rows that it compares")]))
    return settle_all(plan)


def _elsewhere(spec: Spec, row: Row, settings: Mapping[tuple[str, ...], Setting]) -> bool:
    """Say whether calibration chose another value of its coordinate than the row has."""
    setting = settings.get(_place(spec, row)) if spec.calibrate else None
    chosen = setting.chosen if setting else None
    return chosen is not None and not _same_value(spec, row, chosen)


# --- a method of one's own ------------------------------------------------------------------------


def _same_points(a: Case, b: Case) -> bool:
    """Say whether two cases have the same images shown the same way."""
    return a.data.get("use") == b.data.get("use") and a.pixels == b.pixels


def versus(on_file: OnFile, mine: OnFile, profiles: Sequence[Profile]) -> list[ClaimOutcome]:
    """Set each row of the user's spec against the table's best measured and best published row.

    Rivals have the row's own value of every coordinate that the table knows it by; a value that
    the table does not have (the new method's name) leaves its coordinate free. They count only on
    the same data and pixels.
    """
    spec = on_file.spec
    plan: list[tuple[Claim, list[Draft]]] = []
    for row in mine.spec.rows:
        pinned = {
            k: v for k, v in row.at.items() if any(str(r.at.get(k)) == str(v) for r in spec.rows)
        }
        rivals = [r for r in spec.rows if r.matches(pinned)]
        text = f"{label(row)} ({mine.spec.id}) beats the rows of {spec.id}"
        claim = Claim(id=f"against/{row.name}", text=text, gap=Gap(better=row.at, worse={}))
        if mine.spec.metric != spec.metric or mine.spec.better != spec.better:
            own = f"{mine.spec.metric} ({mine.spec.better} is better)"
            why = f"{mine.spec.id} measures {own}, not {spec.metric}"
            drafts = [_missing({}, why)]
        else:
            drafts = [_against_measured(on_file, mine, row, rivals, profiles)]
            drafts.append(_against_published(on_file, mine, row, rivals, profiles))
        plan.append((claim, drafts))
    return settle_all(plan)


def _against_measured(
    on_file: OnFile, mine: OnFile, row: Row, rivals: Sequence[Row], profiles: Sequence[Profile]
) -> Draft:
    spec = on_file.spec
    sign = 1.0 if spec.better == "higher" else -1.0
    for profile in profiles:
        for own in mine.at(row, profile).measured(spec.metric):
            found = [
                (sign * float(np.mean([*_values(group, spec.metric).values()])), rival, group)
                for rival in rivals
                for group in on_file.at(rival, profile).measured(spec.metric)
                if _same_points(group[0].case, own[0].case)
            ]
            if not found:
                continue
            _, rival, group = max(found, key=lambda item: item[0])
            at = {"against": f"best measured: {label(rival)}"}
            single = _single(mine.spec, [row]), _single(spec, [rival])
            pair = contrast([own], [group], spec.metric, spec.better, on_file.store, single=single)
            if isinstance(pair, str):
                return _missing(at, pair)
            lost = _lost(mine, [row], profile, spec.metric)
            lost = lost or _lost(on_file, [rival], profile, spec.metric)
            reason = f"{_signed(pair, spec.unit)} over {label(rival)}"
            ran = ((row, own), (rival, group))
            changed = [label(r) for r, of in ran if on_file.changed(of)]
            return _draft(at, pair, profile, reason, lost, changed)
    return _missing({"against": "best measured"}, "no profile has results of both on the same data")


def _against_published(
    on_file: OnFile, mine: OnFile, row: Row, rivals: Sequence[Row], profiles: Sequence[Profile]
) -> Draft:
    spec = on_file.spec
    sign = 1.0 if spec.better == "higher" else -1.0
    own = measure(mine, row, profiles)
    if own.mean is None or own.profile is None:
        return _missing({"against": "best published"}, f"no results of {label(row)}")
    case = own.results[0].case
    printed = [
        (sign * published.value, rival, published)
        for rival in rivals
        if (published := spec.judged(rival)) is not None
        and not rival.incomparable
        and (spec.known(rival) != "memory" or spec.confidence(rival) == "high")
        and _same_points(variants(spec, rival, "full", 0)[0], case)
    ]
    if not printed:
        return _missing({"against": "best published"}, "nothing was published on the same data")
    _, rival, published = max(printed, key=lambda item: item[0])
    effect, n = sign * (own.mean - published.value), len(own.results)
    if own.profile != "full":
        pair = Pair(effect, None, None, None, f"none: run at {own.profile}")
    elif (spread := _spread(mine, own)) is None:
        pair = Pair(effect, None, None, None, f"none: {_no_spread(own.sd)}")
    else:
        draw = _draw_variance(own.results, spec.metric, published, mine.store) or 0.0
        trials = spec.trials(rival)
        of = prediction(effect, spread, n, published.error, published.rounding, trials, draw)
        of = replace(of, below=doubt(own.results, spec.metric))
        test = f"prediction interval, {_seeds(n)} against print"
        pair = Pair(effect, of.interval(), of.p_above(), of.p_below(), test)
    at = {"against": f"best published: {label(rival)}"}
    reason = f"{_signed(pair, spec.unit)} over {published.text}"
    lost = _lost(mine, [row], own.profile, spec.metric)
    changed = [label(row)] if mine.changed(own.results) else []
    return _draft(at, pair, own.profile, reason, lost, changed)


# --- a whole table --------------------------------------------------------------------------------


def _wide_margins(spec: Spec) -> Iterator[str]:
    """Yield a warning for each row whose margin exceeds half the smallest gap claimed of it."""
    smallest: dict[str, tuple[float, str]] = {}
    for claim in spec.claims:
        if claim.within is not None or claim.metric not in (None, spec.metric):
            continue
        for _, sides in parts_of(spec, claim):
            for a, b in itertools.pairwise(sides):
                printed = [spec.judged(side.rows[0]) for side in (a, b)]
                if printed[0] is None or printed[1] is None or len(a.rows) > 1 or len(b.rows) > 1:
                    continue
                gap = abs(printed[0].value - printed[1].value)
                for row in (a.rows[0], b.rows[0]):
                    if gap < smallest.get(row.name, (math.inf, ""))[0]:
                        smallest[row.name] = (gap, claim.id)
    for row in spec.rows:
        margin, (gap, claim_id) = spec.margin(row), smallest.get(row.name, (math.inf, ""))
        if margin is not None and margin > gap / 2 * (1 + 1e-9):
            half = f"half the gap {gap:.3g} of claim {claim_id}"
            yield f"{label(row)}: its margin {margin:g} is more than {half}"


def _outcomes(
    on_file: OnFile,
    profiles: Sequence[Profile],
    settings: Mapping[tuple[str, ...], Setting],
    measured: Mapping[str, Measured],
) -> list[RowOutcome]:
    spec = on_file.spec
    out = []
    for row in spec.rows:
        of = measured[row.name]
        setting = settings.get(_place(spec, row)) if spec.calibrate else None
        out.append(judge_row(on_file, of, profiles, setting))
    return out


def compare(
    spec: Spec,
    store: Store,
    *,
    profile: Profile | None = None,
    against: Spec | None = None,
    fingerprint: Fingerprint | None = None,
) -> Comparison:
    """Judge every row and claim of a spec by what is on file.

    Args:
        spec: the table.
        store: the results.
        profile: use only results of this profile; by default each row's (and each claim's) fullest.
        against: a spec of the user's own, whose rows are put beside those of the table and tested
            against the best.
        fingerprint: `build.fingerprint`, to tell results of code that has changed since; None
            does not look.

    Raises:
        SpecError: `against` has the id of `spec`.
    """
    profiles: tuple[Profile, ...] = (profile,) if profile else BEST_FIRST
    if against is not None and against.id == spec.id:
        why = f"{spec.id} is the id of the table it is set against; give it one of its own"
        raise SpecError(f"{against.file}: {why}")
    on_file = OnFile(spec, store, fingerprint)
    measured = {row.name: measure(on_file, row, profiles) for row in spec.rows}
    settings = calibrations(on_file, measured)
    rows = _outcomes(on_file, profiles, settings, measured)
    claims = judge_claims(on_file, profiles, settings)
    warnings = [*on_file.warnings, *_wide_margins(spec)]
    if against is not None:
        mine = OnFile(against, store, fingerprint)
        warnings += mine.warnings
        claims += versus(on_file, mine, profiles)
        if against.metric == spec.metric:
            own = {row.name: measure(mine, row, profiles) for row in against.rows}
            for outcome in _outcomes(mine, profiles, calibrations(mine, own), own):
                if outcome.results:
                    outcome.flags.insert(0, "against")
                    rows.append(outcome)
    changed = {label(r.row) for r in rows if "code changed" in r.flags}
    warnings += [f"{name}: the code has changed since it ran" for name in sorted(changed)]
    for claim in claims:
        others = {name for part in claim.parts for name in part.changed} - changed
        warnings += [
            f"claim {claim.claim.id}: the code has changed since {name} ran at a lower profile"
            for name in sorted(others)
        ]
    used = {outcome.profile for outcome in rows if outcome.profile}
    banners = dict.fromkeys(r.banner for outcome in rows for r in outcome.results if r.banner)
    return Comparison(
        spec=spec,
        rows=rows,
        claims=claims,
        warnings=warnings,
        profile=profile or (used.pop() if len(used) == 1 else None),
        banner="; ".join(banners) or None,
    )
