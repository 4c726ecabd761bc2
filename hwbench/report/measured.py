"""Numbers as text, with as many digits as their uncertainty supports."""

from __future__ import annotations

import math

from hwbench.report.typography import MINUS, NARROW_SPACE, NONE, clean, minus
from hwbench.report.words import on_other_data
from hwbench.spec import Published
from hwbench.verdict.outcome import Comparison, RowOutcome
from hwbench.verdict.statistics import Interval, mean_and_error


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


def significant(value: float | None, digits: int = 3) -> str:
    """Return a number with that many significant digits, plain between 1e-4 and 1e6."""
    if value is None or not math.isfinite(value):
        return NONE
    if value == 0:
        return "0"
    if not 1e-4 <= abs(value) < 1e6:
        return f"{value:.{digits - 1}e}".replace("-", MINUS)
    places = max(digits - 1 - int(f"{abs(value):.{digits - 1}e}".partition("e")[2]), 0)
    return fixed(value, places)


def count(n: int) -> str:
    """Return a count, with narrow spaces between thousands if it has five digits or more."""
    return f"{n:,}".replace(",", NARROW_SPACE) if n >= 10_000 else str(n)


def quick_number(value: float) -> str:
    """Return a number for a progress line: nats to two decimals, shares to four."""
    return f"{value:.4f}" if abs(value) < 1 else f"{value:.2f}"


def table_number(value: float | None) -> str:
    """Return a number with four significant digits for a table in the terminal; '' for None."""
    return "" if value is None else f"{value:.4g}"


def axis_text(value: float) -> str:
    """Return the number at a tick of an axis: a count where it is whole, else in short."""
    return count(int(value)) if value == int(value) and abs(value) < 1e7 else f"{value:g}"


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


def interval_text(interval: Interval | None, *, sign: bool = True) -> str:
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


def difference_text(difference: float | None, interval: Interval | None, fallback: int = 3) -> str:
    """Return a signed difference with the decimals of its interval."""
    half = None if interval is None else (interval.high - interval.low) / 2
    return fixed(difference, decimals(half, fallback), sign=True)


def percent(level: float) -> str:
    """Return a level as '90 %'."""
    return f"{100 * level:g}{NARROW_SPACE}%"


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


def standard_error(outcome: RowOutcome) -> float | None:
    """Return the standard error of the mean over seeds, sd/√n; None below two seeds."""
    n = len(outcome.results)
    return None if outcome.sd is None or n < 2 else outcome.sd / math.sqrt(n)


def difference_of(outcome: RowOutcome) -> float | None:
    """Return measured − published; None where other data were used, as it would mean nothing."""
    return None if on_other_data(outcome) else outcome.difference


def published_value(outcome: RowOutcome) -> Published | None:
    """Return the published value that the row is judged against, else that of the document."""
    return outcome.published or outcome.row.published


def fallback_decimals(published: Published | None) -> int:
    """Return the decimals of the published value, for a measured one of unknown uncertainty."""
    if published is None or published.rounding <= 0:
        return 3
    return min(max(round(-math.log10(2 * published.rounding)), 0), 6)


def measured_text(outcome: RowOutcome) -> str:
    """Return 'mean ± standard error over seeds'; with one seed the mean alone."""
    if outcome.mean is None:
        return NONE
    error = standard_error(outcome)
    if error is None:
        return fixed(
            outcome.mean, decimals(outcome.se_points, fallback_decimals(outcome.published))
        )
    return with_error(outcome.mean, error, fallback_decimals(outcome.published))


def number_texts(comparison: Comparison) -> tuple[list[str], list[str]]:
    """Return the published and the measured value of each row as text."""
    published = [
        minus(clean(o.row.published.text)) if o.row.published else NONE for o in comparison.rows
    ]
    return published, [measured_text(o) for o in comparison.rows]


def measured_note(outcome: RowOutcome) -> str:
    """Return the error over test points, which is shown but not counted."""
    if outcome.mean is None or outcome.se_points is None or not math.isfinite(outcome.se_points):
        return ""
    return f"± {significant(outcome.se_points, 2)} over test points"


def seed_values(outcome: RowOutcome, metric: str) -> list[float]:
    """Return a metric of each seed that has it."""
    return [r.metrics[metric].value for r in outcome.results if metric in r.metrics]


def over_seeds(outcome: RowOutcome, metric: str) -> str:
    """Return 'mean ± standard error over seeds' of any metric; '' where no result has it."""
    values = seed_values(outcome, metric)
    return with_error(*mean_and_error(values)) if values else ""


def p_text(p: float | None) -> str:
    """Return a p value as 'p = 0.012' or 'p < 0.001', with one more digit near 0.05; or ''."""
    if p is None or not math.isfinite(p):
        return ""
    if 0.045 < p < 0.055:
        return f"p = {p:.3g}"
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}" if p < 0.0995 else f"p = {p:.2f}"
