r"""One LaTeX table for each spec, to \input into a paper that loads booktabs."""

from __future__ import annotations

from pathlib import Path

from hwbench.report.contents import Contents
from hwbench.report.formats import put
from hwbench.report.views import RowView, Section
from hwbench.report.words import version
from hwbench.typography import MINUS, NARROW_SPACE, NO_BREAK

COMMANDS = {
    "\\": r"\textbackslash{}",
    **{character: f"\\{character}" for character in "{}$&#_%"},
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "±": r"$\pm$",
    "[": "{[}",  # after a line break, it would open an option
    "*": "{*}",
    "≈": r"$\approx$",
    "∞": r"$\infty$",
    MINUS: "$-$",
    NARROW_SPACE: r"\,",
    NO_BREAK: "~",
}


def write(contents: Contents, folder: Path) -> list[Path]:
    """Write `tables/<paper>-<table>.tex` for each spec."""
    return [put(folder / f"tables/{s.anchor}.tex", table(s).encode()) for s in contents.sections]


def table(section: Section) -> str:
    """Return a tabular of the rows: published, measured, difference with interval, verdict."""
    lines = [
        f"% {' '.join(section.id.split())}: made by hwbench {version()}",
        r"\begin{tabular}{lllll}",
        r"\toprule",
        r"row & published & measured $\pm$ s.e. & difference & verdict \\",
        r"\midrule",
        *(" & ".join(map(escape, _cells(row))) + r" \\" for row in section.rows),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def escape(text: str) -> str:
    r"""Return text in which TeX finds no command; signs become commands of its own.

    >>> print(escape("50% of x_1 −0.5 ± 0.1"))
    50\% of x\_1 $-$0.5 $\pm$ 0.1
    """
    return "".join(COMMANDS.get(character, character) for character in text).replace("\n", " ")


def _cells(row: RowView) -> list[str]:
    difference = f"{row.difference} {row.interval}".rstrip()
    return [row.label, row.judged or row.published, row.measured, difference, row.verdict]
