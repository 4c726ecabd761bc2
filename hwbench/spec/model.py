"""The typed spec: rows, claims, figures and what was published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, PrivateAttr, model_validator

from hwbench.notebook import section_html, table_html
from hwbench.spec.coordinates import Coordinates, Scalar, is_value, row_name
from hwbench.spec.document import Located
from hwbench.spec.published import AsPublished, Confidence, Known, Published, Quoted, Strict

Profile = Literal["smoke", "quick", "full"]
PROFILES: tuple[Profile, ...] = ("smoke", "quick", "full")


class Schedule(Strict):
    """Changes of rates within a stage.

    `lr` and `momentum` map an epoch to the value from that epoch on; `anneal` scales the learning
    rate linearly, by 1 at the start of the stage and by this factor at its end.
    """

    lr: dict[Annotated[str, Field(pattern=r"^\d+$")], Annotated[float, Field(gt=0)]] | None = None
    momentum: (
        dict[Annotated[str, Field(pattern=r"^\d+$")], Annotated[float, Field(ge=0, lt=1)]] | None
    ) = None
    anneal: Annotated[float, Field(ge=0, le=1)] | None = None


class Stop(Strict):
    """Early stopping after `patience` epochs without a better value, but not before `at_least`."""

    patience: Annotated[int, Field(ge=1)]
    at_least: Annotated[int, Field(ge=0)] = 0
    keep: Literal["last", "best"] = "last"


class Stage(Strict):
    """One stage of training: a rule, an optimizer, and a length in epochs or steps."""

    rule: dict[str, Any]
    optimizer: dict[str, Any] = {"use": "Adam"}
    batch_size: Annotated[int, Field(ge=1)] = 100
    epochs: Annotated[int, Field(ge=1)] | None = None
    steps: Annotated[int, Field(ge=1)] | None = None
    schedule: Schedule | None = None
    validate_: Annotated[dict[str, Any] | None, Field(alias="validate")] = None
    validate_every: Annotated[int, Field(ge=1)] = 1
    stop: Stop | None = None
    clip_gradient: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _length(self) -> Stage:
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("give exactly one of epochs and steps")
        if self.stop is not None and self.validate_ is None:
            raise ValueError("stop needs validate, the evaluator whose metric it watches")
        return self


def batch_size_of(stage: Mapping[str, Any]) -> int:
    """Return the batch size of a stage with a rule, given as in a case."""
    return int(stage.get("batch_size") or Stage.model_fields["batch_size"].default)


class FitStage(Strict):
    """A stage in which the whole model is fitted at once, after stages with a rule."""

    fit: dict[str, Any]


SpecId = Annotated[
    str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*/[a-z0-9]+(-[a-z0-9]+)*$")
]  # also a path of two parts
Block = dict[str, Any]  # {use: NAME, argument: value, ...}


class Blocks(Strict):
    """The blocks that determine what runs; rows and profiles may give any part of them."""

    data: Block | None = None
    model: Block | None = None
    train: Block | list[Block] | None = None
    fit: Block | None = None
    evaluate: Block | list[Block] | None = None
    seeds: Annotated[int, Field(ge=1, le=1000)] | None = None


class ProfileBlocks(Blocks):
    """Changes that a profile makes.

    `rows` keeps the rows that match any of the given coordinates; `stand_ins` lists, for a data
    set, the data sets to use in its place, in order of preference; the first available one is used;
    `same` declares that training as long as at full is intended.
    """

    rows: list[dict[str, Scalar | list[Scalar]]] | None = None
    stand_ins: dict[str, Annotated[list[str], Field(min_length=1)]] | None = None
    same: bool = False


Deterministic = Annotated[
    bool,
    Field(
        description="No seed changes the results (k-NN, SVM): one seed has the spread 0. "
        "Needs `seeds: 1` at full."
    ),
]


class Defaults(Blocks):
    """Blocks and settings of verdicts for all rows, which rows may override.

    `margin` is the equivalence margin; `trials` is the number of runs whose mean was published,
    if it is known; `deterministic` declares that no seed changes the results.
    """

    margin: Annotated[float, Field(gt=0)] | None = None
    trials: Annotated[int, Field(ge=1)] | None = None
    deterministic: Deterministic = False
    known: Known = "document"
    confidence: Confidence = "high"
    judge_against: Literal["document", "source"] = "document"


class Row(Blocks):
    """One number of the table: its coordinates, its blocks, and the published value."""

    at: Annotated[Coordinates, Field(min_length=1)]
    published: AsPublished | None = None
    source: AsPublished | None = None
    also: dict[str, float] | None = None
    margin: Annotated[float, Field(gt=0)] | None = None
    trials: Annotated[int, Field(ge=1)] | None = None
    deterministic: Deterministic | None = None
    known: Known | None = None
    confidence: Confidence | None = None
    judge_against: Literal["document", "source"] | None = None
    incomparable: str | None = None
    note: str | None = None
    profiles: dict[Profile, ProfileBlocks | None] | None = None
    _document: Located = PrivateAttr(default_factory=Located)

    @property
    def document(self) -> Located:
        """Return the row as read, with the line of each value."""
        return self._document

    @property
    def name(self) -> str:
        """Return the coordinates as one file-safe word, as 'MNIST-fixed-IWAE'."""
        return row_name(self.at)

    def matches(self, wanted: Mapping[str, Any]) -> bool:
        """Return whether this row has every coordinate in `wanted`: a value, or one of a list."""
        return all(
            key in self.at
            and any(is_value(self.at[key], v) for v in (w if isinstance(w, list) else [w]))
            for key, w in wanted.items()
        )


class Gap(Strict):
    """The difference better − worse, in the metric's direction, between two groups of rows."""

    better: Coordinates
    worse: Coordinates
    at_least: float = 0.0
    published: AsPublished | None = None


