"""Findings of the gate in the terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from hwbench.gate import Cause, Finding
from hwbench.report.formats.gate import print_findings, reason

FOUND = Finding(
    "iwaer/table1", "MNIST, fixed, IWAER_rec", "log_likelihood", Cause("beyond", size=1.25),
    baseline=-123.456, measured=-124.706, tolerance=0.0123,
)  # fmt: skip


@pytest.mark.parametrize("width", [60, 80, 160])
def test_no_number_is_broken_whatever_the_width(width: int):
    out = io.StringIO()
    print_findings(Console(file=out, width=width), [FOUND])
    text = out.getvalue()
    assert max(map(len, text.splitlines())) <= width
    for whole in (FOUND.spec, FOUND.row, FOUND.metric, "-123.5", "-124.7", "0.0123"):
        assert whole in text
    assert " ".join(reason(FOUND.cause).split()[:4]) in text
    assert text.splitlines()[-1] == "iwaer/table1: 0 of 1 rows within tolerance"
