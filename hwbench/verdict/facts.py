"""Flags, notices and tests as data; `remarks` puts them into words."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from hwbench.spec import Case, label

NUMBER = re.compile(r"(?<![\w.\-])-?\d+(?:\.\d+)?(?:e[-+]?\d+)?(?!\w)")


# --- marks on a row, and warnings -----------------------------------------------------------------

FlagKind = Literal[
    "against",
    "smoke",
    "stand-in",
    "log Z",
    "score",
    "memory",
    "plugin",
    "stale",
    "changed",
    "equivalent",
    "lost",
]
NoticeKind = Literal[
    "file", "unknown row", "stale", "margin", "changed", "lower", "departs", "budget", "recorded"
]


@dataclass(frozen=True)
class Flag:
    """A mark on a row.

    Attributes:
        kind: `against` (a row of the user's own spec), `smoke`, `stand-in` (used, published),
            `log Z` (nats in doubt), `score` (no likelihood), `memory`, `plugin` (its name),
            `stale`, `changed` (the code), `equivalent` (other code: the share of the tolerance
            by which its numbers move, and the profile), `lost` (number of failed seeds).
        details: the values in parentheses above, in this order.
    """

    kind: FlagKind
    details: tuple[str | int | float, ...] = ()


@dataclass(frozen=True)
class Notice:
    """A warning. Warnings of one kind with the same words can be merged into one, with ranges.

    Attributes:
        kind: `file` (a result that cannot be read), `unknown row`, `stale`, `margin` (wider than
            half a claimed gap), `changed` (the code of a row), `lower` (the code of a claim's row
            at a lower profile), `departs` (a reduced run from the case at full), `budget`
            (of the user's row, unequal to that of its rival), `recorded` (by a run).
        words: names, in the order of the sentence.
        numbers: counts and sizes, in the order of the sentence.
        spec, row: id and coordinates of the row concerned, '' if it concerns none.
        seed: the run that recorded it.
    """

    kind: NoticeKind
    words: tuple[str, ...] = ()
    numbers: tuple[int | float | Decimal, ...] = ()
    spec: str = ""
    row: str = ""
    seed: int | None = None


def recorded(text: str, case: Case) -> Notice:
    """Return a warning that a run recorded, its numbers apart from its words.

    Result files keep such a warning as text, since that is what evaluators return.
    """
    words, numbers = NUMBER.split(text), NUMBER.findall(text)
    values = tuple(map(Decimal, numbers))
    return Notice("recorded", tuple(words), values, case.spec, label(case.at), case.seed)


# --- tests ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Method:
    """The test that was used.

    Attributes:
        kind: paired t, Welch's t, t against a deterministic model, McNemar's, or the
            prediction interval of a published value.
        seeds: how many on each side that has several.
        points: test points of McNemar's test.
        only: number of points that only the first, and only the second, classifies correctly.
        doubt: uncertainty of log Z in nats, which the test allows for; 0 if negligible.
        equivalence: whether these are two one-sided tests, against both ends of a tolerance.
    """

    kind: Literal["paired", "welch", "fixed", "mcnemar", "prediction"]
    seeds: tuple[int, ...] = ()
    points: int = 0
    only: tuple[int, int] = (0, 0)
    doubt: float = 0.0
    equivalence: bool = False


@dataclass(frozen=True)
class Neighbours:
    """The tests between neighbours of an order: `tested` of `pairs`."""

    methods: tuple[Method, ...]
    tested: int
    pairs: int
