"""Views of claims."""

from __future__ import annotations

from collections import Counter

from hwbench.numbers import decimals, difference_text, interval_text, p_text, percent
from hwbench.report.units import Scale
from hwbench.report.views import ClaimPartView, Tally
from hwbench.report.words import CLAIM_VERDICTS, ROW_VERDICTS, below_full, sentence
from hwbench.spec import label
from hwbench.typography import clean, minus, words
from hwbench.verdict.outcome import ClaimOutcome, ClaimPart, Comparison


def claim_kind(claim: ClaimOutcome, scale: Scale) -> str:
    """Return what a claim asserts, in a few words."""
    asked = claim.claim
    if asked.order:
        ((name, ranking),) = asked.order.items()
        return f"order of {words(name)}, best first: " + " > ".join(clean(v) for v in ranking)
    if asked.gap:
        printed = (
            f"; published gap {scale.printed(minus(clean(asked.gap.published.text)))}"
            if asked.gap.published
            else ""
        )
        wanted = scale.value(asked.gap.at_least)
        least = f" by at least {scale.signed(f'{wanted:g}')}" if wanted else ""
        return f"{label(asked.gap.better)} better than {label(asked.gap.worse)}{least}{printed}"
    assert asked.within is not None
    width = scale.signed(f"{scale.value(asked.within.tolerance):g}")
    return f"{label(asked.within.a)} and {label(asked.within.b)} within {width}"


def claim_part(part: ClaimPart, scale: Scale) -> ClaimPartView:
    """Return the view of one part of a claim."""
    interval, effect = scale.interval(part.interval), scale.value(part.effect)
    return ClaimPartView(
        at=label(part.at) or "all rows",
        verdict=part.verdict,
        effect=scale.signed(
            difference_text(effect, interval, max(2, decimals(abs(effect or 0.0))))
        ),
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
