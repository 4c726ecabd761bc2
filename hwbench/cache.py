"""The user's cache folder, and values kept there under a digest of everything that they depend on.

Such a value cannot be stale: its inputs are read and hashed again before it is used. If the folder
is damaged or cannot be written, the value is computed again; that is never an error.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hwbench.spec.problems import UserError


def cache_folder() -> Path:
    """Return where checkpoints, weights and locks go: $HWBENCH_CACHE or the user's cache folder.

    Raises:
        UserError: the user has no home folder, and no variable names a folder.
    """
    named = os.environ.get("HWBENCH_CACHE")
    try:
        if named:
            return Path(named).expanduser().absolute()
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError:
        raise UserError(
            "there is no home folder for a cache: set HWBENCH_CACHE to a folder"
        ) from None
    return Path(base) / "hwbench"


def digest(*texts: str) -> str:
    """Return the sha256 of texts, which differs for ("ab", "c") and ("a", "bc")."""
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()


def digest_of_files(paths: Iterable[Path]) -> str:
    """Return the sha256 of the paths and contents of files; one that cannot be read counts too."""
    total = hashlib.sha256()
    for path in paths:
        content, error = b"", None
        try:
            content = path.read_bytes()
        except OSError as failed:
            error = failed.errno
        total.update(f"{str(path)!r} {error} {len(content)}\n".encode())
        total.update(content)
    return total.hexdigest()


@functools.cache
def digest_of_code() -> str:
    """Return the digest of hwbench's files, of Python and of the versions of other packages."""
    own = sorted(p for p in Path(__file__).parent.rglob("*") if p.suffix not in ("", ".pyc"))
    folders = [Path(p) for p in sys.path if Path(p).is_dir()]
    installed = sorted(p.name for folder in folders for p in folder.glob("*.dist-info"))
    return digest(digest_of_files(own), sys.version, *installed)


def recall(name: str, key: str) -> Any:
    """Return the value that was kept under a name and a key; None if there is none."""
    try:
        seal, _, text = _file(name).read_text(encoding="utf-8").partition("\n")
        return json.loads(text) if seal == digest(key, text) else None
    except (OSError, ValueError, RecursionError, UserError):  # UserError: no home folder
        return None


def remember(name: str, key: str, value: Any) -> None:
    """Keep a value of plain JSON, replacing the one with that name; do nothing if that fails."""
    from hwbench.store import write_atomically

    text = json.dumps(value)
    try:
        write_atomically(_file(name), f"{digest(key, text)}\n{text}".encode(), overwrite=True)
    except UserError:  # it cannot be written, or there is no home folder
        return


def _file(name: str) -> Path:
    return cache_folder() / "views" / f"{digest(name)[:24]}.json"
