"""Findings of the gate for the terminal and as JUnit XML."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

from rich.console import Console
from rich.table import Table

from hwbench.gate import Finding
from hwbench.store import write_atomically


def print_findings(console: Console, findings: Sequence[Finding]) -> None:
    """Print failures and what else is worth a word, and the rest as a count per spec."""
    table = Table(
        "spec",
        "row",
        "metric",
        "baseline",
        "measured",
        "tolerance",
        "",
        box=None,
        header_style="bold",
    )

    def number(value: float | None) -> str:
        return "" if value is None else f"{value:.4g}"

    for f in findings:
        if f.cause.kind != "within":
            cells = [
                f.spec,
                f.row,
                f.metric,
                number(f.baseline),
                number(f.measured),
                number(f.tolerance),
                f.reason,
            ]
            table.add_row(*cells, style="yellow" if f.passed else "red")
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
