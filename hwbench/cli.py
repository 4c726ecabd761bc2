"""The command line: hwbench list, check, run, compare, report, reproduce, gate, why, data."""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

import typer
from rich.console import Console

from hwbench import __version__, build, spec
from hwbench.spec import PROFILES, Case, Problem, Profile, Spec, SpecError, UserError

if TYPE_CHECKING:
    from hwbench.runner import Cost, Job, Outcome
    from hwbench.store import Store

DONE, VERDICT, WRONG_INPUT, INTERRUPTED, FAILED = 0, 1, 2, 3, 4
ABOUT = (
    "Do published results on Helmholtz machines and their relatives hold, "
    "and does a new method beat them?"
)
BANNER = (
    "SMOKE RUN ON STAND-IN DATA: the data sets could not be had, so every number here comes from "
    "8x8 digits and a few steps of training. It shows that the machinery works and says nothing "
    "about the published results."
)

app = typer.Typer(
    name="hwbench",
    help=ABOUT,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
data_app = typer.Typer(
    help="Data files: what is known, what is here, what can be fetched.", no_args_is_help=True
)
app.add_typer(data_app, name="data")


class Messages(Console):
    """Standard error; where it is no terminal each message is one line, for grep and editors."""

    def __init__(self, width: int | None = None) -> None:
        super().__init__(stderr=True, highlight=False, width=width)
        self.soft_wrap = not self.is_terminal


out, err = Console(highlight=False), Messages()


# --- options --------------------------------------------------------------------------------------

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
        "--profile", "-p", help="Only results of this profile; by default the fullest on file."
    ),
]
RowsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--rows",
        "-r",
        metavar="KEY=VALUE[,…]",
        help="Only these of the profile's rows, as method=IWAER; repeat to add rows.",
    ),
]
SeedsOption = Annotated[
    int | None,
    typer.Option("--seeds", "-n", min=1, max=1000, help="Seeds per row, instead of the spec's."),
]
DeviceOption = Annotated[str, typer.Option("--device", "-d", help="auto, cpu, cuda, cuda:1, …")]
JobsOption = Annotated[
    int | None,
    typer.Option(
        "--jobs", "-j", min=1, help="Cases at a time; by default one per core, or one on a GPU."
    ),
]
ThreadsOption = Annotated[int, typer.Option("--threads", min=1, help="torch threads of each case.")]
ExecutorOption = Annotated[
    str,
    typer.Option(
        "--executor", help="local (worker processes), ray (a cluster) or inline (this process)."
    ),
]
ResultsOption = Annotated[Path, typer.Option("--results", help="Folder of results.")]
ReportsOption = Annotated[Path, typer.Option("--reports", help="Folder of reports.")]
BenchmarksOption = Annotated[
    Path | None, typer.Option("--benchmarks", help="Folder of specs; by default ./benchmarks.")
]
PluginOption = Annotated[
    list[str] | None,
    typer.Option("--plugin", help="Package of your own whose classes specs may `use`."),
]
RetryOption = Annotated[
    bool, typer.Option("--retry-failed", help="Run cases again that failed before.")
]
DryOption = Annotated[
    bool, typer.Option("--dry-run", help="Print the plan, with an estimate of time, and stop.")
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
        help="Exit 1 unless every row has one of these verdicts, as agrees,better.",
    ),
]
AgainstOption = Annotated[
    Path | None,
    typer.Option("--against", help="A spec of your own whose rows are put beside these."),
]
RESULTS, REPORTS = Path("results"), Path("reports")


def benchmarks_folder(named: Path | None = None) -> Path:
    """Return the folder of specs: the one named, ./benchmarks, or the one beside the package."""
    if named is not None:
        if not named.is_dir():
            raise SpecError(f"--benchmarks {named}: no such folder")
        return named
    here = Path("benchmarks")
    return here if here.is_dir() else Path(__file__).parent.parent / "benchmarks"


def load_specs(names: Sequence[str] | None, folder: Path, *, blocks: bool = True) -> list[Spec]:
    """Load specs by name (all for none), reporting every mistake of every file at once.

    Raises:
        SpecError: a name is unknown or a file is wrong.
    """
    paths = (
        [spec.locate(name, folder) for name in names] if names else list(spec.find(folder).values())
    )
    if not paths:
        raise SpecError(f"{spec.display_path(folder)} holds no spec files")
    specs: list[Spec] = []
    problems: list[Problem] = []
    for path in dict.fromkeys(paths):
        found, _, mistakes = spec.parse(path)
        problems += mistakes
        if found is not None:
            specs.append(found)
            if blocks:
                problems += build.check(found)
    if problems:
        raise SpecError(problems)
    return specs


