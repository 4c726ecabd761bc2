"""One CSV file for each table: a line per row, numbers with all their digits, for programs."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path
from typing import Any

from hwbench.report.contents import Contents
from hwbench.report.formats import put
from hwbench.report.measured import difference_of, published_value, standard_error
from hwbench.report.words import anchor, spec_of
from hwbench.typography import clean
from hwbench.verdict.outcome import Comparison, RowOutcome

COLUMNS = (
    *("spec", "metric", "unit", "published", "published_error", "measured", "se", "n", "profile"),
    *("difference", "low", "high", "level", "margin", "verdict"),
)


def write(contents: Contents, folder: Path) -> list[Path]:
    """Write `tables/<paper>-<table>.csv` for each comparison."""
    return [
        put(folder / f"tables/{anchor(c.spec.id)}.csv", table(c).encode())
        for c in contents.comparisons
    ]


def table(comparison: Comparison) -> str:
    """Return a comparison as CSV: the coordinates of each row, then `COLUMNS`.

    A coordinate with the name of a column gets the prefix `at_`. A cell is empty where there is no
    (finite) number. `n` counts seeds; `low` and `high` are the ends of the interval around
    `difference`, measured − published, at the confidence `level`.
    """
    lines = [_line(comparison, outcome) for outcome in comparison.rows]
    names = dict.fromkeys(name for line in lines for name in line if name not in COLUMNS)
    text = io.StringIO()
    writer = csv.DictWriter(text, [*names, *COLUMNS], lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in line.items()} for line in lines)
    return text.getvalue()


def _line(comparison: Comparison, outcome: RowOutcome) -> dict[str, Any]:
    published, difference = published_value(outcome), difference_of(outcome)
    interval = None if difference is None else outcome.interval
    at = {f"at_{k}" if k in COLUMNS else k: v for k, v in outcome.row.at.items()}
    return at | {
        "spec": spec_of(comparison, outcome),
        "metric": comparison.spec.metric,
        "unit": comparison.spec.unit,
        "published": published and published.value,
        "published_error": published and published.error,
        "measured": outcome.mean,
        "se": standard_error(outcome),
        "n": len(outcome.results),
        "profile": outcome.profile,
        "difference": difference,
        "low": interval and interval.low,
        "high": interval and interval.high,
        "level": interval and interval.level,
        "margin": comparison.spec.margin(outcome.row),
        "verdict": outcome.verdict,
    }


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    return clean(value)
