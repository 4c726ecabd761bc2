"""Why a verdict is what it is, as data; `wording` puts it into words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hwbench.spec import Profile
from hwbench.verdict.statistics import Interval


@dataclass(frozen=True)
class Reason:
    """Why a verdict is what it is; an outcome has several, in the order of the sentence."""


@dataclass(frozen=True)
class Untested(Reason):
    """Nothing could be tested.

    Attributes:
        why: neither side depends on the seed (`fixed`); fewer than two seeds (`few`, `single`); all
            seeds gave the same number by chance (`equal`); run below full (`reduced`); the rows
            of a side have no seed in common (`apart`).
    """

    why: Literal["fixed", "few", "single", "equal", "reduced", "apart"]
    profile: Profile | None = None


@dataclass(frozen=True)
class NotRun(Reason):
    """There is no result."""


@dataclass(frozen=True)
class OutOfDate(Reason):
    """There are only results of an older spec."""


@dataclass(frozen=True)
class Ended(Reason):
    """Cases ended without a result: the first, and how many more."""

    profile: Profile
    seed: int
    message: str
    more: int


@dataclass(frozen=True)
class NotMeasured(Reason):
    """The results lack the metric and have only others."""

    profile: Profile
    metric: str
    measured: tuple[str, ...]


@dataclass(frozen=True)
class NothingPublished(Reason):
    """The row has no published value, or no rival has one."""


@dataclass(frozen=True)
class Stated(Reason):
    """The spec itself says it."""

    text: str


@dataclass(frozen=True)
class Distance(Reason):
    """Measured − published.

    Attributes:
        scale: half width of its interval, for the number of digits; None without one.
        source: whether the value is that of the original source, not of the document.
    """

    value: float
    scale: float | None
    unit: str
    source: bool


@dataclass(frozen=True)
class Reduced(Reason):
    """Results are of a profile below full; with a stand-in, (used, published), too.

    Attributes:
        others: names of what departs from the case at full besides the length of training.
    """

    profile: Profile
    stand_in: tuple[str, str] | None
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class OtherData(Reason):
    """A full run used a stand-in."""

    used: str
    published: str


@dataclass(frozen=True)
class FromMemory(Reason):
    """The published value is from memory and uncertain."""

    confidence: str


@dataclass(frozen=True)
class NoSpread(Reason):
    """The spread over seeds is unknown."""

    why: Untested


@dataclass(frozen=True)
class NoMargin(Reason):
    """The spec states no margin."""


@dataclass(frozen=True)
class Position(Reason):
    """The place of the interval relative to ± the margin.

    Attributes:
        where: inside; outside on the better or the worse side; across an end.
        detectable: the smallest difference from zero that these seeds could detect.
    """

    where: Literal["inside", "better", "worse", "across"]
    interval: Interval
    margin: float
    unit: str
    detectable: float


@dataclass(frozen=True)
class Selection(Reason):
    """Some seeds failed, so the remaining ones are a biased sample."""

    failed: int


@dataclass(frozen=True)
class DrawNotCounted(Reason):
    """The interval does not include the published value's own draw of test pixels."""


@dataclass(frozen=True)
class SettingOpen(Reason):
    """Calibration waits for rows."""

    coordinate: str
    rows: tuple[str, ...]


@dataclass(frozen=True)
class SettingFailed(Reason):
    """All rows that calibrate have failed."""

    coordinate: str
    by: str


@dataclass(frozen=True)
class SettingFar(Reason):
    """No value of the coordinate brings the measured value near enough to the published one."""

    coordinate: str
    by: str
    tolerance: float
    unit: str
    nearest: str
    distance: float


@dataclass(frozen=True)
class SettingChosen(Reason):
    """Calibration chose a value of the coordinate."""

    coordinate: str
    by: str
    value: str
    distance: float
    unit: str


@dataclass(frozen=True)
class Fitted(Reason):
    """The row itself chose the setting."""


@dataclass(frozen=True)
class DifferentData(Reason):
    """At this profile, some rows used stand-ins and some did not."""

    profile: Profile


@dataclass(frozen=True)
class NoResults(Reason):
    """Rows have no results with the metric ('': none at all)."""

    metric: str
    rows: tuple[str, ...]


@dataclass(frozen=True)
class NoCommonProfile(Reason):
    """No profile has results of all rows."""


@dataclass(frozen=True)
class NoRows(Reason):
    """The spec has no rows that the claim compares."""


@dataclass(frozen=True)
class Differs(Reason):
    """Two sides cannot be compared because they differ in something.

    Attributes:
        key: what differs, as 'pixels' or 'profile'.
        mine: the user's value.
        theirs: the values of the table's rows.
    """

    key: str
    mine: str
    theirs: tuple[str, ...]


@dataclass(frozen=True)
class OtherMetric(Reason):
    """The user's spec measures something else."""

    spec: str
    metric: str
    better: str
    wanted: str


@dataclass(frozen=True)
class Sides:
    """The names of two sides: the first is claimed to be better, or (`alike`) as good."""

    first: str
    second: str
    alike: bool = False


@dataclass(frozen=True)
class Effect(Reason):
    """The difference between two sides, and the published one where it is known.

    Attributes:
        unit: of the metric, '' where it is unknown.
        metric: what differs; '' for the metric of the table.
        at_least, within: what a claim asks of the difference; None where only its sign counts.
    """

    sides: Sides
    value: float
    interval: Interval | None
    unit: str
    published: str = ""
    metric: str = ""
    at_least: float | None = None
    within: float | None = None


@dataclass(frozen=True)
class Lead(Reason):
    """The lead of the user's row over a rival: a row, or a published value."""

    value: float
    interval: Interval | None
    unit: str
    rival: str


@dataclass(frozen=True)
class OnlySides(Reason):
    """Not all values of an order have rows here; these have."""

    names: tuple[str, ...]


@dataclass(frozen=True)
class UntestedSides(Reason):
    """Two neighbours of an order cannot be tested."""

    sides: Sides
    why: Untested


@dataclass(frozen=True)
class LostSeeds(Reason):
    """Seeds that failed, as (row, seed)."""

    seeds: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class UnequalTraining(Reason):
    """Below full, the sides of a claim ran different shares of their training at full.

    Attributes:
        short: the side that was cut short, where the other one has nothing to train; else ''.
    """

    profile: Profile
    short: str = ""


@dataclass(frozen=True)
class OtherSetting(Reason):
    """Calibration chose another setting."""


@dataclass(frozen=True)
class PValue(Reason):
    """The smaller of two one-sided p values: that of the claim, or that of its opposite."""

    p: float
    opposite: bool
    inconclusive: bool


@dataclass(frozen=True)
class CodeChanged(Reason):
    """Rows whose results come from other code than today's."""

    rows: tuple[str, ...]


@dataclass(frozen=True)
class LooseBounds(Reason):
    """Sides that a verdict puts behind others, whose numbers are loose bounds."""

    sides: tuple[str, ...]


@dataclass(frozen=True)
class NoPartCounts(Reason):
    """No part of a claim has the setting that calibration chose."""


@dataclass(frozen=True)
class Tally(Reason):
    """The number of parts of a claim with each verdict."""

    counts: tuple[tuple[str, int], ...]

    @property
    def parts(self) -> int:
        """Return the number of parts."""
        return sum(n for _, n in self.counts)


@dataclass(frozen=True)
class NotCounted(Reason):
    """Parts that are shown and do not count."""

    parts: int
