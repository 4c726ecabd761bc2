"""Verdicts as data: of rows, of claims and of a whole table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from hwbench.notebook import section_html, table_html
from hwbench.numbers import difference_text, interval_text, p_value, rounded
from hwbench.spec import PROFILES, Claim, Profile, Published, Row, Spec, label
from hwbench.store import Result
from hwbench.verdict.facts import Flag, FlagKind, Method, Neighbours, Notice, recorded
from hwbench.verdict.pairing import Pairing
from hwbench.verdict.reasons import PValue, Reason, Untested
from hwbench.verdict.reduction import Departure
from hwbench.verdict.remarks import flag_text, test_text, warning_text
from hwbench.verdict.sizes import effect_text
from hwbench.verdict.statistics import Interval
from hwbench.verdict.wording import reasons_text

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
        mean, sd: of the spec's metric over seeds; sd is None for one seed.
        se_points: mean standard error over test points, shown but not counted.
        difference: measured − published, with the prediction `interval`, both None where nothing
            was published.
        smallest: the detectable difference: half the width of the interval.
        verdict: see `docs/verdicts.md`.
        reasons: why, the deciding one first.
        flags: marks that stand beside the number.
        expected_seeds: how many seeds the profile asks for.
        also: further metrics that were published: (measured mean, published value).
        departures: where a profile below full runs something else than full does.
    """

    row: Row
    results: tuple[Result, ...]
    profile: Profile | None
    mean: float | None
    sd: float | None
    se_points: float | None
    published: Published | None
    difference: float | None
    interval: Interval | None
    smallest: float | None
    verdict: Verdict
    reasons: tuple[Reason, ...]
    flags: tuple[Flag, ...] = ()
    expected_seeds: int = 0
    also: Mapping[str, tuple[float | None, float | None]] = field(default_factory=dict)
    departures: tuple[Departure, ...] = ()

    @property
    def notices(self) -> tuple[Notice, ...]:
        """Return what a reduced run departs in, and the warnings that the runs recorded."""
        warned = (recorded(text, r.case) for r in self.results for text in r.warnings)
        if not self.departures or self.profile is None:
            return tuple(warned)
        triples = [text for d in self.departures for text in (d.name, d.ran, d.full)]
        spec_id, name = self.results[0].case.spec, label(self.row.at)
        return Notice("departs", (self.profile, *triples), (), spec_id, name), *warned

    @property
    def reason(self) -> str:
        """Return the reasons as one sentence."""
        return reasons_text(self.reasons)

    def has(self, kind: FlagKind) -> bool:
        """Return whether a flag of this kind is set."""
        return any(flag.kind == kind for flag in self.flags)

    def record(self) -> dict[str, str]:
        """Return the row as the line of a table."""
        half = self.interval.half if self.interval else None
        published, difference = self.published, self.difference
        return {
            "row": label(self.row.at),
            "verdict": self.verdict,
            "published": "" if published is None else published.text,
            "measured": "" if self.mean is None else rounded(self.mean, half),
            "difference": "" if difference is None else difference_text(difference, self.interval),
            "interval": interval_text(self.interval),
            "seeds": f"{len(self.results)} of {self.expected_seeds}",
            "profile": self.profile or "",
            "reason": self.reason,
            "flags": ", ".join(map(flag_text, self.flags)),
        }

    def _repr_html_(self) -> str:
        return table_html([self.record()])


