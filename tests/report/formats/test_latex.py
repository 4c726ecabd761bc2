"""One LaTeX table for each spec."""

from __future__ import annotations

import re
from pathlib import Path

from hwbench.report import render
from hwbench.report.formats.latex import escape

from ..conftest import Example


def test_every_row_is_a_line_of_the_table(example: Example, tmp_path: Path):
    first, *_ = render([example.comparison], example.store, tmp_path, ["latex"])
    assert first == tmp_path / "tables/iwaer-table1.tex"
    text = first.read_text(encoding="utf-8")
    body = text.split("\\midrule\n")[1].split("\\bottomrule")[0].splitlines()
    cells = [line.removesuffix(r" \\").split(" & ") for line in body]
    assert {len(line) for line in cells} == {5}
    assert [line[-1] for line in cells] == [o.verdict for o in example.comparison.rows]
    assert cells[1][0] == "MNIST, fixed, IWAER"
    assert cells[1][1:3] == [r"$-$94.346 $\pm$ 0.025", r"$-$95.014 $\pm$ 0.035"]
    assert cells[2][0] == r"MNIST, fixed, IWAER\_rec"


def test_text_of_a_spec_is_no_command():
    out = escape("\\input{x} $a$ & 5% #1 y_2 ^ ~ {z}\n<>")
    commands = re.compile(r"\\text\w+\{\}|\\[{}$&#_%]")
    assert commands.sub("", out) == "inputx a  5 1 y2   z "
