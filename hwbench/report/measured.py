"""What was measured and published in a row, as numbers and as text."""

from __future__ import annotations

import math

from hwbench import vocabulary
from hwbench.numbers import decimals, fixed, significant, with_error
from hwbench.report.units import Scale, scale_of
from hwbench.report.words import on_other_data
from hwbench.spec import Published
from hwbench.typography import NONE, clean, minus
from hwbench.verdict.outcome import Comparison, RowOutcome
from hwbench.verdict.statistics import error_of_mean, mean_and_error


def standard_error(outcome: RowOutcome) -> float | None:
    """Return the standard error of the mean over seeds; None below two seeds."""
    return error_of_mean(outcome.sd, len(outcome.results))


def difference_of(outcome: RowOutcome) -> float | None:
    """Return measured − published; None where other data were used, as it would mean nothing."""
    return None if on_other_data(outcome) else outcome.difference


def published_value(outcome: RowOutcome) -> Published | None:
    """Return the published value that the row is judged against, else that of the document."""
    return outcome.published or outcome.row.published


def fallback_decimals(published: Published | None, scale: Scale) -> int:
    """Return the decimals of the published value, for a measured one of unknown uncertainty."""
    if published is None or published.rounding <= 0:
        return 3
    return min(max(round(-math.log10(2 * published.rounding)) - scale.digits, 0), 6)


def measured_text(outcome: RowOutcome, scale: Scale) -> str:
    """Return 'mean ± standard error over seeds'; with one seed the mean alone."""
    if outcome.mean is None:
        return NONE
    fallback = fallback_decimals(outcome.published, scale)
    mean, error = scale.value(outcome.mean), scale.value(standard_error(outcome))
    if error is None:
        return scale.signed(fixed(mean, decimals(scale.value(outcome.se_points), fallback)))
    return scale.signed(with_error(mean, error, fallback))


def number_texts(comparison: Comparison) -> tuple[list[str], list[str]]:
    """Return the published and the measured value of each row as text."""
    scale = scale_of(comparison.spec)
    published = [
        scale.printed(minus(clean(o.row.published.text))) if o.row.published else NONE
        for o in comparison.rows
    ]
    return published, [measured_text(o, scale) for o in comparison.rows]


def measured_note(outcome: RowOutcome, scale: Scale) -> str:
    """Return the error over test points, which is shown but not counted."""
    if outcome.mean is None or outcome.se_points is None or not math.isfinite(outcome.se_points):
        return ""
    error = scale.signed(significant(scale.value(outcome.se_points), 2))
    return f"± {error} over test points"


def seed_values(outcome: RowOutcome, metric: str) -> list[float]:
    """Return a metric of each seed that has it."""
    return [r.metrics[metric].value for r in outcome.results if metric in r.metrics]


def over_seeds(outcome: RowOutcome, metric: str) -> str:
    """Return 'mean ± standard error over seeds' of any metric; '' where no result has it."""
    values = seed_values(outcome, metric)
    return with_error(*mean_and_error(values)) if values else ""


def last_validation(outcome: RowOutcome, metric: str) -> str:
    """Return 'mean ± standard error over seeds' of a metric's last validation; '' without any."""
    name = vocabulary.VALIDATION + metric
    values = [r.curves[name].y[-1] for r in outcome.results if name in r.curves]
    known = [value for value in values if math.isfinite(value)]
    return with_error(*mean_and_error(known)) if known else ""
