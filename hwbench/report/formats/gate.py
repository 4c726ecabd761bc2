"""Findings of the gate in words, for the terminal and as JUnit XML."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as ET  # nosec B405

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from hwbench.gate import Cause, Finding
from hwbench.numbers import short, table_number
from hwbench.store import write_atomically

REASONS = {
    "within": "within tolerance",
    "returned": "{far}, beyond the {size} that rounding explains; the others did not move",
    "moved": "{direction}: {far}, beyond the {size} that rounding explains; {anew}",
    "beyond": "{direction} than the baseline by {size}, beyond the spread of its seeds; {anew}",
    "many": "{counts[0]} of {counts[1]} seeds moved beyond what {counts[2]} did under other "
    "kernels; {anew}",
    "no baseline": "the baseline has no such row; --update adds it",
    "one seed": "a baseline needs at least 2 seeds (better 5 or more)",
    "no result": "no stored result; run the spec first",
    "other spec": "the spec has changed since the baseline was taken; --update retakes it",
    "no row": "the spec no longer has this row",
}
ANEW = "if the code was meant to change the draws, retake the baseline: make baselines"
WIDE = 120  # columns in which a table of findings fits
HEAD = ("spec", "row", "metric", "baseline", "measured", "tolerance", "")


def reason(cause: Cause) -> str:
    """Return in words why a row passes or fails."""
    return REASONS[cause.kind].format(
        far=", ".join(f"seed {seed} moved by {short(d, 3, sign=True)}" for seed, d in cause.seeds),
        direction="better" if cause.better else "worse",
        size=short(cause.size, 3 if cause.kind == "beyond" else 2),
        counts=cause.counts,
        anew=ANEW,
    )


def print_findings(console: Console, findings: Sequence[Finding]) -> None:
    """Print failures and remarks, then for each spec how many rows passed.

    They are a table if it fits, or else a list. Rows without a result are only counted: there may
    be hundreds.
    """
    told = [f for f in findings if f.cause.kind not in ("within", "no result")]
    if told and console.width >= WIDE:
        table = Table(*HEAD, box=None, header_style="bold")
        for f in told:
            table.add_row(f.spec, f.row, f.metric, *_numbers(f), reason(f.cause), style=_style(f))
        console.print(table)
    else:
        for f in told:
            _print_entry(console, f)
    for spec in dict.fromkeys(f.spec for f in findings):
        mine = [f for f in findings if f.spec == spec]
        passed = f"{spec}: {sum(f.passed for f in mine)} of {len(mine)} rows within tolerance"
        without = sum(f.cause.kind == "no result" for f in mine)
        lacking = f", {without} without a stored result: run the spec first" if without else ""
        console.print(passed + lacking, style="red" if without else None)


def _numbers(finding: Finding) -> list[str]:
    return [table_number(n) for n in (finding.baseline, finding.measured, finding.tolerance)]


def _style(finding: Finding) -> str:
    return "yellow" if finding.passed else "red"


def _print_entry(console: Console, finding: Finding) -> None:
    """Print a finding in three lines: the row, its numbers, and the reason."""
    baseline, measured, tolerance = _numbers(finding)
    style = _style(finding)
    console.print(f"{finding.spec}, {finding.row}: {finding.metric}", style=f"bold {style}")
    numbers = f"baseline {baseline}, measured {measured}, tolerance {tolerance}"
    for line in (numbers, reason(finding.cause)):
        console.print(Padding(Text(line, style=style), (0, 0, 0, 4), expand=False))


def write_junit(findings: Sequence[Finding], path: Path) -> None:
    """Write the findings as JUnit XML, one test case per row."""
    failed = sum(not f.passed for f in findings)
    suite = ET.Element(
        "testsuite", name="hwbench gate", tests=str(len(findings)), failures=str(failed)
    )
    for f in findings:
        case = ET.SubElement(suite, "testcase", classname=f.spec, name=f"{f.row} {f.metric}")
        if not f.passed:
            detail = f"baseline {f.baseline}, measured {f.measured}, tolerance {f.tolerance}"
            ET.SubElement(case, "failure", message=reason(f.cause)).text = detail
    write_atomically(
        path, ET.tostring(suite, encoding="utf-8", xml_declaration=True), overwrite=True
    )
