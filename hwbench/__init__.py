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

    from hwbench.runner.campaign import Ended, Observer
    from hwbench.runner.trained import Trained
    from hwbench.spec import Profile, Spec
    from hwbench.store import Result
    from hwbench.verdict.outcome import Comparison

__version__ = "0.1.0"
__all__ = ["compare", "load", "model", "results", "run"]


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
    rerun: Sequence[str] = (),
    overrides: Mapping[str, Any] | None = None,
    logger: str = "",
) -> list[Result]:
    """Run the cases of a spec that have no result yet, and return the results of all its cases.

    A warning tells which results come from other code, or from data that have been replaced.

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
        rerun: cases to run although they have a result or have failed: "changed" (of other code),
            "stale" (whose data files have been replaced), "failed", "all". Old results stay on
            file; the newest counts.
        overrides: other values in every row, as {"train.steps": 1000, "model.hidden": [50]}. Such
            runs are variants: their results are kept apart from the table's.
        logger: name of a logger of curves and final metrics: csv, tensorboard, wandb, mlflow.

    Raises:
        hwbench.spec.UserError: an argument is wrong, or a folder cannot be written.
        RuntimeError: a case failed, or its data are unavailable.
        KeyboardInterrupt: the run was stopped; the same call resumes it.
    """
    from hwbench import build
    from hwbench.check import check
    from hwbench.runner.campaign import Observer, run_plan
    from hwbench.runner.plan import Settings, make_plan, with_overrides
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
        rerun=[rerun] if isinstance(rerun, str) else rerun or (),
        logger=logger,
    )
    settings.check()
    specs = load_specs([name], benchmarks_folder(), check)
    plan = make_plan(with_overrides(specs, overrides or {}, rows), settings)
    if plan.banner:
        warnings.warn(plan.banner, stacklevel=2)
    ended = run_plan(plan, settings, observer or Observer())
    if ended.stopped:
        raise KeyboardInterrupt
    _check_ended(name, ended)
    store = Store(Path(results))
    return [result for case in plan.cases if (result := store.read(case)) is not None]


def _check_ended(name: str, ended: Ended) -> None:
    for kind, left, why in (
        ("changed", ended.todo.changed, "come from other code"),
        ("stale", ended.todo.replaced, "come from data that have been replaced"),
    ):
        if left:
            text = f"{len(left)} results of {name} {why}; rerun={kind!r} runs them again"
            warnings.warn(text, stacklevel=3)
    bad = [
        f"{o.case.label}: {o.message}" for o in ended.outcomes if o.status in ("failed", "missing")
    ]
    bad += [f"{case.label}: failed before" for case in ended.todo.skipped]
    if bad:
        raise RuntimeError("\n".join(bad))


def results(
    name: str | None = None,
    folder: str | Path | None = None,
    plugins: Sequence[str] = (),
    variants: bool = False,
) -> pd.DataFrame:
    """Return all stored results as a DataFrame: one line per case and metric.

    Its column `counts` tells which of them verdicts use: those that fit the named spec, or the
    specs of the benchmarks folder, as they are today. A warning says so if there are none.

    Args:
        name: id, alias, table name or path of a spec; None for all.
        folder: of results; by default `results`.
        plugins: as for `run`.
        variants: the results of runs with overrides instead, which a column names.

    Raises:
        hwbench.spec.UserError: the spec or the named folder does not exist, or a spec is wrong.
    """
    from hwbench.frame import frame
    from hwbench.spec import find
    from hwbench.spec.files import benchmarks_folder, load_files
    from hwbench.store import Store, reading

    _allow(plugins)
    store = Store(reading(folder))
    specs = [load(name)] if name else []
    found, _ = store.results(specs[0].id if name else None, variants)
    if not found:
        what = f"no result of {name}" if name else "no result"
        warnings.warn(f"{store.folder} has {what}", stacklevel=2)
    if not name:
        known = find(benchmarks_folder())
        specs = load_files([known[i] for i in sorted({r.case.spec for r in found} & known.keys())])
    return frame(found, specs)


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
    from hwbench.store import Store, reading
    from hwbench.verdict.table import compare as judge

    _allow(plugins)
    own = load(against) if isinstance(against, str) else against
    return judge(
        load(spec) if isinstance(spec, str) else spec,
        Store(reading(results)),
        profile=_profile(profile),
        against=own,
        fingerprint=fingerprint,
    )


def model(
    spec: str | Spec,
    row: Mapping[str, Any],
    seed: int = 0,
    profile: Profile | None = None,
    device: str = "cpu",
    results: str | Path | None = None,
    plugins: Sequence[str] = (),
) -> Trained:
    """Return a trained model with its weights, which are kept in the cache, and its data set.

    Args:
        spec: a spec, or its id, alias, table name or path.
        row: coordinates of one row, as {"data": "MNIST", "method": "IWAER"}.
        seed: of the run.
        profile: of the run; by default the fullest that has weights.
        device: where the model and its data go.
        results: folder of results; by default `results`.
        plugins: as for `run`.

    Raises:
        hwbench.spec.UserError: an argument is wrong, or no weights are in the cache; the message
            has the call that trains them.
    """
    from hwbench.runner.trained import trained_model
    from hwbench.store import Store, reading

    _allow(plugins)
    table = load(spec) if isinstance(spec, str) else spec
    return trained_model(table, row, seed, Store(reading(results)), _profile(profile), device)


def _profile(name: Profile | None) -> Profile | None:
    """Return a profile that exists, or None."""
    from hwbench.spec import PROFILES, SpecError, did_you_mean

    if name is not None and name not in PROFILES:
        raise SpecError(f"no profile {name!r}{did_you_mean(name, PROFILES)}")
    return name


def _allow(plugins: Sequence[str]) -> None:
    """Let specs name classes of packages; without any, torch is not imported."""
    if plugins:
        from hwbench.build import allow_plugins

        allow_plugins(plugins)
