"""Numbers as text, with as many digits as their uncertainty supports."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Protocol, runtime_checkable

from hwbench.typography import MINUS, NARROW_SPACE, NO_BREAK, NONE


@runtime_checkable
class Ends(Protocol):
    """An interval."""

    @property
    def low(self) -> float:
        """Return the lower end."""

    @property
    def high(self) -> float:
        """Return the upper end."""


def decimals(error: float | None, fallback: int = 3) -> int:
    """Return how many decimals show two digits of an uncertainty; negative from 1000 on.

    >>> decimals(0.0218), decimals(0.0996), decimals(1.34), decimals(27.0), decimals(None, 2)
    (3, 2, 1, 0, 2)
    >>> decimals(270.0), decimals(80_247.0)
    (0, -3)
    """
    if error is None or not math.isfinite(error) or error <= 0:
        return fallback
    exponent = int(f"{error:.1e}".partition("e")[2])
    return min(max(1 - exponent, 0), 12) if exponent < 3 else 1 - exponent


def fixed(value: float | None, places: int, *, sign: bool = False) -> str:
    """Return a number with this many decimals and a true minus sign; a dash if it is not finite.

    >>> fixed(0.1234, 2, sign=True), fixed(-0.001, 2), fixed(None, 2) == NONE
    ('+0.12', '0.00', True)
    >>> fixed(1_989_819.0, -3), fixed(80_247.0, -3), fixed(12.0, -3)
    ('1.990e6', '8.0e4', '0')
    """
    if value is None or not math.isfinite(value):
        return NONE
    value = round(value, places) if places < 0 else value
    if places < 0 and value:
        exponent = int(f"{value:e}".partition("e")[2])
        text = f"{value / 10**exponent:.{exponent + places}f}e{exponent}"
    else:
        text = f"{value:.{max(places, 0)}f}"
    if float(text) == 0:
        return text.lstrip("-")
    return ("+" if sign and value > 0 else "") + text.replace("-", MINUS)


def significant(value: float | None, digits: int = 3, *, sign: bool = False) -> str:
    """Return a number with that many significant digits, plain between 1e-4 and 1e6."""
    if value is None or not math.isfinite(value):
        return NONE
    if value == 0:
        return "0"
    if not 1e-4 <= abs(value) < 1e6:
        text = f"{value:{'+' if sign else ''}.{digits - 1}e}"
        return text.replace("-", MINUS)
    places = max(digits - 1 - int(f"{abs(value):.{digits - 1}e}".partition("e")[2]), 0)
    return fixed(value, places, sign=sign)


def count(n: int) -> str:
    """Return a count, with narrow spaces between thousands if it has five digits or more."""
    return f"{n:,}".replace(",", NARROW_SPACE) if n >= 10_000 else str(n)


def counted(n: int, noun: str) -> str:
    """Return a count with its noun.

    >>> counted(1, "case"), counted(3, "case")
    ('1 case', '3 cases')
    """
    return f"{n} {noun}{'' if n == 1 else 's'}"


def short(value: float, digits: int = 6, *, sign: bool = False) -> str:
    """Return a number with at most `digits` significant digits, without trailing zeros.

    >>> short(0.18), short(0.25), short(-0.06, sign=True), short(5e-5)
    ('0.18', '0.25', '−0.06', '5e−05')
    """
    return f"{value:{'+' if sign else ''}.{digits}g}".replace("-", MINUS)


def shifted(text: str, digits: int) -> str:
    """Return a printed text with the decimal point of each number moved by so many places.

    >>> shifted("0.0140 ± 0.0003", 2), shifted("−95.18", 0)
    ('1.40 ± 0.03', '−95.18')
    """
    if not digits:
        return text
    return re.sub(r"\d+(?:\.\d+)?", lambda m: format(Decimal(m[0]).scaleb(digits), "f"), text)


def quick_number(value: float) -> str:
    """Return a number for a progress line: nats to two decimals, shares to four."""
    return f"{value:.4f}" if abs(value) < 1 else f"{value:.2f}"


def table_number(value: float | None) -> str:
    """Return a number with four significant digits for a table in the terminal; '' for None."""
    return "" if value is None else f"{value:.4g}"


def axis_text(value: float) -> str:
    """Return the number at a tick of an axis: a count below a million, else as 2e9.

    >>> axis_text(0.05), axis_text(500_000.0) == f"500{NARROW_SPACE}000", axis_text(5e6)
    ('0.05', True, '5e6')
    """
    if abs(value) >= 1e6 or 0 < abs(value) < 1e-4:
        mantissa, _, exponent = f"{value:e}".partition("e")
        return f"{float(mantissa):g}e{int(exponent)}".replace("-", MINUS)
    return count(int(value)) if value == int(value) else f"{value:g}"


def with_error(value: float | None, error: float | None, fallback: int = 3) -> str:
    """Return 'value ± error', both to the second digit of the error.

    >>> with_error(-95.18234, 0.0218) == "−95.182 ± 0.022"
    True
    """
    places = decimals(error, fallback)
    known = (
        error is not None and math.isfinite(error) and value is not None and math.isfinite(value)
    )
    return fixed(value, places) + (f" ± {fixed(error, places)}" if known else "")


def rounded(
    value: float | None, error: float | None, fallback: int | None = None, *, sign: bool = False
) -> str:
    """Return a number to the second digit of its error.

    Without one it has `fallback` decimals, or at most four significant digits.

    >>> rounded(-1.2345, 0.6), rounded(102.345, None), rounded(0.5, None), rounded(0.5, None, 2)
    ('−1.23', '102.3', '0.5', '0.50')
    """
    if fallback is None and not (error and math.isfinite(error)):
        text = significant(value, 4, sign=sign)
        return text.rstrip("0").rstrip(".") if "." in text and "e" not in text else text
    return fixed(value, decimals(error, fallback or 0), sign=sign)


def difference_text(
    difference: float | None, interval: Ends | None, fallback: int | None = None
) -> str:
    """Return a signed difference with the decimals of its interval.

    Without one it has `fallback` decimals, or four significant digits.
    """
    half = None if interval is None else (interval.high - interval.low) / 2
    return rounded(difference, half, fallback, sign=True)


def interval_text(interval: Ends | None, *, sign: bool = True) -> str:
    """Return '[low, high]' to two digits of its half width; '' without one."""
    if interval is None:
        return ""
    places = decimals((interval.high - interval.low) / 2)

    def end(value: float) -> str:
        return (
            fixed(value, places, sign=sign)
            if math.isfinite(value)
            else ("∞" if value > 0 else MINUS + "∞")
        )

    return f"[{end(interval.low)}, {end(interval.high)}]"


def percent(level: float) -> str:
    """Return a level as '90 %'."""
    return f"{100 * level:g}{NARROW_SPACE}%"


def progress_percent(fraction: float) -> str:
    """Return how much is done, as '37%'."""
    return f"{fraction:.0%}"


def rough_duration(seconds: float) -> str:
    """Return a duration in one unit, for progress and estimates.

    >>> rough_duration(42.0), rough_duration(125.0), rough_duration(3 * 3600 + 60.0)
    ('42 s', '2 min', '3.0 h')
    >>> rough_duration(200_000.0)
    '2.3 days'
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} days"