def rows_wanted(texts: Sequence[str] | None, specs: Sequence[Spec]) -> list[dict[str, Any]] | None:
    """Parse --rows: KEY=VALUE[,KEY=VALUE]; several values of a key are joined by `|`.

    Raises:
        SpecError: not of that form, or no row matches; the message has the nearest coordinate.
    """
    if not texts:
        return None
    wanted = []
    for text in texts:
        pairs: dict[str, Any] = {}
        for part in text.split(","):
            key, equals, value = part.partition("=")
            if not equals or not key or not value:
                raise SpecError(
                    f"--rows {text!r}: expected KEY=VALUE, as method=IWAER or method=IWAE|IWAER"
                )
            pairs[key.strip()] = value.strip().split("|")
        keys = {k for s in specs for row in s.rows for k in row.at}
        for key, values in pairs.items():
            if key not in keys:
                raise SpecError(
                    f"--rows {text!r}: no coordinate {key!r}{spec.did_you_mean(key, sorted(keys))}"
                )
            known = {str(row.at[key]) for s in specs for row in s.rows if key in row.at}
            for value in values:
                if value not in known:
                    raise SpecError(
                        f"--rows {text!r}: no row has {key} {value!r}"
                        f"{spec.did_you_mean(value, sorted(known))}"
                    )
        if not any(row.matches(pairs) for s in specs for row in s.rows):
            raise SpecError(f"--rows {text!r}: no row has these coordinates together")
        wanted.append(pairs)
    return wanted


def profile_named(name: str | None) -> Profile | None:
    """Return a profile by name; None for None.

    Raises:
        SpecError: there is none of that name.
    """
    if name is None or name in PROFILES:
        return name
    raise SpecError(f"--profile: no profile {name!r}{spec.did_you_mean(name, PROFILES)}")


def open_store(folder: Path, *, write: bool = False) -> Store:
    """Return the store of a results folder; with `write`, fail now rather than after training."""
    from hwbench.store import Store

    store = Store(folder)
    if write:
        store.check_writable()
    return store


# --- running --------------------------------------------------------------------------------------


@dataclass
class Settings:
    """What the options of a run say; with `dry_run` nothing is written, nor downloaded."""

    profile: str = "auto"
    rows: list[str] | None = None
    seeds: int | None = None
    device: str = "auto"
    jobs: int | None = None
    threads: int = 1
    executor: str = "local"
    results: Path = RESULTS
    plugins: Sequence[str] = ()
    retry_failed: bool = False
    dry_run: bool = False

    def check(self) -> None:
        """Refuse what cannot work, before any work or output.

        Raises:
            UserError: an unknown profile, device, executor or plugin, or a folder that cannot be
                written.
        """
        from hwbench import runner
        from hwbench.store import check_writable

        if self.profile != "auto":
            profile_named(self.profile)
        runner.pick_device(self.device)
        make_executor(self.executor, 1, self.threads)  # it may need a package that is not here
        build.allow_plugins(self.plugins)
        if not self.dry_run:
            open_store(self.results, write=True)
            check_writable(runner.cache_folder(), "the cache folder ($HWBENCH_CACHE)")


@dataclass
class Plan:
    """Which cases run, at which profile, and under which banner."""

    profile: Profile
    cases: list[Case]
    banner: str | None = None


def make_plan(specs: Sequence[Spec], settings: Settings) -> Plan:
    """Resolve `auto`, the rows and stand-ins into cases."""
    from hwbench import runner

    wanted = rows_wanted(settings.rows, specs)
    profile: Profile
    device = runner.pick_device(settings.device)
    if settings.profile == "auto":
        profile = "full" if device.type == "cuda" else "quick"
    else:
        profile = cast(Profile, profile_named(settings.profile))
    known: dict[str, bool] = {}

    def have(block: dict[str, Any]) -> bool:
        key = json.dumps(block, sort_keys=True)
        if key not in known:
            known[key] = runner.have(block, download=not settings.dry_run)
        return known[key]

    def cases_at(at: Profile) -> list[Case]:
        found = []
        for s in specs:
            rows = (
                wanted
                if wanted is None
                else [w for w in wanted if any(r.matches(w) for r in s.rows)]
            )
            if rows != []:
                found += spec.cases(s, at, rows, settings.seeds, have)
        return found

    cases = cases_at(profile)
    if wanted and not cases:
        raise SpecError(
            f"--rows: profile {profile} leaves these rows out; name another by --profile"
        )
    if settings.profile == "auto" and cases and not any(have(case.data) for case in cases):
        return Plan("smoke", cases_at("smoke"), BANNER)
    return Plan(profile, cases)


