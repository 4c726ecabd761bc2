"""What a page shows, as data: rows, claims, grids and listings."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Reference:
    """A paper: how it is cited, and where it is."""

    text: str
    url: str = ""


@dataclass(frozen=True)
class RowView:
    """One row in words.

    Attributes:
        rest: the coordinates that are neither a line nor a column of the layout, often ''.
        origin: where the published number comes from.
        origin_mark: the same in short, '' for the document itself.
        source: the value of the original source, if it differs from the document's.
        judged: that number, if the row is compared with it.
        facts: what is needed to interpret the number: profile, seeds, K, pixels.
        own: the facts in which the row differs from most others, coordinates left out.
        profile: of its results; '' without any.
        command: what runs the row again; '' without a result.
    """

    anchor: str
    label: str
    rest: str
    published: str
    origin: str
    origin_mark: str
    source: str
    judged: str
    measured: str
    measured_note: str
    facts: list[str]
    own: list[str]
    difference: str
    interval: str
    level: str
    margin: str
    smallest: str
    profile: str
    verdict: str
    reason: str
    flags: list[str]
    also: list[str]
    note: str
    command: str


@dataclass(frozen=True)
class GridEntry:
    """A row in its place: its number in `rows`, its published and its measured number."""

    row: int
    published: str
    measured: str


@dataclass(frozen=True)
class GridLine:
    """A line of the published layout: its headings, and the rows in each column.

    Attributes:
        waiting: whether none of its rows has a result.
    """

    heads: list[str]
    cells: list[list[GridEntry]]
    waiting: bool


@dataclass(frozen=True)
class Grid:
    """The layout of the document: headings of the index, of the columns, and the lines."""

    caption: str
    index: list[str]
    across: str
    columns: list[str]
    lines: list[GridLine]


@dataclass(frozen=True)
class ClaimPartView:
    """A claim at one combination of coordinates, in words.

    Attributes:
        below: as in `below_full`.
        stand_in: the other data that the results are from, '' if they are from those of full.
    """

    at: str
    verdict: str
    effect: str
    interval: str
    p: str
    test: str
    profile: str
    below: str
    stand_in: str
    reason: str
    counts: bool


@dataclass(frozen=True)
class ClaimView:
    """A claim in words; `empty` where no part has anything to test, `at` as in `below_full`.

    Attributes:
        stand_ins: the `stand_in` of its parts, each once; those from the data of full have none.
    """

    id: str
    text: str
    kind: str
    verdict: str
    at: str
    reason: str
    stand_ins: list[str]
    parts: list[ClaimPartView]
    empty: bool


@dataclass(frozen=True)
class Tally:
    """How many rows or claims have a verdict; `at` as in `below_full`."""

    verdict: str
    number: int
    at: str = ""


@dataclass(frozen=True)
class Listing:
    """A plain table: lines start with the name of a row; `numeric` columns are right-aligned."""

    head: list[str]
    lines: list[list[str]]
    numeric: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Waiting:
    """Rows that have no result for the same reason, and the command that runs them."""

    reason: str
    rows: list[str]
    command: str


@dataclass(frozen=True)
class Section:
    """All that a report says about one spec, except its pictures.

    Attributes:
        waiting: the rows without a result; `rows` has them, too.
        quoted: the published values of models without a run.
        has_published: whether the document has a value for any row.
        supporting: whether the spec is no table of a document but of this work: it settles or
            explains what other specs leave open.
    """

    id: str
    paper: str
    anchor: str
    title: str
    source: str
    reference: Reference | None
    about: str
    measure: str
    profile: str
    banner: str
    smoke: bool
    summary: str
    tally: list[Tally]
    claim_tally: list[Tally]
    shared: list[str]
    grids: list[Grid]
    rows: list[RowView]
    waiting: list[Waiting]
    quoted: Listing
    claims: list[ClaimView]
    assumptions: list[str]
    protocol: list[tuple[str, str]]
    protocol_rows: Listing
    others: Listing
    diagnostics: Listing
    machines: list[list[tuple[str, str]]]
    timings: Listing
    warnings: list[str]
    dates: str
    other_curves: list[str]
    has_published: bool
    supporting: bool


@dataclass(frozen=True)
class Document:
    """A document in the index: its name, and the numbers of its sections."""

    name: str
    reference: Reference | None
    headline: list[int]
    supporting: list[int]


@dataclass(frozen=True)
class Overview:
    """What all sections say together.

    Attributes:
        rows, claims: verdicts counted, in a sentence and for a bar.
        facts: when, with which code and on which hardware, as pairs of a name and a text.
    """

    rows_text: str
    rows: list[Tally]
    claims_text: str
    claims: list[Tally]
    facts: list[tuple[str, str]]
    documents: list[Document]
