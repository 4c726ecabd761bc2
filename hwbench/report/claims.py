"""Views of claims."""

from __future__ import annotations

from collections import Counter

from hwbench.numbers import interval_text, p_text, percent, shifted, short
from hwbench.report.units import Scale
from hwbench.report.views import ClaimPartView, Tally
from hwbench.report.words import CLAIM_VERDICTS, ROW_VERDICTS, below_full, sentence
from hwbench.spec import Published, label
from hwbench.typography import NONE, clean, minus, words
from hwbench.verdict.outcome import ClaimOutcome, ClaimPart, Comparison
from hwbench.verdict.reasons import Effect, Lead
from hwbench.verdict.wording import size_of


def claim_kind(claim: ClaimOutcome, scale: Scale) -> str:
    """Return what a claim asserts, in a few words."""
    asked = claim.claim
    at_metric = f" in {words(asked.metric)}" if asked.metric else ""
    if asked.order:
        ((name, ranking),) = asked.order.items()
        return f"order of {words(name)}, best first: " + " > ".join(clean(v) for v in ranking)
    if asked.gap:
        printed = (
            f"; published gap {scale.amount(_gap_text(asked.gap.published, scale))}"
            if asked.gap.published
            else ""
        )
        wanted = asked.gap.at_least * 10**scale.digits
        least = f" by at least {scale.amount(short(wanted))}{at_metric}" if wanted else ""
        return f"{label(asked.gap.better)} better than {label(asked.gap.worse)}{least}{printed}"
    assert asked.within is not None
    width = scale.amount(short(asked.within.tolerance * 10**scale.digits))
    return f"{label(asked.within.a)} and {label(asked.within.b)} within {width}{at_metric}"


def _gap_text(gap: Published, scale: Scale) -> str:
    return shifted(minus(clean(gap.text)), scale.digits)


def claim_part(part: ClaimPart, scale: Scale) -> ClaimPartView:
    """Return the view of one part of a claim."""
    interval = scale.interval(part.interval)
    found = (reason for reason in part.reasons if isinstance(reason, Effect | Lead))
    p = part.nearest
    return ClaimPartView(
        at=label(part.at) or "all rows",
        verdict=part.verdict,
        effect=next(map(size_of, found), NONE),
        interval=f"{interval_text(interval)} ({percent(interval.level)})" if interval else "",
        p="" if p is None else p_text(p.p, reverse=p.opposite),
        test=clean(part.test),
        profile=part.profile or "",
        below=below_full(part),
        stand_in=_stand_in_text(part),
        reason=sentence(part.reason),
        counts=part.counts,
    )


def stand_ins(claim: ClaimOutcome) -> list[str]:
    """Return the other data that the parts of a claim were measured on, each once."""
    return list(dict.fromkeys(filter(None, map(_stand_in_text, claim.parts))))


def _stand_in_text(part: ClaimPart) -> str:
    names = " and ".join(clean(used) for used, _ in part.stand_ins)
    return f"on other data: {names}" if names else ""


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
