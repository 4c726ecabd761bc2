"""How far numbers moved, as a share of what rounding explains.

The tolerance is that of the gate, for arrays too: `BEYOND` times the largest movement under other
kernels, in units of the spread over seeds, at least `ROUNDING` of the value and at most the
interval of one new seed. An array counts by its root mean square.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hwbench.attest.side import Numbers
from hwbench.gate import BEYOND, LEVEL, ROUNDING
from hwbench.verdict.statistics import prediction

SMALL = 0.1  # share of `ROUNDING` of the value; what moves by less needs no other kernels


@dataclass(frozen=True)
class Runs:
    """One row's numbers by seed, of the old code, the new, and the old under other kernels."""

    old: Mapping[int, Numbers]
    new: Mapping[int, Numbers]
    elsewhere: Mapping[int, Numbers]

    @property
    def identical(self) -> bool:
        """Return whether old and new agree to the last bit."""
        return all(same(self.old[seed], self.new[seed]) for seed in self.old)


@dataclass(frozen=True)
class Spread:
    """What a row's seeds and other kernels say about one number or array.

    Attributes:
        size: root mean square over elements and seeds.
        sd: root mean square of the standard deviation over seeds; 0 where it is not known.
        seeds: number of seeds.
        differences: movement of each seed under other kernels.
    """

    size: float
    sd: float
    seeds: int
    differences: tuple[float, ...]


@dataclass(frozen=True)
class Change:
    """How far one number or array moved between two codes, and what is known of its rounding.

    Attributes:
        moved: the largest root mean square of the movement over seeds; 0 where it stayed.
        spread: of the old code.
    """

    moved: float
    spread: Spread


Changes = Mapping[str, Change]  # by kind and name, as 'metric log_likelihood'


@dataclass(frozen=True)
class Movement:
    """The number that moved farthest as a share of what rounding explains.

    Attributes:
        name: kind and name, as 'metric log_likelihood'.
        moved: root mean square of the movement.
        tolerance: what rounding explains.
    """

    name: str
    moved: float
    tolerance: float

    @property
    def share(self) -> float:
        """Return the movement as a share of the tolerance."""
        if self.moved == 0:
            return 0.0
        return self.moved / self.tolerance if self.tolerance > 0 else math.inf


STILL = Movement("all numbers", 0.0, 0.0)


def same(a: Numbers, b: Numbers) -> bool:
    """Return whether two runs gave the same numbers to the last bit."""
    return a.keys() == b.keys() and all(np.array_equal(a[k], b[k], equal_nan=True) for k in a)


def distance(a: np.ndarray, b: np.ndarray) -> float:
    """Return the root mean square of a − b; infinite where shapes or undefined values differ."""
    if a.shape != b.shape:
        return math.inf
    finite = np.isfinite(a) & np.isfinite(b)
    if not np.array_equal(a[~finite], b[~finite], equal_nan=True):
        return math.inf
    return rms(a[finite] - b[finite])


def rms(values: np.ndarray) -> float:
    """Return the root mean square, 0 of nothing."""
    return float(np.sqrt(np.mean(np.square(values)))) if values.size else 0.0


def spread_of(name: str, runs: Runs) -> Spread:
    """Return what a row's runs say about one of its numbers."""
    values = [numbers[name] for numbers in runs.old.values() if name in numbers]
    finite = [v[np.isfinite(v)] for v in values]
    size = rms(np.concatenate([v.ravel() for v in finite])) if finite else 0.0
    sd = 0.0
    if len(finite) > 1 and len({v.shape for v in finite}) == 1:
        sd = rms(np.std(np.stack(finite), axis=0, ddof=1))
    apart = [
        distance(there[name], runs.old[seed][name])
        for seed, there in runs.elsewhere.items()
        if name in there and name in runs.old[seed]
    ]
    return Spread(size, sd, len(values), tuple(d for d in apart if math.isfinite(d)))


def explained(own: Spread, rows: Iterable[Spread]) -> float:
    """Return how far rounding may move a number, see `gate.rounding_of`.

    Args:
        own: of the row.
        rows: of all rows of the spec, with this one.
    """
    least = ROUNDING * own.size
    if own.sd == 0:  # one seed, or all alike: no unit to compare rows in
        return max([least, *(BEYOND * d for d in own.differences)])
    largest = max((d / o.sd for o in rows if o.sd > 0 for d in o.differences), default=0.0)
    interval = prediction(0.0, own.sd, own.seeds, trials=1).half_width(LEVEL)
    return max(least, min(BEYOND * largest * own.sd, interval))


def _moved(name: str, old: Numbers, new: Numbers) -> float:
    if name in old and name in new:
        return distance(old[name], new[name])
    return math.inf if name in old or name in new else 0.0


def _rank(movement: Movement) -> tuple[bool, bool, float]:
    beyond = movement.share > 1
    return beyond, beyond and movement.name.startswith("metric "), movement.share


def changes(runs: Runs) -> Changes:
    """Return how far each number of a row moved; nothing where all agree to the last bit."""
    if runs.identical:
        return {}
    names = {name for numbers in (*runs.old.values(), *runs.new.values()) for name in numbers}
    return {
        name: Change(
            max(_moved(name, before, runs.new[seed]) for seed, before in runs.old.items()),
            spread_of(name, runs),
        )
        for name in sorted(names)
    }


def all_small(found: Changes) -> bool:
    """Return whether no number moved by more than a small share of the least tolerance.

    Other kernels could only raise the tolerance, so their runs may be left out.
    """
    return all(c.moved <= SMALL * ROUNDING * c.spread.size for c in found.values())


def farthest(own: Changes, rows: Sequence[Changes]) -> Movement:
    """Return the number of a row that moved farthest.

    Where some moved beyond what rounding explains, a metric among them stands for all.

    Args:
        own: of the row.
        rows: of all rows of the spec, with this one.
    """
    found = [
        Movement(
            name,
            change.moved,
            explained(change.spread, [row[name].spread for row in rows if name in row]),
        )
        for name, change in own.items()
        if change.moved > 0
    ]
    return max(found, key=_rank, default=STILL)
