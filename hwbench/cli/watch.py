"""What a person sees of a campaign: the plan, the estimate, and live lines while it runs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

from rich.status import Status
from rich.table import Table

from hwbench.cli import console
from hwbench.cli.console import count
from hwbench.cli.progress import Display, clock
from hwbench.runner.campaign import Campaign, Observer
from hwbench.runner.cost import Cost
from hwbench.runner.job import Job, Outcome
from hwbench.runner.plan import Settings
from hwbench.sources import fingerprint
from hwbench.spec import Case, Spec
from hwbench.store import Store
from hwbench.verdict.evidence import OnFile
from hwbench.verdict.spread import detectable_difference

LOOKING = "timing a few steps, looking for trained stages"


class Watcher(Observer):
    """Prints on standard error; the table of a dry run on standard output."""

    def __init__(self, specs: Sequence[Spec], settings: Settings) -> None:
        self.specs, self.settings = specs, settings
        self._status: Status | None = None
        self._display: Display | None = None

    def planned(self, campaign: Campaign) -> None:
        """Print the banner, the number of cases, and what stands in for what."""
        plan, err = campaign.plan, console.err
        if plan.banner:
            err.print(f"\n[bold white on red] {plan.banner} [/]\n")
        names = ", ".join(s.id for s in self.specs)
        err.print(
            f"[bold]{names}[/] at profile [bold]{plan.profile}[/]: "
            f"{count(len(plan.cases), 'case')}, {campaign.reused} on file, "
            f"{len(campaign.jobs)} to run"
        )
        if campaign.reused and not self.settings.dry_run:
            err.print(
                "what is on file is not run again; --results DIR runs it anew in your own folder"
            )
        if campaign.skipped:
            err.print(
                f"{count(len(campaign.skipped), 'case')} failed before, left alone; "
                "--retry-failed runs such again",
                style="yellow",
            )
        pairs = {(c.stands_in_for, c.data["use"]) for c in plan.cases if c.stands_in_for}
        for use, instead in sorted(pairs) if plan.profile != "smoke" else []:
            err.print(f"{use} cannot be had; {instead} stands in for it", style="yellow")

    def timing(self, done: int, total: int) -> None:
        """Show how far the estimate is."""
        if self._status is None:
            self._status = console.err.status(f"{LOOKING} …")
            self._status.start()
        if done:
            self._status.update(f"{LOOKING}: {done} of {total} …")
        if done == total:
            self._status.stop()

    def trial_failed(self, case: Case, reason: str) -> None:
        """Print a warning."""
        console.err.print(
            f"warning: {case.label}: a first look at it ends in {reason}",
            style="yellow",
            markup=False,
        )

    def estimated(self, campaign: Campaign, costs: Sequence[Cost | None]) -> None:
        """Print how long it should take; for a dry run, each row's share as well."""
        if self._status is not None:
            self._status.stop()
        known = [cost.total for cost in costs if cost is not None]
        if known:
            jobs, at_once = len(campaign.jobs), campaign.at_once
            total = max(max(known), sum(known) / len(known) * jobs / at_once)
            notes = ["from steps timed just now"]
            if any(seconds is None for cost in costs if cost for seconds in cost.stages):
                notes.append("how long the fits after them take is not known")
            if untimed := jobs - len(known):
                notes.append(f"{count(untimed, 'case')} could not be timed, taken as the others")
            workers = count(at_once, "worker")
            console.err.print(f"about [bold]{clock(total)}[/] on {workers}, {'; '.join(notes)}")
        if self.settings.dry_run:
            self._print_rows(campaign.jobs, costs)

    def _print_rows(self, jobs: Sequence[Job], costs: Sequence[Cost | None]) -> None:
        """Print the cost of each row, and the smallest difference that its seeds can detect."""
        heads = ("row", "cases", "train", "evaluate", "these seeds can tell")
        table = Table(*heads, box=None, header_style="bold")
        store = Store(self.settings.results)
        for spec in self.specs:
            on_file = OnFile(spec, store, fingerprint)
            for row in spec.rows:
                here = [
                    (job.case, cost)
                    for job, cost in zip(jobs, costs, strict=True)
                    if job.case.spec == spec.id and job.case.row == row.name
                ]
                if not here:
                    continue
                timed = [cost for _, cost in here if cost is not None]
                least = detectable_difference(on_file, row, [case for case, _ in here])
                tell = "(not known yet)" if least is None else f"{least:.2g} {spec.unit}"
                parts = ["?", "?"]
                if timed:  # of all its cases, on one worker
                    seconds = sum(c.train for c in timed), sum(c.evaluate for c in timed)
                    parts = [clock(s) for s in seconds]
                name = f"{spec.id} {'/'.join(map(str, row.at.values()))}"
                table.add_row(name, str(len(here)), *parts, tell)
        console.out.print(table)

    def running(
        self, jobs: Sequence[Job], costs: Sequence[Cost | None]
    ) -> AbstractContextManager[Any]:
        """Return the live display."""
        self._display = Display(console.err, jobs, costs)
        return self._display

    def news(self, index: int, news: dict[str, Any]) -> None:
        """Show what a running case reports."""
        if self._display is not None:
            self._display.news(index, news)

    def done(self, outcome: Outcome) -> None:
        """Print the end of a case."""
        if self._display is not None:
            self._display.done(outcome)

    def stopping(self) -> None:
        """Print what happens now."""
        console.err.print(
            "\nstopping: running cases save their state; press Ctrl-C again to end at once",
            style="yellow",
        )
