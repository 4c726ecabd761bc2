"""One Markdown file, for a README, an issue or a wiki: rows and claims, no pictures."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from hwbench.report.contents import Contents
from hwbench.report.formats import put
from hwbench.report.texts import TEXTS
from hwbench.report.views import ClaimView, RowView, Section
from hwbench.report.words import CLAIM_VERDICTS, ROW_VERDICTS, Meaning

HEAD = ("row", "published", "measured ± s.e.", "difference", "verdict")
SPECIAL = re.compile(r"[\\`*_\[\]<>|&~$#!]")  # what GitHub's Markdown reads inside a line


def write(contents: Contents, folder: Path) -> list[Path]:
    """Write `report.md`."""
    return [put(folder / "report.md", "\n".join(map(section_text, contents.sections)).encode())]


def section_text(section: Section) -> str:
    """Return a section: its title, a table of the rows and a list of the claims."""
    parts = [f"## {escape(section.title)}", escape(f"{section.id}, {section.source}")]
    parts += [f"**{escape(section.banner)}**"] if section.banner else []
    parts.append(escape(f"{section.measure}. {section.summary}."))
    parts.append(_table(HEAD, map(_row, section.rows)))
    if section.quoted.lines:
        parts.append(f"{TEXTS['quoted']}:")
        parts.append(_table(section.quoted.head, section.quoted.lines))
    parts += ["\n".join(map(_claim, section.claims))] if section.claims else []
    return "\n\n".join(parts) + "\n"


def escape(text: str) -> str:
    r"""Return text on one line in which nothing is markup.

    >>> print(escape("a|b *c*\n<d>"))
    a\|b \*c\* \<d\>
    """
    return SPECIAL.sub(r"\\\g<0>", " ".join(text.split()))


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    ruled = [head, ["---"] * len(head), *lines]
    return "\n".join(f"| {' | '.join(map(escape, cells))} |" for cells in ruled)


def _row(row: RowView) -> list[str]:
    difference = f"{row.difference} {row.interval}".rstrip()
    numbers = [row.judged or row.published, row.measured, difference]
    return [row.label, *numbers, _verdict(row.verdict, ROW_VERDICTS)]


def _claim(claim: ClaimView) -> str:
    verdict = f"{_verdict(claim.verdict, CLAIM_VERDICTS)} {claim.at}".rstrip()
    facts = "; ".join([claim.kind, *claim.stand_ins])
    return f"- **{verdict}**: {escape(claim.text)} ({escape(facts)})"


def _verdict(name: str, meanings: dict[str, Meaning]) -> str:
    return f"{meanings[name].symbol} {name}"
