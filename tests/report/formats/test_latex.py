"""One LaTeX table for each spec."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from hwbench.report import render
from hwbench.report.formats.latex import escape, table
from hwbench.report.section import make_section

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


def test_signs_and_letters_become_commands():
    assert escape("λ = 10⁻³ h₁ × Ω → Ørsted “é”") == (
        r"$\lambda$ = 10$^{-3}$ h$_{1}$ $\times$ $\Omega$ $\to$ Ørsted “é”"
    )
    assert escape("愛") == "(U+611B)"


def test_a_table_of_what_is_not_published_has_only_what_was_measured(example: Example):
    text = table(replace(make_section(example.comparison), has_published=False))
    assert r"row & measured $\pm$ s.e. \\" in text
    assert r"MNIST, fixed, IWAER & $-$95.014 $\pm$ 0.035 \\" in text
    assert "unpublished" not in text


PAPER = r"""\documentclass{article}
\usepackage[margin=1cm]{geometry}
\usepackage{booktabs,longtable}
\begin{document}
\scriptsize
%s
\end{document}
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no LaTeX here: texlive-latex-base")
def test_latex_reads_the_tables_and_sets_every_row(example: Example, tmp_path: Path):
    """Any character that a label may have; a table of many pages."""
    latin = "".join(c for c in map(chr, range(33, 0x180)) if c.isprintable())
    section = make_section(example.comparison)
    hostile = [replace(row, label=f"{row.label} {latin} λΩ≤∞⁻² 愛") for row in section.rows]
    long = [replace(row, label=f"line {n}") for n in range(150) for row in section.rows[:1]]
    tables = [table(replace(section, rows=rows)) for rows in (hostile, long)]
    (tmp_path / "paper.tex").write_text(PAPER % "\n".join(tables), encoding="utf-8")
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Missing character" not in done.stdout
    assert "Overfull \\vbox" not in done.stdout
    pages = re.search(r"\((\d+) pages?", done.stdout)
    assert pages is not None
    assert int(pages[1]) > 1
