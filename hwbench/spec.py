"""What a table asks: Spec, Row, Claim and Case; YAML in, a list of Cases out.

A spec is data. This module reads it safely, reports every mistake of a file at once with its
line, merges `defaults < row < profile < row's profile` and resolves the outcome into Cases, whose
key is a hash of their content. It knows no model and no torch: names behind `use` are checked by
`hwbench.build`.
"""

from __future__ import annotations

import copy
import difflib
import hashlib
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

Scalar = str | int | float | bool
Path_ = tuple[str | int, ...]
Profile = Literal["smoke", "quick", "full"]
PROFILES: tuple[Profile, ...] = ("smoke", "quick", "full")


# --- mistakes -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Problem:
    """One mistake in a file: where it stands, what is wrong, and what would be right."""

    file: str
    line: int
    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.field}: {self.message}"


class UserError(ValueError):
    """What the user gave is wrong or cannot be used; the command line exits with 2."""


class SpecError(UserError):
    """A file, name or argument the user gave is wrong; `problems` lists every mistake found."""

    def __init__(self, problems: Sequence[Problem] | str) -> None:
        self.problems = [] if isinstance(problems, str) else list(problems)
        super().__init__(problems if isinstance(problems, str) else "\n".join(map(str, problems)))


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """Return '; did you mean X?' or '; allowed: …', to end an error message."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.55)
    if close:
        return f"; did you mean {close[0]}?"
    return f"; allowed: {', '.join(sorted(known))}" if known else ""


# --- YAML with lines ------------------------------------------------------------------------------


class Located(dict[str, Any]):
    """A mapping that remembers the line of each key, also after merging."""

    def __init__(self, *args: Any, line: int = 0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.line = line
        self.lines: dict[str, int] = {}

    def line_at(self, path: Path_) -> int:
        """Return the line of the value at `path`, or of its nearest parent."""
        here: Any = self
        line = self.line
        for step in path:
            if isinstance(here, Located) and step in here:
                line = here.lines.get(str(step), here.line) or line
                here = here[str(step)]
            elif isinstance(here, list) and isinstance(step, int) and step < len(here):
                here = here[step]
                line = getattr(here, "line", line) or line
            else:
                break
        return line


_FLOAT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)$")
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # 13 times as fast
_PLAIN = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")
_VERBATIM = {
    ("rows", "published"),
    ("rows", "source"),
    ("claims", "gap", "published"),
}  # 86.70 has two decimals


def _construct(
    loader: yaml.constructor.SafeConstructor,
    node: yaml.Node,
    file: str,
    problems: list[Problem],
    keys: tuple[str, ...] = (),
    above: tuple[yaml.Node, ...] = (),
) -> Any:
    here = (file, node.start_mark.line + 1, ".".join(keys))
    if node in above:
        problems.append(Problem(*here, "an alias to what it is part of"))
        return None
    above = (*above, node)
    if not isinstance(node, yaml.ScalarNode) and node.tag not in _PLAIN:
        problems.append(Problem(*here, f"no tags are read (found {node.tag})"))
    if isinstance(node, yaml.MappingNode):
        out = Located(line=node.start_mark.line + 1)
        for key_node, value_node in node.value:
            name = str(getattr(key_node, "value", ""))
            if not isinstance(key_node, yaml.ScalarNode):
                problems.append(
                    Problem(file, key_node.start_mark.line + 1, "?", "a key must be a plain word")
                )
                continue
            if name in out:
                message = f"written twice (first in line {out.lines[name]})"
                problems.append(Problem(file, key_node.start_mark.line + 1, name, message))
            out[name] = _construct(loader, value_node, file, problems, (*keys, name), above)
            out.lines[name] = key_node.start_mark.line + 1
        return out
    if isinstance(node, yaml.SequenceNode):
        return [_construct(loader, child, file, problems, keys, above) for child in node.value]
    value = loader.construct_object(node)
    if not isinstance(node, yaml.ScalarNode) or node.style or value is None:  # '' is plain in C
        return value
    text = str(node.value)
    if keys in _VERBATIM:
        return text
    if _FLOAT.match(text):
        value = float(text)  # YAML 1.1 would read 1e-3 as a word
    if isinstance(value, float) and not math.isfinite(value):
        problems.append(Problem(*here, f"expected a finite number; found {text}"))
        return None
    if isinstance(value, bool):  # on, off, yes and no are words here, and so are dates and 1:30
        return value if text.lower() in ("true", "false") else text
    return value if isinstance(value, int | float) and ":" not in text else text


def read_yaml(path: Path) -> tuple[Located, list[Problem]]:
    """Read one YAML mapping safely; returns it with the lines of its keys, and the mistakes met.

    Raises:
        SpecError: the file cannot be read, or is not YAML, or is not a mapping.
    """
    file = display_path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"{file}: cannot be read: {error}") from None
    problems: list[Problem] = []
    loader = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if not isinstance(node, yaml.MappingNode):
            raise SpecError([Problem(file, 1, "(file)", "expected a mapping of keys to values")])
        return _construct(loader, node, file, problems), problems
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        message = f"not valid YAML: {getattr(error, 'problem', None) or error}"
        raise SpecError([Problem(file, mark.line + 1 if mark else 1, "(file)", message)]) from None
    finally:
        if loader is not None:
            loader.dispose()


def display_path(path: Path) -> str:
    """Return `path` relative to the working folder where that is shorter."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _stages(value: Any) -> bool:
    """Say whether a value is a list of training stages."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(v, Mapping) and "use" not in v for v in value)
    )


def merge(base: Any, over: Any, *, same_stages: bool = False) -> Any:
    """Return `base` with `over` laid on it; a mapping whose `use` differs replaces its block whole.

    One block over a list of stages changes each of them; a list over one block makes a stage of
    each item; of two lists each item is laid on its fellow, and `over` decides how many stages
    there are (`base`, where `same_stages`).

    >>> merge({"use": "a.A", "k": 1, "b": 2}, {"k": 5})
    {'use': 'a.A', 'k': 5, 'b': 2}
    >>> merge({"use": "a.A", "k": 1}, {"use": "b.B"})
    {'use': 'b.B'}
    """
    if isinstance(base, list) and isinstance(over, Mapping):
        return [merge(item, over, same_stages=same_stages) for item in base]
    if isinstance(base, Mapping) and _stages(over):
        return [merge(base, item) for item in over]
    if _stages(base) and _stages(over):
        rest = base[len(over) :] if same_stages else over[len(base) :]
        return [merge(b, o) for b, o in zip(base, over, strict=False)] + rest
    if not (isinstance(base, Mapping) and isinstance(over, Mapping)):
        return over
    if "use" in over and over["use"] != base.get("use", over["use"]):
        return over
    out = Located(base, line=getattr(over, "line", 0) or getattr(base, "line", 0))
    out.lines = {**getattr(base, "lines", {}), **getattr(over, "lines", {})}
    for key, value in over.items():
        out[key] = merge(base[key], value, same_stages=same_stages) if key in base else value
    return out


# --- the parts of a spec --------------------------------------------------------------------------


class Strict(BaseModel):
    """Unknown keys are errors, values are not coerced, objects do not change."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Published(Strict):
    """A number as printed, with its uncertainty if one is, and half a unit of its last digit."""

    text: str
    value: float
    error: float | None = None
    rounding: float = 0.0

    @classmethod
    def parse(cls, text: str | int | float) -> Published:
        """Parse '-95.182 ± 0.022', '≈85.5' or '12.0'.

        >>> Published.parse("-95.182 ± 0.022").error
        0.022
        >>> Published.parse("85.5").rounding
        0.05
        """
        words = str(text).strip()
        number = r"[-+−]?\d+(?:\.(\d+))?(?:[eE]([-+]?\d+))?"
        match = re.fullmatch(rf"[≈~]?\s*({number})\s*(?:(?:±|\+/-|\+-)\s*({number}))?", words)
        if match is None:
            raise ValueError(
                f"{words!r} is not a number, nor a number ± its uncertainty (like -95.182 ± 0.022)"
            )
        value, decimals, exponent, error = (
            match.group(1),
            match.group(2) or "",
            match.group(3) or "0",
            match.group(4),
        )
        rounding = float(f"0.5e{int(exponent) - len(decimals)}")
        error_value = float(error.replace("−", "-")) if error else None
        if error_value is not None and error_value < 0:
            raise ValueError(f"{words!r}: an uncertainty cannot be negative")
        return cls(
            text=words, value=float(value.replace("−", "-")), error=error_value, rounding=rounding
        )