@dataclass(frozen=True)
class ClaimPart:
    """A claim at one combination of the coordinates that it holds equal.

    Attributes:
        at: those coordinates.
        verdict: holds, fails, undecided, missing.
        effect: the difference tested (the smallest of an order), in the better direction.
        interval: its confidence interval, level 0.9 unless said.
        p: Holm-adjusted one-sided p value of what the verdict says (that the claim fails, or else
            that it holds), None where none is defined; `nearest` is the one to show.
        method: the test used, or why there is none; None if a side is missing.
        profile: lowest profile among the results used.
        reasons: the effect, and what qualifies it; or what is missing.
        counts: whether the part enters the verdict on the claim; not where calibration chose
            another setting.
        changed: rows whose results used here come from other code than today's.
        stand_ins: data sets used here in place of the published ones, as (used, published).
    """

    at: Mapping[str, object]
    verdict: ClaimVerdict
    effect: float | None
    interval: Interval | None
    p: float | None
    method: Method | Neighbours | Untested | None
    profile: Profile | None
    reasons: tuple[Reason, ...]
    counts: bool = True
    changed: tuple[str, ...] = ()
    stand_ins: tuple[tuple[str, str], ...] = ()

    @property
    def reason(self) -> str:
        """Return the reasons as one sentence."""
        return reasons_text(self.reasons)

    @property
    def test(self) -> str:
        """Return the method in words: 'paired t test over 5 seeds'."""
        return test_text(self.method)

    @property
    def nearest(self) -> PValue | None:
        """Return the p value of the verdict: of the nearer one, while the part is undecided."""
        said = next((reason for reason in self.reasons if isinstance(reason, PValue)), None)
        return said or (None if self.p is None else PValue(self.p, False, False))


@dataclass(frozen=True)
class ClaimOutcome:
    """A claim of the document with its verdict over all its parts; see `conclude`."""

    claim: Claim
    parts: tuple[ClaimPart, ...]
    verdict: ClaimVerdict
    reasons: tuple[Reason, ...]

    @property
    def reason(self) -> str:
        """Return the reasons as one sentence."""
        return reasons_text(self.reasons)

    @property
    def profile(self) -> Profile | None:
        """Return the lowest profile among the parts that count, None without any results."""
        found = {part.profile for part in counting_parts(self.parts) or self.parts}
        return next((profile for profile in PROFILES if profile in found), None)

    def records(self) -> list[dict[str, str]]:
        """Return the parts as the lines of a table."""
        return [
            {
                "claim": self.claim.id,
                "where": label(part.at),
                "verdict": part.verdict if part.counts else f"{part.verdict} (not counted)",
                "effect": ""
                if part.effect is None
                else effect_text(part.effect, part.interval, ""),
                "interval": interval_text(part.interval),
                "p": "" if part.nearest is None else p_value(part.nearest.p),
                "test": part.test,
                "profile": part.profile or "",
                "reason": part.reason,
            }
            for part in self.parts
        ]

    def _repr_html_(self) -> str:
        return section_html(
            self.claim.text, f"{self.verdict}: {self.reason}", table_html(self.records())
        )


@dataclass(frozen=True)
class Comparison:
    """A spec with the verdicts on all its rows and claims.

    Attributes:
        profile: the profile asked for, else the one at which all rows with results ran, None
            where they differ.
        banner: the warning that the results carry (a fallback to smoke).
        pairings: each row of the user's own spec beside the row that it is set against.
    """

    spec: Spec
    rows: tuple[RowOutcome, ...]
    claims: tuple[ClaimOutcome, ...]
    notices: tuple[Notice, ...]
    profile: Profile | None
    banner: str | None = None
    pairings: tuple[Pairing, ...] = ()

    @property
    def warnings(self) -> list[str]:
        """Return the notices as sentences."""
        return [warning_text(notice) for notice in self.notices]

    def _repr_html_(self) -> str:
        spec = self.spec
        measure = f"{spec.metric} in {spec.unit}" if spec.unit else spec.metric
        claims = [
            {"claim": c.claim.id, "verdict": c.verdict, "text": c.claim.text, "reason": c.reason}
            for c in self.claims
        ]
        return section_html(
            f"{spec.id}: {spec.title}",
            " ".join(filter(None, (self.banner, f"{measure}; {spec.better} is better."))),
            table_html([outcome.record() for outcome in self.rows]),
            table_html(claims) if claims else "",
        )


@dataclass(frozen=True)
class Pair:
    """What a test of two sides found; p values for and against are None without a test."""

    effect: float
    interval: Interval | None
    p_for: float | None
    p_against: float | None
    method: Method | Neighbours | Untested


def counting_parts(parts: Sequence[ClaimPart]) -> tuple[ClaimPart, ...]:
    """Return the parts that enter the verdict on their claim."""
    return tuple(part for part in parts if part.counts)