def default_jobs(device_name: str) -> int:
    """Return how many cases run at a time: one on a GPU, else one per core this process may use."""
    from hwbench import runner

    if runner.pick_device(device_name).type == "cuda":
        return 1
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    return max(1, cores)


def make_executor(name: str, jobs: int, threads: int) -> Any:
    """Return the executor of a name; each shelf file `<name>.py` holds a `<Name>Executor`."""
    known = sorted(p.stem for p in (build.PACKAGE / "executors").glob("[a-z]*.py"))
    if name not in known:
        raise SpecError(f"--executor: no executor {name!r}{spec.did_you_mean(name, known)}")
    module = importlib.import_module(f"hwbench.executors.{name}")
    return getattr(module, f"{name.capitalize()}Executor")(jobs, threads)


@contextmanager
def interruptible(executor: Any) -> Iterator[None]:
    """First Ctrl-C (or TERM): running cases save their state and end. Second: at once.

    Outside the main thread signals are left alone: Python takes them only there.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: Any) -> None:
        if executor.stopping:
            executor.kill()
            raise KeyboardInterrupt
        executor.stop()  # first of all: what prints may be gone by the same Ctrl-C
        err.print(
            "\nstopping: running cases save their state; press Ctrl-C again to end at once",
            style="yellow",
        )

    before = {s: signal.signal(s, stop) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run_plan(
    plan: Plan, specs: Sequence[Spec], settings: Settings
) -> tuple[list[Outcome], list[Case], bool]:
    """Run what is not on file; returns outcomes, cases left alone, and whether it was stopped."""
    from hwbench import runner
    from hwbench.progress import Display

    store = open_store(settings.results)
    cache = runner.cache_folder()
    plugins = tuple(settings.plugins)
    jobs_at_once = settings.jobs or default_jobs(settings.device)
    cases, left = runner.todo(plan.cases, store, settings.retry_failed)
    on_file = len(plan.cases) - len(cases) - len(left)
    jobs = [
        runner.Job(c, settings.results.resolve(), cache, settings.device, plugins, plan.banner)
        for c in cases
    ]
    if plan.banner:
        err.print(f"\n[bold white on red] {plan.banner} [/]\n")
    names = ", ".join(s.id for s in specs)
    err.print(
        f"[bold]{names}[/] at profile [bold]{plan.profile}[/]: {count(len(plan.cases), 'case')}, "
        f"{on_file} on file, {len(cases)} to run"
    )
    if on_file and not settings.dry_run:
        err.print("what is on file is not run again; --results DIR runs it anew in your own folder")
    if left:
        err.print(
            f"{count(len(left), 'case')} failed before, left alone; --retry-failed runs such again",
            style="yellow",
        )
    for use, instead in sorted(
        {(c.stands_in_for, c.data["use"]) for c in plan.cases if c.stands_in_for}
    ):
        if plan.profile != "smoke":
            err.print(f"{use} cannot be had; {instead} stands in for it", style="yellow")
    if not jobs:
        return [], left, False
    executor = make_executor(settings.executor, min(jobs_at_once, len(jobs)), settings.threads)
    outcomes: list[Outcome] = []
    with interruptible(executor):
        timed = settings.dry_run or plan.profile != "smoke"
        at_once = min(jobs_at_once, len(jobs))
        costs: list[Cost | None] = [None] * len(jobs)
        if timed:
            costs = estimate(jobs, executor, at_once, fetched=not settings.dry_run)
        print_estimate(jobs, costs, at_once, store, specs, settings.dry_run)
        if settings.dry_run or executor.stopping:
            return [], left, executor.stopping
        with Display(err, jobs, costs) as display:
            for outcome in runner.run_all(jobs, executor, display.news):
                outcomes.append(outcome)
                display.done(outcome)
        stopped = executor.stopping or any(o.status == "interrupted" for o in outcomes)
    return outcomes, left, stopped


def cost_key(case: Case) -> str:
    """Return what a case's duration depends on: all but its seed and the row's name."""
    return json.dumps([case.data, case.model, case.train, case.evaluate], sort_keys=True)


def estimate(jobs: Sequence[Job], executor: Any, at_once: int, fetched: bool) -> list[Cost | None]:
    """Return what each job costs, without stages that it finds on file or a job before trains.

    A few steps of each kind of case are timed on the spot, where its data are on this machine;
    once all were `fetched` that can be had, a case without its data costs nothing. What goes wrong
    with them is told now, since an evaluation may come after days of training.
    """
    from hwbench import runner

    kinds: dict[str, Job] = {}
    for job in jobs:
        kinds.setdefault(cost_key(job.case), job)
    kinds = {key: job for key, job in kinds.items() if runner.is_here(job.case.data)}
    keys, here = list(kinds), [i for i, job in enumerate(jobs) if cost_key(job.case) in kinds]
    costs: dict[str, Cost | None] = {}
    left: list[list[tuple[str, bool] | None]] = [[] for _ in jobs]
    asked = [("probe", kinds[key]) for key in keys]
    asked += [("stage_files", jobs[i]) for i in here]
    looking = "timing a few steps, looking for trained stages"
    with err.status(f"{looking} …") as status:
        for number, done in enumerate(executor.map("hwbench.runner:foresee", asked), 1):
            status.update(f"{looking}: {number} of {len(asked)} …")
            if done.error is not None:
                label, reason = asked[done.index][1].case.label, done.error.splitlines()[-1]
                err.print(
                    f"warning: {label}: a first look at it ends in {reason}",
                    style="yellow",
                    markup=False,
                )
            elif done.index < len(keys):
                costs[keys[done.index]] = done.outcome
            else:
                left[here[done.index - len(keys)]] = done.outcome or []
    if fetched:
        for job in jobs:
            nothing = runner.Cost((0.0,) * len(job.case.train), 0.0)
            if cost_key(job.case) not in kinds:
                costs[cost_key(job.case)] = nothing
    return runner.net_costs([costs.get(cost_key(job.case)) for job in jobs], left, at_once)


def count(number: int, noun: str) -> str:
    """Return "1 case" or "3 cases"."""
    return f"{number} {noun}{'s' * (number != 1)}"


def print_estimate(
    jobs: Sequence[Job],
    costs: Sequence[Cost | None],
    at_once: int,
    store: Store,
    specs: Sequence[Spec],
    verbose: bool,
) -> None:
    """Print how long it should take; for a dry run, each row's share and what its seeds tell."""
    from hwbench.progress import clock

    known = [cost.total for cost in costs if cost is not None]
    if known:
        total = max(max(known), sum(known) / len(known) * len(jobs) / at_once)
        untimed = len(jobs) - len(known)
        fits = any(seconds is None for cost in costs if cost for seconds in cost.stages)
        err.print(
            f"about [bold]{clock(total)}[/] on {count(at_once, 'worker')}, "
            "from steps timed just now"
            + "; how long the fits after them take is not known" * fits
            + f"; {count(untimed, 'case')} could not be timed, taken as the others" * (untimed > 0)
        )
    if not verbose:
        return
    from rich.table import Table

    from hwbench.compare import OnFile, foreseen

    table = Table(
        "row", "cases", "train", "evaluate", "these seeds can tell", box=None, header_style="bold"
    )
    for s in specs:
        on_file = OnFile(s, store, build.fingerprint)
        for row in s.rows:
            here = [
                (job.case, cost)
                for job, cost in zip(jobs, costs, strict=True)
                if job.case.spec == s.id and job.case.row == row.name
            ]
            if not here:
                continue
            mine = [case for case, _ in here]
            timed = [cost for _, cost in here if cost is not None]
            told = foreseen(on_file, row, mine)
            tell = "(not known yet)" if told is None else f"{told:.2g} {s.unit}"
            parts = ["?", "?"]
            if timed:  # of all its cases, on one worker
                parts = [clock(sum(c.train for c in timed)), clock(sum(c.evaluate for c in timed))]
            table.add_row(
                f"{s.id} {'/'.join(map(str, row.at.values()))}", str(len(mine)), *parts, tell
            )
    out.print(table)


