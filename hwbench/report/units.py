"""Units as documents print them: shares as percentages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hwbench.numbers import shifted
from hwbench.spec import Spec
from hwbench.typography import NARROW_SPACE, NONE, clean
from hwbench.verdict.sizes import POINTS, difference_in, scaled, shown_in, unit_of

if TYPE_CHECKING:
    from hwbench.verdict.statistics import Interval


@dataclass(frozen=True)
class Scale:
    """How numbers of a metric are shown.

    Attributes:
        digits: by how many places the decimal point moves.
        sign: after each number, with its space.
        unit: of the shown number, for an axis.
    """

    digits: int = 0
    sign: str = ""
    unit: str = ""

    def value(self, number: float | None) -> float | None:
        """Return a number in the unit that is shown."""
        return None if number is None else number * 10**self.digits

    def interval(self, interval: Interval | None) -> Interval | None:
        """Return an interval in the unit that is shown."""
        if interval is None or not self.digits:
            return interval
        return scaled(interval, self.digits)

    def signed(self, text: str) -> str:
        """Return the text of a number with its sign; text without a number stays as it is."""
        return text + self.sign if any(c.isdigit() for c in text) else text

    def apart(self, text: str) -> str:
        """Return the text of a difference with its sign, for a cell; shares differ by points."""
        return f"{self.signed(text)} points" if self.digits and text != NONE else text

    def amount(self, text: str) -> str:
        """Return the text of a difference with its unit, for a sentence."""
        unit = POINTS if self.digits else difference_in(self.unit)[1]
        return f"{text} {unit}".strip()

    def printed(self, text: str) -> str:
        """Return a printed text, digit by digit.

        >>> Scale(2, " %").printed("0.0140 ± 0.0003"), Scale().printed("−95.18")
        ('1.40 ± 0.03 %', '−95.18')
        """
        return self.signed(shifted(text, self.digits)) if self.digits else text


def scale_of(spec: Spec, metric: str | None = None) -> Scale:
    """Return how a metric of a spec is shown; without one, the metric of the table."""
    unit = clean(unit_of(spec, metric or spec.metric))
    digits, shown = shown_in(unit)
    return Scale(digits, f"{NARROW_SPACE}%", shown) if digits else Scale(unit=unit)
