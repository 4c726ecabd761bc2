"""Characters: minus signs, narrow spaces, and text that is safe to show."""

from __future__ import annotations

import re
import unicodedata

MINUS = "\u2212"
NONE = "\u2014"  # em dash: there is no value
NARROW_SPACE = "\u202f"
NO_BREAK = "\u00a0"


def clean(text: object) -> str:
    """Return text without control characters, which are unsafe in XML and in a terminal."""
    return "".join(
        c if c in "\n\t" or unicodedata.category(c) != "Cc" else "\ufffd" for c in str(text)
    )


def minus(text: str) -> str:
    """Return text with a true minus sign before each number.

    >>> minus("-95.182 ± 0.022") == "−95.182 ± 0.022"
    True
    """
    return re.sub(r"(?<![\w.])-(?=[\d.])", MINUS, text)


def words(name: str) -> str:
    """Return an identifier as words."""
    return clean(name).replace("_", " ")