def end_of_run(outcomes: Sequence[Outcome], left: Sequence[Case], stopped: bool) -> int:
    """Print warnings and what went wrong, and return the exit code."""
    for outcome in outcomes:
        for text in outcome.warnings:
            err.print(f"warning: {outcome.case.label}: {text}", style="yellow", markup=False)
    bad = [o for o in outcomes if o.status in ("failed", "missing")]
    for outcome in bad:
        err.print(
            f"{outcome.status}: {outcome.case.label}: {outcome.message}", style="red", markup=False
        )
    if stopped:
        err.print("stopped; the same command goes on from here", style="yellow")
        return INTERRUPTED
    return FAILED if bad or left else DONE


# --- commands -------------------------------------------------------------------------------------


def _print_version(wanted: bool | None) -> None:
    if wanted:
        out.print(__version__)
        raise typer.Exit


VersionOption = Annotated[
    bool | None,
    typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version),
]


@app.callback(help=ABOUT)
def main_options(version: VersionOption = None) -> None:
    """Take the options that stand before a command."""


@app.command("list")
def list_(
    names: Names = None,
    results: ResultsOption = RESULTS,
    benchmarks: BenchmarksOption = None,
    as_json: JsonOption = False,
) -> None:
    """Specs, their rows, what is on file, and the verdicts."""
    from rich.table import Column, Table

    from hwbench.compare import compare
    from hwbench.report.tables import claim_tally, row_tally

    store = open_store(results)
    found = [
        compare(s, store, fingerprint=build.fingerprint)
        for s in load_specs(names, benchmarks_folder(benchmarks), blocks=False)
    ]
    if as_json:
        from hwbench.report.terminal import to_json

        out.print_json(json.dumps([to_json(c) for c in found]))
        return
    titles = ["title"] if out.width >= 120 else []
    heads: list[Column | str] = [
        Column("spec", no_wrap=True),
        *titles,
        "rows",
        "on file",
        "verdicts",
        "claims",
    ]
    table = Table(*heads, box=None, header_style="bold")
    for c in found:
        used = [p for p in reversed(PROFILES) if any(r.profile == p for r in c.rows)]
        table.add_row(
            c.spec.id,
            *([c.spec.title] if titles else []),
            str(len(c.rows)),
            f"{sum(bool(r.results) for r in c.rows)} {', '.join(used)}".rstrip(),
            *(
                ", ".join(f"{t.number} {t.verdict} {t.at}".rstrip() for t in tally)
                for tally in (row_tally(c), claim_tally(c))
            ),
        )
    out.print(table)


