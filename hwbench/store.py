"""Stored results: one JSON file per case with its per-point arrays beside it, never overwritten.

The files go into git, so they are small: curves and arrays are rounded far below their uncertainty
(`short`, `rounded`); metrics keep every bit.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import re
import tempfile
import threading
import uuid
import zipfile
import zlib
from dataclasses import dataclass
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

from hwbench.spec import Case, UserError

if TYPE_CHECKING:
    import numpy as np

SCHEMA = 1
DIGITS = 7  # significant digits of a curve: float32 sums have no more
COARSEST = 2.0**-10  # largest step to which arrays are rounded


class StoreError(UserError):
    """The results folder cannot be written."""


def _null_is_nan(value: Any) -> Any:
    return math.nan if value is None else value


Number = Annotated[
    float, BeforeValidator(_null_is_nan)
]  # JSON has no NaN: numbers that are not finite are stored as null


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="constants", defer_build=True)


class StoredMetric(_Record):
    """See `protocols.Metric`; a value of null is read as NaN."""

    value: Number
    se: float | None = None
    mc_se: float | None = None
    n: int = 0
    k: int = 0
    kind: Literal["exact", "estimate", "lower bound", "upper bound", "score"] = "estimate"


class StoredCurve(_Record):
    """See `protocols.Curve`; numbers are kept to 7 significant digits."""

    x: list[Number]
    y: list[Number]
    se: list[Number] = []

    @field_serializer("x", "y", "se")
    def _short(self, values: list[float]) -> list[float]:
        return [short(v) for v in values]


class Result(_Record):
    """The outcome of one case, with everything needed to repeat it without the YAML.

    Attributes:
        key: hash of the case.
        fingerprint: hash of the source code that determines its numbers.
        seconds: wall time by part (`train`, `evaluate`).
        machine: device, threads, dtype policy, versions.
        commit: git commit of the code, with `-dirty` if the tree had changes, or None.
        plugins: external packages that the run used.
        files: names of the data files that were read (some data sets have alternatives).
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
    banner: str | None = None
    steps: Annotated[int, Field(ge=0)] = 0
    resumed: int = 0


class Failure(_Record):
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


def _json(record: _Record) -> str:
    """Return a record as readable JSON, with each array of numbers on one line."""
    content = _no_nan(record.model_dump(mode="json"))
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    # a bracket before a line break is never inside a string: JSON escapes line breaks there
    numbers = re.compile(r"\[\n\s*([^][{}\"]*?)\s*\]")
    return numbers.sub(lambda m: "[" + re.sub(r"\s+", " ", m[1]) + "]", text) + "\n"


def check_writable(folder: Path, name: str) -> None:
    """Raise StoreError if a folder cannot be created or written; `name` says which folder it is."""
    try:
        nearest = next((p for p in (folder, *folder.absolute().parents) if p.exists()), folder)
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise StoreError(f"{name} {folder} cannot be written: {error.strerror or error}") from None


