"""The section of a report about one spec."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hwbench.report.appendix import (
    diagnostics_listing,
    figure_curves,
    machines_listing,
    other_metrics,
    quoted_listing,
    shown_by_default,
    timings_listing,
)
from hwbench.report.claims import claim_kind, claim_part, claim_tally, row_tally, stand_ins
from hwbench.report.layout import grids
from hwbench.report.notices import merged_warnings
from hwbench.report.protocol import protocol_listing
from hwbench.report.references import reference
from hwbench.report.rows import row_views
from hwbench.report.units import scale_of
from hwbench.report.views import ClaimView, Section, Waiting
from hwbench.report.words import anchor, below_full, has_published, row_label, sentence
from hwbench.spec import PROFILES, runs_at
from hwbench.typography import clean, words
from hwbench.verdict.outcome import Comparison, RowOutcome

OWN_WORK = "this work"  # `source` of a spec that is no table of a document


def banner_text(comparison: Comparison) -> tuple[str, bool]:
    """Return the banner, made here if smoke results lack one, and whether any are smoke results."""
    smoke = [o for o in comparison.rows if o.profile == "smoke" and o.results]
    if comparison.banner:
        return clean(comparison.banner), bool(smoke)
    if smoke:
        every = len(smoke) == sum(bool(o.results) for o in comparison.rows)
        which = "All numbers below" if every else f"{len(smoke)} of the rows below"
        return (
            f"SMOKE RUN. {which} only show that the machinery works: tiny data, tiny training.",
            True,
        )
    return "", False


def _command(comparison: Comparison, outcome: RowOutcome) -> str:
    """Return the command that runs a row at the comparison's profile, or the next that has it."""
    least = PROFILES.index(comparison.profile or "full")
    spec, row = comparison.spec, outcome.row
    profile = next((p for p in PROFILES[least:] if runs_at(spec, row, p)), "full")
    again = " --rerun failed" if outcome.verdict == "failed" else ""
    return f"hwbench run {spec.id} --profile {profile}{again}"


def _waiting(comparison: Comparison) -> list[Waiting]:
    """Return the rows without a result by what they lack."""
    rows: dict[tuple[str, str], list[str]] = {}
    for outcome in comparison.rows:
        if not outcome.results:
            command = _command(comparison, outcome)
            rows.setdefault((sentence(outcome.reason), command), []).append(row_label(outcome))
    return [Waiting(reason, labels, command) for (reason, command), labels in rows.items()]


def _summary(comparison: Comparison) -> str:
    if not any(o.results for o in comparison.rows):
        return f"none of {len(comparison.rows)} rows yet"
    done = sum(bool(o.results) for o in comparison.rows)
    cases = sum(len(o.results) for o in comparison.rows)
    profiles = list(dict.fromkeys(o.profile for o in comparison.rows if o.results and o.profile))
    at = f" at profile {' and '.join(profiles)}" if profiles else ""
    return f"{done} of {len(comparison.rows)} rows measured in {cases} runs{at}"


def make_section(comparison: Comparison, papers: Mapping[str, Any] | None = None) -> Section:
    """Return all that a report says about one spec, except its pictures."""
    spec = comparison.spec
    rows, shared = row_views(comparison)
    banner, smoke = banner_text(comparison)
    protocol, protocol_rows = protocol_listing(comparison)
    results = [r for o in comparison.rows for r in o.results]
    days = sorted(r.started[:10] for r in results if r.started)
    asked = figure_curves(spec)
    curves = {name for r in results for name in r.curves}
    return Section(
        id=spec.id,
        paper=spec.paper,
        anchor=anchor(spec.id),
        title=clean(spec.title),
        source=clean(spec.source),
        reference=reference(papers, spec),
        about=clean(spec.about),
        measure=", ".join(filter(None, [words(spec.metric), scale_of(spec).unit]))
        + f"; {spec.better} is better",
        profile=comparison.profile or "",
        banner=banner,
        smoke=smoke,
        summary=_summary(comparison),
        tally=row_tally(comparison),
        claim_tally=claim_tally(comparison),
        shared=shared,
        grids=grids(comparison),
        rows=rows,
        waiting=_waiting(comparison),
        quoted=quoted_listing(comparison),
        claims=[
            ClaimView(
                id=clean(c.claim.id),
                text=clean(c.claim.text),
                kind=claim_kind(c, scale_of(spec, c.claim.metric)),
                verdict=c.verdict,
                at=below_full(c),
                reason=sentence(c.reason),
                stand_ins=stand_ins(c),
                parts=[claim_part(p, scale_of(spec, c.claim.metric)) for p in c.parts],
                empty=all(p.verdict == "missing" for p in c.parts),
            )
            for c in comparison.claims
        ],
        assumptions=[clean(a) for a in spec.assumptions],
        protocol=protocol,
        protocol_rows=protocol_rows,
        others=other_metrics(comparison),
        diagnostics=diagnostics_listing(comparison),
        machines=machines_listing(results),
        timings=timings_listing(comparison),
        warnings=merged_warnings(comparison),
        dates="" if not days else days[0] if days[0] == days[-1] else f"{days[0]} to {days[-1]}",
        other_curves=sorted(clean(n) for n in curves if n not in asked and not shown_by_default(n)),
        has_published=has_published(spec),
        supporting=spec.source == OWN_WORK,
    )