@app.command()
def check(
    files: Names = None,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON Schema of a spec file, for editors.")
    ] = False,
    benchmarks: BenchmarksOption = None,
    plugin: PluginOption = None,
) -> None:
    """Validate specs and build every row's model, without training.

    Examples: [bold]hwbench check[/], [bold]hwbench check my/table.yaml[/]
    """
    if schema:
        out.print_json(json.dumps(spec.json_schema()))
        return
    build.allow_plugins(plugin or [])
    specs = load_specs(files, benchmarks_folder(benchmarks))
    for s in specs:
        out.print(f"{s.id}: {count(len(s.rows), 'row')}, {count(len(s.claims), 'claim')}: fine")


@app.command()
def run(
    names: Needed,
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
    retry_failed: RetryOption = False,
    dry_run: DryOption = False,
) -> None:
    """Run the cases of specs that are not on file yet.

    Examples: [bold]hwbench run table1 --profile quick[/],
    [bold]hwbench run iwaer/table1 --rows data=MNIST,method=IWAER --seeds 1[/]
    """
    settings = Settings(
        profile,
        rows,
        seeds,
        device,
        jobs,
        threads,
        executor,
        results,
        plugin or [],
        retry_failed,
        dry_run,
    )
    settings.check()
    specs = load_specs(names, benchmarks_folder(benchmarks))
    code = end_of_run(*run_plan(make_plan(specs, settings), specs, settings))
    raise typer.Exit(code)


