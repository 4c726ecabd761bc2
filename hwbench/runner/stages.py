"""Trained stages that several cases share."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from hwbench import pipeline
from hwbench.runner.job import Job, Report
from hwbench.runner.machine import machine, pick_device
from hwbench.sources import fingerprint


def stage_file(job: Job, stages: int) -> Path:
    """Return where the state after so many stages stands for every case that trains them alike.

    Such cases have the same data, from the same files, and the same model, seed and stages up to
    there, by the same code on the same machine.
    """
    first = job.case.model_copy(update={"train": job.case.train[:stages], "evaluate": []})
    here = (
        machine(pick_device(job.device)),
        torch.backends.cpu.get_cpu_capability(),
        pipeline.dataset_of(job.case.data).files,
    )
    where = hashlib.sha256(repr(here).encode()).hexdigest()
    name = f"{first.key[:16]}-{fingerprint(first)}-{where[:8]}"
    return job.cache / "stages" / f"{name}.safetensors"


def borrow(job: Job, state: Path) -> None:
    """Begin with the stages that another case has trained, where this one has no state yet."""
    for stages in range(len(job.case.train), 0, -1):
        if state.exists():
            return
        _link(stage_file(job, stages), state)


def lend(job: Job, state: Path) -> None:
    """Keep the state for other cases where a stage has just ended, unless it is one whole fit."""
    from hwbench.learner import Checkpoint

    saved = Checkpoint(state).load()
    stages = 0 if saved is None or saved[0].step else saved[0].stage
    if stages and "rule" in job.case.train[stages - 1]:
        _link(state, stage_file(job, stages))


def _link(file: Path, to: Path) -> None:
    """Give a file a second name; both are only ever replaced whole. No run fails for want of it."""
    to.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(OSError):
        name = to.with_name(f".{to.name}.{os.getpid()}")
        name.unlink(missing_ok=True)
        name.hardlink_to(file)
        name.replace(to)


def lending(job: Job, state: Path, report: Report) -> Report:
    """Return a report that lends the state of each stage once the next has begun.

    A stage's first news come before it saves anything: the state is still that of the one before.
    """
    stage = 0

    def reported(news: dict[str, Any]) -> None:
        nonlocal stage
        if news.get("stage", stage) != stage:
            stage = news["stage"]
            lend(job, state)
        report(news)

    return reported


def stage_files(
    job: Job, report: Report, should_stop: Callable[[], bool]
) -> list[tuple[str, bool] | None]:
    """Return the name of what each stage leaves for other cases, and whether it is on file.

    None for a fit, which leaves nothing. Names hold for the process that trains, with its threads.
    """
    files = [
        stage_file(job, number) if "rule" in stage else None
        for number, stage in enumerate(job.case.train, 1)
    ]
    return [None if file is None else (file.name, file.exists()) for file in files]
