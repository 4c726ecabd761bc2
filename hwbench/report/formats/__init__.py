"""Formats: a shelf, where each file lays out for one medium what `section` prepared.

A file that defines `write(contents, folder)` is a format of the report: `--format` accepts its
name, and no list has it. The other files print (`terminal`, `gate`, `attest`).
Belongs here: layout and escaping for one medium. Does not: deciding, computing or wording.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import TYPE_CHECKING

from hwbench.store import write_atomically

if TYPE_CHECKING:
    from hwbench.report.contents import Contents

    Write = Callable[[Contents, Path], list[Path]]


def report_formats() -> dict[str, Write]:
    """Return the formats of the report by name: functions that write files and return their paths.

    Raises of each: StoreError, where the folder cannot be written.
    """
    shelf = {file.name: import_module(f"{__name__}.{file.name}") for file in iter_modules(__path__)}
    return {name: module.write for name, module in shelf.items() if "write" in vars(module)}


def put(path: Path, data: bytes) -> Path:
    """Write one file of a report, replacing an older one, and return its path.

    Raises:
        StoreError: the folder cannot be written.
    """
    write_atomically(path, data, overwrite=True)
    return path