def write_atomically(path: Path, data: bytes, *, overwrite: bool = False) -> bool:
    """Write a whole file or nothing; return False, and keep it, if the file exists already.

    Raises:
        StoreError: the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}") from None
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        if overwrite:
            Path(name).replace(path)
            return True
        return _put(Path(name), path)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}") from None
    finally:
        with contextlib.suppress(FileNotFoundError):
            Path(name).unlink()


def _put(whole: Path, path: Path) -> bool:
    """Give a finished file its name unless it is taken; return whether the name was free."""
    try:
        os.link(whole, path)  # unlike rename, it fails if the name is taken
    except FileExistsError:
        return False
    except OSError:  # a file system without hard links: claim the name, then move the file there
        try:
            path.touch(exist_ok=False)
        except FileExistsError:
            return False
        whole.replace(path)
    return True


@dataclass(frozen=True)
class Store:
    """The results below a folder."""

    folder: Path

    def check_writable(self) -> None:
        """Raise StoreError if the folder cannot be written, before anything slow starts."""
        check_writable(self.folder, "the results folder")

    def path(self, case: Case) -> Path:
        """Return the file of a case's result."""
        return self.folder / case.path

    def failed_path(self, case: Case) -> Path:
        """Return the file of a case's failure."""
        return self.folder / ".failed" / case.path

    def write(self, result: Result, per_point: dict[str, np.ndarray] | None = None) -> bool:
        """Store a result; return False, and keep the old one, if the case has a result already.

        Arrays are rounded, see `rounded`. A file that exists but is not a complete result of the
        case (truncated, another schema) is kept under another name. An earlier failure of the
        case is removed.

        Raises:
            StoreError: the folder cannot be written.
        """
        import numpy as np

        path = self.path(result.case)
        data = _json(result).encode()
        arrays = path.with_suffix(".npz")
        waiting = arrays.with_name(f".{arrays.name}.{os.getpid()}-{threading.get_ident()}")
        try:
            if per_point:  # on disk before the result, and named only once the result is ours
                buffer = io.BytesIO()
                arrays_ = {name: rounded(values) for name, values in per_point.items()}
                np.savez_compressed(buffer, allow_pickle=False, **arrays_)
                write_atomically(waiting, buffer.getvalue(), overwrite=True)
            written = write_atomically(path, data)
            if not written and self.read(result.case) is None:
                self._set_aside(path, result.case)
                written = write_atomically(path, data)
            if written and per_point:
                waiting.replace(arrays)
            elif written:
                arrays.unlink(missing_ok=True)  # left by a run that was killed
            self.failed_path(result.case).unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"cannot write {path}: {error.strerror or error}") from None
        finally:
            with contextlib.suppress(OSError):
                waiting.unlink()
        return written

    def _set_aside(self, path: Path, case: Case) -> None:
        """Rename a file that is not the case's result; unless it has just become one."""
        aside = path.with_name(f"{path.stem}.old-{uuid.uuid4().hex[:8]}.json")
        with contextlib.suppress(FileNotFoundError):
            path.rename(aside)
        found = self._load(aside, [], case.path)
        if found is not None and found.key == case.key:
            _put(aside, path)
            aside.unlink(missing_ok=True)

    def write_failure(self, failure: Failure) -> None:
        """Store why a case has no result, in place of an older reason."""
        write_atomically(self.failed_path(failure.case), _json(failure).encode(), overwrite=True)

    def read(self, case: Case) -> Result | None:
        """Return the result of a case; None if there is no readable one."""
        result = self._load(self.path(case), [], case.path)
        return result if result is not None and result.key == case.key else None

    def read_failure(self, case: Case) -> Failure | None:
        """Return why a case has no result; None if it has not failed."""
        try:
            failure = Failure.model_validate_json(
                self.failed_path(case).read_text(encoding="utf-8")
            )
        except (OSError, ValueError):
            return None
        return failure if failure.key == case.key else None

    def per_point(self, result: Result) -> dict[str, np.ndarray]:
        """Return the per-point arrays of a result; empty if there are none."""
        import numpy as np

        path = self.path(result.case).with_suffix(".npz")
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                return {name: arrays[name] for name in arrays.files}
        except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error):
            return {}

    def results(self, spec_id: str | None = None) -> tuple[list[Result], list[str]]:
        """Return all results (of one spec), and a warning for each file that is not a result."""
        warnings: list[str] = []
        pattern = f"{spec_id}/*/*.json" if spec_id else "*/*/*/*.json"
        paths = sorted(
            p
            for p in self.folder.glob(pattern)
            if not any(part.startswith(".") for part in p.parts[-4:])
        )
        places = [(p, p.relative_to(self.folder)) for p in paths]
        found = [
            result for p, place in places if (result := self._load(p, warnings, place)) is not None
        ]
        return found, warnings

    def files(self, spec_id: str) -> list[Path]:
        """Return every file below the folders that a spec's results and failures are read from."""
        tops = (self.folder / spec_id, self.folder / ".failed" / spec_id)
        return sorted(path for top in tops for path in top.glob("*/*"))

    def failures(self, spec_id: str) -> list[Failure]:
        """Return the failures of a spec, without files that cannot be read."""
        found = []
        for path in sorted((self.folder / ".failed").glob(f"{spec_id}/*/*.json")):
            with contextlib.suppress(OSError, ValueError):
                failure = Failure.model_validate_json(path.read_text(encoding="utf-8"))
                if failure.key == failure.case.key and path == self.failed_path(failure.case):
                    found.append(failure)
        return found

    def _load(self, path: Path, warnings: list[str], place: Path) -> Result | None:
        """Return the result in a file; None and a warning if it has none that belongs there."""
        try:
            text = path.read_text(encoding="utf-8")
            result = _parse(text)
            if result is None:
                version = _schema_version(text)
                warnings.append(
                    f"{path}: skipped: schema version {version}, this hwbench reads {SCHEMA}"
                )
                return None
        except FileNotFoundError:
            return None
        except ValidationError as error:
            first = error.errors()[0]
            reason = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        except (OSError, ValueError, RecursionError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        else:
            if result.key != result.case.key:
                reason = "its key is not the hash of its case: it was changed by hand"
            elif result.case.path != place:
                reason = f"it belongs at {result.case.path}"
            else:
                return result
        warnings.append(f"{path}: skipped: not a whole result file ({reason})")
        return None


def _parse(text: str) -> Result | None:
    """Return the result in a document, None where it is of another schema.

    Raises:
        ValueError: the document is no JSON, or no result.
    """
    try:
        result = Result.model_validate_json(text)
    except ValidationError:
        if _schema_version(text) == SCHEMA:
            raise
        return None
    return result if "schema_version" in result.model_fields_set else None


def _schema_version(text: str) -> Any:
    """Return the schema version of a document, None where it has none; ValueError if no JSON."""
    document = json.loads(text)
    return document.get("schema_version") if isinstance(document, dict) else None
