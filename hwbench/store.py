"""results/ as one JSON file per case, with per-point arrays beside it: append, never overwrite.

Files go into git, so they are small: curves and arrays are rounded far below what is known of
them (`short`, `rounded`); metrics are kept to the last bit.
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
from collections.abc import Iterable
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
    import pandas as pd

SCHEMA = 1
DIGITS = 7  # of a curve's numbers: float32 sums are not known to more
COARSEST = 2.0**-10  # unit: what arrays are rounded to where their spread allows it


class StoreError(UserError):
    """The results folder cannot be written."""


def _null_is_nan(value: Any) -> Any:
    return math.nan if value is None else value


Number = Annotated[
    float, BeforeValidator(_null_is_nan)
]  # JSON has no NaN: what is not finite is stored as null


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="constants", defer_build=True)


class StoredMetric(_Record):
    """See `protocols.Metric`; a value that is not a number reads as NaN."""

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
    """The outcome of one case with all that is needed to redo it without the YAML.

    Attributes:
        key: the case's hash.
        fingerprint: hash of the sources that decide its numbers.
        seconds: wall time by part (`train`, `evaluate`).
        machine: device, threads, dtype policy, versions.
        commit: git commit of the code, with `-dirty` if the tree had changes, or None.
        plugins: modules from outside that the run used.
        files: names of the data files that were read; a set may come from one of several.
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
    """A case that did not come to a number: the reason in one line, and the traceback."""

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
    """Return a number to 7 significant digits.

    >>> short(-105.72031784649502)
    -105.7203
    """
    return float(f"{value:.{DIGITS}g}")


def rounded(values: np.ndarray) -> np.ndarray:
    """Return per-point numbers to the nearest multiple of a power of two, which compresses.

    The step is at most `COARSEST` (0.001 nats) and at most 2^-13 of their standard deviation, so
    that a value moves by at most 0.0005 and 1/16 000 of the deviation. Shape and dtype stay, and
    so do integers, equal numbers and what is not finite.
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
    """Return a record as JSON for people, with each array of numbers on one line."""
    content = _no_nan(record.model_dump(mode="json"))
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    # a bracket before a line break is never inside a string, where breaks are escaped
    numbers = re.compile(r"\[\n\s*([^][{}\"]*?)\s*\]")
    return numbers.sub(lambda m: "[" + re.sub(r"\s+", " ", m[1]) + "]", text) + "\n"


def check_writable(folder: Path, name: str) -> None:
    """Raise StoreError, with the folder's name for people, where it cannot be written or made."""
    try:
        nearest = next((p for p in (folder, *folder.absolute().parents) if p.exists()), folder)
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise StoreError(f"{name} {folder} cannot be written: {error.strerror or error}") from None


