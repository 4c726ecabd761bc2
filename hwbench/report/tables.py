"""A comparison as text: the tables of a report before HTML, PDF or a terminal lays them out.

Everything here is plain data made of strings, numbers and lists of them. Formats differ in layout
only: whatever a reader is told, every format tells.
"""

from __future__ import annotations

import math
import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hwbench.compare import (
    ClaimOutcome,
    ClaimPart,
    Comparison,
    Interval,
    RowOutcome,
    differs_in_source,
)
from hwbench.compare import label as compare_label
from hwbench.spec import Case, Published, Row, Scalar, Spec, variants
from hwbench.store import Result

MINUS = "\u2212"
NONE = "\u2014"  # em dash: there is no value
FIGURE_SPACE = "\u2007"  # as wide as a digit
POINT_SPACE = "\u2008"  # as wide as a point
NARROW_SPACE = "\u202f"
NO_BREAK = "\u00a0"


@dataclass(frozen=True)
class Meaning:
    """How a verdict is shown: a shape beside the word (colour is never needed), and its meaning."""

    symbol: str
    text: str


# The order is the order of attention: what contradicts the document comes first.
ROW_VERDICTS = {
    "worse": Meaning(
        "▼",
        "the whole prediction interval of measured − published lies beyond the margin, "
        "on the bad side",
    ),
    "better": Meaning(
        "▲", "the whole prediction interval lies beyond the margin, on the good side"
    ),
    "agrees": Meaning("=", "the whole prediction interval lies inside ± the margin"),
    "undecided": Meaning("?", "the interval crosses the margin: this many seeds cannot tell"),
    "reduced": Meaning(
        "◑", "run below the full profile: shown, not judged against the published number"
    ),
    "calibrated": Meaning(
        "◇",
        "chose a setting that the document leaves open; it cannot agree with what it was fitted to",
    ),
    "incomparable": Meaning("≠", "the protocol differs from the published one: not judged"),
    "unpublished": Meaning("·", "measured here; the document prints no number"),
    "failed": Meaning("×", "diverged or crashed"),
    "missing": Meaning("○", "not run, or its data could not be had"),
}
CLAIM_VERDICTS = {
    "fails": Meaning("×", "the measured numbers contradict the claim"),
    "holds": Meaning("✓", "the measured numbers uphold the claim at the stated level"),
    "undecided": Meaning("?", "the interval of the effect leaves both open"),
    "missing": Meaning("○", "a row that the claim needs has no result"),
}
IMAGE_SIZE = ("image_height", "image_width")  # diagnostics that say the shape of sample images

# --- numbers --------------------------------------------------------------------------------------


def clean(text: object) -> str:
    """Return text without control characters, which neither XML nor a terminal should get."""
    return "".join(
        c if c in "\n\t" or unicodedata.category(c) != "Cc" else "\ufffd" for c in str(text)
    )


def minus(text: str) -> str:
    """Return text with a true minus sign before each number.

    >>> minus("-95.182 ± 0.022") == "−95.182 ± 0.022"
    True
    """
    return re.sub(r"(?<![\w.])-(?=[\d.])", MINUS, text)


def decimals(error: float | None, fallback: int = 3) -> int:
    """Return how many decimals show two digits of an uncertainty; below −1 from 1000 on.

    >>> decimals(0.0218), decimals(0.0996), decimals(1.34), decimals(27.0), decimals(None, 2)
    (3, 2, 1, 0, 2)
    >>> decimals(270.0), decimals(80_247.0)
    (0, -3)
    """
    if error is None or not math.isfinite(error) or error <= 0:
        return fallback
    exponent = int(f"{error:.1e}".partition("e")[2])
    return min(max(1 - exponent, 0), 12) if exponent < 3 else 1 - exponent


def fixed(value: float | None, places: int, *, sign: bool = False) -> str:
    """Return a number with this many decimals and a true minus; a dash for what is no number.

    >>> fixed(0.1234, 2, sign=True), fixed(-0.001, 2), fixed(None, 2) == NONE
    ('+0.12', '0.00', True)
    >>> fixed(1_989_819.0, -3), fixed(80_247.0, -3), fixed(12.0, -3)
    ('1.990e6', '8.0e4', '0')
    """
    if value is None or not math.isfinite(value):
        return NONE
    value = round(value, places) if places < 0 else value
    if places < 0 and value:
        exponent = int(f"{value:e}".partition("e")[2])
        text = f"{value / 10**exponent:.{exponent + places}f}e{exponent}"
    else:
        text = f"{value:.{max(places, 0)}f}"
    if float(text) == 0:
        return text.lstrip("-")
    return ("+" if sign and value > 0 else "") + text.replace("-", MINUS)


def significant(value: float | None, digits: int = 3) -> str:
    """Return a number with that many significant digits, plain between 1e-4 and 1e6."""
    if value is None or not math.isfinite(value):
        return NONE
    if value == 0:
        return "0"
    if not 1e-4 <= abs(value) < 1e6:
        return f"{value:.{digits - 1}e}".replace("-", MINUS)
    places = max(digits - 1 - int(f"{abs(value):.{digits - 1}e}".partition("e")[2]), 0)
    return fixed(value, places)


