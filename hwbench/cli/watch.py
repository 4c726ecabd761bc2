"""Shows a campaign in the terminal: the plan, the estimated duration, and the progress."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from rich.status import Status
from rich.table import Table
from rich.text import Text

from hwbench.cli import console
from hwbench.cli.progress import Display
from hwbench.numbers import counted, rough_duration
from hwbench.runner.campaign import Campaign, Observer
from hwbench.runner.cost import BUSY, Cost, early
from hwbench.runner.job import Job, Outcome
from hwbench.runner.plan import Settings, Todo
from hwbench.sources import fingerprint
from hwbench.spec import Case, Spec, label, overrides_text
from hwbench.store import Store
from hwbench.verdict.evidence import StoredResults
from hwbench.verdict.sizes import size_text
from hwbench.verdict.spread import detectable_difference

TIMING = "timing a few steps and looking for finished stages"


def hours(seconds: float) -> str:
    """Return hours to two digits, as '0.012' or '260'; '?' where they are not known.

    >>> hours(43.2), hours(936_000.0), hours(math.nan)
    ('0.012', '260', '?')
    """
    return "?" if math.isnan(seconds) else f"{float(f'{seconds / 3600:.2g}'):.10g}"


def _left_alone(todo: Todo) -> Iterator[str]:
    """Yield a sentence for each kind of cases that a run leaves alone, and how to run them."""
    if todo.changed:
        yield (
            f"{counted(len(todo.changed), 'result')} on file from other code "
            f"({_rows(todo.changed)}). Use --rerun changed to run the current code; "
            "old results stay on file."
        )
    if todo.replaced:
        names = ", ".join(dict.fromkeys(name for _, name in todo.replaced))
        yield (
            f"{counted(len(todo.replaced), 'result')} on file from data that have been replaced "
            f"since: {names} ({_rows([case for case, _ in todo.replaced])}). "
            "Use --rerun stale to run the new data; old results stay on file."
        )
    if todo.skipped:
        several = len(todo.skipped) > 1
        yield (
            f"{counted(len(todo.skipped), 'case')} failed earlier and "
            f"{'are' if several else 'is'} skipped. "
            f"Use --rerun failed to run {'them' if several else 'it'} again."
        )


def _rows(cases: Sequence[Case], most: int = 4) -> str:
    """Return the rows of cases, of many only the first."""
    names = list(dict.fromkeys(label(case.at) for case in cases))
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{'; '.join(names[:most])}{rest}"


def _at_most(job: Job, cost: Cost | None) -> bool:
    """Return whether a case may stop early, and nothing on file says when."""
    return cost is not None and bool(early(job.case)) and not cost.shares and cost.train > 0


@dataclass(frozen=True)
class _Line:
    """A line of the table of a dry run; hours are seconds here, NaN where they are not known."""

    name: str
    cases: int
    train: float
    evaluate: float
    at_most: bool
    detectable: str = ""

    @property
    def cells(self) -> tuple[str, ...]:
        """Return the texts of the line."""
        most = "≤ " if self.at_most else ""
        train, total = most + hours(self.train), most + hours(self.train + self.evaluate)
        return self.name, str(self.cases), train, hours(self.evaluate), total, self.detectable


class Watcher(Observer):
    """Prints on standard error, and the table of a dry run on standard output."""

    def __init__(self, specs: Sequence[Spec], settings: Settings) -> None:
        self.specs, self.settings = specs, settings
        self._status: Status | None = None
        self._display: Display | None = None

    def planned(self, campaign: Campaign) -> None:
        """Print the banner, the number of cases, and which data sets replace unavailable ones."""
        plan, err = campaign.plan, console.err
        if plan.banner:
            err.print(Text.assemble("\n", (f" {plan.banner} ", "bold white on red"), "\n"))
        names = ", ".join(s.id for s in self.specs)
        overrides = next((s.overrides for s in self.specs), {})
        variant = f" with {overrides_text(overrides)}" if overrides else ""
        profile = f"profile {plan.profile}" if plan.profile else "the queue's profiles"
        err.print(
            Text.assemble(
                (names, "bold"),
                f"{variant} at {profile}: {counted(len(plan.cases), 'case')}, "
                f"{campaign.reused} on file, {len(campaign.jobs)} to run",
            )
        )
        if campaign.reused and not self.settings.dry_run:
            err.print(
                "Existing results are reused. Use --results DIR to start from an empty folder."
            )
        for text in _left_alone(campaign.todo):
            err.print(text, style="yellow")
        pairs = {(c.stands_in_for, c.data["use"]) for c in plan.cases if c.stands_in_for}
        for use, instead in sorted(pairs) if plan.profile != "smoke" else []:
            err.print(f"{use} is unavailable; using {instead} instead.", style="yellow")

    def timing(self, done: int, total: int) -> None:
        """Show how many cases have been timed."""
        if self._status is None:
            self._status = console.err.status(f"{TIMING} …")
            self._status.start()
        if done:
            self._status.update(f"{TIMING}: {done} of {total} …")
        if done == total:
            self._status.stop()

    def trial_failed(self, case: Case, reason: str) -> None:
        """Print a warning."""
        text = f"warning: {case.label}: a trial step failed: {reason}"
        console.err.print(text, style="yellow")

    def estimated(self, campaign: Campaign, costs: Sequence[Cost | None]) -> None:
        """Print the estimated duration; for a dry run, also that of each row."""
        if self._status is not None:
            self._status.stop()
        known = [cost.total for cost in costs if cost is not None]
        if known:
            jobs, at_once = len(campaign.jobs), campaign.at_once
            total = max(max(known), sum(known) / len(known) * jobs / at_once)
            notes = ["estimated from a few steps"]
            if any(cost.shares for cost in costs if cost):
                notes[0] += " and from where other seeds on file stopped early"
            if may := sum(map(_at_most, campaign.jobs, costs)):
                notes.append(f"{counted(may, 'case')} may stop early")
            if any(seconds is None for cost in costs if cost for seconds in cost.stages):
                notes.append("excludes fits")
            if untimed := jobs - len(known):
                notes.append(f"{counted(untimed, 'case')} could not be timed (assumed average)")
            workers = counted(at_once, "worker")
            console.err.print(
                Text.assemble(
                    "about ", (rough_duration(total), "bold"), f" on {workers}, {'; '.join(notes)}"
                )
            )
        waits = sorted(cost.wait for cost in costs if cost is not None)
        if waits and waits[len(waits) // 2] > BUSY:
            share = 1 / waits[len(waits) // 2]
            console.err.print(
                f"The machine is busy: a worker gets {share:.0%} of a core. The estimate is for "
                "a core each.",
                style="yellow",
            )
        if self.settings.dry_run:
            self._print_rows(campaign.jobs, costs)

    def _print_rows(self, jobs: Sequence[Job], costs: Sequence[Cost | None]) -> None:
        """Print the hours of each row, the dearest first, and what its seeds can detect."""
        heads = ("row", "cases", "train (h)", "evaluate (h)", "total (h)", "detectable difference")
        table = Table(*heads, box=None, header_style="bold")
        store = Store(self.settings.results)
        found: list[_Line] = []
        for spec in self.specs:
            stored = StoredResults(spec, store, fingerprint)
            for row in spec.rows:
                here = [
                    (job, cost)
                    for job, cost in zip(jobs, costs, strict=True)
                    if job.case.spec == spec.id and job.case.row == row.name
                ]
                if not here:
                    continue
                timed = [cost for _, cost in here if cost is not None]
                least = detectable_difference(stored, row, [job.case for job, _ in here])
                found.append(
                    _Line(
                        f"{spec.id} {label(row.at)}",
                        len(here),
                        sum(c.train for c in timed) if timed else math.nan,
                        sum(c.evaluate for c in timed) if timed else math.nan,
                        any(_at_most(job, cost) for job, cost in here),
                        "unknown" if least is None else size_text(least, spec.unit),
                    )
                )
        known = [line for line in found if not math.isnan(line.train)]
        total = _Line(
            "all rows",
            len(jobs),
            math.fsum(line.train for line in known),
            math.fsum(line.evaluate for line in known),
            any(line.at_most for line in known),
        )
        dearest = sorted(known, key=lambda line: -line.train - line.evaluate)
        for line in [*dearest, *(line for line in found if math.isnan(line.train)), total]:
            table.add_row(*line.cells)
        console.out.print(table)

    def running(
        self, jobs: Sequence[Job], costs: Sequence[Cost | None]
    ) -> AbstractContextManager[Any]:
        """Return the live display."""
        self._display = Display(console.err, jobs, costs)
        return self._display

    def news(self, index: int, news: dict[str, Any]) -> None:
        """Update the display with a report of a running case."""
        if self._display is not None:
            self._display.news(index, news)

    def done(self, outcome: Outcome) -> None:
        """Print how a case ended."""
        if self._display is not None:
            self._display.done(outcome)

    def spent(self) -> None:
        """Print that the time budget is used up."""
        text = "\nThe time budget is used up: running cases save their state."
        console.err.print(Text(text, style="yellow"))

    def stopping(self) -> None:
        """Print that the run is stopping."""
        text = "\nStopping: running cases save their state. Press Ctrl-C again to quit at once."
        console.err.print(Text(text, style="yellow"))
