"""Headings and sentences of a page, for every format that has them; each layout adds the markup."""

from __future__ import annotations

TEXTS = {
    "index": "Published and measured",
    "warnings": "Warnings",
    "both": "The table as published and as measured",
    "only_measured": "The table as measured",
    "as_published": "As published",
    "as_measured": "As measured",
    "shared": "Unless a cell says otherwise: ",
    "means": "A measured number is the mean over seeds ± its standard error.",
    "rows": "Row by row",
    "differences": (
        "Differences are measured − published. Intervals and margins are in the unit of the metric."
    ),
    "detectable": "Smallest difference these seeds could tell: ",
    "claims": "Claims",
    "no_result": "no result",
    "not_counted": "not counted",
    "other_curves": "Also on file: ",
    "samples": "Samples",
    "assumptions": "Assumptions",
    "about_assumptions": "What the document leaves open, and what was done about it.",
    "protocol": "Protocol",
    "differing": "What differs between rows",
    "others": "Measured as well, mean over seeds ± its standard error",
    "diagnostics": "Diagnostics of the estimators, mean over seeds",
    "machine": "Machine",
    "timings": "Time and speed, mean over seeds",
    "verdicts": "What the verdicts mean",
    "errors": (
        "A number after ± is one standard error, over seeds unless it says otherwise; the error "
        "over test points is shown and not counted, because both sides use the same test points. "
        "Only runs at profile full are judged against published numbers."
    ),
}
PLACES = {  # where pictures stand, with the heading of each place
    "figures": "Figures",
    "curves": "Learning curves",
    "k_curve": "Estimates and K",
}
