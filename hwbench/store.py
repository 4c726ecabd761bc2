"""results/ as one JSON file per case, with per-point arrays beside it: append, never overwrite."""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hwbench.spec import Case

SCHEMA = 1


class StoreError(RuntimeError):
    """The results folder cannot be written."""


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="constants")


class StoredMetric(_Record):
    """See `protocols.Metric`."""

    value: float
    se: float | None = None
    mc_se: float | None = None
    n: int = 0
    k: int = 0
    kind: Literal["exact", "estimate", "lower bound", "upper bound", "score"] = "estimate"


class StoredCurve(_Record):
    """See `protocols.Curve`."""

    x: list[float]
    y: list[float]
    se: list[float] = []


class Result(_Record):
    """The outcome of one case with all that is needed to redo it without the YAML.

    Attributes:
        key: the case's hash.
        fingerprint: hash of the sources that decide its numbers.
        seconds: wall time by part (`train`, `evaluate`).
        machine: device, threads, dtype policy, versions.
        commit: git commit of the code, with `-dirty` if the tree had changes, or None.
        plugins: modules from outside that the run used.
    """

    schema_version: Literal[1] = SCHEMA
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
    banner: str | None = None
    steps: Annotated[int, Field(ge=0)] = 0
    resumed: int = 0


class Failure(_Record):
    """A case that did not come to a number: the reason in one line, and the traceback."""

    schema_version: Literal[1] = SCHEMA
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


def write_atomically(path: Path, data: bytes, *, overwrite: bool = False) -> bool:
    """Write a whole file or nothing; returns False where the file was there already and stays as it is.

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
        try:
            os.link(name, path)  # unlike rename, fails where another process was first
        except FileExistsError:
            return False
        return True
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}") from None
    finally:
        with contextlib.suppress(FileNotFoundError):
            Path(name).unlink()


@dataclass(frozen=True)
class Store:
    """The results below a folder."""

    folder: Path

    def check_writable(self) -> None:
        """Raise StoreError at once where the folder cannot be written, before anything long starts."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.folder):
                pass
        except OSError as error:
            raise StoreError(f"the results folder {self.folder} cannot be written: {error.strerror or error}") from None

    def path(self, case: Case) -> Path:
        """Return the file of a case's result."""
        return self.folder / case.path

    def failed_path(self, case: Case) -> Path:
        """Return the file of a case's failure."""
        return self.folder / ".failed" / case.path

    def write(self, result: Result, per_point: dict[str, np.ndarray] | None = None) -> bool:
        """Store a result, arrays first; False if one was there already. A former failure of the case is removed."""
        path = self.path(result.case)
        if per_point:
            buffer = io.BytesIO()
            np.savez_compressed(buffer, allow_pickle=False, **per_point)  # type: ignore[arg-type]
            write_atomically(path.with_suffix(".npz"), buffer.getvalue())
        text = json.dumps(_no_nan(result.model_dump(mode="json")), indent=1, ensure_ascii=False, allow_nan=False)
        written = write_atomically(path, (text + "\n").encode())
        self.failed_path(result.case).unlink(missing_ok=True)
        return written

    def write_failure(self, failure: Failure) -> None:
        """Store why a case has no number; the newest reason replaces an older one."""
        text = json.dumps(failure.model_dump(mode="json"), indent=1, ensure_ascii=False)
        write_atomically(self.failed_path(failure.case), (text + "\n").encode(), overwrite=True)

    def read(self, case: Case) -> Result | None:
        """Return the result of a case, or None if there is none that can be read."""
        path = self.path(case)
        result = self._load(path, [])
        return result if result is not None and result.key == case.key else None

    def read_failure(self, case: Case) -> Failure | None:
        """Return why a case has no number, if it was tried."""
        try:
            failure = Failure.model_validate_json(self.failed_path(case).read_text(encoding="utf-8"))
        except (OSError, ValidationError, UnicodeDecodeError):
            return None
        return failure if failure.key == case.key else None

    def per_point(self, result: Result) -> dict[str, np.ndarray]:
        """Return the per-point arrays of a result; empty if they are not on file."""
        path = self.path(result.case).with_suffix(".npz")
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return {name: arrays[name] for name in arrays.files}
        except (OSError, ValueError):
            return {}

    def results(self, spec_id: str | None = None) -> tuple[list[Result], list[str]]:
        """Return all results (of one spec) and a warning for each file that is not one; nothing is deleted."""
        warnings: list[str] = []
        pattern = f"{spec_id}/*/*.json" if spec_id else "*/*/*/*.json"
        paths = sorted(p for p in self.folder.glob(pattern) if not any(part.startswith(".") for part in p.parts[-4:]))
        found = [result for p in paths if (result := self._load(p, warnings)) is not None]
        return found, warnings

    def _load(self, path: Path, warnings: list[str]) -> Result | None:
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
            version = raw.get("schema_version") if isinstance(raw, dict) else None
            if version != SCHEMA:
                warnings.append(f"{path}: skipped: schema version {version}, this hwbench reads {SCHEMA}")
                return None
            return Result.model_validate_json(json.dumps(raw))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            warnings.append(f"{path}: skipped: not a whole result file ({reason})")
            return None


def frame(results: Iterable[Result]) -> pd.DataFrame:
    """Return results as a table: one line per result and metric, coordinates as columns."""
    rows = [
        {
            "spec": r.case.spec,
            **r.case.at,
            "profile": r.case.profile,
            "seed": r.case.seed,
            "metric": name,
            "value": m.value,
            "se": m.se,
            "mc_se": m.mc_se,
            "n": m.n,
            "k": m.k,
            "kind": m.kind,
            "train_seconds": r.seconds.get("train"),
            "device": r.machine.get("device"),
            "commit": r.commit,
        }
        for r in results
        for name, m in r.metrics.items()
    ]
    return pd.DataFrame(rows)