class Schedule(Strict):
    """How rates change within a stage.

    `lr` and `momentum` map an epoch to the value from that epoch on; `anneal` scales the learning
    rate linearly from 1 at the start of the stage to this factor at its end.
    """

    lr: dict[Annotated[str, Field(pattern=r"^\d+$")], Annotated[float, Field(gt=0)]] | None = None
    momentum: (
        dict[Annotated[str, Field(pattern=r"^\d+$")], Annotated[float, Field(ge=0, lt=1)]] | None
    ) = None
    anneal: Annotated[float, Field(ge=0, le=1)] | None = None


class Stop(Strict):
    """Early stopping: `patience` epochs without a better value, once `at_least` are done."""

    patience: Annotated[int, Field(ge=1)]
    at_least: Annotated[int, Field(ge=0)] = 0
    keep: Literal["last", "best"] = "last"


class Stage(Strict):
    """One stage of training: a rule, an optimizer, and how long."""

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
            raise ValueError("stop needs validate, the evaluator whose number it watches")
        return self


class FitStage(Strict):
    """A stage in which the model is fitted whole, after stages that trained it by a rule."""

    fit: dict[str, Any]


SpecId = Annotated[
    str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*/[a-z0-9]+(-[a-z0-9]+)*$")
]  # also a path of two parts
Coordinates = dict[str, Scalar]
Block = dict[str, Any]  # {use: NAME, argument: value, ...}


