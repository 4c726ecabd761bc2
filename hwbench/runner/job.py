"""A case to run, how it ended, and its folder of checkpoints."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from hwbench.runner.machine import pick_device
from hwbench.sources import fingerprint
from hwbench.spec import Case

Report = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Job:
    """One case and where it runs; picklable."""

    case: Case
    results: Path
    cache: Path
    device: str = "auto"
    plugins: tuple[str, ...] = ()
    banner: str | None = None


@dataclass(frozen=True)
class Outcome:
    """How a job ended."""

    case: Case
    status: Literal["done", "on file", "failed", "missing", "interrupted"]
    message: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()


def run_folder(job: Job) -> Path:
    """Return the folder of a run's checkpoints; code that computes other numbers gets another."""
    name = f"{job.case.key[:16]}-{fingerprint(job.case)}-{pick_device(job.device).type}"
    return job.cache / "runs" / name


def clean(job: Job) -> None:
    """Remove a finished run's checkpoints; its weights stay."""
    for path in run_folder(job).glob("*"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name != "model.safetensors":
            path.unlink(missing_ok=True)