def count(n: int) -> str:
    """Return a count with narrow spaces between thousands from five digits on."""
    return f"{n:,}".replace(",", NARROW_SPACE) if n >= 10_000 else str(n)


def with_error(value: float | None, error: float | None, fallback: int = 3) -> str:
    """Return 'value ± error', both to the second digit of the error.

    >>> with_error(-95.18234, 0.0218) == "−95.182 ± 0.022"
    True
    """
    places = decimals(error, fallback)
    known = (
        error is not None and math.isfinite(error) and value is not None and math.isfinite(value)
    )
    return fixed(value, places) + (f" ± {fixed(error, places)}" if known else "")


def interval_text(interval: Interval | None, *, sign: bool = True) -> str:
    """Return '[low, high]' to two digits of its half width; '' without one."""
    if interval is None:
        return ""
    places = decimals((interval.high - interval.low) / 2)

    def end(value: float) -> str:
        return (
            fixed(value, places, sign=sign)
            if math.isfinite(value)
            else ("∞" if value > 0 else MINUS + "∞")
        )

    return f"[{end(interval.low)}, {end(interval.high)}]"


def difference_text(difference: float | None, interval: Interval | None, fallback: int = 3) -> str:
    """Return a signed difference with the decimals of its interval."""
    half = None if interval is None else (interval.high - interval.low) / 2
    return fixed(difference, decimals(half, fallback), sign=True)


def percent(level: float) -> str:
    """Return a level as '90 %'."""
    return f"{100 * level:g}{NARROW_SPACE}%"


def duration(seconds: float | None) -> str:
    """Return a duration in its two leading units.

    >>> duration(0.34), duration(75.0), duration(5025.0), duration(None) == NONE
    ('0.34 s', '1 min 15 s', '1 h 24 min', True)
    """
    if seconds is None or not math.isfinite(seconds):
        return NONE
    if seconds < 59.5:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    if seconds < 3570:
        return f"{int(seconds + 0.5) // 60} min {int(seconds + 0.5) % 60} s"
    minutes = int(seconds / 60 + 0.5)
    return f"{minutes // 60} h {minutes % 60} min"


def aligned(column: Sequence[str]) -> list[str]:
    """Return the texts padded so that, left-aligned, decimal points and ± stand in line.

    >>> [t.replace(FIGURE_SPACE, "_") for t in aligned(["9.5 ± 0.1", "10", "—"])]
    ['_9.5 ± 0.1', '10', '—']
    """
    number = re.compile(rf"([≈~]?\s*[-+{MINUS}]?)(\d+)(\.\d+)?(?:( ± )(\d+)(\.\d+)?)?")
    parts = [number.fullmatch(text) for text in column]
    found = [m for m in parts if m]

    def width(i: int, among: Iterable[re.Match[str]]) -> int:
        return max((len(m[i] or "") for m in among), default=0)

    whole = max((len(m[1]) + len(m[2]) for m in found), default=0)
    erring = [m for m in found if m[4]]
    fraction, error, error_fraction = width(3, found), width(5, erring), width(6, erring)

    def pad(text: str, to: int) -> str:
        gap = to - len(text)
        return (
            text
            + ("" if text or not to else POINT_SPACE)
            + FIGURE_SPACE * (gap if text or not to else gap - 1)
        )

    out = []
    for text, m in zip(column, parts, strict=True):
        if m is None:
            out.append(text)
            continue
        line = FIGURE_SPACE * (whole - len(m[1]) - len(m[2])) + m[1] + m[2]
        if m[4]:
            line += (
                pad(m[3] or "", fraction)
                + m[4]
                + FIGURE_SPACE * (error - len(m[5]))
                + m[5]
                + pad(m[6] or "", error_fraction)
            )
        else:
            line += m[3] or ""
        out.append(line.rstrip(FIGURE_SPACE + POINT_SPACE))
    return out


def version() -> str:
    """Return hwbench's version, without importing what the package exports."""
    return str(sys.modules["hwbench"].__version__)


# --- words ----------------------------------------------------------------------------------------


def label(at: Mapping[str, Any], without: Iterable[str] = ()) -> str:
    """Return coordinates for people: words stand alone, numbers with their name.

    >>> label({"data": "MNIST", "k": 5, "method": "IWAE"}, without=["data"])
    'k = 5, IWAE'
    """
    skip = set(without)
    return ", ".join(coordinate(k, v) for k, v in at.items() if k not in skip)


def row_label(outcome: RowOutcome, without: Iterable[str] = ()) -> str:
    """Return a row's coordinates; a row of another spec says which."""
    text = label(outcome.row.at, without)
    return f"{clean(outcome.results[0].case.spec)}: {text}" if is_guest(outcome) else text


def on_other_data(outcome: RowOutcome) -> bool:
    """Say whether a stand-in was used, so that a distance from print would mean nothing."""
    return any(r.case.stands_in_for for r in outcome.results)


def is_guest(outcome: RowOutcome) -> bool:
    """Say whether the row comes from another spec that was set against the table."""
    return "against" in outcome.flags and bool(outcome.results)


def coordinate(name: str, value: Any) -> str:
    """Return one coordinate for people."""
    return clean(value) if isinstance(value, str) else f"{words(name)} = {clean(value)}"


