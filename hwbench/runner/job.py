"""A case to run, its outcome, and its folder of checkpoints."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from hwbench import pipeline
from hwbench.cache import digest
from hwbench.datasets import files
from hwbench.runner.machine import pick_device
from hwbench.sources import fingerprint
from hwbench.spec import Case

Report = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Job:
    """One case and where it runs; can be pickled.

    Attributes:
        case: what to run.
        results: folder of results.
        cache: folder of checkpoints, shared stages and locks.
        device: auto, cpu, cuda, …
        plugins: packages that the case may name classes of.
        banner: warning that the result carries.
        logger: name of a logger (see `loggers`); '' for none.
        replaces: file name of the result that a rerun replaces; empty for a first run.
        waits: whether to wait while another process runs the case, instead of ending as `busy`.
    """

    case: Case
    results: Path
    cache: Path
    device: str = "auto"
    plugins: tuple[str, ...] = ()
    banner: str | None = None
    replaces: str = ""
    logger: str = ""
    waits: bool = True


@dataclass(frozen=True)
class Outcome:
    """How a job ended.

    Attributes:
        case: what ran.
        status: `on file` if another process has stored the result meanwhile, `busy` if it still
            runs the case.
        message: why the case failed or is missing.
        metrics: values by name.
        seconds: duration of this run.
        warnings: warnings of the evaluators.
    """

    case: Case
    status: Literal["done", "on file", "failed", "missing", "interrupted", "busy"]
    message: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()


def run_folder(job: Job) -> Path:
    """Return the folder of a run's checkpoints, which depends on the code that decides numbers."""
    name = f"{job.case.key[:16]}-{fingerprint(job.case)}-{pick_device(job.device).type}"
    return job.cache / "runs" / f"{name}{data_mark(job.case)}"


def data_mark(case: Case) -> str:
    """Return '-' and a digest of the replaceable data files, or '' if there are none."""
    names = files.replaceable(pipeline.dataset_of(case.data).files)
    found = files.checksums(names)
    return f"-{digest(*found, *found.values())[:8]}" if found else ""


def clean(job: Job) -> None:
    """Remove a finished run's checkpoints and keep its weights."""
    for path in run_folder(job).glob("*"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name != "model.safetensors":
            path.unlink(missing_ok=True)
