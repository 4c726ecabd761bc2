"""Headings and sentences of a page, for every format that has them; each layout adds the markup."""

from __future__ import annotations

TEXTS = {
    "index": "Published and measured",
    "warnings": "Warnings",
    "both": "The table: published and measured",
    "only_measured": "The table: measured",
    "as_published": "As published",
    "as_measured": "As measured",
    "shared": "Unless a cell states otherwise: ",
    "means": "A measured value is the mean over seeds ± its standard error.",
    "rows": "Row by row",
    "differences": (
        "Differences are measured − published. Intervals and margins are in the unit of the metric."
    ),
    "detectable": "Detectable difference with these seeds: ",
    "claims": "Claims",
    "no_result": "no result",
    "not_counted": "not counted",
    "other_curves": "Other recorded curves: ",
    "samples": "Samples",
    "assumptions": "Assumptions",
    "about_assumptions": "What the document leaves open, and how it was settled here.",
    "protocol": "Protocol",
    "differing": "Differences between rows",
    "others": "Other metrics (mean ± standard error over seeds)",
    "diagnostics": "Diagnostics of the estimators (mean over seeds)",
    "machine": "Machine",
    "timings": "Time and speed (mean over seeds)",
    "verdicts": "What the verdicts mean",
    "errors": (
        "A number after ± is one standard error, over seeds unless stated otherwise. The error "
        "over test points is shown but not counted, because both sides use the same test points. "
        "Only runs at profile full are judged against published values."
    ),
}
PLACES = {  # where pictures stand, with the heading of each place
    "figures": "Figures",
    "curves": "Learning curves",
    "k_curve": "Estimates and K",
}
