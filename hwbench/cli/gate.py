"""hwbench gate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from hwbench.cli import console
from hwbench.cli.console import DONE, FAILED, INTERRUPTED, VERDICT
from hwbench.cli.options import (
    RESULTS,
    BenchmarksOption,
    JsonOption,
    Names,
    PluginOption,
    StoredOption,
    profile_named,
)

if TYPE_CHECKING:
    from hwbench.attest.campaign import Comparison
    from hwbench.spec import Profile, Spec
    from hwbench.store import Store


BaselineOption = Annotated[Path, typer.Option("--baseline", help="Folder of baselines.")]
BaselineProfile = Annotated[
    str, typer.Option("--profile", "-p", help="Profile of the results to compare.")
]
JunitOption = Annotated[Path | None, typer.Option("--junit", help="Also write a JUnit XML file.")]
UpdateOption = Annotated[
    bool, typer.Option("--update", help="Make the stored results the new baseline.")
]
ElsewhereOption = Annotated[
    Path | None,
    typer.Option(
        help="With --update: results of some of the same seeds from other kernels, to measure the "
        "effect of rounding."
    ),
]
AttestOption = Annotated[
    str | None,
    typer.Option(
        metavar="COMMIT",
        help="Instead, run today's code and the code of COMMIT, show that both compute the same "
        "numbers, and record this beside the results.",
    ),
]
NewCodeOption = Annotated[
    str | None,
    typer.Option(
        metavar="COMMIT", help="With --attest: the new code; by default the checked-out commit."
    ),
]
OnFileOption = Annotated[
    bool,
    typer.Option(
        "--on-file",
        help="With --attest: only cases that have a stored result of the old code,"
        " not attested for the new code yet.",
    ),
]
AttestDevice = Annotated[
    str | None,
    typer.Option(
        "--device", "-d", help="With --attest: where both run, cpu (the default) or cuda."
    ),
]
LimitOption = Annotated[
    float | None,
    typer.Option(
        min=1,
        help="With --attest: the longest time that one run may take, in seconds; by default 600.",
    ),
]


def gate(
    names: Names = None,
    baseline: BaselineOption = Path("tests/baselines"),
    profile: BaselineProfile = "smoke",
    junit: JunitOption = None,
    update: UpdateOption = False,
    elsewhere: ElsewhereOption = None,
    attest: AttestOption = None,
    against: NewCodeOption = None,
    on_file: OnFileOption = False,
    limit: LimitOption = None,
    device: AttestDevice = None,
    plugin: PluginOption = None,
    results: StoredOption = RESULTS,
    benchmarks: BenchmarksOption = None,
    as_json: JsonOption = False,
) -> None:
    """Exit 1 if a metric differs from its baseline by more than the tolerance, up or down.

    With --attest, exit 1 if a number moved by more than rounding explains, and 4 if something could
    not be run. Stopped by Ctrl-C or SIGTERM (exit 3), the same command resumes.

    Examples: [bold]hwbench gate --baseline tests/baselines --junit gate.xml[/],
    [bold]hwbench gate table1 --attest HEAD~1[/]
    """
    from hwbench.baseline import update as update_baselines
    from hwbench.spec import SpecError, display_path
    from hwbench.spec.files import benchmarks_folder, load_specs
    from hwbench.store import Store

    chosen = cast("Profile", profile_named(profile))
    specs = load_specs(names, benchmarks_folder(benchmarks))
    store = Store(results)
    if attest is not None:
        if update or junit or elsewhere:
            raise SpecError("--attest goes with none of --update, --junit and --elsewhere")
        where, longest = device or "cpu", limit or 600.0
        found = _attest(specs, store, attest, against, on_file, longest, where, plugin or [])
        raise typer.Exit(_print_comparison(found, as_json))
    others = {"against": against, "on-file": on_file, "limit": limit, "device": device}
    for option, value in {**others, "plugin": plugin}.items():
        if value:
            raise SpecError(f"--{option}: only --attest takes it")
    if update and (junit or as_json):
        raise SpecError("--update goes with neither --junit nor --json: it compares nothing")
    if elsewhere is not None and not (update and elsewhere.is_dir()):
        why = "no such folder" if update else "only --update takes it"
        raise SpecError(f"--elsewhere {elsewhere}: {why}")
    if update:
        other = Store(elsewhere) if elsewhere else None
        for path in update_baselines(specs, store, baseline, chosen, other):
            console.news(f"wrote {display_path(path)}")
        return
    passed = _compare(specs, store, baseline, chosen, junit, as_json)
    raise typer.Exit(DONE if passed else VERDICT)


def _compare(
    specs: Sequence[Spec],
    store: Store,
    baseline: Path,
    profile: Profile,
    junit: Path | None,
    as_json: bool,
) -> bool:
    """Compare results with their baselines, print the findings, and return whether all passed."""
    from hwbench.gate import gate
    from hwbench.report.formats.gate import print_findings, reason, write_junit
    from hwbench.spec import SpecError

    if not baseline.is_dir():
        raise SpecError(f"--baseline {baseline}: no such folder")
    found = gate(specs, store, baseline, profile)
    if not found:
        raise SpecError(f"nothing to compare: {baseline} has no {profile} baseline of these specs")
    if junit is not None:
        write_junit(found, junit)
    if as_json:
        console.print_json([asdict(f) | {"reason": reason(f.cause)} for f in found])
    else:
        print_findings(console.out, found)
    return all(f.passed for f in found)


def _attest(
    specs: Sequence[Spec],
    store: Store,
    old: str,
    new: str | None,
    only_on_file: bool,
    limit: float,
    device: str,
    plugins: Sequence[str],
) -> Comparison:
    """Compare two commits, and say what runs."""
    from hwbench.attest.campaign import attest

    try:
        return attest(
            specs,
            store,
            old,
            new,
            only_on_file=only_on_file,
            limit=limit,
            device=device,
            plugins=plugins,
            news=console.news,
        )
    except KeyboardInterrupt:
        text = "Stopped. What was measured is kept; run the same command to resume."
        console.err.print(text, style="yellow")
        raise typer.Exit(INTERRUPTED) from None


def _print_comparison(found: Comparison, as_json: bool) -> int:
    """Print the outcome of a comparison of two commits, and return the exit code."""
    from hwbench.report.formats.attest import print_comparison, to_json

    if as_json:
        console.print_json(to_json(found))
    else:
        print_comparison(console.out, found)
    if found.count("moved"):
        return VERDICT
    return FAILED if found.count("unreached") else DONE
