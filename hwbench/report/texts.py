"""Headings and sentences of a page, for every format that has them; each layout adds the markup."""

from __future__ import annotations

TEXTS = {
    "index": "Published and measured",
    "about": (
        "hwbench trains the models of published tables and compares what it measures with what was "
        "published, row by row and claim by claim."
    ),
    "warnings": "Warnings",
    "more": "more in the full edition and on the page of the table.",
    "more_rows": "rows without a published value: see the full edition or the page of the table.",
    "some_smoke": (
        "SMOKE RUN. Some numbers only show that the machinery works: tiny data, tiny training."
    ),
    "margins": "margins (better to the right)",
    "tables": "Tables by document",
    "supporting": "Supporting: searches and checks that stand in no document",
    "no_result_yet": "No result yet: ",
    "supporting_elsewhere": (
        "Searches and checks that stand in no document, in the full edition: "
    ),
    "every_row": "Every row with a result",
    "both": "The table: published and measured",
    "only_measured": "The table: measured",
    "as_both": "Published over measured",
    "as_published": "As published",
    "as_measured": "As measured",
    "below": "The difference from the published value, with its interval, stands below.",
    "waiting": "rows have no result yet:",
    "claims_waiting": "claims wait for rows that have no result",
    "quoted": "Published values of models without a run here",
    "shared": "Unless a cell states otherwise: ",
    "means": "A measured value is the mean over seeds ± its standard error.",
    "rows": "Row by row",
    "differences": (
        "Differences are measured − published. Intervals and margins are in the unit of the metric."
    ),
    "again": "One row is run again by its coordinates, the first one here by ",
    "detectable": "Detectable difference with these seeds: ",
    "claims": "Claims",
    "claims_parts": "Claims in parts",
    "no_result": "no result",
    "not_counted": "not counted",
    "other_curves": "Other recorded curves: ",
    "samples": "Samples",
    "assumptions": "Assumptions",
    "about_assumptions": "What the document leaves open, and how it was settled here.",
    "protocol": "Protocol",
    "differing": "Differences between rows",
    "further": "Other metrics and diagnostics",
    "others": "Other metrics (mean ± standard error over seeds)",
    "diagnostics": "Diagnostics of the estimators (mean over seeds)",
    "machine": "Machine and time",
    "timings": "Time and speed (mean over seeds; their range where it is wide)",
    "verdicts": "What the verdicts mean",
    "errors": (
        "A number after ± is one standard error, over seeds unless stated otherwise. The error "
        "over test points is shown but not counted, because both sides use the same test points. "
        "Only runs at profile full are judged against published values. "
        "Claims are tested below full, too: their verdicts are about shortened runs, and are grey. "
        "The p values of claims are adjusted by Holm's method over all claims of their table. "
        "Intervals are not, so an interval may exclude 0 beside a large p. "
        "“Equivalent code” means that the code has changed since a row ran, and that runs of both "
        "versions show how little its numbers move: by this share of what rounding explains, the "
        "tolerance."
    ),
}
PLACES = {  # where pictures stand, with the heading of each place
    "figures": "Figures",
    "curves": "Learning curves",
    "k_curve": "Estimates and K",
}