class Within(Strict):
    """The two groups of rows differ by at most `tolerance`."""

    a: Coordinates
    b: Coordinates
    tolerance: Annotated[float, Field(gt=0)]


class Claim(Strict):
    """A statement of the document that measurements can support or refute, with one kind of test.

    `order` lists values of one coordinate, best first. A claim is judged once for each combination
    of the coordinates that it does not name, among the rows that match `where`.
    """

    id: str
    text: str
    where: dict[str, Scalar | list[Scalar]] = {}
    metric: str | None = None
    better: Literal["higher", "lower"] | None = None
    order: dict[str, Annotated[list[Scalar], Field(min_length=2)]] | None = None
    gap: Gap | None = None
    within: Within | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Claim:
        if sum(kind is not None for kind in (self.order, self.gap, self.within)) != 1:
            raise ValueError("a claim has exactly one of order, gap, within")
        if self.order is not None and len(self.order) != 1:
            raise ValueError("order names exactly one coordinate")
        return self


class Calibrate(Strict):
    """A coordinate that the paper leaves open, and the rows that choose it.

    For each combination of the other coordinates, the rows `by` compete: the one measured nearest
    to its published value chooses, if it is within `tolerance`. It gets the verdict `calibrated`;
    rows with another value of the coordinate are `incomparable`. If none is near enough, all are
    `incomparable` and only claims are judged.
    """

    coordinate: str
    by: Coordinates
    tolerance: Annotated[float, Field(gt=0)]


class Show(Strict):
    """The layout of the table: coordinates for rows, for columns, and for separate tables."""

    index: str | list[str]
    columns: str | None = None
    split: str | None = None

    @property
    def rows(self) -> list[str]:
        """Return the coordinates that name a line of the table."""
        return [self.index] if isinstance(self.index, str) else self.index


# What each kind of figure needs.
NEEDED = {
    "curve": "curve",
    "rows": "x",
    "images": "images",
    "captions": "images",
    "series": "lines",
    "scatter": "clouds",
    "lists": "lists",
}


class Figure(Strict):
    """A plot: a curve of each result, the metric against a coordinate, or what evaluators keep.

    `captions` are images, too, in lines that have a text each.
    `negate` draws minus the curve, for a table of NLL whose curve is a log-likelihood.
    `minus` names a curve that is subtracted, at the points that both have.
    """

    title: str
    kind: Literal["curve", "rows", "images", "captions", "series", "scatter", "lists"]
    images: Annotated[list[str], Field(min_length=1)] | None = None
    lines: Annotated[list[str], Field(min_length=1)] | None = None
    clouds: Annotated[list[str], Field(min_length=1)] | None = None
    lists: Annotated[list[str], Field(min_length=1)] | None = None
    curve: str | None = None
    minus: str | None = None
    negate: bool = False
    x: str | None = None
    series: str | None = None
    metric: str | None = None
    x_label: str | None = None
    y_label: str | None = None
    log_x: bool = False
    log_y: bool = False
    where: dict[str, Scalar | list[Scalar]] = {}

    @model_validator(mode="after")
    def _complete(self) -> Figure:
        needed = NEEDED[self.kind]
        if not getattr(self, needed):
            what = "the coordinate `x`" if needed == "x" else f"`{needed}`"
            raise ValueError(f"a figure of kind `{self.kind}` needs {what}")
        for name in ("negate", "minus"):
            if self.kind == "rows" and getattr(self, name):
                raise ValueError(f"`{name}` is for curves; a figure of kind `rows` has none")
        foreign = {"images", "lines", "clouds", "lists"} - {needed}
        if needed in ("images", "lines", "clouds", "lists"):
            axes = {"x_label", "y_label", "log_y"} if needed == "lines" else set()
            foreign = self.model_fields_set - {"title", "kind", "where", needed} - axes
        for name in sorted(foreign & self.model_fields_set):
            raise ValueError(f"a figure of kind `{self.kind}` has no `{name}`")
        return self


