"""What all sections say together: the first screen of a report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hwbench.report.references import document_reference, document_title
from hwbench.report.views import Document, Overview, Section, Tally
from hwbench.report.words import JUDGED, ROW_VERDICTS, below_full
from hwbench.store import Result
from hwbench.typography import clean
from hwbench.verdict.outcome import Comparison

COMMITS = 3  # named one by one


def make_overview(
    comparisons: Sequence[Comparison],
    sections: Sequence[Section],
    papers: Mapping[str, Any] | None = None,
) -> Overview:
    """Return the counts over all rows and claims, and the sections by document."""
    outcomes = [o for c in comparisons for o in c.rows]
    rows = Counter[str](o.verdict for o in outcomes)
    published = Counter[str](o.verdict for o in outcomes if o.published is not None)
    claims = Counter[tuple[str, str]](
        ("below full" if below_full(o) else "", o.verdict) for c in comparisons for o in c.claims
    )
    results = [r for o in outcomes for r in o.results]
    return Overview(
        rows_text=_rows_text(published, rows - published),
        rows=[Tally(name, rows[name]) for name in (*JUDGED, *_rest(rows)) if rows[name]],
        claims_text=_claims_text(claims),
        claims=[
            Tally(name, claims[at, name], at)
            for names in (("holds", "fails", "undecided"), ("missing",))
            for at in ("", "below full")
            for name in names
            if claims[at, name]
        ],
        facts=_facts(results),
        documents=_documents(comparisons, sections, papers),
    )


def _rest(rows: Counter[str]) -> list[str]:
    return [name for name in ROW_VERDICTS if name not in JUDGED and rows[name]]


def _counted(counts: Iterable[tuple[int, str, str]]) -> str:
    """Return counts that are not 0, each with its verb for one and for several."""
    return ", ".join(f"{n} {one if n == 1 else many}" for n, one, many in counts if n)


def _rows_text(published: Counter[str], others: Counter[str]) -> str:
    """Return what became of the rows with a published value, and of the others."""
    judged = sum(published[name] for name in JUDGED)
    verdicts = _counted(
        [
            (published["agrees"], "agrees", "agree"),
            (published["better"], "is better", "are better"),
            (published["worse"], "is worse", "are worse"),
            (published["undecided"], "is undecided", "are undecided"),
        ]
    )
    absent = [("failed", *2 * ("failed",)), ("missing", "has no result yet", "have no result yet")]
    rest = _counted(
        [
            (published["reduced"], *2 * ("ran in a shortened version",)),
            (published["incomparable"], *2 * ("ran under a different protocol",)),
            (published["calibrated"], *2 * ("chose a setting that the document leaves open",)),
            *((published[name], one, many) for name, one, many in absent),
        ]
    )
    alone = _counted(
        [
            (others["unpublished"], "was measured", "were measured"),
            *((others[name], one, many) for name, one, many in absent),
        ]
    )
    rows, total = published.total(), published.total() + others.total()
    verb = "has" if rows == 1 else "have"
    text = f"Of {total} rows, {rows or 'none'} {verb} a published value"
    if rows:
        text += f": {judged or 'none'} could be judged under the published protocol"
        text += f" ({verdicts})" if verdicts else ""
        text += f", {rest}" if rest else ""
    if others:
        other = "other one is" if others.total() == 1 else f"other {others.total()} are"
        text += f". The {other} our own or without one" if rows else ""
        text += f": {alone}"
    return f"{text}."


def _claims_text(claims: Counter[tuple[str, str]]) -> str:
    """Return the one sentence about claims."""
    if not claims:
        return ""

    def verdicts(at: str) -> str:
        return _counted(
            [
                (claims[at, "holds"], "holds", "hold"),
                (claims[at, "fails"], "fails", "fail"),
                (claims[at, "undecided"], "is undecided", "are undecided"),
            ]
        )

    full, below = verdicts(""), verdicts("below full")
    waiting = sum(claims[at, "missing"] for at in ("", "below full"))
    parts = [f"under the published protocol {full}" if full else ""]
    parts += [f"in shortened runs {below}" if below else ""]
    verb = "waits" if waiting == 1 else "wait"
    parts += [f"{waiting} {verb} for rows without a result" if waiting else ""]
    return f"Of {claims.total()} claims, {'; '.join(filter(None, parts))}."


def _facts(results: Sequence[Result]) -> list[tuple[str, str]]:
    """Return when and from what the results were made."""
    days = sorted(r.started[:10] for r in results if r.started)
    commits = Counter(clean(r.commit or "unknown") for r in results).most_common()
    devices = Counter(clean(r.machine.get("device", "unknown")) for r in results).most_common()
    named = ", ".join(f"{name[:12]} ({n})" for name, n in commits[:COMMITS])
    more = len(commits) - COMMITS
    facts = [
        ("Results", f"{len(results)} runs" + (f", {days[0]} to {days[-1]}" if days else "")),
        ("Commits", named + (f" and {more} others" if more > 0 else "")),
        ("Hardware", ", ".join(f"{name} ({n} runs)" for name, n in devices)),
    ]
    return [(name, text) for name, text in facts if results or name == "Results"]


def _documents(
    comparisons: Sequence[Comparison],
    sections: Sequence[Section],
    papers: Mapping[str, Any] | None,
) -> list[Document]:
    """Return the sections by document, in the order in which documents first appear."""
    numbers: dict[str, list[int]] = {}
    for number, comparison in enumerate(comparisons):
        numbers.setdefault(comparison.spec.paper, []).append(number)
    return [
        Document(
            name=document_title(papers, paper),
            reference=document_reference(papers, paper),
            headline=[n for n in own if not sections[n].supporting],
            supporting=[n for n in own if sections[n].supporting],
        )
        for paper, own in numbers.items()
    ]