def words(name: str) -> str:
    """Return an identifier as words."""
    return clean(name).replace("_", " ")


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


def argument_text(value: Any) -> str:
    """Return an argument of a block in compact form, nested blocks included."""
    if isinstance(value, Mapping):
        return (
            block_text(value)
            if "use" in value
            else "{" + ", ".join(f"{k}: {argument_text(v)}" for k, v in value.items()) + "}"
        )
    if isinstance(value, list | tuple):
        return "[" + ", ".join(argument_text(v) for v in value) + "]" if value else "none"
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    return minus(clean(value)) if isinstance(value, int | float) else clean(value)


def block_text(block: Mapping[str, Any], without: Iterable[str] = ()) -> str:
    """Return a block as one reads a call.

    >>> block_text({"use": "vae.VAE", "latent": 20, "hidden": [400]})
    'vae.VAE(latent = 20, hidden = [400])'
    """
    skip = {"use", *without}
    arguments = ", ".join(
        f"{clean(k)} = {argument_text(v)}" for k, v in block.items() if k not in skip
    )
    return clean(block.get("use", "")) + (f"({arguments})" if arguments else "")


def protocol_fields(case: Case) -> dict[str, Any]:
    """Return the parts of a resolved case by name: blocks and plain values, in reading order."""
    out: dict[str, Any] = {"profile": case.profile}
    out["data"] = {k: v for k, v in case.data.items() if k != "pixels"}
    if case.stands_in_for:
        out["standing in for"] = case.stands_in_for
    out["pixels"] = case.data.get("pixels", "not applicable")
    out["model"] = case.model
    for i, stage in enumerate(case.train):
        prefix = f"stage {i + 1}: " if len(case.train) > 1 else ""
        first = [
            k for k in ("fit", "rule", "optimizer", "epochs", "steps", "batch_size") if k in stage
        ]
        out |= {
            prefix + words(k): stage[k] for k in [*first, *(k for k in stage if k not in first)]
        }
    for i, block in enumerate(case.evaluate):
        out[f"evaluation {i + 1}" if len(case.evaluate) > 1 else "evaluation"] = block
    return {k: v for k, v in out.items() if v is not None}


def common_part(blocks: Sequence[Any]) -> dict[str, Any] | None:
    """Return what blocks of the same name share; None where they are not such blocks.

    >>> common_part([{"use": "a.A", "k": 1, "b": 2}, {"use": "a.A", "k": 5, "b": 2}])
    {'use': 'a.A', 'b': 2}
    """
    if not all(isinstance(b, Mapping) and "use" in b for b in blocks):
        return None
    if any(b["use"] != blocks[0]["use"] for b in blocks):
        return None
    return {k: v for k, v in blocks[0].items() if all(k in b and b[k] == v for b in blocks)}


# --- the parts of a section -----------------------------------------------------------------------


@dataclass(frozen=True)
class Reference:
    """A paper: how it is cited, and where it is."""

    text: str
    url: str = ""


@dataclass(frozen=True)
class RowView:
    """One row in words.

    Attributes:
        rest: the coordinates that the layout does not place, '' mostly.
        published, measured: numbers padded so that a column of them lines up; see `aligned`.
        origin: where the published number comes from.
        source: what the original source prints, where the document differs from it.
        judged: that number, where the row is judged against it.
        facts: what a number means nothing without: profile, seeds, K, pixels.
        own: the facts in which the row differs from most others, coordinates left out.
    """

    anchor: str
    label: str
    rest: str
    published: str
    origin: str
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
    verdict: str
    reason: str
    flags: list[str]
    also: list[str]
    note: str


@dataclass(frozen=True)
class GridEntry:
    """A row in its place: its number in `rows`, its texts padded for its column."""

    row: int
    published: str
    measured: str


@dataclass(frozen=True)
class GridLine:
    """A line of the published layout: its headings, and the rows in each column."""

    heads: list[str]
    cells: list[list[GridEntry]]


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
    """A claim at one combination of coordinates, in words."""

    at: str
    verdict: str
    effect: str
    interval: str
    p: str
    test: str
    profile: str
    reason: str
    counts: bool


@dataclass(frozen=True)
class ClaimView:
    """A claim in words; `empty` where no part has anything to test, `at` as in `below_full`."""

    id: str
    text: str
    kind: str
    verdict: str
    at: str
    reason: str
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
class Section:
    """All that a report says about one spec, except its pictures.

    Attributes:
        printed: whether the document prints a number for any row.
    """

    id: str
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
    printed: bool


def is_printed(spec: Spec) -> bool:
    """Say whether the document, or its source, prints a number for any row."""
    return any(row.published or row.source for row in spec.rows)


def group_key(spec: Spec) -> str | None:
    """Return the coordinate whose values part the rows into groups, each with its own scale.

    That is `show.split`, else the first index coordinate; None unless it has two to four values
    with several rows each.
    """
    names = list(spec.rows[0].at)
    first = spec.show.index if isinstance(spec.show.index, str) else spec.show.index[0]
    key = spec.show.split or first
    if key not in names or len(names) < 2:
        return None
    sizes = Counter(str(row.at.get(key)) for row in spec.rows)
    return key if 2 <= len(sizes) <= 4 and min(sizes.values()) >= 2 else None


