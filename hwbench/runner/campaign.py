"""Estimate and run a plan, and report what happens to an observer. Nothing here prints."""

from __future__ import annotations

import json
import math
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Literal

from hwbench import executors
from hwbench.cache import cache_folder
from hwbench.numbers import counted, rough_duration
from hwbench.runner.cost import Cost, early, net_costs, until_stop
from hwbench.runner.job import Job, Outcome
from hwbench.runner.plan import Plan, Settings, Todo, is_here, todo
from hwbench.runner.work import run_all
from hwbench.spec import Case, SpecError, label
from hwbench.store import Store

LONG = 60.0  # seconds; a profile below full has to shorten training that takes longer
SHORTER = {"smoke": 50, "quick": 2500}  # steps that the error message proposes


@dataclass(frozen=True)
class Campaign:
    """The cases of a plan, sorted by what the campaign does with them.

    Attributes:
        plan: the plan.
        jobs: the cases to run.
        reused: how many cases already have a result.
        todo: the cases of the plan by what the run does with them.
        at_once: how many jobs run at a time.
    """

    plan: Plan
    jobs: list[Job]
    reused: int
    todo: Todo
    at_once: int


@dataclass(frozen=True)
class Ended:
    """How a campaign ended; `stopped` means that the same call resumes it."""

    todo: Todo
    outcomes: list[Outcome] = field(default_factory=list)
    stopped: bool = False


class Observer:
    """Receives what happens during a campaign, in this order; does nothing by default."""

    def planned(self, campaign: Campaign) -> None:
        """Called with the plan, before anything runs."""

    def timing(self, done: int, total: int) -> None:
        """Called with the progress of the estimate."""

    def trial_failed(self, case: Case, reason: str) -> None:
        """Called with a case whose trial failed; its run will probably fail in the same way."""

    def estimated(self, campaign: Campaign, costs: Sequence[Cost | None]) -> None:
        """Called with the estimated cost of each job, None where it could not be timed."""

    def running(
        self, jobs: Sequence[Job], costs: Sequence[Cost | None]
    ) -> AbstractContextManager[Any]:
        """Return a context in which the jobs run."""
        return nullcontext()

    def news(self, index: int, news: dict[str, Any]) -> None:
        """Called with what the job of this index reports."""

    def done(self, outcome: Outcome) -> None:
        """Called when a job has ended."""

    def stopping(self) -> None:
        """Called at the first request to stop, while running cases save their state."""

    def spent(self) -> None:
        """Called when the time budget is used up, while running cases save their state."""


