"""Differences, margins and distances with their units, as documents print them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hwbench.numbers import difference_text, rounded, short

if TYPE_CHECKING:
    from hwbench.verdict.statistics import Interval

SHARE = "share of "  # how the unit of a share begins


def shown_in(unit: str) -> tuple[int, str]:
    """Return by how many places the decimal point moves, and the unit: shares are percentages."""
    return (2, f"% of {unit.removeprefix(SHARE)}") if unit.startswith(SHARE) else (0, unit)


def scaled(interval: Interval, digits: int) -> Interval:
    """Return an interval with the decimal point moved."""
    return replace(interval, low=interval.low * 10**digits, high=interval.high * 10**digits)


def size_text(size: float, unit: str) -> str:
    """Return a size with two significant digits and its unit."""
    digits, unit = shown_in(unit)
    size *= 10**digits
    return f"{rounded(size, size)} {unit}".strip()


def effect_text(value: float, interval: Interval | None, unit: str) -> str:
    """Return a difference with its sign and unit, with digits by its interval."""
    digits, unit = shown_in(unit)
    within = scaled(interval, digits) if interval else None
    return f"{difference_text(value * 10**digits, within)} {unit}".strip()


def short_size(size: float, digits: int, unit: str) -> str:
    """Return a margin, a tolerance or a distance with its unit."""
    places, unit = shown_in(unit)
    return f"{short(size * 10**places, digits)} {unit}".strip()