class Blocks(Strict):
    """The four blocks that say what is run; rows and profiles may give any part of them."""

    data: Block | None = None
    model: Block | None = None
    train: Block | list[Block] | None = None
    fit: Block | None = None
    evaluate: Block | list[Block] | None = None
    seeds: Annotated[int, Field(ge=1, le=1000)] | None = None


class ProfileBlocks(Blocks):
    """What a profile changes.

    `rows` keeps the rows matching any of the given coordinates; `stand_ins` names, for a data
    set, the data
    sets to use in its place, in order of preference: the first that can be had is taken.
    """

    rows: list[dict[str, Scalar | list[Scalar]]] | None = None
    stand_ins: dict[str, list[str]] | None = None


class Defaults(Blocks):
    """Blocks and judgement settings that hold for every row that says nothing else.

    `margin` is the equivalence margin; `trials` is the number of runs whose mean was published,
    if it is known.
    """

    margin: Annotated[float, Field(gt=0)] | None = None
    trials: Annotated[int, Field(ge=1)] | None = None
    known: Literal["document", "code", "memory"] = "document"
    confidence: Literal["high", "medium", "low"] = "high"
    judge_against: Literal["document", "source"] = "document"


class Row(Blocks):
    """One number of the table: where it stands, what runs, what was published."""

    at: Annotated[Coordinates, Field(min_length=1)]
    published: Published | None = None
    source: Published | None = None
    also: dict[str, float] | None = None
    margin: Annotated[float, Field(gt=0)] | None = None
    trials: Annotated[int, Field(ge=1)] | None = None
    known: Literal["document", "code", "memory"] | None = None
    confidence: Literal["high", "medium", "low"] | None = None
    judge_against: Literal["document", "source"] | None = None
    incomparable: str | None = None
    note: str | None = None
    profiles: dict[Profile, ProfileBlocks | None] | None = None

    @field_validator("published", "source", mode="before")
    @classmethod
    def _parse(cls, text: Any) -> Any:
        return Published.parse(text) if isinstance(text, str | int | float) else text

    @property
    def name(self) -> str:
        """Return the coordinates as one file-safe word, as 'MNIST-fixed-IWAE'."""
        return row_name(self.at)

    def matches(self, wanted: Mapping[str, Any]) -> bool:
        """Say whether every coordinate in `wanted` (a value, or a list of values) fits this row."""
        return all(
            key in self.at
            and str(self.at[key])
            in [str(v) for v in (value if isinstance(value, list) else [value])]
            for key, value in wanted.items()
        )


def row_name(at: Mapping[str, Scalar]) -> str:
    """Return coordinates as one file-safe word; nothing in it can leave a folder."""
    return "-".join(
        re.sub(r"[^A-Za-z0-9_+.=]+", "_", str(v)).strip(".") or "_" for v in at.values()
    )


class Gap(Strict):
    """The difference better − worse, in the metric's direction, between two groups of rows."""

    better: Coordinates
    worse: Coordinates
    at_least: float = 0.0
    published: Published | None = None

    @field_validator("published", mode="before")
    @classmethod
    def _parse(cls, text: Any) -> Any:
        return Published.parse(text) if isinstance(text, str | int | float) else text


class Within(Strict):
    """The two groups of rows differ by at most `tolerance`."""

    a: Coordinates
    b: Coordinates
    tolerance: Annotated[float, Field(gt=0)]


