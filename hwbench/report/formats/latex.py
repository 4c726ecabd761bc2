r"""One LaTeX table for each spec, to \input into a paper that loads booktabs (and longtable).

pdfLaTeX, XeLaTeX and LuaLaTeX read the tables; a test compiles them.
"""

from __future__ import annotations

import unicodedata
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
    '"': "{''}",
    "|": r"\textbar{}",
    MINUS: "$-$",
    NARROW_SPACE: r"\,",
    NO_BREAK: "~",
}
SIGNS = "≈∞∼≤≥≠→×·∝∑∏√∇∂∈←¬"
NAMES = (
    "approx infty sim leq geq neq to times cdot propto sum prod surd nabla partial in leftarrow neg"
)
MATHS = dict(zip(SIGNS, NAMES.split(), strict=True))  # commands of mathematics
LETTERS = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau "
    "upsilon phi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega"
)
GREEK = {
    f"GREEK {'SMALL' if letter.islower() else 'CAPITAL'} LETTER "
    f"{letter.upper().replace('LAMBDA', 'LAMDA')}": letter
    for letter in LETTERS.split()
}  # likewise, by the names of the characters
PLAIN = "\u2013\u2014\u2018\u2019\u201c\u201d…ÆæŒœØøßŁłı"  # what LaTeX reads in any encoding
ACCENTS = "\u0300\u0301\u0302\u0303\u0304\u0306\u0307\u0308\u030a\u030b\u030c\u0327"  # likewise
ROWS = 45  # a longer table may not fit on a page and is a longtable


def write(contents: Contents, folder: Path) -> list[Path]:
    """Write `tables/<paper>-<table>.tex` for each spec."""
    return [put(folder / f"tables/{s.anchor}.tex", table(s).encode()) for s in contents.sections]


def table(section: Section) -> str:
    """Return a table of the rows: published, measured, difference with interval, verdict.

    Where nothing is published, it has only what was measured.
    """
    heads = ["row", "published", r"measured $\pm$ s.e.", "difference", "verdict"]
    body = [list(map(escape, _cells(row))) for row in section.rows]
    if not section.has_published:
        heads, body = heads[0:3:2], [cells[0:3:2] for cells in body]
    long = len(body) > ROWS
    kind, packages = ("longtable", "booktabs and longtable") if long else ("tabular", "booktabs")
    return "\n".join(
        [
            f"% {' '.join(section.id.split())}: made by hwbench {version()}; needs {packages}",
            rf"\begin{{{kind}}}{{{'l' * len(heads)}}}",
            r"\toprule",
            " & ".join(heads) + r" \\",
            r"\midrule",
            *([r"\endhead"] if long else []),
            *(" & ".join(cells) + r" \\" for cells in body),
            r"\bottomrule",
            rf"\end{{{kind}}}",
            "",
        ]
    )


def escape(text: str) -> str:
    r"""Return text in which TeX finds no command; signs become commands of its own.

    >>> print(escape("50% of x_1 −0.5 ± 0.1, λ = 10⁻³"))
    50\% of x\_1 $-$0.5 $\pm$ 0.1, $\lambda$ = 10$^{-3}$
    """
    return "".join(map(_character, text)).replace("}$$^{", "").replace("}$$_{", "")


def _character(character: str) -> str:
    """Return a character as LaTeX; of one that few fonts have, its code."""
    if character in COMMANDS:
        return COMMANDS[character]
    if character in MATHS:
        return rf"$\{MATHS[character]}$"
    name = unicodedata.name(character, "")
    if (letter := GREEK.get(name)) is not None:
        return rf"$\{letter}$"
    kind, _, plain = unicodedata.decomposition(character).partition(" ")
    if kind in ("<super>", "<sub>") and " " not in plain:
        script = chr(int(plain, 16)).replace(MINUS, "-")
        return f"${'^' if kind == '<super>' else '_'}{{{script}}}$"
    if character.isspace():
        return " "
    parts = unicodedata.normalize("NFD", character)
    if character in PLAIN or (parts[0].isascii() and all(a in ACCENTS for a in parts[1:])):
        return character
    return f"(U+{ord(character):04X})"


def _cells(row: RowView) -> list[str]:
    difference = f"{row.difference} {row.interval}".rstrip()
    return [row.label, row.judged or row.published, row.measured, difference, row.verdict]