def standard_error(outcome: RowOutcome) -> float | None:
    """Return the standard error of the mean over seeds, sd/√n; None below two seeds."""
    n = len(outcome.results)
    return None if outcome.sd is None or n < 2 else outcome.sd / math.sqrt(n)


def fallback_decimals(published: Published | None) -> int:
    """Return the decimals of the printed number, for a measured one of unknown uncertainty."""
    if published is None or published.rounding <= 0:
        return 3
    return min(max(round(-math.log10(2 * published.rounding)), 0), 6)


def measured_text(outcome: RowOutcome) -> str:
    """Return 'mean ± standard error over seeds'; with one seed the mean alone."""
    if outcome.mean is None:
        return NONE
    error = standard_error(outcome)
    if error is None:
        return fixed(
            outcome.mean, decimals(outcome.se_points, fallback_decimals(outcome.published))
        )
    return with_error(outcome.mean, error, fallback_decimals(outcome.published))


def number_texts(comparison: Comparison) -> tuple[list[str], list[str]]:
    """Return the published and the measured number of each row, as they are written."""
    published = [
        minus(clean(o.row.published.text)) if o.row.published else NONE for o in comparison.rows
    ]
    return published, [measured_text(o) for o in comparison.rows]


def measured_note(outcome: RowOutcome) -> str:
    """Return the error over test points, which is shown and not counted."""
    if outcome.mean is None or outcome.se_points is None or not math.isfinite(outcome.se_points):
        return ""
    return f"± {significant(outcome.se_points, 2)} over test points"


def facts(outcome: RowOutcome, metric: str) -> dict[str, str]:
    """Return what must stand beside a number: profile, seeds, estimator, K, points, pixels."""
    out: dict[str, str] = {}
    if not outcome.results:
        return out
    n = len(outcome.results)
    out["profile"] = f"{outcome.profile} profile"
    short = outcome.expected_seeds > n
    out["seeds"] = (
        f"{n} of {outcome.expected_seeds} seeds" if short else f"{n} seed{'s' if n > 1 else ''}"
    )
    stored = [r.metrics[metric] for r in outcome.results if metric in r.metrics]
    if stored:
        kinds = sorted({m.kind for m in stored})
        ks = sorted({m.k for m in stored})
        if kinds != ["exact"]:
            out["estimator"] = " and ".join(
                "score, not a likelihood" if kind == "score" else kind for kind in kinds
            )
        if ks != [0]:
            many = ", ".join(count(k) for k in ks)
            annealed = all("log_z" in r.diagnostics for r in outcome.results)
            out["K"] = f"{many} annealing chains" if annealed else f"K{NO_BREAK}={NO_BREAK}{many}"
        elif kinds == ["exact"]:
            out["K"] = "exact"
        points = sorted({m.n for m in stored} - {0})
        if points:
            out["points"] = ", ".join(count(p) for p in points) + " test points"
    pixels = sorted({r.case.pixels for r in outcome.results if r.case.pixels is not None})
    if pixels:
        out["pixels"] = " and ".join(map(clean, pixels)) + " pixels"
    used = sorted(
        {str(r.case.data.get("use", "")) for r in outcome.results if r.case.stands_in_for}
    )
    if used:
        out["stand-in"] = " and ".join(map(clean, used)) + " instead of the published data"
    return out


def _origin(spec: Spec, outcome: RowOutcome) -> str:
    if outcome.row.published is None and outcome.row.source is None:
        return ""
    known = spec.known(outcome.row)
    return (
        f"from memory, confidence {spec.confidence(outcome.row)}"
        if known == "memory"
        else f"from {known}"
    )


def _source(spec: Spec, row: Row) -> tuple[str, str]:
    """Return what the original source says, and its number where the row is judged against it."""
    if row.source is None or not differs_in_source(row):
        return "", ""
    number, by_source = minus(clean(row.source.text)), spec.judged(row) is row.source
    judge = "source" if by_source else "document"
    text = f"{number} in the original source; judged against the {judge}"
    return text, number if by_source else ""


def _also(outcome: RowOutcome) -> list[str]:
    return [
        f"{words(name)}: {over_seeds(outcome, name) or 'not measured'}"
        f" (published {minus(f'{printed:g}')})"
        for name, printed in (outcome.row.also or {}).items()
    ]


def over_seeds(outcome: RowOutcome, metric: str) -> str:
    """Return 'mean ± standard error over seeds' of any metric; '' where no result has it."""
    values = [r.metrics[metric].value for r in outcome.results if metric in r.metrics]
    error = float(np.std(values, ddof=1) / math.sqrt(len(values))) if len(values) > 1 else None
    return with_error(float(np.mean(values)), error, 3) if values else ""