def duration(seconds: float | None) -> str:
    """Return a duration in its two leading units.

    >>> duration(0.34), duration(75.0), duration(5025.0), duration(None) == NONE
    ('0.34 s', '1 min 15 s', '1 h 24 min', True)
    """
    if seconds is None or not math.isfinite(seconds):
        return NONE
    if seconds < 59.5:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    if seconds < 3570:
        return f"{int(seconds + 0.5) // 60} min {int(seconds + 0.5) % 60} s"
    minutes = int(seconds / 60 + 0.5)
    return f"{minutes // 60} h {minutes % 60} min"


def p_value(p: float | None) -> str:
    """Return a p value as '0.012' or '< 0.001', with one more digit near 0.05; or ''."""
    if p is None or not math.isfinite(p):
        return ""
    if 0.045 < p < 0.055:
        return f"{p:.3g}"
    return "< 0.001" if p < 0.001 else f"{p:.2g}" if p < 0.0995 else f"{p:.2f}"


def p_text(p: float | None, *, reverse: bool = False) -> str:
    """Return a p value, adjusted for the number of tests, on one line; or ''.

    >>> p_text(0.012).replace(NO_BREAK, " "), p_text(1e-9, reverse=True).replace(NO_BREAK, " ")
    ('adjusted p = 0.012', 'adjusted p < 0.001 for the reverse')
    """
    if p is None or not math.isfinite(p):
        return ""
    text = p_value(p) if p < 0.001 else f"= {p_value(p)}"
    text = f"p {text}".replace(" ", NO_BREAK)
    return f"adjusted {text}{' for the reverse' if reverse else ''}"
