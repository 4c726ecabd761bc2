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
from hwbench.numerics import set_arithmetic
from hwbench.runner.job import Job, Report, data_mark
from hwbench.runner.machine import machine, pick_device
from hwbench.sources import fingerprint
from hwbench.spec import Case


def stage_file(job: Job, stages: int) -> Path:
    """Return the file of the state after some stages, the same for cases that train them alike.

    Such cases have the same data, from the same files, and the same model, seed and stages so far,
    and run the same code on the same machine.
    """
    set_arithmetic()  # as training does: `machine` tells how this thread computes
    surroundings = (
        machine(pick_device(job.device)),
        torch.backends.cpu.get_cpu_capability(),
        pipeline.dataset_of(job.case.data).files,
    )
    where = hashlib.sha256(repr(surroundings).encode()).hexdigest()
    return job.cache / "stages" / _stage_name(job.case, stages, where[:8])


def stages_anywhere(job: Job, stages: int) -> list[Path]:
    """Return the files of the state after some stages, whichever machine trained them."""
    return sorted((job.cache / "stages").glob(_stage_name(job.case, stages, "*")))


def _stage_name(case: Case, stages: int, where: str) -> str:
    first = case.model_copy(update={"train": case.train[:stages], "evaluate": []})
    return f"{first.key[:16]}-{fingerprint(first)}-{where}{data_mark(case)}.safetensors"


def reuse_stages(job: Job, state: Path) -> None:
    """Start from the stages that another case has trained, if this case has no state yet."""
    for stages in range(len(job.case.train), 0, -1):
        if state.exists():
            return
        _link(stage_file(job, stages), state)


def share_stage(job: Job, state: Path) -> None:
    """Keep the state for other cases if a stage with a rule has just ended."""
    from hwbench.learner import Checkpoint

    saved = Checkpoint(state).load()
    stages = 0 if saved is None or saved[0].step else saved[0].stage
    if stages and "rule" in job.case.train[stages - 1]:
        _link(state, stage_file(job, stages))


def _link(file: Path, other: Path) -> None:
    """Give a file a second name, if possible; files are only ever replaced whole."""
    with contextlib.suppress(OSError):
        other.parent.mkdir(parents=True, exist_ok=True)
    new = other.with_name(f".{other.name}.{os.getpid()}")
    with contextlib.suppress(OSError):
        new.unlink(missing_ok=True)
        new.hardlink_to(file)
        new.replace(other)
    with contextlib.suppress(OSError):
        new.unlink(missing_ok=True)  # where both were one file, the rename did nothing


def sharing_report(job: Job, state: Path, report: Report) -> Report:
    """Return a report function that also shares the state of each stage once the next one starts.

    A stage reports for the first time before it saves anything, when the state is still the end of
    the previous stage.
    """
    stage = 0

    def reported(news: dict[str, Any]) -> None:
        nonlocal stage
        if news.get("stage", stage) != stage:
            stage = news["stage"]
            share_stage(job, state)
        report(news)

    return reported


def stage_files(
    job: Job, report: Report, should_stop: Callable[[], bool]
) -> list[tuple[str, bool] | None]:
    """Return for each stage the name of the file that other cases can reuse, and if it exists.

    A fit has None, because it is not shared. Names depend on the number of threads, so the process
    that trains has to ask.
    """
    files = [
        stage_file(job, number) if "rule" in stage else None
        for number, stage in enumerate(job.case.train, 1)
    ]
    return [None if file is None else (file.name, file.exists()) for file in files]