class Claim(Strict):
    """A statement of the document that measurements can uphold or refute; it has one kind of test.

    `order` lists values of one coordinate, best first. Coordinates that a claim does not name are
    held equal: it is judged once for each of their combinations among the rows that `where`
    keeps.
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
    """A coordinate that the paper leaves open, and the rows whose nearness to print chooses it.

    For each combination of the other coordinates, the rows `by` compete: the one measured nearest
    to its published number chooses, if it is within `tolerance`. It gets the verdict
    `calibrated`; rows with another value of the coordinate are `incomparable`. Where none is near
    enough, all are `incomparable` and only claims are judged.
    """

    coordinate: str
    by: Coordinates
    tolerance: Annotated[float, Field(gt=0)]


class Show(Strict):
    """How the table is laid out: coordinates down, one across, one (`split`) in tables apart."""

    index: str | list[str]
    columns: str | None = None
    split: str | None = None


class Figure(Strict):
    """A plot: a curve of each result, one coordinate against the metric, or images of the rows.

    `negate` draws minus the curve, as where a table prints NLL and the curve is a log-likelihood.
    """

    title: str
    kind: Literal["curve", "rows", "images"]
    images: Annotated[list[str], Field(min_length=1)] | None = None
    curve: str | None = None
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
        if self.kind == "curve" and not self.curve:
            raise ValueError("a figure of kind `curve` names its `curve`")
        if self.kind == "rows" and not self.x:
            raise ValueError("a figure of kind `rows` names the coordinate `x`")
        if self.kind == "rows" and self.negate:
            raise ValueError("`negate` turns a curve round; a figure of kind `rows` has none")
        if self.kind == "images" and not self.images:
            raise ValueError("a figure of kind `images` names its `images`")
        plain = {"title", "kind", "images", "where"}
        for name in sorted(self.model_fields_set - plain) if self.kind == "images" else ():
            raise ValueError(f"a figure of kind `images` has no `{name}`")
        if self.kind != "images" and self.images:
            raise ValueError(f"a figure of kind `{self.kind}` has no `images`")
        return self


class Spec(Strict):
    """One table or figure of a paper: what was printed, and what it takes to run it."""

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
    claims: list[Claim] = []
    calibrate: Calibrate | None = None
    profiles: dict[Profile, ProfileBlocks] = {}
    show: Show
    figures: list[Figure] = []
    file: str = Field(default="", exclude=True)
    document: Any = Field(default=None, exclude=True, repr=False)

    @property
    def paper(self) -> str:
        """Return the folder part of the id."""
        return self.id.split("/")[0]

    def select(self, wanted: Sequence[Mapping[str, Any]] | None) -> list[Row]:
        """Return the rows matching any of the given coordinates; all rows for None."""
        return [row for row in self.rows if not wanted or any(row.matches(w) for w in wanted)]

    def judged(self, row: Row) -> Published | None:
        """Return the number that decides the row's verdict: the document's or its source's."""
        against = row.judge_against or self.defaults.judge_against
        return (row.source or row.published) if against == "source" else row.published

    def margin(self, row: Row) -> float | None:
        """Return the row's equivalence margin, in units of the metric."""
        return row.margin or self.defaults.margin

    def trials(self, row: Row) -> int | None:
        """Return how many runs the published number is the mean of, None if that is not known."""
        return row.trials or self.defaults.trials

    def known(self, row: Row) -> str:
        """Return how the published number is known: document, code or memory."""
        return row.known or self.defaults.known

    def confidence(self, row: Row) -> str:
        """Return how sure a number from memory is: high, medium or low."""
        return row.confidence or self.defaults.confidence


# --- cases ----------------------------------------------------------------------------------------


