"""The coordinates of a row, such as {data: MNIST, method: IWAE}, and their names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from hwbench.typography import clean, words

Scalar = str | int | float | bool
Coordinates = dict[str, Scalar]


def row_name(at: Mapping[str, Scalar]) -> str:
    """Return coordinates as one file-safe word, which cannot lead out of a folder."""
    return "-".join(
        re.sub(r"[^A-Za-z0-9_+.=]+", "_", str(v)).strip(".") or "_" for v in at.values()
    )


def is_value(value: Scalar, wanted: object) -> bool:
    """Return whether a coordinate has a wanted value, or the value that this text has in a spec.

    >>> is_value(1e-05, "1e-5"), is_value(True, "true"), is_value("Adam", "adam")
    (True, True, False)
    """
    if str(value) == str(wanted):
        return True
    if isinstance(value, str) or not isinstance(wanted, str):
        return False
    if isinstance(value, bool):
        return str(value).lower() == wanted
    try:
        return float(wanted) == value
    except ValueError:
        return False


def label(at: Mapping[str, object], without: Iterable[str] = ()) -> str:
    """Return coordinates as text: words stand alone, numbers with their name.

    >>> label({"data": "MNIST", "k": 5, "method": "IWAE"}, without=["data"])
    'k = 5, IWAE'
    """
    skip = set(without)
    return ", ".join(coordinate(k, v) for k, v in at.items() if k not in skip)


def coordinate(name: str, value: object) -> str:
    """Return one coordinate as text: a word alone, a number with its name."""
    return clean(value) if isinstance(value, str) else f"{words(name)} = {clean(value)}"
