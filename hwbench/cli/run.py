"""hwbench run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from hwbench.cli import console
from hwbench.cli.console import DONE, FAILED, INTERRUPTED
from hwbench.cli.options import (
    RESULTS,
    BenchmarksOption,
    BudgetOption,
    DeviceOption,
    DryOption,
    ExecutorOption,
    JobsOption,
    Names,
    OverrideOption,
    PluginOption,
    ProfileOption,
    QueueOption,
    RerunOption,
    ResultsOption,
    RowsOption,
    SeedsOption,
    ThreadsOption,
    budget_named,
    overrides_named,
    rerun_named,
    rows_named,
)

if TYPE_CHECKING:
    from hwbench.runner.campaign import Ended
    from hwbench.runner.plan import Plan, Settings
    from hwbench.spec import Spec


def run(
    names: Names = None,
    profile: ProfileOption = "auto",
    rows: RowsOption = None,
    seeds: SeedsOption = None,
    device: DeviceOption = "auto",
    executor: ExecutorOption = "local",
    jobs: JobsOption = None,
    threads: ThreadsOption = 1,
    results: ResultsOption = RESULTS,
    benchmarks: BenchmarksOption = None,
    plugin: PluginOption = None,
    rerun: RerunOption = None,
    dry_run: DryOption = False,
    queue: QueueOption = None,
    budget: BudgetOption = None,
    override: OverrideOption = None,
) -> None:
    """Run the cases of specs, or of a queue, that have no result yet.

    Examples: [bold]hwbench run table1 --profile quick[/],
    [bold]hwbench run iwaer/table1 --rows data=MNIST,method=IWAER --seeds 1[/],
    [bold]hwbench run table1 -o train.steps=1000 -o model.hidden=[50][/],
    [bold]hwbench run --queue benchmarks/queue.yaml --budget 3h[/]
    """
    from hwbench.check import check
    from hwbench.runner.plan import Settings, make_plan, with_overrides
    from hwbench.runner.queue import queue_plan, read_queue
    from hwbench.spec import SpecError, display_path, locate
    from hwbench.spec.files import benchmarks_folder, load_specs

    settings = Settings(
        profile=profile,
        rows=rows_named(rows),
        seeds=seeds,
        device=device,
        jobs=jobs,
        threads=threads,
        executor=executor,
        results=results,
        plugins=plugin or [],
        rerun=rerun_named(rerun),
        dry_run=dry_run,
        budget=budget_named(budget),
    )
    if queue is not None and (names or rows or seeds or override or profile != "auto"):
        raise SpecError(
            "--queue cannot be combined with SPEC, --rows, --seeds, --override or --profile"
        )
    if queue is None and not names:
        raise SpecError("name a spec, or a queue with --queue FILE")
    settings.check()
    folder = benchmarks_folder(benchmarks)
    if queue is None:
        specs = load_specs(names, folder, check)
        specs = with_overrides(specs, overrides_named(override), settings.rows)
        plan = make_plan(specs, settings)
    else:
        entries = read_queue(queue)
        found = {s.file: s for s in load_specs([e.spec for e in entries], folder, check)}
        specs = list(found.values())
        own = [found[display_path(locate(e.spec, folder))] for e in entries]
        plan = queue_plan(entries, own, settings)
    ended = carry_out(plan, specs, settings)
    raise typer.Exit(end_of_run(ended))


def carry_out(plan: Plan, specs: Sequence[Spec], settings: Settings) -> Ended:
    """Run a plan and show its progress on standard error."""
    from hwbench.cli.watch import Watcher
    from hwbench.runner.campaign import run_plan

    return run_plan(plan, settings, Watcher(specs, settings))


def end_of_run(ended: Ended) -> int:
    """Print warnings and failures, and return the exit code."""
    err = console.err
    for outcome in ended.outcomes:
        for text in outcome.warnings:
            err.print(f"warning: {outcome.case.label}: {text}", style="yellow", markup=False)
    bad = [o for o in ended.outcomes if o.status in ("failed", "missing")]
    for outcome in bad:
        err.print(
            f"{outcome.status}: {outcome.case.label}: {outcome.message}", style="red", markup=False
        )
    if ended.stopped:
        err.print("Stopped. Run the same command to resume.", style="yellow")
        return INTERRUPTED
    return FAILED if bad or ended.todo.skipped else DONE
