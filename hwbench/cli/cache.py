"""hwbench cache."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hwbench.cli import console
from hwbench.cli.options import (
    BenchmarksOption,
    DeviceOption,
    Needed,
    OverrideOption,
    PluginOption,
    ProfileOption,
    RowsOption,
    SeedsOption,
    overrides_named,
    rows_named,
)

app = typer.Typer(
    help="Move the checkpoints of unfinished cases to another machine.",
    no_args_is_help=True,
)


@app.command("export")
def cache_export(
    names: Needed,
    to: Annotated[Path, typer.Option("--to", help="The archive to write.")],
    profile: ProfileOption = "auto",
    rows: RowsOption = None,
    seeds: SeedsOption = None,
    device: DeviceOption = "auto",
    override: OverrideOption = None,
    benchmarks: BenchmarksOption = None,
    plugin: PluginOption = None,
) -> None:
    """Pack the checkpoints of unfinished cases into one file.

    Example: [bold]hwbench cache export rws/mnist --profile full --to rws.tar[/]
    """
    from hwbench.cache import cache_folder
    from hwbench.runner.job import Job
    from hwbench.runner.plan import Settings, make_plan, with_overrides
    from hwbench.runner.travel import pack
    from hwbench.spec.files import benchmarks_folder, load_specs

    settings = Settings(
        profile=profile,
        rows=rows_named(rows),
        seeds=seeds,
        device=device,
        plugins=plugin or [],
        dry_run=True,
    )
    settings.check()
    specs = load_specs(names, benchmarks_folder(benchmarks))
    specs = with_overrides(specs, overrides_named(override), settings.rows)
    plan = make_plan(specs, settings)
    jobs = [Job(case, settings.results, cache_folder(), device) for case in plan.cases]
    for label in pack(jobs, to):
        console.news(f"packed {label}")


@app.command("import")
def cache_import(
    file: Annotated[Path, typer.Argument(help="An archive made by cache export.")],
) -> None:
    """Unpack checkpoints into the cache; a run of the same cases resumes from them."""
    from hwbench.cache import cache_folder
    from hwbench.runner.travel import unpack

    for label, placed in unpack(file, cache_folder()):
        state = "placed" if placed else "kept the existing checkpoints of"
        console.news(f"{state} {label}")