class Case(Strict):
    """A row at a profile and a seed, fully resolved: all that its outcome depends on."""

    spec: SpecId
    at: Coordinates
    profile: Profile
    seed: Annotated[int, Field(ge=0)]
    data: Block
    model: Block
    train: list[Block]
    evaluate: list[Block]
    stands_in_for: str | None = None

    @property
    def key(self) -> str:
        """Return the sha256 of what decides the numbers: not the spec's name, nor its prose."""
        content = self.model_dump(include={"seed", "data", "model", "train", "evaluate"})
        return hashlib.sha256(
            json.dumps(content, sort_keys=True, ensure_ascii=False).encode()
        ).hexdigest()

    @property
    def pixels(self) -> str | None:
        """Return how points are presented; grey ones that are drawn to be measured are dynamic."""
        pixels: str | None = self.data.get("pixels")
        drawn = any(block.get("draw") for block in self.evaluate)
        return "dynamic" if pixels == "grey" and drawn else pixels

    @property
    def row(self) -> str:
        """Return the row's file-safe name."""
        return row_name(self.at)

    @property
    def label(self) -> str:
        """Return a name for people: 'iwaer/table1 MNIST/IWAE seed 0'."""
        return f"{self.spec} {'/'.join(map(str, self.at.values()))} seed {self.seed}"

    @property
    def path(self) -> Path:
        """Return the result's path below the results folder."""
        paper, table = self.spec.split("/")
        return (
            Path(paper) / table / self.row / f"{self.profile}-seed{self.seed}-{self.key[:8]}.json"
        )


def plain(value: Any) -> Any:
    """Return `value` with located mappings as ordinary ones (for hashing and JSON)."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    return [plain(v) for v in value] if isinstance(value, list) else value


def resolve(spec: Spec, row: Row, profile: Profile) -> Located:
    """Return the row's blocks at a profile: defaults < row < profile < the row's own profile.

    Works on the document as read, so that each value keeps the line it came from.
    """
    document: Located = spec.document
    raw_row = document["rows"][spec.rows.index(row)]
    keys = set(Blocks.model_fields) | {"stand_ins"}
    layers = [
        document.get("defaults"),
        raw_row,
        (document.get("profiles") or {}).get(profile),
        (raw_row.get("profiles") or {}).get(profile),
    ]
    out = Located(line=raw_row.line)
    for depth, layer in enumerate(layers):
        if layer:
            part = Located({k: v for k, v in layer.items() if k in keys}, line=layer.line)
            part.lines = layer.lines
            out = merge(
                out, part, same_stages=depth > 1
            )  # a profile shortens stages; it does not add any
    return out


def opts_out(row: Row, profile: Profile) -> bool:
    """Say whether a row has `null` for this profile."""
    own = row.profiles or {}
    return profile in own and own[profile] is None


def runs_at(spec: Spec, row: Row, profile: Profile) -> bool:
    """Say whether the profile runs this row: it may keep some, and a row may opt out (`null`)."""
    if opts_out(row, profile):
        return False
    chosen = spec.profiles.get(profile)
    own = (row.profiles or {}).get(profile)
    return (
        own is not None
        or chosen is None
        or not chosen.rows
        or any(row.matches(w) for w in chosen.rows)
    )


def variants(spec: Spec, row: Row, profile: Profile, seed: int) -> list[Case]:
    """Return the case of a row and seed for each data set that may serve it, preferred first."""
    blocks = plain(resolve(spec, row, profile))
    data = blocks.get("data") or {}
    wanted = data.get("use", "")
    train = blocks.get("train") or []
    evaluate = blocks.get("evaluate") or []
    stages = train if isinstance(train, list) else [train]
    if blocks.get("fit"):
        stages = [{"fit": blocks["fit"]}]
    return [
        Case(
            spec=spec.id,
            at=dict(row.at),
            profile=profile,
            seed=seed,
            data={**data, "use": use},
            model=blocks.get("model") or {},
            train=stages,
            evaluate=evaluate if isinstance(evaluate, list) else [evaluate],
            stands_in_for=None if use == wanted else wanted,
        )
        for use in (blocks.get("stand_ins") or {}).get(str(wanted), [wanted])
    ]


def seeds_of(spec: Spec, row: Row, profile: Profile) -> int:
    """Return how many seeds the row has at a profile."""
    return int(resolve(spec, row, profile).get("seeds") or 1)


def cases(
    spec: Spec,
    profile: Profile,
    rows: Sequence[Mapping[str, Any]] | None = None,
    seeds: int | None = None,
    have: Callable[[Block], bool] = lambda data: True,
) -> list[Case]:
    """Return all cases of a spec at a profile, seed by seed so that every row has a number early.

    Args:
        spec: the table.
        profile: how much of the protocol.
        rows: coordinates of the rows wanted, among those that the profile keeps. Where it keeps
            none of them, rows that the profile merely does not choose; never one that opts out.
        seeds: number of seeds instead of the spec's.
        have: says whether a data block can be had; the first stand-in for which it does is used.
    """
    wanted = spec.select(rows)
    chosen = [row for row in wanted if runs_at(spec, row, profile)]
    if rows and not chosen:
        chosen = [row for row in wanted if not opts_out(row, profile)]
    out: list[tuple[int, Case]] = []
    for row in chosen:
        for seed in range(seeds or seeds_of(spec, row, profile)):
            options = variants(spec, row, profile, seed)
            out.append((seed, next((case for case in options if have(case.data)), options[0])))
    return [case for _, case in sorted(out, key=lambda pair: pair[0])]


# --- loading --------------------------------------------------------------------------------------


def _fields_at(model: type[BaseModel], path: Path_) -> list[str]:
    """Return the names allowed beside the key at the end of `path`, for 'did you mean'."""
    here: Any = model
    for step in path[:-1]:
        if isinstance(here, type) and issubclass(here, BaseModel) and step in here.model_fields:
            here = _inner_model(here.model_fields[str(step)].annotation)
    if not (isinstance(here, type) and issubclass(here, BaseModel)):
        return []
    return [field.alias or name for name, field in here.model_fields.items() if not field.exclude]


def dotted(path: Path_) -> str:
    """Return the place of a value for people.

    >>> dotted(("rows", 0, "at"))
    'rows[0].at'
    """
    return (
        "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in path).lstrip(".") or "(file)"
    )


def _inner_model(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in getattr(annotation, "__args__", ()):
        found = _inner_model(inner)
        if found is not None:
            return found
    return None


_BRANCH = re.compile(r"[\[(]|^(str|int|float|bool|list|dict)$")


def _path(item: Any) -> Path_:
    """Return where in the document a mistake stands; pydantic's path also names union branches."""
    return tuple(p for p in item["loc"] if not (isinstance(p, str) and _BRANCH.search(p)))