@contextmanager
def interruptible(executor: Any, observer: Observer) -> Iterator[None]:
    """Return a context in which Ctrl-C or TERM lets running cases save their state and end.

    A second signal ends them at once. Outside the main thread, where Python does not handle
    signals, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: Any) -> None:
        if executor.stopping:
            executor.kill()
            raise KeyboardInterrupt
        executor.stop()  # first, because the observer may fail to write after the same Ctrl-C
        observer.stopping()

    previous = {s: signal.signal(s, stop) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def limited(executor: Any, observer: Observer, seconds: float | None) -> Iterator[None]:
    """Return a context in which running cases save their state and end after a number of seconds.

    None sets no limit.
    """
    if seconds is None:
        yield
        return

    def end() -> None:
        if not executor.stopping:
            executor.stop()
            observer.spent()

    timer = threading.Timer(min(seconds, threading.TIMEOUT_MAX), end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def run_plan(plan: Plan, settings: Settings, observer: Observer) -> Ended:
    """Run the cases of a plan that have no result yet; a dry run ends after the estimate.

    Raises:
        UserError: the executor is unknown or unavailable, or a profile below full does not shorten
            a long training.
        KeyboardInterrupt: there was a second request to stop; saved states can be resumed.
    """
    found = todo(plan.cases, Store(settings.results), settings.rerun)
    plugins = tuple(settings.plugins)
    results, cache = settings.results.resolve(), cache_folder()
    jobs = [
        Job(case, results, cache, settings.device, plugins, plan.banner, replaces, settings.logger)
        for case, replaces in found.run
    ]
    at_once = min(settings.jobs_at_once, max(1, len(jobs)))
    reused = len(plan.cases) - len(jobs) - len(found.skipped)
    campaign = Campaign(plan, jobs, reused, found, at_once)
    observer.planned(campaign)
    if not jobs:
        return Ended(found)
    executor = executors.make(settings.executor, at_once, settings.threads)
    outcomes: list[Outcome] = []
    with interruptible(executor, observer), limited(executor, observer, settings.budget):
        costs: list[Cost | None] = [None] * len(jobs)
        fetched = not settings.dry_run
        if settings.dry_run or plan.timed:
            costs = estimate(jobs, executor, at_once, fetched, observer)
            refuse_unshortened(plan, jobs, costs)
        elif whole := [job for job in jobs if job.case.key in plan.whole]:
            timed = estimate(whole, executor, at_once, fetched, observer)
            refuse_unshortened(plan, whole, timed)
        observer.estimated(campaign, costs)
        if settings.dry_run or executor.stopping:
            return Ended(found, stopped=executor.stopping)
        with observer.running(jobs, costs):
            for outcome in run_all(jobs, executor, observer.news):
                outcomes.append(outcome)
                observer.done(outcome)
        stopped = executor.stopping or any(o.status == "interrupted" for o in outcomes)
    return Ended(found, outcomes, stopped)


def refuse_unshortened(plan: Plan, jobs: Sequence[Job], costs: Sequence[Cost | None]) -> None:
    """Check that stages that a profile below full does not shorten are short anyway.

    Raises:
        SpecError: they take more than a minute; the message says what to add to the spec.
    """
    long: dict[tuple[str, str], list[tuple[Case, float]]] = {}
    for job, cost in zip(jobs, costs, strict=True):
        stages = plan.whole.get(job.case.key, [])
        seconds = math.fsum(cost.stages[i] or 0.0 for i in stages) if cost else 0.0
        if seconds > LONG:
            long.setdefault((job.case.spec, job.case.profile), []).append((job.case, seconds))
    if not long:
        return
    lines = []
    for (spec, profile), found in long.items():
        rows = list(dict.fromkeys(label(case.at) for case, _ in found))
        case, seconds = max(found, key=lambda pair: pair[1])
        others = f" and {counted(len(rows) - 1, 'other row')}" if len(rows) > 1 else ""
        lines.append(
            f"{spec} {label(case.at)}{others}: training at {profile} is as long as at full, about "
            f"{rough_duration(seconds)}. Add to the spec `profiles: {{{profile}: "
            f"{{train: {_shorter(case, plan.whole[case.key])}}}}}`, or `same: true` in that "
            "profile if this is intended"
        )
    raise SpecError("\n".join(lines))


def _shorter(case: Case, stages: Sequence[int]) -> str:
    """Return a value of `train` in a spec that shortens these stages of a case."""
    changes = [
        f"{{{'epochs: null, ' if stage.get('epochs') else ''}steps: {SHORTER[case.profile]}}}"
        if i in stages
        else "{}"
        for i, stage in enumerate(case.train)
    ]
    return changes[0] if len(changes) == 1 else f"[{', '.join(changes)}]"


def cost_key(case: Case) -> str:
    """Return what a case's duration depends on: everything except its seed and its row's name."""
    return json.dumps([case.data, case.model, case.train, case.evaluate], sort_keys=True)


def _steps_on_file(jobs: Sequence[Job]) -> dict[str, list[int]]:
    """Return the steps of the results on file by `_training` of those jobs that may stop early."""
    stopping = [job for job in jobs if early(job.case)]
    found: dict[str, list[int]] = {_training(job.case): [] for job in stopping}
    for folder, spec in dict.fromkeys((job.results, job.case.spec) for job in stopping):
        for result in Store(folder).results(spec)[0]:
            if _training(result.case) in found:
                found[_training(result.case)].append(result.steps)
    return found


def _training(case: Case) -> str:
    """Return what the number of steps before early stopping depends on, except for the seed."""
    return json.dumps([case.data, case.model, case.train], sort_keys=True)


def estimate(
    jobs: Sequence[Job], executor: Any, at_once: int, fetched: bool, observer: Observer
) -> list[Cost | None]:
    """Return the cost of each job, without stages that are on file or that earlier jobs train.

    A few steps of each kind of case are timed now, if its data are on this machine. Errors are
    reported now, because an evaluation may follow days of training. Training that stops early is
    expected to take as many steps as that of the row's other seeds on file.

    Args:
        jobs: the jobs, in the order of the run.
        executor: where they will run.
        at_once: number of workers.
        fetched: whether all available data were fetched; then a case without data costs nothing.
        observer: receives progress and failed trials.
    """
    kinds: dict[str, int] = {}
    for number, job in enumerate(jobs):
        if cost_key(job.case) not in kinds and is_here(job.case.data):
            kinds[cost_key(job.case)] = number
    questions: list[tuple[Literal["probe", "stage_files"], int]] = [
        ("probe", number) for number in kinds.values()
    ]
    questions += [("stage_files", n) for n, job in enumerate(jobs) if cost_key(job.case) in kinds]
    costs: dict[str, Cost | None] = {}
    stages: list[list[tuple[str, bool] | None]] = [[] for _ in jobs]
    observer.timing(0, len(questions))
    items = [(kind, jobs[number]) for kind, number in questions]
    for finished, done in enumerate(executor.map("hwbench.runner.cost:answer", items), 1):
        kind, number = questions[done.index]
        case = jobs[number].case
        if done.error is not None and executor.stopping:  # the worker was ended and did not fail
            continue
        if done.error is not None:
            observer.trial_failed(case, done.error.splitlines()[-1])
        elif kind == "probe":
            costs[cost_key(case)] = done.outcome
        else:
            stages[number] = done.outcome or []
        observer.timing(finished, len(questions))
    if fetched:
        for job in jobs:
            if cost_key(job.case) not in kinds:
                costs[cost_key(job.case)] = Cost((0.0,) * len(job.case.train), 0.0)
    ran = _steps_on_file(jobs)
    found = [(job.case, costs.get(cost_key(job.case))) for job in jobs]
    expected = [
        cost and until_stop(cost, case, ran.get(_training(case), [])) for case, cost in found
    ]
    return net_costs(expected, stages, at_once)
