"""What a person sees while cases run: one line for the table, one for each current run."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

if TYPE_CHECKING:
    from hwbench.runner import Cost, Job, Outcome

QUIET_EVERY = 60.0  # seconds between lines where nobody watches a terminal


def clock(seconds: float) -> str:
    """Return a duration for people.

    >>> clock(42.0), clock(125.0), clock(3 * 3600 + 60.0), clock(200_000.0)
    ('42 s', '2 min', '3.0 h', '2.3 days')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} days"


def weights(jobs: Sequence[Job], costs: Sequence[Cost | None]) -> list[float]:
    """Return the share of the whole that each job is taken for; what is not known, as the mean."""
    known = [seconds for cost in costs if cost for seconds in cost.stages if seconds]
    stage = sum(known) / len(known) if known else 1.0
    mean = stage * sum(max(1, len(job.case.train)) for job in jobs) / max(1, len(jobs))
    return [
        mean
        if cost is None
        else max(1.0, cost.evaluate + sum(stage if s is None else s for s in cost.stages))
        for cost in costs
    ]


class Display:
    """Live lines on a terminal; plain lines, now and then, elsewhere."""

    def __init__(self, console: Console, jobs: Sequence[Job], costs: Sequence[Cost | None]) -> None:
        self.console = console
        self.jobs = jobs
        self.costs = weights(jobs, costs)
        self.current: dict[int, dict[str, Any]] = {}
        self.fractions = [0.0] * len(jobs)
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
        stages = max(1, len(self.jobs[index].case.train))
        if "step" in news:
            share = (news["stage"] + news["step"] / news["steps"]) / stages
            self.fractions[index] = 0.85 * share
            state.pop("evaluate", None)
        elif "fit" in news:
            self.fractions[index] = 0.85 * (news["stage"] + news["fit"]) / stages
        elif "evaluate" in news:
            self.fractions[index] = 0.85 + 0.15 * news["evaluate"]
        self._show()

    def done(self, outcome: Outcome) -> None:
        """Take a case's end."""
        index = next(i for i, job in enumerate(self.jobs) if job.case == outcome.case)
        self.current.pop(index, None)
        self.fractions[index] = 1.0
        self.finished += 1
        marks = {"done": ("✓", "green"), "on file": ("=", "dim"), "interrupted": ("…", "yellow")}
        mark, style = marks.get(outcome.status, ("✗", "red"))
        style = "yellow" if outcome.warnings else style
        values = ", ".join(f"{k} {digits(v)}" for k, v in list(outcome.metrics.items())[:1])
        detail = values or outcome.message or outcome.status
        if outcome.warnings:
            detail = f"{detail}, {len(outcome.warnings)} warning{'s'[: len(outcome.warnings) > 1]}"
        line = f"{mark} {outcome.case.label}: {detail}"
        self.console.print(
            f"{line} ({clock(outcome.seconds)})" if outcome.seconds else line,
            style=style,
            markup=False,
        )
        self._show()

    def _left(self) -> str:
        total = sum(self.costs)
        gone = sum(c * f for c, f in zip(self.costs, self.fractions, strict=True))
        elapsed = time.monotonic() - self.started
        if elapsed < 3 or gone / total < 0.005:
            return ""
        return f", {clock(elapsed * (total - gone) / gone)} left"

    def _lines(self) -> list[str]:
        spent = clock(time.monotonic() - self.started)
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


def digits(value: float) -> str:
    """Return nats to two decimals, and shares to four."""
    return f"{value:.4f}" if abs(value) < 1 else f"{value:.2f}"


def describe(state: dict[str, Any]) -> str:
    """Return one run's state as a phrase."""
    if "waiting" in state and "step" not in state:
        return str(state["waiting"])
    if "evaluate" in state:
        return f"evaluating ({state['evaluator']}), {state['evaluate']:.0%}"
    if "fit" in state:
        return f"fitting, {state['fit']:.0%} {state.get('note', '')}".rstrip()
    if "step" not in state:
        return "starting"
    text = f"step {state['step']}/{state['steps']}, epoch {state['epoch']:.1f}"
    text = f"{text}, objective {digits(state['objective'])}"
    return f"{text}, validation {digits(state['validation'])}" if "validation" in state else text