def validation_problems(
    error: ValidationError, file: str, document: Located, model: type[BaseModel], prefix: Path_ = ()
) -> list[Problem]:
    """Turn pydantic's errors into Problems with file and line, one for each place.

    Args:
        error: what pydantic found.
        file: the document's name, for people.
        document: the document as read, which knows its lines.
        model: what its value at `prefix` was checked against.
        prefix: where that value stands.
    """
    found: dict[tuple[int, str], list[str]] = {}
    for item in error.errors():
        path = _path(item)
        message = item["msg"].removeprefix("Value error, ").removeprefix("Input ")
        if item["type"] == "extra_forbidden":
            message = f"unknown key{did_you_mean(str(path[-1]), _fields_at(model, path))}"
        elif item["type"] == "missing":
            message = "is missing"
        place = (document.line_at((*prefix, *path)), dotted((*prefix, *path)))
        messages = found.setdefault(place, [])
        if item["type"] not in ("extra_forbidden", "missing"):
            ending = f" (found {_short(item['input'])})"
            if messages and messages[-1].endswith(ending):  # another branch of the same union
                first = messages.pop().removesuffix(ending)
                message = f"{first}, or {message.removeprefix('should be ')}"
            message += ending
        messages.append(message)
    return [
        Problem(file, line, field, "; ".join(dict.fromkeys(m)))
        for (line, field), m in found.items()
    ]


def _short(value: Any) -> str:
    text = repr(plain(value))
    return text if len(text) <= 60 else text[:57] + "..."


