"""Verdicts as data: of rows, of claims and of a whole table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from hwbench.spec import PROFILES, Claim, Profile, Published, Row, Spec
from hwbench.store import Result
from hwbench.verdict.statistics import Interval

Verdict = Literal[
    "agrees",
    "better",
    "worse",
    "undecided",
    "reduced",
    "incomparable",
    "calibrated",
    "missing",
    "failed",
    "unpublished",
]
ClaimVerdict = Literal["holds", "fails", "undecided", "missing"]


@dataclass(frozen=True)
class RowOutcome:
    """What is measured and what was published of one row, and how they compare.

    Attributes:
        results: results that count, one per seed (profile chosen: full before quick before smoke
            unless asked).
        profile: the profile they were run at, None without results.
        mean, sd: over seeds, of the spec's metric; sd is None for one seed.
        se_points: mean standard error over test points, shown but not counted.
        difference: measured − published, with the prediction `interval`, both None where nothing
            was published.
        smallest: the smallest difference that this many seeds could have told from zero (half
            width of interval).
        verdict, reason: see the module; `reason` is one sentence for people.
        flags: 'stale', 'code changed', 'equivalent code: …', 'from memory', 'stand-in: …', 'score,
            not a likelihood', 'log Z in doubt by 130 nats', 'plugin: …', 'smoke', '2 seeds failed',
            'against' (a row of the user's own spec).
        expected_seeds: how many seeds the profile asks for.
        also: further metrics that were published: (measured mean, published value).
    """

    row: Row
    results: list[Result]
    profile: Profile | None
    mean: float | None
    sd: float | None
    se_points: float | None
    published: Published | None
    difference: float | None
    interval: Interval | None
    smallest: float | None
    verdict: Verdict
    reason: str
    flags: list[str] = field(default_factory=list)
    expected_seeds: int = 0
    also: dict[str, tuple[float | None, float | None]] = field(default_factory=dict)


@dataclass(frozen=True)
class ClaimPart:
    """A claim at one combination of the coordinates that it holds equal.

    Attributes:
        at: those coordinates.
        verdict: holds, fails, undecided, missing.
        effect: the difference tested (the smallest of an order), in the better direction.
        interval: its confidence interval, level 0.9 unless said.
        p: Holm-adjusted one-sided p value of what the verdict says (that the claim fails, or else
            that it holds), None where none is defined.
        test: which test was used, in words, with the number of units ('paired t test over 5
            seeds').
        profile: lowest profile among the results used.
        reason: one sentence for people.
        counts: whether the part enters the verdict on the claim; not where calibration chose
            another setting.
        changed: rows whose results, used here, ran with other code than today's.
    """

    at: dict[str, object]
    verdict: ClaimVerdict
    effect: float | None
    interval: Interval | None
    p: float | None
    test: str
    profile: Profile | None
    reason: str
    counts: bool = True
    changed: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class ClaimOutcome:
    """A claim of the document with its verdict over all its parts; see `conclude`."""

    claim: Claim
    parts: list[ClaimPart]
    verdict: ClaimVerdict
    reason: str

    @property
    def profile(self) -> Profile | None:
        """Return the lowest profile among the parts that count, None without any results."""
        found = {part.profile for part in counting_parts(self.parts) or self.parts}
        return next((profile for profile in PROFILES if profile in found), None)


@dataclass(frozen=True)
class Comparison:
    """A spec beside its results; what the report prints.

    Attributes:
        profile: the profile asked for, else the one at which all rows with results ran, None
            where they differ.
        banner: what the results themselves say in large letters (a fall-back to smoke).
    """

    spec: Spec
    rows: list[RowOutcome]
    claims: list[ClaimOutcome]
    warnings: list[str]
    profile: Profile | None
    banner: str | None = None


@dataclass(frozen=True)
class Pair:
    """What a test of two sides found; p values for and against are None without a test."""

    effect: float
    interval: Interval | None
    p_for: float | None
    p_against: float | None
    test: str


def counting_parts(parts: Sequence[ClaimPart]) -> list[ClaimPart]:
    """Return the parts that enter the verdict on their claim."""
    return [part for part in parts if part.counts]