@app.command()
def compare(
    names: Needed,
    profile: ShownProfile = None,
    against: AgainstOption = None,
    results: ResultsOption = RESULTS,
    benchmarks: BenchmarksOption = None,
    plugin: PluginOption = None,
    require: RequireOption = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse results whose code has changed since.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Verdicts and claims in the terminal.

    Examples: [bold]hwbench compare table1[/], [bold]hwbench compare table1 --against mine.yaml[/],
    [bold]hwbench compare table1 --require agrees,better[/]
    """
    build.allow_plugins(plugin or [])
    verdicts = verdicts_named(require)
    found = comparisons(names, profile, results, benchmarks_folder(benchmarks), against)
    if as_json:
        from hwbench.report.terminal import to_json

        out.print_json(json.dumps([to_json(c) for c in found]))
    else:
        from hwbench.report.terminal import print_comparison

        for c in found:
            print_comparison(out, c)
    code = judge(found, verdicts, strict)
    if code:
        raise typer.Exit(code)


def comparisons(
    names: Sequence[str] | None,
    profile: str | None,
    results: Path,
    folder: Path,
    against: Path | None = None,
) -> list[Any]:
    """Compare specs with what is on file."""
    from hwbench.compare import compare as compare_spec

    store = open_store(results)
    mine = load_specs([str(against)], folder, blocks=False)[0] if against else None
    chosen = profile_named(profile)
    specs = load_specs(names, folder, blocks=False)
    return [
        compare_spec(s, store, profile=chosen, against=mine, fingerprint=build.fingerprint)
        for s in specs
    ]


def verdicts_named(text: str | None) -> set[str]:
    """Return the verdicts of --require; none for None.

    Raises:
        SpecError: there is no such verdict.
    """
    from hwbench.compare import Verdict

    if text is None:
        return set()
    wanted, known = {v.strip() for v in text.split(",")}, get_args(Verdict)
    for verdict in sorted(wanted - set(known)):
        raise SpecError(f"--require: no verdict {verdict!r}{spec.did_you_mean(verdict, known)}")
    return wanted


def formats_named(text: str) -> list[str]:
    """Return the formats of --format.

    Raises:
        SpecError: there is no such format.
    """
    from hwbench.report import FORMATS

    wanted = [f.strip() for f in text.split(",")]
    for f in wanted:
        if f not in FORMATS:
            raise SpecError(f"--format: no format {f!r}{spec.did_you_mean(f, FORMATS)}")
    return wanted


def judge(found: Sequence[Any], wanted: set[str], strict: bool = False) -> int:
    """Return 1 where a required verdict or an unchanged code is not met, printing which."""
    code = DONE
    for c in found:
        for row in c.rows:
            name = f"{c.spec.id} {'/'.join(map(str, row.row.at.values()))}"
            if wanted and row.verdict not in wanted:
                err.print(
                    f"{name}: {row.verdict}, required {' or '.join(sorted(wanted))}", style="red"
                )
                code = VERDICT
            if strict and any("code changed" in flag for flag in row.flags):
                err.print(f"{name}: its code has changed since it ran", style="red")
                code = VERDICT
        for claim in c.claims:
            old = dict.fromkeys(name for part in claim.parts for name in part.changed)
            if strict and old:
                rows = ", ".join(old)
                err.print(
                    f"{c.spec.id} {claim.claim.id}: the code has changed since {rows} ran",
                    style="red",
                    markup=False,
                )
                code = VERDICT
    return code


@app.command()
def report(
    names: Names = None,
    profile: ShownProfile = None,
    formats: FormatOption = "html,pdf",
    results: ResultsOption = RESULTS,
    reports: ReportsOption = REPORTS,
    benchmarks: BenchmarksOption = None,
    against: AgainstOption = None,
) -> None:
    """Write the report of specs as HTML and PDF.

    Examples: [bold]hwbench report[/], [bold]hwbench report table1 --format html[/]
    """
    from hwbench.store import check_writable

    kinds = formats_named(formats)
    check_writable(reports, "the reports folder")
    folder = benchmarks_folder(benchmarks)
    found = comparisons(names, profile, results, folder, against)
    write_report(found, results, reports, kinds, folder)


def write_report(
    found: Sequence[Any], results: Path, reports: Path, formats: Sequence[str], folder: Path
) -> None:
    """Render and say where."""
    from hwbench.report import render

    papers = (
        spec.read_yaml(folder / "papers.yaml")[0] if (folder / "papers.yaml").is_file() else None
    )
    for path in render(list(found), open_store(results), reports, formats, papers):
        err.print(f"wrote {spec.display_path(path)}", markup=False)


@app.command()
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
    retry_failed: RetryOption = False,
    require: RequireOption = None,
    dry_run: DryOption = False,
) -> None:
    """Run, compare and report: the whole way from a spec to its verdicts.

    Examples: [bold]hwbench reproduce table1[/],
    [bold]hwbench reproduce table1 --profile full --device cuda[/]
    """
    from hwbench.store import check_writable

    settings = Settings(
        profile,
        rows,
        seeds,
        device,
        jobs,
        threads,
        executor,
        results,
        plugin or [],
        retry_failed,
        dry_run,
    )
    verdicts, kinds = verdicts_named(require), formats_named(formats)
    settings.check()
    if not dry_run:
        check_writable(reports, "the reports folder")
    folder = benchmarks_folder(benchmarks)
    specs = load_specs(names, folder)
    plan = make_plan(specs, settings)
    outcomes, left, stopped = run_plan(plan, specs, settings)
    code = end_of_run(outcomes, left, stopped)
    if dry_run or code == INTERRUPTED:
        raise typer.Exit(code)
    from hwbench.report.terminal import print_comparison

    found = comparisons([s.file for s in specs], plan.profile, results, folder)
    for c in found:
        print_comparison(out, c)
    write_report(found, results, reports, kinds, folder)
    raise typer.Exit(code or judge(found, verdicts))


@app.command()
def gate(
    names: Names = None,
    baseline: Annotated[Path, typer.Option("--baseline", help="Folder of baselines.")] = Path(
        "tests/baselines"
    ),
    profile: Annotated[
        str, typer.Option("--profile", "-p", help="Profile of the results compared.")
    ] = "smoke",
    junit: Annotated[
        Path | None, typer.Option("--junit", help="Also write a JUnit XML file.")
    ] = None,
    update: Annotated[
        bool, typer.Option("--update", help="Take the results on file as the new baseline.")
    ] = False,
    elsewhere: Annotated[
        Path | None,
        typer.Option(
            help="With --update: results of some of the same seeds under other kernels, which "
            "measure what rounding does."
        ),
    ] = None,
    results: ResultsOption = RESULTS,
    benchmarks: BenchmarksOption = None,
    as_json: JsonOption = False,
) -> None:
    """Exit 1 when a metric has left its tolerance against the baseline, in either direction.

    Example: [bold]hwbench gate --baseline tests/baselines --junit gate.xml[/]
    """
    from hwbench import gate as gate_

    chosen = cast(Profile, profile_named(profile))
    specs = load_specs(names, benchmarks_folder(benchmarks), blocks=False)
    store = open_store(results)
    if elsewhere is not None and not (update and elsewhere.is_dir()):
        why = "no such folder" if update else "only --update takes it"
        raise SpecError(f"--elsewhere {elsewhere}: {why}")
    if update:
        other = open_store(elsewhere) if elsewhere else None
        for path in gate_.update(specs, store, baseline, chosen, other):
            err.print(f"wrote {spec.display_path(path)}", markup=False)
        return
    if not baseline.is_dir():
        raise SpecError(f"--baseline {baseline}: no such folder")
    found = gate_.gate(specs, store, baseline, chosen)
    if not found:
        raise SpecError(f"nothing to compare: {baseline} has no {chosen} baseline of these specs")
    if junit is not None:
        gate_.write_junit(found, junit)
    if as_json:
        out.print_json(json.dumps([vars(f) for f in found]))
    else:
        gate_.print_findings(out, found)
    if any(not f.passed for f in found):
        raise typer.Exit(VERDICT)


@app.command()
def why(
    names: Needed,
    profile: ProfileOption = "auto",
    rows: RowsOption = None,
    seeds: SeedsOption = None,
    results: ResultsOption = RESULTS,
    benchmarks: BenchmarksOption = None,
    plugin: PluginOption = None,
    as_json: JsonOption = False,
) -> None:
    """For each case: on file, stale, missing or failed, and what a run would do."""
    from hwbench.store import Result

    settings = Settings(
        profile,
        rows,
        seeds,
        executor="inline",
        results=results,
        plugins=plugin or [],
        dry_run=True,
    )
    settings.check()
    specs = load_specs(names, benchmarks_folder(benchmarks))
    store = open_store(results)
    plan = make_plan(specs, settings)
    lines: list[dict[str, Any]] = []
    stored: dict[tuple[str, str, str, int], list[Result]] = {}
    for s in specs:
        for r in store.results(s.id)[0]:
            stored.setdefault((r.case.spec, r.case.row, r.case.profile, r.case.seed), []).append(r)
    for case in plan.cases:
        result, failure = store.read(case), store.read_failure(case)
        others = stored.get((case.spec, case.row, case.profile, case.seed), [])
        if result is not None:
            changed = result.fingerprint != build.fingerprint(case)
            state = "on file, but its code has changed since" if changed else "on file"
            action = "do nothing"
        elif failure is not None and failure.kind == "failed":
            state, action = f"failed: {failure.reason}", "do nothing without --retry-failed"
        elif failure is not None:
            state, action = f"missing: {failure.reason}", "try again"
        elif others:
            state, action = (
                f"stale: the spec has changed ({changes(others[0].case, case)})",
                "run it",
            )
        else:
            state, action = "not run yet", "run it"
        lines.append(
            {"case": case.label, "profile": case.profile, "state": state, "run would": action}
        )
    if as_json:
        out.print_json(json.dumps(lines))
        return
    if plan.banner:
        err.print(plan.banner, style="bold red")
    for line in lines:
        out.print(
            f"{line['case']} ({line['profile']}): {line['state']}; a run would {line['run would']}",
            markup=False,
            soft_wrap=True,
        )


def changes(old: Case, new: Case) -> str:
    """Return which parts differ between two cases, as 'train.0.epochs 500 -> 5'."""

    def flat(value: Any, path: str = "") -> dict[str, Any]:
        if isinstance(value, dict):
            return {
                k2: v2
                for k, v in value.items()
                for k2, v2 in flat(v, f"{path}.{k}" if path else str(k)).items()
            }
        if isinstance(value, list):
            return {
                k2: v2 for i, v in enumerate(value) for k2, v2 in flat(v, f"{path}.{i}").items()
            }
        return {path: value}

    a, b = (flat(c.model_dump(include={"data", "model", "train", "evaluate"})) for c in (old, new))
    found = [
        f"{k} {a.get(k, 'absent')} -> {b.get(k, 'absent')}"
        for k in sorted(a.keys() | b.keys())
        if a.get(k) != b.get(k)
    ]
    return "; ".join(found[:4]) + (" …" if len(found) > 4 else "")


# --- data -----------------------------------------------------------------------------------------

Words = Annotated[
    list[str] | None,
    typer.Argument(metavar="[SET|FILE]...", help="Data sets or files; all by default."),
]


def print_files(records: Sequence[Any], as_json: bool) -> None:
    """Print where each file lies and whether it is what it should be."""
    from rich.table import Table

    if as_json:
        out.print_json(json.dumps([r.as_dict() for r in records]))
        return
    table = Table("file", "state", box=None, header_style="bold")
    table.add_column("where, or from where", overflow="fold")  # a path that is cut is of no use
    styles = {"corrupt": "red", "absent": "yellow", "verified": "green"}
    for r in records:
        where = str(r.path) if r.path else next(iter(r.file.addresses), "local only")
        table.add_row(
            r.file.name, r.state, f"{where} {r.detail}".rstrip(), style=styles.get(r.state)
        )
    out.print(table)


@data_app.command("list")
def data_list(words: Words = None, as_json: JsonOption = False) -> None:
    """What is known of each file, and where it lies."""
    from hwbench.datasets import files

    print_files(files.listing(words or []), as_json)


@data_app.command("verify")
def data_verify(words: Words = None, as_json: JsonOption = False) -> None:
    """Take each file's checksum; exit 1 if one is not what it should be."""
    from hwbench.datasets import files

    records = files.verify(words or [])
    print_files(records, as_json)
    if any(r.state == "corrupt" for r in records):
        raise typer.Exit(VERDICT)


@data_app.command("fetch")
def data_fetch(words: Words = None) -> None:
    """Download what is not on this machine; exit 4 if something cannot be had.

    Example: [bold]hwbench data fetch mnist binarized_mnist[/]
    """
    from hwbench.datasets import files
    from hwbench.protocols import DataMissing

    code = DONE
    for name in files.select(words or []):
        try:
            out.print(f"{name}: {files.fetch(name)}", markup=False)
        except DataMissing as error:
            err.print(str(error), style="red", markup=False)
            code = FAILED
    raise typer.Exit(code)


# --- main -----------------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; every foreseen error is one message and an exit code."""
    try:
        given = None if arguments is None else list(arguments)
        code = app(args=given, prog_name="hwbench", standalone_mode=False)
        sys.exit(code if isinstance(code, int) else DONE)
    except UserError as error:
        err.print(str(error), style="red", markup=False)
        sys.exit(WRONG_INPUT)
    except typer.Exit as error:
        sys.exit(error.exit_code)
    except (typer.Abort, KeyboardInterrupt):
        err.print("interrupted", style="yellow")
        sys.exit(INTERRUPTED)
    except Exception as error:
        show = getattr(error, "show", None)  # the parser's own errors know how to print themselves
        if show is None:
            traceback.print_exc()
            sys.exit(FAILED)  # Python's own 1 stands for a verdict
        show()
        sys.exit(getattr(error, "exit_code", WRONG_INPUT))


if __name__ == "__main__":
    main()