def _rows(comparison: Comparison) -> tuple[list[RowView], list[str]]:
    spec = comparison.spec
    all_facts = [facts(o, spec.metric) for o in comparison.rows]
    usual = _usual(all_facts)
    printed_all, measured_all = number_texts(comparison)
    published, measured = aligned(printed_all), aligned(measured_all)
    placed = _placed(spec)
    views = []
    for outcome, fact, printed, number in zip(
        comparison.rows, all_facts, published, measured, strict=True
    ):
        away = on_other_data(outcome)  # a distance from print would mean nothing
        interval = None if away else outcome.interval
        margin = spec.margin(outcome.row)
        half = None if interval is None else (interval.high - interval.low) / 2
        flags = [clean(f) for f in outcome.flags]
        source, judged = _source(spec, outcome.row)
        views.append(
            RowView(
                anchor="--".join(
                    [anchor(spec.id), *(["against"] if is_guest(outcome) else []), outcome.row.name]
                ),
                label=row_label(outcome),
                rest=label(outcome.row.at, without=placed),
                published=printed,
                origin=_origin(spec, outcome),
                source=source,
                judged=judged,
                measured=number,
                measured_note=measured_note(outcome),
                facts=[v for k, v in fact.items() if k != "stand-in"],  # a flag says it
                own=[
                    v for k, v in fact.items() if usual.get(k) != v and str(k) not in outcome.row.at
                ],
                difference=difference_text(
                    None if away else outcome.difference, interval, decimals(outcome.se_points, 2)
                ),
                interval=interval_text(interval),
                level=percent(interval.level) if interval else "",
                margin="" if margin is None or outcome.published is None else f"± {margin:g}",
                smallest=""
                if away or outcome.smallest is None
                else fixed(outcome.smallest, decimals(half)),
                verdict=outcome.verdict,
                reason=sentence(outcome.reason),
                flags=list(dict.fromkeys(f for f in flags if f != "from memory")),
                also=_also(outcome),
                note=clean(outcome.row.note or ""),
            )
        )
    return views, list(usual.values())


