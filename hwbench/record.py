"""What is stored of a case: its result, or why it has none; as JSON that is small enough for git.

Curves and arrays are rounded far below their uncertainty (`short`, `rounded`); metrics keep every
bit. What a result is, is decided here: its metrics are finite numbers, and what its seal covers is
as it was written.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_serializer,
)

from hwbench.spec import Case

if TYPE_CHECKING:
    import numpy as np

SCHEMA = 1
DIGITS = 7  # significant digits of a curve: float32 sums have no more
COARSEST = 2.0**-10  # largest step to which arrays are rounded


def _null_is_nan(value: Any) -> Any:
    return math.nan if value is None else value


Number = Annotated[
    float, BeforeValidator(_null_is_nan)
]  # JSON has no NaN: numbers that are not finite are stored as null


class Record(BaseModel):
    """A stored record: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="constants", defer_build=True)


class StoredMetric(Record):
    """See `protocols.Metric`; a value that is not finite is refused in reading and in writing."""

    value: Annotated[float, Field(allow_inf_nan=False)]
    se: float | None = None
    mc_se: float | None = None
    n: int = 0
    k: int = 0
    kind: Literal["exact", "estimate", "lower bound", "upper bound", "score"] = "estimate"


class StoredCurve(Record):
    """See `protocols.Curve`; numbers are kept to 7 significant digits."""

    x: list[Number]
    y: list[Number]
    se: list[Number] = []

    @field_serializer("x", "y", "se")
    def _short(self, values: list[float]) -> list[float]:
        return [short(v) for v in values]


class Result(Record):
    """The outcome of one case, with everything needed to repeat it without the YAML.

    Attributes:
        key: hash of the case.
        fingerprint: hash of the source code that determines its numbers.
        seconds: wall time by part (`train`, `evaluate`).
        machine: device, threads, dtype policy, versions.
        commit: git commit of the code, with `-dirty` if the tree had changes, or None.
        plugins: external packages that the run used.
        files: names of the data files that were read (some data sets have alternatives).
        parameters: numbers in the model that training changed; None in old files.
        checksums: checksums of these files, by name; absent in old files.
        rerun: how many results of the case there were before; see `path`.
        arrays: sha256 of the file of per-point arrays; empty without arrays, or in old files.
        seal: hash of everything else in the file; empty in old files.
    """

    schema_version: Literal[1] = 1
    case: Case
    key: str
    fingerprint: str
    metrics: dict[str, StoredMetric]
    diagnostics: dict[str, float | None] = {}
    curves: dict[str, StoredCurve] = {}
    seconds: dict[str, float] = {}
    steps_per_second: float | None = None
    peak_memory_mb: float | None = None
    machine: dict[str, Any] = {}
    commit: str | None = None
    started: str = ""
    warnings: list[str] = []
    plugins: list[str] = []
    files: list[str] = []
    checksums: dict[str, str] = {}
    rerun: Annotated[int, Field(ge=0)] = 0
    banner: str | None = None
    steps: Annotated[int, Field(ge=0)] = 0
    parameters: Annotated[int, Field(ge=0)] | None = None
    resumed: int = 0
    arrays: str = ""
    seal: str = ""

    @property
    def path(self) -> Path:
        """Return the path below the results folder; a rerun's name also has its fingerprint."""
        first = self.case.path
        if not self.rerun:
            return first
        number = f"-{self.rerun}" if self.rerun > 1 else ""
        return first.with_name(f"{first.stem}-{self.fingerprint[:8]}{number}.json")

    @property
    def age(self) -> tuple[int, str]:
        """Return what orders the results of a case, the newest last; clocks of machines differ."""
        return self.rerun, self.started


class Failure(Record):
    """A case that produced no result: the reason in one line, and the traceback."""

    schema_version: Literal[1] = 1
    case: Case
    key: str
    kind: Literal["failed", "missing"]
    reason: str
    traceback: str = ""
    started: str = ""


def _no_nan(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {k: _no_nan(v) for k, v in value.items()}
    return [_no_nan(v) for v in value] if isinstance(value, list) else value


def short(value: float) -> float:
    """Round a number to 7 significant digits.

    >>> short(-105.72031784649502)
    -105.7203
    """
    return float(f"{value:.{DIGITS}g}")


def rounded(values: np.ndarray) -> np.ndarray:
    """Round per-point numbers to multiples of a power of two, which compress well.

    The step is at most `COARSEST` (0.001 nats) and at most 2^-13 of their standard deviation, so
    that a value moves by at most 0.0005 and 1/16 000 of the deviation. Shape and dtype stay the
    same; integers, equal numbers and numbers that are not finite do not change.
    """
    import numpy as np

    if not np.issubdtype(values.dtype, np.floating):
        return values
    exact = values.astype(np.float64)
    finite = exact[np.isfinite(exact)]
    with np.errstate(over="ignore"):
        spread = float(finite.std()) if finite.size else 0.0
    if not 1e-300 < spread < math.inf:
        return values
    step = 2.0 ** math.floor(math.log2(min(COARSEST, spread * 2.0**-13)))
    return (np.rint(exact / step) * step).astype(values.dtype)


def to_json(record: Record) -> str:
    """Return a record as readable JSON, with each array of numbers on one line."""
    content = _no_nan(record.model_dump(mode="json"))
    if isinstance(record, Result):
        record.seal = content["seal"] = _seal(content)
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    # a bracket before a line break is never inside a string: JSON escapes line breaks there
    numbers = re.compile(r"\[\n\s*([^][{}\"]*?)\s*\]")
    return numbers.sub(lambda m: "[" + re.sub(r"\s+", " ", m[1]) + "]", text) + "\n"


def parse(text: str) -> Result | None:
    """Return the result in a document, None where it is of another schema.

    Raises:
        ValueError: the document is no JSON or no result, or was changed after it was written.
    """
    try:
        result = Result.model_validate_json(text)
    except ValidationError:
        if schema_version(text) == SCHEMA:
            raise
        return None
    if "schema_version" not in result.model_fields_set:
        return None
    if result.key != result.case.key:
        raise ValueError("its key is not the hash of its case: it was changed by hand")
    if result.seal and result.seal != _seal(json.loads(text)):
        raise ValueError("its seal is not the hash of its content: it was changed by hand")
    return result


def _seal(document: dict[str, Any]) -> str:
    """Return the hash of a document without its seal."""
    content = {name: value for name, value in document.items() if name != "seal"}
    text = json.dumps(content, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def schema_version(text: str) -> Any:
    """Return the schema version of a document, None where it has none; ValueError if no JSON."""
    document = json.loads(text)
    return document.get("schema_version") if isinstance(document, dict) else None
