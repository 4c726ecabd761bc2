"""Characters: minus signs, narrow spaces, and text that is safe to show."""

from __future__ import annotations

import re
import unicodedata

MINUS = "\u2212"
NONE = "\u2014"  # em dash: there is no value
NARROW_SPACE = "\u202f"
NO_BREAK = "\u00a0"
NAMES = {  # what an identifier writes in small letters
    **{name: name.upper() for name in ("ais", "elbo", "fid", "kl", "map", "mmd", "mse", "nll")},
    "amari": "Amari distance",
    "lenet": "LeNet",
}


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
    """Return an identifier as words, names and abbreviations in their capitals.

    >>> words("active_units"), words("lenet_fid"), words("retrieval_map")
    ('active units', 'LeNet FID', 'retrieval MAP')
    """
    return " ".join(NAMES.get(word, word) for word in clean(name).split("_"))