def _usual(all_facts: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Return the facts that most measured rows share: said once, then only the exceptions."""
    run = [f for f in all_facts if f]
    out = {}
    for name in dict.fromkeys(n for f in run for n in f):
        (value, n), *_ = Counter(f.get(name, "") for f in run).most_common()
        if value and 2 * n > len(run):
            out[name] = value
    return out


def _placed(spec: Spec) -> list[str]:
    index = [spec.show.index] if isinstance(spec.show.index, str) else spec.show.index
    return [key for key in [*index, spec.show.columns, spec.show.split] if key]


def grids(comparison: Comparison) -> list[Grid]:
    """Return the layout of the document as `show` gives it; rows that share a place share a cell.

    Rows of another spec that was set against the table stand in it where they have its coordinates.
    """
    spec, all_rows = comparison.spec, [o.row for o in comparison.rows]
    published, measured = number_texts(comparison)
    index = [spec.show.index] if isinstance(spec.show.index, str) else spec.show.index
    split, across = spec.show.split, spec.show.columns

    def values(key: str | None, rows: Sequence[int]) -> list[Scalar | None]:
        return list(dict.fromkeys(all_rows[i].at.get(key) for i in rows)) if key else [None]

    def heads(i: int) -> tuple[Scalar | None, ...]:
        return tuple(all_rows[i].at.get(key) for key in index)

    # lines go by the first appearance of each heading, so that equal headings stand together
    order = [list(dict.fromkeys(row.at.get(key) for row in all_rows)) for key in index]

    def rank(place: tuple[Scalar | None, ...]) -> list[int]:
        return [seen.index(value) for seen, value in zip(order, place, strict=True)]

    every = [i for i, row in enumerate(all_rows) if all(key in row.at for key in _placed(spec))]
    out = []
    for value in values(split, every):
        rows = [i for i in every if not split or all_rows[i].at.get(split) == value]
        columns = values(across, rows)
        entries: dict[tuple[Any, Any], list[GridEntry]] = {}
        for column in columns:
            here = [i for i in rows if not across or all_rows[i].at.get(across) == column]
            left, right = (aligned([texts[i] for i in here]) for texts in (published, measured))
            for i, printed, number in zip(here, left, right, strict=True):
                entries.setdefault((heads(i), column), []).append(GridEntry(i, printed, number))
        lines = [
            GridLine([clean(h) for h in place], [entries.get((place, c), []) for c in columns])
            for place in sorted(dict.fromkeys(map(heads, rows)), key=rank)
        ]
        out.append(
            Grid(
                caption=coordinate(split, value) if split else "",
                index=[words(key) for key in index],
                across=words(across) if across else "",
                columns=[clean(c) for c in columns] if across else [words(spec.metric)],
                lines=lines,
            )
        )
    return out


def _claim_kind(claim: ClaimOutcome) -> str:
    asked = claim.claim
    if asked.order:
        ((name, ranking),) = asked.order.items()
        return f"order of {words(name)}, best first: " + " > ".join(clean(v) for v in ranking)
    if asked.gap:
        printed = (
            f"; published gap {minus(clean(asked.gap.published.text))}"
            if asked.gap.published
            else ""
        )
        least = f" by at least {asked.gap.at_least:g}" if asked.gap.at_least else ""
        return f"{label(asked.gap.better)} better than {label(asked.gap.worse)}{least}{printed}"
    assert asked.within is not None
    return f"{label(asked.within.a)} and {label(asked.within.b)} within {asked.within.tolerance:g}"


def p_text(p: float | None) -> str:
    """Return a p value: 'p = 0.012', 'p < 0.001', or ''; one more digit next to 0.05."""
    if p is None or not math.isfinite(p):
        return ""
    if 0.045 < p < 0.055:
        return f"p = {p:.3g}"
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}" if p < 0.0995 else f"p = {p:.2f}"


def _claim_part(part: ClaimPart) -> ClaimPartView:
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


def _case(spec: Spec, outcome: RowOutcome, comparison: Comparison) -> Case | None:
    """Return the case that ran, else the one that would run at the comparison's profile."""
    if outcome.results:
        return outcome.results[0].case
    if spec.document is None:
        return None
    return variants(spec, outcome.row, outcome.profile or comparison.profile or "full", 0)[0]


def _protocol(comparison: Comparison) -> tuple[list[tuple[str, str]], Listing]:
    """Return what all rows have in common, and a table of what they do not."""
    rows = [
        (o, c) for o in comparison.rows if (c := _case(comparison.spec, o, comparison)) is not None
    ]
    fields = [protocol_fields(case) for _, case in rows]
    common: list[tuple[str, str]] = []
    columns: dict[str, list[str]] = {}
    for name in dict.fromkeys(n for f in fields for n in f):
        values = [f.get(name) for f in fields]
        shared = common_part(values)
        if all(v == values[0] for v in values):
            common.append((name, argument_text(values[0])))
        elif shared is None:
            columns[name] = [NONE if v is None else argument_text(v) for v in values]
        else:
            common.append((name, block_text(shared)))
            for key in dict.fromkeys(k for v in values if v for k in v if k not in shared):
                cells = [argument_text(v[key]) if v and key in v else NONE for v in values]
                columns[f"{name}: {words(key)}"] = cells
    lines = [
        [
            row_label(o) + ("" if o.results else " (not run)"),
            *(cells[i] for cells in columns.values()),
        ]
        for i, (o, _) in enumerate(rows)
    ]
    return common, Listing(["row", *columns], lines if columns else [])


def _others(comparison: Comparison) -> Listing:
    """Return what was measured beside the table's metric, row by row.

    Left out are metrics that only turn its sign, as NLL where the table prints log-likelihoods.
    """
    metric = comparison.spec.metric
    run = [o for o in comparison.rows if o.results]
    names = dict.fromkeys(
        name
        for o in run
        for r in o.results
        for name, m in r.metrics.items()
        if metric not in r.metrics or abs(m.value) != abs(r.metrics[metric].value)
    )
    lines = [[row_label(o), *(over_seeds(o, name) or NONE for name in names)] for o in run]
    return Listing(["row", *map(words, names)], lines if names else [], [*range(1, len(names) + 1)])


def _diagnostics(comparison: Comparison) -> Listing:
    """Return the estimators' diagnostics: mean over seeds, row by row."""
    names = dict.fromkeys(
        n for o in comparison.rows for r in o.results for n in r.diagnostics if n not in IMAGE_SIZE
    )
    lines = []
    for outcome in comparison.rows:
        cells = []
        for name in names:
            values = [
                v
                for r in outcome.results
                if (v := r.diagnostics.get(name)) is not None and math.isfinite(v)
            ]
            mean = float(np.mean(values)) if values else None
            large = mean is not None and 10 <= abs(mean) < 1e6  # log Z is of use to 0.01 nats
            cells.append(fixed(mean, 2) if large else significant(mean))
        if outcome.results and any(c != NONE for c in cells):
            lines.append([row_label(outcome), *cells])
    return Listing(["row", *map(words, names)], lines, list(range(1, len(names) + 1)))


def _flat(machine: Mapping[str, Any]) -> list[tuple[str, str]]:
    out = []
    for key, value in machine.items():
        if isinstance(value, Mapping):
            text = ", ".join(f"{clean(k)} {argument_text(v)}" for k, v in value.items())
        else:
            text = argument_text(value)
        out.append((words(key), text))
    return out


def _machines(results: Sequence[Result]) -> list[list[tuple[str, str]]]:
    """Return each distinct machine, with commits, plugins and data files of the results it made."""
    made: dict[tuple[tuple[str, str], ...], list[Result]] = {}
    for r in results:
        made.setdefault(tuple(_flat(r.machine)), []).append(r)
    out = []
    for machine, found in made.items():
        commits = Counter(clean(r.commit or "unknown") for r in found)
        text = ", ".join(f"{c} ({n})" if len(commits) > 1 else c for c, n in commits.items())
        plugins = sorted({clean(p) for r in found for p in r.plugins})
        extra = [("plugins", ", ".join(plugins))] if plugins else []
        files = sorted({clean(f) for r in found for f in r.files})
        extra += [("data files", ", ".join(files))] if files else []
        out.append([("results", str(len(found))), *machine, ("commit", text), *extra])
    return out


def _timings(comparison: Comparison) -> Listing:
    """Return seconds and speed, mean over seeds, row by row."""

    def mean(values: Iterable[float | None]) -> float | None:
        known = [v for v in values if v is not None and math.isfinite(v)]
        return float(np.mean(known)) if known else None

    lines = []
    for o in comparison.rows:
        if not o.results:
            continue
        memory = mean(r.peak_memory_mb for r in o.results)
        lines.append(
            [
                row_label(o),
                str(len(o.results)),
                duration(mean(r.seconds.get("train") for r in o.results)),
                duration(mean(r.seconds.get("evaluate") for r in o.results)),
                significant(mean(r.steps_per_second for r in o.results)),
                NONE if memory is None else f"{memory:.0f}",
                str(sum(r.resumed > 0 for r in o.results)),
            ]
        )
    head = ["row", "seeds", "training", "evaluation", "steps/s", "peak MB", "resumed"]
    return Listing(
        head, lines if any(set(line[2:6]) != {NONE} for line in lines) else [], [1, 2, 3, 4, 5, 6]
    )


def reference(papers: Mapping[str, Any] | None, spec: Spec) -> Reference | None:
    """Return how a spec's paper is cited; only http(s) addresses become links.

    That is the paper whose first author `source` names, else the one of the spec's folder.
    """
    known = papers or {}
    named = (key for key, entry in known.items() if _first_author(entry) in _names(spec.source))
    entry = known.get(next(named, spec.paper))
    if entry is None:
        return None
    if not isinstance(entry, Mapping):
        return Reference(clean(entry))
    authors = entry.get("authors") or ""
    if not isinstance(authors, str):
        names = [clean(a) for a in authors]
        authors = " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
    parts = [authors, *(entry.get(key, "") for key in ("title", "venue", "year"))]
    url = str(entry.get("url") or "")
    if not url and entry.get("doi"):
        url = f"https://doi.org/{entry['doi']}"
    if not url and entry.get("arxiv"):
        url = f"https://arxiv.org/abs/{entry['arxiv']}"
    safe = re.fullmatch(r"https?://[^\s\"'<>\\]+", url) is not None
    text = ". ".join(clean(part).rstrip(".") for part in parts if part) + "."
    return Reference(text, url if safe else "")


def _first_author(entry: Any) -> str:
    """Return the surname of the first author; a space, which is no name, where there is none."""
    authors = entry.get("authors") if isinstance(entry, Mapping) else None
    words_ = str(authors[0]).split() if isinstance(authors, list) and authors else []
    return words_[-1] if words_ else " "


def _names(source: str) -> set[str]:
    return set(re.findall(r"[^\W\d_][\w-]+", source))


def anchor(spec_id: str) -> str:
    """Return a spec's id as the id of an element."""
    return spec_id.replace("/", "-")


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


def below_full(claim: ClaimOutcome) -> str:
    """Return 'at quick' or 'at smoke' where a claim is judged by such results, else ''."""
    return f"at {claim.profile}" if claim.profile not in (None, "full") else ""


def _banner(comparison: Comparison) -> tuple[str, bool]:
    """Return the banner, made here where smoke results carry none, and whether there is smoke."""
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
    for outcome in comparison.rows:
        for result in outcome.results:
            if result.banner:
                return clean(result.banner), False
    return "", False


NUMBER = re.compile(r"(?<![\w.\-])-?\d+(?:\.\d+)?(?:e[-+]?\d+)?(?!\w)")


def merged(texts: Sequence[str]) -> str:
    """Return texts that differ in their numbers only as one, with the range of each number.

    >>> merged(["96% of 50 points", "73% of 50 points"])
    '73 to 96% of 50 points'
    """
    slots = zip(*(NUMBER.findall(text) for text in texts), strict=True)
    ranges = []
    for slot in slots:
        low, high = min(slot, key=float), max(slot, key=float)
        ranges.append(low if float(low) == float(high) else f"{low} to {high}")
    found = iter(ranges)
    return NUMBER.sub(lambda _: next(found), texts[0])


def _warnings(comparison: Comparison) -> list[str]:
    """Return the warnings of the comparison and of the runs, a line for each kind.

    Of one kind are those that differ in their numbers, rows and seeds only; the line names the
    rows, and their seeds where not all of them warn.
    """
    rows = {f"{compare_label(o.row)}: ": row_label(o) for o in comparison.rows}
    entries: list[tuple[str, int | None, str]] = []
    for text in comparison.warnings:
        prefix = next((p for p in rows if text.startswith(p)), "")
        entries.append((rows.get(prefix, ""), None, text.removeprefix(prefix)))
    entries += [
        (row_label(o), r.case.seed, text)
        for o in comparison.rows
        for r in o.results
        for text in r.warnings
    ]
    kinds: dict[tuple[str, bool], list[tuple[str, int | None, str]]] = {}
    for entry in entries:
        kinds.setdefault((NUMBER.sub("#", entry[2]), bool(entry[0])), []).append(entry)
    runs = {row_label(o): {r.case.seed for r in o.results} for o in comparison.rows}
    out = []
    for (_, of_rows), found in kinds.items():
        text = merged([text for _, _, text in found])
        out.append(f"{_where(found, runs)}: {text}" if of_rows else text)
    return [clean(w) for w in out]


def _where(found: Sequence[tuple[str, int | None, str]], runs: Mapping[str, set[int]]) -> str:
    """Return which rows a warning is about, and which seeds where not all of a row."""
    seeds: dict[str, set[int]] = {}
    for row, seed, _ in found:
        seeds.setdefault(row, set()).update([] if seed is None else [seed])
    names = []
    for row, warned in seeds.items():
        some = sorted(warned) if warned and warned != runs[row] else []
        which = f" (seed{'s' * (len(some) > 1)} {', '.join(map(str, some))})" if some else ""
        names.append(row + which)
    whole = names == [row for row, ran in runs.items() if ran]
    return f"all {len(names)} measured rows" if whole and len(names) > 1 else "; ".join(names)


def _summary(comparison: Comparison) -> str:
    if not any(o.results for o in comparison.rows):
        return f"none of {len(comparison.rows)} rows yet"
    done = sum(bool(o.results) for o in comparison.rows)
    cases = sum(len(o.results) for o in comparison.rows)
    profiles = list(dict.fromkeys(o.profile for o in comparison.rows if o.results and o.profile))
    at = f" at profile {' and '.join(profiles)}" if profiles else ""
    return f"{done} of {len(comparison.rows)} rows measured in {cases} runs{at}"


def section(comparison: Comparison, papers: Mapping[str, Any] | None = None) -> Section:
    """Return all that a report says about one spec, except its pictures."""
    spec = comparison.spec
    rows, shared = _rows(comparison)
    banner, smoke = _banner(comparison)
    protocol, protocol_rows = _protocol(comparison)
    results = [r for o in comparison.rows for r in o.results]
    days = sorted(r.started[:10] for r in results if r.started)
    asked = {f.curve for f in spec.figures if f.curve}
    curves = {name for r in results for name in r.curves}
    return Section(
        id=spec.id,
        anchor=anchor(spec.id),
        title=clean(spec.title),
        source=clean(spec.source),
        reference=reference(papers, spec),
        about=clean(spec.about),
        measure=", ".join(filter(None, [words(spec.metric), clean(spec.unit)]))
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
        claims=[
            ClaimView(
                id=clean(c.claim.id),
                text=clean(c.claim.text),
                kind=_claim_kind(c),
                verdict=c.verdict,
                at=below_full(c),
                reason=sentence(c.reason),
                parts=[_claim_part(p) for p in c.parts],
                empty=all(p.verdict == "missing" for p in c.parts),
            )
            for c in comparison.claims
        ],
        assumptions=[clean(a) for a in spec.assumptions],
        protocol=protocol,
        protocol_rows=protocol_rows,
        others=_others(comparison),
        diagnostics=_diagnostics(comparison),
        machines=_machines(results),
        timings=_timings(comparison),
        warnings=_warnings(comparison),
        dates="" if not days else days[0] if days[0] == days[-1] else f"{days[0]} to {days[-1]}",
        other_curves=sorted(clean(n) for n in curves if n not in asked and not shown_by_default(n)),
        printed=is_printed(comparison.spec),
    )


def shown_by_default(curve: str) -> bool:
    """Say whether a curve is drawn without being asked for."""
    return curve == "k_curve" or curve.split("/")[0] in ("train", "validation")


# --- JSON -----------------------------------------------------------------------------------------


def _number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


def _interval_json(interval: Interval | None) -> dict[str, float | None] | None:
    if interval is None:
        return None
    return {"low": _number(interval.low), "high": _number(interval.high), "level": interval.level}


def _published_json(published: Published | None) -> dict[str, Any] | None:
    return (
        None
        if published is None
        else {"text": published.text, "value": published.value, "error": published.error}
    )


def to_json(comparison: Comparison) -> dict[str, Any]:
    """Return a comparison as plain JSON values; what is not a number is null."""
    spec = comparison.spec
    return {
        "spec": spec.id,
        "title": spec.title,
        "source": spec.source,
        "metric": spec.metric,
        "unit": spec.unit,
        "better": spec.better,
        "profile": comparison.profile,
        "banner": _banner(comparison)[0] or None,
        "warnings": list(comparison.warnings),
        "rows": [
            {
                "at": dict(o.row.at),
                "verdict": o.verdict,
                "reason": o.reason,
                "profile": o.profile,
                "seeds": len(o.results),
                "expected_seeds": o.expected_seeds,
                "mean": _number(o.mean),
                "sd": _number(o.sd),
                "se": _number(standard_error(o)),
                "se_points": _number(o.se_points),
                "published": _published_json(o.row.published),
                "source": _published_json(o.row.source),
                "judged_against": _published_json(o.published),
                "known": spec.known(o.row),
                "margin": spec.margin(o.row),
                "difference": _number(o.difference),
                "interval": _interval_json(o.interval),
                "smallest": _number(o.smallest),
                "facts": facts(o, spec.metric),
                "flags": list(o.flags),
            }
            for o in comparison.rows
        ],
        "claims": [
            {
                "id": c.claim.id,
                "text": c.claim.text,
                "verdict": c.verdict,
                "profile": c.profile,
                "reason": c.reason,
                "parts": [
                    {
                        "at": dict(p.at),
                        "verdict": p.verdict,
                        "effect": _number(p.effect),
                        "interval": _interval_json(p.interval),
                        "p": _number(p.p),
                        "test": p.test,
                        "profile": p.profile,
                        "reason": p.reason,
                        "counts": p.counts,
                        "changed": p.changed,
                    }
                    for p in c.parts
                ],
            }
            for c in comparison.claims
        ],
    }