def write_atomically(path: Path, data: bytes, *, overwrite: bool = False) -> bool:
    """Write a whole file or nothing; returns False where there is a file already, which stays.

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
    """Give a whole file its name unless another process was first; says whether it did."""
    try:
        os.link(whole, path)  # unlike rename, it fails where there is a file
    except FileExistsError:
        return False
    except OSError:  # a file system without links: claim the name first, then move the file there
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
        """Raise StoreError where the folder cannot be written, before anything long starts."""
        check_writable(self.folder, "the results folder")

    def path(self, case: Case) -> Path:
        """Return the file of a case's result."""
        return self.folder / case.path

    def failed_path(self, case: Case) -> Path:
        """Return the file of a case's failure."""
        return self.folder / ".failed" / case.path

    def write(self, result: Result, per_point: dict[str, np.ndarray] | None = None) -> bool:
        """Store a result; False if one was there already, which then stays, with its arrays.

        Arrays are rounded, see `rounded`.

        Where the file is there but is no whole result of the case (cut in half, of another
        schema), it is kept under another name. A former failure of the case is removed.

        Raises:
            StoreError: the folder cannot be written.
        """
        import numpy as np

        path = self.path(result.case)
        data = _json(result).encode()
        arrays = path.with_suffix(".npz")
        waiting = arrays.with_name(f".{arrays.name}.{os.getpid()}-{threading.get_ident()}")
        try:
            if (
                per_point
            ):  # whole on disk before the result is, under its name only once the result is ours
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
                arrays.unlink(missing_ok=True)  # left over from a run that was killed
            self.failed_path(result.case).unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"cannot write {path}: {error.strerror or error}") from None
        finally:
            with contextlib.suppress(OSError):
                waiting.unlink()
        return written

    def _set_aside(self, path: Path, case: Case) -> None:
        """Rename a file that is not the case's result, unless that has just been put there."""
        aside = path.with_name(f"{path.stem}.old-{uuid.uuid4().hex[:8]}.json")
        with contextlib.suppress(FileNotFoundError):
            path.rename(aside)
        found = self._load(aside, [], case.path)
        if found is not None and found.key == case.key:
            _put(aside, path)
            aside.unlink(missing_ok=True)

    def write_failure(self, failure: Failure) -> None:
        """Store why a case has no number; the newest reason replaces an older one."""
        write_atomically(self.failed_path(failure.case), _json(failure).encode(), overwrite=True)

    def read(self, case: Case) -> Result | None:
        """Return the result of a case, or None if there is none that can be read."""
        result = self._load(self.path(case), [], case.path)
        return result if result is not None and result.key == case.key else None

    def read_failure(self, case: Case) -> Failure | None:
        """Return why a case has no number, if it was tried."""
        try:
            failure = Failure.model_validate_json(
                self.failed_path(case).read_text(encoding="utf-8")
            )
        except (OSError, ValueError):
            return None
        return failure if failure.key == case.key else None

    def per_point(self, result: Result) -> dict[str, np.ndarray]:
        """Return the per-point arrays of a result; empty if they are not on file."""
        import numpy as np

        path = self.path(result.case).with_suffix(".npz")
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                return {name: arrays[name] for name in arrays.files}
        except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error):
            return {}

    def results(self, spec_id: str | None = None) -> tuple[list[Result], list[str]]:
        """Return all results (of one spec), and a warning for each file that is not one."""
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
        """Return every file that results and failures of a spec, and their arrays, are read from.

        Others in the same folders are among them.
        """
        tops = (self.folder / spec_id, self.folder / ".failed" / spec_id)
        return sorted(path for top in tops for path in top.glob("*/*"))

    def failures(self, spec_id: str) -> list[Failure]:
        """Return why cases of a spec have no number; files that cannot be read are left out."""
        found = []
        for path in sorted((self.folder / ".failed").glob(f"{spec_id}/*/*.json")):
            with contextlib.suppress(OSError, ValueError):
                failure = Failure.model_validate_json(path.read_text(encoding="utf-8"))
                if failure.key == failure.case.key and path == self.failed_path(failure.case):
                    found.append(failure)
        return found

    def _load(self, path: Path, warnings: list[str], place: Path) -> Result | None:
        """Return the result in a file; None, with a warning, where none is that belongs there."""
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


COLUMNS = (
    "spec", "profile", "seed", "metric", "value", "se", "mc_se", "points", "samples", "kind",
    "train_seconds", "device", "commit",
)  # fmt: skip


def frame(results: Iterable[Result]) -> pd.DataFrame:
    """Return results as a table: one line per result and metric.

    Columns are the coordinates (one with the name of another column, as `seed`, is called
    `at_seed`) and `COLUMNS`.
    """
    import pandas as pd  # takes half a second

    rows = [
        {
            **{f"at_{key}" if key in COLUMNS else key: value for key, value in r.case.at.items()},
            "spec": r.case.spec,
            "profile": r.case.profile,
            "seed": r.case.seed,
            "metric": name,
            "value": m.value,
            "se": m.se,
            "mc_se": m.mc_se,
            "points": m.n,
            "samples": m.k,
            "kind": m.kind,
            "train_seconds": r.seconds.get("train"),
            "device": r.machine.get("device"),
            "commit": r.commit,
        }
        for r in results
        for name, m in r.metrics.items()
    ]
    table = pd.DataFrame(rows) if rows else pd.DataFrame(columns=list(COLUMNS))
    return table[["spec", *[c for c in table.columns if c != "spec"]]]
