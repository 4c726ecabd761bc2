"""The regression gate: does a metric differ from a committed baseline by more than its tolerance?

A likelihood that suddenly improves usually means a bug, so both directions fail. Tolerances are
measured, not chosen:

- A seed of the baseline must give the same value, up to rounding. The effect of rounding on
  another processor is measured: the baseline also has values of the same seeds under other kernels
  (`elsewhere`). Rounding moves most runs by 1e-8 of their value, but it can flip a draw, and the
  run then takes a different course. So a row fails if all its seeds moved beyond `rounding_of`, as
  after a bug, if one of them moved beyond the seed interval, or if more runs of the spec moved than
  rounding explains (`chance`).
- Other seeds, seeds on another kind of device, and baselines without `elsewhere` are judged by a
  prediction interval: it holds the mean of the new seeds at the level 99.9 % if nothing changed.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from hwbench.attested import kind_of_device
from hwbench.baseline import Baseline, BaselineRow, current, read_baseline
from hwbench.numbers import short
from hwbench.spec import Profile, Spec
from hwbench.store import Result, Store
from hwbench.verdict.statistics import mean_and_sd, prediction

LEVEL = 0.999
ROUNDING = 1e-5  # relative to the value: rounding always explains this much
BEYOND = 10.0  # times the largest difference measured between kernels


@dataclass(frozen=True)
class Cause:
    """Why a row passes or fails.

    Attributes:
        kind: `within` tolerance; `returned` (some seeds moved, others did not); `moved` (seeds, by
            more than rounding); `beyond` the spread of the seeds; `many` (too many runs of a spec
            moved); or why it could not be judged.
        better: the direction in which the number moved.
        seeds: differences beyond rounding, by seed.
        size: what rounding explains, or how far the mean moved.
        counts: runs that moved, all runs, and those under other kernels.
    """

    kind: Literal[
        "within", "returned", "moved", "beyond", "many",
        "no baseline", "one seed", "no result", "other spec", "no row",
    ]  # fmt: skip
    better: bool = False
    seeds: tuple[tuple[int, float], ...] = ()
    size: float = 0.0
    counts: tuple[int, int, int] = (0, 0, 0)


REASONS = {
    "within": "within tolerance",
    "returned": "{far}, beyond the {size} that rounding explains; the others did not move",
    "moved": "{direction}: {far}, beyond the {size} that rounding explains; {anew}",
    "beyond": "{direction} than the baseline by {size}, beyond the spread of its seeds; {anew}",
    "many": "{counts[0]} of {counts[1]} seeds moved beyond what {counts[2]} did under other "
    "kernels; {anew}",
    "no baseline": "the baseline has no such row; an update adds it",
    "one seed": "a baseline needs at least 2 seeds (better 5 or more)",
    "no result": "no stored result; run the spec first",
    "other spec": "the spec has changed since the baseline was taken; an update retakes it",
    "no row": "the spec no longer has this row",
}
ANEW = "if the code was meant to change the draws, retake the baseline: make baselines"


@dataclass(frozen=True)
class Finding:
    """The judgement of one row, with its numbers if there are any."""

    spec: str
    row: str
    metric: str
    cause: Cause
    baseline: float | None = None
    measured: float | None = None
    tolerance: float | None = None

    @property
    def passed(self) -> bool:
        """Return whether the row passes."""
        return self.cause.kind in ("within", "returned")

    @property
    def reason(self) -> str:
        """Return the cause in words."""
        cause = self.cause
        return REASONS[cause.kind].format(
            far=", ".join(
                f"seed {seed} moved by {short(d, 3, sign=True)}" for seed, d in cause.seeds
            ),
            direction="better" if cause.better else "worse",
            size=short(cause.size, 3 if cause.kind == "beyond" else 2),
            counts=cause.counts,
            anew=ANEW,
        )


def tolerance(values: Sequence[float], n: int) -> float:
    """Return the half width of the interval in which the mean of n new seeds should lie.

    Values are the baseline's, one per seed: t · s · √(1/n + 1/m) with m − 1 degrees of freedom, no
    less than rounding.
    """
    mean, sd = mean_and_sd(values)
    assert sd is not None
    half = prediction(0.0, sd, len(values), trials=n).half_width(LEVEL)
    return max(half, ROUNDING * abs(mean))


def rounding_of(row: BaselineRow, rows: Iterable[BaselineRow]) -> float | None:
    """Return how far rounding may move a seed of `row`; None where it has not been measured.

    That is `BEYOND` times the largest difference between kernels among the spec's `rows`, each in
    units of its row's standard deviation over seeds (the scale of a run that took a different
    course); at least `ROUNDING` of the value, and at most the interval of one new seed. By
    exchangeability, a run exceeds the largest of N differences with probability 1/(N + 1), without
    the factor.
    """
    found = [(d, other.sd) for other in rows for d in other.differences()]
    if not found:
        return None
    largest = max((d / sd for d, sd in found if sd > 0), default=0.0)
    least = ROUNDING * abs(statistics.fmean(row.values.values()))
    return max(least, min(BEYOND * largest * row.sd, tolerance(list(row.values.values()), 1)))


def chance(moved: int, runs: int, elsewhere: int) -> float:
    """Return the probability that `moved` of `runs` all exceed the largest of `elsewhere` others.

    Were they exchangeable, the largest `moved` of all would have to be among the runs:
    Π_i (runs − i) / (runs + elsewhere − i).

    >>> chance(2, 2, 14)  # 2/16 · 1/15
    0.008333333333333333
    """
    return math.prod(((runs - i) / (runs + elsewhere - i) for i in range(moved)), start=1.0)


@dataclass(frozen=True)
class Seeds:
    """How far a row's seeds moved from their own values in the baseline, and what is allowed."""

    moved: dict[int, float]
    rounding: float
    interval: float

    @property
    def beyond(self) -> dict[int, float]:
        """Return the seeds that rounding does not explain."""
        return {seed: d for seed, d in self.moved.items() if not abs(d) <= self.rounding}

    def passed(self) -> bool:
        """Return whether some seed did not move, and none moved beyond the seed interval."""
        limit = max(self.rounding, self.interval)
        return len(self.beyond) < len(self.moved) and all(
            abs(d) <= limit for d in self.moved.values()
        )


