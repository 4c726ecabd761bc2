"""Findings of the gate for the terminal and as JUnit XML."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as ET  # nosec B405

from rich.console import Console
from rich.table import Table

from hwbench.gate import Finding
from hwbench.numbers import table_number
from hwbench.store import write_atomically

HEAD = ("spec", "row", "metric", "baseline", "measured", "tolerance", "")


def print_findings(console: Console, findings: Sequence[Finding]) -> None:
    """Print failures and remarks as a table, then for each spec how many rows passed."""
    table = Table(*HEAD, box=None, header_style="bold")
    for f in findings:
        if f.cause.kind != "within":
            numbers = map(table_number, (f.baseline, f.measured, f.tolerance))
            style = "yellow" if f.passed else "red"
            table.add_row(f.spec, f.row, f.metric, *numbers, f.reason, style=style)
    if table.row_count:
        console.print(table)
    for spec in dict.fromkeys(f.spec for f in findings):
        mine = [f for f in findings if f.spec == spec]
        console.print(f"{spec}: {sum(f.passed for f in mine)} of {len(mine)} rows within tolerance")


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
            ET.SubElement(case, "failure", message=f.reason).text = detail
    write_atomically(
        path, ET.tostring(suite, encoding="utf-8", xml_declaration=True), overwrite=True
    )