def _references(spec: Spec, document: Located, file: str) -> Iterator[Problem]:
    """Yield coordinates and names that do not fit together: of rows, claims, profiles, layout."""

    def problem(path: Path_, message: str) -> Problem:
        return Problem(file, document.line_at(path), dotted(path), message)

    first = spec.rows[0].at
    coordinates: dict[str, list[str]] = {key: [] for key in first}
    names: dict[str, int] = {}
    for i, row in enumerate(spec.rows):
        at: Path_ = ("rows", i, "at")
        if row.name in names:
            yield problem(
                at, f"same coordinates as rows[{names[row.name]}] (as a file name: {row.name})"
            )
        names.setdefault(row.name, i)
        if len(row.name) > 150:
            yield problem(
                at, f"too long to name a folder ({len(row.name)} characters, at most 150)"
            )
        if list(row.at) != list(first):
            yield problem(
                at, f"every row has the same coordinates in the same order: {', '.join(first)}"
            )
        for key, value in row.at.items():
            coordinates.setdefault(key, []).append(str(value))

    def named(key: str | None, path: Path_) -> Iterator[Problem]:
        if key and key not in coordinates:
            yield problem(path, f"no coordinate {key!r}{did_you_mean(key, list(coordinates))}")

    def check(where: Mapping[str, Any], path: Path_) -> Iterator[Problem]:
        for key, value in where.items():
            if key not in coordinates:
                yield from named(key, (*path, key))
                continue
            known = sorted(set(coordinates[key]))
            for v in value if isinstance(value, list) else [value]:
                if str(v) not in known:
                    yield problem(
                        (*path, key), f"no row has {key} {str(v)!r}{did_you_mean(str(v), known)}"
                    )

    ids: dict[str, int] = {}
    for i, claim in enumerate(spec.claims):
        if claim.id in ids:
            yield problem(
                ("claims", i, "id"), f"{claim.id!r} is the id of claims[{ids[claim.id]}], too"
            )
        ids.setdefault(claim.id, i)
        yield from check(claim.where, ("claims", i, "where"))
        for key, values in (claim.order or {}).items():
            yield from check({key: values}, ("claims", i, "order"))
            if len(set(map(str, values))) < len(values):
                yield problem(("claims", i, "order", key), "a value stands twice")
        for kind, sides in (("gap", ("better", "worse")), ("within", ("a", "b"))):
            test = getattr(claim, kind)
            for side in sides if test else ():
                yield from check(getattr(test, side), ("claims", i, kind, side))
    for profile, blocks in spec.profiles.items():
        for i, where in enumerate(blocks.rows or []):
            yield from check(where, ("profiles", profile, "rows", i))
    if spec.calibrate:
        yield from check(spec.calibrate.by, ("calibrate", "by"))
        yield from named(spec.calibrate.coordinate, ("calibrate", "coordinate"))
    for key in [spec.show.index] if isinstance(spec.show.index, str) else spec.show.index:
        yield from named(key, ("show", "index"))
    yield from named(spec.show.columns, ("show", "columns"))
    yield from named(spec.show.split, ("show", "split"))
    for i, figure in enumerate(spec.figures):
        yield from check(figure.where, ("figures", i, "where"))
        yield from named(figure.series, ("figures", i, "series"))
        yield from named(figure.x if figure.kind == "rows" else None, ("figures", i, "x"))


def _completeness(spec: Spec, document: Located, file: str) -> Iterator[Problem]:
    """Yield what a row lacks once the defaults are laid under it."""
    for i, row in enumerate(spec.rows):
        line = document.line_at(("rows", i))
        if spec.judged(row) is not None and spec.margin(row) is None:
            yield Problem(
                file,
                line,
                f"rows[{i}].margin",
                "a published number needs a margin here or in defaults",
            )
        blocks = resolve(spec, row, "full")
        for missing in [k for k in ("data", "model", "evaluate") if not blocks.get(k)]:
            yield Problem(file, line, f"rows[{i}].{missing}", "neither the row nor defaults say it")
        if bool(blocks.get("train")) == bool(blocks.get("fit")):
            yield Problem(
                file, line, f"rows[{i}].train", "give either train or fit, here or in defaults"
            )


UNKNOWN = "?"  # stands for a name that was refused, so that nobody looks for it
_HARMLESS: dict[str, Any] = {
    "id": "x/x", "title": "", "source": "", "metric": UNKNOWN, "better": "higher",
    "show": {"index": []},
}  # fmt: skip


def _salvage(document: Located, error: ValidationError, file: str) -> tuple[Spec, Located] | None:
    """Return a spec without the values refused, to find other mistakes in, if it can stand."""
    out = copy.deepcopy(document)
    for item in error.errors():
        match _path(item):
            case ("claims", int(i), *_):
                out["claims"][i] = {
                    "id": f"claims[{i}]",
                    "text": "",
                    "gap": {"better": {}, "worse": {}},
                }
            case ("figures", int(i), *_):
                out["figures"][i] = {"title": "", "kind": "curve", "curve": UNKNOWN}
            case ("rows", int(i), str(key), *_) if key != "at":
                out["rows"][i].pop(key, None)
            case ("defaults" | "profiles" as part, str(key), *_):
                out[part].pop(key, None)
            case (str(key), *_) if key in _HARMLESS:
                out[key] = _HARMLESS[key]
            case (str(key), *_) if key != "rows":
                out.pop(key, None)
    out |= {"file": file, "document": out}
    try:
        return Spec.model_validate(out), out
    except ValidationError:
        return None