class Spec(Strict):
    """One table or figure of a paper: its published values, and how to run it."""

    id: SpecId
    title: str
    source: str
    aliases: list[str] = []
    metric: str
    better: Literal["higher", "lower"]
    unit: str = "nats"
    about: str = ""
    assumptions: list[str] = []
    defaults: Defaults = Defaults()
    rows: Annotated[list[Row], Field(min_length=1)]
    quoted: list[Quoted] = []
    claims: list[Claim] = []
    calibrate: Calibrate | None = None
    profiles: dict[Profile, ProfileBlocks] = {}
    show: Show
    figures: list[Figure] = []
    _file: str = PrivateAttr(default="")
    _document: Located = PrivateAttr(default_factory=Located)
    _overrides: dict[str, Any] = PrivateAttr(default_factory=dict)

    @classmethod
    def from_document(cls, document: Located, file: str) -> Spec:
        """Return the spec of a document as read; it and its rows keep their parts of the document.

        Raises:
            pydantic.ValidationError: a value is refused.
        """
        spec = cls.model_validate(document)
        spec._file, spec._document = file, document
        for row, part in zip(spec.rows, document["rows"], strict=True):
            row._document = part
        return spec

    @property
    def file(self) -> str:
        """Return the name of the file, for people."""
        return self._file

    @property
    def document(self) -> Located:
        """Return the document as read, with the line of each value."""
        return self._document

    @property
    def overrides(self) -> dict[str, Any]:
        """Return the values, by path, that replace those of every row; its cases are variants."""
        return self._overrides

    def varied(self, overrides: Mapping[str, Any]) -> Spec:
        """Return the spec with these overrides, unchecked; see `case.vary`."""
        spec = self.model_copy()
        spec._overrides = dict(overrides)
        return spec

    @property
    def paper(self) -> str:
        """Return the folder part of the id."""
        return self.id.split("/")[0]

    def select(self, wanted: Sequence[Mapping[str, Any]] | None) -> list[Row]:
        """Return the rows matching any of the given coordinates; all rows for None."""
        return [row for row in self.rows if not wanted or any(row.matches(w) for w in wanted)]

    def judged(self, row: Row) -> Published | None:
        """Return the value that decides the row's verdict: the document's or its source's."""
        against = row.judge_against or self.defaults.judge_against
        return (row.source or row.published) if against == "source" else row.published

    def margin(self, row: Row) -> float | None:
        """Return the row's equivalence margin, in units of the metric."""
        return row.margin or self.defaults.margin

    def trials(self, row: Row) -> int | None:
        """Return the number of runs whose mean was published, None if it is unknown."""
        return row.trials or self.defaults.trials

    def deterministic(self, row: Row) -> bool:
        """Return whether the row is declared not to depend on the seed."""
        if row.deterministic is None:
            return self.defaults.deterministic
        return row.deterministic

    def known(self, row: Row | Quoted) -> str:
        """Return where the published value is known from: document, code or memory."""
        return row.known or self.defaults.known

    def _repr_html_(self) -> str:
        measure = f"{self.metric} in {self.unit}" if self.unit else self.metric
        rows = [
            {
                **{key: str(value) for key, value in row.at.items()},
                "published": "" if row.published is None else row.published.text,
                "margin": "" if (margin := self.margin(row)) is None else f"{margin:g}",
            }
            for row in self.rows
        ]
        claims = [{"claim": claim.id, "text": claim.text} for claim in self.claims]
        return section_html(
            f"{self.id}: {self.title}",
            f"{self.source}. {measure}; {self.better} is better. {self.about}",
            table_html(rows),
            table_html(claims) if claims else "",
        )

    def confidence(self, row: Row | Quoted) -> str:
        """Return the confidence in a value from memory: high, medium or low."""
        return row.confidence or self.defaults.confidence
