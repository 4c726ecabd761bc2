"""Options that several commands share, and the parsing of their values."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

if TYPE_CHECKING:
    from hwbench.spec import Profile


def _folder(path: Path | None) -> Path | None:
    """Return a folder that may not be there yet; a file, or a path too long, is a user's error."""
    from hwbench.spec import UserError

    try:
        wrong = path is not None and path.exists() and not path.is_dir()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"{str(path)[:80]}: no folder: {why}") from None
    if wrong:
        raise UserError(f"{path}: not a folder")
    return path


def _to_read(path: Path) -> Path:
    """Return the folder of results, which has to exist unless it is the default."""
    from hwbench.store import reading

    _folder(path)
    return path if path == RESULTS else reading(path)


RESULTS, REPORTS = Path("results"), Path("reports")


def _specs(incomplete: str) -> list[str]:
    """Return the ids that complete a word, for the shell."""
    from hwbench.spec.files import benchmarks_folder, find

    return [name for name in find(benchmarks_folder()) if name.startswith(incomplete)]


Names = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[SPEC]...",
        help="Id, alias, table name or YAML file; all by default.",
        autocompletion=_specs,
    ),
]
Needed = Annotated[
    list[str],
    typer.Argument(
        metavar="SPEC...", help="Id, alias, table name or YAML file.", autocompletion=_specs
    ),
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
ResultsOption = Annotated[Path, typer.Option("--results", help="Results folder.", callback=_folder)]
StoredOption = Annotated[
    Path, typer.Option("--results", help="Folder of stored results.", callback=_to_read)
]
ReportsOption = Annotated[Path, typer.Option("--reports", help="Reports folder.", callback=_folder)]
BenchmarksOption = Annotated[
    Path | None, typer.Option("--benchmarks", help="Folder of specs; by default ./benchmarks.")
]
PluginOption = Annotated[
    list[str] | None,
    typer.Option("--plugin", help="Your own package; specs may then `use` its classes."),
]
OverrideOption = Annotated[
    list[str] | None,
    typer.Option(
        "--override",
        "-o",
        metavar="PATH=VALUE",
        help="Set a value in every row, e.g. train.steps=1000 or model.hidden=[50]. Such runs "
        "are variants, stored apart from the table's results. Repeat for more.",
    ),
]
LoggerOption = Annotated[
    str,
    typer.Option(
        "--logger",
        help="Log curves and final metrics: csv or tensorboard (to ./logs), wandb or mlflow.",
    ),
]
RerunOption = Annotated[
    str | None,
    typer.Option(
        "--rerun",
        metavar="KIND[,…]",
        help="Also run cases again: changed (results from other code), stale (data files were "
        "replaced since), failed, or all. Old results stay on file; the newest counts.",
    ),
]
DryOption = Annotated[
    bool, typer.Option("--dry-run", help="Print the plan and its estimated duration; run nothing.")
]
VerboseOption = Annotated[
    bool, typer.Option("--verbose", "-v", help="Show all rows and claims, each with its reason.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
FormatOption = Annotated[
    str,
    typer.Option(
        "--format",
        "-f",
        help="One or more of html, pdf, csv, json, latex, markdown, figures (every plot of the "
        "pages as SVG and PNG), overview.",
    ),
]
SingleFileOption = Annotated[
    bool, typer.Option("--single-file", help="One HTML page instead of a page for each table.")
]
FullOption = Annotated[
    bool, typer.Option("--full", help="A PDF with everything that the pages fold away.")
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
    typer.Option("--against", help="Your own spec; its rows are compared with these."),
]
QueueOption = Annotated[
    Path | None,
    typer.Option("--queue", help="Run the cases of this file in its order, instead of SPEC."),
]
BudgetOption = Annotated[
    str | None,
    typer.Option(
        "--budget",
        metavar="TIME",
        help="Stop after this time, e.g. 3h, 90m or 2h30m; the same command resumes.",
    ),
]
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

    A comma that no KEY= follows belongs to the value.

    Raises:
        SpecError: a text does not have that form, or names a key twice.

    >>> rows_named(["slope=(0.5, 0.5),method=A|B"])
    [{'slope': ['(0.5, 0.5)'], 'method': ['A', 'B']}]
    """
    from hwbench.spec import SpecError

    wanted = []
    for text in texts or []:
        pairs: dict[str, list[str]] = {}
        for part in re.split(r",(?=[^,=|]+=)", text):
            key, equals, value = part.partition("=")
            if not equals or not key or not value:
                raise SpecError(
                    f"--rows {text!r}: expected KEY=VALUE, like method=IWAER or method=IWAE|IWAER"
                )
            if key.strip() in pairs:
                raise SpecError(
                    f"--rows {text!r}: {key.strip()} is given twice; write {key.strip()}=A|B for "
                    "either value, or repeat --rows"
                )
            pairs[key.strip()] = value.strip().split("|")
        wanted.append(pairs)
    return wanted or None


def overrides_named(texts: Sequence[str] | None) -> dict[str, Any]:
    """Parse --override: PATH=VALUE, the value as in a spec.

    Raises:
        SpecError: a text does not have that form, or two name the same path.

    >>> overrides_named(["train.steps=1000", "model.hidden=[50]"])
    {'train.steps': 1000, 'model.hidden': [50]}
    """
    from hwbench.spec import SpecError, read_value

    found = {}
    for text in texts or []:
        path, equals, value = text.partition("=")
        if not path or not equals:
            raise SpecError(f"--override {text!r}: expected PATH=VALUE, like train.steps=1000")
        if path.strip() in found:
            raise SpecError(f"--override: {path.strip()} is given twice")
        found[path.strip()] = read_value(value)
    return found


def rerun_named(text: str | None) -> list[str]:
    """Parse --rerun; the settings check the kinds."""
    return [] if text is None else [kind.strip() for kind in text.split(",")]


def budget_named(text: str | None) -> float | None:
    """Return --budget in seconds: one or more numbers, each with h, m or s; None for None.

    Raises:
        SpecError: the text does not have that form, or the time is zero.

    >>> budget_named("2h30m"), budget_named("90m"), budget_named(None)
    (9000.0, 5400.0, None)
    """
    from hwbench.spec import SpecError

    if text is None:
        return None
    number = r"(\d+(?:\.\d+)?)"
    match = re.fullmatch(rf"(?:{number}h)?(?:{number}m)?(?:{number}s)?", text.strip().lower())
    hours, minutes, seconds = (float(g or 0) for g in match.groups()) if match else (0, 0, 0)
    total = 3600 * hours + 60 * minutes + seconds
    if not total:
        raise SpecError(f"--budget {text!r}: expected a time like 3h, 90m or 2h30m")
    return total


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
    from hwbench.report.formats import report_formats
    from hwbench.spec import SpecError, did_you_mean

    wanted, known = [name.strip() for name in text.split(",")], list(report_formats())
    for name in wanted:
        if name not in known:
            raise SpecError(f"--format: no format {name!r}{did_you_mean(name, known)}")
    return wanted
