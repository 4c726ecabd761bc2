"""How long cases will take, timed on the spot."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from hwbench import pipeline, products
from hwbench.build import allow_plugins, make
from hwbench.pipeline import wants_bfloat16
from hwbench.protocols import Evaluator, HeldOut, Hooks, Interrupted, Model
from hwbench.runner import onednn
from hwbench.runner.job import Job, Report
from hwbench.runner.machine import pick_device, quiet_lightning
from hwbench.runner.stages import stage_files
from hwbench.spec import Case

if TYPE_CHECKING:
    from hwbench.learner import Learner

TIMED = 1.0  # seconds of an evaluation to time before extrapolating
PACED = 0.1  # seconds of steps to time in each quarter of a stage, at least one step
BUSY = 1.25  # elapsed seconds for each second of the processor, from which a machine is busy


@dataclass(frozen=True)
class Cost:
    """Seconds of one case on one worker that has a core to itself.

    Attributes:
        stages: seconds of each training stage, None for a fit.
        evaluate: seconds of the evaluation.
        wait: elapsed seconds for each second of the processor while it was timed; 1 where idle.
        steps: steps of each training stage at most, 0 of a fit; empty if unknown.
        shares: share of these steps after which each stage is expected to stop; empty if unknown.
    """

    stages: tuple[float | None, ...]
    evaluate: float
    wait: float = 1.0
    steps: tuple[int, ...] = ()
    shares: tuple[float, ...] = ()

    @property
    def train(self) -> float:
        """Return the seconds of all stages except fits."""
        return sum(seconds for seconds in self.stages if seconds is not None)

    @property
    def total(self) -> float:
        """Return the seconds of the whole case except fits."""
        return self.train + self.evaluate

    def share(self, stage: int) -> float:
        """Return the share of a stage's steps after which it is expected to stop."""
        return self.shares[stage] if self.shares else 1.0


def clock_of(device: torch.device) -> Callable[[], float]:
    """Return a clock for work on a device.

    On one thread of a CPU it is the processor's time, which other processes do not slow down.
    """
    alone = device.type == "cpu" and torch.get_num_threads() == 1
    return time.process_time if alone else time.monotonic


@onednn.products()
def probe(job: Job, report: Report, should_stop: Callable[[], bool]) -> Cost | None:
    """Time a few steps of a case, and the first second of a validation and of its evaluation.

    Returns None if its training consists of fits, which cannot be timed, or if it was stopped. An
    error here would also occur in the run.
    """
    quiet_lightning()
    try:
        from hwbench.learner import Checkpoint, Progress

        elapsed, worked = time.monotonic(), time.process_time()
        built = pipeline.construct(job.case, pick_device(job.device))
        stages: list[float | None] = [None] * len(job.case.train)
        steps = [0] * len(job.case.train)
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
            stages[index], steps[index] = seconds, learner.steps
        if stages and not any("rule" in stage for stage in job.case.train):
            return None
        evaluate = _evaluation_cost(job.case, built, should_stop)
        worked = max(time.process_time() - worked, 1e-3)
        alone = clock_of(built.device) is time.process_time
        wait = (time.monotonic() - elapsed) / worked if alone else 1.0
        return Cost(tuple(stages), evaluate, max(1.0, wait), tuple(steps))
    except Interrupted:
        return None


def _pace(learner: Learner, x: Tensor) -> float:
    """Return the seconds of a step on x [1, B, D], averaged over a stage: steps may slow down."""
    clock = clock_of(x.device)
    learner.run_steps(x)
    pace = 0.0
    for quarter in range(4):
        learner.rule.advance((quarter + 0.5) / 4)
        start, steps, spent = clock(), 0, 0.0
        while not steps or spent < PACED:
            learner.run_steps(x)
            steps, spent = steps + 1, clock() - start
        pace += spent / steps / 4
    return pace


def answer(
    question: tuple[Literal["probe", "stage_files"], Job],
    report: Report,
    should_stop: Callable[[], bool],
) -> Cost | list[tuple[str, bool] | None] | None:
    """Return what `probe` or `stage_files` returns: workers answer both and start only once."""
    kind, job = question
    allow_plugins(job.plugins)
    return {"probe": probe, "stage_files": stage_files}[kind](job, report, should_stop)


def net_costs(
    costs: Sequence[Cost | None],
    files: Sequence[Sequence[tuple[str, bool] | None]],
    at_once: int,
) -> list[Cost | None]:
    """Return the costs of jobs without the stages that are on file or that earlier jobs train.

    Args:
        costs: cost of each job alone, in the order of the run; None if unknown.
        files: what `stage_files` returns for each job.
        at_once: number of workers; jobs that start together do not wait for each other.
    """
    net: list[Cost | None] = []
    trained: set[str] = set()
    for number, (cost, own) in enumerate(zip(costs, files, strict=True)):
        if number >= at_once:
            trained.update(file[0] for file in files[number - at_once] if file is not None)
        reused = [n for n, f in enumerate(own, 1) if f is not None and (f[1] or f[0] in trained)]
        first = max(reused, default=0)
        if cost is not None:
            cost = replace(cost, stages=(0.0,) * first + cost.stages[first:])
        net.append(cost)
    return net


def early(case: Case) -> list[int]:
    """Return the stages of a case that may stop before their last step."""
    return [index for index, stage in enumerate(case.train) if stage.get("stop")]


def until_stop(cost: Cost, case: Case, ran: Sequence[int]) -> Cost:
    """Return the cost of a case whose training stops as early as other seeds' training did.

    Unchanged where several stages may stop early, because their steps are not stored apart.

    Args:
        cost: cost of all steps.
        case: the case.
        ran: steps of the whole training of other seeds.
    """
    stopping = early(case)
    if len(stopping) != 1 or not ran or not cost.steps:
        return cost
    (index,) = stopping
    most, seconds = cost.steps[index], cost.stages[index]
    steps = math.fsum(ran) / len(ran) - (sum(cost.steps) - most)
    share = min(1.0, max(1.0, steps) / most)
    stages, shares = list(cost.stages), [1.0] * len(cost.stages)
    stages[index], shares[index] = None if seconds is None else share * seconds, share
    return replace(cost, stages=tuple(stages), shares=tuple(shares))


class _Timed(Exception):
    """Ends an evaluation that has run long enough; the argument is the seconds that it takes."""


def _evaluation_cost(case: Case, built: pipeline.Built, should_stop: Callable[[], bool]) -> float:
    """Return the seconds that the evaluation of a case takes, extrapolated from its start."""
    evaluators = (make("evaluate", block, classes=built.dataset.classes) for block in case.evaluate)
    return math.fsum(
        _seconds(evaluator, built.model, built.splits.test, should_stop) for evaluator in evaluators
    )


def _seconds(
    evaluator: Evaluator[Any], model: Model, points: HeldOut, should_stop: Callable[[], bool]
) -> float:
    """Return the seconds that an evaluation takes, extrapolated from its start."""
    clock = clock_of(points.values.device)
    start = clock()
    first: tuple[float, float] | None = None  # what precedes it (preparation) says nothing of pace

    def progress(fraction: float) -> None:
        nonlocal first
        if should_stop():
            raise Interrupted
        now = clock()
        first = first or (now, fraction)
        seconds, share = now - first[0], fraction - first[1]
        if share > 0 and seconds > TIMED:
            raise _Timed(now - start + seconds * (1 - fraction) / share)

    training = model.training
    model.eval()
    try:
        evaluator(model, points, seed=0, progress=progress)
        return clock() - start
    except _Timed as timed:
        return float(timed.args[0])
    finally:
        model.train(training)