def _shared_profiles(path: Path) -> tuple[Located, list[Problem]]:
    """Read the profiles that all specs of a folder share; what is wrong in them is left out."""
    profiles, problems = read_yaml(path)
    file = display_path(path)
    kept = Located(line=profiles.line)
    kept.lines = profiles.lines
    for name, blocks in profiles.items():
        if name not in PROFILES:
            message = f"unknown profile{did_you_mean(name, PROFILES)}"
            problems.append(Problem(file, profiles.lines[name], name, message))
            continue
        try:
            ProfileBlocks.model_validate(blocks)
            kept[name] = blocks
        except ValidationError as error:
            problems += validation_problems(error, file, profiles, ProfileBlocks, (name,))
    return kept, problems


def parse(path: Path) -> tuple[Spec | None, Located, list[Problem]]:
    """Read one spec file; returns the Spec, the document, and every mistake.

    Where there are mistakes the Spec is what stands without the values refused, to find others in;
    None where nothing does.
    """
    document, problems = read_yaml(path)
    file = display_path(path)
    for own in ("file", "document"):  # fields of ours, not keys of a file
        if own in document:
            message = f"unknown key{did_you_mean(own, _fields_at(Spec, (own,)))}"
            problems.append(Problem(file, document.lines[own], own, message))
            del document[own]
    merged = Located(document, line=document.line)
    merged.lines = dict(document.lines)
    folder = path.parent.resolve()  # a file means the same from every working folder
    shared = folder.parent / "profiles.yaml"
    if shared.is_file():
        base, more = _shared_profiles(shared)
        problems += more
        own_profiles = document.get("profiles")
        if own_profiles is None or isinstance(own_profiles, Mapping):
            merged["profiles"] = merge(base, own_profiles or Located())
        expected = f"{folder.name}/{path.stem}"
        if isinstance(document.get("id"), str) and document["id"] != expected:
            message = f"should be {expected!r}, as the file is named (found {document['id']!r})"
            problems.append(Problem(file, document.line_at(("id",)), "id", message))
    try:
        spec = Spec.model_validate({**merged, "file": file, "document": merged})
    except ValidationError as error:
        problems += validation_problems(error, file, merged, Spec)
        rest = _salvage(merged, error, file)
        if rest is None:
            return None, document, problems
        problems += _references(*rest, file)
        return rest[0], document, problems
    problems += _references(spec, merged, file)
    problems += _completeness(spec, merged, file)
    return spec, merged, problems


def load(path: Path) -> Spec:
    """Read one spec file.

    Raises:
        SpecError: lists every mistake of the file at once, each with its line.
    """
    spec, _, problems = parse(path)
    if problems or spec is None:
        raise SpecError(problems)
    return spec


def find(folder: Path) -> dict[str, Path]:
    """Return the spec files of a benchmarks folder, by id (`<paper>/<table>`)."""
    return {f"{p.parent.name}/{p.stem}": p for p in sorted(folder.glob("*/*.yaml"))}


def locate(name: str, folder: Path) -> Path:
    """Return the file of a spec named by id, alias, table name or path.

    Raises:
        SpecError: unknown (with the nearest name) or ambiguous (with the candidates).
    """
    if name.endswith((".yaml", ".yml")):
        path = Path(name)
        if not path.is_file():
            raise SpecError(f"{name}: no such spec file")
        return path
    known = find(folder)
    if name in known:
        return known[name]
    aliases: dict[str, list[str]] = {}
    for spec_id, path in known.items():
        aliases.setdefault(spec_id.split("/")[1], []).append(spec_id)
        try:
            document, _ = read_yaml(path)
        except SpecError:
            continue
        for alias in document.get("aliases") or []:
            if spec_id not in aliases.setdefault(str(alias), []):
                aliases[str(alias)].append(spec_id)
    found = aliases.get(name, [])
    if len(found) == 1:
        return known[found[0]]
    if found:
        raise SpecError(f"{name!r} is ambiguous: {', '.join(found)}")
    if not known:
        raise SpecError(f"no spec {name!r}: {display_path(folder)} holds no spec files")
    raise SpecError(f"no spec {name!r}{did_you_mean(name, [*known, *aliases])}")


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a spec file, for editors."""
    schema = Spec.model_json_schema()
    for hidden in ("file", "document"):
        schema["properties"].pop(hidden, None)
    for name in ("Row", "Gap"):  # in a file, a published number is what is printed
        for field in ("published", "source"):
            if field in schema["$defs"][name]["properties"]:
                schema["$defs"][name]["properties"][field] = {
                    "anyOf": [{"type": "string"}, {"type": "number"}]
                }
    return schema
