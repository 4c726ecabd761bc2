"""Do published results on Helmholtz machines and their relatives hold? Is a new method better?

>>> import hwbench
>>> hwbench.load("iwaer/table1").title
'Average test log-likelihood of IWAE, IWAER and IWAER_rec'
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from hwbench.runner.campaign import Observer
    from hwbench.spec import Profile, Spec
    from hwbench.store import Result
    from hwbench.verdict.outcome import Comparison

__version__ = "0.1.0"
__all__ = ["compare", "load", "results", "run"]


def load(name: str, benchmarks: str | Path | None = None) -> Spec:
    """Return a spec by id, alias, table name or path.

    Raises:
        hwbench.spec.SpecError: unknown, or wrong (every mistake with its line).
    """
    from hwbench.spec import load as load_
    from hwbench.spec import locate
    from hwbench.spec.files import benchmarks_folder

    return load_(locate(name, benchmarks_folder(Path(benchmarks) if benchmarks else None)))


def run(
    name: str,
    profile: str = "auto",
    rows: Sequence[Mapping[str, Any]] | None = None,
    seeds: int | None = None,
    device: str = "auto",
    jobs: int | None = None,
    results: str | Path = "results",
    observer: Observer | None = None,
    plugins: Sequence[str] = (),
) -> list[Result]:
    """Run the cases of a spec that have no result yet, and return the results of all its cases.

    Args:
        name: id, alias, table name or path of a spec.
        profile: auto, smoke, quick or full.
        rows: coordinates of the rows wanted, as [{"method": "IWAER"}]; None for all.
        seeds: seeds per row, instead of the spec's.
        device: auto, cpu, cuda, …
        jobs: cases at a time.
        results: folder of results.
        observer: its methods are called as the run proceeds; by default they do nothing.
        plugins: your own packages, whose classes the spec may then `use`; installed, or in the
            current folder.

    Raises:
        hwbench.spec.UserError: an argument is wrong, or a folder cannot be written.
        RuntimeError: a case failed, or its data are unavailable.
        KeyboardInterrupt: the run was stopped; the same call resumes it.
    """
    from hwbench import build
    from hwbench.check import check
    from hwbench.runner.campaign import Observer, run_plan
    from hwbench.runner.plan import Settings, make_plan
    from hwbench.spec.files import benchmarks_folder, load_specs
    from hwbench.store import Store

    if rows is not None and not rows:
        return []
    build.allow_plugins(plugins)
    settings = Settings(
        profile=profile,
        rows=rows,
        seeds=seeds,
        device=device,
        jobs=jobs,
        results=Path(results),
        plugins=build.plugins(),
    )
    settings.check()
    plan = make_plan(load_specs([name], benchmarks_folder(), check), settings)
    if plan.banner:
        warnings.warn(plan.banner, stacklevel=2)
    ended = run_plan(plan, settings, observer or Observer())
    if ended.stopped:
        raise KeyboardInterrupt
    store = Store(Path(results))
    bad = [
        f"{o.case.label}: {o.message}" for o in ended.outcomes if o.status in ("failed", "missing")
    ]
    bad += [f"{case.label}: failed before" for case in ended.skipped]
    if bad:
        raise RuntimeError("\n".join(bad))
    return [result for case in plan.cases if (result := store.read(case)) is not None]


def results(
    name: str | None = None,
    folder: str | Path | None = None,
    plugins: Sequence[str] = (),
) -> pd.DataFrame:
    """Return the stored results as a DataFrame: one line per case and metric.

    A warning says so if there are none.

    Args:
        name: id, alias, table name or path of a spec; None for all.
        folder: of results; by default `results`.
        plugins: as for `run`.

    Raises:
        hwbench.spec.UserError: the spec or the named folder does not exist.
    """
    from hwbench.frame import frame
    from hwbench.store import Store, reading

    _allow(plugins)
    store = Store(reading(folder))
    found, _ = store.results(load(name).id if name else None)
    if not found:
        what = f"no result of {name}" if name else "no result"
        warnings.warn(f"{store.folder} has {what}", stacklevel=2)
    return frame(found)


def compare(
    spec: str | Spec,
    profile: Profile | None = None,
    against: str | Spec | None = None,
    results: str | Path | None = None,
    plugins: Sequence[str] = (),
) -> Comparison:
    """Judge the rows and claims of a spec by the stored results; a notebook shows the tables.

    Args:
        spec: a spec, or its id, alias, table name or path.
        profile: use only results of this profile; by default each row's fullest.
        against: a spec of your own, whose rows are tested against the table's best.
        results: folder of results; by default `results`.
        plugins: as for `run`.

    Raises:
        hwbench.spec.SpecError: a spec or the profile is unknown, a spec is wrong, or both have the
            same id.
        hwbench.spec.UserError: the named folder of results does not exist, or a package cannot be
            imported.
    """
    from hwbench.sources import fingerprint
    from hwbench.spec import PROFILES, SpecError, did_you_mean
    from hwbench.store import Store, reading
    from hwbench.verdict.table import compare as judge

    if profile is not None and profile not in PROFILES:
        raise SpecError(f"no profile {profile!r}{did_you_mean(profile, PROFILES)}")
    _allow(plugins)
    own = load(against) if isinstance(against, str) else against
    return judge(
        load(spec) if isinstance(spec, str) else spec,
        Store(reading(results)),
        profile=profile,
        against=own,
        fingerprint=fingerprint,
    )


def _allow(plugins: Sequence[str]) -> None:
    """Let specs name classes of packages; without any, torch is not imported."""
    if plugins:
        from hwbench.build import allow_plugins

        allow_plugins(plugins)
