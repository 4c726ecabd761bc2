"""The progress of running cases: one line for the table and one for each running case."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from hwbench.numbers import counted, progress_percent, quick_number, rough_duration

if TYPE_CHECKING:
    from hwbench.runner.cost import Cost
    from hwbench.runner.job import Job, Outcome

QUIET_EVERY = 60.0  # seconds between lines where the output is not a terminal


def phases(jobs: Sequence[Job], costs: Sequence[Cost | None]) -> list[list[float]]:
    """Return the estimated seconds of each job's stages and, last, of its evaluation.

    A stage of unknown cost counts as the mean of the known ones, an evaluation as a sixth of its
    case's stages.
    """
    known = [seconds for cost in costs if cost for seconds in cost.stages if seconds]
    stage = sum(known) / len(known) if known else 1.0
    found = []
    for job, cost in zip(jobs, costs, strict=True):
        if cost is None:
            stages = [stage] * len(job.case.train)
            found.append([*stages, max(stage, sum(stages)) / 6])
        else:
            stages = [stage if seconds is None else seconds for seconds in cost.stages]
            found.append([*stages, cost.evaluate])
    return found


class Display:
    """Live lines on a terminal; elsewhere plain lines every `QUIET_EVERY` seconds.

    Attributes:
        elapsed: seconds of each job's estimated duration that are done.
        elapsed_before: those of them that were done in earlier runs.
        resumed: jobs that resumed and have not reported their position yet.
    """

    def __init__(self, console: Console, jobs: Sequence[Job], costs: Sequence[Cost | None]) -> None:
        self.console = console
        self.jobs = jobs
        self.phases = phases(jobs, costs)
        self.costs = costs
        self.current: dict[int, dict[str, Any]] = {}
        self.elapsed = [0.0] * len(jobs)
        self.elapsed_before = [0.0] * len(jobs)
        self.resumed: set[int] = set()
        self.finished = 0
        self.started = time.monotonic()
        self.last_line = self.started
        self.live = (
            Live(
                console=console,
                refresh_per_second=2,
                transient=True,
                get_renderable=self._renderable,
            )
            if console.is_terminal
            else None
        )

    def __enter__(self) -> Display:
        if self.live:
            self.live.__enter__()
            self.live.refresh()  # at once: workers may take long to start
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.live:
            self.live.__exit__(kind, error, trace)

    def news(self, index: int, news: dict[str, Any]) -> None:
        """Update the display with a report of a running case."""
        self.current.setdefault(index, {}).update(news)
        state = self.current[index]
        if "waiting" not in news:
            state.pop("waiting", None)
        if "resumed" in news:
            self.resumed.add(index)
        if "step" in news:
            cost = self.costs[index]
            share = cost.share(news["stage"]) if cost else 1.0
            self._reached(index, news["stage"], min(1.0, news["step"] / news["steps"] / share))
            for earlier in ("evaluate", "fit"):
                state.pop(earlier, None)
        elif "fit" in news:
            self._reached(index, news["stage"], news["fit"])
        elif "evaluate" in news:
            self._reached(index, -1, news["evaluate"])
        self._show()

    def _reached(self, index: int, phase: int, fraction: float) -> None:
        seconds = self.phases[index]
        self.elapsed[index] = sum(seconds[:phase]) + fraction * seconds[phase]
        if index in self.resumed:
            self.elapsed_before[index] = self.elapsed[index]
            self.resumed.remove(index)

    def done(self, outcome: Outcome) -> None:
        """Print how a case ended."""
        index = next(i for i, job in enumerate(self.jobs) if job.case == outcome.case)
        self.current.pop(index, None)
        if outcome.status != "done":  # a case that did not run must not change the pace
            self.elapsed_before[index] += sum(self.phases[index]) - self.elapsed[index]
        self.elapsed[index] = sum(self.phases[index])
        self.finished += 1
        marks = {"done": ("✓", "green"), "on file": ("=", "dim"), "interrupted": ("…", "yellow")}
        mark, style = marks.get(outcome.status, ("✗", "red"))
        style = "yellow" if outcome.warnings else style
        values = ", ".join(f"{k} {quick_number(v)}" for k, v in list(outcome.metrics.items())[:1])
        message = outcome.message
        if outcome.status == "missing":  # told in full when all cases have ended
            message = message.partition(". ")[0]
        detail = values or message or outcome.status
        if outcome.warnings:
            detail = f"{detail}, {counted(len(outcome.warnings), 'warning')}"
        line = f"{mark} {outcome.case.label}: {detail}"
        text = f"{line} ({rough_duration(outcome.seconds)})" if outcome.seconds else line
        self.console.print(Text(text, style=style))  # a `style=` would colour the live lines, too
        self._show()

    def _left(self) -> str:
        remaining = [
            sum(estimated) - elapsed
            for estimated, elapsed in zip(self.phases, self.elapsed, strict=True)
        ]
        left, done = sum(remaining), sum(self.elapsed) - sum(self.elapsed_before)
        seconds = time.monotonic() - self.started
        if seconds < 3 or done <= 0.005 * (done + left):
            return ""
        at_once = max(1, len(self.current))
        longest = max(remaining)  # in the end the other workers are idle
        return f", {rough_duration(seconds * max(left, longest * at_once) / done)} left"

    def _lines(self) -> list[str]:
        spent = rough_duration(time.monotonic() - self.started)
        running = sorted(self.current.copy().items())  # another thread may draw it meanwhile
        starting = "" if running or self.finished else "; starting workers"
        head = f"{self.finished}/{len(self.jobs)} cases done, {spent} elapsed{self._left()}"
        lines = [f"{head}{starting}"]
        for index, state in running:
            lines.append(f"  {self.jobs[index].case.label}: {describe(state)}")
        return lines

    def _renderable(self) -> Group:
        """Return the live lines, each cut at the width of the terminal."""
        return Group(*(Text(line, no_wrap=True, overflow="ellipsis") for line in self._lines()))

    def _show(self) -> None:
        if self.live is None and time.monotonic() - self.last_line >= QUIET_EVERY:
            self.last_line = time.monotonic()
            for line in self._lines():
                self.console.print(line)


def describe(state: dict[str, Any]) -> str:
    """Return the state of a running case as a phrase."""
    if "waiting" in state:
        return str(state["waiting"])
    if "evaluate" in state:
        return f"evaluating ({state['evaluator']}), {progress_percent(state['evaluate'])}"
    if "fit" in state:
        return f"fitting, {progress_percent(state['fit'])} {state.get('note', '')}".rstrip()
    if "step" not in state:
        return "starting"
    text = f"step {state['step']}/{state['steps']}, epoch {state['epoch']:.1f}"
    text = f"{text}, objective {quick_number(state['objective'])}"
    return (
        f"{text}, validation {quick_number(state['validation'])}" if "validation" in state else text
    )
