"""hwbench run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
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
    JsonOption,
    LoggerOption,
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
    from hwbench.spec import Case, Spec

NAMED = 5  # failed cases with one reason that are named


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
    logger: LoggerOption = "",
    dry_run: DryOption = False,
    queue: QueueOption = None,
    budget: BudgetOption = None,
    override: OverrideOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run the cases of specs, or of a queue, that have no result yet.

    Examples: [bold]hwbench run table1 --profile quick[/],
    [bold]hwbench run iwaer/table1 --rows data=MNIST,method=IWAER --seeds 1[/],
    [bold]hwbench run table1 -o train.steps=1000 -o model.hidden=[50][/],
    [bold]hwbench run --queue benchmarks/queue.yaml --budget 3h[/]
    """
    with console.waiting("loading"):
        from hwbench.check import check
    from hwbench.runner.plan import Settings, make_plan, with_overrides
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
        logger=logger,
        dry_run=dry_run,
        budget=budget_named(budget),
    )
    _check_combination(names, settings, queue, override, as_json)
    settings.check()
    folder = benchmarks_folder(benchmarks)
    if queue is None:
        specs = load_specs(names, folder, check)
        specs = with_overrides(specs, overrides_named(override), settings.rows)
        plan = make_plan(specs, settings)
    else:
        plan, specs = _queued(queue, folder, settings)
    code = end_of_run(ended := carry_out(plan, specs, settings))
    if as_json:
        print_outcomes(plan, ended)
    raise typer.Exit(code)


def _check_combination(
    names: Sequence[str] | None,
    settings: Settings,
    queue: Path | None,
    override: Sequence[str] | None,
    as_json: bool,
) -> None:
    from hwbench.spec import SpecError

    s = settings
    if queue is not None and (names or s.rows or s.seeds or override or s.profile != "auto"):
        others = "SPEC, --rows, --seeds, --override or --profile"
        raise SpecError(f"--queue cannot be combined with {others}")
    if queue is None and not names:
        raise SpecError("name a spec, or a queue with --queue FILE")
    if as_json and s.dry_run:
        raise SpecError("--json: a dry run prints a table; hwbench why --json tells what would run")


def _queued(queue: Path, folder: Path, settings: Settings) -> tuple[Plan, list[Spec]]:
    """Return the plan of a queue file, and the specs that it names."""
    from hwbench.check import check
    from hwbench.runner.queue import queue_plan, read_queue
    from hwbench.spec import locate
    from hwbench.spec.files import load_files, spec_paths

    entries = read_queue(queue)
    paths = spec_paths([e.spec for e in entries], folder)
    specs = load_files(paths, check)
    found = {path.resolve(): spec for path, spec in zip(paths, specs, strict=True)}
    own = [found[locate(e.spec, folder).resolve()] for e in entries]
    return queue_plan(entries, own, settings), specs


def carry_out(plan: Plan, specs: Sequence[Spec], settings: Settings) -> Ended:
    """Run a plan and show its progress on standard error."""
    from hwbench.cli.watch import Watcher
    from hwbench.runner.campaign import Observer, run_plan

    silent = console.quiet and not settings.dry_run
    return run_plan(plan, settings, Observer() if silent else Watcher(specs, settings))


def print_outcomes(plan: Plan, ended: Ended) -> None:
    """Print how each case of a plan ended, as JSON."""
    outcomes = {o.case.path: o for o in ended.outcomes}
    skipped = {case.path for case in ended.todo.skipped}
    lines = []
    for case in plan.cases:
        outcome = outcomes.get(case.path)
        status = "failed before" if case.path in skipped else "interrupted"
        if case.path not in {c.path for c, _ in ended.todo.run} | skipped:
            status = "on file"
        line = {"spec": case.spec, "at": case.at, "profile": case.profile, "seed": case.seed}
        if outcome is not None:
            line |= {"status": outcome.status, "message": outcome.message}
            line |= {"metrics": outcome.metrics, "seconds": outcome.seconds}
            line |= {"warnings": list(outcome.warnings)}
        lines.append({"status": status} | line)
    console.print_json(lines)


def end_of_run(ended: Ended) -> int:
    """Print warnings and failures, and return the exit code."""
    err = console.err
    for outcome in ended.outcomes:
        for text in outcome.warnings:
            err.print(f"warning: {outcome.case.label}: {text}", style="yellow")
    bad = [o for o in ended.outcomes if o.status in ("failed", "missing")]
    alike: dict[tuple[str, str], list[Case]] = {}
    for outcome in bad:
        alike.setdefault((outcome.status, outcome.message), []).append(outcome.case)
    for (status, message), cases in alike.items():
        specs = ", ".join(dict.fromkeys(case.spec for case in cases))
        named = len(cases) <= (NAMED if status == "failed" else 1)
        which = "; ".join(c.label for c in cases) if named else f"{len(cases)} cases of {specs}"
        err.print(f"{status}: {which}: {message}", style="red")
    if ended.stopped:
        err.print("Stopped. Run the same command to resume.", style="yellow")
        return INTERRUPTED
    return FAILED if bad or ended.todo.skipped else DONE
