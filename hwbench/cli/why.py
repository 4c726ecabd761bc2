"""hwbench why."""

from __future__ import annotations

from hwbench.cli import console
from hwbench.cli.options import (
    RESULTS,
    BenchmarksOption,
    JsonOption,
    Needed,
    PluginOption,
    ProfileOption,
    RowsOption,
    SeedsOption,
    StoredOption,
    rows_named,
)
from hwbench.numbers import significant

WORDS = {  # the state of a case, and what a run would do
    "done": ("on file", "do nothing"),
    "equivalent": ("on file, of equivalent code: moved {share} of the tolerance", "do nothing"),
    "changed": ("on file, but its code has changed", "do nothing without --rerun changed"),
    "replaced": (
        "on file, but {} has been replaced since",
        "do nothing without --rerun stale",
    ),
    "failed": ("failed: {}", "do nothing without --rerun failed"),
    "missing": ("missing: {}", "try again"),
    "damaged": ("damaged: the file in its place is no whole result", "set it aside and run it"),
    "stale": ("stale: the spec has changed ({})", "run it"),
    "new": ("not run yet", "run it"),
}


def why(
    names: Needed,
    profile: ProfileOption = "auto",
    rows: RowsOption = None,
    seeds: SeedsOption = None,
    results: StoredOption = RESULTS,
    benchmarks: BenchmarksOption = None,
    plugin: PluginOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the state of each case (on file, stale, missing or failed) and what a run would do."""
    from hwbench.check import check
    from hwbench.runner.plan import Settings, make_plan, states
    from hwbench.spec.files import benchmarks_folder, load_specs
    from hwbench.store import Store

    settings = Settings(
        profile=profile,
        rows=rows_named(rows),
        seeds=seeds,
        executor="inline",
        results=results,
        plugins=plugin or [],
        dry_run=True,
    )
    settings.check()
    specs = load_specs(names, benchmarks_folder(benchmarks), check)
    plan = make_plan(specs, settings)
    lines = []
    for case, state in zip(plan.cases, states(plan.cases, Store(results)), strict=True):
        text, action = WORDS[state.kind]
        text = text.format(state.detail, share=significant(state.share, 2))
        text += f"; run again, it failed: {state.again}" if state.again else ""
        line = {"case": case.label, "profile": case.profile, "state": text, "run would": action}
        lines.append(line)
    if as_json:
        console.print_json(lines)
        return
    if plan.banner:
        console.err.print(plan.banner, style="bold red")
    for line in lines:
        console.out.print(
            f"{line['case']} ({line['profile']}): {line['state']}; a run would {line['run would']}",
            soft_wrap=True,
        )
