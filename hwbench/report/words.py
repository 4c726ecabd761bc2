"""Names, labels and legends."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hwbench.spec import Quoted, Row, Spec, label
from hwbench.typography import clean, minus

if TYPE_CHECKING:
    from hwbench.verdict.outcome import ClaimOutcome, ClaimPart, Comparison, RowOutcome


@dataclass(frozen=True)
class Meaning:
    """How a verdict is shown: a symbol, so that colour is never needed, and an explanation."""

    symbol: str
    text: str


# How a terminal shows verdicts; those left out are not emphasised.
STYLES = {
    "agrees": "green",
    "holds": "green",
    "better": "blue",
    "worse": "bold white on red",
    "fails": "bold white on red",
    "failed": "bold red",
    "undecided": "yellow",
    "calibrated": "magenta",
}

# The order is the order of attention: what contradicts the document comes first.
ROW_VERDICTS = {
    "worse": Meaning(
        "▼",
        "the prediction interval of measured − published lies entirely outside ± the margin, "
        "on the worse side",
    ),
    "better": Meaning(
        "▲", "the prediction interval lies entirely outside ± the margin, on the better side"
    ),
    "agrees": Meaning("=", "the prediction interval lies entirely inside ± the margin"),
    "undecided": Meaning(
        "?", "the prediction interval overlaps an end of ± the margin: inconclusive"
    ),
    "reduced": Meaning(
        "◑", "run below the full profile: shown, but not judged against the published value"
    ),
    "calibrated": Meaning(
        "◇",
        "used to choose a setting that the document leaves open, so agreement would mean nothing",
    ),
    "incomparable": Meaning("≠", "the protocol differs from the published one: not judged"),
    "unpublished": Meaning("·", "measured here; the document has no value"),
    "failed": Meaning("×", "diverged or crashed"),
    "missing": Meaning("○", "not run, or its data are unavailable"),
}
JUDGED = ("agrees", "better", "worse", "undecided")  # the verdicts that compare with a document
CLAIM_VERDICTS = {
    "fails": Meaning("×", "the measured values contradict the claim"),
    "holds": Meaning("✓", "the measured values support the claim at the stated level"),
    "undecided": Meaning("?", "the measured values allow both"),
    "missing": Meaning("○", "a row that the claim compares has no result"),
}


def version() -> str:
    """Return hwbench's version, without importing what the package exports."""
    return str(sys.modules["hwbench"].__version__)


def row_label(outcome: RowOutcome, without: Iterable[str] = ()) -> str:
    """Return a row's coordinates, with the id of its spec if that is another one."""
    text = label(outcome.row.at, without)
    return f"{clean(outcome.results[0].case.spec)}: {text}" if is_guest(outcome) else text


def spec_of(comparison: Comparison, outcome: RowOutcome) -> str:
    """Return the id of the spec that has the row: the table's, or the one compared with it."""
    return outcome.results[0].case.spec if is_guest(outcome) else comparison.spec.id


def origin_text(spec: Spec, value: Row | Quoted) -> tuple[str, str]:
    """Return where a published number comes from, in full and in short."""
    known = spec.known(value)
    text = f"from {known}"
    if known == "memory":
        return f"{text}, confidence {spec.confidence(value)}", text
    return text, "" if known == "document" else text


def on_other_data(outcome: RowOutcome) -> bool:
    """Return whether a stand-in was used: a difference from the published value means nothing."""
    return any(r.case.stands_in_for for r in outcome.results)


def is_guest(outcome: RowOutcome) -> bool:
    """Return whether the row comes from another spec, which is compared with the table."""
    return outcome.has("against") and bool(outcome.results)


def sentence(text: str) -> str:
    """Return text as a sentence: a capital first, a full stop last.

    >>> sentence("the interval contains 0"), sentence("chardata.mat is missing!"), sentence("")
    ('The interval contains 0.', 'chardata.mat is missing!', '')
    """
    text = minus(clean(text)).strip()
    if not text:
        return ""
    first = text.split(maxsplit=1)[0]
    plain_word = first.isalpha() and first.islower()
    return (text[0].upper() + text[1:] if plain_word else text) + ("" if text[-1] in ".!?" else ".")


def has_published(spec: Spec) -> bool:
    """Return whether the document, or its source, has a value for any row."""
    return any(row.published or row.source for row in spec.rows)


def anchor(spec_id: str) -> str:
    """Return a spec's id as the id of an element."""
    return spec_id.replace("/", "-")


def below_full(claim: ClaimOutcome | ClaimPart) -> str:
    """Return 'at quick' or 'at smoke' where a claim is judged by such results, else ''."""
    return f"at {claim.profile}" if claim.profile not in (None, "full") else ""
