"""Options that several commands share, and the parsing of their values."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

if TYPE_CHECKING:
    from hwbench.spec import Profile

Names = Annotated[
    list[str] | None,
    typer.Argument(metavar="[SPEC]...", help="Id, alias, table name or YAML file; all by default."),
]
Needed = Annotated[
    list[str], typer.Argument(metavar="SPEC...", help="Id, alias, table name or YAML file.")
]
ProfileOption = Annotated[
    str,
    typer.Option(
        "--profile", "-p", help="auto, smoke, quick or full; auto: full on a CUDA GPU, else quick."
    ),
]
ShownProfile = Annotated[
    str | None,
    typer.Option(
        "--profile", "-p", help="Use only results of this profile; by default each row's fullest."
    ),
]
RowsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--rows",
        "-r",
        metavar="KEY=VALUE[,…]",
        help="Only rows with these coordinates, e.g. method=IWAER. Repeat to add rows.",
    ),
]
SeedsOption = Annotated[
    int | None,
    typer.Option(
        "--seeds", "-n", min=1, max=1000, help="Seeds per row; by default as in the spec."
    ),
]
DeviceOption = Annotated[str, typer.Option("--device", "-d", help="auto, cpu, cuda, cuda:1, …")]
JobsOption = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        "-j",
        min=1,
        help="Cases to run in parallel; by default one per core, or one on a GPU.",
    ),
]
ThreadsOption = Annotated[int, typer.Option("--threads", min=1, help="PyTorch threads per case.")]
ExecutorOption = Annotated[
    str,
    typer.Option(
        "--executor", help="local (worker processes), ray (a cluster) or inline (this process)."
    ),
]
ResultsOption = Annotated[Path, typer.Option("--results", help="Results folder.")]
ReportsOption = Annotated[Path, typer.Option("--reports", help="Reports folder.")]
BenchmarksOption = Annotated[
    Path | None, typer.Option("--benchmarks", help="Folder of specs; by default ./benchmarks.")
]
PluginOption = Annotated[
    list[str] | None,
    typer.Option("--plugin", help="Your own package, whose classes specs may then `use`."),
]
RetryOption = Annotated[
    bool, typer.Option("--retry-failed", help="Run cases again that failed earlier.")
]
DryOption = Annotated[
    bool, typer.Option("--dry-run", help="Print the plan and its estimated duration; run nothing.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
FormatOption = Annotated[
    str, typer.Option("--format", "-f", help="html, pdf, or both as html,pdf.")
]
RequireOption = Annotated[
    str | None,
    typer.Option(
        "--require",
        metavar="VERDICT[,…]",
        help="Exit 1 unless every row has one of these verdicts, e.g. agrees,better.",
    ),
]
AgainstOption = Annotated[
    Path | None,
    typer.Option("--against", help="Your own spec, whose rows are compared with these."),
]
RESULTS, REPORTS = Path("results"), Path("reports")
Words = Annotated[
    list[str] | None,
    typer.Argument(metavar="[SET|FILE]...", help="Data sets or files; all by default."),
]


def profile_named(name: str | None) -> Profile | None:
    """Return the profile of that name; None for None.

    Raises:
        SpecError: there is no such profile.
    """
    from hwbench.spec import PROFILES, SpecError, did_you_mean

    if name is None or name in PROFILES:
        return name
    raise SpecError(f"--profile: no profile {name!r}{did_you_mean(name, PROFILES)}")


def rows_named(texts: Sequence[str] | None) -> list[dict[str, list[str]]] | None:
    """Parse --rows: KEY=VALUE[,KEY=VALUE], with `|` between alternative values.

    Raises:
        SpecError: a text does not have that form.
    """
    from hwbench.spec import SpecError

    wanted = []
    for text in texts or []:
        pairs: dict[str, list[str]] = {}
        for part in text.split(","):
            key, equals, value = part.partition("=")
            if not equals or not key or not value:
                raise SpecError(
                    f"--rows {text!r}: expected KEY=VALUE, like method=IWAER or method=IWAE|IWAER"
                )
            pairs[key.strip()] = value.strip().split("|")
        wanted.append(pairs)
    return wanted or None


def verdicts_named(text: str | None) -> set[str]:
    """Parse --require; an empty set for None.

    Raises:
        SpecError: there is no such verdict.
    """
    if text is None:
        return set()
    from hwbench.spec import SpecError, did_you_mean
    from hwbench.verdict.outcome import Verdict

    wanted, known = {v.strip() for v in text.split(",")}, get_args(Verdict)
    for verdict in sorted(wanted - set(known)):
        raise SpecError(f"--require: no verdict {verdict!r}{did_you_mean(verdict, known)}")
    return wanted


def formats_named(text: str) -> list[str]:
    """Parse --format.

    Raises:
        SpecError: there is no such format.
    """
    from hwbench.report import FORMATS
    from hwbench.spec import SpecError, did_you_mean

    wanted = [f.strip() for f in text.split(",")]
    for f in wanted:
        if f not in FORMATS:
            raise SpecError(f"--format: no format {f!r}{did_you_mean(f, FORMATS)}")
    return wanted
