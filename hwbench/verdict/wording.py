"""Sentences for people."""

from __future__ import annotations

import math

from hwbench.spec import Profile
from hwbench.verdict.outcome import Pair
from hwbench.verdict.statistics import Interval

FEW = "none: fewer than 2 seeds"
CHANCE = "the seeds' numbers coincide by chance"


def number_text(x: float, scale: float | None = None, *, sign: bool = False) -> str:
    """Return a number with two significant digits of a `scale` below 1000, or four of its own."""
    if scale is None or not 0 < scale < 1000:
        return f"{x:+.4g}" if sign else f"{x:.4g}"
    places = max(0, min(6, 1 - math.floor(math.log10(scale))))
    return f"{x:+.{places}f}" if sign else f"{x:.{places}f}"


def range_text(interval: Interval) -> str:
    """Return an interval as text, with digits by its width."""
    ends = (number_text(x, interval.half, sign=True) for x in (interval.low, interval.high))
    return f"[{', '.join(ends)}]"


def seeds_text(n: int) -> str:
    """Return "1 seed" or "3 seeds"."""
    return f"{n} seed{'s' * (n != 1)}"


def doubt_texts(by: float) -> list[str]:
    """Say that log Z is in doubt, where that is worth saying."""
    return [f"log Z in doubt by {number_text(by, by)} nats"] if by >= 0.1 else []


def equivalent_text(share: float, profile: Profile) -> str:
    """Return how far numbers move between the code of a row's results and today's.

    >>> equivalent_text(0.0213, "smoke")
    'equivalent code: moved 0.021 of the tolerance at smoke'
    """
    place = "at smoke" if profile == "smoke" else f"at smoke and at the start of {profile}"
    return f"equivalent code: moved {share:.2g} of the tolerance {place}"


def no_spread_reason(sd: float | None) -> str:
    """Say why seeds that a seed does move have no spread to judge by."""
    return "one seed only" if sd is None else CHANCE


def effect_text(pair: Pair, unit: str) -> str:
    """Return a pair's effect with its sign and unit, with digits by its interval."""
    half = pair.interval.half if pair.interval else None
    return f"{number_text(pair.effect, half, sign=True)} {unit}".strip()
