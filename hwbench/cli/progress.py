"""What a person sees while cases run: one line for the table, one for each current run."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from hwbench.report.numbers import quick_number, rough_duration

if TYPE_CHECKING:
    from hwbench.runner.cost import Cost
    from hwbench.runner.job import Job, Outcome

QUIET_EVERY = 60.0  # seconds between lines where nobody watches a terminal


def phases(jobs: Sequence[Job], costs: Sequence[Cost | None]) -> list[list[float]]:
    """Return the seconds that each job's stages and, last, its evaluation are taken for.

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
    """Live lines on a terminal; plain lines, now and then, elsewhere."""

    def __init__(self, console: Console, jobs: Sequence[Job], costs: Sequence[Cost | None]) -> None:
        self.console = console
        self.jobs = jobs
        self.phases = phases(jobs, costs)
        self.current: dict[int, dict[str, Any]] = {}
        self.gone = [0.0] * len(jobs)  # of the seconds that each job takes
        self.before = [0.0] * len(jobs)  # of these, what earlier runs have done
        self.resumed: set[int] = set()  # whose first place is not known yet
        self.finished = 0
        self.started = time.monotonic()
        self.last_line = self.started
        self.live = (
            Live(console=console, refresh_per_second=2, transient=True)
            if console.is_terminal
            else None
        )

    def __enter__(self) -> Display:
        if self.live:
            self.live.__enter__()
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
        """Take what a running case reports."""
        self.current.setdefault(index, {}).update(news)
        state = self.current[index]
        if "waiting" not in news:
            state.pop("waiting", None)
        if "resumed" in news:
            self.resumed.add(index)
        if "step" in news:
            self._reached(index, news["stage"], news["step"] / news["steps"])
            for earlier in ("evaluate", "fit"):
                state.pop(earlier, None)
        elif "fit" in news:
            self._reached(index, news["stage"], news["fit"])
        elif "evaluate" in news:
            self._reached(index, -1, news["evaluate"])
        self._show()

    def _reached(self, index: int, phase: int, fraction: float) -> None:
        seconds = self.phases[index]
        self.gone[index] = sum(seconds[:phase]) + fraction * seconds[phase]
        if index in self.resumed:
            self.before[index] = self.gone[index]
            self.resumed.remove(index)

    def done(self, outcome: Outcome) -> None:
        """Take a case's end."""
        index = next(i for i, job in enumerate(self.jobs) if job.case == outcome.case)
        self.current.pop(index, None)
        if outcome.status != "done":  # what did not run says nothing of the pace
            self.before[index] += sum(self.phases[index]) - self.gone[index]
        self.gone[index] = sum(self.phases[index])
        self.finished += 1
        marks = {"done": ("✓", "green"), "on file": ("=", "dim"), "interrupted": ("…", "yellow")}
        mark, style = marks.get(outcome.status, ("✗", "red"))
        style = "yellow" if outcome.warnings else style
        values = ", ".join(f"{k} {quick_number(v)}" for k, v in list(outcome.metrics.items())[:1])
        detail = values or outcome.message or outcome.status
        if outcome.warnings:
            detail = f"{detail}, {len(outcome.warnings)} warning{'s'[: len(outcome.warnings) > 1]}"
        line = f"{mark} {outcome.case.label}: {detail}"
        self.console.print(
            f"{line} ({rough_duration(outcome.seconds)})" if outcome.seconds else line,
            style=style,
            markup=False,
        )
        self._show()

    def _left(self) -> str:
        lefts = [sum(whole) - gone for whole, gone in zip(self.phases, self.gone, strict=True)]
        left, done = sum(lefts), sum(self.gone) - sum(self.before)
        elapsed = time.monotonic() - self.started
        if elapsed < 3 or done <= 0.005 * (done + left):
            return ""
        at_once = max(1, len(self.current))
        longest = max(lefts)  # at the end others are idle
        return f", {rough_duration(elapsed * max(left, longest * at_once) / done)} left"

    def _lines(self) -> list[str]:
        spent = rough_duration(time.monotonic() - self.started)
        lines = [f"{self.finished}/{len(self.jobs)} cases done, {spent} so far{self._left()}"]
        for index, state in sorted(self.current.items()):
            lines.append(f"  {self.jobs[index].case.label}: {describe(state)}")
        return lines

    def _show(self) -> None:
        if self.live:
            self.live.update(Group(*(Text(line) for line in self._lines())))
        elif time.monotonic() - self.last_line >= QUIET_EVERY:
            self.last_line = time.monotonic()
            for line in self._lines():
                self.console.print(line, markup=False)


def describe(state: dict[str, Any]) -> str:
    """Return one run's state as a phrase."""
    if "waiting" in state:
        return str(state["waiting"])
    if "evaluate" in state:
        return f"evaluating ({state['evaluator']}), {state['evaluate']:.0%}"
    if "fit" in state:
        return f"fitting, {state['fit']:.0%} {state.get('note', '')}".rstrip()
    if "step" not in state:
        return "starting"
    text = f"step {state['step']}/{state['steps']}, epoch {state['epoch']:.1f}"
    text = f"{text}, objective {quick_number(state['objective'])}"
    return (
        f"{text}, validation {quick_number(state['validation'])}" if "validation" in state else text
    )
