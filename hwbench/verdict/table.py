"""The verdicts on a whole table."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from hwbench.spec import Profile, Spec, SpecError, label
from hwbench.store import Store
from hwbench.verdict.calibration import calibrations
from hwbench.verdict.claim import judge_claims, parts_of
from hwbench.verdict.evidence import BEST_FIRST, Fingerprint, StoredResults, measure
from hwbench.verdict.facts import Flag, Notice
from hwbench.verdict.outcome import ClaimOutcome, Comparison, RowOutcome
from hwbench.verdict.pairing import Pairing
from hwbench.verdict.rival import unequal_budgets, versus
from hwbench.verdict.row import row_outcomes


def _wide_margins(spec: Spec) -> Iterator[Notice]:
    """Yield a warning for each row whose margin exceeds half the smallest gap claimed of it."""
    smallest: dict[str, tuple[float, str]] = {}
    for claim in spec.claims:
        if claim.within is not None or claim.metric not in (None, spec.metric):
            continue
        for _, sides in parts_of(spec, claim):
            for a, b in itertools.pairwise(sides):
                published = [spec.judged(side.rows[0]) for side in (a, b)]
                if (
                    published[0] is None
                    or published[1] is None
                    or len(a.rows) > 1
                    or len(b.rows) > 1
                ):
                    continue
                gap = abs(published[0].value - published[1].value)
                for row in (a.rows[0], b.rows[0]):
                    if gap < smallest.get(row.name, (math.inf, ""))[0]:
                        smallest[row.name] = (gap, claim.id)
    for row in spec.rows:
        margin, (gap, claim_id) = spec.margin(row), smallest.get(row.name, (math.inf, ""))
        if margin is not None and margin > gap / 2 * (1 + 1e-9):
            yield Notice("margin", (claim_id,), (margin, gap), spec.id, label(row.at))


def _code_changes(
    spec: Spec,
    rows: Sequence[RowOutcome],
    guests: Sequence[RowOutcome],
    claims: Sequence[ClaimOutcome],
) -> Iterator[Notice]:
    """Yield a notice for each row that has results of other code, shown itself or in a claim."""
    changed = [(label(r.row.at), spec.id) for r in rows if r.has("changed")]
    changed += [(label(r.row.at), r.results[0].case.spec) for r in guests if r.has("changed")]
    for name, spec_id in sorted(changed):
        yield Notice("changed", (), (), spec_id, name)
    shown = {name for name, _ in changed}
    for claim in claims:
        others = {name for part in claim.parts for name in part.changed} - shown
        for name in sorted(others):
            yield Notice("lower", (claim.claim.id, name))


def compare(
    spec: Spec,
    store: Store,
    *,
    profile: Profile | None = None,
    against: Spec | None = None,
    fingerprint: Fingerprint | None = None,
) -> Comparison:
    """Judge every row and claim of a spec by the stored results.

    Args:
        spec: the table.
        store: the results.
        profile: use only results of this profile; by default each row's (and each claim's) fullest.
        against: the user's own spec, whose rows are shown with the table's and tested against
            the best of them.
        fingerprint: `sources.fingerprint`, to find results whose code has changed since; None
            skips this.

    Raises:
        SpecError: `against` has the id of `spec`.
    """
    profiles: tuple[Profile, ...] = (profile,) if profile else BEST_FIRST
    if against is not None and against.id == spec.id:
        why = f"{spec.id} is the id of the table it is set against; give it one of its own"
        raise SpecError(f"{against.file}: {why}")
    stored = StoredResults(spec, store, fingerprint)
    measured = {row.name: measure(stored, row, profiles) for row in spec.rows}
    settings = calibrations(stored, measured)
    rows = row_outcomes(stored, profiles, settings, measured)
    claims = judge_claims(stored, profiles, settings)
    notices = [*stored.notices, *_wide_margins(spec)]
    guests: list[RowOutcome] = []
    pairings: list[Pairing] = []
    if against is not None:
        mine = StoredResults(against, store, fingerprint)
        notices += mine.notices
        set_against, pairings = versus(stored, mine, profiles)
        claims += set_against
        notices += [unequal_budgets(pair) for pair in pairings if pair.unequal]
        if against.metric == spec.metric:
            own = {row.name: measure(mine, row, profiles) for row in against.rows}
            guests = [
                replace(outcome, flags=(Flag("against"), *outcome.flags))
                for outcome in row_outcomes(mine, profiles, calibrations(mine, own), own)
                if outcome.results
            ]
    notices += _code_changes(spec, rows, guests, claims)
    rows += guests
    used = {outcome.profile for outcome in rows if outcome.profile}
    banners = dict.fromkeys(r.banner for outcome in rows for r in outcome.results if r.banner)
    return Comparison(
        spec=spec,
        rows=tuple(rows),
        claims=tuple(claims),
        notices=tuple(notices),
        profile=profile or (used.pop() if len(used) == 1 else None),
        banner="; ".join(banners) or None,
        pairings=tuple(pairings),
    )