def seeds_of_row(
    base: Baseline, row: BaselineRow, metric: str, now: Mapping[int, Result]
) -> Seeds | None:
    """Return the row's seeds that can be judged one by one; None where none can."""
    rounding = rounding_of(row, base.rows.values())
    moved = {
        seed: r.metrics[metric].value - row.values[str(seed)]
        for seed, r in sorted(now.items())
        if str(seed) in row.values
        and metric in r.metrics
        and kind_of_device(str(r.machine.get("device", ""))) == base.device
    }
    if rounding is None or not moved:
        return None
    return Seeds(moved, rounding, tolerance(list(row.values.values()), 1))


def judge_row(spec: Spec, name: str, base: Baseline | None, now: Mapping[int, Result]) -> Finding:
    """Judge one row."""
    row = base.rows.get(name) if base else None
    values = {s: r.metrics[spec.metric].value for s, r in now.items() if spec.metric in r.metrics}

    def finding(cause: Cause, *numbers: float) -> Finding:
        return Finding(spec.id, name, spec.metric, cause, *numbers)

    if base is None or row is None:
        return finding(Cause("no baseline"))
    if len(row.values) < 2:
        return finding(Cause("one seed"))
    if not values:
        return finding(Cause("no result"))
    if any(not r.key.startswith(row.keys.get(str(seed), "")) for seed, r in now.items()):
        return finding(Cause("other spec"))
    sign = 1 if spec.better == "higher" else -1
    found = seeds_of_row(base, row, spec.metric, now)
    if found is not None:
        expected = statistics.fmean(row.values[str(seed)] for seed in found.moved)
        measured = statistics.fmean(values[seed] for seed in found.moved)
        numbers = (expected, measured, found.rounding)
        beyond = found.beyond
        better = sign * sum(beyond.values()) > 0
        far = Cause("moved", better, tuple(beyond.items()), found.rounding)
        if not found.passed():
            return finding(far, *numbers)
        values = {seed: v for seed, v in values.items() if seed not in found.moved}
        if not values:
            returned = replace(far, kind="returned") if beyond else Cause("within")
            return finding(returned, *numbers)
    expected = statistics.fmean(row.values.values())
    measured = statistics.fmean(values.values())
    allowed = tolerance(list(row.values.values()), len(values))
    off = measured - expected
    within = abs(off) <= allowed
    cause = Cause("within") if within else Cause("beyond", sign * off > 0, size=abs(off))
    return finding(cause, expected, measured, allowed)


def judge_spec(
    spec: Spec, base: Baseline, now: Mapping[str, Mapping[int, Result]]
) -> Finding | None:
    """Return a failure if too many runs of a spec moved, even if no row fails; else None.

    Too many means: on another processor, rounding alone would do this in less than 1 of 1000 gates.
    """
    rows = [
        seeds_of_row(base, row, spec.metric, now[name])
        for name, row in base.rows.items()
        if name in now
    ]
    judged = [row for row in rows if row is not None]
    moved, runs = sum(len(r.beyond) for r in judged), sum(len(r.moved) for r in judged)
    elsewhere = sum(len(row.elsewhere) for row in base.rows.values())
    if not moved or chance(moved, runs, elsewhere) > 1 - LEVEL:
        return None
    return Finding(spec.id, "all rows", spec.metric, Cause("many", counts=(moved, runs, elsewhere)))


def gate(specs: Sequence[Spec], store: Store, folder: Path, profile: Profile) -> list[Finding]:
    """Judge every row of the specs that has a baseline or a result."""
    findings = []
    for spec in specs:
        base = read_baseline(folder, spec, profile)
        now = current(spec, store, profile)
        rows = base.rows if base else {}
        for row in spec.rows:
            if row.name in rows or row.name in now:
                findings.append(judge_row(spec, row.name, base, now.get(row.name, {})))
        if base and all(f.passed for f in findings if f.spec == spec.id):
            together = judge_spec(spec, base, now)
            findings += [together] if together else []
        removed = set(rows) - {row.name for row in spec.rows}
        findings += [
            Finding(spec.id, name, spec.metric, Cause("no row")) for name in sorted(removed)
        ]
    return findings
