"""How long cases will take, timed on the spot."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from hwbench import pipeline, products
from hwbench.build import allow_plugins, make
from hwbench.protocols import Evaluator, HeldOut, Hooks, Interrupted, Model
from hwbench.runner.job import Job, Report
from hwbench.runner.machine import pick_device, quiet_lightning
from hwbench.runner.result import wants_bfloat16
from hwbench.runner.stages import stage_files
from hwbench.spec import Case

if TYPE_CHECKING:
    from hwbench.learner import Learner

TIMED = 1.0  # seconds of an evaluation that an estimate of its duration rests on


@dataclass(frozen=True)
class Cost:
    """Seconds of one case on one worker: of each stage, None for a fit, and of the evaluation."""

    stages: tuple[float | None, ...]
    evaluate: float

    @property
    def train(self) -> float:
        """Return the seconds of all stages that are no fits."""
        return sum(seconds for seconds in self.stages if seconds is not None)

    @property
    def total(self) -> float:
        """Return the seconds of the whole, but for fits."""
        return self.train + self.evaluate


def probe(job: Job, report: Report, should_stop: Callable[[], bool]) -> Cost | None:
    """Time a few steps of a case, and the first second of a validation and of its evaluation.

    None where its training cannot be timed (a fit), or was not. What it raises, the run would.
    """
    quiet_lightning()
    try:
        from hwbench.learner import Checkpoint, Progress

        allow_plugins(job.plugins)
        built = pipeline.construct(job.case, pick_device(job.device))
        stages: list[float | None] = [None] * len(job.case.train)
        for index, raw in enumerate(job.case.train):
            if should_stop():
                return None
            if "fit" in raw:
                continue
            learner = pipeline.learner_of(
                job.case, built, index, Progress(stage=index), Checkpoint(None), Hooks()
            )
            batch = torch.arange(learner.batch_size, device=built.device)
            x = built.splits.train.batch(batch)[None]
            with products.fast(built.device, wants_bfloat16(job.case)):
                seconds = _pace(learner, x) * learner.steps
            if learner.validate_ is not None and learner.validation is not None:
                every = learner.steps_per_epoch * learner.stage.validate_every
                one = _seconds(learner.validate_, built.model, learner.validation, should_stop)
                seconds += -(-learner.steps // every) * one
            stages[index] = seconds
        if stages and not any("rule" in stage for stage in job.case.train):
            return None
        return Cost(tuple(stages), _evaluation_cost(job.case, built, should_stop))
    except Interrupted:
        return None


def _pace(learner: Learner, x: Tensor) -> float:
    """Return the seconds of a step on x [1, B, D]: a mean over its stage, since steps may grow."""
    learner.run_steps(x)
    clock = time.monotonic()
    for quarter in range(4):
        learner.rule.advance((quarter + 0.5) / 4)
        learner.run_steps(x)
    return (time.monotonic() - clock) / 4


def foresee(
    asked: tuple[Literal["probe", "stage_files"], Job],
    report: Report,
    should_stop: Callable[[], bool],
) -> Cost | list[tuple[str, bool] | None] | None:
    """Return what `probe` or `stage_files` returns: one worker answers both, and starts once."""
    question, job = asked
    answer = {"probe": probe, "stage_files": stage_files}[question]
    return answer(job, report, should_stop)


def net_costs(
    costs: Sequence[Cost | None],
    left: Sequence[Sequence[tuple[str, bool] | None]],
    at_once: int,
) -> list[Cost | None]:
    """Return the costs of jobs without stages that are on file or that a job before has trained.

    Args:
        costs: of each job by itself, in the order of the run; None where it is not known.
        left: for each job what `stage_files` returns.
        at_once: number of workers: jobs that begin together do not wait for each other.
    """
    net: list[Cost | None] = []
    trained: set[str] = set()
    for number, (cost, mine) in enumerate(zip(costs, left, strict=True)):
        if number >= at_once:
            trained.update(file[0] for file in left[number - at_once] if file is not None)
        have = [n for n, f in enumerate(mine, 1) if f is not None and (f[1] or f[0] in trained)]
        first = max(have, default=0)
        if cost is not None:
            cost = Cost((0.0,) * first + cost.stages[first:], cost.evaluate)
        net.append(cost)
    return net


class _Timed(Exception):
    """Enough of an evaluation was seen; the argument is the seconds that the whole takes."""


def _evaluation_cost(case: Case, built: pipeline.Built, should_stop: Callable[[], bool]) -> float:
    """Return the seconds that the evaluation of a case takes, by its beginning."""
    evaluators = (make("evaluate", block, classes=built.dataset.classes) for block in case.evaluate)
    return math.fsum(
        _seconds(evaluator, built.model, built.splits.test, should_stop) for evaluator in evaluators
    )


def _seconds(
    evaluator: Evaluator[Any], model: Model, points: HeldOut, should_stop: Callable[[], bool]
) -> float:
    """Return the seconds that an evaluation takes, by its beginning."""
    clock = time.monotonic()
    seen: list[tuple[float, float]] = []  # the pace is that from the first of these on

    def progress(fraction: float) -> None:
        if should_stop():
            raise Interrupted
        seen.append((time.monotonic(), fraction))
        (begun, at), (now, there) = seen[0], seen[-1]
        if there > at and now - begun > TIMED:
            raise _Timed(now - clock + (now - begun) * (1 - there) / (there - at))

    training = model.training
    model.eval()
    try:
        evaluator(model, points, seed=0, progress=progress)
        return time.monotonic() - clock
    except _Timed as timed:
        return float(timed.args[0])
    finally:
        model.train(training)
