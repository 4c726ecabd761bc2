"""hwbench reproduce."""

from __future__ import annotations

import typer

from hwbench.cli import console
from hwbench.cli.compare import comparisons, judge
from hwbench.cli.console import INTERRUPTED
from hwbench.cli.options import (
    REPORTS,
    RESULTS,
    BenchmarksOption,
    DeviceOption,
    DryOption,
    ExecutorOption,
    FormatOption,
    JobsOption,
    LoggerOption,
    Needed,
    PluginOption,
    ProfileOption,
    ReportsOption,
    RequireOption,
    RerunOption,
    ResultsOption,
    RowsOption,
    SeedsOption,
    ThreadsOption,
    VerboseOption,
    formats_named,
    rerun_named,
    rows_named,
    verdicts_named,
)
from hwbench.cli.report import write_report
from hwbench.cli.run import carry_out, end_of_run


def reproduce(
    names: Needed,
    profile: ProfileOption = "auto",
    rows: RowsOption = None,
    seeds: SeedsOption = None,
    device: DeviceOption = "auto",
    executor: ExecutorOption = "local",
    jobs: JobsOption = None,
    threads: ThreadsOption = 1,
    results: ResultsOption = RESULTS,
    reports: ReportsOption = REPORTS,
    formats: FormatOption = "html,pdf",
    benchmarks: BenchmarksOption = None,
    plugin: PluginOption = None,
    rerun: RerunOption = None,
    logger: LoggerOption = "",
    require: RequireOption = None,
    dry_run: DryOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Run, compare and report: from a spec to its verdicts in one command.

    Examples: [bold]hwbench reproduce table1[/],
    [bold]hwbench reproduce table1 --profile full --device cuda[/]
    """
    from hwbench.check import check
    from hwbench.report.formats.summary import print_summary
    from hwbench.report.formats.terminal import print_comparison
    from hwbench.runner.plan import Settings, make_plan
    from hwbench.spec.files import benchmarks_folder, load_specs
    from hwbench.store import check_writable

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
    )
    verdicts, kinds = verdicts_named(require), formats_named(formats)
    settings.check()
    if not dry_run:
        check_writable(reports, "the reports folder")
    folder = benchmarks_folder(benchmarks)
    specs = load_specs(names, folder, check)
    code = end_of_run(carry_out(plan := make_plan(specs, settings), specs, settings))
    if dry_run or code == INTERRUPTED:
        raise typer.Exit(code)
    found = comparisons([s.file for s in specs], plan.profile, results, folder)
    write_report(found, results, reports, kinds, folder)
    for c in found:
        (print_comparison if verbose else print_summary)(console.out, c)
    raise typer.Exit(code or judge(found, verdicts))
