"""Stored results of a spec by row and profile, and which of them count."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from hwbench.attested import Equivalences
from hwbench.spec import PROFILES, Case, Profile, Row, Spec, label, variant_of, variants
from hwbench.store import Failure, Result, Store
from hwbench.verdict.facts import Notice
from hwbench.verdict.reasons import DifferentData, LostSeeds, NoCommonProfile, NoResults, Reason
from hwbench.verdict.statistics import mean_and_sd

Fingerprint = Callable[[Case], str]
BEST_FIRST: tuple[Profile, ...] = tuple(reversed(PROFILES))


@dataclass
class Evidence:
    """The stored results and failures of one row at one profile.

    Attributes:
        runs: results that fit the spec, one list for each data set that may serve the row, the
            preferred one first.
        stale: results that no longer fit the spec, and that no other replaces.
        failures: cases of the spec that produced no result.
    """

    runs: list[list[Result]]
    stale: list[Result] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)

    def replaces(self, old: Result) -> bool:
        """Return whether its seed has a result that fits, on published data if the old one is."""
        return any(
            new.case.seed == old.case.seed
            and (new.case.stands_in_for is None or old.case.stands_in_for is not None)
            for new in itertools.chain(*self.runs)
        )

    def lost(self, metric: str) -> list[int]:
        """Return the seeds that failed, where no result has the metric."""
        have = {r.case.seed for group in self.measured(metric) for r in group}
        return sorted({f.case.seed for f in self.failures if f.kind == "failed"} - have)

    def measured(self, metric: str) -> list[list[Result]]:
        """Return the non-empty lists of results that have a value of `metric`."""
        kept = [[r for r in group if metric_value(r, metric) is not None] for group in self.runs]
        return [group for group in kept if group]


def metric_value(result: Result, metric: str) -> float | None:
    """Return a metric's value, None where it is absent; stored values are finite."""
    found = result.metrics.get(metric)
    return None if found is None else found.value


def values_by_seed(results: Iterable[Result], metric: str) -> dict[int, float]:
    """Return the metric by seed."""
    return {r.case.seed: v for r in results if (v := metric_value(r, metric)) is not None}


class StoredResults:
    """The stored results and failures of a spec, sorted by row and profile.

    Args:
        spec: the table.
        store: the results.
        fingerprint: as for `table.compare`.
    """

    def __init__(self, spec: Spec, store: Store, fingerprint: Fingerprint | None = None) -> None:
        self.spec, self.store, self.fingerprint = spec, store, fingerprint
        results, unread = store.results(spec.id)
        self.equivalences = Equivalences.read(store.folder)
        rows = {row.name: row for row in spec.rows}
        self._evidence: dict[tuple[str, Profile], Evidence] = {}
        unknown: defaultdict[str, int] = defaultdict(int)
        for result in sorted(results, key=lambda r: r.case.seed):
            row = rows.get(result.case.row)
            if row is None:
                unknown[label(result.case.at)] += 1
                continue
            evidence = self.evidence(row, result.case.profile)
            place = variant_of(spec, row, result.case)
            (evidence.stale if place is None else evidence.runs[place]).append(result)
        for evidence in self._evidence.values():
            evidence.stale = [old for old in evidence.stale if not evidence.replaces(old)]
        for failure in store.failures(spec.id):
            row = rows.get(failure.case.row)
            if row is None or variant_of(spec, row, failure.case) is None:
                continue
            evidence = self.evidence(row, failure.case.profile)
            if failure.case.seed not in {r.case.seed for group in evidence.runs for r in group}:
                evidence.failures.append(failure)
        self.notices = [
            *(Notice("file", (text,)) for text in unread),
            *(Notice("unknown row", (spec.id, name), (n,)) for name, n in unknown.items()),
            *(
                Notice("stale", (profile,), (len(evidence.stale),), spec.id, label(rows[name].at))
                for (name, profile), evidence in self._evidence.items()
                if evidence.stale
            ),
        ]
        if self.equivalences.warnings and any(
            self.changed(group) for evidence in self._evidence.values() for group in evidence.runs
        ):
            self.notices += [Notice("file", (text,)) for text in self.equivalences.warnings]

    def evidence(self, row: Row, profile: Profile) -> Evidence:
        """Return the evidence of a row at a profile."""
        key = (row.name, profile)
        if key not in self._evidence:
            self._evidence[key] = Evidence([[] for _ in variants(self.spec, row, profile, 0)])
        return self._evidence[key]

    def changed(self, results: Sequence[Result]) -> bool:
        """Return whether some of a row's results come from code that may compute other numbers."""
        return None in self.movements(results)

    def movements(self, results: Sequence[Result]) -> list[float | None]:
        """Return how far numbers move between today's code and that of each result of other code.

        Shares of what rounding explains, as attested; None where nothing is attested.
        """
        if self.fingerprint is None or not results:
            return []
        today = self.fingerprint(results[0].case)
        return [self.equivalences.share(r, today) for r in results if r.fingerprint != today]


