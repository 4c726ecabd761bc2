"""Differences, margins and distances with their units, as documents print them."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from hwbench import vocabulary
from hwbench.numbers import difference_text, rounded, short

if TYPE_CHECKING:
    from hwbench.spec import Spec
    from hwbench.verdict.statistics import Interval

SHARE = "share of "  # how the unit of a share begins
POINTS = "percentage points"
COUNTABLE = re.compile(r"(?!per\b|share\b)\S+( per .+)?")  # nats, nats per frame


def shown_in(unit: str) -> tuple[int, str]:
    """Return by how many places the decimal point moves, and the unit: shares are percentages."""
    return (2, f"% of {unit.removeprefix(SHARE)}") if unit.startswith(SHARE) else (0, unit)


def difference_in(unit: str) -> tuple[int, str]:
    """Return by how many places a difference moves, and the unit that stands after it.

    Shares differ by percentage points. Only a unit that a number counts stands after it; a text
    that describes the metric stands with the metric alone.

    >>> difference_in("nats per frame"), difference_in("share of test images")
    ((0, 'nats per frame'), (2, 'percentage points'))
    >>> difference_in("norm of the gradient"), difference_in("per pixel")
    ((0, ''), (0, ''))
    """
    if unit.startswith(SHARE):
        return 2, POINTS
    return 0, unit if COUNTABLE.fullmatch(unit) else ""


def unit_of(spec: Spec, metric: str) -> str:
    """Return the unit of a metric of a spec: of another than the table's, only nats are known."""
    if metric == spec.metric:
        return spec.unit
    return "nats" if metric in vocabulary.IN_NATS else ""


def scaled(interval: Interval, digits: int) -> Interval:
    """Return an interval with the decimal point moved."""
    return replace(interval, low=interval.low * 10**digits, high=interval.high * 10**digits)


def size_text(size: float, unit: str) -> str:
    """Return a size with two significant digits and its unit."""
    digits, unit = difference_in(unit)
    size *= 10**digits
    return f"{rounded(size, size)} {unit}".strip()


def effect_text(value: float, interval: Interval | None, unit: str) -> str:
    """Return a difference with its sign and unit, with digits by its interval."""
    digits, unit = difference_in(unit)
    within = scaled(interval, digits) if interval else None
    return f"{difference_text(value * 10**digits, within)} {unit}".strip()


def short_size(size: float, digits: int, unit: str) -> str:
    """Return a margin, a tolerance or a distance with its unit."""
    places, unit = difference_in(unit)
    return f"{short(size * 10**places, digits)} {unit}".strip()
