"""Characters: minus signs, spaces of fixed width, and text that is safe to show."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

MINUS = "\u2212"
NONE = "\u2014"  # em dash: there is no value
FIGURE_SPACE = "\u2007"  # as wide as a digit
POINT_SPACE = "\u2008"  # as wide as a point
NARROW_SPACE = "\u202f"
NO_BREAK = "\u00a0"


def clean(text: object) -> str:
    """Return text without control characters, which neither XML nor a terminal should get."""
    return "".join(
        c if c in "\n\t" or unicodedata.category(c) != "Cc" else "\ufffd" for c in str(text)
    )


def minus(text: str) -> str:
    """Return text with a true minus sign before each number.

    >>> minus("-95.182 ± 0.022") == "−95.182 ± 0.022"
    True
    """
    return re.sub(r"(?<![\w.])-(?=[\d.])", MINUS, text)


def aligned(column: Sequence[str]) -> list[str]:
    """Return the texts padded so that, left-aligned, decimal points and ± stand in line.

    >>> [t.replace(FIGURE_SPACE, "_") for t in aligned(["9.5 ± 0.1", "10", "—"])]
    ['_9.5 ± 0.1', '10', '—']
    """
    number = re.compile(rf"([≈~]?\s*[-+{MINUS}]?)(\d+)(\.\d+)?(?:( ± )(\d+)(\.\d+)?)?")
    parts = [number.fullmatch(text) for text in column]
    found = [m for m in parts if m]

    def width(i: int, among: Iterable[re.Match[str]]) -> int:
        return max((len(m[i] or "") for m in among), default=0)

    whole = max((len(m[1]) + len(m[2]) for m in found), default=0)
    erring = [m for m in found if m[4]]
    fraction, error, error_fraction = width(3, found), width(5, erring), width(6, erring)

    def pad(text: str, to: int) -> str:
        gap = to - len(text)
        return (
            text
            + ("" if text or not to else POINT_SPACE)
            + FIGURE_SPACE * (gap if text or not to else gap - 1)
        )

    out = []
    for text, m in zip(column, parts, strict=True):
        if m is None:
            out.append(text)
            continue
        line = FIGURE_SPACE * (whole - len(m[1]) - len(m[2])) + m[1] + m[2]
        if m[4]:
            line += (
                pad(m[3] or "", fraction)
                + m[4]
                + FIGURE_SPACE * (error - len(m[5]))
                + m[5]
                + pad(m[6] or "", error_fraction)
            )
        else:
            line += m[3] or ""
        out.append(line.rstrip(FIGURE_SPACE + POINT_SPACE))
    return out
