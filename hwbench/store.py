"""Stored results: one JSON file per case with its per-point arrays beside it, never overwritten.

A case that was run again has a file for each run, and the newest counts.

What the files hold is `record`'s; here they are written, found, set aside and read.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import tempfile
import time
import uuid
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from hwbench.record import COARSEST as COARSEST
from hwbench.record import DIGITS as DIGITS
from hwbench.record import SCHEMA as SCHEMA
from hwbench.record import Failure as Failure
from hwbench.record import Result as Result
from hwbench.record import StoredCurve as StoredCurve
from hwbench.record import StoredMetric as StoredMetric
from hwbench.record import parse, rounded, schema_version, to_json
from hwbench.record import short as short
from hwbench.spec import Case, UserError

if TYPE_CHECKING:
    import numpy as np


LEFT = 60.0  # seconds after which an unnamed file is no longer being written


class StoreError(UserError):
    """The results folder cannot be written, or it is to be read and does not exist."""


def check_writable(folder: Path, name: str) -> None:
    """Raise StoreError if a folder cannot be created or written; `name` says which folder it is."""
    try:
        nearest = next((p for p in (folder, *folder.absolute().parents) if p.exists()), folder)
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise StoreError(f"{name} {folder} cannot be written: {error.strerror or error}") from None


def reading(folder: str | Path | None) -> Path:
    """Return the folder to read results from, `results` by default.

    Raises:
        StoreError: a folder is named that does not exist.
    """
    if folder is None:
        return Path("results")
    if not Path(folder).is_dir():
        raise StoreError(f"{folder}: no such folder of results")
    return Path(folder)


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
        with contextlib.suppress(OSError):
            Path(name).unlink()


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let one process or thread at a time in here, where the system can lock a folder."""
    try:
        import fcntl

        handle = os.open(folder, os.O_RDONLY)
    except (ImportError, OSError):
        yield
        return
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


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
        """Return the file of a case's first result."""
        return self.folder / case.path

    def failed_path(self, case: Case) -> Path:
        """Return the file of a case's failure."""
        return self.folder / ".failed" / case.path

    def write(self, result: Result, per_point: dict[str, np.ndarray] | None = None) -> bool:
        """Store a result; return False, and keep the old one, if there is one of the same name.

        Arrays are rounded, see `rounded`. A file that exists but is not a complete result of the
        case (truncated, another schema) is kept under another name. An earlier failure of the
        case is removed.

        Raises:
            StoreError: the folder cannot be written.
        """
        path = self.folder / result.path
        packed = b"" if not per_point else _packed(per_point)
        result.arrays = hashlib.sha256(packed).hexdigest() if packed else ""
        data = to_json(result).encode()
        arrays = path.with_suffix(".npz")
        waiting = arrays.with_name(f".{arrays.name}.{uuid.uuid4().hex[:12]}")
        written = False
        try:
            if packed:  # on disk before the result, and named only once the result is ours
                write_atomically(waiting, packed, overwrite=True)
            written = write_atomically(path, data)
            if not written and self._whole(result.path, result.key) is None:
                with _alone(path.parent):  # another writer may have done so meanwhile
                    if self._whole(result.path, result.key) is None:
                        self._set_aside(result)
                        written = write_atomically(path, data)
            if written and packed:
                with contextlib.suppress(FileNotFoundError):  # a reader has just adopted it
                    waiting.replace(arrays)
            elif written:
                arrays.unlink(missing_ok=True)  # left by a run that was killed
            self.failed_path(result.case).unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"cannot write {path}: {error.strerror or error}") from None
        finally:
            if not written:  # else they may still be adopted, see `per_point`
                with contextlib.suppress(OSError):
                    waiting.unlink()
        self._tidy(result)
        return written

    def _whole(self, place: Path, key: str) -> Result | None:
        """Return the result in a file below the folder; None unless it has this key."""
        found = self._load(self.folder / place, [], place)
        return found if found is not None and found.key == key else None

    def _tidy(self, result: Result) -> None:
        """Remove what killed runs left beside a result, once its arrays have their name."""
        with contextlib.suppress(OSError):
            left = _hidden(self.folder / result.path)
            found = self._whole(result.path, result.key) if left else None
            if found is None or (found.arrays and not self.per_point(found)):
                return
            for path in left:
                if time.time() - path.stat().st_mtime > LEFT:
                    path.unlink(missing_ok=True)

    def _set_aside(self, result: Result) -> None:
        """Rename a file that is not the case's result, and its arrays; unless it just became one.

        The arrays get a second name first, so that a kill in between parts them from nothing.
        """
        path = self.folder / result.path
        aside = path.with_name(f"{path.stem}.old-{uuid.uuid4().hex[:8]}.json")
        arrays = path.with_suffix(".npz")
        with contextlib.suppress(FileNotFoundError):
            try:
                os.link(arrays, aside.with_suffix(".npz"))
            except FileNotFoundError:
                pass
            except OSError:  # a file system without hard links
                arrays.rename(aside.with_suffix(".npz"))
            path.rename(aside)
        found = self._load(aside, [], result.path)
        if found is not None and found.key == result.key:
            _put(aside, path)
            aside.unlink(missing_ok=True)
            aside.with_suffix(".npz").unlink(missing_ok=True)

    def write_failure(self, failure: Failure) -> None:
        """Store why a case has no result, in place of an older reason."""
        write_atomically(self.failed_path(failure.case), to_json(failure).encode(), overwrite=True)

    def read(self, case: Case) -> Result | None:
        """Return the newest result of a case; None if there is no readable one."""
        first = self.path(case)
        names = (p.name for p in first.parent.glob(f"{first.stem}*.json"))
        reruns = [case.path.with_name(n) for n in names if n.startswith(f"{first.stem}-")]
        found = [self._whole(place, case.key) for place in (case.path, *reruns)]
        return max((r for r in found if r is not None), key=lambda r: r.age, default=None)

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
        """Return the per-point arrays of a result; empty if there are none that belong to it.

        Arrays that a run had written but not named when it was killed are adopted.
        """
        import numpy as np

        path = (self.folder / result.path).with_suffix(".npz")
        try:
            packed = path.read_bytes() if path.exists() else b""
            if result.arrays and hashlib.sha256(packed).hexdigest() != result.arrays:
                packed = _adopted(path, result.arrays)
            with np.load(io.BytesIO(packed), allow_pickle=False) as arrays:
                return {name: arrays[name] for name in arrays.files}
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error):
            return {}

    def results(
        self, spec_id: str | None = None, variants: bool = False
    ) -> tuple[list[Result], list[str]]:
        """Return the newest result of each case (of one spec), and warnings.

        There is a warning for each file that is not a result. With `variants`, the results are
        those of runs with overrides, which are never among the others.
        """
        warnings: list[str] = []
        pattern = f"{spec_id or '*/*'}/*/{'variants/' if variants else ''}*.json"
        paths = sorted(
            p
            for p in self.folder.glob(pattern)
            if not any(part.startswith(".") for part in p.parts[-4 - variants :])
        )
        places = [(p, p.relative_to(self.folder)) for p in paths]
        newest: dict[Path, Result] = {}
        for path, place in places:
            result = self._load(path, warnings, place)
            if result is not None:
                known = newest.setdefault(result.case.path, result)
                newest[result.case.path] = max(known, result, key=lambda r: r.age)
        return list(newest.values()), warnings

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
            result = parse(text)
            if result is None:
                version = schema_version(text)
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
            if result.path != place:
                reason = f"it belongs at {result.path}"
            else:
                return result
        warnings.append(f"{path}: skipped: not a whole result file ({reason})")
        return None


def _packed(per_point: dict[str, np.ndarray]) -> bytes:
    """Return rounded arrays as the content of an .npz file, the same bytes for the same arrays."""
    import numpy as np

    buffer = io.BytesIO()
    arrays = {name: rounded(values) for name, values in per_point.items()}
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def _hidden(path: Path) -> list[Path]:
    """Return the unnamed files beside a result that belong to it or to its arrays."""
    names = (f".{path.name}.", f".{path.with_suffix('.npz').name}.")
    return [p for p in path.parent.iterdir() if p.name.startswith(names)]


def _adopted(path: Path, digest: str) -> bytes:
    """Return the arrays with this sha256 that were never named, and name them now; else b""."""
    for left in _hidden(path.with_suffix(".json")):
        content = left.read_bytes()
        if hashlib.sha256(content).hexdigest() == digest:
            with contextlib.suppress(OSError):
                left.replace(path)
            return content
    return b""
