"""The code of a commit in a folder of its own; the user's tree is only read."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

from hwbench.sources import read_source
from hwbench.spec import UserError

CODE = "hwbench"  # the folder of the package in a checkout


class CheckoutError(UserError):
    """A commit is unknown or without the package, or its code is not committed."""


def _git(folder: Path, *arguments: str) -> bytes:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, check=True, timeout=60
        )
    except FileNotFoundError:
        raise CheckoutError("an attestation needs git") from None
    except subprocess.CalledProcessError as error:
        lines = error.stderr.decode(errors="replace").strip().splitlines()
        raise CheckoutError(lines[-1] if lines else f"git {arguments[0]} failed") from None
    return done.stdout


def commit_named(folder: Path, name: str) -> str:
    """Return the short hash of the commit that `name` means in the repository around a folder.

    Raises:
        CheckoutError: no repository, or no such commit.
    """
    _git(folder, "rev-parse", "--show-toplevel")
    try:
        found = _git(folder, "rev-parse", "--verify", "--short=12", f"{name}^{{commit}}")
    except CheckoutError:
        raise CheckoutError(f"no commit {name!r} in this repository") from None
    return found.decode().strip()


def require_committed(folder: Path) -> None:
    """Refuse a working tree whose package differs from its last commit.

    Raises:
        CheckoutError: there are changes, or new files.
    """
    top = Path(_git(folder, "rev-parse", "--show-toplevel").decode().strip())
    changed = _git(top, "status", "--porcelain", "--", CODE).decode().splitlines()
    if changed:
        names = ", ".join(line[3:] for line in changed[:3]) + (" …" if len(changed) > 3 else "")
        raise CheckoutError(
            f"uncommitted code in {names}: commit it first, since an attestation names commits"
        )


def unpack(folder: Path, commit: str, to: Path) -> Path:
    """Write the package of a commit below `to`; returns `to`.

    Raises:
        CheckoutError: the commit has no package.
    """
    top = Path(_git(folder, "rev-parse", "--show-toplevel").decode().strip())
    try:
        packed = _git(top, "archive", "--format=tar", commit, CODE)
    except CheckoutError:
        raise CheckoutError(f"commit {commit} has no folder {CODE}/") from None
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(to, filter="data")
    return to


def same_code(old: Path, new: Path, pattern: str) -> bool:
    """Return whether files of two checkouts are equal, comments and docstrings aside.

    Args:
        old: root of a checkout.
        new: root of the other.
        pattern: pattern of paths below the package, such as 'datasets/*.py'.
    """

    def digests(root: Path) -> dict[str, str]:
        package = root / CODE
        return {
            path.relative_to(package).as_posix(): read_source(path, f"{CODE}.{path.stem}").digest
            for path in package.glob(pattern)
        }

    return digests(old) == digests(new)
