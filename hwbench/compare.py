"""Results against published values and claims: a verdict for each row and each claim.

Definitions stand in `docs/verdicts.md`; this module is torch-free and reads results through `store` only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from hwbench.spec import Claim, Profile, Published, Row, Spec
from hwbench.store import Result

Verdict = Literal[
    "agrees", "better", "worse", "undecided", "reduced", "incomparable", "calibrated", "missing", "failed", "unpublished"
]
ClaimVerdict = Literal["holds", "fails", "undecided", "missing"]


@dataclass(frozen=True)
class Interval:
    """A central interval with its coverage."""

    low: float
    high: float
    level: float = 0.9


@dataclass(frozen=True)
class RowOutcome:
    """What is measured and what was published of one row, and how they compare.

    Attributes:
        results: results that count, one per seed (profile chosen: full before quick before smoke unless asked).
        profile: the profile they were run at, None without results.
        mean, sd: over seeds, of the spec's metric; sd is None for one seed.
        se_points: mean standard error over test points, shown but not counted.
        difference: measured − published, with the prediction `interval`, both None where nothing was published.
        smallest: the smallest difference that this many seeds could have told from zero (half width of interval).
        verdict, reason: see the module; `reason` is one sentence for people.
        flags: 'stale', 'code changed', 'from memory', 'stand-in: …', 'score, not a likelihood', 'plugin: …', 'smoke'.
        expected_seeds: how many seeds the profile asks for.
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
        p: Holm-adjusted one-sided p value, None where none is defined.
        test: which test was used, in words, with the number of units ('paired t test over 5 seeds').
        profile: lowest profile among the results used.
        reason: one sentence for people.
    """

    at: dict[str, object]
    verdict: ClaimVerdict
    effect: float | None
    interval: Interval | None
    p: float | None
    test: str
    profile: Profile | None
    reason: str


@dataclass(frozen=True)
class ClaimOutcome:
    """A claim of the document with its verdict over all its parts (fails if one fails, else undecided, …)."""

    claim: Claim
    parts: list[ClaimPart]
    verdict: ClaimVerdict
    reason: str


@dataclass(frozen=True)
class Comparison:
    """A spec beside its results; what the report prints."""

    spec: Spec
    rows: list[RowOutcome]
    claims: list[ClaimOutcome]
    warnings: list[str]
    profile: Profile | None
    banner: str | None = None
