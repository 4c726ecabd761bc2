"""hwbench gate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from hwbench.cli import console
from hwbench.cli.console import VERDICT
from hwbench.cli.options import (
    RESULTS,
    BenchmarksOption,
    JsonOption,
    Names,
    ResultsOption,
    profile_named,
)

if TYPE_CHECKING:
    from hwbench.spec import Profile


def gate(
    names: Names = None,
    baseline: Annotated[Path, typer.Option("--baseline", help="Folder of baselines.")] = Path(
        "tests/baselines"
    ),
    profile: Annotated[
        str, typer.Option("--profile", "-p", help="Profile of the results to compare.")
    ] = "smoke",
    junit: Annotated[
        Path | None, typer.Option("--junit", help="Also write a JUnit XML file.")
    ] = None,
    update: Annotated[
        bool, typer.Option("--update", help="Make the stored results the new baseline.")
    ] = False,
    elsewhere: Annotated[
        Path | None,
        typer.Option(
            help="With --update: results of some of the same seeds from other kernels, to "
            "measure the effect of rounding."
        ),
    ] = None,
    results: ResultsOption = RESULTS,
    benchmarks: BenchmarksOption = None,
    as_json: JsonOption = False,
) -> None:
    """Exit 1 if a metric differs from its baseline by more than the tolerance, up or down.

    Example: [bold]hwbench gate --baseline tests/baselines --junit gate.xml[/]
    """
    from hwbench import gate as gate_
    from hwbench.report.formats.gate import print_findings, write_junit
    from hwbench.spec import SpecError, display_path
    from hwbench.spec.files import benchmarks_folder, load_specs
    from hwbench.store import Store

    chosen = cast("Profile", profile_named(profile))
    specs = load_specs(names, benchmarks_folder(benchmarks))
    store = Store(results)
    if elsewhere is not None and not (update and elsewhere.is_dir()):
        why = "no such folder" if update else "only --update takes it"
        raise SpecError(f"--elsewhere {elsewhere}: {why}")
    if update:
        other = Store(elsewhere) if elsewhere else None
        for path in gate_.update(specs, store, baseline, chosen, other):
            console.err.print(f"wrote {display_path(path)}", markup=False)
        return
    if not baseline.is_dir():
        raise SpecError(f"--baseline {baseline}: no such folder")
    found = gate_.gate(specs, store, baseline, chosen)
    if not found:
        raise SpecError(f"nothing to compare: {baseline} has no {chosen} baseline of these specs")
    if junit is not None:
        write_junit(found, junit)
    if as_json:
        console.out.print_json(json.dumps([vars(f) for f in found]))
    else:
        print_findings(console.out, found)
    if any(not f.passed for f in found):
        raise typer.Exit(VERDICT)