@dataclass(frozen=True)
class Measured:
    """The results of a row that count: at its fullest stored profile, or the one asked for."""

    row: Row
    profile: Profile | None
    results: list[Result]
    mean: float | None = None
    sd: float | None = None

    @property
    def stand_in(self) -> tuple[str, str] | None:
        """Return which data set was used instead of which, None for the published data."""
        case = self.results[0].case if self.results else None
        if case is None or case.stands_in_for is None:
            return None
        return str(case.data.get("use")), case.stands_in_for


def measure(stored: StoredResults, row: Row, profiles: Sequence[Profile]) -> Measured:
    """Return the results of a row that count: those of its fullest profile with numbers."""
    metric = stored.spec.metric
    for profile in profiles:
        groups = stored.evidence(row, profile).measured(metric)
        if groups:
            mean, sd = mean_and_sd(list(values_by_seed(groups[0], metric).values()))
            return Measured(row, profile, groups[0], mean, sd)
    return Measured(row, None, [])


def _one_data(results: Iterable[Result]) -> bool:
    """Return whether results are comparable: all on the real data, or all on the same stand-ins."""
    uses: dict[str, set[str]] = defaultdict(set)
    stand_in = set()
    for result in results:
        use = str(result.case.data.get("use"))
        uses[result.case.stands_in_for or use].add(use)
        stand_in.add(result.case.stands_in_for is not None)
    return len(stand_in) <= 1 and all(len(found) == 1 for found in uses.values())


@dataclass(frozen=True)
class Common:
    """Results of several rows at one profile, on comparable data."""

    profile: Profile
    results: Mapping[str, list[Result]]

    @property
    def stand_ins(self) -> list[tuple[str, str]]:
        """Return the data sets used in place of the published ones, as (used, published)."""
        cases = (group[0].case for group in self.results.values())
        return [(str(c.data.get("use")), c.stands_in_for) for c in cases if c.stands_in_for]


def common_evidence(
    stored: StoredResults, rows: Sequence[Row], metric: str, profiles: Sequence[Profile]
) -> Common | Reason:
    """Return comparable results at the fullest profile at which all rows have the metric."""
    different: Reason | None = None
    for profile in profiles:
        options = [stored.evidence(row, profile).measured(metric) for row in rows]
        if not all(options):
            continue
        for choice in itertools.product(*options):  # the rows' preferred data sets come first
            if _one_data(group[0] for group in choice):
                found = {row.name: group for row, group in zip(rows, choice, strict=True)}
                return Common(profile, found)
        different = DifferentData(profile)
    if different is not None:
        return different
    never = [r for r in rows if not any(stored.evidence(r, p).measured(metric) for p in profiles)]
    if never:
        return NoResults(metric, tuple(label(row.at) for row in never))
    return NoCommonProfile()


def lost_seeds(
    stored: StoredResults, rows: Iterable[Row], profile: Profile, metric: str
) -> LostSeeds | None:
    """Return which seeds failed, a reason to leave a claim undecided; None if none did."""
    lost = [
        (label(row.at), seed) for row in rows for seed in stored.evidence(row, profile).lost(metric)
    ]
    return LostSeeds(tuple(lost)) if lost else None


def same_points(a: Case, b: Case) -> bool:
    """Return whether two cases have the same images, presented in the same way."""
    return a.data.get("use") == b.data.get("use") and a.pixels == b.pixels
