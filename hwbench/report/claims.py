"""Views of claims."""

from __future__ import annotations

from collections import Counter

from hwbench.numbers import decimals, difference_text, interval_text, p_text, percent, short
from hwbench.report.views import ClaimPartView, Tally
from hwbench.report.words import CLAIM_VERDICTS, ROW_VERDICTS, below_full, sentence
from hwbench.spec import label
from hwbench.typography import clean, minus, words
from hwbench.verdict.outcome import ClaimOutcome, ClaimPart, Comparison


def claim_kind(claim: ClaimOutcome) -> str:
    """Return what a claim asserts, in a few words."""
    asked = claim.claim
    if asked.order:
        ((name, ranking),) = asked.order.items()
        return f"order of {words(name)}, best first: " + " > ".join(clean(v) for v in ranking)
    if asked.gap:
        published = (
            f"; published gap {minus(clean(asked.gap.published.text))}"
            if asked.gap.published
            else ""
        )
        least = f" by at least {short(asked.gap.at_least)}" if asked.gap.at_least else ""
        return f"{label(asked.gap.better)} better than {label(asked.gap.worse)}{least}{published}"
    assert asked.within is not None
    within = asked.within
    return f"{label(within.a)} and {label(within.b)} within {short(within.tolerance)}"


def claim_part(part: ClaimPart) -> ClaimPartView:
    """Return the view of one part of a claim."""
    interval = part.interval
    return ClaimPartView(
        at=label(part.at) or "all rows",
        verdict=part.verdict,
        effect=difference_text(part.effect, interval, max(2, decimals(abs(part.effect or 0.0)))),
        interval=f"{interval_text(interval)} ({percent(interval.level)})" if interval else "",
        p=p_text(part.p),
        test=clean(part.test),
        profile=part.profile or "",
        reason=sentence(part.reason),
        counts=part.counts,
    )


def row_tally(comparison: Comparison) -> list[Tally]:
    """Return the verdicts on rows in the order of `ROW_VERDICTS`, counted."""
    counts = Counter[str](outcome.verdict for outcome in comparison.rows)
    return [Tally(name, counts[name]) for name in ROW_VERDICTS if counts[name]]


def claim_tally(comparison: Comparison) -> list[Tally]:
    """Return the verdicts on claims, counted; those below full, which count for less, last."""
    counts = Counter[tuple[str, str]](
        (below_full(claim), claim.verdict) for claim in comparison.claims
    )
    places = sorted({at for at, _ in counts}, key=lambda at: (at != "", at))
    return [
        Tally(name, counts[at, name], at)
        for at in places
        for name in CLAIM_VERDICTS
        if counts[at, name]
    ]
