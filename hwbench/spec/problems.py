"""Mistakes in a spec: errors with file, line and field, and the nearest allowed name."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

Path_ = tuple[str | int, ...]


@dataclass(frozen=True)
class Problem:
    """One mistake in a file: its place, what is wrong, and what is expected.

    Attributes:
        field: the dotted path of the value, below its row if the mistake is of one row.
        row: the coordinates of that row, as `label` shows them.
    """

    file: str
    line: int
    field: str
    message: str
    row: str = ""

    def __str__(self) -> str:
        where = f"row {self.row}, " if self.row else ""
        return f"{self.file}:{self.line}: {where}{self.field}: {self.message}"


class UserError(ValueError):
    """The user's input is wrong or cannot be used; the command line exits with 2."""


class SpecError(UserError):
    """A file, name or argument of the user is wrong; `problems` lists every mistake found."""

    def __init__(self, problems: Sequence[Problem] | str) -> None:
        self.problems = [] if isinstance(problems, str) else list(problems)
        super().__init__(problems if isinstance(problems, str) else "\n".join(map(str, problems)))


_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def visible(text: str) -> str:
    r"""Return a text with its control characters written out, so that none controls anything.

    >>> print(visible("\x1b[31m red"))
    \x1b[31m red
    """
    return _UNSEEN.sub(lambda m: m[0].encode("unicode_escape").decode("ascii"), text)


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """Return '; did you mean X?' or '; allowed: …', to end an error message."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.55)
    if close:
        return f"; did you mean {close[0]}?"
    return f"; allowed: {', '.join(sorted(known))}" if known else ""


def display_path(path: Path) -> str:
    """Return `path` relative to the working folder if it lies below it."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def dotted(path: Path_) -> str:
    """Return the place of a value for people.

    >>> dotted(("rows", 0, "at"))
    'rows[0].at'
    """
    return (
        "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in path).lstrip(".") or "(file)"
    )
