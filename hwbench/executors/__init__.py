"""Where cases run: a function mapped over items.

Belongs here: each file `<name>.py` of this shelf holds one class whose name ends in `Executor`,
built as `(jobs, threads)`; `--executor <name>` selects it. Does not: what an item is (`runner`).
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from hwbench.spec import SpecError, did_you_mean


def make(name: str, jobs: int, threads: int) -> Any:
    """Return the named executor, with `jobs` workers of `threads` torch threads each.

    Raises:
        SpecError: no file of the shelf has that name, or it needs a package that is not installed.
    """
    known = sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py"))
    if name not in known:
        raise SpecError(f"no executor {name!r}{did_you_mean(name, known)}")
    module = importlib.import_module(f"hwbench.executors.{name}")
    (executor,) = (
        value
        for key, value in vars(module).items()
        if key.endswith("Executor") and value.__module__ == module.__name__
    )
    return executor(jobs, threads)
